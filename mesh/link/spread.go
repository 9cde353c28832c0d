package link

import (
	"slices"
	"time"

	"drmesh/origin"
)

// Spread decides, for one session of a source, what goes over which of its
// links. Link 0 is the session's own conversation; 1 to MaxLinks are those
// that the receiver attached, one for each pair of addresses.
//
// It is pure, as all of this package. What holds:
//
//   - A stream's entries are given out in order, each once, to whichever link
//     asks next: a link that is slow asks less often. Two links never read one
//     stream at the same time, but what they read may be under way on all.
//   - While a link stands that is not suspect, link 0 carries nothing.
//   - Of two or more links each has a window of its own: what is under way on
//     it and not taken is what it carries in about horizon. So what a slow link
//     can hold up is small.
//   - A link's runs that were not taken when it died go to the others first.
//   - A link whose oldest run is overdue is suspect: it gets nothing new, and a
//     link that has nothing else to do carries the overdue runs once more.
//   - Credit is charged once for what is new, not for what is sent again.
//   - Equal events at equal times give equal orders: maps never show.
type Spread struct {
	streams map[origin.Stream]*cursor
	order   []origin.Stream // of streams, sorted
	turn    int             // whose turn it is in order
	links   [MaxLinks + 1]*way
	jobs    []*job // to be sent again, first come first
	epoch   uint64 // of the last subscription
}

const (
	// MaxLinks bounds the links of a session.
	MaxLinks = 4
	// MaxRun is what a link reads of a stream at a time, about.
	MaxRun = 256 << 10
	// leastRun is what a slow link reads.
	leastRun = 8 << 10
	// poorRate, in bytes per second, is what a link is thought to carry before
	// it has shown more.
	poorRate = 64 << 10
	// A link's window lies between these.
	leastWindow = 16 << 10
	mostWindow  = 4 << 20
	// maxFlight bounds the runs under way on a link.
	maxFlight = 4096
	// horizon is for how long a link's window lasts, beside two round trips.
	horizon = 100 * time.Millisecond
	// overdue is how long a run may be under way, beside four round trips and
	// twice the time that the link should need for what lies before it.
	overdue = 500 * time.Millisecond
	// deference is how long a link leaves a run to a nearer one that is idle.
	deference = 2 * time.Millisecond
)

// cursor is where a subscription stands.
type cursor struct {
	at      origin.Seq
	credit  int64
	epoch   uint64
	claimed bool       // a link reads
	dry     origin.Seq // a read gave nothing though so much is durable
}

// job is a run that was sent and not taken yet.
type job struct {
	stream      origin.Stream
	epoch       uint64
	after, upto origin.Seq
	bytes       int64
	riders      int // links that it is under way on
	done        bool
}

// flight is a run on a link. A job that is sent again may take several: the
// last is final.
type flight struct {
	job   *job
	bytes int64
	final bool
	sent  time.Time
	ahead int64 // under way on the link, this included
}

type way struct {
	rtt      time.Duration
	flights  []flight // oldest first
	bytes    int64    // of flights
	taken    uint64   // as told
	rate     float64  // bytes per second; 0: not known
	claim    *Order
	again    *job // of claim, when it is one
	deferred time.Time
}

// Order is what a link is to send next: of a stream what follows After, about
// Max bytes. With Upto it is sent again, in as many runs as it takes to reach
// Upto.
type Order struct {
	Stream origin.Stream
	After  origin.Seq
	Upto   origin.Seq
	Max    int

	epoch   uint64
	durable origin.Seq
}

// NewSpread starts with link 0 alone, and no subscription.
func NewSpread() *Spread {
	p := &Spread{streams: map[origin.Stream]*cursor{}}
	p.links[0] = &way{}
	return p
}

// Subscribe begins a stream anew, after a position. False: there are too many.
func (p *Spread) Subscribe(s origin.Stream, after origin.Seq, credit int64) bool {
	if p.streams[s] == nil {
		if len(p.order) >= origin.MaxStreams {
			return false
		}
		i, _ := slices.BinarySearchFunc(p.order, s, origin.Stream.Compare)
		p.order = slices.Insert(p.order, i, s)
	}
	p.epoch++
	p.streams[s] = &cursor{at: after, credit: credit, epoch: p.epoch}
	return true
}

// Unsubscribe ends a stream.
func (p *Spread) Unsubscribe(s origin.Stream) {
	if p.streams[s] == nil {
		return
	}
	delete(p.streams, s)
	i, _ := slices.BinarySearchFunc(p.order, s, origin.Stream.Compare)
	p.order = slices.Delete(p.order, i, i+1)
}

// Credit allows so many bytes more of a stream, up to most in all.
func (p *Spread) Credit(s origin.Stream, n, most int64) {
	if c := p.streams[s]; c != nil {
		c.credit = min(c.credit+min(n, most), most)
	}
}

// Positions tells how far each stream was given out to links, in order.
func (p *Spread) Positions() []origin.StreamSeq {
	l := make([]origin.StreamSeq, 0, len(p.order))
	for _, s := range p.order {
		l = append(l, origin.StreamSeq{Stream: s, Seq: p.streams[s].at})
	}
	return l
}

