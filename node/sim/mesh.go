package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/origin/journal"
	"drmesh/vosio/call"
)

// mesh is all modules of a run and what is between them.
type mesh struct {
	w      *world
	net    *network
	ms     []*module
	oracle *oracle
	report *Report
	err    error // the first
	copies bool  // disks were copied: streams may have two histories

	// policy is that of a share under a policy epoch; nil: latest.
	policy func(share string, epoch uint64) control.SharePolicy

	verified map[string]bool // heads
	calm     bool            // hours go by: what is done by the clock is done as seldom as a node does it

	control uint64                       // index of the control state
	members map[uint64][]origin.Stream   // who writes the group, by control index
	ends    map[origin.Stream]origin.Seq // of streams that nobody writes any more
}

func newMesh(w *world, modules int) *mesh {
	e := &mesh{w: w, net: newNetwork(w), oracle: newOracle(), control: 1, members: map[uint64][]origin.Stream{}, ends: map[origin.Stream]origin.Seq{}, verified: map[string]bool{}}
	for n := range modules {
		m := newModule(w, n)
		m.mesh = e
		e.ms = append(e.ms, m)
		e.members[1] = append(e.members[1], m.stream())
	}
	e.net.deliver = func(from, to int, frame []byte) {
		m := e.ms[to]
		if !m.up {
			return
		}
		e.must(m.links.frame(from, frame))
		e.settle(m)
	}
	e.net.broken = func(a, b int) {
		meet := e.ms[a].up && e.ms[b].up && !e.net.cut[[2]int{a, b}] && !e.net.cut[[2]int{b, a}]
		for _, p := range [][2]int{{a, b}, {b, a}} {
			m := e.ms[p[0]]
			switch {
			case !m.up:
			case meet:
				e.must(m.links.connect(p[1]))
			default:
				e.must(m.links.drop(p[1]))
			}
		}
	}
	return e
}

func (e *mesh) must(err error) {
	if err != nil && e.err == nil {
		e.err = err
	}
}

func (e *mesh) close() {
	defer func() { _ = recover() }() // after a panic locks may be held, and batches open
	for _, m := range e.ms {
		if m.up {
			e.must(m.stop())
		}
	}
}

// settle follows what just happened at a module: what it wrote opens gates,
// what became durable is known to the oracle and goes to the neighbours.
func (e *mesh) settle(m *module) {
	if e.err != nil || !m.up {
		return
	}
	m.wrote()
	e.must(m.drain())
	m.back()
	e.must(e.oracle.observe(m))
	for len(m.pending) > 0 && m.pending[0].Seq <= m.j.Durable()[m.stream()].Seq {
		e.oracle.promised(m.pending[0], "flushed")
		m.pending = m.pending[1:]
	}
	if e.err == nil {
		e.must(m.links.publish())
	}
}

// start starts a module, for the first time or after a crash.
func (e *mesh) start(m *module) {
	if err := m.start(); err != nil {
		e.must(err)
		return
	}
	m.links = newLinks(m)
	e.must(e.oracle.observe(m))
	e.must(e.oracle.afterStart(m))
	for p := range e.ms {
		if p != m.n {
			e.net.breakConnection(m.n, p)
		}
	}
	life := m.life
	var tick func()
	n, headsAt, dropAt := 0, uint64(0), uint64(0)
	tick = func() {
		if !m.up || m.life != life || e.err != nil {
			return
		}
		if e.net.paused[m.n] > e.w.now {
			e.w.after(50, tick)
			return
		}
		n++
		heads, drop, wait := n%3 == 0, n%8 == 0, uint64(50)
		if e.calm {
			heads, drop = e.w.now >= headsAt, e.w.now >= dropAt
			if heads {
				headsAt = e.w.now + 1000
			}
			if drop {
				dropAt = e.w.now + 2000
			}
			if !m.links.puller.Restless() {
				wait = 500
			}
		}
		e.must(m.links.tick(heads))
		if drop && !m.lazy { // dropping flushes, too
			_, err := m.eng.DropTombstones(context.Background(), m.links.settled(), 100)
			e.must(err)
		}
		e.settle(m)
		e.w.after(wait, tick)
	}
	e.w.after(uint64(10+m.n), tick)
	e.flushes(m)
}

// flushes flushes a module's batches as its interval says, in this life.
func (e *mesh) flushes(m *module) {
	life := m.life
	var due func()
	due = func() {
		if m.up && m.life == life && m.lazy && m.every > 0 && e.err == nil {
			e.flush(m)
			e.w.after(m.every, due)
		}
	}
	if m.every > 0 {
		e.w.after(m.every, due)
	}
}

