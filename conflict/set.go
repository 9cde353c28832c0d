package conflict

import (
	"bytes"
	"slices"

	"drmesh/origin"
	"drmesh/origin/mutant"
)

// same reports whether two versions say the same of a record, so that no
// choice between them loses anything.
func same(a, b *origin.Version) bool {
	if a.Tombstone || b.Tombstone {
		return a.Tombstone && b.Tombstone
	}
	if mutant.On(mutant.SameLength) {
		return len(a.Data) == len(b.Data)
	}
	return bytes.Equal(a.Data, b.Data)
}

// arrange brings a set into its one stored order: the visible version first,
// the rest by dot.
func arrange(set []origin.Version, policies Policies) {
	if len(set) < 2 {
		return
	}
	v := Visible(set, policies)
	set[0], set[v] = set[v], set[0]
	slices.SortFunc(set[1:], func(a, b origin.Version) int { return a.Dot.Compare(b.Dot) })
}
