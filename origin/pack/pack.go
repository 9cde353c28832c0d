// Package pack writes and reads msgpack by hand, within bounds.
//
// It is the base of every hot format of ours: txns, heads, frames, ledger
// entries. Writing appends to a caller's slice and allocates only to grow it.
// Reading borrows from the input and checks every declared length against the
// bytes that are left before it is used, so that no message costs more memory
// than its own length. Integers are written in their shortest form.
//
// The messages are plain msgpack (https://github.com/msgpack/msgpack): any
// library reads them. Extension types, floats and maps with other than string
// or integer keys are not used.
package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Errors of a Reader.
var (
	ErrShort = errors.New("message ends too early")
	ErrType  = errors.New("message holds another type here")
	ErrRange = errors.New("message is over a bound")
)

// AppendUint appends an unsigned integer.
func AppendUint(b []byte, u uint64) []byte {
	switch {
	case u < 0x80:
		return append(b, byte(u))
	case u <= math.MaxUint8:
		return append(b, 0xcc, byte(u))
	case u <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(u))
	case u <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(u))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), u)
}

// AppendInt appends a signed integer.
func AppendInt(b []byte, i int64) []byte {
	switch {
	case i >= 0:
		return AppendUint(b, uint64(i))
	case i >= -32:
		return append(b, byte(i))
	case i >= math.MinInt8:
		return append(b, 0xd0, byte(i))
	case i >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(i))
	case i >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(i))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(i))
}

// AppendBytes appends a byte string (bin family).
func AppendBytes(b, p []byte) []byte {
	switch n := len(p); {
	case n <= math.MaxUint8:
		b = append(b, 0xc4, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
	}
	return append(b, p...)
}

// AppendString appends a text (str family).
func AppendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

// AppendArray appends the header of an array of n values, which follow.
func AppendArray(b []byte, n int) []byte { return appendHeader(b, n, 0x90, 0xdc) }

// AppendMap appends the header of a map of n pairs, which follow.
func AppendMap(b []byte, n int) []byte { return appendHeader(b, n, 0x80, 0xde) }

func appendHeader(b []byte, n int, fix, wide byte) []byte {
	switch {
	case n < 16:
		return append(b, fix|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, wide), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, wide+1), uint32(n))
}

// AppendBool appends a truth value.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

// AppendNil appends nil.
func AppendNil(b []byte) []byte { return append(b, 0xc0) }

// Reader reads one message. The first error sticks: after it every method
// gives zero values, and Err tells it. It is a small value and allocates
// nothing.
type Reader struct {
	b   []byte
	n   int // length of the whole message
	err error
}

// NewReader reads b, which must not change while what it gives is in use.
func NewReader(b []byte) Reader { return Reader{b: b, n: len(b)} }

// Err is the first error met.
func (r *Reader) Err() error { return r.err }

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

// Rest is what is left, borrowed.
func (r *Reader) Rest() []byte { return r.b }

// Done gives the first error, or one if bytes are left.
func (r *Reader) Done() error {
	if r.err == nil && len(r.b) != 0 {
		r.fail(fmt.Errorf("%d bytes after the message: %w", len(r.b), ErrRange))
	}
	return r.err
}

// Refuse makes the reader fail here: its user found a value out of range.
func (r *Reader) Refuse() { r.fail(ErrRange) }

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("msgpack at byte %d: %w", r.n-len(r.b), err)
		r.b = nil
	}
}

func (r *Reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(ErrShort)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *Reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail(ErrShort)
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *Reader) number(size uint64) uint64 {
	p := r.take(size)
	if p == nil {
		return 0
	}
	switch size {
	case 1:
		return uint64(p[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(p))
	case 4:
		return uint64(binary.BigEndian.Uint32(p))
	}
	return binary.BigEndian.Uint64(p)
}

// Uint reads an unsigned integer.
func (r *Reader) Uint() uint64 {
	if r.err != nil {
		return 0
	}
	switch c := r.byte(); {
	case c < 0x80:
		return uint64(c)
	case c >= 0xcc && c <= 0xcf:
		return r.number(1 << (c - 0xcc))
	}
	r.fail(ErrType)
	return 0
}

// UintMax reads an unsigned integer of at most max.
func (r *Reader) UintMax(max uint64) uint64 {
	u := r.Uint()
	if u > max {
		r.fail(ErrRange)
		return 0
	}
	return u
}

// Int reads a signed integer.
func (r *Reader) Int() int64 {
	if r.err != nil {
		return 0
	}
	c := r.byte()
	switch {
	case c < 0x80:
		return int64(c)
	case c >= 0xe0:
		return int64(int8(c))
	case c >= 0xcc && c <= 0xcf:
		u := r.number(1 << (c - 0xcc))
		if u > math.MaxInt64 {
			r.fail(ErrRange)
			return 0
		}
		return int64(u)
	case c == 0xd0:
		return int64(int8(r.number(1)))
	case c == 0xd1:
		return int64(int16(r.number(2)))
	case c == 0xd2:
		return int64(int32(r.number(4)))
	case c == 0xd3:
		return int64(r.number(8))
	}
	r.fail(ErrType)
	return 0
}

// Bool reads a truth value.
func (r *Reader) Bool() bool {
	if r.err != nil {
		return false
	}
	switch r.byte() {
	case 0xc2:
		return false
	case 0xc3:
		return true
	}
	r.fail(ErrType)
	return false
}

// Nil reports whether nil comes next, and takes it if so.
func (r *Reader) Nil() bool {
	if r.err == nil && len(r.b) > 0 && r.b[0] == 0xc0 {
		r.b = r.b[1:]
		return true
	}
	return false
}

// Bytes reads a byte string of at most max bytes; it borrows the input.
func (r *Reader) Bytes(max int) []byte {
	if r.err != nil {
		return nil
	}
	c := r.byte()
	if c < 0xc4 || c > 0xc6 {
		r.fail(ErrType)
		return nil
	}
	return r.sized(r.number(1<<(c-0xc4)), max)
}

func (r *Reader) sized(n uint64, max int) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(max) {
		r.fail(ErrRange)
		return nil
	}
	return r.take(n)
}

