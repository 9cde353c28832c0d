package ledger

import (
	"errors"

	"drmesh/conflict"
	"drmesh/origin"
	"drmesh/origin/mutant"
	"drmesh/origin/pack"
)

// Format is the first element of every stored entry.
const Format = 1

// How many elements the arrays of this format have. A later writer may append
// elements to an entry, up to maxFields; a reader skips them.
const (
	fields        = 14
	versionFields = 7
	dotFields     = 5
	maxFields     = 64
)

// Facts are what is known of the txn that brought an entry to its state.
type Facts struct {
	Share   string
	Stamp   origin.Stamp
	Policy  uint64 // policy epoch
	Process string // the program that made the txn
	Rule    string // the policy that decided, by name
}

// Entry is a stored entry.
type Entry struct {
	conflict.Entry
	File    origin.FileID
	Address []byte
	Facts   Facts
	// ClosedBy and ClosedAt say who closed a superseded entry, and when.
	ClosedBy string
	ClosedAt origin.Stamp
}

// Bounds of what a stored entry may hold.
const (
	maxShare   = 256
	maxProcess = 256
	maxPerson  = 256
	maxRule    = 64
	maxImage   = origin.MaxTxn
	maxDepth   = 8
)

// ErrEntry says that stored bytes are no ledger entry.
var ErrEntry = errors.New("damaged ledger entry")

// AppendEntry appends the stored form of e.
func AppendEntry(b []byte, e *Entry) []byte {
	b = pack.AppendArray(b, fields)
	b = pack.AppendUint(b, Format)
	b = pack.AppendUint(b, uint64(e.State))
	b = pack.AppendBytes(b, e.File[:])
	b = pack.AppendBytes(b, e.Address)
	b = appendVersion(b, &e.Loser)
	if e.Winner.Dot.Seq == 0 {
		b = pack.AppendNil(b)
	} else {
		b = appendVersion(b, &e.Winner)
	}
	b = appendDot(b, e.By)
	b = pack.AppendString(b, e.Facts.Rule)
	b = pack.AppendString(b, e.Facts.Share)
	b = pack.AppendUint(b, uint64(e.Facts.Stamp))
	b = pack.AppendUint(b, e.Facts.Policy)
	b = pack.AppendString(b, e.Facts.Process)
	b = pack.AppendString(b, e.ClosedBy)
	return pack.AppendUint(b, uint64(e.ClosedAt))
}

func appendDot(b []byte, d origin.OpDot) []byte {
	b = pack.AppendArray(b, dotFields)
	b = pack.AppendUint(b, uint64(d.Group))
	b = pack.AppendUint(b, uint64(d.Module))
	b = pack.AppendUint(b, uint64(d.Incarnation))
	b = pack.AppendUint(b, uint64(d.Seq))
	return pack.AppendUint(b, uint64(d.Index))
}

func appendVersion(b []byte, v *origin.Version) []byte {
	b = pack.AppendArray(b, versionFields)
	b = appendDot(b, v.Dot)
	b = pack.AppendUint(b, uint64(v.Stamp))
	b = pack.AppendUint(b, v.Policy)
	b = pack.AppendUint(b, uint64(v.Life))
	b = pack.AppendUint(b, uint64(v.Birth.Stamp))
	b = appendDot(b, v.Birth.Dot)
	if mutant.On(mutant.HalfImage) && len(v.Data) > 8 {
		return pack.AppendBytes(b, v.Data[:8])
	}
	if v.Tombstone {
		return pack.AppendNil(b)
	}
	return pack.AppendBytes(b, v.Data)
}
