// Package causal is the gate before the applier: it lets a txn through when
// its stream's previous txn, and everything that its context names of the
// streams that come here, has taken effect.
//
// It is pure: events go in by Offer and Applied, decisions come out of Ready,
// in an order that depends on the events alone.
//
// Invariants: what Ready gives is, for each stream, in seq order without gaps,
// each dot once; and a txn is given only after every dot in its context of a
// stream that comes here was told to Applied. Contexts are deltas on a stream
// that is let through in order, so the delta alone has to be looked at.
package causal

import (
	"cmp"
	"slices"

	"drmesh/origin"
	"drmesh/origin/mutant"
)

// Verdict is what Offer made of a txn.
type Verdict uint8

const (
	// Held: the gate has it, and Ready will give it when its time comes.
	Held Verdict = iota
	// Duplicate: it was let through before, or is held already.
	Duplicate
	// Gap: it is not the next of its stream after those that are held.
	Gap
	// Full: the stream has its limit waiting.
	Full
	// Shut: nothing of the stream is let through any more.
	Shut
)

// Item is a txn at the gate.
type Item struct {
	Dot     origin.Dot
	Context []origin.StreamSeq // delta
	Bytes   int
	Opaque  any // the caller's
}

// Limit is how many bytes of one stream the gate holds; the first txn of a
// stream is held whatever its size.
const Limit = 512 << 20

// Gate is the state of the causal gate.
type Gate struct {
	applied origin.Context
	comes   func(origin.Stream) bool
	end     func(origin.Stream) (origin.Seq, bool)
	limit   func(origin.Stream) (origin.Seq, bool)
	queues  map[origin.Stream]*queue
	order   []origin.Stream // of queues that hold something, sorted
	shut    map[origin.Stream]bool
	back    map[origin.Stream]bool
}

type queue struct {
	items []Item
	bytes int
	last  origin.Seq // of the items, or what was applied when empty
}

// New makes a gate at a module that has applied so much, its own streams
// included.
func New(applied origin.Context) *Gate {
	a := applied.Clone()
	if a == nil {
		a = origin.Context{}
	}
	return &Gate{applied: a, comes: func(origin.Stream) bool { return true }, queues: map[origin.Stream]*queue{}, shut: map[origin.Stream]bool{}, back: map[origin.Stream]bool{}}
}

// Subscribe says which streams come here; nil is all. A context's streams that
// do not come are not waited for.
func (g *Gate) Subscribe(comes func(origin.Stream) bool) {
	if comes == nil {
		comes = func(origin.Stream) bool { return true }
	}
	g.comes = comes
}

// Ends says where streams end: what a context names beyond is of nobody's, and
// not waited for. nil: no stream has an end.
func (g *Gate) Ends(end func(origin.Stream) (origin.Seq, bool)) { g.end = end }

// Limits says up to where a stream is taken for now: what lies beyond waits.
// nil: no stream has a limit. An end is one too.
func (g *Gate) Limits(limit func(origin.Stream) (origin.Seq, bool)) { g.limit = limit }

// allows reports whether a dot lies within its stream's limits.
func (g *Gate) allows(d origin.Dot) bool {
	for _, f := range []func(origin.Stream) (origin.Seq, bool){g.limit, g.end} {
		if f != nil {
			if q, ok := f(d.Stream); ok && d.Seq > q {
				return false
			}
		}
	}
	return true
}

// Cut drops what is held beyond the ends of streams, and gives it back: it is
// of nobody's. It is called when ends become known.
func (g *Gate) Cut() (dropped []Item) {
	if g.end == nil {
		return nil
	}
	for _, s := range slices.Clone(g.order) {
		end, ok := g.end(s)
		q := g.queues[s]
		if !ok || q.last <= end {
			continue
		}
		n := 0
		for n < len(q.items) && q.items[n].Dot.Seq <= end {
			n++
		}
		for _, it := range q.items[n:] {
			q.bytes -= it.Bytes
			dropped = append(dropped, it)
		}
		clear(q.items[n:])
		if q.items, q.last = q.items[:n], end; n == 0 {
			delete(g.queues, s)
			g.unlist(s)
		}
	}
	return dropped
}

// asks is the seq that a part of a context asks for.
func (g *Gate) asks(e origin.StreamSeq) origin.Seq {
	if g.end != nil {
		if end, ok := g.end(e.Stream); ok {
			return min(e.Seq, end)
		}
	}
	return e.Seq
}

