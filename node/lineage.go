package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// Control that has lost its majority for good goes on in another lineage, from
// what one module knew (recover.go). Modules of two lineages are kept apart:
// every stream between modules begins with the lineages of who opened it, and
// who accepts it goes on only with one of the same. So neither raft's log nor
// txns, nor questions of one come to the other; but both learn of each other.
// Who finds that the other's log went on from his own is fenced: he owns no
// group and decides nothing any more, until he follows, or for ever.

// fence is what a module keeps of the log that went on without it, in
// D/superseded.
type fence struct {
	Lineages []uint32      `json:"lineages"` // of that log
	Module   origin.Module `json:"module"`   // that told
	At       time.Time     `json:"at"`
}

// followMark, instead of the number of lineages, begins a question for the
// control state from one who may be of another lineage.
const followMark = 0xff

// greeting bounds how long a stream may take to say its lineages.
const greeting = 5 * time.Second

// greet says which log we follow, first thing on a stream.
func (n *Node) greet(s quicnet.Stream) error {
	b := []byte{byte(len(n.lineages))}
	for _, l := range n.lineages {
		b = binary.BigEndian.AppendUint32(b, l)
	}
	if _, err := s.Write(b); err != nil {
		s.Reset()
		return err
	}
	return nil
}

// greeted reads what the peer says on a stream that it opened; false: the
// stream is over.
func (n *Node) greeted(ctx context.Context, peer origin.Module, s quicnet.Stream) bool {
	s.SetReadDeadline(time.Now().Add(greeting))
	var one [1]byte
	if _, err := io.ReadFull(s, one[:]); err != nil {
		s.Reset()
		return false
	}
	if one[0] == followMark {
		n.serveFollow(ctx, peer, s)
		return false
	}
	b := make([]byte, 4*int(one[0]))
	if one[0] > control.MaxLineages {
		s.Reset()
		return false
	}
	if _, err := io.ReadFull(s, b); err != nil {
		s.Reset()
		return false
	}
	s.SetReadDeadline(time.Time{})
	theirs := make([]uint32, 0, one[0])
	for ; len(b) > 0; b = b[4:] {
		l := binary.BigEndian.Uint32(b)
		if l < control.MinLineage || l > control.MaxLineage {
			s.Reset()
			return false
		}
		theirs = append(theirs, l)
	}
	if n.met(peer, theirs) != control.Same {
		s.Reset()
		return false
	}
	return true
}

// kinded is the network with streams that are of our lineage.
type kinded struct{ n *Node }

func (w kinded) Open(ctx context.Context, m origin.Module, k quicnet.Kind) (net.Conn, error) {
	s, err := w.n.net.Open(ctx, m, k)
	if err != nil {
		return nil, err
	}
	return s, w.n.greet(s)
}

func (w kinded) Pairs(m origin.Module) []quicnet.Path { return w.n.net.Pairs(m) }

func (w kinded) OpenPath(ctx context.Context, m origin.Module, p quicnet.Path, k quicnet.Kind) (net.Conn, error) {
	s, err := w.n.net.OpenPath(ctx, m, p, k)
	if err != nil {
		return nil, err
	}
	return s, w.n.greet(s)
}

func (w kinded) Handle(k quicnet.Kind, fn func(context.Context, origin.Module, net.Conn)) {
	w.n.net.Handle(k, func(ctx context.Context, m origin.Module, s quicnet.Stream) {
		if w.n.greeted(ctx, m, s) {
			fn(ctx, m, s)
		}
	})
}

func (w kinded) RTT(m origin.Module) time.Duration { return w.n.net.PeerStats(m).RTT }

// met notes how a peer's control log stands to ours.
func (n *Node) met(peer origin.Module, theirs []uint32) control.Relation {
	r := control.Relate(n.lineages, theirs)
	n.mu.Lock()
	was := n.others[peer]
	if r == control.Same {
		delete(n.others, peer)
	} else {
		n.others[peer] = r
	}
	n.mu.Unlock()
	if r == was {
		return r
	}
	key := "module " + n.moduleName(peer) + " follows another lineage of control"
	switch r {
	case control.Same:
		n.clearAlarm(key)
	case control.Older:
		n.alarm(key, "it went on from before control was recovered, and nothing passes between it and this module: \"drmesh control follow\" there takes it along")
	case control.Parted:
		n.alarm(key, fmt.Sprintf("control was recovered on both sides, and nothing passes between them: one has to give its own up, with \"drmesh control follow %s\" here or the like there", n.moduleName(peer)))
	case control.Newer:
		n.fenceOff(&fence{Lineages: theirs, Module: peer, At: time.Now().UTC()})
	}
	return r
}

const fencedKey = "control went on without this module"

// fenceOff stops this module from owning and deciding anything.
func (n *Node) fenceOff(f *fence) {
	b, err := json.Marshal(f)
	if err == nil {
		err = writeFile(n.dir.file("superseded"), b)
	}
	if err != nil {
		n.log.Error("it could not be kept that control went on without this module", "err", err)
	}
	n.fenced.Store(f)
	n.leases.drop()
	n.sayFenced(f)
	select {
	case n.newer <- struct{}{}:
	default:
	}
}

