package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"

	"drmesh/origin"
	"drmesh/origin/pack"
)

// Protocol is the version of these frames.
const Protocol = 1

// MaxFrame bounds a frame: the entries of one, and room for what is around.
const MaxFrame = origin.MaxFrame + 64<<10

// Type is the kind of a frame. Numbers are on the wire: never reused.
type Type uint8

// The types of frames; see the package comment.
const (
	TypeHello       Type = 1
	TypeAnnounce    Type = 2
	TypeSubscribe   Type = 3
	TypeCredit      Type = 4
	TypeUnsubscribe Type = 5
	TypeBatch       Type = 6
	TypePart        Type = 7
	TypeHead        Type = 8
	TypePruned      Type = 9
	TypeFork        Type = 10
)

// ErrFrame says that a peer sent what is no frame.
var ErrFrame = errors.New("damaged frame")

// Hello opens a conversation, from both ends.
type Hello struct {
	Version uint64
	Mesh    string
	Module  origin.Module
	Vector  []origin.StreamPosition
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

// Batch carries entries After+1.. of a stream. Head is that of the last of
// them, or empty when the run goes on.
type Batch struct {
	Stream  origin.Stream
	After   origin.Seq
	Entries [][]byte
	Head    []byte
}

// Part carries a piece of one large entry; pieces come in order.
type Part struct {
	Stream origin.Stream
	Seq    origin.Seq
	Total  uint64
	Bytes  []byte
}

// Place is a stream and a position: the body of pruned and fork.
type Place struct {
	Stream origin.Stream
	Seq    origin.Seq
	Hash   origin.Hash // fork only
}

// Begin starts a frame in b; End completes it.
func Begin(b []byte, t Type) []byte { return append(b, 0, 0, 0, 0, byte(t)) }

// End sets the length of the frame that starts at from.
func End(b []byte, from int) []byte {
	binary.BigEndian.PutUint32(b[from:], uint32(len(b)-from-4))
	return b
}

func appendStream(b []byte, s origin.Stream) []byte {
	b = pack.AppendUint(b, uint64(s.Group))
	b = pack.AppendUint(b, uint64(s.Module))
	return pack.AppendUint(b, uint64(s.Incarnation))
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
	b = appendStream(pack.AppendArray(Begin(b, TypePart), 6), p.Stream)
	b = pack.AppendUint(b, uint64(p.Seq))
	b = pack.AppendUint(b, p.Total)
	return End(pack.AppendBytes(b, p.Bytes), from)
}

// Encoder writes batches. It is one sender's; its compressor is made once.
type Encoder struct {
	plain, packed []byte
	z             *zstd.Encoder
	skip          int // batches to send plain, after compression did not pay
}

// compressFrom is the size from which a batch is worth compressing.
const compressFrom = 512

// AppendBatch appends a frame. The entries must fit MaxEntries.
func (e *Encoder) AppendBatch(b []byte, x *Batch) []byte {
	e.plain = e.plain[:0]
	for _, p := range x.Entries {
		e.plain = binary.AppendUvarint(e.plain, uint64(len(p)))
		e.plain = append(e.plain, p...)
	}
	body, codec := e.plain, uint64(0)
	if len(e.plain) >= compressFrom {
		if e.skip > 0 {
			e.skip--
		} else {
			if e.z == nil {
				// One goroutine less: the sender has one of its own.
				e.z, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<18), zstd.WithEncoderCRC(false))
			}
			e.packed = e.z.EncodeAll(e.plain, e.packed[:0])
			if len(e.packed) < len(e.plain)*15/16 {
				body, codec = e.packed, 1
			} else {
				e.skip = 32
			}
		}
	}
	from := len(b)
	b = appendStream(pack.AppendArray(Begin(b, TypeBatch), 9), x.Stream)
	b = pack.AppendUint(b, uint64(x.After))
	b = pack.AppendUint(b, uint64(len(x.Entries)))
	b = pack.AppendUint(b, codec)
	b = pack.AppendUint(b, uint64(len(e.plain)))
	b = pack.AppendBytes(b, body)
	return End(pack.AppendBytes(b, x.Head), from)
}

// MaxEntries is how many bytes of entries fit a batch, counting five bytes for
// each entry's length.
const MaxEntries = origin.MaxFrame

