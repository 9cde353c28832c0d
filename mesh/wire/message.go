package wire

import (
	"fmt"
	"math"

	"drmesh/origin"
	"drmesh/origin/pack"
)

// Hello opens a conversation, from both ends.
type Hello struct {
	Version uint64
	Mesh    string
	Module  origin.Module
	Vector  []origin.StreamPosition
}

// Attach opens a link that belongs to a session: the one of this number, which
// the source offered on it.
type Attach struct {
	Version uint64
	Mesh    string
	Module  origin.Module
	Session uint64
	Link    uint64
}

// Announce tells what is durable at the sender, as far as it changed.
type Announce struct{ Seqs []origin.StreamSeq }

// Subscribe asks for a stream after a position.
type Subscribe struct {
	Stream origin.Stream
	After  origin.Position
	Credit uint64
}

// Credit allows so many bytes more of a stream.
type Credit struct {
	Stream origin.Stream
	Bytes  uint64
}

// Part carries a piece of one large entry, from Offset on; pieces come in
// order.
type Part struct {
	Stream origin.Stream
	Seq    origin.Seq
	Offset uint64
	Total  uint64
	Bytes  []byte
}

// Place is a stream and a position: the body of pruned and fork.
type Place struct {
	Stream origin.Stream
	Seq    origin.Seq
	Hash   origin.Hash // fork only
}

// AppendHello appends a frame.
func AppendHello(b []byte, h *Hello) []byte {
	from := len(b)
	b = pack.AppendArray(Begin(b, TypeHello), 4)
	b = pack.AppendUint(b, h.Version)
	b = pack.AppendString(b, h.Mesh)
	b = pack.AppendUint(b, uint64(h.Module))
	b = pack.AppendArray(b, len(h.Vector))
	for _, e := range h.Vector {
		b = appendStream(pack.AppendArray(b, 5), e.Stream)
		b = pack.AppendUint(b, uint64(e.Seq))
		b = pack.AppendBytes(b, e.Hash[:])
	}
	return End(b, from)
}

// AppendOffer appends a frame: links may be attached to this session under the
// number.
func AppendOffer(b []byte, session uint64) []byte {
	from := len(b)
	return End(pack.AppendUint(pack.AppendArray(Begin(b, TypeOffer), 1), session), from)
}

// AppendAttach appends a frame.
func AppendAttach(b []byte, a *Attach) []byte {
	from := len(b)
	b = pack.AppendUint(pack.AppendArray(Begin(b, TypeAttach), 5), a.Version)
	b = pack.AppendString(b, a.Mesh)
	b = pack.AppendUint(b, uint64(a.Module))
	b = pack.AppendUint(b, a.Session)
	return End(pack.AppendUint(b, a.Link), from)
}

// AppendTaken appends a frame: so many runs came whole over this link.
func AppendTaken(b []byte, runs uint64) []byte {
	from := len(b)
	return End(pack.AppendUint(pack.AppendArray(Begin(b, TypeTaken), 1), runs), from)
}

// AppendAnnounce appends a frame.
func AppendAnnounce(b []byte, l []origin.StreamSeq) []byte {
	from := len(b)
	b = pack.AppendArray(pack.AppendArray(Begin(b, TypeAnnounce), 1), len(l))
	for _, e := range l {
		b = appendStream(pack.AppendArray(b, 4), e.Stream)
		b = pack.AppendUint(b, uint64(e.Seq))
	}
	return End(b, from)
}

// AppendSubscribe appends a frame.
func AppendSubscribe(b []byte, s *Subscribe) []byte {
	from := len(b)
	b = appendStream(pack.AppendArray(Begin(b, TypeSubscribe), 6), s.Stream)
	b = pack.AppendUint(b, uint64(s.After.Seq))
	b = pack.AppendBytes(b, s.After.Hash[:])
	return End(pack.AppendUint(b, s.Credit), from)
}

// AppendCredit appends a frame.
func AppendCredit(b []byte, c Credit) []byte {
	from := len(b)
	b = appendStream(pack.AppendArray(Begin(b, TypeCredit), 4), c.Stream)
	return End(pack.AppendUint(b, c.Bytes), from)
}

// AppendUnsubscribe appends a frame.
func AppendUnsubscribe(b []byte, s origin.Stream) []byte {
	from := len(b)
	return End(appendStream(pack.AppendArray(Begin(b, TypeUnsubscribe), 3), s), from)
}

// AppendHead appends a frame.
func AppendHead(b, head []byte) []byte {
	from := len(b)
	return End(pack.AppendBytes(pack.AppendArray(Begin(b, TypeHead), 1), head), from)
}

// AppendPruned appends a frame.
func AppendPruned(b []byte, s origin.Stream, upto origin.Seq) []byte {
	from := len(b)
	b = appendStream(pack.AppendArray(Begin(b, TypePruned), 4), s)
	return End(pack.AppendUint(b, uint64(upto)), from)
}

