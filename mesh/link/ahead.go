package link

import (
	"slices"

	"drmesh/origin"
)

// Chunk is a run as it came over a link: what follows After of a stream, up to
// a head.
type Chunk struct {
	After   origin.Seq
	Entries [][]byte
	Head    []byte
	Bytes   int64 // of the entries
}

func (c *Chunk) upto() origin.Seq { return c.After + origin.Seq(len(c.Entries)) }

// Ahead holds the runs of one stream that came before what lies before them,
// over another link. The zero Ahead holds nothing. The caller bounds Bytes.
type Ahead struct {
	Bytes   int64
	Dropped int64 // txns that were held or used already
	chunks  []Chunk
}

// Add takes a run that does not continue at the present position.
func (a *Ahead) Add(c Chunk) {
	i, same := slices.BinarySearchFunc(a.chunks, c.After, func(x Chunk, q origin.Seq) int {
		switch {
		case x.After < q:
			return -1
		case x.After > q:
			return 1
		}
		return 0
	})
	if same {
		if a.chunks[i].upto() >= c.upto() {
			a.Dropped += int64(len(c.Entries))
			return
		}
		a.drop(&a.chunks[i])
		a.chunks[i] = c
	} else {
		a.chunks = slices.Insert(a.chunks, i, c)
	}
	a.Bytes += c.Bytes
}

func (a *Ahead) drop(c *Chunk) {
	a.Dropped += int64(len(c.Entries))
	a.Bytes -= c.Bytes
}

// Next gives the run that goes on after a position, without what lies before
// it; ok is false while there is none.
func (a *Ahead) Next(at origin.Seq) (c Chunk, ok bool) {
	for len(a.chunks) > 0 && a.chunks[0].After <= at {
		c = a.chunks[0]
		a.chunks = slices.Delete(a.chunks, 0, 1)
		if c.upto() <= at {
			a.drop(&c)
			continue
		}
		a.Bytes -= c.Bytes
		a.Dropped += int64(c.From(at))
		return c, true
	}
	return c, false
}

// From takes off what lies up to a position, and tells how many entries those
// were.
func (c *Chunk) From(at origin.Seq) int {
	n := 0
	for ; c.After < at && len(c.Entries) > 0; n++ {
		c.Bytes -= int64(len(c.Entries[0]))
		c.Entries = c.Entries[1:]
		c.After++
	}
	return n
}
