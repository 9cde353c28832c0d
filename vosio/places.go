package vosio

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// The places of sequential files. A record index numbers the records of a
// sequential file in the order in which they stand; one that is deleted keeps
// its number, as a hole. A deleted-record index lists the holes, so that new
// records are written into them: at the hole's address, with the next life. A
// module writes only into holes of records that it made itself, so that two
// modules never take the same one. Both are derived from the registers: the
// tombstones that are holes stay, in such files, for as long as the index.
//
// Both go with addresses that are births. Beside them an index does not become
// the identity key of a file, and files that have one do not get them: their
// records stand by key, and one that is deleted and written again is the same.

// Names of the indexes of places, of which a file has one each.
const (
	recordIndexName  = "$record"
	deletedIndexName = "$deleted_record"
)

// takesIndex refuses an index that does not go with a file.
func (f *file) takesIndex(def *record.Index) error {
	switch def.Kind {
	case record.IndexRecord, record.IndexDeleted:
		if f.identity != nil {
			return fmt.Errorf("the file's records are addressed by index %s: %w", f.identity.Name, call.InvalidFileType)
		}
		if f.sequential() || def.Kind == record.IndexDeleted && f.org == call.OrgRelative {
			return nil
		}
		return fmt.Errorf("the file is %s: %w", call.OrgName(f.org), call.InvalidFileType)
	}
	if f.sequential() || f.numbered() {
		return nil
	}
	return fmt.Errorf("the file is %s: %w", call.OrgName(f.org), call.InvalidFileType)
}

func (p *Process) createRecordIndex(ctx context.Context, q *call.Request, _ *call.Reply) error {
	return p.createPlaces(ctx, q, record.Index{Name: recordIndexName, Kind: record.IndexRecord})
}

func (p *Process) createDeletedRecordIndex(ctx context.Context, q *call.Request, _ *call.Reply) error {
	return p.createPlaces(ctx, q, record.Index{Name: deletedIndexName, Kind: record.IndexDeleted})
}

func (p *Process) createPlaces(ctx context.Context, q *call.Request, def record.Index) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	if _, err := p.unused(full); err != nil {
		return err
	}
	_, err = p.e.createIndex(ctx, p.name, full, def)
	return err
}

// isRecord tells whether a register of a file is a record.
func isRecord(addr []byte) bool {
	return len(addr) > 0 && (addr[0] == record.KindNumber || addr[0] == record.KindBirth || addr[0] == record.KindKey)
}

// isPlace tells whether a register is one that record and deleted-record
// indexes of sequential files are about.
func isPlace(addr []byte) bool {
	return len(addr) == 1+record.BirthSize && addr[0] == record.KindBirth
}

// keepsTombstone tells whether a tombstone is a hole.
func (f *file) keepsTombstone(addr []byte, v *origin.Version) bool {
	return isPlace(addr) && (f.records != nil && v.Stamp >= f.records.birth.Stamp || f.holes != nil && v.Stamp >= f.holes.birth.Stamp)
}

// counted tells whether a register has a number in the record index: it has a
// record, or one was deleted since the index is there.
func (f *file) counted(set []origin.Version) bool {
	return len(set) > 0 && (!set[0].Tombstone || set[0].Stamp >= f.records.birth.Stamp)
}

// places brings numbers and holes in line with a register whose set changed.
func (t *tx) places(f *file, addr []byte, old, next []origin.Version) error {
	if n, ok := record.Number(addr); ok {
		if visible(next) == nil && int64(n) < f.stat.lowest {
			f.stat.lowest = int64(n)
		}
		return nil
	}
	if !isPlace(addr) || f.identity != nil {
		return nil
	}
	if f.records != nil && !t.recount && f.counted(old) != f.counted(next) {
		if err := t.renumber(f, addr, f.counted(next)); err != nil {
			return err
		}
	}
	if f.holes == nil {
		return nil
	}
	key := append(appendFileKey(nil, keyHole, f.id), addr...)
	switch was, is := visible(old), visible(next); {
	case is == nil && len(next) > 0 && was != nil:
		return t.b.Set(key, binary.BigEndian.AppendUint32(nil, uint32(len(was.Data))), nil)
	case is != nil || len(next) == 0:
		return t.b.Delete(key, nil)
	}
	return nil
}

func appendNumberKey(b []byte, f origin.FileID, n uint64) []byte {
	return binary.BigEndian.AppendUint64(appendFileKey(b, keyNumber, f), n)
}

