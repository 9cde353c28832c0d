// Package link decides, for one module, which stream it pulls from which
// neighbour, and checks what comes.
//
// It is pure: events go in by Step, effects come out, time is an argument and
// only ever compared. What holds:
//
//   - Each stream has at most one standing subscription, at a neighbour that
//     announced more than we have: the one with the shortest round trip, and it
//     stays there. So each txn crosses into a module once; no tree is computed.
//   - When another neighbour has had more than the present one for longer than
//     Patience or two round trips, the subscription moves. A neighbour that
//     only lags, and catches up with what the other had within that time,
//     keeps it. So nobody waits in a circle.
//   - When the present one goes, it moves at once.
//   - A neighbour that announced what it does not give is left after Stall, if
//     another has it, and is the last choice for that stream until it gives.
//   - Nobody pulls a stream of his own, nor from a neighbour that does not carry
//     it for others, whatever that announces.
//   - Equal events at equal times give equal effects: maps never show.
package link

import (
	"slices"
	"time"

	"drmesh/origin"
	"drmesh/origin/mutant"
)

// Event is what happened.
type Event interface{ event() }

type (
	// PeerUp: a session with a neighbour stands. It knows of no subscription.
	PeerUp struct {
		Peer origin.Module
		RTT  time.Duration
	}
	// PeerDown: it is gone, or was paused.
	PeerDown struct{ Peer origin.Module }
	// Measured: the round trip to a neighbour now.
	Measured struct {
		Peer origin.Module
		RTT  time.Duration
	}
	// Announced: a neighbour has so much, durable.
	Announced struct {
		Peer origin.Module
		Seqs []origin.StreamSeq
	}
	// Received: a verified run is in our hands. With a position that was
	// received before: pieces of the next run are coming in.
	Received struct {
		Stream origin.Stream
		At     origin.Position
	}
	// Full: our applier has all of a stream that it can hold, so that nothing
	// comes; or it can take more again.
	Full struct {
		Stream origin.Stream
		Full   bool
	}
	// Failed: what a neighbour sent of a stream was refused, or it cannot
	// serve us. It is not asked for that stream for a time (Refusal), in this
	// session or the next.
	Failed struct {
		Peer   origin.Module
		Stream origin.Stream
	}
	// Gap: of a stream there came what lies further on, and for long not what
	// lies before it. It is asked for again.
	Gap struct {
		Peer   origin.Module
		Stream origin.Stream
	}
	// Restart: start over from these positions, after a snapshot.
	Restart struct{ Vector origin.Vector }
	// Tick: time has passed, or what is wanted changed.
	Tick struct{}
)

func (PeerUp) event()    {}
func (PeerDown) event()  {}
func (Measured) event()  {}
func (Announced) event() {}
func (Received) event()  {}
func (Full) event()      {}
func (Failed) event()    {}
func (Gap) event()       {}
func (Restart) event()   {}
func (Tick) event()      {}

// Effect is what the driver must do, in order.
type Effect interface{ effect() }

type (
	// Subscribe to a stream at a neighbour, after a position.
	Subscribe struct {
		Peer   origin.Module
		Stream origin.Stream
		After  origin.Position
	}
	// Unsubscribe from it.
	Unsubscribe struct {
		Peer   origin.Module
		Stream origin.Stream
	}
)

func (Subscribe) effect()   {}
func (Unsubscribe) effect() {}

const (
	// Patience is how long a neighbour may lag behind another before its
	// subscription moves; two round trips if that is longer.
	Patience = 50 * time.Millisecond
	// Stall is how long a neighbour may keep us waiting for what it announced.
	// It is long, since a run may take that long over a poor link, of which
	// only pieces are told by Received.
	Stall = 30 * time.Second
	// Refusal is how long a neighbour is not asked for a stream again after
	// Failed.
	Refusal = 30 * time.Second
)

// Puller is the state. It is not safe for concurrent use.
type Puller struct {
	wants   func(origin.Stream) bool
	carries func(origin.Module, origin.Stream) bool
	peers   map[origin.Module]*peer
	refused map[from]time.Time // until when; outlives sessions
	streams map[origin.Stream]*pulled
	lagging int // streams that have a behind
}

type from struct {
	peer   origin.Module
	stream origin.Stream
}

type peer struct {
	rtt  time.Duration
	has  map[origin.Stream]origin.Seq
	slow map[origin.Stream]bool // announced it, and did not give it
}

