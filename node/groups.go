package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/mesh/control"
	"drmesh/origin"
)

// A group is ready at a module when the module holds all of it up to some
// vector: it has been there from the group's beginning, or has taken over a
// snapshot. Until then its shares take no writes here, and no txn of it is
// pulled. The key "ng" group(4) says so on disk: one of these states.
const (
	groupReady  = 'r' // whole, and following the journals
	groupBehind = 'b' // whole up to its vector; what follows is gone from the neighbours' journals
	groupEmpty  = 'n' // not whole: nothing yet, or a snapshot came in part
)

// groupKey is where a group's state stands.
func groupKey(g origin.Group) []byte {
	return binary.BigEndian.AppendUint32([]byte{'n', 'g'}, uint32(g))
}

func (n *Node) loadGroups() error {
	it, err := n.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'n', 'g'}, UpperBound: []byte{'n', 'h'}})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		if k := it.Key(); len(k) == 6 {
			g := origin.Group(binary.BigEndian.Uint32(k[2:]))
			n.ready[g] = string(it.Value()) == "r"
			if !n.ready[g] {
				n.need[g] = "it was needed when this module stopped"
			}
		}
	}
	return it.Error()
}

func (n *Node) isReady(g origin.Group) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ready[g]
}

// whole reports whether no snapshot of the group is waited for here.
func (n *Node) whole(g origin.Group) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.need[g] == ""
}

// setGroup notes the state of a group.
func setGroup(b pebble.Writer, g origin.Group, state byte) error {
	return b.Set(groupKey(g), []byte{state}, pebble.Sync)
}

// groupState reads it; groupEmpty where there is none.
func groupState(r pebble.Reader, g origin.Group) (byte, error) {
	v, closer, err := r.Get(groupKey(g))
	if errors.Is(err, pebble.ErrNotFound) {
		return groupEmpty, nil
	}
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	if len(v) != 1 {
		return 0, fmt.Errorf("state of group %d: %d bytes", g, len(v))
	}
	return v[0], nil
}

// stateOf is groupState as the rules need it: a group of which nothing can be
// said counts as empty.
func (n *Node) stateOf(g origin.Group) byte {
	if n.isReady(g) {
		return groupReady
	}
	state, err := groupState(n.db, g)
	if err != nil {
		n.log.Error("the state of a group is not known", "group", n.ctl.state().GroupName(g), "err", err)
		return groupEmpty
	}
	return state
}

// needSnapshot says that a group's state must be taken from a neighbour.
func (n *Node) needSnapshot(g origin.Group, why string) {
	n.mu.Lock()
	had := n.need[g] != ""
	if !had {
		n.need[g] = why
		n.ready[g] = false
	}
	n.mu.Unlock()
	if !had {
		n.log.Warn("a snapshot is needed", "group", n.ctl.state().GroupName(g), "why", why)
		st, err := groupState(n.db, g)
		if err == nil && st == groupReady {
			err = setGroup(n.db, g, groupBehind)
		}
		if err != nil {
			n.log.Error("group state could not be kept", "err", err)
		}
		n.poke()
	}
}

// poke has the rules made anew.
func (n *Node) poke() {
	select {
	case n.reload <- struct{}{}:
	default:
	}
}

// setNotCurrent stops writes to a stream of ours that cannot be trusted to
// continue. It is kept on disk ("nc" stream) until the module has a new
// incarnation.
func (n *Node) setNotCurrent(s origin.Stream, why string) {
	n.mu.Lock()
	_, had := n.notCurrent[s]
	n.notCurrent[s] = why
	n.mu.Unlock()
	if had {
		return
	}
	if err := n.db.Set(notCurrentOf(s), []byte(why), pebble.Sync); err != nil {
		n.log.Error("a stop of writes could not be kept", "err", err)
	}
	n.alarm(notCurrentKey(n, s), why+"; shared files take no writes here until this module has a new incarnation")
	n.poke()
}

// notCurrentOf is where it is kept.
func notCurrentOf(s origin.Stream) []byte { return origin.AppendStream([]byte{'n', 'c'}, s) }

func notCurrentKey(n *Node, s origin.Stream) string {
	return "stream " + n.streamName(s) + " is not current"
}

func (n *Node) loadNotCurrent() error {
	it, err := n.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'n', 'c'}, UpperBound: []byte{'n', 'd'}})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		if k := it.Key(); len(k) == 2+origin.StreamSize {
			n.notCurrent[origin.DecodeStream(k[2:])] = string(it.Value())
		}
	}
	return it.Error()
}

// ownStreams lists what this module writes now, or would write.
func (n *Node) ownStreams() []origin.Stream {
	st := n.ctl.state()
	var l []origin.Stream
	for _, g := range st.Groups {
		if s := ownStream(st, g.Number, n.dir.Number); s.Incarnation != 0 && n.isReady(g.Number) {
			l = append(l, s)
		}
	}
	return l
}

