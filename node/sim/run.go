package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/origin"
	"drmesh/origin/journal"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// Options say what a run is. The same options give the same run.
type Options struct {
	Seed    uint64
	Modules int // 2 to 5; 0: the seed says
	Steps   int // operations and faults; 0: the seed says
	Out     func(string)
}

// Report is what a run did and what it checked.
type Report struct {
	Seed    uint64
	Modules int
	Ops     map[string]int // by kind, as far as they succeeded
	Refused map[string]int // by status code
	Faults  map[string]int
	Checks  map[string]int
	Txns    int
	// Conflicts are those that were open in the end, at each module.
	Conflicts int
	Trace     uint64 // hash of all that happened
}

// Failure is a broken invariant.
type Failure struct {
	Seed  uint64
	Err   error
	Trace string // the last of what happened
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%v\nagain: go test ./node/sim -run TestSeed -seed=%d -v", f.Err, f.Seed)
}

func (f *Failure) Unwrap() error { return f.Err }

// Run makes a run: random work under faults, then healing, then all checks,
// then all again after every module was started anew from its disk.
func Run(o Options) (*Report, error) {
	w := newWorld(o.Seed)
	w.out = o.Out
	if o.Modules == 0 {
		o.Modules = 2 + w.rand("options").IntN(4)
	}
	if o.Steps == 0 {
		o.Steps = 100 + w.rand("options").IntN(200)
	}
	e := newMesh(w, o.Modules)
	defer e.close()
	r := &Report{Seed: o.Seed, Modules: o.Modules, Ops: map[string]int{}, Refused: map[string]int{}, Faults: map[string]int{}, Checks: e.oracle.checks}
	e.report = r
	err := e.run(o.Steps)
	r.Txns, r.Trace = len(e.oracle.txns), w.tail
	r.Faults["frames held up"], r.Faults["frames doubled"], r.Faults["frames lost with their connection"] = e.net.held, e.net.doubled, e.net.lost
	if err != nil {
		return r, &Failure{o.Seed, err, w.traceText()}
	}
	return r, nil
}

// mesh is all modules of a run and what is between them.
type mesh struct {
	w      *world
	net    *network
	ms     []*module
	oracle *oracle
	report *Report
	err    error // the first

	control uint64                     // index of the control state
	members map[uint64][]origin.Stream // who writes the group, by control index
}

func newMesh(w *world, modules int) *mesh {
	e := &mesh{w: w, net: newNetwork(w), oracle: newOracle(), control: 1, members: map[uint64][]origin.Stream{}}
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
	e.must(e.oracle.observe(m))
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
	n := 0
	tick = func() {
		if !m.up || m.life != life || e.err != nil {
			return
		}
		n++
		e.must(m.links.tick(n%3 == 0))
		if n%8 == 0 && !m.lazy { // dropping flushes, too
			_, err := m.eng.DropTombstones(context.Background(), m.links.settled(), 100)
			e.must(err)
		}
		e.settle(m)
		e.w.after(50, tick)
	}
	e.w.after(uint64(10+m.n), tick)
}

// crash cuts a module's power.
func (e *mesh) crash(m *module, keep int) {
	e.w.tracef("%s: power cut, %d%% of what was not flushed survives", m.name, keep)
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
	for _, d := range m.pending {
		e.oracle.promised(d, "flushed")
	}
	m.pending = nil
	e.settle(m)
}

