package record

import (
	"encoding/binary"
	"errors"
	"fmt"

	"drmesh/origin"
)

// SetFormat is the first byte of every stored version set.
const SetFormat = 1

// MaxVersions bounds the versions of one set that a decoder accepts.
const MaxVersions = 1 << 16

const (
	flagTombstone = 1 << iota
	flagBorn      // the version is the birth: no birth bytes follow
)

// AppendSet appends the stored form of a version set: format(1), count, then
// each version with the visible one first:
//
//	flags(1) group module incarnation seq index policy life   uvarints but flags
//	stamp(8)                                                   big endian
//	unless born: stamp(8) group module incarnation seq index   the birth
//	unless tombstone: length, bytes
func AppendSet(b []byte, set []origin.Version) []byte {
	b = append(b, SetFormat)
	b = binary.AppendUvarint(b, uint64(len(set)))
	for i := range set {
		v := &set[i]
		var flags byte
		if v.Tombstone {
			flags |= flagTombstone
		}
		born := v.Birth.Dot == v.Dot && v.Birth.Stamp == v.Stamp
		if born {
			flags |= flagBorn
		}
		b = append(b, flags)
		b = appendDot(b, v.Dot)
		b = binary.AppendUvarint(b, v.Policy)
		b = binary.AppendUvarint(b, uint64(v.Life))
		b = binary.BigEndian.AppendUint64(b, uint64(v.Stamp))
		if !born {
			b = binary.BigEndian.AppendUint64(b, uint64(v.Birth.Stamp))
			b = appendDot(b, v.Birth.Dot)
		}
		if !v.Tombstone {
			b = binary.AppendUvarint(b, uint64(len(v.Data)))
			b = append(b, v.Data...)
		}
	}
	return b
}

func appendDot(b []byte, d origin.OpDot) []byte {
	b = binary.AppendUvarint(b, uint64(d.Group))
	b = binary.AppendUvarint(b, uint64(d.Module))
	b = binary.AppendUvarint(b, uint64(d.Incarnation))
	b = binary.AppendUvarint(b, uint64(d.Seq))
	return binary.AppendUvarint(b, uint64(d.Index))
}

// ErrSet says that stored bytes are no version set.
var ErrSet = errors.New("damaged version set")

type setReader struct {
	b   []byte
	bad bool
}

func (r *setReader) uvarint(max uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > max {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *setReader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *setReader) stamp() origin.Stamp {
	p := r.take(8)
	if p == nil {
		return 0
	}
	return origin.Stamp(binary.BigEndian.Uint64(p))
}

func (r *setReader) dot() origin.OpDot {
	const u32 = 1<<32 - 1
	var d origin.OpDot
	d.Group = origin.Group(r.uvarint(u32))
	d.Module = origin.Module(r.uvarint(u32))
	d.Incarnation = origin.Incarnation(r.uvarint(u32))
	d.Seq = origin.Seq(r.uvarint(1<<64 - 1))
	d.Index = uint32(r.uvarint(u32))
	return d
}

// DecodeSet appends the versions stored in b to dst. Data borrows b.
func DecodeSet(dst []origin.Version, b []byte) ([]origin.Version, error) {
	if len(b) < 2 || b[0] != SetFormat {
		return dst, fmt.Errorf("%w: format", ErrSet)
	}
	r := setReader{b: b[1:]}
	n := r.uvarint(MaxVersions)
	if n > uint64(len(r.b)) {
		return dst, fmt.Errorf("%w: %d versions in %d bytes", ErrSet, n, len(r.b))
	}
	for ; n > 0 && !r.bad; n-- {
		var v origin.Version
		f := r.take(1)
		if f == nil {
			break
		}
		v.Tombstone = f[0]&flagTombstone != 0
		v.Dot = r.dot()
		v.Policy = r.uvarint(1<<64 - 1)
		v.Life = uint32(r.uvarint(1<<32 - 1))
		v.Stamp = r.stamp()
		if f[0]&flagBorn != 0 {
			v.Birth = origin.Birth{Stamp: v.Stamp, Dot: v.Dot}
		} else {
			v.Birth.Stamp = r.stamp()
			v.Birth.Dot = r.dot()
		}
		if !v.Tombstone {
			v.Data = r.take(int(r.uvarint(1 << 30)))
		}
		dst = append(dst, v)
	}
	if r.bad || len(r.b) != 0 {
		return dst, fmt.Errorf("%w: %d bytes", ErrSet, len(b))
	}
	return dst, nil
}
