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
	Policy   uint64
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

// modelRules says, by policy epoch, what is chosen: "latest", "earliest",
// "ask", or the modules of a rank, best first.
type modelRules map[uint64]string

// modelVisible sorts by what counts, least first, and takes the last. All
// whose life is not the greatest are out first; then the rule of the greatest
// epoch that any of all names decides.
func (rules modelRules) visible(standing []*modelOp) *modelOp {
	if len(standing) == 0 {
		return nil
	}
	life, epoch := uint32(0), uint64(0)
	for _, o := range standing {
		life, epoch = max(life, o.Life), max(epoch, o.Policy)
	}
	l := slices.DeleteFunc(slices.Clone(standing), func(o *modelOp) bool { return o.Life < life })
	slices.SortFunc(l, func(a, b *modelOp) int {
		key := func(o *modelOp) []uint64 {
			return []uint64{uint64(o.Stamp), uint64(o.Dot.Module), uint64(o.Dot.Incarnation), uint64(o.Dot.Seq), uint64(o.Dot.Index)}
		}
		return slices.Compare(key(a), key(b))
	})
	switch rule := rules[epoch]; rule {
	case "", "latest":
	case "earliest", "ask":
		return l[0]
	default:
		for _, m := range rule {
			for i := len(l) - 1; i >= 0; i-- {
				if l[i].Dot.Module == origin.Module(m-'0') {
					return l[i]
				}
			}
		}
		first := l[len(l)-1]
		for i := len(l) - 1; i >= 0; i-- {
			if l[i].Dot.Module < first.Dot.Module {
				first = l[i]
			}
		}
		return first
	}
	return l[len(l)-1]
}

func modelSame(a, b *modelOp) bool {
	return a.Kind == b.Kind && (a.Kind == origin.Delete || a.Data == b.Data)
}

// open lists the dots of the open conflicts.
func (rules modelRules) open(applied []*modelOp) (out []origin.OpDot) {
	s := modelStanding(applied)
	top := rules.visible(s)
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