type pulled struct {
	at     origin.Position
	source origin.Module // 0: none
	// While another has more than the source: since when, and how much it had
	// then. A source that reaches mark only lags.
	behind time.Time
	mark   origin.Seq
	// When the source last gave something, or began to owe us something.
	progress time.Time
	full     bool
}

// NewPuller starts from what is here. wants says which streams come here, and
// never names one that is written here; it
// may change its mind, and is asked again at each event of the stream. carries
// says whether a neighbour is asked for a stream at all; nil: each for all.
func NewPuller(have origin.Vector, wants func(origin.Stream) bool, carries func(origin.Module, origin.Stream) bool) *Puller {
	if carries == nil {
		carries = func(origin.Module, origin.Stream) bool { return true }
	}
	p := &Puller{wants: wants, carries: carries, peers: map[origin.Module]*peer{}, refused: map[from]time.Time{}, streams: map[origin.Stream]*pulled{}}
	for s, at := range have {
		p.streams[s] = &pulled{at: at}
	}
	return p
}

// At is the position up to which a stream was received.
func (p *Puller) At(s origin.Stream) origin.Position {
	if x := p.streams[s]; x != nil {
		return x.at
	}
	return origin.Position{Hash: s.Genesis()}
}

// Source is the neighbour that a stream is pulled from; 0 is none.
func (p *Puller) Source(s origin.Stream) origin.Module {
	if x := p.streams[s]; x != nil {
		return x.source
	}
	return 0
}

// Streams lists the streams that are known of, in order.
func (p *Puller) Streams() []origin.Stream { return p.sorted() }

// Restless reports whether time alone can bring about an effect soon: a Tick
// is worth while after Patience. Otherwise one a second will do.
func (p *Puller) Restless() bool {
	return p.lagging > 0
}

// lag sets since when a stream's source has less than another; zero: it has not.
func (p *Puller) lag(x *pulled, since time.Time) {
	if x.behind.IsZero() != since.IsZero() {
		if since.IsZero() {
			p.lagging--
		} else {
			p.lagging++
		}
	}
	x.behind = since
}

func (p *Puller) stream(s origin.Stream) *pulled {
	x := p.streams[s]
	if x == nil {
		x = &pulled{at: origin.Position{Hash: s.Genesis()}}
		p.streams[s] = x
	}
	return x
}

// Step takes one event and gives what to do.
func (p *Puller) Step(now time.Time, ev Event) []Effect {
	switch e := ev.(type) {
	case PeerUp:
		if mutant.On(mutant.SourceGone) && p.peers[e.Peer] != nil {
			return nil
		}
		p.peers[e.Peer] = &peer{rtt: e.RTT, has: map[origin.Stream]origin.Seq{}, slow: map[origin.Stream]bool{}}
		return p.left(now, e.Peer)
	case PeerDown:
		if mutant.On(mutant.SourceGone) {
			return nil
		}
		delete(p.peers, e.Peer)
		return p.left(now, e.Peer)
	case Measured:
		if q := p.peers[e.Peer]; q != nil {
			q.rtt = e.RTT
		}
		return nil
	case Announced:
		return p.announced(now, e)
	case Received:
		x := p.stream(e.Stream)
		x.progress = now
		if e.At.Seq > x.at.Seq {
			x.at = e.At
			if q := p.peers[x.source]; q != nil {
				delete(q.slow, e.Stream)
			}
		}
		return p.choose(now, e.Stream, nil)
	case Full:
		x := p.stream(e.Stream)
		x.full, x.progress = e.Full, now
		return p.choose(now, e.Stream, nil)
	case Failed:
		p.refused[from{e.Peer, e.Stream}] = now.Add(Refusal)
		x := p.stream(e.Stream)
		var out []Effect
		if x.source == e.Peer {
			out = append(out, Unsubscribe{x.source, e.Stream})
			x.source = 0
		}
		return p.choose(now, e.Stream, out)
	case Gap:
		x := p.stream(e.Stream)
		if x.source != e.Peer {
			return nil
		}
		x.source = 0
		return p.choose(now, e.Stream, []Effect{Unsubscribe(e)})
	case Restart:
		return p.restart(now, e.Vector)
	case Tick:
		for k, until := range p.refused {
			if !now.Before(until) {
				delete(p.refused, k)
			}
		}
		var out []Effect
		for _, s := range p.sorted() {
			out = p.choose(now, s, out)
		}
		return out
	}
	return nil
}

