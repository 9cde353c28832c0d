package vosio

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/lock"
	"drmesh/vosio/record"
)

// Entries of separate-key and item indexes. Each is a register of its file: of
// a key and the birth of the record that has it, or of a key and an item. A
// birth stays with its record through rewrites, so entries follow a record
// that moves to another key of its own.
//
// Whoever deletes a record deletes the entries that it has, in the same txn. An
// entry that another module adds meanwhile stays, and leads nowhere. The order
// of an index is derived: an entry stands in it while its record is shown, and
// duplicates stand in the order of the births of their entries. An entry that
// is older than its index is of another index of that name, and is not shown.

// isEntry tells whether a register of a file is an entry of an index.
func isEntry(addr []byte) bool {
	return len(addr) > 0 && (addr[0] == record.KindEntry || addr[0] == record.KindItem)
}

// given tells whether keys come from programs, not from the records.
func (x *index) given() bool {
	return x.Kind == record.IndexSeparate || x.Kind == record.IndexItem
}

// orders tells whether records can be read in the order of an index.
func (x *index) orders() bool { return x.Kind == "" || x.Kind == record.IndexSeparate }

func orders(x *index) bool { return x.orders() }

// keyEnd is the length of the key in b, which begins with one as index entries
// have it.
func (x *index) keyEnd(b []byte) int {
	if x.given() {
		return record.SortedLen(b)
	}
	return x.keyLen
}

// shown is a key of an entry as programs know it.
func (x *index) shown(b []byte) []byte {
	if x.given() {
		return record.Unsorted(b)
	}
	return slices.Clone(b)
}

// sought gives a key as the index's entries have it: whole, and as the
// beginning of longer ones.
func (x *index) sought(key []byte) (whole, beginning []byte) {
	key = slices.Clone(key)
	x.Collate(key)
	if x.given() {
		return record.AppendSorted(nil, key, true), record.AppendSorted(nil, key, false)
	}
	return padded(x, key), key
}

// entryIndex is the index that an entry is of; nil: none, or one of that name
// that is gone.
func (f *file) entryIndex(addr []byte, v *origin.Version) *index {
	number, _, _, ok := record.Entry(addr)
	if !ok {
		return nil
	}
	for _, x := range f.others {
		if x.number == number && x.given() && (addr[0] == record.KindItem) == (x.Kind == record.IndexItem) && (v == nil || v.Birth.Stamp >= x.birth.Stamp) {
			return x
		}
	}
	return nil
}

func appendKeysKey(b []byte, f origin.FileID, birth []byte) []byte {
	return append(appendFileKey(b, keyKeys, f), birth...)
}

// recordOf finds the record of a birth that is shown; nil: there is none.
func recordOf(r pebble.Reader, f origin.FileID, birth []byte) (addr []byte, err error) {
	prefix := append(appendFileKey(nil, keyPhysical, f), birth...)
	err = scanPrefix(r, prefix, func(k, _ []byte) error {
		addr = slices.Clone(k[len(prefix):])
		return errStop
	})
	if err == errStop {
		err = nil
	}
	return addr, err
}

// entryKey is where an entry stands in its index; nil: its record is not shown.
func entryKey(r pebble.Reader, f *file, x *index, addr []byte, birth origin.Birth) ([]byte, error) {
	_, key, of, _ := record.Entry(addr)
	if x.Kind == record.IndexSeparate {
		var err error
		if of, err = recordOf(r, f.id, of); of == nil || err != nil {
			return nil, err
		}
	}
	return appendEntryKey(nil, keyIndex, f.id, x.number, record.AppendSorted(nil, key, true), birth, of), nil
}

// eachKey visits the entries that the record of a birth has.
func eachKey(r pebble.Reader, f *file, birth origin.Birth, fn func(addr []byte, v *origin.Version) error) error {
	prefix := appendKeysKey(nil, f.id, record.AppendBirth(nil, birth))
	var addrs [][]byte
	err := scanPrefix(r, prefix, func(k, _ []byte) error {
		addrs = append(addrs, slices.Clone(k[len(prefix):]))
		return nil
	})
	for _, a := range addrs {
		if err != nil {
			return err
		}
		var v []byte
		var closer interface{ Close() error }
		if v, closer, err = r.Get(appendRegisterKey(nil, f.id, a)); err == pebble.ErrNotFound {
			err = nil
			continue
		} else if err != nil {
			return err
		}
		v = slices.Clone(v)
		closer.Close()
		var set []origin.Version
		if set, err = record.DecodeSet(nil, v); err == nil && visible(set) != nil {
			err = fn(a, &set[0])
		}
	}
	return err
}

