package entry

import (
	"errors"
	"fmt"
	"math"

	"drmesh/origin"
	"drmesh/origin/mutant"
	"drmesh/origin/pack"
)

// Version is the first field of every entry and head written now.
const Version = 1

// Bounds of what a reader accepts besides those of package origin.
const (
	maxProcess = 255
	maxDots    = 4096 // of one list of dots
	maxDepth   = 8
)

var (
	// ErrUnknown says that an entry is of a form that this program does not
	// know: a newer one wrote it.
	ErrUnknown = errors.New("entry is of a form unknown to this version of drmesh")
	// ErrDamaged says that bytes are no entry.
	ErrDamaged = errors.New("damaged entry")
	// ErrTooLarge says that a txn is over a bound.
	ErrTooLarge = errors.New("txn is over a bound")
)

// Append appends the entry of t. It refuses what a reader would refuse.
func Append(b []byte, t *origin.Txn) ([]byte, error) {
	start := len(b)
	if len(t.Process) > maxProcess || len(t.Context) > origin.MaxStreams || len(t.Ops) > origin.MaxOps {
		return b, fmt.Errorf("encode %v: %w", t.Dot, ErrTooLarge)
	}
	b = pack.AppendArray(b, 6)
	b = pack.AppendUint(b, Version)
	b = pack.AppendUint(b, uint64(t.Stamp))
	b = pack.AppendUint(b, t.Policy)
	b = pack.AppendString(b, t.Process)
	b = pack.AppendArray(b, len(t.Context))
	for _, e := range t.Context {
		b = pack.AppendArray(b, 4)
		b = appendStream(b, e.Stream)
		b = pack.AppendUint(b, uint64(e.Seq))
	}
	b = pack.AppendArray(b, len(t.Ops))
	for i := range t.Ops {
		op := &t.Ops[i]
		if len(op.Address) > origin.MaxAddress || len(op.Data) > MaxData || len(op.Unseen) > maxDots || len(op.Hidden) > maxDots || len(op.Closes) > maxDots {
			return b[:start], fmt.Errorf("encode %v.%d: %w", t.Dot, i, ErrTooLarge)
		}
		n := 4
		switch {
		case len(op.Closes) > 0:
			n = 9
		case len(op.Hidden) > 0:
			n = 8
		case len(op.Unseen) > 0:
			n = 7
		case !op.Birth.IsZero():
			n = 6
		case op.Data != nil:
			n = 5
		}
		b = pack.AppendArray(b, n)
		b = pack.AppendUint(b, uint64(op.Kind))
		b = pack.AppendBytes(b, op.File[:])
		b = pack.AppendBytes(b, op.Address)
		b = pack.AppendUint(b, uint64(op.Life))
		if n > 4 {
			if op.Data == nil {
				b = pack.AppendNil(b)
			} else {
				b = pack.AppendBytes(b, op.Data)
			}
		}
		if n > 5 {
			if op.Birth.IsZero() {
				b = pack.AppendNil(b)
			} else {
				b = pack.AppendArray(b, 6)
				b = pack.AppendUint(b, uint64(op.Birth.Stamp))
				b = appendOpDot(b, op.Birth.Dot)
			}
		}
		if n > 6 {
			b = appendOpDots(b, op.Unseen)
		}
		if n > 7 {
			b = appendOpDots(b, op.Hidden)
		}
		if n > 8 {
			b = appendOpDots(b, op.Closes)
		}
		if len(b)-start > origin.MaxTxn {
			return b[:start], fmt.Errorf("encode %v: %w: over %d bytes", t.Dot, ErrTooLarge, origin.MaxTxn)
		}
	}
	return b, nil
}

// MaxData bounds the data of one operation: a record, or a catalog register.
const MaxData = 4 << 20

func appendStream(b []byte, s origin.Stream) []byte {
	b = pack.AppendUint(b, uint64(s.Group))
	b = pack.AppendUint(b, uint64(s.Module))
	return pack.AppendUint(b, uint64(s.Incarnation))
}

func appendOpDot(b []byte, d origin.OpDot) []byte {
	b = appendStream(b, d.Stream)
	b = pack.AppendUint(b, uint64(d.Seq))
	return pack.AppendUint(b, uint64(d.Index))
}

func appendOpDots(b []byte, l []origin.OpDot) []byte {
	b = pack.AppendArray(b, len(l))
	for _, d := range l {
		b = pack.AppendArray(b, 5)
		b = appendOpDot(b, d)
	}
	return b
}

func readStream(r *pack.Reader) origin.Stream {
	return origin.Stream{
		Group:       origin.Group(r.UintMax(math.MaxUint32)),
		Module:      origin.Module(r.UintMax(math.MaxUint32)),
		Incarnation: origin.Incarnation(r.UintMax(math.MaxUint32)),
	}
}

func readOpDot(r *pack.Reader) origin.OpDot {
	var d origin.OpDot
	d.Stream = readStream(r)
	d.Seq = origin.Seq(r.Uint())
	d.Index = uint32(r.UintMax(math.MaxUint32))
	return d
}

// fields reads an array that must have at least need values, and gives how
// many more there are to skip.
func fields(r *pack.Reader, need int) int {
	n := r.Array(64)
	if r.Err() == nil && n < need {
		return -1
	}
	return n - need
}