func (p *Puller) announced(now time.Time, e Announced) []Effect {
	q := p.peers[e.Peer]
	if q == nil {
		return nil
	}
	var out []Effect
	for _, a := range e.Seqs {
		old, known := q.has[a.Stream]
		if a.Seq <= old || !known && len(q.has) >= origin.MaxStreams {
			continue // what a neighbour may make us remember is bounded
		}
		q.has[a.Stream] = a.Seq
		if x := p.stream(a.Stream); x.source == e.Peer && old <= x.at.Seq {
			x.progress = now // only now does it owe us something
		}
		out = p.choose(now, a.Stream, out)
	}
	return out
}

func (p *Puller) restart(now time.Time, v origin.Vector) []Effect {
	var out []Effect
	for _, s := range p.sorted() {
		x := p.streams[s]
		if x.source != 0 {
			out = append(out, Unsubscribe{x.source, s})
		}
		p.lag(x, time.Time{})
		*x = pulled{at: v.At(s)}
	}
	for s, at := range v {
		p.stream(s).at = at
	}
	clear(p.refused)
	for _, s := range p.sorted() {
		out = p.choose(now, s, out)
	}
	return out
}

func (p *Puller) sorted() []origin.Stream {
	l := make([]origin.Stream, 0, len(p.streams))
	for s := range p.streams {
		l = append(l, s)
	}
	slices.SortFunc(l, origin.Stream.Compare)
	return l
}

// left moves the subscriptions that a neighbour had: its session is new or
// gone, and knows nothing of them.
func (p *Puller) left(now time.Time, m origin.Module) []Effect {
	var out []Effect
	for _, s := range p.sorted() {
		if x := p.streams[s]; x.source == m {
			x.source = 0
			out = p.choose(now, s, out)
		}
	}
	return out
}

// choose sees to it that a stream is pulled from the right neighbour.
func (p *Puller) choose(now time.Time, s origin.Stream, out []Effect) []Effect {
	x := p.stream(s)
	if !p.wants(s) {
		if x.source != 0 {
			out = append(out, Unsubscribe{x.source, s})
			x.source = 0
			p.lag(x, time.Time{})
		}
		return out
	}
	best := p.best(now, s, x)
	if x.source == 0 {
		p.lag(x, time.Time{})
		if best == 0 {
			return out
		}
		x.source, x.progress = best, now
		return append(out, Subscribe{best, s, x.at})
	}
	if best == 0 || best == x.source {
		p.lag(x, time.Time{})
		return out
	}
	q, b := p.peers[x.source], p.peers[best]
	move := func() []Effect {
		out = append(out, Unsubscribe{x.source, s}, Subscribe{best, s, x.at})
		x.source, x.progress = best, now
		p.lag(x, time.Time{})
		return out
	}
	if q.has[s] > x.at.Seq && !x.full && now.Sub(x.progress) >= Stall {
		q.slow[s] = true
		return move()
	}
	// What it gave us it has, though it may not have announced it yet.
	got := max(q.has[s], x.at.Seq)
	patience := max(Patience, 2*q.rtt)
	if b.slow[s] {
		patience = Stall // it may be a liar; or it was only slow
	}
	switch has := b.has[s]; {
	case got >= has:
		p.lag(x, time.Time{})
	case x.behind.IsZero() || got >= x.mark:
		x.mark = has
		p.lag(x, now)
	case now.Sub(x.behind) > patience:
		return move()
	}
	return out
}

// best is the neighbour to pull a stream from, among those that have announced
// more than we have. When one is to be compared with the present source, that
// one itself does not count.
func (p *Puller) best(now time.Time, s origin.Stream, x *pulled) (best origin.Module) {
	for m, q := range p.peers {
		if m == x.source || q.has[s] <= x.at.Seq || now.Before(p.refused[from{m, s}]) || !p.carries(m, s) {
			continue
		}
		if best == 0 || p.before(s, m, best) {
			best = m
		}
	}
	return best
}

// before orders neighbours as sources of a stream: those that kept us waiting
// last, then by round trip, ties to the origin itself, then to the lower
// number.
func (p *Puller) before(s origin.Stream, m, n origin.Module) bool {
	q, r := p.peers[m], p.peers[n]
	// Round trips that differ by less than a millisecond are alike.
	a, b := q.rtt.Truncate(time.Millisecond), r.rtt.Truncate(time.Millisecond)
	switch {
	case q.slow[s] != r.slow[s]:
		return r.slow[s]
	case a != b:
		return a < b
	case (m == s.Module) != (n == s.Module):
		return m == s.Module
	}
	return m < n
}