// deriveEntry brings an index in line with an entry that came, changed or went.
func (t *tx) deriveEntry(f *file, addr []byte, old, now *origin.Version) error {
	t.c.stats[f] = struct{}{}
	if addr[0] == record.KindEntry {
		_, _, birth, ok := record.Entry(addr)
		if !ok {
			return nil
		}
		k := append(appendKeysKey(nil, f.id, birth), addr...)
		var err error
		if now != nil {
			err = t.b.Set(k, nil, nil)
		} else {
			err = t.b.Delete(k, nil)
		}
		if err != nil {
			return err
		}
	}
	if old != nil {
		if err := t.enter(f, addr, old, nil, false); err != nil {
			return err
		}
	}
	if now != nil {
		return t.enter(f, addr, now, nil, true)
	}
	return nil
}

// enter puts an entry into its index, or takes it out. of is the record's
// address; nil: wherever it is shown.
func (t *tx) enter(f *file, addr []byte, v *origin.Version, of []byte, in bool) error {
	x := f.entryIndex(addr, v)
	if x == nil {
		return nil
	}
	var k []byte
	var err error
	if of == nil {
		k, err = entryKey(t.r, f, x, addr, v.Birth)
	} else {
		_, key, _, _ := record.Entry(addr)
		k = appendEntryKey(nil, keyIndex, f.id, x.number, record.AppendSorted(nil, key, true), v.Birth, of)
	}
	if err != nil || k == nil {
		return err
	}
	rest := k[filePrefix+4:]
	t.claimChanged(f, x, rest[:x.keyEnd(rest)])
	if in {
		return t.b.Set(k, nil, nil)
	}
	return t.b.Delete(k, nil)
}

// enterKeys puts the entries of a record that is shown at an address into their
// indexes, or takes those out of one that is not shown there any more.
func (t *tx) enterKeys(f *file, birth origin.Birth, of []byte, in bool) error {
	return eachKey(t.r, f, birth, func(addr []byte, v *origin.Version) error { return t.enter(f, addr, v, of, in) })
}

// buildEntries makes the order of an index from its registers.
func (t *tx) buildEntries(f *file, x *index) error {
	return eachVisible(t.r, f.id, func(addr []byte, v *origin.Version) error {
		if !isEntry(addr) || f.entryIndex(addr, v) != x {
			return nil
		}
		return t.deriveEntry(f, addr, nil, v)
	})
}

// bornHere fills in the birth of a record that this request makes, in the address
// of a key of it.
func (t *tx) bornHere(addr []byte) []byte {
	number, key, of, ok := record.Entry(addr)
	if !ok || addr[0] != record.KindEntry {
		return addr
	}
	for j := range t.req.changes {
		if b := t.req.changes[j].born; !b.IsZero() && string(record.AppendBirth(nil, b)) == string(of) {
			return record.AppendEntry(nil, number, key, t.req.out[j].birth)
		}
	}
	return addr
}

// planned tells whether the request changes a register already.
func (t *tx) planned(f *file, addr []byte) bool {
	return slices.ContainsFunc(t.plan, func(p planned) bool { return p.f.id == f.id && string(p.op.Address) == string(addr) })
}

// planKeys plans that the entries go of a record that is deleted.
func (t *tx) planKeys(f *file, birth origin.Birth) error {
	if !f.separate {
		return nil
	}
	return eachKey(t.r, f, birth, func(addr []byte, v *origin.Version) error {
		if t.planned(f, addr) {
			return nil
		}
		if err := t.load(f, f.id, addr, false); err != nil {
			return err
		}
		op := origin.Operation{Kind: origin.Delete, File: f.id, Address: addr, Life: v.Life, Birth: v.Birth, Hidden: t.hidden(&change{}, nil)}
		t.plan = append(t.plan, planned{f, op, -1})
		return nil
	})
}

