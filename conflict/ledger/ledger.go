package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/conflict"
	"drmesh/origin"
)

// KV is one write for the committer's batch; a nil Value deletes the key.
type KV struct{ Key, Value []byte }

// Apply puts writes into a batch.
func Apply(b *pebble.Batch, writes []KV) error {
	for _, w := range writes {
		var err error
		if w.Value == nil {
			err = b.Delete(w.Key, nil)
		} else {
			err = b.Set(w.Key, w.Value, nil)
		}
		if err != nil {
			return fmt.Errorf("write conflict ledger: %w", err)
		}
	}
	return nil
}

const keySize = 2 + 8 + len(conflict.ID{})

func entryKey(stamp origin.Stamp, id conflict.ID) []byte {
	k := make([]byte, 0, keySize)
	k = append(k, 'c', 'e')
	k = binary.BigEndian.AppendUint64(k, uint64(stamp))
	return append(k, id[:]...)
}

func idKey(id conflict.ID) []byte {
	return append([]byte{'c', 'i'}, id[:]...)
}

// Writes appends what the entries of one register's outcome put into and take
// out of the ledger. The KVs share nothing with the entries.
func Writes(dst []KV, file origin.FileID, addr []byte, entries []conflict.Entry, f Facts) []KV {
	for i := range entries {
		e := &entries[i]
		k, ik := entryKey(e.Loser.Stamp, e.ID), idKey(e.ID)
		if e.State == conflict.Withdrawn {
			dst = append(dst, KV{Key: k}, KV{Key: ik})
			continue
		}
		full := Entry{Entry: *e, File: file, Address: addr, Facts: f}
		if e.State == conflict.Closed {
			full.ClosedBy, full.ClosedAt = f.Process, f.Stamp
		}
		dst = append(dst, KV{k, AppendEntry(nil, &full)}, KV{ik, stampBytes(e.Loser.Stamp)})
	}
	return dst
}

func stampBytes(s origin.Stamp) []byte { return binary.BigEndian.AppendUint64(nil, uint64(s)) }

// ErrNotFound says that the ledger has no such entry.
var ErrNotFound = errors.New("no such conflict")

// Get reads one entry.
func Get(r pebble.Reader, id conflict.ID) (*Entry, error) {
	stamp, ok, err := get(r, idKey(id))
	if err != nil {
		return nil, fmt.Errorf("read conflict %v: %w", id, err)
	}
	if !ok {
		return nil, fmt.Errorf("conflict %v: %w", id, ErrNotFound)
	}
	if len(stamp) != 8 {
		return nil, fmt.Errorf("read conflict %v: %w: index", id, ErrEntry)
	}
	v, ok, err := get(r, entryKey(origin.Stamp(binary.BigEndian.Uint64(stamp)), id))
	if err != nil {
		return nil, fmt.Errorf("read conflict %v: %w", id, err)
	}
	if !ok {
		return nil, fmt.Errorf("read conflict %v: %w: index without entry", id, ErrEntry)
	}
	e := new(Entry)
	if err := DecodeEntry(v, e); err != nil {
		return nil, fmt.Errorf("read conflict %v: %w", id, err)
	}
	return e, nil
}

// get copies a value; ok is false when the key is absent.
func get(r pebble.Reader, key []byte) (v []byte, ok bool, err error) {
	p, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer closer.Close()
	return append([]byte{}, p...), true, nil
}