// AppendFork appends a frame.
func AppendFork(b []byte, p Place) []byte {
	from := len(b)
	b = appendStream(pack.AppendArray(Begin(b, TypeFork), 5), p.Stream)
	b = pack.AppendUint(b, uint64(p.Seq))
	return End(pack.AppendBytes(b, p.Hash[:]), from)
}

// AppendPart appends a frame.
func AppendPart(b []byte, p *Part) []byte {
	from := len(b)
	b = appendStream(pack.AppendArray(Begin(b, TypePart), 7), p.Stream)
	b = pack.AppendUint(b, uint64(p.Seq))
	b = pack.AppendUint(b, p.Offset)
	b = pack.AppendUint(b, p.Total)
	return End(pack.AppendBytes(b, p.Bytes), from)
}

// DecodeHello reads a body.
func DecodeHello(b []byte) (h Hello, err error) {
	r, err := open(b, 4)
	if err != nil {
		return h, err
	}
	h.Version = r.Uint()
	h.Mesh = r.String(64)
	h.Module = origin.Module(r.UintMax(math.MaxUint32))
	for n := r.Array(origin.MaxStreams); n > 0 && r.Err() == nil; n-- {
		if k := r.Array(5); k != 5 && r.Err() == nil {
			return h, fmt.Errorf("%w: vector", ErrFrame)
		}
		e := origin.StreamPosition{Stream: r.stream()}
		e.Seq = r.seq()
		e.Hash = r.hash()
		h.Vector = append(h.Vector, e)
	}
	return h, r.close()
}

// DecodeAttach reads a body.
func DecodeAttach(b []byte) (a Attach, err error) {
	r, err := open(b, 5)
	if err != nil {
		return a, err
	}
	a.Version = r.Uint()
	a.Mesh = r.String(64)
	a.Module = origin.Module(r.UintMax(math.MaxUint32))
	a.Session = r.Uint()
	a.Link = r.Uint()
	return a, r.close()
}

// DecodeNumber reads a body of offer or taken.
func DecodeNumber(b []byte) (n uint64, err error) {
	r, err := open(b, 1)
	if err != nil {
		return 0, err
	}
	n = r.Uint()
	return n, r.close()
}

// DecodeAnnounce reads a body.
func DecodeAnnounce(b []byte) (a Announce, err error) {
	r, err := open(b, 1)
	if err != nil {
		return a, err
	}
	for n := r.Array(origin.MaxStreams); n > 0 && r.Err() == nil; n-- {
		if k := r.Array(4); k != 4 && r.Err() == nil {
			return a, fmt.Errorf("%w: announce", ErrFrame)
		}
		a.Seqs = append(a.Seqs, origin.StreamSeq{Stream: r.stream(), Seq: r.seq()})
	}
	return a, r.close()
}

// DecodeSubscribe reads a body.
func DecodeSubscribe(b []byte) (s Subscribe, err error) {
	r, err := open(b, 6)
	if err != nil {
		return s, err
	}
	s.Stream = r.stream()
	s.After.Seq = r.seq()
	s.After.Hash = r.hash()
	s.Credit = r.Uint()
	return s, r.close()
}

// DecodeCredit reads a body.
func DecodeCredit(b []byte) (c Credit, err error) {
	r, err := open(b, 4)
	if err != nil {
		return c, err
	}
	c.Stream = r.stream()
	c.Bytes = r.Uint()
	return c, r.close()
}

// DecodeUnsubscribe reads a body.
func DecodeUnsubscribe(b []byte) (s origin.Stream, err error) {
	r, err := open(b, 3)
	if err != nil {
		return s, err
	}
	s = r.stream()
	return s, r.close()
}

// DecodeHead reads a body; the head borrows it.
func DecodeHead(b []byte) ([]byte, error) {
	r, err := open(b, 1)
	if err != nil {
		return nil, err
	}
	h := r.Bytes(MaxFrame)
	return h, r.close()
}

// DecodePruned reads a body.
func DecodePruned(b []byte) (p Place, err error) {
	r, err := open(b, 4)
	if err != nil {
		return p, err
	}
	p.Stream = r.stream()
	p.Seq = r.seq()
	return p, r.close()
}

// DecodeFork reads a body.
func DecodeFork(b []byte) (p Place, err error) {
	r, err := open(b, 5)
	if err != nil {
		return p, err
	}
	p.Stream = r.stream()
	p.Seq = r.seq()
	p.Hash = r.hash()
	return p, r.close()
}

// DecodePart reads a body; Bytes borrow it.
func DecodePart(b []byte) (p Part, err error) {
	r, err := open(b, 7)
	if err != nil {
		return p, err
	}
	p.Stream = r.stream()
	p.Seq = r.seq()
	p.Offset = r.UintMax(origin.MaxTxn)
	p.Total = r.UintMax(origin.MaxTxn)
	p.Bytes = r.Bytes(MaxFrame)
	if r.Err() == nil && (len(p.Bytes) == 0 || p.Offset+uint64(len(p.Bytes)) > p.Total) {
		return p, fmt.Errorf("%w: part of %d bytes at %d of %d", ErrFrame, len(p.Bytes), p.Offset, p.Total)
	}
	return p, r.close()
}
