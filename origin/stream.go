package origin

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Module is the number of a module, given out once by control; 0 is nobody.
type Module uint32

// Incarnation distinguishes the successive streams of one module in one group.
// Control gives it out; the first is 1.
type Incarnation uint32

// Group is the number of a group, given out once by control. Group 0 is the
// module's own unshared files: it has no stream and is never shipped.
type Group uint32

// Seq numbers the txns of a stream, from 1, without gaps.
type Seq uint64

// Stream names what one incarnation of one module writes in one group.
type Stream struct {
	Group       Group
	Module      Module
	Incarnation Incarnation
}

// Compare orders streams by group, module, incarnation.
func (s Stream) Compare(t Stream) int {
	if c := cmp.Compare(s.Group, t.Group); c != 0 {
		return c
	}
	if c := cmp.Compare(s.Module, t.Module); c != 0 {
		return c
	}
	return cmp.Compare(s.Incarnation, t.Incarnation)
}

// IsZero reports whether s names nobody's stream.
func (s Stream) IsZero() bool { return s == Stream{} }

// String gives the numeric form m<module>.<incarnation>/g<group>; a node that
// knows names prints %system#module.<incarnation>/<group> instead.
func (s Stream) String() string {
	return fmt.Sprintf("m%d.%d/g%d", s.Module, s.Incarnation, s.Group)
}

// StreamSize is the length of a stream's binary form: group, module and
// incarnation, four bytes each, big endian, so that bytes sort as Compare does.
const StreamSize = 12

// AppendStream appends the binary form of s.
func AppendStream(b []byte, s Stream) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(s.Group))
	b = binary.BigEndian.AppendUint32(b, uint32(s.Module))
	return binary.BigEndian.AppendUint32(b, uint32(s.Incarnation))
}

// DecodeStream reads the binary form from the first StreamSize bytes of b,
// which must have that many.
func DecodeStream(b []byte) Stream {
	return Stream{
		Group:       Group(binary.BigEndian.Uint32(b)),
		Module:      Module(binary.BigEndian.Uint32(b[4:])),
		Incarnation: Incarnation(binary.BigEndian.Uint32(b[8:])),
	}
}

// Dot names one txn.
type Dot struct {
	Stream
	Seq Seq
}

// Compare orders dots by stream, then seq.
func (d Dot) Compare(e Dot) int {
	if c := d.Stream.Compare(e.Stream); c != 0 {
		return c
	}
	return cmp.Compare(d.Seq, e.Seq)
}

// String gives m<module>.<incarnation>/g<group>:<seq>.
func (d Dot) String() string { return fmt.Sprintf("%v:%d", d.Stream, d.Seq) }

// OpDot names one operation of a txn.
type OpDot struct {
	Dot
	Index uint32
}

// Compare orders operation dots by dot, then index.
func (d OpDot) Compare(e OpDot) int {
	if c := d.Dot.Compare(e.Dot); c != 0 {
		return c
	}
	return cmp.Compare(d.Index, e.Index)
}

// String gives the dot, followed by .N when the index is not 0.
func (d OpDot) String() string {
	if d.Index == 0 {
		return d.Dot.String()
	}
	return fmt.Sprintf("%v.%d", d.Dot, d.Index)
}

// Hash is a SHA-256 chain value.
type Hash [sha256.Size]byte

// IsZero reports whether h was never set.
func (h Hash) IsZero() bool { return h == Hash{} }

// String gives the first eight bytes in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:8]) }

// Genesis is the chain value of a stream before its first entry: the hash of
// the stream's name.
func (s Stream) Genesis() Hash {
	b := append(make([]byte, 0, 32), "drmesh stream 1\x00"...)
	return sha256.Sum256(AppendStream(b, s))
}

// Next is the chain value after entry, the encoded bytes of the next txn:
// SHA-256 of h followed by SHA-256 of entry. (Hashing the entry by itself lets
// a receiver hash the parts of a large entry as they come.)
func (h Hash) Next(entry []byte) Hash {
	sum := sha256.Sum256(entry)
	return h.NextSum(sum)
}

// NextSum is Next for an entry of which only the SHA-256 is at hand.
func (h Hash) NextSum(sum [sha256.Size]byte) Hash {
	var b [2 * sha256.Size]byte
	copy(b[:], h[:])
	copy(b[sha256.Size:], sum[:])
	return sha256.Sum256(b[:])
}
