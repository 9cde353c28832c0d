package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"drmesh/mesh/control"
	"drmesh/origin"
)

// The right to write an owned group is a lease that the leader of the control
// group gives the owner of the present term, again and again. The owner counts
// it from when it asked, so it ends at the owner before it does anywhere else;
// who follows an owner that does not answer waits that long. So at no moment
// two modules may write.
const (
	// leaseTime is how long a lease lasts, by the owner's clock, which is taken
	// to go right to some per cent.
	leaseTime = time.Second
	// leaseEvery is how often it is renewed.
	leaseEvery = 200 * time.Millisecond
)

// leases are what this module may write at this moment.
type leases struct {
	mu    sync.Mutex // protects until; never held across I/O
	until map[origin.Group]lease
}

type lease struct {
	epoch uint64
	until time.Time
}

func (l *leases) init() { l.until = map[origin.Group]lease{} }

// holds reports whether the lease of a term stands.
func (l *leases) holds(g origin.Group, epoch uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.until[g]
	return x.epoch == epoch && time.Now().Before(x.until)
}

// drop takes all back.
func (l *leases) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.until)
}

func (l *leases) grant(t term, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.until[t.Group]; x.epoch < t.Epoch || x.epoch == t.Epoch && x.until.Before(until) {
		l.until[t.Group] = lease{t.Epoch, until}
	}
}

// term is what is asked a lease for.
type term struct {
	Group origin.Group `msgpack:"g"`
	Epoch uint64       `msgpack:"e"`
}

// leaseQuestion is an owner's request, and the answer to it: the terms whose
// leases are renewed.
type leaseQuestion struct {
	Terms []term `msgpack:"t"`
}

// serveLease answers an owner. Only a leader of which a majority knows gives
// leases, and only for terms that have not ended.
func (n *Node) serveLease(ctx context.Context, from origin.Module, b []byte) ([]byte, error) {
	var q leaseQuestion
	if len(b) > 1<<16 {
		return nil, fmt.Errorf("lease: a question of %d bytes", len(b))
	}
	if err := msgpack.Unmarshal(b, &q); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	a, err := n.giveLeases(ctx, from, q)
	if err != nil {
		return nil, err
	}
	return msgpack.Marshal(&a)
}

func (n *Node) giveLeases(ctx context.Context, to origin.Module, q leaseQuestion) (a leaseQuestion, err error) {
	if !n.raft.IsLeader() {
		return a, errors.New("lease: not the leader")
	}
	if err := n.superseded(); err != nil {
		return a, err
	}
	// One who leads since a moment ago may not have applied what was decided
	// before him.
	if err := n.ledSince(ctx); err != nil {
		return a, fmt.Errorf("lease: %w", err)
	}
	if err := n.raft.Verify(ctx); err != nil {
		return a, fmt.Errorf("lease: %w", err)
	}
	st := n.ctl.state()
	for _, t := range q.Terms {
		now, ok := st.Term(t.Group)
		if w, changing := st.Switching(t.Group); changing && w.Failover {
			continue
		}
		if ok && now.Epoch == t.Epoch && now.Owner == to && n.absence.gave(t) {
			a.Terms = append(a.Terms, t)
		}
	}
	return a, nil
}

// ledSince waits, once in each leadership, until all that was decided before
// it is applied here.
func (n *Node) ledSince(ctx context.Context) error {
	now := n.raft.Term()
	n.mu.Lock()
	led := n.led
	n.mu.Unlock()
	if led == now {
		return nil
	}
	if err := n.raft.Barrier(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	n.led = now
	n.mu.Unlock()
	return nil
}

// leaderChanged is told by raft that somebody leads, or nobody: leases can be
// asked for elsewhere.
func (n *Node) leaderChanged(origin.Module) { n.nudgeOwner() }

// nudgeOwner has the owner's duties looked at now.
func (n *Node) nudgeOwner() {
	select {
	case n.owner <- struct{}{}:
	default:
	}
}

// ownerLoop renews leases and carries changes of owner on; it ends with the
// node.
func (n *Node) ownerLoop() {
	defer n.wg.Done()
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	for {
		changed := n.ctl.changed() // before the state, lest a change is missed
		st := n.ctl.state()
		n.renewLeases(st)
		var moved <-chan struct{}
		var soon <-chan time.Time
		if n.switchDuties(st) {
			moved, soon = n.j.Changed(), time.After(20*time.Millisecond)
		}
		n.hookDuties(st)
		n.watchOwners(st)
		n.rollBack(st)
		select {
		case <-n.ctx.Done():
			return
		case <-changed:
		case <-moved:
		case <-soon:
		case <-n.owner:
		case <-tick.C:
		}
	}
}

// renewLeases asks for the leases of all that this module owns.
func (n *Node) renewLeases(st *control.State) {
	var q leaseQuestion
	for _, g := range st.Groups {
		if t, ok := st.Term(g.Number); ok && t.Owner == n.dir.Number {
			q.Terms = append(q.Terms, term{g.Number, t.Epoch})
		}
	}
	if len(q.Terms) == 0 || n.raft == nil || n.fenced.Load() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, leaseTime/2)
	defer cancel()
	asked := time.Now()
	a, err := n.askLeases(ctx, q)
	if err != nil {
		if n.ctx.Err() == nil {
			n.log.Debug("leases were not renewed", "err", err)
		}
		return
	}
	for _, t := range a.Terms {
		if n.fenced.Load() != nil {
			return
		}
		n.leases.grant(t, asked.Add(leaseTime-leaseTime/20))
	}
	n.settleScopes()
}