// Offer brings a txn.
func (g *Gate) Offer(it Item) Verdict {
	s := it.Dot.Stream
	if g.shut[s] {
		return Shut
	}
	q := g.queues[s]
	last := g.applied[s]
	if q != nil && len(q.items) > 0 {
		last = q.last
	}
	switch {
	case it.Dot.Seq <= last:
		return Duplicate
	case it.Dot.Seq != last+1:
		return Gap
	}
	if q == nil {
		q = &queue{}
		g.queues[s] = q
	}
	if len(q.items) > 0 && q.bytes+it.Bytes > Limit {
		return Full
	}
	if len(q.items) == 0 {
		i, _ := slices.BinarySearchFunc(g.order, s, origin.Stream.Compare)
		g.order = slices.Insert(g.order, i, s)
	}
	q.items = append(q.items, it)
	q.bytes += it.Bytes
	q.last = it.Dot.Seq
	return Held
}

// Ready gives the next txn that may take effect: of the streams in order, the
// first whose oldest waiting txn lacks nothing. The caller brings it into
// effect and says so by Applied before it calls Ready again.
func (g *Gate) Ready() (Item, bool) {
	for i, s := range g.order {
		q := g.queues[s]
		it := q.items[0]
		if g.back[s] || it.Dot.Seq != g.applied[s]+1 {
			continue // given back, or one was given and not yet told to Applied
		}
		if !g.allows(it.Dot) {
			continue
		}
		if _, waits := g.lacks(&it); waits {
			continue
		}
		q.items[0] = Item{}
		q.items = q.items[1:]
		q.bytes -= it.Bytes
		if len(q.items) == 0 {
			delete(g.queues, s)
			g.order = slices.Delete(g.order, i, i+1)
		}
		return it, true
	}
	return Item{}, false
}

// Back takes back what Ready gave last. Nothing of its stream is given until
// Resume; others go on.
func (g *Gate) Back(it Item) {
	s := it.Dot.Stream
	q := g.queues[s]
	if q == nil {
		q = &queue{last: it.Dot.Seq}
		g.queues[s] = q
		i, _ := slices.BinarySearchFunc(g.order, s, origin.Stream.Compare)
		g.order = slices.Insert(g.order, i, s)
	}
	q.items = slices.Insert(q.items, 0, it)
	q.bytes += it.Bytes
	g.back[s] = true
}

// Resume lets the streams go on of which something was given back.
func (g *Gate) Resume() { clear(g.back) }

// lacks finds the first dot of an item's context that is not applied.
func (g *Gate) lacks(it *Item) (origin.Dot, bool) {
	if mutant.On(mutant.SkipGate) {
		return origin.Dot{}, false
	}
	for _, e := range it.Context {
		if e.Stream != it.Dot.Stream && g.applied[e.Stream] < e.Seq && g.comes(e.Stream) && g.applied[e.Stream] < g.asks(e) {
			return origin.Dot{Stream: e.Stream, Seq: g.asks(e)}, true
		}
	}
	return origin.Dot{}, false
}

// Shut lets nothing of a stream through any more, for as long as the gate is:
// its writer worked on a history that is not the one here. What is held of it
// is dropped.
func (g *Gate) Shut(s origin.Stream) {
	g.shut[s] = true
	if g.queues[s] != nil {
		delete(g.queues, s)
		g.unlist(s)
	}
}

// unlist takes a stream out of those that hold something.
func (g *Gate) unlist(s origin.Stream) {
	if i, ok := slices.BinarySearchFunc(g.order, s, origin.Stream.Compare); ok {
		g.order = slices.Delete(g.order, i, i+1)
	}
}

// At is what took effect: the gate's own, not to be changed.
func (g *Gate) At() origin.Context { return g.applied }

// Applied tells that a txn took effect, and with it all before it in its
// stream. What is held of them is dropped.
func (g *Gate) Applied(d origin.Dot) {
	s := d.Stream
	if d.Seq <= g.applied[s] {
		return
	}
	g.applied[s] = d.Seq
	q := g.queues[s]
	if q == nil {
		return
	}
	n := 0
	for n < len(q.items) && q.items[n].Dot.Seq <= d.Seq {
		q.bytes -= q.items[n].Bytes
		n++
	}
	q.items = q.items[n:]
	if len(q.items) == 0 {
		delete(g.queues, s)
		g.unlist(s)
	}
}

// Wait is a stream that waits at the gate, and what for.
type Wait struct {
	Dot   origin.Dot // the oldest that waits
	For   origin.Dot // the first of its context that is not applied
	Held  int        // txns of the stream that wait
	Bytes int
}

// Waiting lists the streams that wait, in order.
func (g *Gate) Waiting() []Wait {
	var l []Wait
	for _, s := range g.order {
		q := g.queues[s]
		w := Wait{Dot: q.items[0].Dot, Held: len(q.items), Bytes: q.bytes}
		w.For, _ = g.lacks(&q.items[0])
		l = append(l, w)
	}
	slices.SortFunc(l, func(a, b Wait) int { return cmp.Or(a.Dot.Compare(b.Dot), a.For.Compare(b.For)) })
	return l
}
