package origin

import (
	"encoding/hex"
	"fmt"
)

// FileID names a file on every module: the first 16 bytes of a SHA-256 over
// (share, path at creation, life, shape). See vosio/record for its making.
type FileID [16]byte

// IsZero reports whether f names no file.
func (f FileID) IsZero() bool { return f == FileID{} }

// String gives f in hexadecimal.
func (f FileID) String() string { return hex.EncodeToString(f[:]) }

// Kind is what an operation does. Numbers are on disk and wire: never reused.
type Kind uint8

const (
	// Write puts a version with Data into the register (File, Address).
	Write Kind = 1
	// Delete puts a tombstone into the register (File, Address).
	Delete Kind = 2
	// Truncate removes, from every register of File, the versions in the
	// txn's context and not in Unseen. It leaves no version of its own:
	// concurrent writes survive.
	Truncate Kind = 3
)

// Birth orders records: the stamp and dot of the write that created one. It is
// kept by rewrites.
type Birth struct {
	Stamp Stamp
	Dot   OpDot
}

// IsZero reports whether b is unset.
func (b Birth) IsZero() bool { return b == Birth{} }

// Compare orders births by stamp, module, incarnation, seq, index (then group,
// which only tells apart what no file can hold together).
func (b Birth) Compare(c Birth) int {
	switch {
	case b.Stamp != c.Stamp:
		return less(b.Stamp < c.Stamp)
	case b.Dot.Module != c.Dot.Module:
		return less(b.Dot.Module < c.Dot.Module)
	case b.Dot.Incarnation != c.Dot.Incarnation:
		return less(b.Dot.Incarnation < c.Dot.Incarnation)
	case b.Dot.Seq != c.Dot.Seq:
		return less(b.Dot.Seq < c.Dot.Seq)
	case b.Dot.Index != c.Dot.Index:
		return less(b.Dot.Index < c.Dot.Index)
	case b.Dot.Group != c.Dot.Group:
		return less(b.Dot.Group < c.Dot.Group)
	}
	return 0
}

func less(b bool) int {
	if b {
		return -1
	}
	return 1
}

// Operation is one change of a txn. A txn holds at most one operation for each
// register: the net effect.
type Operation struct {
	Kind    Kind
	File    FileID
	Address []byte // the register within File; empty for Truncate
	Life    uint32 // of the record written or deleted, from 1
	// Birth of the record; zero says that this operation is the birth, so
	// that the common case costs no bytes.
	Birth Birth
	Data  []byte // the record's bytes; nil unless Kind is Write
	// Unseen lists versions of other modules that stood in the register when
	// the txn was sequenced but not when its writer read it. They are in the
	// context and yet not covered. Never a tombstone.
	Unseen []OpDot
	// Hidden lists covered versions that the writer was not shown: losers that
	// stood beside the shown one, with other bytes. Nearly always empty; it
	// changes no set, only what the ledger keeps.
	Hidden []OpDot
	// Closes lists losers of this register that a person dealt with by this
	// very operation: they were shown to him, whether they still stood or had
	// been replaced unread. Their ledger entries are closed. Nearly always
	// empty.
	Closes []OpDot
}

// Txn is the unit of replication.
type Txn struct {
	Dot    Dot
	Stamp  Stamp
	Policy uint64 // policy epoch that it was made under
	// Context holds only what changed since the previous txn of the stream:
	// the streams (never the txn's own) of which the origin had applied more.
	// The full context is the sum of all deltas up to here.
	Context []StreamSeq
	Process string // name of the program that made it; for history
	Ops     []Operation
}

// Version is what a register's set holds of one operation. Same dot, same
// bytes, on every module.
type Version struct {
	Dot       OpDot
	Stamp     Stamp
	Policy    uint64
	Life      uint32
	Birth     Birth
	Tombstone bool
	Data      []byte // nil for a tombstone
}

// Version gives the version that operation i of t puts into its register.
// Data is shared with t, not copied. It must not be called for a Truncate.
func (t *Txn) Version(i int) Version {
	op := &t.Ops[i]
	d := OpDot{t.Dot, uint32(i)}
	v := Version{Dot: d, Stamp: t.Stamp, Policy: t.Policy, Life: op.Life, Birth: op.Birth}
	if v.Birth.IsZero() {
		v.Birth = Birth{t.Stamp, d}
	}
	if op.Kind == Delete {
		v.Tombstone = true
	} else {
		v.Data = op.Data
	}
	return v
}

// Head is an origin's signed statement: my stream stands at Position, nothing
// I write later is stamped at or below Floor, I know control up to Control,
// and I have applied Context. Everything it names was durable before it was
// signed.
type Head struct {
	Stream   Stream
	Position Position
	Floor    Stamp
	Control  uint64 // control (raft) index applied
	Context  []StreamPosition
	Sig      [64]byte // Ed25519 over the encoded head without Sig; see origin/entry
}

func (h *Head) String() string {
	return fmt.Sprintf("head %v:%d %v", h.Stream, h.Position.Seq, h.Position.Hash)
}

// Limits that every encoder, decoder and caller shares.
const (
	MaxRecord  = 32767     // bytes of one record: lengths are bin(15)
	MaxKey     = 1280      // bytes of one index key
	MaxTxn     = 256 << 20 // bytes of one encoded txn
	MaxFrame   = 1 << 20   // bytes of one wire frame; a larger entry travels in parts
	MaxStreams = 4096      // entries of one vector or context
	MaxAddress = 2048      // bytes of one register address
	MaxOps     = 4 << 20   // operations of one txn
)