// Find completes an abbreviated id: the leading hexadecimal digits of exactly
// one entry, at least four.
func Find(r pebble.Reader, abbreviated string) (conflict.ID, error) {
	if id, err := conflict.ParseID(abbreviated); err == nil {
		return id, nil
	}
	if len(abbreviated) < 4 {
		return conflict.ID{}, fmt.Errorf("conflict id %q: at least 4 digits", abbreviated)
	}
	low, err := conflict.ParseID((abbreviated + "00000000000000000000000000000000")[:32])
	if err != nil || len(abbreviated) > 32 {
		return conflict.ID{}, fmt.Errorf("conflict id %q: 4 to 32 hexadecimal digits", abbreviated)
	}
	high, _ := conflict.ParseID((abbreviated + "ffffffffffffffffffffffffffffffff")[:32])
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: idKey(low), UpperBound: append(idKey(high), 0)})
	if err != nil {
		return conflict.ID{}, fmt.Errorf("find conflict %s: %w", abbreviated, err)
	}
	defer it.Close()
	var found []conflict.ID
	for ok := it.First(); ok && len(found) < 2; ok = it.Next() {
		if k := it.Key(); len(k) == len(low)+2 {
			found = append(found, conflict.ID(k[2:]))
		}
	}
	switch {
	case it.Error() != nil:
		return conflict.ID{}, fmt.Errorf("find conflict %s: %w", abbreviated, it.Error())
	case len(found) == 0:
		return conflict.ID{}, fmt.Errorf("conflict %s: %w", abbreviated, ErrNotFound)
	case len(found) > 1:
		return conflict.ID{}, fmt.Errorf("conflict id %q: several begin so", abbreviated)
	}
	return found[0], nil
}

// Filter says which entries Ls shows. Zero fields let everything through.
type Filter struct {
	Share  string
	File   origin.FileID
	States []conflict.State
	// After continues behind the entry that a Cursor names.
	After Cursor
}

// Cursor is the place of an entry in the order of Ls.
type Cursor struct {
	Stamp origin.Stamp
	ID    conflict.ID
}

// Cursor gives e's place.
func (e *Entry) Cursor() Cursor { return Cursor{e.Loser.Stamp, e.ID} }

func (f *Filter) takes(e *Entry) bool {
	if f.Share != "" && e.Facts.Share != f.Share || !f.File.IsZero() && e.File != f.File {
		return false
	}
	for _, s := range f.States {
		if s == e.State {
			return true
		}
	}
	return len(f.States) == 0
}

// Ls calls fn for each entry that the filter takes, in the order of the losers'
// stamps, then ids, until fn returns false. The entry is fn's to keep. A
// damaged entry ends it with an error that names the key.
func Ls(r pebble.Reader, f Filter, fn func(*Entry) bool) error {
	lower := []byte("ce")
	if f.After != (Cursor{}) {
		lower = append(entryKey(f.After.Stamp, f.After.ID), 0)
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: []byte("cf")})
	if err != nil {
		return fmt.Errorf("list conflicts: %w", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("list conflicts at %x: %w", it.Key(), err)
		}
		e := new(Entry)
		if err := DecodeEntry(append([]byte{}, v...), e); err != nil {
			return fmt.Errorf("list conflicts at %x: %w", it.Key(), err)
		}
		if f.takes(e) && !fn(e) {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("list conflicts: %w", err)
	}
	return nil
}

// ErrState says that an entry's state does not allow what was asked.
var ErrState = errors.New("not superseded")

// Close gives the writes that close a superseded entry, for a batch of the
// committer, and the changes of the account that go with them. An open
// conflict is not closed here: one ends it by writing the record anew.
func Close(r pebble.Reader, id conflict.ID, by string, at origin.Stamp) ([]KV, []conflict.Count, error) {
	e, err := Get(r, id)
	if err != nil {
		return nil, nil, err
	}
	if e.State != conflict.Superseded {
		return nil, nil, fmt.Errorf("close conflict %v: %w but %v", id, ErrState, e.State)
	}
	if len(by) > maxPerson {
		return nil, nil, fmt.Errorf("close conflict %v: name of %d bytes, at most %d", id, len(by), maxPerson)
	}
	e.State, e.ClosedBy, e.ClosedAt = conflict.Closed, by, at
	s := e.Loser.Dot.Stream
	return []KV{{entryKey(e.Loser.Stamp, id), AppendEntry(nil, e)}},
		[]conflict.Count{{Stream: s, Class: conflict.ClassSuperseded, Delta: -1}, {Stream: s, Class: conflict.ClassClosed, Delta: 1}}, nil
}
