package link

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"drmesh/origin"
)

// wires is a source and a receiver with links between them, on one clock. It
// drives a Spread and an Ahead as their drivers do.
type wires struct {
	t       *testing.T
	now     time.Time
	p       *Spread
	stream  origin.Stream
	durable origin.Seq
	links   [MaxLinks + 1]*line
	events  dueHeap
	n       int

	ahead   Ahead
	at      origin.Seq // received, in order
	arrived int        // txns, however often
}

// line is a link: bytes leave it one after the other.
type line struct {
	delay time.Duration
	rate  float64 // bytes per second
	free  time.Time
	hole  bool // all that is under way is lost, and nobody knows
	up    int  // counts the times that it stood
	taken uint64
	down  bool
	sent  int // txns
}

type due struct {
	at time.Time
	n  int
	fn func()
}

type dueHeap []due

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].n < h[j].n
	}
	return h[i].at.Before(h[j].at)
}
func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)   { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	x := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return x
}

const entrySize = 100

func newWires(t *testing.T, lines ...line) *wires {
	w := &wires{t: t, now: time.UnixMilli(1), p: NewSpread(), stream: origin.Stream{Group: 1, Module: 2, Incarnation: 1}}
	w.links[0] = &line{delay: 5 * time.Millisecond, rate: 10 << 20, up: 1}
	for i := range lines {
		l := lines[i]
		w.links[i+1] = &l
		w.up(i + 1)
	}
	w.p.Subscribe(w.stream, 0, 1<<40)
	return w
}

func (w *wires) in(d time.Duration, fn func()) {
	w.n++
	heap.Push(&w.events, due{w.now.Add(d), w.n, fn})
}

func (w *wires) up(link int) {
	l := w.links[link]
	l.up++
	l.hole, l.down, l.taken, l.free = false, false, 0, w.now
	w.p.Up(w.now, link, 2*l.delay)
}

func (w *wires) down(link int) {
	l := w.links[link]
	l.up++
	l.down = true
	w.p.Down(w.now, link)
}

// pump lets every link send what it may: one run at a time each, as long as
// there is room in what a sender may have written and not sent.
func (w *wires) pump() {
	for again := true; again; {
		again = false
		for i, l := range w.links {
			if l == nil || l.down || l.free.Sub(w.now) > 20*time.Millisecond {
				continue
			}
			o, ok := w.p.Next(w.now, i, origin.Vector{w.stream: {Seq: w.durable}})
			for ok {
				again = true
				n := max(1, o.Max/entrySize)
				upto := min(o.After+origin.Seq(n), w.durable)
				if o.Upto > 0 {
					upto = min(upto, o.Upto)
				}
				w.send(i, l, o.After, upto)
				o, ok = w.p.Sent(w.now, i, upto, int64(upto-o.After)*entrySize)
			}
		}
	}
}

func (w *wires) send(link int, l *line, after, upto origin.Seq) {
	c := Chunk{After: after}
	for q := after + 1; q <= upto; q++ {
		c.Entries = append(c.Entries, binary.BigEndian.AppendUint64(nil, uint64(q)))
		c.Bytes += 8
	}
	l.sent += len(c.Entries)
	if l.free.Before(w.now) {
		l.free = w.now
	}
	l.free = l.free.Add(time.Duration(float64(len(c.Entries)*entrySize) / l.rate * float64(time.Second)))
	up := l.up
	w.in(l.free.Sub(w.now)+l.delay, func() {
		if l.up != up || l.hole {
			return
		}
		w.receive(c)
		l.taken++
		taken := l.taken
		w.in(l.delay, func() {
			if link > 0 && l.up == up && !l.hole && !w.p.Taken(w.now, link, taken) {
				w.t.Errorf("link %d: %d runs were taken, and not so many sent", link, taken)
			}
		})
	})
}

func (w *wires) receive(c Chunk) {
	w.arrived += len(c.Entries)
	w.ahead.Add(c)
	for {
		c, ok := w.ahead.Next(w.at)
		if !ok {
			return
		}
		if c.After != w.at {
			w.t.Fatalf("after %d comes %d", w.at, c.After+1)
		}
		for _, e := range c.Entries {
			w.at++
			if got := origin.Seq(binary.BigEndian.Uint64(e)); got != w.at {
				w.t.Fatalf("%d came as %d", got, w.at)
			}
		}
	}
}

