package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/mesh/raftgroup"
	"drmesh/origin"
)

// plane is this module's copy of the control state: what raft has committed,
// as far as it came here, kept in D/control so that a start without quorum
// works from the last state known.
//
// It is raft's state machine: Apply and Restore are called by raft's one
// goroutine. Everybody else reads the immutable state.
type plane struct {
	path string
	log  *slog.Logger
	cur  atomic.Pointer[control.State]

	// turn is held while one state follows another, and kept: by raft's
	// goroutine, or by one that brings a neighbour's state.
	turn sync.Mutex
	mu   sync.Mutex    // protects ch; never held across I/O
	ch   chan struct{} // closed when the state changes
}

func openPlane(path string, log *slog.Logger) (*plane, error) {
	p := &plane{path: path, log: log, ch: make(chan struct{})}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		p.cur.Store(control.New())
	case err != nil:
		return nil, err
	default:
		s, err := control.Restore(b)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		p.cur.Store(s)
	}
	return p, nil
}

// state is the control state known here.
func (p *plane) state() *control.State { return p.cur.Load() }

// changed is closed at the next change of the state.
func (p *plane) changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ch
}

// wait waits until the state has applied an index.
func (p *plane) wait(ctx context.Context, index uint64) error {
	for {
		ch := p.changed()
		if p.state().Index >= index {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// adopt puts a state in force once it is durable here.
func (p *plane) adopt(s *control.State) error {
	b, err := s.Snapshot()
	if err != nil {
		return err
	}
	if err := writeFile(p.path, b); err != nil {
		return fmt.Errorf("keep control state: %w", err)
	}
	p.cur.Store(s)
	p.mu.Lock()
	close(p.ch)
	p.ch = make(chan struct{})
	p.mu.Unlock()
	return nil
}

// outcome is what a proposal gave, in the form that travels to a proposer at
// another module.
type outcome struct {
	Result  control.Result   `msgpack:"r"`
	Refused *control.Refused `msgpack:"e,omitempty"`
	// Failed says why the proposal could not be decided.
	Failed string `msgpack:"f,omitempty"`
	Quorum bool   `msgpack:"q,omitempty"` // Failed for want of quorum
}

// take puts a state in force that a neighbour had from the control group, if it
// is newer than the one here. What raft brings later up to its index changes
// nothing any more.
func (p *plane) take(b []byte) (taken bool, err error) {
	s, err := control.Restore(b)
	if err != nil {
		return false, err
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	have := p.state()
	if have.Mesh != "" && s.Mesh != have.Mesh {
		return false, fmt.Errorf("control state of another mesh, %s", s.Name)
	}
	if s.Index <= have.Index || s.Epoch < have.Epoch {
		return false, nil
	}
	return true, p.adopt(s)
}

// Apply implements raftgroup.FSM.
func (p *plane) Apply(index uint64, b []byte) any {
	p.turn.Lock()
	defer p.turn.Unlock()
	s := p.state()
	next, res, err := control.Step(s, index, b)
	if errors.Is(err, control.ErrOldIndex) {
		return outcome{Result: control.Result{Index: s.Index}}
	}
	if next != nil && next != s {
		if e := p.adopt(next); e != nil {
			// A committed command that this module cannot keep: it must not
			// vote as if it had.
			panic(fmt.Sprintf("node: control index %d: %v", index, e))
		}
	}
	var r *control.Refused
	if errors.As(err, &r) {
		return outcome{Refused: r, Result: control.Result{Index: index}}
	}
	if err != nil {
		return outcome{Failed: err.Error(), Result: control.Result{Index: index}}
	}
	return outcome{Result: res}
}

// Snapshot implements raftgroup.FSM.
func (p *plane) Snapshot() ([]byte, error) { return p.state().Snapshot() }

// Restore implements raftgroup.FSM.
func (p *plane) Restore(b []byte) error {
	s, err := control.Restore(b)
	if err != nil {
		return err
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	if s.Index <= p.state().Index {
		return nil
	}
	return p.adopt(s)
}

// proposeTimeout bounds the way of a proposal to the leader and back.
const proposeTimeout = 10 * time.Second

// propose has a command decided by the control group, from whichever module.
// A refusal is a *control.Refused. If ctx is cancelled first it says so; nobody
// knows then whether the command is decided.
func (n *Node) propose(ctx context.Context, c *control.Command) (control.Result, error) {
	c.At = time.Now().UnixMilli()
	b, err := c.Encode()
	if err != nil {
		return control.Result{}, err
	}
	if err := n.superseded(); err != nil {
		return control.Result{}, err
	}
	asked := ctx
	ctx, cancel := context.WithTimeout(asked, proposeTimeout)
	defer cancel()
	var last error
	for try := 0; ; try++ {
		o, err := n.proposeOnce(ctx, b, try)
		if err == nil && o.Failed == "" {
			if o.Refused != nil {
				return o.Result, o.Refused
			}
			return o.Result, nil
		}
		if err == nil {
			err = errors.New(o.Failed)
		}
		last = err
		select {
		case <-ctx.Done():
			if err := asked.Err(); errors.Is(err, context.Canceled) {
				return control.Result{}, fmt.Errorf("nobody waits for the control group's answer: %w", err)
			}
			return control.Result{}, failure(admin.NoQuorum, "no_quorum", "bring more voters into reach; reading and writing files go on without them",
				"the control group did not decide within %v: %v", proposeTimeout, last)
		case <-time.After(150 * time.Millisecond):
		}
	}
}

// remedies are what an operator can do about what control refused.
var remedies = map[control.Code]string{
	control.ErrSwitching:  "\"drmesh switchover status\" shows the change that is under way; wait for its end, or end it with \"drmesh switchover abort\"",
	control.ErrSwitchOver: "\"drmesh switchover status\" shows what became of it",
	control.ErrTermMoved:  "\"drmesh group ls\" shows who owns the group now; ask again",
	control.ErrEpochMoved: "somebody applied other tables meanwhile: plan again",
	control.ErrNotOwned:   "\"drmesh group ls\" shows groups and their owners",
	control.ErrOwns:       "give its groups to others first: \"drmesh switchover start\"",
	control.ErrNoMember:   "\"drmesh module ls\" lists them",
	control.ErrLostFile:   "restore the file as the module wrote it last; \"drmesh lost discard\" closes one that is gone",
	control.ErrInstance:   "stop the other directory, or have this one take its place: \"drmesh rejoin --take-over\"",
}

// precondition makes an operator's error of what control refused.
func precondition(err error) error {
	var r *control.Refused
	if errors.As(err, &r) {
		return failure(admin.Precondition, "refused", remedies[r.Code], "%v", r)
	}
	return err
}

// proposeReach bounds the wait for a connection to who is to decide: there is
// somebody else to ask, or the leader changes.
const proposeReach = 2 * time.Second

func (n *Node) proposeOnce(ctx context.Context, b []byte, try int) (outcome, error) {
	if n.raft == nil {
		return outcome{}, errors.New("control is not started")
	}
	leader, ok := n.raft.Leader()
	if !ok {
		// One who does not vote, or was away, may not have heard of the leader:
		// ask the voters in turn, those first that there is a connection to.
		if leader, ok = n.voterToAsk(try); !ok {
			return outcome{}, errors.New("no leader")
		}
	}
	if leader != n.dir.Number && n.mesh == nil {
		return outcome{}, errors.New("no leader") // who begins a lineage will lead it
	}
	if leader == n.dir.Number {
		return n.proposeHere(ctx, b)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(proposeReach, func() {
		if !n.net.PeerStats(leader).Connected {
			cancel()
		}
	}).Stop()
	r, err := n.mesh.Call(ctx, leader, "propose", b)
	if err != nil {
		return outcome{}, err
	}
	var o outcome
	if len(r) > control.MaxCommand {
		return o, fmt.Errorf("module %d: an answer of %d bytes", leader, len(r))
	}
	err = msgpack.Unmarshal(r, &o)
	return o, err
}

// voterToAsk gives a voter who may know the leader, another one for each try.
func (n *Node) voterToAsk(try int) (origin.Module, bool) {
	var near, far []origin.Module
	for _, m := range n.ctl.state().Members {
		switch {
		case !m.Voter || !m.Standing() || m.Number == n.dir.Number:
		case n.net.PeerStats(m.Number).Connected:
			near = append(near, m.Number)
		default:
			far = append(far, m.Number)
		}
	}
	l := append(near, far...)
	if len(l) == 0 {
		return 0, false
	}
	return l[try%len(l)], true
}

func (n *Node) proposeHere(ctx context.Context, b []byte) (outcome, error) {
	if err := n.superseded(); err != nil {
		return outcome{}, err
	}
	v, _, err := n.raft.Propose(ctx, b)
	if err != nil {
		return outcome{}, err
	}
	o, ok := v.(outcome)
	if !ok {
		return outcome{}, fmt.Errorf("control gave %T", v)
	}
	return o, nil
}

// servePropose answers a proposal that another module forwards.
func (n *Node) servePropose(ctx context.Context, from origin.Module, b []byte) ([]byte, error) {
	if c, err := control.DecodeCommand(b); err == nil && c.Kind == control.KindRecover {
		return nil, errors.New("propose: a lineage of control begins where nobody else decides")
	}
	o, err := n.proposeHere(ctx, b)
	if err != nil {
		o = outcome{Failed: err.Error(), Quorum: errors.Is(err, raftgroup.ErrNoQuorum)}
	}
	return msgpack.Marshal(&o)
}
