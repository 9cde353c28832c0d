package node

import (
	"time"

	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/vosio"
	"drmesh/vosio/path"
)

// rules is one control state as the file system asks it. It never changes.
type rules struct {
	t      *control.Tables
	index  uint64 // of the control state
	module string
	shares []*vosio.Share
	byName map[string]*vosio.Share
	// stopped are the owned groups that take no writes here, since their owner
	// is changing, and the switch's id.
	stopped map[origin.Group]string
}

// newRules joins a control state with what this module holds: a group that is
// not ready (its snapshot is still to come, or the module must take a new
// incarnation) has no stream to write under.
func (n *Node) newRules(st *control.State) *rules {
	self, module := n.dir.Number, n.dir.Module
	r := &rules{t: st.Tables(), index: st.Index, module: module, byName: map[string]*vosio.Share{}, stopped: map[origin.Group]string{}}
	numbers := leasedNumbers(st, self)
	for _, d := range r.t.Directories(module) {
		s := &vosio.Share{Name: d.Share.Name, Group: d.Share.GroupNumber, Root: string(d.Path), Policy: st.Epoch, Images: d.Share.Images}
		if d.Share.Durability == control.Interval {
			s.Interval = time.Duration(d.Share.IntervalMS) * time.Millisecond
		}
		at := n.stateOf(s.Group)
		s.Waiting, s.Partial = at != groupReady, at == groupEmpty
		if !s.Waiting && r.t.MayOriginate(s.Group, self) {
			s.Stream = ownStream(st, s.Group, self)
		}
		var leased func() bool
		var owned *control.Term
		if st.Owned(s.Group) {
			s.Images = true
			t, _ := st.Term(s.Group)
			beside := r.t.Supplements(s.Group, self)
			switch {
			case beside: // whoever the owner is
			case t.Owner != self:
				s.Owner = st.Tables().ModuleName(t.Owner)
			default:
				owned, leased = &t, func() bool { return n.leases.holds(t.Group, t.Epoch) }
			}
			if w, ok := st.Switching(s.Group); ok && !w.Holding() && !beside {
				r.stopped[s.Group] = w.ID
				s.Waiting, s.Changing = true, true
			}
		}
		s.Lease, s.Takes = leased, leased
		if st.Consumed(s.Group) {
			n.consumed(st, r, s)
		}
		if g := st.Tables().GroupRule(s.Group); g != nil {
			s.Acknowledge = n.acknowledger(owned, newScope(st.Tables(), s.Group, self), g.GoOn)
		}
		if s.Several = writtenBeside(st, s.Group, self); s.Several {
			s.Numbers = numbers
		}
		r.shares = append(r.shares, s)
		r.byName[s.Name] = s
	}
	return r
}

// writtenBeside tells whether another module may write a group at the same time
// as this one.
func writtenBeside(st *control.State, g origin.Group, self origin.Module) bool {
	t := st.Tables()
	for _, m := range t.Holders(g) {
		if m != self && t.MayOriginate(g, m) && (!st.Owned(g) || t.Supplements(g, m) || t.Supplements(g, self)) {
			return true
		}
	}
	return false
}

// consumed says who takes messages off the queues of a group that all write.
func (n *Node) consumed(st *control.State, r *rules, s *vosio.Share) {
	t, _ := st.Term(s.Group)
	if w, ok := st.Switching(s.Group); ok && !w.Holding() {
		r.stopped[s.Group] = w.ID
		if t.Owner == n.dir.Number {
			s.Takes = func() bool { return false }
		}
		return
	}
	if t.Owner != n.dir.Number {
		return
	}
	// A node that stops hands out no more: nobody would confirm it.
	s.Takes = func() bool { return n.ctx.Err() == nil && n.leases.holds(t.Group, t.Epoch) }
	g := st.Tables().GroupRule(s.Group)
	s.AcknowledgeTaken = n.acknowledger(&t, newScope(st.Tables(), s.Group, n.dir.Number), g.GoOn)
}

// ownStream is what a module writes a group under now; zero if nothing: the
// stream has an end, or control has given no incarnation.
func ownStream(st *control.State, g origin.Group, self origin.Module) origin.Stream {
	inc := st.Incarnation(g, self)
	if inc == 0 {
		return origin.Stream{}
	}
	s := origin.Stream{Group: g, Module: self, Incarnation: inc}
	if _, ended := st.End(s); ended {
		return origin.Stream{}
	}
	return s
}

// Locate implements vosio.Rules.
func (r *rules) Locate(full string) (*vosio.Share, string) {
	s, rel, ok := r.t.Locate(r.module, path.Full(full))
	if ok {
		return r.byName[s.Name], rel
	}
	// A directory below a share's root is the share's, also when no include
	// names it as a file.
	for _, s := range r.shares {
		if full == s.Root {
			return nil, full
		}
	}
	return nil, full
}

// Share implements vosio.Rules.
func (r *rules) Share(name string) *vosio.Share { return r.byName[name] }

// Shares implements vosio.Rules.
func (r *rules) Shares() []*vosio.Share { return r.shares }

// MayWrite implements vosio.Rules.
func (r *rules) MayWrite(s *vosio.Share, rel, process string) bool {
	return r.t.MayWrite(s.Name, rel, process)
}