// play lets time pass until nothing is left to do, or the end.
func (w *wires) play(d time.Duration) {
	end := w.now.Add(d)
	w.pump()
	for {
		next := end
		if len(w.events) > 0 {
			next = w.events[0].at
		}
		for i, l := range w.links { // a sender that is through, or waits for a time
			if l == nil || l.down {
				continue
			}
			if t := l.free.Add(-20 * time.Millisecond); t.After(w.now) && t.Before(next) {
				next = t
			}
			if t := w.p.Due(w.now, i); !t.IsZero() && t.After(w.now) && t.Before(next) {
				next = t
			}
		}
		if !next.Before(end) {
			w.now = end
			w.pump()
			return
		}
		w.now = next
		for len(w.events) > 0 && !w.events[0].at.After(w.now) {
			heap.Pop(&w.events).(due).fn()
		}
		w.pump()
	}
}

const mb = 1 << 20

func TestAllLinksFillAndEachTxnIsSentOnce(t *testing.T) {
	w := newWires(t, line{delay: 5 * time.Millisecond, rate: mb}, line{delay: 5 * time.Millisecond, rate: 3 * mb})
	w.durable = 100000 // 10 MB over 4 MB/s
	w.play(2700 * time.Millisecond)
	if w.at != w.durable || w.arrived != int(w.durable) {
		t.Errorf("%d of %d came, %d with repetitions", w.at, w.durable, w.arrived)
	}
	a, b := w.links[1].sent, w.links[2].sent
	if w.links[0].sent != 0 || b < 2*a || b > 4*a {
		t.Errorf("links of 1 and 3 MB/s carried %d and %d txns, the session %d", a, b, w.links[0].sent)
	}
}

func TestWhatIsUnderWayOnASlowLinkIsBounded(t *testing.T) {
	w := newWires(t, line{delay: 5 * time.Millisecond, rate: 10 * mb}, line{delay: 5 * time.Millisecond, rate: mb / 10})
	w.durable = 1000000
	var most origin.Seq
	for range 100 {
		w.play(100 * time.Millisecond)
		if n := origin.Seq(w.ahead.Bytes / 8); n > most {
			most = n
		}
		if _, bytes := w.p.Flying(2); bytes > leastWindow+4*leastRun {
			t.Fatalf("%d bytes are under way on the slow link", bytes)
		}
	}
	if w.at < 900000 {
		t.Errorf("%d of %d came in 10 s over links of 10 and 0.1 MB/s, at most %d ahead", w.at, w.durable, most)
	}
}

func TestNearerLinkIsAskedFirst(t *testing.T) {
	w := newWires(t, line{delay: 50 * time.Millisecond, rate: mb}, line{delay: time.Millisecond, rate: mb})
	for range 100 {
		w.durable++
		w.play(20 * time.Millisecond)
		if w.at != w.durable {
			t.Fatalf("txn %d is not there after 20 ms", w.durable)
		}
	}
	if w.links[1].sent != 0 {
		t.Errorf("%d of 100 went the long way", w.links[1].sent)
	}
}

func TestNearerLinkThatDoesNotSendIsNotWaitedFor(t *testing.T) {
	p := NewSpread()
	s := origin.Stream{Group: 1, Module: 2, Incarnation: 1}
	now := time.UnixMilli(0)
	p.Up(now, 1, 50*time.Millisecond)
	p.Up(now, 2, time.Millisecond)
	p.Subscribe(s, 0, 1<<20)
	have := origin.Vector{s: {Seq: 1}}
	if _, ok := p.Next(now, 1, have); ok {
		t.Fatal("the far link took it at once")
	}
	if due := p.Due(now, 1); due != now.Add(deference) {
		t.Fatalf("due at %v", due)
	}
	if _, ok := p.Next(now.Add(deference), 1, have); !ok {
		t.Fatal("nobody takes it")
	}
}

func TestDeadLinksRunsGoToTheOthers(t *testing.T) {
	for _, told := range []bool{true, false} {
		w := newWires(t, line{delay: 5 * time.Millisecond, rate: mb}, line{delay: 5 * time.Millisecond, rate: mb})
		w.durable = 50000
		w.play(time.Second)
		runs, bytes := w.p.Flying(1)
		if runs == 0 {
			t.Fatal("nothing is under way")
		}
		w.links[1].hole = true
		if told {
			w.down(1)
		}
		w.play(6 * time.Second)
		if w.at != w.durable {
			t.Errorf("told %v: %d of %d came", told, w.at, w.durable)
		}
		if again := w.links[1].sent + w.links[2].sent - int(w.durable); again*entrySize > 2*int(bytes) || again == 0 {
			t.Errorf("told %v: %d txns went twice, %d bytes were under way", told, again, bytes)
		}
	}
}