// Standing is how many streams are subscribed.
func (p *Spread) Standing() int { return len(p.order) }

// Up adds a link, or begins it anew.
func (p *Spread) Up(now time.Time, link int, rtt time.Duration) {
	p.Down(now, link)
	p.links[link] = &way{rtt: rtt}
}

// Down takes a link away. What was not taken of it is to be sent again, but
// what is under way elsewhere.
func (p *Spread) Down(now time.Time, link int) {
	w := p.links[link]
	if w == nil {
		return
	}
	p.links[link] = nil
	var left []*job
	for _, f := range w.flights {
		if f.final {
			left = append(left, f.job)
		}
	}
	if w.claim != nil {
		if w.again != nil {
			left = append(left, w.again)
		} else if c := p.live(w.claim.Stream, w.claim.epoch); c != nil {
			c.claimed = false
		}
	}
	for _, j := range left {
		if j.riders--; j.riders == 0 && p.wanted(j) {
			p.jobs = append(p.jobs, j)
		}
	}
}

// Measured tells the round trip of a link.
func (p *Spread) Measured(link int, rtt time.Duration) {
	if w := p.links[link]; w != nil && rtt > 0 {
		w.rtt = rtt
	}
}

// live is the cursor of a subscription if it still stands.
func (p *Spread) live(s origin.Stream, epoch uint64) *cursor {
	if c := p.streams[s]; c != nil && c.epoch == epoch {
		return c
	}
	return nil
}

func (p *Spread) wanted(j *job) bool { return !j.done && p.live(j.stream, j.epoch) != nil }

// alone reports whether a link is the only one that can carry anything.
func (p *Spread) alone(link int) bool {
	for i, w := range p.links {
		if i != link && i != 0 && w != nil {
			return false
		}
	}
	return true
}

// window is what may be under way on a link.
func (w *way) window() int64 {
	return min(max(int64(w.rate*(horizon+2*w.rtt).Seconds()), leastWindow), mostWindow)
}

// late is when the first flight that is not under way elsewhere is overdue;
// zero: there is none.
func (p *Spread) late(w *way) (j *job, at time.Time) {
	for _, f := range w.flights {
		if f.final && f.job.riders == 1 && p.wanted(f.job) {
			return f.job, f.sent.Add(w.patience(f))
		}
	}
	return nil, time.Time{}
}

func (w *way) patience(f flight) time.Duration {
	d := overdue + 4*w.rtt
	rate := w.rate
	if rate == 0 {
		rate = poorRate
	}
	return d + time.Duration(2*float64(f.ahead)/rate*float64(time.Second))
}

// suspect reports whether a link owes for too long.
func (w *way) suspect(now time.Time) bool {
	return len(w.flights) > 0 && now.Sub(w.flights[0].sent) > w.patience(w.flights[0])
}

func (p *Spread) allSuspect(now time.Time) bool {
	for _, w := range p.links[1:] {
		if w != nil && !w.suspect(now) {
			return false
		}
	}
	return true
}

// Next gives what a link is to send; it tells by Sent what it read. durable is
// what the source has.
func (p *Spread) Next(now time.Time, link int, durable origin.Vector) (Order, bool) {
	w := p.links[link]
	if w == nil || w.claim != nil {
		return Order{}, false
	}
	alone, most := p.alone(link), MaxRun
	switch {
	case link == 0:
		if !p.allSuspect(now) {
			return Order{}, false
		}
	case w.suspect(now), !alone && w.bytes >= w.window():
		return Order{}, false
	case !alone:
		most = min(max(int(w.rate*0.05), leastRun), MaxRun)
	}
	if len(w.flights) >= maxFlight {
		return Order{}, false
	}
	for len(p.jobs) > 0 {
		j := p.jobs[0]
		p.jobs = p.jobs[1:]
		if p.wanted(j) {
			return p.repeat(now, w, j), true
		}
	}
	for i := range p.order {
		i = (p.turn + i) % len(p.order)
		s := p.order[i]
		c := p.streams[s]
		if d := durable[s].Seq; c.credit > 0 && !c.claimed && d > c.at && d > c.dry {
			if !alone && link != 0 && p.defers(now, link) {
				return Order{}, false
			}
			p.turn = i + 1
			c.claimed = true
			o := Order{Stream: s, After: c.at, Max: most, epoch: c.epoch, durable: d}
			w.claim, w.deferred = &o, time.Time{}
			return o, true
		}
	}
	w.deferred = time.Time{}
	for i, x := range p.links {
		if x == nil || i == link {
			continue
		}
		if j, at := p.late(x); j != nil && now.After(at) {
			return p.repeat(now, w, j), true
		}
	}
	return Order{}, false
}

func (p *Spread) repeat(now time.Time, w *way, j *job) Order {
	j.riders++
	o := Order{Stream: j.stream, After: j.after, Upto: j.upto, Max: int(min(j.bytes, MaxRun*2)), epoch: j.epoch}
	w.claim, w.again = &o, j
	return o
}

