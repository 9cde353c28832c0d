package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/vosio/record"
)

// model says what the registers must hold, from the txns alone. It is written
// without the code that it checks: a version stands unless an operation that
// had it in its context, and did not list it as unseen, came; of those that
// stand, those of the greatest life count, and of them the policy says which is
// shown: the greatest stamp, then module, if nothing else is said.
type model struct {
	policy    func(share string, epoch uint64) control.SharePolicy
	catalogs  map[origin.FileID]bool // they follow one rule
	writes    map[register][]*written
	truncates map[origin.FileID][]*written
}

type register struct {
	File    origin.FileID
	Address string
}

// written is one operation with what its writer had applied.
type written struct {
	dot     origin.OpDot
	stamp   origin.Stamp
	policy  uint64 // epoch
	op      origin.Operation
	context origin.Context // full; the own stream is not in it
}

func (w *written) covers(v *written) bool {
	if slices.Contains(w.op.Unseen, v.dot) {
		return false
	}
	if v.dot.Stream == w.dot.Stream {
		return v.dot.Seq < w.dot.Seq
	}
	return v.dot.Seq <= w.context[v.dot.Stream]
}

// newModel takes all txns that were made, with their full contexts.
func newModel(txns []*made, policy func(string, uint64) control.SharePolicy) *model {
	m := &model{policy: policy, catalogs: map[origin.FileID]bool{record.CatalogID(theShare): true, record.CatalogID(safeShare): true}, writes: map[register][]*written{}, truncates: map[origin.FileID][]*written{}}
	for _, x := range txns {
		for i := range x.txn.Ops {
			op := x.txn.Ops[i]
			w := &written{origin.OpDot{Dot: x.txn.Dot, Index: uint32(i)}, x.txn.Stamp, x.txn.Policy, op, x.context}
			if op.Kind == origin.Truncate {
				m.truncates[op.File] = append(m.truncates[op.File], w)
				continue
			}
			r := register{op.File, string(op.Address)}
			m.writes[r] = append(m.writes[r], w)
		}
	}
	return m
}

// standing lists what must stand in a register, what is shown first.
func (m *model) standing(r register) []*written {
	var out []*written
	for _, v := range m.writes[r] {
		by := func(w *written) bool { return w.covers(v) }
		if !slices.ContainsFunc(m.writes[r], by) && !slices.ContainsFunc(m.truncates[r.File], by) {
			out = append(out, v)
		}
	}
	m.order(r.File, out)
	return out
}

// order puts first what is shown.
func (m *model) order(file origin.FileID, out []*written) {
	rule, epoch := control.SharePolicy{}, uint64(0)
	for _, w := range out {
		epoch = max(epoch, w.policy)
	}
	if m.policy != nil && !m.catalogs[file] {
		rule = m.policy(theShare, epoch)
	}
	slices.SortFunc(out, func(a, b *written) int {
		if a.op.Life != b.op.Life {
			return cmp.Compare(b.op.Life, a.op.Life)
		}
		switch rule.Policy {
		case "earliest", "ask":
			a, b = b, a
		case "rank":
			place := func(w *written) int {
				for i, n := range rule.Rank {
					if n == w.dot.Module {
						return i
					}
				}
				return 1000 + int(w.dot.Module)
			}
			if c := place(a) - place(b); c != 0 {
				return c
			}
		}
		key := func(w *written) []uint64 {
			return []uint64{uint64(w.op.Life), uint64(w.stamp), uint64(w.dot.Module), uint64(w.dot.Incarnation), uint64(w.dot.Seq), uint64(w.dot.Index)}
		}
		return slices.Compare(key(b), key(a))
	})
}

// compare tells how a stored set differs from the model; nil if it does not.
func (m *model) compare(r register, set []origin.Version) error {
	want := m.standing(r)
	if len(set) == 0 && len(want) > 0 && allTombstones(want) {
		return nil // settled, and gone
	}
	if len(set) != len(want) {
		return fmt.Errorf("%d versions stand, the model has %d", len(set), len(want))
	}
	if len(set) == 0 {
		return nil
	}
	if set[0].Dot != want[0].dot {
		return fmt.Errorf("%v is shown, in the model %v", set[0].Dot, want[0].dot)
	}
	for _, w := range want {
		i := slices.IndexFunc(set, func(v origin.Version) bool { return v.Dot == w.dot })
		if i < 0 {
			return fmt.Errorf("%v does not stand", w.dot)
		}
		if set[i].Tombstone != (w.op.Kind == origin.Delete) || !bytes.Equal(set[i].Data, w.op.Data) || set[i].Stamp != w.stamp || set[i].Life != w.op.Life {
			return fmt.Errorf("%v stands with other bytes, stamp or life", w.dot)
		}
	}
	return nil
}

// open lists the operations that must be listed as open conflicts.
func (m *model) open(r register) (out []origin.OpDot) {
	s := m.standing(r)
	for _, v := range s {
		if v != s[0] && !(v.op.Kind == s[0].op.Kind && bytes.Equal(v.op.Data, s[0].op.Data)) {
			out = append(out, v.dot)
		}
	}
	return out
}

// stands reports whether no operation covers v.
func (m *model) stands(r register, v *written) bool {
	return slices.Contains(m.standing(r), v)
}

// seen reports whether one that replaced v was shown it, or its very bytes.
func (m *model) seen(r register, v *written) bool {
	for _, l := range [][]*written{m.writes[r], m.truncates[r.File]} {
		for _, w := range l {
			if !w.covers(v) {
				continue
			}
			if s := m.shown(r, w); s != nil && (s == v || s.op.Kind == v.op.Kind && bytes.Equal(s.op.Data, v.op.Data)) {
				return true
			}
		}
	}
	return false
}

// shown is what stood on top at w's module when w was sequenced, of what w
// covers.
func (m *model) shown(r register, w *written) *written {
	had := &model{policy: m.policy, catalogs: m.catalogs, writes: map[register][]*written{}, truncates: map[origin.FileID][]*written{}}
	knew := func(x *written) bool {
		if x.dot.Stream == w.dot.Stream {
			return x.dot.Seq < w.dot.Seq
		}
		return x.dot.Seq <= w.context[x.dot.Stream]
	}
	for _, x := range m.writes[r] {
		if knew(x) {
			had.writes[r] = append(had.writes[r], x)
		}
	}
	for _, x := range m.truncates[r.File] {
		if knew(x) {
			had.truncates[r.File] = append(had.truncates[r.File], x)
		}
	}
	for _, v := range had.standing(r) {
		if w.covers(v) {
			return v
		}
	}
	return nil
}

func allTombstones(l []*written) bool {
	return !slices.ContainsFunc(l, func(w *written) bool { return w.op.Kind != origin.Delete })
}
