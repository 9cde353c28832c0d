package vosio

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A port keeps its scanner from one read to the next: to make one costs more
// than to read a record. A scanner sees one moment, so it is good for as long as
// its file has not changed since, which the file's generation tells: it rises
// with each batch that changes the file, after the batch can be read and before
// anybody is told that his change is made. So who was told finds it.
//
// Kept scanners hold tables and logs that could go else. They are let go when
// the port is closed, and by a sweep once they were not used for a second or
// the file has changed. Of an engine whose caller commits (Inline) none is
// kept.

// maxKept bounds how many scanners are kept by all ports together.
const maxKept = 512

// moment is what a file was when a scanner was made.
type moment struct{ generation, epoch uint64 }

func (e *Engine) moment(f *file) moment {
	return moment{f.stat.generation.Load(), e.epoch.Load()}
}

// keptScanner is owned by its process's turn.
type keptScanner struct {
	*scanner
	at   moment
	used bool // since the last sweep
}

// scanner gives a scanner of a port in an order; free it after use. With a
// transaction that sees its own changes it is a new one.
func (p *Process) scanner(x *port, f *file, ix *index) (s *scanner, free func() error, err error) {
	v := p.view(f)
	at := p.e.moment(f) // before what is read
	if k := x.kept; k != nil {
		if v == pebble.Reader(p.e.db) && k.at == at && k.f == f && k.ix == ix && k.stable == x.stable && k.below == x.below && k.err == nil {
			k.used = true
			return k.scanner, keep, nil
		}
		p.letGo(x)
	}
	keeps := v == pebble.Reader(p.e.db) && !p.e.cfg.Inline
	if keeps && p.e.keeps.Add(1) > maxKept {
		p.e.keeps.Add(-1)
		keeps = false
	}
	if keeps && f.addressed(ix) {
		s, err = p.e.walker(f, ix)
	} else {
		s, err = p.e.scan(v, f, ix)
	}
	if err != nil {
		if keeps {
			p.e.keeps.Add(-1)
		}
		return nil, nil, err
	}
	s.stable, s.below = x.stable, x.below
	x.room.many = true
	s.room = &x.room
	if !keeps {
		return s, s.Close, nil
	}
	if !s.direct && !s.walk {
		// Its registers come in mostly rising order too.
		prefix := appendFileKey(nil, keyRegister, f.id)
		if s.registers, err = s.it.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)}}); err != nil {
			p.e.keeps.Add(-1)
			s.fail(err)
			return nil, nil, s.Close()
		}
	}
	x.kept = &keptScanner{scanner: s, at: at, used: true}
	return s, keep, nil
}

// keep frees nothing: the port keeps its scanner.
func keep() error { return nil }

// letGo closes what a port keeps.
func (p *Process) letGo(x *port) {
	if x.kept == nil {
		return
	}
	if err := x.kept.Close(); err != nil {
		p.e.cfg.Logger.Debug("a scanner was closed", "file", x.path, "err", err)
	}
	x.kept = nil
	p.e.keeps.Add(-1)
}

// sweepLoop lets go of what is kept and not used; it ends with the engine.
func (e *Engine) sweepLoop() {
	defer e.wg.Done()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-e.ending:
			return
		case <-t.C:
			if e.keeps.Load() > 0 {
				e.sweep()
			}
		}
	}
}

func (e *Engine) sweep() {
	e.procs.Lock()
	ps := make([]*Process, 0, len(e.procs.list))
	for p := range e.procs.list {
		ps = append(ps, p)
	}
	e.procs.Unlock()
	for _, p := range ps {
		if !p.turn.TryLock() {
			continue // it is in a call: the next sweep looks again
		}
		for _, x := range p.ports {
			if k := x.kept; k != nil {
				if !k.used || k.at != e.moment(k.f) {
					p.letGo(x)
				} else {
					k.used = false
				}
			}
		}
		p.turn.Unlock()
	}
}