func skip(r *pack.Reader, n int) {
	for ; n > 0; n-- {
		r.Skip(maxDepth)
	}
}

// Decode reads an entry as the txn d. It fills t, reusing its slices; Address
// and Data borrow b.
func Decode(b []byte, d origin.Dot, t *origin.Txn) error { return decode(b, d, t, true) }

// Peek is Decode without the operations: t.Ops is emptied.
func Peek(b []byte, d origin.Dot, t *origin.Txn) error { return decode(b, d, t, false) }

func decode(b []byte, d origin.Dot, t *origin.Txn, whole bool) error {
	if len(b) > origin.MaxTxn {
		return fmt.Errorf("entry %v: %w: %d bytes", d, ErrDamaged, len(b))
	}
	r := pack.NewReader(b)
	t.Dot = d
	t.Context, t.Ops = t.Context[:0], t.Ops[:0]
	more := fields(&r, 6)
	if v := r.Uint(); r.Err() == nil && v != Version {
		return fmt.Errorf("entry %v: version %d: %w", d, v, ErrUnknown)
	}
	if more < 0 {
		return fmt.Errorf("entry %v: %w: too few fields", d, ErrDamaged)
	}
	t.Stamp = origin.Stamp(r.Uint())
	t.Policy = r.Uint()
	if p := r.Text(maxProcess); string(p) != t.Process {
		t.Process = string(p)
	}
	for n := r.Array(origin.MaxStreams); n > 0 && r.Err() == nil; n-- {
		more := fields(&r, 4)
		e := origin.StreamSeq{Stream: readStream(&r), Seq: origin.Seq(r.Uint())}
		if more < 0 {
			return fmt.Errorf("entry %v: %w: context", d, ErrDamaged)
		}
		skip(&r, more)
		t.Context = append(t.Context, e)
	}
	if !whole {
		if err := r.Err(); err != nil {
			return fmt.Errorf("entry %v: %w: %w", d, ErrDamaged, err)
		}
		return nil
	}
	for n := r.Array(origin.MaxOps); n > 0 && r.Err() == nil; n-- {
		if err := decodeOp(&r, d, t); err != nil {
			return err
		}
	}
	skip(&r, more)
	if err := r.Done(); err != nil {
		return fmt.Errorf("entry %v: %w: %w", d, ErrDamaged, err)
	}
	return nil
}

func decodeOp(r *pack.Reader, d origin.Dot, t *origin.Txn) error {
	n := r.Array(64)
	kind := r.UintMax(math.MaxUint8)
	if r.Err() != nil {
		return nil // the caller tells
	}
	if n < 4 {
		return fmt.Errorf("entry %v: %w: operation of %d fields", d, ErrDamaged, n)
	}
	if kind < uint64(origin.Write) || kind > uint64(origin.Truncate) {
		return fmt.Errorf("entry %v: operation kind %d: %w", d, kind, ErrUnknown)
	}
	// Grown by append, so that what is allocated follows what is there.
	t.Ops = append(t.Ops, origin.Operation{})
	op := &t.Ops[len(t.Ops)-1]
	op.Kind = origin.Kind(kind)
	if f := r.Bytes(len(op.File)); len(f) == len(op.File) {
		op.File = origin.FileID(f)
	} else if r.Err() == nil {
		return fmt.Errorf("entry %v: %w: file id of %d bytes", d, ErrDamaged, len(f))
	}
	op.Address = r.Bytes(origin.MaxAddress)
	op.Life = uint32(r.UintMax(math.MaxUint32))
	if n > 4 && !r.Nil() {
		op.Data = r.Bytes(MaxData)
	}
	if op.Kind == origin.Write && op.Data == nil && r.Err() == nil {
		return fmt.Errorf("entry %v: %w: write without data", d, ErrDamaged)
	}
	if n > 5 && !r.Nil() {
		more := fields(r, 6)
		op.Birth.Stamp = origin.Stamp(r.Uint())
		op.Birth.Dot = readOpDot(r)
		if more < 0 {
			return fmt.Errorf("entry %v: %w: birth", d, ErrDamaged)
		}
		skip(r, more)
	}
	var err error
	if n > 6 {
		if op.Unseen, err = readOpDots(r); err != nil {
			return fmt.Errorf("entry %v: %w: unseen", d, err)
		}
		if mutant.On(mutant.WireNoUnseen) {
			op.Unseen = nil
		}
	}
	if n > 7 {
		if op.Hidden, err = readOpDots(r); err != nil {
			return fmt.Errorf("entry %v: %w: hidden", d, err)
		}
	}
	if n > 8 {
		if op.Closes, err = readOpDots(r); err != nil {
			return fmt.Errorf("entry %v: %w: closes", d, err)
		}
		skip(r, n-9)
	}
	return nil
}

func readOpDots(r *pack.Reader) (l []origin.OpDot, err error) {
	for m := r.Array(maxDots); m > 0 && r.Err() == nil; m-- {
		more := fields(r, 5)
		u := readOpDot(r)
		if more < 0 {
			return nil, ErrDamaged
		}
		skip(r, more)
		l = append(l, u)
	}
	return l, nil
}
