package control

import (
	"cmp"
	"fmt"
	"slices"

	"drmesh/origin"
)

// Lineage is a control log that was begun anew without a majority of the voters
// of the one before, from what one module knew. Who is not there to hear of it
// may go on with the old one; the two are told apart by the random number, which
// all numbers carry that control gives out from then on: so nothing that either
// side named by itself is taken for something of the other's. The first log of a
// mesh has no number, and no Lineage.
type Lineage struct {
	Number uint32          `msgpack:"n" json:"number"`
	Module origin.Module   `msgpack:"m" json:"module"` // where it began
	By     string          `msgpack:"b" json:"by"`
	At     int64           `msgpack:"t" json:"at"`    // unix ms
	Index  uint64          `msgpack:"x" json:"index"` // it goes on from what was known up to there
	With   []origin.Module `msgpack:"w" json:"with"`  // who was in reach, and follows by itself
}

const (
	lineageBits = 20 // the upper ones of a number of 32; below, numbers count from 1
	numberBits  = 32 - lineageBits
	// epochStep is what policy epochs go up to the next multiple of: what the
	// other side still applies stays below.
	epochStep = 10000
)

// MinLineage and MaxLineage bound the number of a lineage, and MaxLineages how
// many a mesh may have gone through.
const (
	MinLineage  = 16
	MaxLineage  = 1<<lineageBits - 1
	MaxLineages = 64
)

// Lineage is the number of the control log; 0: the mesh's first.
func (s *State) Lineage() uint32 {
	if n := len(s.Lineages); n > 0 {
		return s.Lineages[n-1].Number
	}
	return 0
}

// Numbers are the lineages from the first on, which tell how two states stand
// to each other.
func (s *State) Numbers() []uint32 {
	l := make([]uint32, len(s.Lineages))
	for i, x := range s.Lineages {
		l[i] = x.Number
	}
	return l
}

// Relation is how the control log of another stands to ours.
type Relation int

const (
	Same   Relation = iota // one log
	Older                  // ours went on from theirs without them
	Newer                  // theirs went on from ours without us
	Parted                 // both went on by themselves
)

// Relate compares two lists of lineages.
func Relate(ours, theirs []uint32) Relation {
	n := min(len(ours), len(theirs))
	switch {
	case !slices.Equal(ours[:n], theirs[:n]):
		return Parted
	case len(ours) > n:
		return Older
	case len(theirs) > n:
		return Newer
	}
	return Same
}

// first is where incarnations of the present lineage begin.
func (s *State) first() uint32 { return s.Lineage()<<numberBits | 1 }

// after is the incarnation that follows one.
func (s *State) after(i origin.Incarnation) origin.Incarnation {
	if uint32(i)>>numberBits == s.Lineage() {
		return i + 1
	}
	return origin.Incarnation(s.first())
}

// recover begins a lineage. Its first module alone votes; the others take part
// when they have said that they follow.
func (s *State) recover(c *Recover, at int64) error {
	m, ok := s.Member(c.Module)
	if !ok || m.Status != Active || m.Role == RoleLeaf {
		return refuse(ErrNoMember, fmt.Sprintf("module %d", c.Module), "no member that could vote")
	}
	if c.Parent != s.Lineage() {
		return refuse(ErrLineage, m.Name, "it was to follow the lineage %x, %x stands", c.Parent, s.Lineage())
	}
	if c.Lineage < MinLineage || c.Lineage > MaxLineage || slices.Contains(s.Numbers(), c.Lineage) || len(c.By) > maxText || len(c.With) > MaxMembers {
		return refuse(ErrMalformed, m.Name, "the lineage %x is out of bounds, or was there before", c.Lineage)
	}
	if len(s.Lineages) >= MaxLineages {
		return refuse(ErrTooMany, m.Name, "%d lineages are allowed", MaxLineages)
	}
	with := slices.Clone(c.With)
	slices.Sort(with)
	s.Lineages = append(slices.Clone(s.Lineages), Lineage{Number: c.Lineage, Module: c.Module, By: c.By, At: at, Index: c.Known, With: slices.Compact(with)})
	s.Members = slices.Clone(s.Members)
	for i := range s.Members {
		if x := &s.Members[i]; x.Standing() {
			x.Voter, x.Behind = x.Number == c.Module, x.Number != c.Module
		}
	}
	for len(s.Switches) > 0 {
		if err := s.dropSwitch(&DropSwitch{ID: s.Switches[0].ID, Why: "control was recovered"}, at); err != nil {
			return err
		}
	}
	// The lower bits count on: who goes by them alone finds no module's twice.
	const low = 1<<numberBits - 1
	s.NextModule, s.NextGroup = s.NextModule&low|c.Lineage<<numberBits, s.NextGroup&low|c.Lineage<<numberBits
	s.endUnowned()
	if n := len(s.History); n > 0 {
		s.Epoch = (s.Epoch/epochStep + 1) * epochStep
		t := s.History[n-1]
		t.Epoch, t.At, t.By = s.Epoch, at, c.By
		s.History = append(slices.Clone(s.History), t)
		if n := len(s.History) - MaxHistory; n > 0 {
			s.History = slices.Delete(s.History, 0, n)
		}
	}
	return nil
}

// endUnowned ends what members that do not own a group would write it under:
// the other log may make them owners yet, and they would write under the same.
// Nothing was written so far as is known here.
func (s *State) endUnowned() {
	s.Writings = slices.Clone(s.Writings)
	for i := range s.Writings {
		w := &s.Writings[i]
		t, ok := s.Term(w.Group)
		if !ok || t.Owner == w.Module || w.Beside {
			continue
		}
		st := origin.Stream{Group: w.Group, Module: w.Module, Incarnation: w.Incarnation}
		if _, ended := s.End(st); !ended {
			s.setEnd(PlaceOf(st, origin.Position{Hash: st.Genesis()}))
		}
		w.Incarnation = s.after(w.Incarnation)
	}
}

// group finds a group by number; -1: there is none.
func (s *State) group(n origin.Group) int {
	i, ok := slices.BinarySearchFunc(s.Groups, n, func(g Group, n origin.Group) int { return cmp.Compare(g.Number, n) })
	if !ok {
		return -1
	}
	return i
}

// addGroup gives a group the next number.
func (s *State) addGroup(name, mode string) {
	g := Group{origin.Group(s.NextGroup), name, mode}
	s.NextGroup++
	i, _ := slices.BinarySearchFunc(s.Groups, g.Number, func(g Group, n origin.Group) int { return cmp.Compare(g.Number, n) })
	s.Groups = slices.Insert(s.Groups, i, g)
}
