package control

import (
	"cmp"
	"fmt"
	"slices"

	"drmesh/origin"
)

// Term is one owner's time in an owned group: the epoch, and the stream that
// the group is written under meanwhile. (Of a group that all write and whose
// queues have an owner: see Consumed.) Operators count the group's txns
// through all terms: Base is how many there were before this one, so that the
// txn at seq has the number Base + seq.
type Term struct {
	Group       origin.Group       `msgpack:"g" json:"group"`
	Epoch       uint64             `msgpack:"e" json:"epoch"`
	Owner       origin.Module      `msgpack:"o" json:"owner"`
	Incarnation origin.Incarnation `msgpack:"i" json:"incarnation"`
	Base        uint64             `msgpack:"b" json:"base"`
	Since       int64              `msgpack:"t" json:"since"` // unix ms
	// Stay says of a term that ended that what supplementary modules wrote after
	// what it lost stays where it is.
	Stay bool `msgpack:"y,omitempty" json:"stay,omitempty"`
}

// Stream is what the group is written under in this term.
func (t Term) Stream() origin.Stream {
	return origin.Stream{Group: t.Group, Module: t.Owner, Incarnation: t.Incarnation}
}

// Switch is a change of owner under way. While it stands the owner takes no
// writes. It goes through these states, and is dropped from any but the last:
//
//	held     where the group has a stop hook: the owner runs it, and writes on
//	begun    the owner stops, and says where its stream stands: sealed
//	sealed   the new owner fetches what it lacks, and ends it
//	ended    the new owner's term has begun; a Receipt remains
//
// In a failover the owner is not there to stop. Its term gets no leases from
// the beginning on; when the last has run out, the new owner, which has fetched
// what the members in reach hold, says where the stream ends.
type Switch struct {
	ID     string        `msgpack:"i" json:"id"`
	Group  origin.Group  `msgpack:"g" json:"group"`
	Epoch  uint64        `msgpack:"e" json:"epoch"` // the one that is to end
	From   origin.Module `msgpack:"f" json:"from"`
	To     origin.Module `msgpack:"t" json:"to"`
	By     string        `msgpack:"b" json:"by"`
	Begun  int64         `msgpack:"a" json:"begun"` // unix ms, as the next
	Sealed int64         `msgpack:"s" json:"sealed"`
	Until  int64         `msgpack:"u" json:"until"` // dropped if it has not ended by then
	End    *Place        `msgpack:"p" json:"end"`   // set when sealed

	Failover bool `msgpack:"o,omitempty" json:"failover"`
	// Quiet is for how long before it began no lease had been given, in ms.
	Quiet int64 `msgpack:"q,omitempty" json:"quiet,omitempty"`

	// Lineage is the control log that decided it.
	Lineage uint32 `msgpack:"l,omitempty" json:"lineage,omitempty"`

	// Hooks are those that were due so far, and what became of them; Froze is
	// when the owner was to stop, if that was after a hook, in unix ms.
	Hooks []HookRun `msgpack:"h,omitempty" json:"hooks,omitempty"`
	Froze int64     `msgpack:"z,omitempty" json:"froze,omitempty"`
}

// Receipt says what became of a switch.
type Receipt struct {
	Switch
	Ended  int64  `msgpack:"x" json:"ended"`  // unix ms
	Number uint64 `msgpack:"n" json:"number"` // of the last txn before it
	Failed string `msgpack:"w" json:"failed"` // why it was dropped; empty: it came to its end
}

const (
	maxReceipts = 64
	maxTerms    = 4096 // of all groups; the oldest go
)

// Term is the present one of an owned group; ok is false for a group that has
// no owner.
func (s *State) Term(g origin.Group) (t Term, ok bool) {
	for _, u := range s.Terms {
		if u.Group == g && u.Epoch >= t.Epoch {
			t, ok = u, true
		}
	}
	return t, ok
}

// TermOf is the term that a stream was written in; ok is false if none is
// known.
func (s *State) TermOf(st origin.Stream) (Term, bool) {
	i := slices.IndexFunc(s.Terms, func(t Term) bool { return t.Stream() == st })
	if i < 0 {
		return Term{}, false
	}
	return s.Terms[i], true
}

// Owned reports whether one module at a time writes the group.
func (s *State) Owned(g origin.Group) bool {
	i := s.group(g)
	return i >= 0 && s.Groups[i].Mode == ModeOwned
}

// Consumed reports whether one module at a time takes messages off the queues
// of a group that all write: an active one whose tables name an owner. It has
// terms like an owned group, but they end no stream, since their owner writes
// on.
func (s *State) Consumed(g origin.Group) bool {
	if s.Owned(g) || s.tables == nil {
		return false
	}
	rule := s.tables.group(g)
	_, has := s.Term(g)
	return has && rule != nil && rule.Owner != ""
}

