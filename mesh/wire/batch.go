package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"drmesh/origin"
	"drmesh/origin/pack"
)

// Batch carries entries After+1.. of a stream. Head is that of the last of
// them, or empty when the run goes on.
type Batch struct {
	Stream  origin.Stream
	After   origin.Seq
	Entries [][]byte
	Head    []byte
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

// minEntry is less than any txn's entry takes with its length: it bounds how
// many entries, each of which costs a slice, a small compressed batch can hold.
const minEntry = 7

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
	count := r.UintMax(MaxEntries / minEntry)
	codec := r.UintMax(1)
	size := r.UintMax(MaxEntries)
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
			if d.z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxEntries), zstd.WithDecoderMaxWindow(1<<20)); err != nil {
				return x, err
			}
		}
		// The declared size is a hint: the decoder's own limit holds it.
		if plain, err = d.z.DecodeAll(packed, make([]byte, 0, min(size, uint64(len(packed))*64))); err != nil {
			return x, fmt.Errorf("%w: %w", ErrFrame, err)
		}
	}
	if uint64(len(plain)) != size || count*minEntry > size {
		return x, fmt.Errorf("%w: batch of %d bytes declares %d bytes, %d entries", ErrFrame, len(plain), size, count)
	}
	x.Entries = make([][]byte, 0, count)
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