func (n *Node) askLeases(ctx context.Context, q leaseQuestion) (a leaseQuestion, err error) {
	leader, ok := n.raft.Leader()
	if !ok {
		return a, errors.New("nobody leads the control group")
	}
	if leader == n.dir.Number {
		return n.giveLeases(ctx, leader, q)
	}
	b, err := msgpack.Marshal(&q)
	if err != nil {
		return a, err
	}
	r, err := n.mesh.Call(ctx, leader, "lease", b)
	if err != nil {
		return a, err
	}
	err = msgpack.Unmarshal(r, &a)
	return a, err
}

// switchDuties does this module's part of the changes of owner that are under
// way; true: one waits for what becomes durable here.
func (n *Node) switchDuties(st *control.State) (waiting bool) {
	for _, w := range st.Switches {
		stream := termStream(st, w.Group)
		var c *control.Command
		switch {
		case w.Failover && w.To == n.dir.Number:
			end, ok := n.takeOver(st, w, stream)
			if !ok {
				waiting = true
				continue
			}
			p := control.PlaceOf(stream, end)
			c = &control.Command{Kind: control.KindEndSwitch, EndSwitch: &control.EndSwitch{ID: w.ID, End: &p}}
		case w.Failover:
		case w.Holding():
		case w.From == n.dir.Number && w.End == nil:
			end, ok := n.stopped(w, stream)
			if !ok {
				waiting = true
				continue
			}
			c = &control.Command{Kind: control.KindSeal, Seal: &control.Seal{ID: w.ID, End: control.PlaceOf(stream, end)}}
		case w.To == n.dir.Number && w.End != nil:
			have, ok := n.j.Durable()[stream]
			if !ok {
				have = origin.Position{Hash: stream.Genesis()}
			}
			if have != w.End.Position() && (st.Owned(w.Group) || have.Seq < w.End.Seq) {
				waiting = true
				continue
			}
			c = &control.Command{Kind: control.KindEndSwitch, EndSwitch: &control.EndSwitch{ID: w.ID}}
		}
		if c == nil && n.raft.IsLeader() && time.Now().UnixMilli() > w.Until {
			c = &control.Command{Kind: control.KindDropSwitch, DropSwitch: &control.DropSwitch{ID: w.ID, Why: overdue(st, w)}}
		}
		if c == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(n.ctx, 2*time.Second)
		_, err := n.propose(ctx, c)
		cancel()
		if err != nil && n.ctx.Err() == nil {
			n.log.Debug("a change of owner does not go on yet", "id", w.ID, "err", err)
		}
	}
	return waiting
}

// overdue says where a change of owner got stuck.
func overdue(st *control.State, w control.Switch) string {
	from, _ := st.Member(w.From)
	to, _ := st.Member(w.To)
	if w.Failover {
		return fmt.Sprintf("%s did not take over in time", to.Name)
	}
	if w.Holding() {
		return fmt.Sprintf("nothing was heard of the stop hook at %s in time", from.Name)
	}
	if w.End == nil {
		return fmt.Sprintf("%s did not stop in time", from.Name)
	}
	return fmt.Sprintf("%s did not get all up to %d in time", to.Name, w.End.Seq)
}

func termStream(st *control.State, g origin.Group) origin.Stream { return st.Handed(g) }

// stopped is where our stream stands when nothing more is written to it, or,
// of a group that all write, nothing more is taken off its queues, and all up to
// there is durable.
func (n *Node) stopped(w control.Switch, s origin.Stream) (end origin.Position, ok bool) {
	n.mu.Lock()
	inForce := n.rules != nil && n.rules.stopped[w.Group] == w.ID
	n.mu.Unlock()
	if !inForce {
		return end, false
	}
	// The committer's turn: what it takes from now on it takes under the rules
	// that stop it.
	ctx, cancel := context.WithTimeout(n.ctx, 2*time.Second)
	defer cancel()
	_, at, err := n.eng.Floor(ctx, s)
	if err != nil {
		return end, false
	}
	// Where all write on, what is durable runs after what is sequenced for good.
	if n.acks.wait(ctx, func() bool { return n.j.Durable()[s].Seq >= at }) != nil {
		return end, false
	}
	end, known := n.j.Durable()[s]
	if !known {
		end.Hash = s.Genesis()
	}
	return end, true
}