func (n *Node) keepIdleHead(s origin.Stream, raw []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.idle) < origin.MaxStreams || n.idle[s] != nil {
		n.idle[s] = raw
	}
}

// idleHeads are the heads of streams that have no entry yet.
func (n *Node) idleHeads() map[origin.Stream][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := make(map[origin.Stream][]byte, len(n.idle))
	for s, b := range n.idle {
		m[s] = b
	}
	return m
}

// appliedEpoch is the policy epoch whose rules are in force in the file
// system.
func (n *Node) appliedEpoch() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rules == nil {
		return 0
	}
	return n.rules.t.Epoch
}

func (n *Node) setWants(st *control.State) {
	t := st.Tables()
	self := n.dir.Number
	off := st.Rules.Settings != nil && st.Rules.Settings.Disabled
	const key = "mirroring is off"
	if off {
		n.alarm(key, "the control tables say disable_drms: nothing is taken from other modules until they say 0; what is written waits")
	} else {
		n.clearAlarm(key)
	}
	fn := func(s origin.Stream) bool {
		if off {
			return false
		}
		end, ended := st.End(s)
		if ended && n.j.Tail(s).Seq >= end.Seq {
			return false // there is no more of it
		}
		if s.Module == self {
			// Nobody pulls what he writes; but what others have of a stream that
			// has ended, and a restored directory has not, comes like any other.
			return ended && n.isReady(s.Group)
		}
		return n.isReady(s.Group) && t.AppliesHere(s, self)
	}
	n.wants.Store(&fn)
}

// applyControl brings the module in line with a control state that follows
// old; nil at the start.
func (n *Node) applyControl(old, st *control.State, away bool) error {
	t := st.Tables()
	// Groups that are new here: whole from the beginning, or to be fetched.
	was := map[origin.Group]bool{}
	active := true
	if old != nil {
		n.partWith(old, st)
		for _, g := range old.Groups {
			was[g.Number] = true
		}
		m, ok := old.Member(n.dir.Number)
		active = ok && m.Status == control.Active
	}
	for _, g := range st.Groups {
		holds := false
		alone := true
		for _, h := range t.Holders(g.Number) {
			if h == n.dir.Number {
				holds = true
			} else {
				alone = false
			}
		}
		n.mu.Lock()
		_, known := n.ready[g.Number]
		n.mu.Unlock()
		if !holds || known {
			continue
		}
		me, _ := st.Member(n.dir.Number)
		fresh := alone || old != nil && !was[g.Number] && active
		if old == nil && me.Status == control.Active && len(n.j.Tails()) == 0 {
			fresh = true // a founder, or nothing was ever written
		}
		// A group that was routed away and comes back is as it was then: a
		// snapshot is put over it.
		state, err := groupState(n.db, g.Number)
		switch {
		case err != nil:
			return err
		case fresh:
			state = groupReady
		case state == groupReady:
			state = groupBehind
		}
		if err := setGroup(n.db, g.Number, state); err != nil {
			return err
		}
		n.mu.Lock()
		n.ready[g.Number] = fresh
		if !fresh {
			n.need[g.Number] = "this module joined, or a share was routed to it"
		}
		n.mu.Unlock()
	}
	if err := n.adoptInstance(st); err != nil {
		return err
	}
	n.setWants(st)
	r := n.newRules(st)
	n.lacksOwn.Store(false)
	for _, s := range r.shares {
		if why := n.unrenewed(st, s.Group); why != "" && s.Stream != (origin.Stream{}) {
			s.Stream, s.Stopped = origin.Stream{}, why
		}
	}
	if n.unproven.Load() {
		for _, s := range r.shares {
			s.Stream, s.Stopped = origin.Stream{}, unprovenKey+", and no neighbour has compared positions yet"
		}
	}
	for _, s := range r.shares {
		n.mu.Lock()
		if why, bad := n.notCurrent[s.Stream]; bad {
			s.Stream, s.Stopped = origin.Stream{}, why
		} else if n.awaitsProof(s.Stream) || away {
			s.Waiting = true
		}
		n.mu.Unlock()
		if err := n.eng.MakeDirs(n.ctx, s.Root); err != nil {
			return fmt.Errorf("make directory %s of share %s: %w", s.Root, s.Name, err)
		}
	}
	if err := n.eng.SetRules(r); err != nil {
		return err
	}
	n.mu.Lock()
	n.rules = r
	n.mu.Unlock()
	n.tellReplaced(st)
	n.nudgeOwner()
	n.heads.setControl(st.Index)
	n.applier.Retry()
	if n.mesh != nil {
		n.mesh.Refresh()
	}
	n.net.Recheck()
	return nil
}

