package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// Options say what a run is. The same options give the same run.
type Options struct {
	Seed    uint64
	Modules int // 2 to 5; 0: the seed says
	Steps   int // operations and faults; 0: the seed says
	// Pause is the greatest time between two of them, in virtual time; 0: 25 ms.
	Pause time.Duration
	Out   func(string)
}

// Failure is a broken invariant.
type Failure struct {
	Seed  uint64
	Steps int
	Err   error
	Trace string // the last of what happened
	// Diagram is the same as a picture: a column for each module.
	Diagram string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d, after %d steps: %v", f.Seed, f.Steps, f.Err)
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
	if o.Pause == 0 {
		o.Pause = 25 * time.Millisecond
	}
	e := newMesh(w, o.Modules)
	policies := []control.SharePolicy{{}, {Policy: "earliest"}, {Policy: "rank", Rank: []origin.Module{3, 1}}, {Policy: "ask"}}
	policy := policies[w.rand("policy").IntN(len(policies))]
	e.calm = o.Pause >= time.Second
	e.policy = func(string, uint64) control.SharePolicy { return policy }
	defer e.close()
	r := NewReport()
	r.Seed, r.Modules, r.Checks = o.Seed, o.Modules, e.oracle.checks
	e.report = r
	err := e.guarded(func() error { return e.run(o.Steps, uint64(max(o.Pause.Milliseconds(), 1))) })
	r.Txns, r.Trace, r.Time = len(e.oracle.txns), w.tail, time.Duration(w.now)*time.Millisecond
	r.account(e.ms)
	r.Faults["batches changed"], r.Faults["batches forged"] = e.net.changed, e.net.forged
	r.Faults["frames held up"], r.Faults["frames doubled"], r.Faults["frames lost with their connection"] = e.net.held, e.net.doubled, e.net.lost
	if err != nil {
		return r, &Failure{o.Seed, o.Steps, err, w.traceText(), diagram(w.trace, len(e.ms))}
	}
	return r, nil
}

// guarded makes an error of a panic of the code that runs: none may.
func (e *mesh) guarded(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			e.err = err
		}
	}()
	return do()
}

// Shrink looks for a shorter run of a failing seed: the beginning of it that
// still fails. It gives the last that did, and its options; tries bounds how
// often it runs.
func Shrink(o Options, f *Failure, tries int) (Options, *Failure) {
	o.Steps = f.Steps
	for cut := o.Steps / 2; cut > 0 && tries > 0; tries-- {
		less := o
		less.Steps -= cut
		var g *Failure
		if _, err := Run(less); less.Steps > 0 && errors.As(err, &g) {
			o, f = less, g
			cut = min(cut, o.Steps/2)
		} else {
			cut /= 2
		}
	}
	return o, f
}

// broken is for tests of what becomes of failures: it is asked before each
// step. Nil in every real run.
var broken func(e *mesh, step int) error

// run is the plan of a random run.
func (e *mesh) run(steps int, pause uint64) error {
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
	for step := range steps {
		if broken != nil {
			e.must(broken(e, step))
		}
		if e.err != nil {
			return e.err
		}
		e.w.until(e.w.now + r.Uint64N(pause))
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
		e.w.until(max(e.w.now, e.net.paused[m.n])) // nobody sleeps while heads are to go round
	}
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
	if e.calm {
		e.w.until(e.w.now + 10_000)
	}
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
		e.crash(m, false)
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