func (n *Node) sayFenced(f *fence) {
	n.alarm(fencedKey, fmt.Sprintf("%s follows the lineage %x, which went on from this module's without it: it owns no group and changes no tables; see \"drmesh control follow --dry-run\"",
		n.moduleName(f.Module), f.Lineages[len(f.Lineages)-1]))
}

// loadFence finds out at the start whether control went on without this module.
func (n *Node) loadFence() error {
	b, err := os.ReadFile(n.dir.file("superseded"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	f := new(fence)
	if err == nil {
		err = json.Unmarshal(b, f)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", n.dir.file("superseded"), err)
	}
	if control.Relate(n.lineages, f.Lineages) != control.Newer {
		return os.Remove(n.dir.file("superseded")) // it has followed
	}
	n.fenced.Store(f)
	n.sayFenced(f)
	n.newer <- struct{}{}
	return nil
}

// superseded is the error of who would decide something and may not; nil: he
// may.
func (n *Node) superseded() error {
	f := n.fenced.Load()
	if f == nil {
		return nil
	}
	return failure(admin.Precondition, "superseded", "\"drmesh control follow --dry-run\" says what it takes to go on with the others",
		"control went on without %s: %s follows the lineage %x", n.dir.Module, n.moduleName(f.Module), f.Lineages[len(f.Lineages)-1])
}

// serveFollow gives the control state to a member that may be of another
// lineage.
func (n *Node) serveFollow(ctx context.Context, peer origin.Module, s quicnet.Stream) {
	defer s.Close()
	st := n.ctl.state()
	if m, ok := st.Member(peer); !ok || !m.Standing() {
		s.Reset()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case n.giving <- struct{}{}:
		defer func() { <-n.giving }()
	case <-ctx.Done():
		s.Reset()
		return
	}
	b, err := st.Snapshot()
	if err != nil {
		s.Reset()
		return
	}
	s.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := s.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b)))); err != nil {
		return
	}
	s.Write(b)
}

// fetchState asks a member, whatever its lineage, for its control state.
func (n *Node) fetchState(ctx context.Context, peer origin.Module) (*control.State, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	s, err := n.net.Open(ctx, peer, quicnet.RPC)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.Reset)()
	if _, err := s.Write([]byte{followMark}); err != nil {
		return nil, nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return nil, nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > control.MaxSnapshot {
		return nil, nil, fmt.Errorf("a control state of %d bytes", size)
	}
	b, err := io.ReadAll(io.LimitReader(s, int64(size)))
	if err == nil && uint32(len(b)) != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, nil, err
	}
	st, err := control.Restore(b)
	if err == nil && st.Mesh != n.dir.MeshID {
		err = fmt.Errorf("a control state of mesh %s", st.Mesh)
	}
	return st, b, err
}

// newerLoop follows by itself where that was agreed: control was recovered
// while this module was in reach. It ends with the node.
func (n *Node) newerLoop() {
	defer n.wg.Done()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.newer:
		case <-wait.C:
		}
		if n.fenced.Load() == nil {
			continue
		}
		done, err := n.followInvited()
		switch {
		case done:
			return
		case err != nil && n.ctx.Err() == nil:
			n.log.Warn("the lineage of control that went on is not followed yet", "err", err)
		}
		wait.Reset(5 * time.Second)
	}
}

// followInvited follows if this module was to come along and loses nothing.
func (n *Node) followInvited() (done bool, err error) {
	plan, state, err := n.followPlan(n.ctx, "")
	if err != nil || !plan.Invited || plan.Loss || plan.First(admin.Fail) != nil {
		return false, err
	}
	n.log.Warn("this module follows the lineage of control that went on", "lineage", plan.Lineage)
	return true, n.follow(state)
}

