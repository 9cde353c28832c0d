package conflict

import (
	"slices"

	"drmesh/origin"
)

// Held is what stands in a register at one module, and what that module had
// applied when it looked.
type Held struct {
	Versions []HeldVersion
	At       origin.Context
}

// HeldVersion is one version there; Content is a hash of its bytes and
// of all else that decides what is shown.
type HeldVersion struct {
	Dot       origin.OpDot
	Tombstone bool
	Content   uint64
}

// Differ reports whether what two modules hold of one register differs for a
// reason other than that one of them has applied what the other has yet to. It
// errs to one side alone: a register that one has removed by a truncate that
// the other has still to apply is said to differ, since a truncate leaves nothing
// behind. Who finds a difference therefore waits until each module has applied
// what the other had, and looks again.
func Differ(a, b *Held) bool {
	// A tombstone alone is as nothing: modules let go of it at different times.
	if a.empty() && b.empty() {
		return false
	}
	return a.lacks(b) || b.lacks(a)
}

func (h *Held) empty() bool {
	return len(h.Versions) == 0 || len(h.Versions) == 1 && h.Versions[0].Tombstone
}

// lacks reports whether h is without a version of o though it has applied it,
// and has nothing that o lacks and that may have taken its place; or has it with
// other bytes.
func (h *Held) lacks(o *Held) bool {
	newer := slices.ContainsFunc(h.Versions, func(v HeldVersion) bool { return v.Dot.Seq > o.At[v.Dot.Stream] })
	for i := range o.Versions {
		v := &o.Versions[i]
		j := slices.IndexFunc(h.Versions, func(w HeldVersion) bool { return w.Dot == v.Dot })
		switch {
		case j >= 0:
			if w := &h.Versions[j]; w.Tombstone != v.Tombstone || w.Content != v.Content {
				return true
			}
		case v.Dot.Seq <= h.At[v.Dot.Stream] && !newer && !(v.Tombstone && len(h.Versions) == 0):
			return true
		}
	}
	return false
}
