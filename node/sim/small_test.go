package sim

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
)

func dotOf(s origin.Stream, q origin.Seq) origin.Dot { return origin.Dot{Stream: s, Seq: q} }

// small makes a mesh with a keyed file and one conflict, at rest.
func (e *mesh) small() error {
	for _, m := range e.ms {
		e.start(m)
	}
	e.w.until(200)
	a, b := e.ms[0], e.ms[1]
	err := errors.Join(
		e.call(a, "create", func(p *program) error { return p.create("k", keyed) }),
		e.call(a, "insert", func(p *program) error { return p.insert("k", []byte("0001aaaax")) }))
	e.w.until(400)
	e.net.sever(0, 1, false)
	e.net.sever(1, 2, false)
	err = errors.Join(err,
		e.call(a, "put", func(p *program) error { return p.put("k", "0001", []byte("0001bbbbx")) }),
		e.call(b, "put", func(p *program) error { return p.put("k", "0001", []byte("0001ccccx")) }))
	e.net.heal(3)
	if err := errors.Join(err, e.err, e.catchUp(5000, e.oracle.tails), e.checkAll()); err != nil {
		return fmt.Errorf("small mesh: %w", err)
	}
	return nil
}

// lose deletes the last shared key of a kind from a module's database.
func (m *module) lose(prefix string) error {
	var last []byte
	err := scan(m.db, prefix, func(k, _ []byte) error {
		last = k
		return nil
	})
	if err == nil && last == nil {
		err = fmt.Errorf("no key %s", prefix)
	}
	return errors.Join(err, m.db.Delete(last, pebble.Sync))
}
