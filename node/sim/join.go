package sim

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/origin/journal"
	"drmesh/vosio"
)

// join admits a new module and gives it a donor's state: control moves on for
// all that hear it, then the donor takes its snapshot, and the joiner installs
// it and follows the journals from there.
func (e *mesh) join(donor *module, hear func(m *module) bool) (*module, error) {
	m := newModule(e.w, len(e.ms))
	m.mesh = e
	e.ms = append(e.ms, m)
	e.control++
	e.members[e.control] = append(append([]origin.Stream{}, e.members[e.control-1]...), m.stream())
	return m, e.seed(m, donor, hear)
}

// seed gives an empty module a donor's state. Who writes the group has been
// settled before.
func (e *mesh) seed(m, donor *module, hear func(m *module) bool) error {
	m.joined = true
	for _, x := range e.ms {
		if hear(x) {
			x.control = e.control
		}
	}
	if err := m.start(); err != nil {
		return err
	}
	e.flush(donor) // nothing leaves that is not flushed
	if err := m.install(donor); err != nil {
		return fmt.Errorf("%s joins: %w", m.name, err)
	}
	// What was taken over is known to gate and links from a start on.
	if err := m.stop(); err != nil {
		return err
	}
	e.start(m)
	return e.err
}

// install takes over a donor's shares.
func (m *module) install(donor *module) error {
	snap := donor.db.NewSnapshot()
	defer snap.Close()
	saved, err := journal.SavedIn(snap, theGroup)
	if err != nil {
		return err
	}
	in, err := m.eng.BeginInstall(theGroup, []string{theShare}, nil)
	if err != nil {
		return err
	}
	if err := vosio.Export(snap, []string{theShare}, in.Put); err != nil {
		return err
	}
	b := m.db.NewBatch()
	defer b.Close()
	if err := scan(snap, "c", func(k, v []byte) error { return b.Set(k, v, nil) }); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	if err := in.Build(); err != nil {
		return err
	}
	var pos []origin.StreamPosition
	err = in.Finish(func(b *pebble.Batch) error {
		for _, s := range saved {
			if err := m.j.Adopt(b, s.Stream, s.Position, s.Stamp, s.Context); err != nil {
				return err
			}
			m.clock.Observe(s.Stamp)
			pos = append(pos, origin.StreamPosition{Stream: s.Stream, Position: s.Position})
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.j.MarkDurable(pos)
	return m.eng.Flush()
}
