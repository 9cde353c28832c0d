package origin

import (
	"maps"
	"slices"
)

// Position is a place in a stream: the last seq and the chain hash there.
type Position struct {
	Seq  Seq
	Hash Hash
}

// StreamPosition is an entry of a vector.
type StreamPosition struct {
	Stream Stream
	Position
}

// StreamSeq is an entry of a context.
type StreamSeq struct {
	Stream Stream
	Seq    Seq
}

// Vector maps each stream to the last position applied. A stream that is
// absent stands at seq 0 with its genesis hash.
type Vector map[Stream]Position

// At is the position of s, the genesis if s is absent.
func (v Vector) At(s Stream) Position {
	if p, ok := v[s]; ok {
		return p
	}
	return Position{Hash: s.Genesis()}
}

// Clone copies v.
func (v Vector) Clone() Vector { return maps.Clone(v) }

// Sorted lists the entries in the order of streams.
func (v Vector) Sorted() []StreamPosition {
	l := make([]StreamPosition, 0, len(v))
	for s, p := range v {
		l = append(l, StreamPosition{s, p})
	}
	slices.SortFunc(l, func(a, b StreamPosition) int { return a.Stream.Compare(b.Stream) })
	return l
}

// Context is v without its hashes.
func (v Vector) Context() Context {
	c := make(Context, len(v))
	for s, p := range v {
		c[s] = p.Seq
	}
	return c
}

// Covers reports whether v has applied all that c names.
func (v Vector) Covers(c Context) bool {
	for s, q := range c {
		if v[s].Seq < q {
			return false
		}
	}
	return true
}

// Context maps each stream to the last seq that a writer had applied.
type Context map[Stream]Seq

// Has reports whether the txn d is in c.
func (c Context) Has(d Dot) bool { return d.Seq <= c[d.Stream] }

// Advance raises the entries of c to those of delta; none goes back.
func (c Context) Advance(delta []StreamSeq) {
	for _, e := range delta {
		if e.Seq > c[e.Stream] {
			c[e.Stream] = e.Seq
		}
	}
}

// Clone copies c.
func (c Context) Clone() Context { return maps.Clone(c) }

// Sorted lists the entries in the order of streams.
func (c Context) Sorted() []StreamSeq {
	l := make([]StreamSeq, 0, len(c))
	for s, q := range c {
		l = append(l, StreamSeq{s, q})
	}
	slices.SortFunc(l, func(a, b StreamSeq) int { return a.Stream.Compare(b.Stream) })
	return l
}