// ReadFrame reads one frame from r into buf, grown as needed up to MaxFrame,
// and gives its type and body; the body borrows the returned buffer.
func ReadFrame(r io.Reader, buf []byte) (t Type, body, out []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, buf, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > MaxFrame {
		return 0, nil, buf, fmt.Errorf("%w: of %d bytes", ErrFrame, n)
	}
	n--
	// Memory follows what arrives, not what is declared.
	buf = buf[:0]
	for uint32(len(buf)) < n {
		step := min(n-uint32(len(buf)), max(64<<10, uint32(cap(buf)-len(buf))))
		at := len(buf)
		if cap(buf)-at < int(step) {
			grown := make([]byte, at, max(2*cap(buf), at+int(step)))
			copy(grown, buf)
			buf = grown
		}
		buf = buf[:at+int(step)]
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, buf, err
		}
	}
	return Type(head[4]), buf, buf, nil
}

// body is a reader of a frame's array.
type body struct {
	pack.Reader
	extra int
}

func open(b []byte, need int) (*body, error) {
	r := &body{Reader: pack.NewReader(b)}
	n := r.Array(64)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	if n < need {
		return nil, fmt.Errorf("%w: %d fields, %d are needed", ErrFrame, n, need)
	}
	r.extra = n - need
	return r, nil
}

func (r *body) close() error {
	for ; r.extra > 0; r.extra-- {
		r.Skip(8)
	}
	if err := r.Done(); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return nil
}

func (r *body) stream() origin.Stream {
	return origin.Stream{
		Group:       origin.Group(r.UintMax(math.MaxUint32)),
		Module:      origin.Module(r.UintMax(math.MaxUint32)),
		Incarnation: origin.Incarnation(r.UintMax(math.MaxUint32)),
	}
}

func (r *body) hash() (h origin.Hash) {
	copy(h[:], r.Bytes(len(h)))
	return h
}

func (r *body) seq() origin.Seq { return origin.Seq(r.Uint()) }

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
	r, err := open(b, 6)
	if err != nil {
		return p, err
	}
	p.Stream = r.stream()
	p.Seq = r.seq()
	p.Total = r.UintMax(origin.MaxTxn)
	p.Bytes = r.Bytes(MaxFrame)
	return p, r.close()
}

// Decoder reads batches. It is one receiver's.
type Decoder struct{ z *zstd.Decoder }

// DecodeBatch reads a body. Entries and head are copies.
func (d *Decoder) DecodeBatch(b []byte) (x Batch, err error) {
	r, err := open(b, 9)
	if err != nil {
		return x, err
	}
	x.Stream = r.stream()
	x.After = r.seq()
	count := r.UintMax(origin.MaxFrame)
	codec := r.UintMax(1)
	size := r.UintMax(MaxFrame)
	packed := r.Bytes(MaxFrame)
	head := r.Bytes(MaxFrame)
	if err := r.close(); err != nil {
		return x, err
	}
	var plain []byte
	switch codec {
	case 0:
		plain = append(make([]byte, 0, len(packed)), packed...)
	case 1:
		if d.z == nil {
			if d.z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxFrame), zstd.WithDecoderMaxWindow(1<<20)); err != nil {
				return x, err
			}
		}
		// The declared size is a hint: the decoder's own limit holds it.
		if plain, err = d.z.DecodeAll(packed, make([]byte, 0, min(size, uint64(len(packed))*64))); err != nil {
			return x, fmt.Errorf("%w: %w", ErrFrame, err)
		}
	}
	if uint64(len(plain)) != size || count > size {
		return x, fmt.Errorf("%w: batch of %d bytes declares %d bytes, %d entries", ErrFrame, len(plain), size, count)
	}
	x.Entries = make([][]byte, 0, min(count, 4096))
	for ; count > 0; count-- {
		n, w := binary.Uvarint(plain)
		if w <= 0 || n > uint64(len(plain)-w) {
			return x, fmt.Errorf("%w: entry runs over its batch", ErrFrame)
		}
		x.Entries = append(x.Entries, plain[w:w+int(n):w+int(n)])
		plain = plain[w+int(n):]
	}
	if len(plain) != 0 {
		return x, fmt.Errorf("%w: %d bytes after the last entry", ErrFrame, len(plain))
	}
	if len(head) > 0 {
		x.Head = append([]byte(nil), head...)
	}
	return x, nil
}
