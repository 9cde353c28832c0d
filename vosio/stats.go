package vosio

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"drmesh/vosio/call"
)

// Statistics: how often each program made each call on each file, and how often
// it failed, since the node started. A port counts by itself, without a lock;
// what it counted goes to the sum of its program and file when it is closed.
// They are in memory alone.

// maxTallies bounds the sums; calls on what does not fit go to othersName.
const maxTallies = 4096

// othersName stands for the programs and files of which there were too many.
const othersName = "(others)"

// FileCalls is what a program did with a file.
type FileCalls struct {
	Program string
	File    string // full path; empty: calls that are about no file
	Calls   []CallCount
}

// CallCount is how often one call was made. Failed are those of them that gave
// a code other than 0, as the end of a file.
type CallCount struct {
	Call   string
	Made   uint64
	Failed uint64
}

type tallyOf struct{ program, file string }

// tally counts calls by their number. It is written by one program's turn, or
// under the lock of stats, and read by anybody.
type tally struct {
	of     tallyOf
	made   []atomic.Uint64
	failed []atomic.Uint64
}

func newTally(of tallyOf) *tally {
	n := call.Numbers()
	return &tally{of: of, made: make([]atomic.Uint64, n), failed: make([]atomic.Uint64, n)}
}

func (t *tally) add(o *tally) {
	for i := range o.made {
		t.made[i].Add(o.made[i].Load())
		t.failed[i].Add(o.failed[i].Load())
	}
}

// view lists what was counted; nil if nothing was.
func (t *tally) view() []CallCount {
	var l []CallCount
	for i := range t.made {
		if n := t.made[i].Load(); n > 0 {
			l = append(l, CallCount{call.NameOf(i), n, t.failed[i].Load()})
		}
	}
	return l
}

// stats are the engine's. Ports and programs that are closed are in sums, the
// others in live.
type stats struct {
	since time.Time

	mu   sync.Mutex // protects what follows; held for no I/O
	sums map[tallyOf]*tally
	live map[*tally]struct{}
}

func newStats() *stats {
	return &stats{since: time.Now(), sums: map[tallyOf]*tally{}, live: map[*tally]struct{}{}}
}

// open begins to count for a port, or for what a program does without one.
func (s *stats) open(program, file string) *tally {
	t := newTally(tallyOf{program, file})
	s.mu.Lock()
	s.live[t] = struct{}{}
	s.mu.Unlock()
	return t
}

// close adds what a port counted to the sums.
func (s *stats) close(t *tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, t)
	s.sum(t.of).add(t)
}

// sum finds or makes the sum of a program and a file. s.mu is held.
func (s *stats) sum(of tallyOf) *tally {
	t := s.sums[of]
	if t == nil && len(s.sums) >= maxTallies {
		of = tallyOf{othersName, othersName}
		t = s.sums[of]
	}
	if t == nil {
		t = newTally(of)
		s.sums[of] = t
	}
	return t
}

// once counts a call that is about a path and no port.
func (s *stats) once(program, file string, number int, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.sum(tallyOf{program, file})
	t.made[number].Add(1)
	if failed {
		t.failed[number].Add(1)
	}
}

// Stats lists what programs did with files since the node started, in order of
// program and file. It is of one moment for each port, not for all.
func (e *Engine) Stats() (since time.Time, l []FileCalls) {
	s := e.stats
	all := map[tallyOf]*tally{}
	s.mu.Lock()
	take := func(t *tally) {
		x := all[t.of]
		if x == nil {
			x = newTally(t.of)
			all[t.of] = x
		}
		x.add(t)
	}
	for _, t := range s.sums {
		take(t)
	}
	for t := range s.live {
		take(t)
	}
	s.mu.Unlock()
	for of, t := range all {
		if v := t.view(); v != nil {
			l = append(l, FileCalls{of.program, of.file, v})
		}
	}
	slices.SortFunc(l, func(a, b FileCalls) int {
		return cmp.Or(cmp.Compare(a.Program, b.Program), cmp.Compare(a.File, b.File))
	})
	return s.since, l
}

// counted finds where a call on a port is counted; nil: it is about no port
// that there is.
func (p *Process) counted(port int) *tally {
	x := p.portOf(port)
	if x == nil {
		return nil
	}
	if x.calls == nil {
		x.calls = p.e.stats.open(p.name, x.path)
	}
	return x.calls
}

// countElse counts a call that was made on no port: on the port that it gave, on
// its path, or for the program itself. The process's turn is held.
func (p *Process) countElse(e *call.Entry, q *call.Request, r *call.Reply) {
	n, failed := e.Number(), r.Code != 0
	t := p.counted(r.Port)
	if t == nil && q.Path != "" {
		if full, err := p.fullPath(q.Path); err == nil {
			p.e.stats.once(p.name, full, n, failed)
			return
		}
	}
	if t == nil {
		if p.calls == nil {
			p.calls = p.e.stats.open(p.name, "")
		}
		t = p.calls
	}
	t.made[n].Add(1)
	if failed {
		t.failed[n].Add(1)
	}
}

// sumUp ends the counting of a port or of the program, and tells who wants to
// know.
func (p *Process) sumUp(t **tally) {
	if *t == nil {
		return
	}
	p.e.stats.close(*t)
	if fn := p.e.cfg.Closed; fn != nil && (*t).of.file != "" {
		if v := (*t).view(); v != nil {
			fn(FileCalls{(*t).of.program, (*t).of.file, v})
		}
	}
	*t = nil
}
