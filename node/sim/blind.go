package sim

import (
	"fmt"
	"slices"

	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio/record"
)

// look notes what stands in all registers, deletions left out; nil if it is
// not wanted.
func (m *module) look(wanted bool) (map[register][]origin.OpDot, error) {
	if !wanted {
		return nil, nil
	}
	regs, err := registers(m.db)
	if err != nil {
		return nil, err
	}
	out := map[register][]origin.OpDot{}
	for r, set := range regs {
		for i := range set {
			if !set[i].Tombstone {
				out[r] = append(out[r], set[i].Dot)
			}
		}
	}
	return out, nil
}

// notBlind checks a rewrite of a record that was read some time ago: what had
// come there from other modules since, the operation does not replace.
func (m *module) notBlind(file string, d origin.Dot, stood map[register][]origin.OpDot) error {
	shown := m.shown[file]
	if shown == nil {
		return nil
	}
	e, ok, err := m.j.Get(d)
	if err != nil || !ok {
		return err
	}
	t := new(origin.Txn)
	if err := entry.Decode(e.Bytes, d, t); err != nil {
		return err
	}
	op := &t.Ops[0]
	r := register{op.File, string(op.Address)}
	if len(shown[r]) == 0 || op.Kind == origin.Truncate {
		return nil
	}
	m.mesh.oracle.checks["4 nothing vanishes: what came after the read is not replaced"]++
	for _, v := range stood[r] {
		if v.Module != m.number() && !slices.Contains(shown[r], v) && !slices.Contains(op.Unseen, v) {
			return fmt.Errorf("%s: %v of %s replaced %v, which came after its program had read", m.name, d, record.String(op.Address), v)
		}
	}
	return nil
}
