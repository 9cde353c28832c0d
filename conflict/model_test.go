package conflict

import (
	"slices"

	"drmesh/origin"
)

// The model below knows what was done and nothing of how Decide works: it sees
// the operations that a module has applied, as a set, and says what the
// register must hold. It shares no code with the package.

// modelOp is one operation on the one register of the model.
type modelOp struct {
	Dot      origin.OpDot
	Stamp    origin.Stamp
	Life     uint32
	Kind     origin.Kind
	Data     string
	Context  origin.Context
	Unseen   []origin.OpDot
	Hidden   []origin.OpDot
	ShownDot origin.OpDot // what the writer was shown; zero if nothing
}

func modelCovers(w, v *modelOp) bool {
	before := v.Dot.Seq <= w.Context[v.Dot.Stream]
	if v.Dot.Stream == w.Dot.Stream {
		before = v.Dot.Seq < w.Dot.Seq
	}
	return before && !slices.Contains(w.Unseen, v.Dot)
}

// modelStanding lists the versions that no applied operation covers.
func modelStanding(applied []*modelOp) (out []*modelOp) {
	for _, v := range applied {
		if v.Kind != origin.Truncate && !slices.ContainsFunc(applied, func(w *modelOp) bool { return modelCovers(w, v) }) {
			out = append(out, v)
		}
	}
	return out
}

// modelVisible sorts by what counts, least first, and takes the last.
func modelVisible(standing []*modelOp) *modelOp {
	if len(standing) == 0 {
		return nil
	}
	l := slices.Clone(standing)
	slices.SortFunc(l, func(a, b *modelOp) int {
		key := func(o *modelOp) []uint64 {
			return []uint64{uint64(o.Life), uint64(o.Stamp), uint64(o.Dot.Module), uint64(o.Dot.Incarnation), uint64(o.Dot.Seq), uint64(o.Dot.Index)}
		}
		return slices.Compare(key(a), key(b))
	})
	return l[len(l)-1]
}

func modelSame(a, b *modelOp) bool {
	return a.Kind == b.Kind && (a.Kind == origin.Delete || a.Data == b.Data)
}

// modelOpen lists the dots of the open conflicts.
func modelOpen(applied []*modelOp) (out []origin.OpDot) {
	s := modelStanding(applied)
	top := modelVisible(s)
	for _, v := range s {
		if v != top && !modelSame(v, top) {
			out = append(out, v.Dot)
		}
	}
	return out
}

// modelKept reports whether v must be in the ledger or in the set: true unless
// a writer that was shown it, or its very bytes, replaced it.
func modelKept(v *modelOp, applied []*modelOp) bool {
	for _, w := range applied {
		if !modelCovers(w, v) {
			continue
		}
		for _, s := range applied {
			if s.Dot == w.ShownDot && (s == v || modelSame(s, v)) {
				return false
			}
		}
	}
	return true
}
