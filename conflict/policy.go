package conflict

import (
	"slices"

	"drmesh/origin"
	"drmesh/origin/mutant"
)

// Kind names how a policy chooses between versions of the greatest life.
type Kind uint8

// The policies. All are total orders of versions, so that what is shown is the
// same for every order of arrival and every grouping of merges.
const (
	Latest   Kind = iota // the greatest birth of the version: stamp, module, incarnation, seq, index
	Earliest             // the least
	Rank                 // of the module that comes first in the rank; of one module the latest
	Ask                  // the earliest is shown, and a person decides
)

var kindNames = [...]string{"latest", "earliest", "rank", "ask"}

// String is the word of the control tables.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return "no policy"
	}
	return kindNames[k]
}

// KindNamed finds the kind that the control tables call so.
func KindNamed(s string) (Kind, bool) {
	i := slices.Index(kindNames[:], s)
	return Kind(max(i, 0)), i >= 0
}

// Kinds lists all policies.
func Kinds() []Kind { return []Kind{Latest, Earliest, Rank, Ask} }

// Policy is what chooses the visible version of a set.
type Policy struct {
	Kind Kind
	Rank []origin.Module // with Rank: best first; who is not in it comes after, by number
}

// Policies gives the policy of a policy epoch. It is asked for the greatest
// epoch that a version of a set names; a nil one says latest. Every module
// must answer alike.
type Policies func(epoch uint64) Policy

// of is the policy of a set.
func (f Policies) of(set []origin.Version) Policy {
	if f == nil {
		return Policy{}
	}
	epoch := uint64(0)
	for i := range set {
		epoch = max(epoch, set[i].Policy)
	}
	return f(epoch)
}

// place is how far down the rank a module stands.
func (p *Policy) place(m origin.Module) uint64 {
	if i := slices.Index(p.Rank, m); i >= 0 {
		return uint64(i)
	}
	return uint64(len(p.Rank)) + uint64(m)
}

// compare orders two versions of one register: the greater is shown. It is
// total: only a version itself is its equal.
func (p *Policy) compare(a, b *origin.Version) int {
	if a.Life != b.Life && !mutant.On(mutant.NoLife) {
		if a.Life < b.Life {
			return -1
		}
		return 1
	}
	if mutant.On(mutant.NoOrigin) && a.Stamp == b.Stamp {
		return 0
	}
	age := origin.Birth{Stamp: a.Stamp, Dot: a.Dot}.Compare(origin.Birth{Stamp: b.Stamp, Dot: b.Dot})
	switch p.Kind {
	case Earliest, Ask:
		return -age
	case Rank:
		if x, y := p.place(a.Dot.Module), p.place(b.Dot.Module); x != y {
			if x > y != mutant.On(mutant.RankBackwards) {
				return -1
			}
			return 1
		}
	}
	return age
}

// Visible gives the index of the version that a register shows, -1 for an
// empty set: the greatest life, and of that what the policy says.
func Visible(set []origin.Version, policies Policies) int {
	if len(set) == 0 {
		return -1
	}
	if len(set) == 1 {
		return 0
	}
	p := policies.of(set)
	return p.best(set)
}

// Would gives the index of the version that a set would show under another
// policy; for people, who ask what other rules would have done.
func (p *Policy) Would(set []origin.Version) int { return p.best(set) }

func (p *Policy) best(set []origin.Version) int {
	best := -1
	for i := range set {
		if best < 0 || p.compare(&set[i], &set[best]) > 0 {
			best = i
		}
	}
	return best
}