// Text reads a text of at most max bytes; it borrows the input.
func (r *Reader) Text(max int) []byte {
	if r.err != nil {
		return nil
	}
	switch c := r.byte(); {
	case c >= 0xa0 && c <= 0xbf:
		return r.sized(uint64(c&0x1f), max)
	case c >= 0xd9 && c <= 0xdb:
		return r.sized(r.number(1<<(c-0xd9)), max)
	}
	r.fail(ErrType)
	return nil
}

// String is Text as a copy.
func (r *Reader) String(max int) string { return string(r.Text(max)) }

// Array reads the header of an array of at most max values. Each value takes
// a byte at least, so a count over what is left is refused.
func (r *Reader) Array(max int) int { return r.header(max, 0x90, 0xdc, 1) }

// Map reads the header of a map of at most max pairs.
func (r *Reader) Map(max int) int { return r.header(max, 0x80, 0xde, 2) }

func (r *Reader) header(max int, fix, wide byte, each uint64) int {
	if r.err != nil {
		return 0
	}
	var n uint64
	switch c := r.byte(); {
	case c&0xf0 == fix:
		n = uint64(c & 0x0f)
	case c == wide:
		n = r.number(2)
	case c == wide+1:
		n = r.number(4)
	default:
		r.fail(ErrType)
	}
	if r.err != nil {
		return 0
	}
	if n > uint64(max) {
		r.fail(ErrRange)
		return 0
	}
	if n*each > uint64(len(r.b)) {
		r.fail(ErrShort)
		return 0
	}
	return int(n)
}

// Skip passes over one value nested at most depth deep.
func (r *Reader) Skip(depth int) {
	if r.err != nil {
		return
	}
	if depth < 0 {
		r.fail(ErrRange)
		return
	}
	values := uint64(0)
	switch c := r.byte(); {
	case r.err != nil:
		return
	case c < 0x80, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3:
	case c&0xf0 == 0x80:
		values = 2 * uint64(c&0x0f)
	case c&0xf0 == 0x90:
		values = uint64(c & 0x0f)
	case c&0xe0 == 0xa0:
		r.take(uint64(c & 0x1f))
	case c >= 0xc4 && c <= 0xc6:
		r.take(r.number(1 << (c - 0xc4)))
	case c >= 0xc7 && c <= 0xc9:
		r.take(r.number(1<<(c-0xc7)) + 1)
	case c == 0xca:
		r.take(4)
	case c == 0xcb:
		r.take(8)
	case c >= 0xcc && c <= 0xcf:
		r.take(1 << (c - 0xcc))
	case c >= 0xd0 && c <= 0xd3:
		r.take(1 << (c - 0xd0))
	case c >= 0xd4 && c <= 0xd8:
		r.take(1 + 1<<(c-0xd4))
	case c >= 0xd9 && c <= 0xdb:
		r.take(r.number(1 << (c - 0xd9)))
	case c == 0xdc || c == 0xdd:
		values = r.number(2 << (c - 0xdc))
	case c == 0xde || c == 0xdf:
		values = 2 * r.number(2<<(c-0xde))
	default:
		r.fail(ErrType)
	}
	if values > uint64(len(r.b)) {
		r.fail(ErrShort)
		return
	}
	for ; values > 0 && r.err == nil; values-- {
		r.Skip(depth - 1)
	}
}

// Walk checks that b is one whole message, nested at most maxDepth deep, whose
// lengths all fit in it. After it a library that believes lengths may decode b.
func Walk(b []byte, maxDepth int) error {
	r := NewReader(b)
	r.Skip(maxDepth)
	return r.Done()
}