// followPlan says what it takes to follow the log that went on, or that of a
// module that is named, and gives its state.
func (n *Node) followPlan(ctx context.Context, module string) (*admin.ControlRecovery, []byte, error) {
	ours := n.ctl.state()
	var ask []origin.Module
	if m, ok := ours.Named(module); ok {
		ask = append(ask, m.Number)
	} else if module != "" {
		return nil, nil, failure(admin.NotFound, "no_module", "\"drmesh module ls\" lists them", "no member is called %s", module)
	} else if f := n.fenced.Load(); f != nil {
		ask = append(ask, f.Module)
		n.mu.Lock()
		for m, r := range n.others {
			if r == control.Newer && m != f.Module {
				ask = append(ask, m)
			}
		}
		n.mu.Unlock()
		slices.Sort(ask[1:])
	} else {
		return nil, nil, failure(admin.Precondition, "nothing_to_follow", "where control was recovered on both sides, name a module of the other one", "%s has heard of no lineage of control that went on without it", n.dir.Module)
	}
	var theirs *control.State
	var b []byte
	var err error
	at := ask[0]
	for _, at = range ask {
		if theirs, b, err = n.fetchState(ctx, at); err == nil {
			break
		}
	}
	if err != nil {
		return nil, nil, failure(admin.Unreachable, "lineage_unreachable", "bring it into reach", "%s cannot be asked for its control state: %v", n.moduleName(at), err)
	}
	relation := control.Relate(ours.Numbers(), theirs.Numbers())
	if relation != control.Newer && relation != control.Parted {
		return nil, nil, failure(admin.Precondition, "nothing_to_follow", "", "%s does not go on from where this module stands", n.moduleName(at))
	}
	common := 0
	for common < len(ours.Lineages) && common < len(theirs.Lineages) && ours.Lineages[common].Number == theirs.Lineages[common].Number {
		common++
	}
	if common == len(theirs.Lineages) {
		return nil, nil, failure(admin.Precondition, "nothing_to_follow", "", "%s does not go on from where this module stands", n.moduleName(at))
	}
	next := theirs.Lineages[common]
	out := &admin.ControlRecovery{Module: n.dir.Module, Lineage: fmt.Sprintf("%x", theirs.Lineage()), Began: n.moduleName(next.Module), By: next.By, At: time.UnixMilli(next.At).UTC(),
		Level: admin.Pass, Invited: relation == control.Newer && slices.Contains(next.With, n.dir.Number)}
	add := out.Add
	add(admin.Pass, "lineage", "", "control went on at %s in the lineage %x, by %s", out.Began, next.Number, next.By)
	if m, ok := theirs.Member(n.dir.Number); !ok || !m.Standing() || m.Name != n.dir.Module {
		add(admin.Fail, "member", "join again with another directory", "%s is no member there any more", n.dir.Module)
	}
	known := next.Index
	if common < len(ours.Lineages) {
		known = min(known, ours.Lineages[common].Index)
	}
	if ours.Index > known {
		out.Loss = true
		add(admin.Warn, "control", "look at \"drmesh control history\" and \"drmesh module ls\" here first", "what control decided here after index %d, up to %d, is given up: tables, members, owners", known, ours.Index)
	} else {
		add(admin.Pass, "control", "", "all that control decided here is known there")
	}
	for _, e := range n.j.Tails().Sorted() {
		s, p := e.Stream, e.Position
		if s.Group == 0 || p.Seq == 0 {
			continue
		}
		end, ended := theirs.End(s)
		_, term := theirs.TermOf(s)
		switch {
		case !ended && theirs.Incarnation(s.Group, s.Module) != s.Incarnation, ended && p.Seq > end.Seq && !(theirs.Owned(s.Group) && (term || theirs.Beside(s))):
			add(admin.Fail, "streams", "keep this directory for what is in it, and join again with another", "%d txns of %s were made under what control decided here alone", p.Seq, n.streamName(s))
		case ended && p.Seq > end.Seq:
			out.Loss = true
			add(admin.Warn, "streams", "they are put into a lost-transaction file: \"drmesh lost ls\" afterwards", "%d txns of %s lie beyond its end at %d, and are undone here", p.Seq-end.Seq, n.streamName(s), end.Seq)
		}
	}
	return out, b, nil
}

// follow has the node begin anew with another's control state.
func (n *Node) follow(state []byte) error {
	if err := writeFile(n.dir.file("follow"), state); err != nil {
		return err
	}
	n.restartSoon()
	return nil
}

// takeFollow puts the control state of the lineage that is to be followed in
// place of ours, which stays beside it, as does raft's directory. A crash at
// any step leaves what the next start carries on.
func (d *dir) takeFollow() error {
	b, err := os.ReadFile(d.file("follow"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	st, err := control.Restore(b)
	if err != nil {
		return fmt.Errorf("read %s: %w", d.file("follow"), err)
	}
	before := fmt.Sprintf(".before-%x", st.Lineage())
	if _, err := os.Stat(d.file("raft" + before)); errors.Is(err, os.ErrNotExist) {
		if err := os.Rename(d.file("raft"), d.file("raft"+before)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		old, err := os.ReadFile(d.file("control"))
		if err == nil {
			err = writeFile(d.file("control"+before), old)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := writeFile(d.file("control"), b); err != nil {
		return err
	}
	if err := os.Remove(d.file("follow")); err != nil {
		return err
	}
	return syncDir(d.path)
}

// syncDir makes renames and removals in a directory durable.
func syncDir(path string) error {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// restartSoon has the node served anew, when the answer to who asked for it is
// on its way.
func (n *Node) restartSoon() {
	n.again.Do(func() {
		n.wg.Go(func() {
			select {
			case <-time.After(200 * time.Millisecond):
			case <-n.ctx.Done():
			}
			close(n.restart)
		})
	})
}

// newLineage is a random number of a lineage that was not there before.
func newLineage(known []uint32) uint32 {
	for {
		var b [4]byte
		rand.Read(b[:])
		if l := binary.BigEndian.Uint32(b[:]) & control.MaxLineage; l >= control.MinLineage && !slices.Contains(known, l) {
			return l
		}
	}
}
