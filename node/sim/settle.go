package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// survivors loses one module for a while, and checks that the others fill each
// other's gaps, its stream's too, without it.
func (e *mesh) survivors(lost *module) error {
	e.w.tracef("%s is lost", lost.name)
	if lost.up {
		e.crash(lost, false)
	}
	lost.gone = true
	e.net.heal(len(e.ms))
	best := origin.Vector{}
	for _, m := range e.ms {
		if m == lost {
			continue
		}
		if !m.up {
			e.start(m)
		}
		e.flush(m)
	}
	if e.err != nil {
		return e.err
	}
	for _, m := range e.ms {
		if m != lost {
			for s, p := range m.j.Durable() {
				if s.Group == theGroup && p.Seq > best[s].Seq {
					best[s] = p
				}
			}
		}
	}
	if !e.servable(lost, best) {
		// Only a joiner has some of it, as state and not as entries: this takes
		// a snapshot.
		lost.gone = false
		return nil
	}
	err := e.catchUp(60_000, best)
	lost.gone = false
	if err != nil {
		return fmt.Errorf("without %s: %w", lost.name, err)
	}
	return e.err
}

// servable tells whether every survivor can get from another's journal what it
// lacks.
func (e *mesh) servable(lost *module, best origin.Vector) bool {
	for s, p := range best {
		for _, m := range e.ms {
			at := m.j.Durable()[s].Seq
			if m == lost || at >= p.Seq {
				continue
			}
			if !slices.ContainsFunc(e.ms, func(x *module) bool {
				return x != lost && x.j.Durable()[s].Seq >= p.Seq && x.j.Pruned(s) <= at
			}) {
				return false
			}
		}
	}
	return true
}

// catchUp lets time pass until every module that is not lost has that much
// durable.
func (e *mesh) catchUp(limit uint64, want origin.Vector) error {
	e.oracle.checks["liveness: all have it all by the deadline"]++
	deadline := e.w.now + limit
	for e.err == nil {
		behind := ""
		for _, m := range e.ms {
			if m.gone {
				continue
			}
			e.flush(m)
			v := m.j.Durable()
			for _, p := range want.Sorted() {
				if v[p.Stream].Seq < p.Seq {
					behind = fmt.Sprintf("%s has %v up to %d of %d, pulls it from m%d", m.name, p.Stream, v[p.Stream].Seq, p.Seq, m.links.puller.Source(p.Stream))
				}
			}
		}
		if behind == "" {
			return nil
		}
		if e.w.now > deadline {
			return fmt.Errorf("not caught up after %d s: %s", limit/1000, behind)
		}
		e.w.until(e.w.now + 50)
	}
	return e.err
}

// mend takes away the reasons for which single modules park records, after a
// look at what they hold meanwhile: the same sets, and no stream held up.
func (e *mesh) mend() error {
	parked := 0
	for _, m := range e.ms {
		list, err := m.eng.ParkedList()
		if err != nil {
			return err
		}
		parked += len(list)
	}
	if parked > 0 {
		e.oracle.checks["5 one bad record stops nothing: parked here, alike in all sets"]++
		if err := e.oracle.converged(e.ms); err != nil {
			return err
		}
	}
	for _, m := range e.ms {
		clear(m.local)
		names, err := m.prog.names()
		if err != nil {
			return err
		}
		for _, n := range names { // it may have another name by now
			if err := m.prog.dropLocal(n); err != nil && call.CodeOf(err) != call.IndexNotFound {
				return err
			}
		}
		list, err := m.eng.ParkedList()
		if err != nil {
			return err
		}
		for _, p := range list {
			e.w.tracef("%s: still parked: %+v", m.name, p)
		}
	}
	return nil
}

// checkAll checks all modules: what each holds, that it is alike, and that
// programs see the same.
func (e *mesh) checkAll() error {
	if e.err != nil {
		return e.err
	}
	ms := slices.DeleteFunc(slices.Clone(e.ms), func(m *module) bool { return m.evicted })
	for _, m := range ms {
		if err := errors.Join(e.oracle.once(m), e.oracle.matches(m)); err != nil {
			return err
		}
	}
	if err := e.oracle.converged(ms); err != nil {
		return err
	}
	var first []string
	for i, m := range ms {
		v, err := m.view()
		if err != nil {
			return err
		}
		if i == 0 {
			first = v
		} else if !slices.Equal(first, v) {
			return fmt.Errorf("programs at %s and %s see different files:\n%s\n\n%s", ms[0].name, m.name, strings.Join(first, "\n"), strings.Join(v, "\n"))
		}
	}
	return nil
}

// settled checks that tombstones which nothing concurrent can meet any more are
// gone, after all heads went round.
func (e *mesh) settled() error {
	e.oracle.checks["settled tombstones go"]++
	for _, m := range e.ms {
		regs, err := registers(m.db)
		if err != nil {
			return err
		}
		for r, set := range regs {
			if len(set) > 1 || !set[0].Tombstone {
				continue
			}
			if m.joined {
				e.oracle.checks["GAP: tombstones that a snapshot brought stay"]++
				continue
			}
			return fmt.Errorf("%s: the tombstone %v of %v %s stays", m.name, set[0].Dot, r.File, record.String([]byte(r.Address)))
		}
	}
	return nil
}