// controlLoop follows the control state from cur on, which is in force; it
// ends with the node.
func (n *Node) controlLoop(cur *control.State) {
	defer n.wg.Done()
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for {
		ch := n.ctl.changed()
		away := n.away.Load() // before the state: when it is over, the state has what was brought
		if st := n.ctl.state(); st != cur {
			if err := n.applyControl(cur, st, away); err != nil && n.ctx.Err() == nil {
				n.alarm("control state is not in force", err.Error())
			} else {
				n.clearAlarm("control state is not in force")
			}
			cur = st
			n.reportDepartures(st)
			continue
		}
		select {
		case <-n.ctx.Done():
			return
		case <-ch:
		case answer := <-n.placeAsked:
			n.renewal.again = time.Time{}
			me, _ := cur.Member(n.dir.Number)
			answer <- n.askRenewal(me)
		case <-n.reload:
			away := n.away.Load()
			if n.ctl.state() != cur {
				continue // the newer one makes the rules anew
			}
			if err := n.applyControl(cur, cur, away); err != nil && n.ctx.Err() == nil {
				n.alarm("control state is not in force", err.Error())
			}
		case <-t.C:
			n.settleScopes()
			n.renew(cur)
			n.reportDepartures(cur)
			n.parted()
			n.lead()
			n.watchLeaves(cur)
			n.becomeActive(cur)
		}
	}
}

// partingTime is how long a module that has left is still heard: it waits to
// learn that its leave is agreed. Its streams have their ends by then. One that
// was removed is not heard any more.
const partingTime = 5 * time.Second

func (n *Node) partWith(old, st *control.State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range st.Members {
		if was, ok := old.Member(m.Number); ok && was.Standing() && m.Status == control.Left && m.Number != n.dir.Number {
			n.parting[m.Number] = time.Now().Add(partingTime)
		}
	}
}

func (n *Node) partingWith(m origin.Module) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Before(n.parting[m])
}

// parted ends the connections of those whose time is over.
func (n *Node) parted() {
	over := false
	n.mu.Lock()
	for m, until := range n.parting {
		if !time.Now().Before(until) {
			delete(n.parting, m)
			over = true
		}
	}
	n.mu.Unlock()
	if over {
		n.net.Recheck()
	}
}

// becomeActive tells control that a joiner has what it needs, and that one who
// was left behind has followed.
func (n *Node) becomeActive(st *control.State) {
	m, ok := st.Member(n.dir.Number)
	if !ok || m.Status != control.Joining && !m.Behind || n.fenced.Load() != nil {
		return
	}
	n.mu.Lock()
	waiting := len(n.need) > 0
	n.mu.Unlock()
	u := &control.Update{Module: n.dir.Number, Following: m.Behind, Serving: m.Status == control.Joining && !waiting}
	if !u.Following && !u.Serving {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
	defer cancel()
	_, err := n.propose(ctx, &control.Command{Kind: control.KindUpdate, Update: u})
	if err != nil && n.ctx.Err() == nil {
		n.log.Debug("not active yet", "err", err)
	}
}

// lead does the leader's duties: the raft group follows the control state.
func (n *Node) lead() {
	if n.raft == nil || !n.raft.IsLeader() {
		return
	}
	st := n.ctl.state()
	in, err := n.raft.Members()
	if err != nil {
		return
	}
	voter := map[origin.Module]bool{}
	there := map[origin.Module]bool{}
	for _, m := range in {
		there[m.Module], voter[m.Module] = true, m.Voter
	}
	ideal := map[origin.Module]bool{}
	for _, m := range st.IdealVoters() {
		ideal[m] = true
	}
	// As long as one who leaves or is out of the mesh has a vote, nobody else loses
	// his: the two of whom one is left with it might be we and one whom nobody
	// hears.
	leaving := slices.ContainsFunc(st.Members, func(m control.Member) bool { return m.Status != control.Active && voter[m.Number] })
	ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
	defer cancel()
	yes, no := true, false
	for _, m := range st.Members {
		var err error
		switch {
		case !m.Standing() && n.partingWith(m.Number):
		case !m.Standing() && there[m.Number] && m.Number != n.dir.Number:
			err = n.raft.Remove(ctx, m.Number)
		case !m.Standing(), m.Behind:
		case !there[m.Number]:
			err = n.raft.AddNonvoter(ctx, m.Number)
		case ideal[m.Number] && !voter[m.Number]:
			if err = n.raft.AddVoter(ctx, m.Number); err == nil && !m.Voter {
				_, err = n.propose(ctx, &control.Command{Kind: control.KindUpdate, Update: &control.Update{Module: m.Number, Voter: &yes}})
			}
		case ideal[m.Number] && voter[m.Number] && !m.Voter:
			_, err = n.propose(ctx, &control.Command{Kind: control.KindUpdate, Update: &control.Update{Module: m.Number, Voter: &yes}})
		case !ideal[m.Number] && voter[m.Number] && m.Number != n.dir.Number && (!leaving || m.Status != control.Active):
			if err = n.raft.Demote(ctx, m.Number); err == nil && m.Voter {
				_, err = n.propose(ctx, &control.Command{Kind: control.KindUpdate, Update: &control.Update{Module: m.Number, Voter: &no}})
			}
		}
		if err != nil && n.ctx.Err() == nil {
			n.log.Debug("control group does not follow yet", "module", m.Name, "err", err)
			return
		}
	}
}
