package conflict

import (
	"bytes"
	"slices"

	"drmesh/origin"
)

// Visible gives the index of the version that a register shows, -1 for an
// empty set: the greatest life, and of that the latest.
func Visible(set []origin.Version) int {
	best := -1
	for i := range set {
		if best < 0 || compare(&set[i], &set[best]) > 0 {
			best = i
		}
	}
	return best
}

// compare orders versions of one register by life, stamp, module, incarnation,
// seq, index and group. It is total: only a version itself is its equal.
func compare(a, b *origin.Version) int {
	if a.Life != b.Life {
		if a.Life < b.Life {
			return -1
		}
		return 1
	}
	return origin.Birth{Stamp: a.Stamp, Dot: a.Dot}.Compare(origin.Birth{Stamp: b.Stamp, Dot: b.Dot})
}

// same reports whether two versions say the same of a record, so that no
// choice between them loses anything.
func same(a, b *origin.Version) bool {
	if a.Tombstone || b.Tombstone {
		return a.Tombstone && b.Tombstone
	}
	return bytes.Equal(a.Data, b.Data)
}

// arrange brings a set into its one stored order: the visible version first,
// the rest by dot.
func arrange(set []origin.Version) {
	if len(set) < 2 {
		return
	}
	v := Visible(set)
	set[0], set[v] = set[v], set[0]
	slices.SortFunc(set[1:], func(a, b origin.Version) int { return a.Dot.Compare(b.Dot) })
}

// Merge joins the sets that two modules have of one register, a under the
// vector va and b under vb: a version that only one side has stays if the
// other side has not applied it, for otherwise that side had it and saw it
// covered. The result is in stored order and shares Data with a and b.
func Merge(a []origin.Version, va origin.Context, b []origin.Version, vb origin.Context) []origin.Version {
	has := func(set []origin.Version, d origin.OpDot) bool {
		return slices.ContainsFunc(set, func(v origin.Version) bool { return v.Dot == d })
	}
	var out []origin.Version
	for _, v := range a {
		if has(b, v.Dot) || !vb.Has(v.Dot.Dot) {
			out = append(out, v)
		}
	}
	for _, v := range b {
		if !has(a, v.Dot) && !va.Has(v.Dot.Dot) {
			out = append(out, v)
		}
	}
	arrange(out)
	return out
}