// call runs an operation of a program at a module, and notes what it was
// promised.
func (e *mesh) call(m *module, what string, do func(p *program) error) error {
	before := m.j.Tail(m.stream()).Seq
	err := do(m.prog)
	tail := m.j.Tail(m.stream()).Seq
	for q := before + 1; q <= tail; q++ {
		d := origin.Dot{Stream: m.stream(), Seq: q}
		if m.lazy {
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
			kind, _, _ := strings.Cut(what, " ")
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
	return nil
}

// run is the plan of a random run.
func (e *mesh) run(steps int) error {
	r := e.w.rand("plan")
	for _, m := range e.ms {
		m.skew = time.Duration(r.IntN(4000)-2000) * time.Millisecond
		m.lazy = r.IntN(4) == 0
		e.start(m)
	}
	e.w.until(e.w.now + 100)
	for _, f := range files {
		if r.IntN(4) > 0 {
			_ = e.call(e.ms[r.IntN(len(e.ms))], "create "+f.name, func(p *program) error { return p.create(f.name, f.kind) })
		}
	}
	for range steps {
		if e.err != nil {
			return e.err
		}
		e.w.until(e.w.now + r.Uint64N(25))
		if r.IntN(100) < 12 {
			e.fault(r)
		} else {
			e.work(r)
		}
		if r.IntN(25) == 0 {
			e.prune(e.ms[r.IntN(len(e.ms))])
			if m := e.ms[r.IntN(len(e.ms))]; m.up && len(m.pending) == 0 && e.err == nil {
				e.must(e.oracle.matches(m))
			}
		}
	}
	return e.finish(r)
}

// survivors loses one module for a while, and checks that the others fill each
// other's gaps, its stream's too, without it.
func (e *mesh) survivors(lost *module) error {
	e.w.tracef("%s is lost", lost.name)
	if lost.up {
		e.crash(lost, 0)
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

// finish heals everything, waits until all have it all, and checks.
func (e *mesh) finish(r *rand.Rand) error {
	if len(e.ms) > 2 && r.IntN(2) == 0 {
		if err := e.survivors(e.ms[r.IntN(len(e.ms))]); err != nil {
			return err
		}
	}
	e.w.tracef("healing")
	e.net.heal(len(e.ms))
	for _, m := range e.ms {
		if !m.up {
			e.start(m)
		}
		m.setLazy(false)
		e.flush(m)
	}
	if err := e.catchUp(60_000, e.oracle.tails); err != nil {
		return err
	}
	if err := e.mend(); err != nil {
		return err
	}
	// Heads go round, and what has settled goes.
	e.w.until(e.w.now + 2_000)
	if err := e.checkAll(); err != nil {
		return err
	}
	if err := e.settled(); err != nil {
		return err
	}
	if err := ledger.Ls(e.ms[0].db, ledger.Filter{States: []conflict.State{conflict.Open}}, func(*ledger.Entry) bool {
		e.report.Conflicts++
		return true
	}); err != nil {
		return err
	}
	e.w.tracef("starting all anew from their disks")
	for _, m := range e.ms {
		e.crash(m, 0)
	}
	for _, m := range e.ms {
		e.start(m)
	}
	if err := e.catchUp(10_000, e.oracle.tails); err != nil {
		return err
	}
	if err := e.checkAll(); err != nil {
		return fmt.Errorf("after a new start: %w", err)
	}
	return e.err
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

func (e *mesh) checkAll() error {
	if e.err != nil {
		return e.err
	}
	for _, m := range e.ms {
		if err := errors.Join(e.oracle.once(m), e.oracle.matches(m)); err != nil {
			return err
		}
	}
	if err := e.oracle.converged(e.ms); err != nil {
		return err
	}
	var first []string
	for i, m := range e.ms {
		v, err := m.view()
		if err != nil {
			return err
		}
		if i == 0 {
			first = v
		} else if !slices.Equal(first, v) {
			return fmt.Errorf("programs at %s and %s see different files:\n%s\n\n%s", e.ms[0].name, m.name, strings.Join(first, "\n"), strings.Join(v, "\n"))
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
		}
		e.must(m.j.Prune(s, held))
	}
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

// files are what programs of a random run use, and how.
var files = []struct{ name, kind string }{
	{"accounts", keyed}, {"parts", keyed}, {"balances", transacted}, {"slots", relative}, {"audit", plain},
}

func (e *mesh) work(r *rand.Rand) {
	m := e.ms[r.IntN(len(e.ms))]
	f := files[r.IntN(len(files))]
	data := fmt.Appendf(nil, "%04d%04d%d-%s-%d", r.IntN(12), r.IntN(40), r.IntN(3), m.name, r.IntN(1000))
	pick := r.IntN(100)
	n := 1 + r.IntN(8)
	if !m.up {
		return
	}
	if f.kind == transacted && pick >= 8 && pick < 96 {
		e.transact(m, f.name, pick, n, data)
		return
	}
	switch {
	case pick < 8:
		_ = e.call(m, "create "+f.name, func(p *program) error { return p.create(f.name, f.kind) })
	case pick < 45:
		_ = e.call(m, fmt.Sprintf("insert %s %s", f.name, data), func(p *program) error { return p.insert(f.name, data) })
	case pick < 60:
		_ = e.call(m, fmt.Sprintf("read %s %d", f.name, n), func(p *program) error { return p.read(f.name, n) })
	case pick < 75:
		_ = e.call(m, fmt.Sprintf("rewrite %s %s", f.name, data), func(p *program) error { return p.rewrite(f.name, data) })
	case pick < 90:
		_ = e.call(m, fmt.Sprintf("reread %s %d %s", f.name, n, data), func(p *program) error {
			if err := p.read(f.name, n); err != nil {
				return err
			}
			return p.rewrite(f.name, data)
		})
	case pick < 96:
		_ = e.call(m, fmt.Sprintf("delete %s", f.name), func(p *program) error {
			if err := p.read(f.name, n); err != nil {
				return err
			}
			return p.rewrite(f.name, nil)
		})
	case pick < 97:
		_ = e.call(m, "truncate "+f.name, func(p *program) error { return p.truncate(f.name) })
	case pick < 98:
		_ = e.call(m, "rename "+f.name, func(p *program) error { return p.rename(f.name, f.name+".old") })
	case pick < 99:
		_ = e.call(m, "delete_file "+f.name+".old", func(p *program) error { return p.deleteFile(f.name + ".old") })
	default:
		_ = e.call(m, "delete_file "+f.name, func(p *program) error { return p.deleteFile(f.name) })
	}
	if m.lazy && e.w.chance("flush", 4) {
		e.flush(m)
	}
}

// transact is work on a transaction file.
func (e *mesh) transact(m *module, name string, pick, n int, data []byte) {
	what := "deposit"
	if pick > 40 {
		what = "transfer"
	}
	_ = e.call(m, fmt.Sprintf("%s %s %d %s", what, name, n, data), func(p *program) error {
		return p.within(func() error {
			if what == "deposit" {
				return p.insert(name, data)
			}
			return p.transfer(name, 1+n%4, func(i int, old []byte) []byte {
				return append(slices.Clone(old[:min(8, len(old))]), fmt.Sprintf("%d-%s-t%d", i%3, m.name, n)...)
			})
		})
	})
	if m.lazy && e.w.chance("flush", 4) {
		e.flush(m)
	}
}

func (e *mesh) fault(r *rand.Rand) {
	a, b := r.IntN(len(e.ms)), r.IntN(len(e.ms))
	if a == b {
		b = (a + 1) % len(e.ms)
	}
	m := e.ms[a]
	did := ""
	switch pick := r.IntN(100); {
	case pick < 15:
		did = "link cut"
		e.net.sever(a, b, false)
	case pick < 20:
		did = "link cut one way"
		e.net.sever(a, b, true)
	case pick < 40:
		did = "link healed"
		e.net.join(a, b)
	case pick < 50:
		did = "module cut off"
		for p := range e.ms {
			if p != a {
				e.net.sever(a, p, false)
			}
		}
	case pick < 65:
		did = "crash"
		if !m.up {
			return
		}
		e.crash(m, 100*r.IntN(2))
		e.w.after(r.Uint64N(400), func() {
			if !m.up && e.err == nil {
				e.w.tracef("%s starts", m.name)
				e.start(m)
			}
		})
	case pick < 75:
		did = "late flushes"
		if m.up {
			m.setLazy(!m.lazy)
			e.flush(m)
		}
	case pick < 80:
		did = "index of one module"
		f := files[r.IntN(2)]
		if !m.up || m.local[f.name] || m.prog.index(f.name, localIndex, 5, 2, call.IndexHere) != nil {
			return
		}
		m.local[f.name] = true
	case pick < 82:
		did = "join"
		if !m.up || len(e.ms) >= 5 {
			return
		}
		slow := map[int]bool{}
		for _, x := range e.ms {
			if x != m && r.IntN(3) == 0 {
				slow[x.n] = true
			}
		}
		e.w.tracef("m%d joins", len(e.ms)+1)
		j, err := e.join(m, func(x *module) bool { return !slow[x.n] })
		if err != nil {
			e.must(err)
			return
		}
		j.skew = time.Duration(r.IntN(4000)-2000) * time.Millisecond
		e.w.after(r.Uint64N(2000), func() {
			for _, x := range e.ms {
				x.control = e.control
			}
		})
	case pick < 85:
		did = "clock jump"
		m.skew = time.Duration(r.IntN(4000)-2000) * time.Millisecond
	default:
		did = "network trouble"
		e.net.reorder, e.net.duplicate, e.net.lose = r.IntN(6), r.IntN(6), r.IntN(3)*(10+r.IntN(40))
	}
	e.report.Faults[did]++
	e.w.tracef("fault: %s m%d m%d", did, a+1, b+1)
}

// add sums up runs.
func (r *Report) add(o *Report) {
	for _, p := range [][2]map[string]int{{r.Ops, o.Ops}, {r.Refused, o.Refused}, {r.Faults, o.Faults}, {r.Checks, o.Checks}} {
		for k, n := range p[1] {
			p[0][k] += n
		}
	}
	r.Txns += o.Txns
	r.Conflicts += o.Conflicts
}

// String prints what a run did, for people.
func (r *Report) String() string {
	var b strings.Builder
	list := func(name string, m map[string]int) {
		fmt.Fprintf(&b, "  %s:", name)
		for i, k := range slices.Sorted(maps.Keys(m)) {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " %d %s", m[k], k)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "seed %d: %d modules, %d txns, %d open conflicts in the end, trace %016x\n", r.Seed, r.Modules, r.Txns, r.Conflicts, r.Trace)
	list("operations", r.Ops)
	list("refused", r.Refused)
	list("faults", r.Faults)
	list("checked", r.Checks)
	return b.String()
}