// renumber gives a place its number, or takes it: those behind it move on.
// Places come and go at the end, but for what other modules write meanwhile.
func (t *tx) renumber(f *file, addr []byte, is bool) error {
	prefix := appendFileKey(nil, keyNumber, f.id)
	it, err := t.r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	var tail [][]byte // from the end
	n := uint64(0)
	for ok := it.Last(); ok; ok = it.Prev() {
		v, err := it.ValueAndErr()
		if err != nil {
			it.Close()
			return err
		}
		if string(v) < string(addr) {
			n = binary.BigEndian.Uint64(it.Key()[filePrefix:])
			break
		}
		if string(v) != string(addr) {
			tail = append(tail, append([]byte(nil), v...))
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	if is {
		tail = append(tail, addr)
	}
	for i := len(tail) - 1; i >= 0; i-- {
		n++
		if err := t.b.Set(appendNumberKey(nil, f.id, n), tail[i], nil); err != nil {
			return err
		}
	}
	if is {
		return nil
	}
	return t.b.Delete(appendNumberKey(nil, f.id, n+1), nil)
}

// buildPlaces makes an index of places from the registers.
func (t *tx) buildPlaces(f *file, x *index) error {
	if err := t.dropPlaces(f, x); err != nil || x.Kind != record.IndexRecord || f.identity != nil {
		return err // holes are those of records deleted from now on
	}
	n := uint64(0)
	return eachPlace(t.r, f, func(addr []byte) error {
		n++
		return t.b.Set(appendNumberKey(nil, f.id, n), addr, nil)
	})
}

// eachPlace visits the places that have numbers, in order; addr is the
// function's own.
func eachPlace(r pebble.Reader, f *file, fn func(addr []byte) error) error {
	prefix := append(appendFileKey(nil, keyRegister, f.id), record.KindBirth)
	return scanPrefix(r, prefix, func(k, v []byte) error {
		set, err := record.DecodeSet(nil, v)
		if err != nil {
			return fmt.Errorf("register %v %s: %w", f.id, record.String(k[filePrefix:]), err)
		}
		if addr := k[filePrefix:]; isPlace(addr) && f.counted(set) {
			return fn(append([]byte(nil), addr...))
		}
		return nil
	})
}

// dropPlaces removes what is derived for an index of places. Tombstones that it
// kept may go when they have settled.
func (t *tx) dropPlaces(f *file, x *index) error {
	kind := byte(keyNumber)
	if x.Kind == record.IndexDeleted {
		kind = keyHole
	}
	prefix := appendFileKey(nil, kind, f.id)
	if err := t.b.DeleteRange(prefix, after(prefix), nil); err != nil {
		return err
	}
	prefix = append(appendFileKey(nil, keyRegister, f.id), record.KindBirth)
	return scanPrefix(t.r, prefix, func(k, v []byte) error {
		set, err := record.DecodeSet(nil, v)
		if err != nil || len(set) != 1 || !set[0].Tombstone {
			return err
		}
		return t.b.Set(appendTombstoneKey(nil, set[0].Stamp, f.id, k[filePrefix:]), nil, nil)
	})
}

// hole finds the first hole of this module's that takes n bytes; nil: the
// record goes to the end.
func (t *tx) hole(f *file, n int) ([]byte, error) {
	if f.holes == nil || f.identity != nil || !f.sequential() {
		return nil, nil
	}
	var found []byte
	prefix := appendFileKey(nil, keyHole, f.id)
	err := scanPrefix(t.r, prefix, func(k, v []byte) error {
		addr := k[len(prefix):]
		if len(v) != 4 || int(binary.BigEndian.Uint32(v)) < n || !isPlace(addr) || origin.Module(binary.BigEndian.Uint32(addr[9:])) != t.own.Dot.Module {
			return nil
		}
		for i := range t.plan {
			if t.plan[i].f.id == f.id && string(t.plan[i].op.Address) == string(addr) {
				return nil
			}
		}
		// Where another module has changed what was deleted, nobody writes.
		if err := t.load(f, f.id, addr, false); err != nil {
			return err
		}
		if len(t.standing) == 1 && t.standing[0].Tombstone {
			found = append([]byte(nil), addr...)
			return errStop
		}
		return nil
	})
	if err == errStop {
		err = nil
	}
	return found, err
}

// addressOf is the address of a record number; ok is false past the last.
func (f *file) addressOf(r pebble.Reader, n int64) (addr []byte, ok bool, err error) {
	if f.numbered() {
		return record.AppendNumber(nil, uint64(n)), true, nil
	}
	v, closer, err := r.Get(appendNumberKey(nil, f.id, uint64(n)))
	if err == pebble.ErrNotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	addr = append([]byte(nil), v...)
	return addr, true, closer.Close()
}

// lastNumber is the highest record number of a file.
func (f *file) lastNumber(r pebble.Reader) (int64, error) {
	if f.numbered() {
		return highestNumber(r, f.id)
	}
	prefix := appendFileKey(nil, keyNumber, f.id)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.Last() {
		return 0, it.Error()
	}
	return int64(binary.BigEndian.Uint64(it.Key()[filePrefix:])), nil
}

// numberOf is the number of a record; 0: it has none.
func (f *file) numberOf(r pebble.Reader, addr []byte) (int64, error) {
	if n, ok := record.Number(addr); ok {
		return int64(n), nil
	}
	if f.records == nil {
		return 0, nil
	}
	high, err := f.lastNumber(r)
	if err != nil {
		return 0, err
	}
	// Places stand in the order of their addresses, and numbers have no gaps.
	for low := int64(1); low <= high; {
		n := low + (high-low)/2
		a, ok, err := f.addressOf(r, n)
		if err != nil || !ok {
			return 0, err
		}
		switch {
		case string(a) == string(addr):
			return n, nil
		case string(a) < string(addr):
			low = n + 1
		default:
			high = n - 1
		}
	}
	return 0, nil
}
