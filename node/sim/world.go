package sim

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

// world is the one owner of a run: virtual time, the queue of what happens
// next, chance, and the trace. Nothing else in a run knows the time or makes a
// choice.
type world struct {
	seed   uint64
	now    uint64 // milliseconds since the run began
	queue  events
	number uint64
	rands  map[string]*rand.Rand

	trace []string // the last of what happened
	tail  uint64   // hash of the whole trace
	lines int
	out   func(string) // nil: nobody listens
}

func newWorld(seed uint64) *world {
	return &world{seed: seed, rands: map[string]*rand.Rand{}, tail: 14695981039346656037}
}

// rand is the chance of one purpose, so that a choice fewer in one place
// leaves the others as they were.
func (w *world) rand(purpose string) *rand.Rand {
	r := w.rands[purpose]
	if r == nil {
		h := fnv.New64a()
		h.Write([]byte(purpose))
		r = rand.New(rand.NewPCG(w.seed, h.Sum64()))
		w.rands[purpose] = r
	}
	return r
}

// chance is true once in n times.
func (w *world) chance(purpose string, n int) bool { return w.rand(purpose).IntN(n) == 0 }

type event struct {
	at     uint64
	number uint64
	do     func()
}

type events []*event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].number < q[j].number
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *events) Pop() any {
	l := *q
	e := l[len(l)-1]
	l[len(l)-1] = nil
	*q = l[:len(l)-1]
	return e
}

// time is what went by since the beginning.
func (w *world) time() time.Duration { return time.Duration(w.now) * time.Millisecond }

// after does something delay milliseconds from now.
func (w *world) after(delay uint64, do func()) {
	w.number++
	heap.Push(&w.queue, &event{w.now + delay, w.number, do})
}

// until lets everything happen that is due up to a time, and brings time there.
func (w *world) until(at uint64) {
	for len(w.queue) > 0 && w.queue[0].at <= at {
		e := heap.Pop(&w.queue).(*event)
		w.now = e.at
		e.do()
	}
	w.now = max(w.now, at)
}

// traceKept is how much of the trace is kept to be shown after a failure.
const traceKept = 400

func (w *world) tracef(format string, args ...any) {
	s := fmt.Sprintf("%6d  ", w.now) + fmt.Sprintf(format, args...)
	for i := range len(s) {
		w.tail = (w.tail ^ uint64(s[i])) * 1099511628211
	}
	w.lines++
	if w.out != nil {
		w.out(s)
	}
	if len(w.trace) == traceKept {
		copy(w.trace, w.trace[1:])
		w.trace = w.trace[:traceKept-1]
	}
	w.trace = append(w.trace, s)
}

func (w *world) traceText() string { return strings.Join(w.trace, "\n") }