// defers reports whether a run is left to a nearer link that is idle: it was
// woken by the same news. It is not waited for for long.
func (p *Spread) defers(now time.Time, link int) bool {
	w := p.links[link]
	if !w.deferred.IsZero() && now.Sub(w.deferred) >= deference {
		return false
	}
	for i, x := range p.links {
		if i == 0 || i == link || x == nil || x.claim != nil || len(x.flights) > 0 {
			continue
		}
		if x.rtt+time.Millisecond < w.rtt-w.rtt/4 {
			if w.deferred.IsZero() {
				w.deferred = now
			}
			return true
		}
	}
	return false
}

// Fail ends a link's order whose entries the journal has let go of. True: the
// subscription ends, and the receiver is to be told. Of what is sent again they
// are not missed: what is gone here, the receiver has said to hold.
func (p *Spread) Fail(link int) (o Order, ends bool) {
	w := p.links[link]
	if w == nil || w.claim == nil {
		return o, false
	}
	o = *w.claim
	c, j := p.live(o.Stream, o.epoch), w.again
	w.claim, w.again = nil, nil
	if j != nil {
		j.done = true
		j.riders--
		return o, false
	}
	if c == nil {
		return o, false
	}
	p.Unsubscribe(o.Stream)
	return o, true
}

// Sent tells what a link read on its order: entries up to a seq, so many bytes
// of them, on their way from now on. With upto at After there was nothing. The
// order is done with; of one that is sent again when its Upto was reached, and
// until then the rest is asked for by the order that is given back.
func (p *Spread) Sent(now time.Time, link int, upto origin.Seq, bytes int64) (rest Order, more bool) {
	w := p.links[link]
	if w == nil || w.claim == nil {
		return Order{}, false
	}
	o, j := w.claim, w.again
	c := p.live(o.Stream, o.epoch)
	f := flight{bytes: bytes, sent: now, ahead: w.bytes + bytes}
	if j != nil {
		f.job, f.final = j, upto >= o.Upto || upto == o.After
		if c != nil && !c.claimed && upto > c.at {
			c.at = upto // the journal gave more than the last time
		}
		if upto > o.After {
			w.fly(link, f)
		} else {
			j.done = true // the journal has no head for it any more: see Fail
			j.riders--
		}
		if o.After = upto; !f.final {
			return *o, true
		}
		w.claim, w.again = nil, nil
		return Order{}, false
	}
	w.claim = nil
	if c != nil {
		c.claimed = false
	}
	switch {
	case upto <= o.After:
		if c != nil {
			c.dry = o.durable
		}
		return Order{}, false
	case c != nil && upto > c.at:
		c.at = upto
		c.credit -= bytes
	}
	if link != 0 {
		f.job = &job{stream: o.Stream, epoch: o.epoch, after: o.After, upto: upto, bytes: bytes, riders: 1}
		f.final = true
		w.fly(link, f)
	}
	return Order{}, false
}

func (w *way) fly(link int, f flight) {
	if link == 0 {
		// What is sent again over the session's own conversation comes, or the
		// session ends.
		f.job.done = true
		return
	}
	w.flights = append(w.flights, f)
	w.bytes += f.bytes
}

// Taken hears how many runs the receiver has taken from a link since it stands.
// False: so many were never sent.
func (p *Spread) Taken(now time.Time, link int, runs uint64) bool {
	w := p.links[link]
	if w == nil || runs < w.taken || runs-w.taken > uint64(len(w.flights)) {
		return w == nil
	}
	n := int(runs - w.taken)
	w.taken = runs
	for i, f := range w.flights[:n] {
		w.bytes -= f.bytes
		if f.final {
			f.job.done = true
			f.job.riders--
		}
		if i == n-1 {
			took := max(now.Sub(f.sent), 100*time.Microsecond)
			rate := float64(f.ahead) / took.Seconds()
			if w.rate == 0 {
				w.rate = rate
			} else {
				w.rate += (rate - w.rate) / 4
			}
		}
	}
	w.flights = slices.Delete(w.flights, 0, n)
	return true
}

// Tick forgets which streams gave nothing, once a second.
func (p *Spread) Tick() {
	for _, c := range p.streams {
		c.dry = 0
	}
}

// Due is when a link that has nothing to do should ask again though nothing
// happened; zero: never.
func (p *Spread) Due(now time.Time, link int) (due time.Time) {
	w := p.links[link]
	if w == nil {
		return due
	}
	sooner := func(t time.Time) {
		if due.IsZero() || t.Before(due) {
			due = t
		}
	}
	if at := w.deferred.Add(deference); !w.deferred.IsZero() && at.After(now) {
		sooner(at)
	}
	for i, x := range p.links {
		if x == nil || i == link || i == 0 {
			continue
		}
		if j, at := p.late(x); j != nil {
			if at = at.Add(time.Millisecond); !at.After(now) {
				at = now.Add(overdue / 4) // who could carry it is busy
			}
			sooner(at)
		}
	}
	return due
}

// Flying is how many runs and bytes are under way on a link.
func (p *Spread) Flying(link int) (runs int, bytes int64) {
	if w := p.links[link]; w != nil {
		return len(w.flights), w.bytes
	}
	return 0, 0
}
