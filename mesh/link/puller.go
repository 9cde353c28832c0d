// Package link decides, for one module, which stream it pulls from which
// neighbour, and checks what comes.
//
// It is pure: events go in by Step, effects come out, time is an argument and
// only ever compared. Each stream has one standing subscription, at a
// neighbour that announced more than we have: the fastest, and it stays there.
// When another neighbour has announced more than the present one for longer
// than 50 ms or two round trips, the subscription moves; when the present one
// goes, it moves at once. So each txn crosses into a module once, no tree is
// computed, and nobody waits in a circle. Nobody pulls a stream of his own.
package link

import (
	"slices"
	"time"

	"drmesh/origin"
)

// Event is what happened.
type Event interface{ event() }

type (
	// PeerUp: a session with a neighbour stands.
	PeerUp struct {
		Peer origin.Module
		RTT  time.Duration
	}
	// PeerDown: it is gone, or was paused.
	PeerDown struct{ Peer origin.Module }
	// Announced: a neighbour has so much, durable.
	Announced struct {
		Peer origin.Module
		Seqs []origin.StreamSeq
	}
	// Received: a verified run is in our hands.
	Received struct {
		Stream origin.Stream
		At     origin.Position
	}
	// Failed: what a neighbour sent of a stream was refused, or it cannot
	// serve us; it is not asked for the stream again while its session stands.
	Failed struct {
		Peer   origin.Module
		Stream origin.Stream
	}
	// Restart: start over from these positions, after a snapshot.
	Restart struct{ Vector origin.Vector }
	// Tick: time has passed.
	Tick struct{}
)

func (PeerUp) event()    {}
func (PeerDown) event()  {}
func (Announced) event() {}
func (Received) event()  {}
func (Failed) event()    {}
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

// Patience is how long a neighbour may lag behind another before its
// subscription moves; two round trips if that is longer.
const Patience = 50 * time.Millisecond

// Puller is the state. It is not safe for concurrent use.
type Puller struct {
	self    origin.Module
	wants   func(origin.Stream) bool
	peers   map[origin.Module]*peer
	streams map[origin.Stream]*pulled
}

type peer struct {
	rtt    time.Duration
	has    map[origin.Stream]origin.Seq
	failed map[origin.Stream]bool
}

type pulled struct {
	at     origin.Position
	source origin.Module // 0: none
	behind time.Time     // since when another has had more than the source; zero: not
}

// NewPuller starts from what is here. wants says which streams come here; it
// may change its mind, and is asked again at each event of the stream.
func NewPuller(self origin.Module, have origin.Vector, wants func(origin.Stream) bool) *Puller {
	p := &Puller{self: self, wants: wants, peers: map[origin.Module]*peer{}, streams: map[origin.Stream]*pulled{}}
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
		p.peers[e.Peer] = &peer{rtt: e.RTT, has: map[origin.Stream]origin.Seq{}, failed: map[origin.Stream]bool{}}
		return p.left(now, e.Peer)
	case PeerDown:
		delete(p.peers, e.Peer)
		return p.left(now, e.Peer)
	case Announced:
		q := p.peers[e.Peer]
		if q == nil {
			return nil
		}
		var out []Effect
		for _, a := range e.Seqs {
			if a.Seq > q.has[a.Stream] {
				q.has[a.Stream] = a.Seq
				out = p.choose(now, a.Stream, out)
			}
		}
		return out
	case Received:
		x := p.stream(e.Stream)
		if e.At.Seq > x.at.Seq {
			x.at = e.At
		}
		return p.choose(now, e.Stream, nil)
	case Failed:
		if q := p.peers[e.Peer]; q != nil {
			q.failed[e.Stream] = true
		}
		x := p.stream(e.Stream)
		var out []Effect
		if x.source == e.Peer {
			x.source = 0
			out = append(out, Unsubscribe{e.Peer, e.Stream})
		}
		return p.choose(now, e.Stream, out)
	case Restart:
		var out []Effect
		for _, s := range p.sorted() {
			x := p.streams[s]
			if x.source != 0 {
				out = append(out, Unsubscribe{x.source, s})
			}
			x.source = 0
			x.at = e.Vector.At(s)
		}
		for s, at := range e.Vector {
			p.stream(s).at = at
		}
		for _, q := range p.peers {
			clear(q.failed)
		}
		for _, s := range p.sorted() {
			out = p.choose(now, s, out)
		}
		return out
	case Tick:
		var out []Effect
		for _, s := range p.sorted() {
			out = p.choose(now, s, out)
		}
		return out
	}
	return nil
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
			x.source, x.behind = 0, time.Time{}
			out = p.choose(now, s, out)
		}
	}
	return out
}

// choose sees to it that a stream is pulled from the right neighbour.
func (p *Puller) choose(now time.Time, s origin.Stream, out []Effect) []Effect {
	x := p.stream(s)
	if s.Module == p.self || !p.wants(s) {
		if x.source != 0 {
			out = append(out, Unsubscribe{x.source, s})
			x.source = 0
		}
		return out
	}
	best, has := p.best(s, x.at.Seq)
	if x.source == 0 {
		if best != 0 {
			x.source, x.behind = best, time.Time{}
			out = append(out, Subscribe{best, s, x.at})
		}
		return out
	}
	q := p.peers[x.source]
	if best == 0 || best == x.source || q.has[s] > x.at.Seq && q.has[s] >= has || q.has[s] >= has {
		x.behind = time.Time{}
		return out
	}
	if x.behind.IsZero() {
		x.behind = now
		return out
	}
	if now.Sub(x.behind) > max(Patience, 2*q.rtt) {
		out = append(out, Unsubscribe{x.source, s}, Subscribe{best, s, x.at})
		x.source, x.behind = best, time.Time{}
	}
	return out
}

// best is the neighbour to pull a stream from: of those that have announced
// more than we have, the one with the shortest round trip; ties go to the
// origin itself, then to the lower number.
func (p *Puller) best(s origin.Stream, at origin.Seq) (best origin.Module, has origin.Seq) {
	for m, q := range p.peers {
		n := q.has[s]
		if n <= at || q.failed[s] {
			continue
		}
		if best == 0 || p.before(s, m, best) {
			best = m
		}
	}
	if best != 0 {
		has = p.peers[best].has[s]
	}
	return best, has
}

func (p *Puller) before(s origin.Stream, m, n origin.Module) bool {
	// Round trips that differ by less than a millisecond are alike.
	a, b := p.peers[m].rtt.Truncate(time.Millisecond), p.peers[n].rtt.Truncate(time.Millisecond)
	switch {
	case a != b:
		return a < b
	case (m == s.Module) != (n == s.Module):
		return m == s.Module
	}
	return m < n
}
