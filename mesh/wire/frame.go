package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"drmesh/origin"
	"drmesh/origin/pack"
)

// Protocol is the greatest version of these frames that we speak, MinProtocol
// the least. Both ends say their greatest; the lesser of the two is spoken.
const (
	Protocol    = 1
	MinProtocol = 1
)

// MaxFrame bounds a frame: a full batch of entries, and beside it a head whose
// context names origin.MaxStreams streams. A hello of so many fits too.
const MaxFrame = origin.MaxFrame + 256<<10

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
	TypeOffer       Type = 11
	TypeAttach      Type = 12
	TypeTaken       Type = 13
)

// ErrFrame says that a peer sent what is no frame.
var ErrFrame = errors.New("damaged frame")

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
	extra  int
	hashes bool // one of them had another length
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
	if r.hashes {
		return fmt.Errorf("%w: hash", ErrFrame)
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
	if copy(h[:], r.Bytes(len(h))) != len(h) {
		r.hashes = true
	}
	return h
}

func (r *body) seq() origin.Seq { return origin.Seq(r.Uint()) }