func TestSessionCarriesWhatNoLinkDoes(t *testing.T) {
	w := newWires(t, line{delay: 5 * time.Millisecond, rate: mb})
	w.durable = 1000
	w.play(time.Second)
	if w.links[0].sent != 0 || w.at != 1000 {
		t.Fatalf("%d came, %d over the session", w.at, w.links[0].sent)
	}
	w.links[1].hole = true
	w.durable = 2000
	w.play(2 * time.Second)
	if w.links[0].sent != 1000 || w.at != 2000 {
		t.Errorf("%d came, %d over the session", w.at, w.links[0].sent)
	}
	w.down(1)
	w.durable = 3000
	w.play(2 * time.Second)
	if w.links[0].sent != 2000 || w.at != 3000 {
		t.Errorf("%d came, %d over the session", w.at, w.links[0].sent)
	}
	w.up(1)
	w.durable = 4000
	w.play(2 * time.Second)
	if w.links[0].sent != 2000 || w.at != 4000 {
		t.Errorf("%d came, %d over the session", w.at, w.links[0].sent)
	}
}

func TestCreditIsChargedOnce(t *testing.T) {
	w := newWires(t, line{delay: 5 * time.Millisecond, rate: mb}, line{delay: 5 * time.Millisecond, rate: mb})
	w.p.Subscribe(w.stream, 0, 1000*entrySize)
	w.durable = 100000
	w.play(10 * time.Millisecond)
	w.down(1)
	w.play(time.Second)
	const most = 1000 + MaxRun/entrySize // the last run may go over it
	if w.at < 1000 || w.at > most {
		t.Fatalf("credit for 1000 txns let %d through", w.at)
	}
	w.p.Credit(w.stream, int64(w.at)*entrySize, 1<<30)
	was := w.at
	w.play(time.Second)
	if w.at < was+1000 || w.at > was+most {
		t.Errorf("as much again let %d more through", w.at-was)
	}
}

// Links that come and go, vanish and crawl, at random.
func TestSpreadSeeds(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			var lines []line
			for range 1 + r.IntN(MaxLinks) {
				lines = append(lines, line{delay: time.Duration(1+r.IntN(100)) * time.Millisecond, rate: float64(50_000 + r.IntN(5_000_000))})
			}
			w := newWires(t, lines...)
			fails := seed%3 != 0
			for range 60 {
				w.durable += origin.Seq(r.IntN(3000))
				w.play(time.Duration(r.IntN(150)) * time.Millisecond)
				if i := 1 + r.IntN(len(lines)); fails && r.IntN(3) == 0 {
					switch l := w.links[i]; {
					case l.down:
						w.up(i)
					case r.IntN(2) == 0:
						w.down(i)
					default:
						l.hole = true
					}
				}
			}
			for i := range lines {
				if l := w.links[i+1]; l.hole {
					w.down(i + 1)
					w.up(i + 1)
				}
			}
			w.play(10 * time.Minute)
			if w.at != w.durable {
				t.Errorf("%d of %d came", w.at, w.durable)
			}
			if !fails && w.arrived != int(w.durable) {
				t.Errorf("nothing failed, and %d txns came for %d", w.arrived, w.durable)
			}
			if w.ahead.Bytes != 0 {
				t.Errorf("%d bytes are held for nothing", w.ahead.Bytes)
			}
			for i := range w.links {
				if runs, bytes := w.p.Flying(i); runs != 0 || bytes != 0 {
					t.Errorf("%d runs, %d bytes are under way on link %d", runs, bytes, i)
				}
			}
		})
	}
}

func TestAhead(t *testing.T) {
	chunk := func(after, n int) Chunk {
		c := Chunk{After: origin.Seq(after), Bytes: int64(n)}
		for i := range n {
			c.Entries = append(c.Entries, []byte{byte(after + i + 1)})
		}
		return c
	}
	var a Ahead
	var at origin.Seq
	for _, c := range []struct {
		add  Chunk
		want []Chunk
	}{
		{chunk(0, 2), []Chunk{chunk(0, 2)}},
		{chunk(5, 3), nil},
		{chunk(5, 2), nil}, // a shorter copy
		{chunk(5, 4), nil}, // a longer one
		{chunk(20, 1), nil},
		{chunk(8, 4), nil}, // overlaps
		{chunk(2, 3), []Chunk{chunk(2, 3), chunk(5, 4), chunk(9, 3)}}, // closes the gap
		{chunk(2, 3), nil}, // once more
		{chunk(11, 9), []Chunk{chunk(12, 8), chunk(20, 1)}},
	} {
		a.Add(c.add)
		var got []Chunk
		for {
			x, ok := a.Next(at)
			if !ok {
				break
			}
			at = x.upto()
			got = append(got, x)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("after %d+%d came %+v, want %+v", c.add.After, len(c.add.Entries), got, c.want)
		}
	}
	if a.Bytes != 0 || a.Dropped != 2+3+1+3+1 {
		t.Errorf("%d bytes are held, %d were dropped", a.Bytes, a.Dropped)
	}
}
