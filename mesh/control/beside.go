package control

import (
	"fmt"
	"slices"

	"drmesh/origin"
)

// A supplementary module writes a group beside its owner. What the owner writes
// comes in there, so that the module's own txns can follow it; what the module
// writes goes by its routes to others that cannot own the group, and never to
// one that can: an owner's line has nothing else in it. A module that writes so
// keeps to it for good in that group (Writing.Beside), and one that has owned
// the group does not begin to.

// Values of on_rollback.
const (
	RollbackFollow = "follow"
	RollbackStay   = "stay"
)

// EndBeside ends what a supplementary module writes before the first of its
// txns that follow what was lost with an owner. Whoever holds such a txn knows
// the place from it, so that all say the same; the first who is heard counts.
type EndBeside struct {
	End Place `msgpack:"e"`
}

func (g *GroupRule) supplements(name string) bool {
	return g.Mode == ModeOwned && matchAny(g.Supplementary, name)
}

// mayOwn reports whether the module called name could own the group.
func (g *GroupRule) mayOwn(name string) bool { return g.from(name) && !g.supplements(name) }

// besideOf is a module that has been supplementary in a group: what it wrote then
// never goes to one that may own the group, also when no route starts at the
// module any more.
type besideOf struct {
	group  string
	module origin.Module
}

func (s *State) besides() map[besideOf]bool {
	var l map[besideOf]bool
	for _, w := range s.Writings {
		if !w.Beside {
			continue
		}
		if l == nil {
			l = map[besideOf]bool{}
		}
		l[besideOf{s.GroupName(w.Group), w.Module}] = true
	}
	return l
}

// goes reports whether what the module from writes, or has written, in a group
// goes to another.
func (t *Tables) goes(g *GroupRule, from, to *Member) bool {
	if t.beside[besideOf{g.Name, from.Number}] && g.mayOwn(to.Name) {
		return false
	}
	return g.destination(from.Name, to.Name)
}

// MayOwn reports whether a module may be given an owned group: a route starts
// there, it is no leaf, and not supplementary.
func (t *Tables) MayOwn(g origin.Group, module origin.Module) bool {
	m := t.member(module)
	return t.MayOriginate(g, module) && m.Role != RoleLeaf && t.group(g).mayOwn(m.Name)
}

// Supplements reports whether a module writes an owned group beside its owner.
func (t *Tables) Supplements(g origin.Group, module origin.Module) bool {
	m := t.member(module)
	return t.MayOriginate(g, module) && t.group(g).supplements(m.Name)
}

// Donors lists the modules whose state of a group may be taken over by module:
// all that is in it goes there by the routes. What module writes itself counts
// as going there. A leaf is one only where there is no other.
func (t *Tables) Donors(g origin.Group, module origin.Module) []origin.Module {
	rule, to := t.group(g), t.member(module)
	if rule == nil || to == nil {
		return nil
	}
	var l, leaves []origin.Module
	for _, n := range t.Holders(g) {
		d := t.member(n)
		more := func(m Member) bool {
			return m.Role != RoleWitness && (m.Number == n || t.goes(rule, &m, d)) && m.Number != module && !t.goes(rule, &m, to)
		}
		switch {
		case n == module || slices.ContainsFunc(t.members, more):
		case d.Role == RoleLeaf:
			leaves = append(leaves, n)
		default:
			l = append(l, n)
		}
	}
	if len(l) == 0 {
		return leaves
	}
	return l
}

// Beside reports whether a stream is one of a supplementary module.
func (s *State) Beside(st origin.Stream) bool {
	w := Writing{Group: st.Group, Module: st.Module}
	i, ok := slices.BinarySearchFunc(s.Writings, w, Writing.compare)
	return ok && s.Writings[i].Beside
}

// besideProblem says what is wrong with who a table has beside the owner of a
// group, given who was what in it before; empty: nothing.
func (s *State) besideProblem(g *GroupRule) string {
	h, ok := s.Group(g.Name)
	if !ok {
		return ""
	}
	first, _ := slices.BinarySearchFunc(s.Writings, Writing{Group: h.Number}, Writing.compare)
	for _, w := range s.Writings[first:] {
		if w.Group != h.Number {
			break
		}
		m, _ := s.Member(w.Module)
		if !m.Standing() {
			continue
		}
		is := g.supplements(m.Name)
		owned := slices.ContainsFunc(s.Terms, func(t Term) bool { return t.Group == h.Number && t.Owner == w.Module })
		switch {
		case is && owned:
			return fmt.Sprintf("%s owns the group or has owned it: it cannot be supplementary", m.Name)
		case w.Beside && g.mayOwn(m.Name):
			return fmt.Sprintf("%s has been supplementary: it stays so, or no route starts there", m.Name)
		}
	}
	return ""
}

// beside notes of each module that may write a group whether it does so beside
// the owner.
func (s *State) beside() {
	cloned := false
	for i, w := range s.Writings {
		if w.Beside || !s.tables.Supplements(w.Group, w.Module) {
			continue
		}
		if !cloned {
			s.Writings, cloned = slices.Clone(s.Writings), true
		}
		s.Writings[i].Beside = true
	}
}

// endBeside ends a supplementary module's stream; it goes on under its next
// incarnation.
func (s *State) endBeside(c *EndBeside) error {
	st := c.End.Stream()
	object := "group " + s.GroupName(st.Group)
	if !s.Owned(st.Group) || !s.Beside(st) || len(c.End.Hash) != hashSize {
		return refuse(ErrMalformed, object, "%v is not what a supplementary module writes", st)
	}
	if end, ended := s.End(st); ended {
		if end != c.End.Position() {
			return refuse(ErrEnded, object, "the stream of %s ended at %d, not %d", s.memberName(st.Module), end.Seq, c.End.Seq)
		}
		return nil
	}
	if s.Incarnation(st.Group, st.Module) != st.Incarnation {
		return refuse(ErrMalformed, object, "%s does not write %v", s.memberName(st.Module), st)
	}
	s.setEnd(c.End)
	s.Writings = slices.Clone(s.Writings)
	for i := range s.Writings {
		if w := &s.Writings[i]; w.Group == st.Group && w.Module == st.Module {
			w.Incarnation = s.after(w.Incarnation)
		}
	}
	return nil
}

// BesideBase is how many txns a supplementary module's stream has before it:
// those of the module's earlier incarnations in the group. Operators count on
// from there.
func (s *State) BesideBase(st origin.Stream) (base uint64) {
	for _, end := range s.Ends {
		if x := end.Stream(); x.Group == st.Group && x.Module == st.Module && s.earlier(x.Incarnation, st.Incarnation) {
			base += uint64(end.Seq)
		}
	}
	return base
}

// earlier reports whether control gave one incarnation before another.
func (s *State) earlier(a, b origin.Incarnation) bool {
	l, m := uint32(a)>>numberBits, uint32(b)>>numberBits
	if l == m {
		return a < b
	}
	n := s.Numbers()
	return l == 0 || m != 0 && slices.Index(n, l) < slices.Index(n, m)
}