// crash cuts a module's power; keep says that what was not flushed survives all
// the same.
func (e *mesh) crash(m *module, keep bool) {
	e.w.tracef("%s: power cut, unflushed txns survive: %v", m.name, keep)
	m.pending = nil
	for p := range e.ms {
		if p != m.n {
			e.net.breakConnection(m.n, p)
		}
	}
	e.must(m.crash(keep))
}

// flush makes a module's batches durable and answers who waits for that.
func (e *mesh) flush(m *module) {
	if !m.up {
		return
	}
	e.must(m.eng.Flush())
	e.settle(m)
}

// call runs an operation of a program at a module, and notes what it was
// promised.
func (e *mesh) call(m *module, what string, do func(p *program) error) error {
	before := m.j.Tail(m.stream()).Seq
	kind, file, _ := strings.Cut(what, " ")
	file, _, _ = strings.Cut(file, " ")
	stood, err := m.look(kind == "rewrite" && e.report != nil)
	if err != nil {
		return err
	}
	err = do(m.prog)
	tail := m.j.Tail(m.stream()).Seq
	if err == nil && tail > before && stood != nil {
		e.must(m.notBlind(file, origin.Dot{Stream: m.stream(), Seq: before + 1}, stood))
	}
	delete(m.shown, file) // the port may stand elsewhere now
	if err == nil && kind == "read" && e.report != nil {
		if m.shown[file], err = m.look(true); err != nil {
			return err
		}
	}
	for q := before + 1; q <= tail; q++ {
		d := origin.Dot{Stream: m.stream(), Seq: q}
		if m.lazy && q > m.j.Durable()[m.stream()].Seq {
			m.pending = append(m.pending, d)
		} else {
			e.oracle.promised(d, what)
		}
	}
	if err != nil {
		e.w.tracef("%s: %s: %s", m.name, what, call.CodeOf(err).Name())
		if call.CodeOf(err) == call.FileFormatError {
			e.must(fmt.Errorf("%s: %s: %w", m.name, what, err))
		}
		if e.report != nil {
			e.report.Refused[call.CodeOf(err).Name()]++
		}
	} else {
		e.w.tracef("%s: %s: %d", m.name, what, tail)
		if e.report != nil {
			e.report.Ops[kind]++
		}
	}
	if tail > before && !m.lazy && e.w.chance("shadow", 40) {
		e.must(e.shadow(m, tail))
	}
	e.settle(m)
	return err
}

// shadow opens what would be left if the power went just after an answer.
func (e *mesh) shadow(m *module, acked origin.Seq) error {
	e.oracle.checks["1 capture has no window: durable before the answer"]++
	fs := m.fs.CrashClone(vfs.CrashCloneCfg{RNG: rand.New(rand.NewPCG(1, 1))})
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}, DisableAutomaticCompactions: true})
	if err != nil {
		return err
	}
	defer db.Close()
	j, err := journal.Open(db)
	if err != nil {
		return err
	}
	if at := j.Tail(m.stream()).Seq; at < acked {
		return fmt.Errorf("%s: %v:%d was answered, the disk has %d", m.name, m.stream(), acked, at)
	}
	// Registers, what is derived from them, and the ledger, with the txn.
	for _, prefix := range []string{"vr", "vx", "vp", "vw", "ce"} {
		has, here := map[string]string{}, map[string]string{}
		for r, to := range map[pebble.Reader]map[string]string{db: has, m.db: here} {
			if err := scan(r, prefix, func(k, v []byte) error { to[string(k)] = string(v); return nil }); err != nil {
				return err
			}
		}
		if d := differ(here, has); d != "" {
			return fmt.Errorf("%s: %v:%d was answered, and of it the disk lacks %s", m.name, m.stream(), acked, d)
		}
	}
	return nil
}

// prune lets a module's journal go as far as all hold it.
func (e *mesh) prune(m *module) {
	if !m.up || e.err != nil {
		return
	}
	for s := range e.oracle.tails {
		held := m.j.Durable()[s].Seq
		for _, o := range e.ms {
			if !o.up {
				return
			}
			held = min(held, o.j.Durable()[s].Seq)
			if o.copy != nil {
				held = min(held, o.copyHas[s].Seq)
			}
		}
		e.must(m.j.Prune(s, held))
	}
}