// tentativeEntry stages an entry in a transaction's overlay.
func (e *Engine) tentativeEntry(b *pebble.Batch, ch *change, birth origin.Birth) (committed, error) {
	f := ch.file
	out := committed{addr: ch.addr, birth: birth, dot: birth.Dot}
	old, had, err := e.record(b, f, ch.addr)
	if err != nil {
		return out, err
	}
	x := f.entryIndex(ch.addr, nil)
	if x == nil {
		return out, fmt.Errorf("write %s %s: %w", f.rel, record.String(ch.addr), call.IndexNotFound)
	}
	had = had && old.birth.Stamp >= x.birth.Stamp
	if ch.kind == remove {
		if !had {
			return out, fmt.Errorf("delete %s of %s: %w", record.String(ch.addr), f.rel, call.RecordNotFound)
		}
		birth = old.birth
	} else if had {
		return out, fmt.Errorf("write %s %s: %w", f.rel, record.String(ch.addr), call.InvalidDuplicateKey)
	}
	k, err := entryKey(b, f, x, ch.addr, birth)
	if err != nil {
		return out, err
	}
	_, key, of, _ := record.Entry(ch.addr)
	reg, rev := appendRegisterKey(nil, f.id, ch.addr), append(appendKeysKey(nil, f.id, of), ch.addr...)
	if ch.kind == remove {
		for _, k := range [][]byte{reg, rev, k} {
			if k != nil {
				if err := b.Delete(k, nil); err != nil {
					return out, err
				}
			}
		}
		return out, nil
	}
	if !x.Duplicates {
		prefix := append(append(appendFileKey(nil, keyIndex, f.id), x.number[:]...), record.AppendSorted(nil, key, true)...)
		err := scanPrefix(b, prefix, func(_, _ []byte) error {
			return fmt.Errorf("write %s index %s key %q: %w", f.rel, x.Name, key, call.InvalidDuplicateKey)
		})
		if err != nil {
			return out, err
		}
	}
	v := origin.Version{Dot: birth.Dot, Stamp: math.MaxUint64, Life: 1, Birth: birth, Data: []byte{}}
	if err := b.Set(reg, record.AppendSet(nil, []origin.Version{v}), nil); err != nil {
		return out, err
	}
	if ch.addr[0] == record.KindEntry {
		if err := b.Set(rev, nil, nil); err != nil {
			return out, err
		}
	}
	if k != nil {
		return out, b.Set(k, nil, nil)
	}
	return out, nil
}

// tentativeKeys has the entries of a record in an overlay lead from one address
// to another; nil: it is not shown there.
func (e *Engine) tentativeKeys(b *pebble.Batch, f *file, birth origin.Birth, from, to []byte) error {
	if !f.separate {
		return nil
	}
	return eachKey(b, f, birth, func(addr []byte, v *origin.Version) error {
		x := f.entryIndex(addr, v)
		if x == nil {
			return nil
		}
		_, key, _, _ := record.Entry(addr)
		key = record.AppendSorted(nil, key, true)
		if from != nil {
			if err := b.Delete(appendEntryKey(nil, keyIndex, f.id, x.number, key, v.Birth, from), nil); err != nil {
				return err
			}
		}
		if to != nil {
			return b.Set(appendEntryKey(nil, keyIndex, f.id, x.number, key, v.Birth, to), nil, nil)
		}
		return nil
	})
}

// provisionalEntry reports whether an entry is of a record that has a
// provisional birth.
func provisionalEntry(addr []byte) bool {
	_, _, of, ok := record.Entry(addr)
	return ok && addr[0] == record.KindEntry && provisional(append([]byte{record.KindBirth}, of...))
}

// findEntry finds the entry of a key, in its sorted form, that leads to a
// record.
func (e *Engine) findEntry(r pebble.Reader, f *file, x *index, key, addr []byte) (at spot, err error) {
	prefix := append(append(appendFileKey(nil, keyIndex, f.id), x.number[:]...), key...)
	err = scanPrefix(r, prefix, func(k, _ []byte) error {
		if string(k[len(prefix)+record.BirthSize:]) != string(addr) {
			return nil
		}
		at = slices.Clone(k[filePrefix+4:])
		return errStop
	})
	if err == errStop {
		err = nil
	}
	return at, err
}

// given finds the index that s$add_key and the calls of items name.
func (x *port) given(f *file, name, kind string) (*index, error) {
	if name == "" {
		name = x.index
	}
	ix := f.index(name)
	switch {
	case ix == nil:
		return nil, fmt.Errorf("%s, index %q: %w", x.path, name, call.IndexNotFound)
	case ix.Kind != kind:
		return nil, fmt.Errorf("%s, index %s, which is no %s index: %w", x.path, name, kind, call.InvalidIndexType)
	}
	return ix, nil
}

// givenKey is a key that a program gives, as its index has it.
func givenKey(x *port, ix *index, key []byte) ([]byte, error) {
	if len(key) == 0 || len(key) > origin.MaxKey {
		return nil, fmt.Errorf("%s, index %s: key of %d bytes, they have 1 to %d: %w", x.path, ix.Name, len(key), origin.MaxKey, call.KeyTooLong)
	}
	key = slices.Clone(key)
	ix.Collate(key)
	return key, nil
}

func (p *Process) addKey(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.toWrite(q.Port)
	if err != nil {
		return err
	}
	return p.changeKey(ctx, x, f, q, insert)
}