// Handed is the stream that tells how far an owner's term has come, and that who
// follows must hold: the term's, or, of a group that all write, what its owner
// writes now.
func (s *State) Handed(g origin.Group) origin.Stream {
	t, ok := s.Term(g)
	if ok && !s.Owned(g) {
		return origin.Stream{Group: g, Module: t.Owner, Incarnation: s.Incarnation(g, t.Owner)}
	}
	return t.Stream()
}

// Switching finds the change of owner of a group that is under way.
func (s *State) Switching(g origin.Group) (Switch, bool) {
	i := slices.IndexFunc(s.Switches, func(w Switch) bool { return w.Group == g })
	if i < 0 {
		return Switch{}, false
	}
	return s.Switches[i], true
}

func (s *State) switchNamed(id string) (int, error) {
	i := slices.IndexFunc(s.Switches, func(w Switch) bool { return w.ID == id })
	if i < 0 {
		for _, r := range s.Receipts {
			if r.ID == id {
				return 0, refuse(ErrSwitchOver, "switch "+id, "it ended%s", failedText(r.Failed))
			}
		}
		return 0, refuse(ErrSwitchOver, "switch "+clipText(id), "there is none")
	}
	return i, nil
}

func failedText(why string) string {
	if why == "" {
		return " as it should"
	}
	return ": " + why
}

// beginSwitch stops the owner of a group.
func (s *State) beginSwitch(c *BeginSwitch, at int64) error {
	g, ok := s.Group(c.Group)
	if !ok || g.Mode != ModeOwned && !s.Consumed(g.Number) {
		return refuse(ErrNotOwned, "group "+clipText(c.Group), "it has no owner that could change")
	}
	t, ok := s.Term(g.Number)
	if !ok || t.Epoch != c.Epoch {
		return refuse(ErrTermMoved, "group "+g.Name, "epoch %d has begun, not %d", t.Epoch, c.Epoch)
	}
	if w, ok := s.Switching(g.Number); ok {
		return refuse(ErrSwitching, "group "+g.Name, "%s began one to %s", w.By, s.memberName(w.To))
	}
	to, ok := s.Member(c.To)
	if !ok || to.Status != Active {
		return refuse(ErrNoMember, fmt.Sprintf("module %d", c.To), "the new owner is no active member")
	}
	if to.Behind {
		return refuse(ErrLineage, to.Name, "control went on without it, and it has not followed yet")
	}
	if c.To == t.Owner {
		return refuse(ErrSwitching, "group "+g.Name, "%s owns it already", to.Name)
	}
	if !s.tables.MayOwn(g.Number, c.To) || s.Incarnation(g.Number, c.To) == 0 {
		return refuse(ErrNotOwned, "group "+g.Name, "no route starts at %s, or it is supplementary", to.Name)
	}
	if c.ID == "" || max(len(c.ID), len(c.By)) > maxText || s.known(c.ID) {
		return refuse(ErrMalformed, "switch", "it needs an id of its own")
	}
	w := Switch{ID: c.ID, Group: g.Number, Epoch: t.Epoch, From: t.Owner, To: c.To, By: c.By, Begun: at, Until: c.Until, Failover: c.Failover, Quiet: c.Quiet, Lineage: s.Lineage()}
	if !c.Failover {
		w.Hooks = s.due(nil, g.Number, HookStop, t.Owner)
		w.Until += w.limit()
	}
	s.Switches = append(slices.Clone(s.Switches), w)
	slices.SortFunc(s.Switches, func(a, b Switch) int { return cmp.Compare(a.Group, b.Group) })
	return nil
}

func (s *State) known(id string) bool {
	return slices.ContainsFunc(s.Switches, func(w Switch) bool { return w.ID == id }) ||
		slices.ContainsFunc(s.Receipts, func(r Receipt) bool { return r.ID == id })
}

func (s *State) memberName(n origin.Module) string {
	m, ok := s.Member(n)
	if !ok {
		return fmt.Sprintf("module %d", n)
	}
	return m.Name
}

// seal notes where the owner stopped. It writes no more until the switch is
// dropped.
func (s *State) seal(c *Seal, at int64) error {
	i, err := s.switchNamed(c.ID)
	if err != nil {
		return err
	}
	w := s.Switches[i]
	if w.Failover {
		return refuse(ErrSwitching, "switch "+w.ID, "it is a failover: %s says where the stream ends", s.memberName(w.To))
	}
	if w.Holding() {
		return refuse(ErrSwitching, "switch "+w.ID, "the stop hook at %s has not ended", s.memberName(w.From))
	}
	if err := s.ending(w, &c.End); err != nil {
		return err
	}
	if w.End != nil {
		if w.End.beyond(c.End) || c.End.beyond(*w.End) {
			return refuse(ErrSwitching, "switch "+w.ID, "it was sealed at %d, not %d", w.End.Seq, c.End.Seq)
		}
		return nil
	}
	end := c.End
	w.End, w.Sealed = &end, at
	s.Switches = slices.Clone(s.Switches)
	s.Switches[i] = w
	return nil
}