func (p *Process) deleteKey(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.toUpdate(q.Port)
	if err != nil {
		return err
	}
	return p.changeKey(ctx, x, f, q, remove)
}

// changeKey gives the current record a key, or takes it away.
func (p *Process) changeKey(ctx context.Context, x *port, f *file, q *call.Request, kind changeKind) error {
	ix, err := x.given(f, q.Index, record.IndexSeparate)
	if err != nil {
		return err
	}
	key, err := givenKey(x, ix, q.Key)
	if err != nil {
		return err
	}
	cur, err := x.current()
	if err != nil {
		return err
	}
	if kind == insert && ix.IsNull(key) {
		return nil // not entered
	}
	free, err := p.lockRecord(ctx, x, f, cur.addr, lock.Exclusive)
	if err != nil {
		return err
	}
	defer free()
	now, ok, err := p.e.record(p.view(f), f, cur.addr)
	if err != nil {
		return err
	}
	if !ok || now.birth != cur.birth {
		return fmt.Errorf("a key of a record of %s: %w", x.path, call.RecordNotFound)
	}
	_, err = p.write(ctx, x, f, change{kind: kind, addr: record.AppendEntry(nil, ix.number, key, cur.birth)})
	return err
}

// item finds what a call of items is about.
func (p *Process) item(x *port, f *file, q *call.Request) ([]byte, error) {
	ix, err := x.given(f, q.Index, record.IndexItem)
	if err != nil {
		return nil, err
	}
	key, err := givenKey(x, ix, q.Key)
	if err != nil {
		return nil, err
	}
	if q.Number < math.MinInt32 || q.Number > math.MaxInt32 {
		return nil, fmt.Errorf("%s, index %s: item %d: %w", x.path, ix.Name, q.Number, call.InvalidControl)
	}
	return record.AppendItem(nil, ix.number, key, int32(q.Number)), nil
}

func (p *Process) addItem(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.toWrite(q.Port)
	if err != nil {
		return err
	}
	addr, err := p.item(x, f, q)
	if err != nil {
		return err
	}
	if _, key, _, _ := record.Entry(addr); f.entryIndex(addr, nil).IsNull(key) {
		return nil // not entered
	}
	_, err = p.write(ctx, x, f, change{kind: insert, addr: addr})
	return err
}

func (p *Process) deleteItem(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.toUpdate(q.Port)
	if err != nil {
		return err
	}
	addr, err := p.item(x, f, q)
	if err != nil {
		return err
	}
	_, err = p.write(ctx, x, f, change{kind: remove, addr: addr})
	return err
}

// getItem finds an item by key and relation.
func (p *Process) getItem(_ context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.toRead(q.Port)
	if err != nil {
		return err
	}
	ix, err := x.given(f, q.Index, record.IndexItem)
	if err != nil {
		return err
	}
	if len(q.Key) > origin.MaxKey {
		return fmt.Errorf("%s, index %s: key of %d bytes: %w", x.path, ix.Name, len(q.Key), call.KeyTooLong)
	}
	if err := p.mayTouch(x, f, lock.Shared); err != nil {
		return err
	}
	s, err := p.e.scan(p.view(f), f, ix)
	if err != nil {
		return err
	}
	defer s.Close()
	ok, err := s.find(q.Key, q.Relation)
	if err != nil {
		return fmt.Errorf("%s: %w", x.path, err)
	}
	if err := s.Err(); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s, index %s, key %q: %w", x.path, ix.Name, q.Key, call.RecordNotFound)
	}
	r.Key = ix.shown(s.indexKey())
	r.Number = int64(int32(binary.BigEndian.Uint32(s.cur.addr)))
	return nil
}

// find stands at the record or item that a key and a relation mean.
func (s *scanner) find(key []byte, relation int) (bool, error) {
	whole, beginning := s.ix.sought(key)
	switch relation {
	case call.RelPrefix:
		return s.SeekGE(beginning) && bytes.HasPrefix(s.indexKey(), beginning), nil
	case call.RelLess:
		return s.SeekLT(whole), nil
	case call.RelLessOrEqual:
		return s.SeekLastKey(whole), nil
	case call.RelEqual:
		return s.SeekGE(whole) && bytes.Equal(s.indexKey(), whole), nil
	case call.RelGreater:
		return s.SeekAfterKey(whole), nil
	case call.RelGreaterEqual:
		return s.SeekGE(whole), nil
	case call.RelPrefixGreater:
		return s.SeekGE(beginning), nil
	case call.RelFirst:
		return s.First(), nil
	case call.RelLast:
		return s.Last(), nil
	}
	return false, fmt.Errorf("key relation %d: %w", relation, call.InvalidControl)
}