// ending checks that a place is one of the stream that a switch is to end.
func (s *State) ending(w Switch, p *Place) error {
	if p.Stream() != s.Handed(w.Group) || len(p.Hash) != hashSize {
		return refuse(ErrMalformed, "switch "+w.ID, "%v is not the stream that is to end", p.Stream())
	}
	return nil
}

// endSwitch ends the old owner's stream and begins the new owner's term. The
// old owner's next writing of the group, if there is one, has another
// incarnation: a stream with an end never goes on.
func (s *State) endSwitch(c *EndSwitch, at int64) error {
	i, err := s.switchNamed(c.ID)
	if err != nil {
		return err
	}
	w := s.Switches[i]
	if w.Failover {
		if c.End == nil {
			return refuse(ErrMalformed, "switch "+w.ID, "a failover needs the place where the stream ends")
		}
		if err := s.ending(w, c.End); err != nil {
			return err
		}
		end := *c.End
		w.End, w.Sealed = &end, at
	}
	if w.End == nil {
		return refuse(ErrSwitching, "switch "+w.ID, "%s has not sealed its stream", s.memberName(w.From))
	}
	if to, ok := s.Member(w.To); !ok || to.Status != Active {
		return refuse(ErrNoMember, s.memberName(w.To), "the new owner is no active member")
	}
	t, _ := s.Term(w.Group)
	s.Switches = slices.Delete(slices.Clone(s.Switches), i, i+1)
	next := Term{Group: w.Group, Epoch: t.Epoch + 1, Owner: w.To, Incarnation: s.Incarnation(w.Group, w.To), Since: at}
	number := uint64(w.End.Seq)
	if s.Owned(w.Group) {
		s.setEnd(*w.End)
		s.Writings = slices.Clone(s.Writings)
		for j := range s.Writings {
			if v := &s.Writings[j]; v.Group == w.Group && v.Module == w.From {
				v.Incarnation = s.after(v.Incarnation)
			}
		}
		next.Base = t.Base + uint64(w.End.Seq)
		number = next.Base
	}
	s.Terms = append(slices.Clone(s.Terms), next)
	if rule := s.tables.group(w.Group); rule != nil && rule.Stay {
		i := slices.IndexFunc(s.Terms, func(u Term) bool { return u.Group == t.Group && u.Epoch == t.Epoch })
		s.Terms[i].Stay = true
	}
	if n := len(s.Terms) - maxTerms; n > 0 {
		s.dropTerms(n)
	}
	w.Hooks = s.closing(w, true)
	s.receipt(Receipt{Switch: w, Ended: at, Number: number})
	return nil
}

// dropTerms lets the oldest go that are not the present one of their group.
func (s *State) dropTerms(n int) {
	s.Terms = slices.DeleteFunc(s.Terms, func(t Term) bool {
		if now, _ := s.Term(t.Group); n == 0 || now.Epoch == t.Epoch {
			return false
		}
		n--
		return true
	})
}

func (s *State) dropSwitch(c *DropSwitch, at int64) error {
	i, err := s.switchNamed(c.ID)
	if err != nil {
		return err
	}
	if c.Why == "" || len(c.Why) > maxAddress {
		return refuse(ErrMalformed, "switch "+c.ID, "it must be said why it is dropped")
	}
	w := s.Switches[i]
	s.Switches = slices.Delete(slices.Clone(s.Switches), i, i+1)
	w.Hooks = s.closing(w, false)
	s.receipt(Receipt{Switch: w, Ended: at, Failed: c.Why})
	return nil
}

func (s *State) receipt(r Receipt) {
	s.Receipts = append(slices.Clone(s.Receipts), r)
	if n := len(s.Receipts) - maxReceipts; n > 0 {
		s.Receipts = slices.Delete(s.Receipts, 0, n)
	}
}

// setEnd records where a stream ended.
func (s *State) setEnd(end Place) {
	s.Ends = slices.Clone(s.Ends)
	i, _ := slices.BinarySearchFunc(s.Ends, end.Stream(), func(p Place, st origin.Stream) int { return p.Stream().Compare(st) })
	s.Ends = slices.Insert(s.Ends, i, end)
}

// found gives each group that has an owner and no term its first.
func (s *State) found(at int64) {
	for _, g := range s.Groups {
		if rule := s.tables.group(g.Number); g.Mode != ModeOwned && (rule == nil || rule.Owner == "") {
			continue
		}
		if _, has := s.Term(g.Number); has {
			continue
		}
		owner := s.tables.FirstOwner(g.Number)
		inc := s.Incarnation(g.Number, owner)
		if inc == 0 {
			continue
		}
		s.Terms = append(slices.Clone(s.Terms), Term{Group: g.Number, Epoch: 1, Owner: owner, Incarnation: inc, Since: at})
	}
}

// owns names a group that the module owns; empty: none.
func (s *State) owns(m origin.Module) string {
	for _, g := range s.Groups {
		if t, ok := s.Term(g.Number); ok && t.Owner == m && (g.Mode == ModeOwned || s.Consumed(g.Number)) && s.tables.group(g.Number) != nil {
			return g.Name
		}
	}
	return ""
}
