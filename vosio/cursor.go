package vosio

import (
	"bytes"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/record"
)

// rec is a record as a reader finds it. Its bytes are its own.
type rec struct {
	addr  []byte
	data  []byte
	birth origin.Birth
	life  uint32
	dots  []origin.OpDot // of all versions that stood, not tombstones
	// entry is the place in a separate-key index by which it was found, and via
	// that index.
	entry spot
	via   [4]byte
}

// record reads the visible, unparked record at an address.
func (e *Engine) record(r pebble.Reader, f *file, addr []byte) (rec, bool, error) {
	v, closer, err := r.Get(appendRegisterKey(nil, f.id, addr))
	if err == pebble.ErrNotFound {
		return rec{}, false, nil
	}
	if err != nil {
		return rec{}, false, err
	}
	v = slices.Clone(v)
	closer.Close()
	return e.decodeRecord(r, f, addr, v)
}

// decodeRecord takes ownership of v and copies addr.
func (e *Engine) decodeRecord(r pebble.Reader, f *file, addr, v []byte) (rec, bool, error) {
	var arr [2]origin.Version
	set, err := record.DecodeSet(arr[:0], v)
	if err != nil {
		return rec{}, false, err
	}
	vis := visible(set)
	if vis == nil {
		return rec{}, false, nil
	}
	if f.stat.parked.Load() > 0 {
		if p, err := e.isParked(r, f.id, addr); err != nil || p {
			return rec{}, false, err
		}
	}
	out := rec{addr: slices.Clone(addr), data: vis.Data, birth: vis.Birth, life: vis.Life, dots: make([]origin.OpDot, 0, len(set))}
	for i := range set {
		if !set[i].Tombstone {
			out.dots = append(out.dots, set[i].Dot)
		}
	}
	return out, true, nil
}

// spot is a place in an order: its key there, without the order's prefix. The
// zero spot is before the first. A spot stays good when its record goes.
type spot []byte

// scanner walks a file in an order: physical (index nil) or of an index. It
// sees one moment of its reader. Close it.
type scanner struct {
	e  *Engine
	r  pebble.Reader
	f  *file
	ix *index
	it *pebble.Iterator
	// registers sees the same moment; nil: they are read one by one.
	registers *pebble.Iterator
	prefix    []byte
	direct    bool // the order's keys are the registers
	stable    bool // records that were born above below are passed over
	below     origin.Stamp
	cur       rec
	err       error
	buf       []byte
	key       []byte // of a register
}

// scan opens a scanner. ix nil is physical order: record number, or birth.
func (e *Engine) scan(r pebble.Reader, f *file, ix *index) (*scanner, error) {
	s := &scanner{e: e, r: r, f: f, ix: ix}
	switch {
	case ix != nil:
		s.prefix = append(appendFileKey(nil, keyIndex, f.id), ix.number[:]...)
	case f.identity != nil:
		s.prefix = appendFileKey(nil, keyPhysical, f.id)
	default:
		s.prefix = appendFileKey(nil, keyRegister, f.id)
		s.direct = true
	}
	from := s.prefix
	if s.direct {
		from = append(slices.Clip(from), 'a') // behind the entries of indexes
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(s.prefix)})
	if err != nil {
		return nil, err
	}
	s.it = it
	return s, nil
}

// Close frees the scanner; it gives the first error met.
func (s *scanner) Close() error {
	err := s.it.Close()
	if s.registers != nil {
		err = errors.Join(err, s.registers.Close())
	}
	if s.err != nil {
		return s.err
	}
	return err
}

// Err is the first error met.
func (s *scanner) Err() error { return s.err }

// spot is where the scanner stands.
func (s *scanner) spot() spot { return slices.Clone(s.it.Key()[len(s.prefix):]) }

// indexKey is the key of the entry that the scanner stands at.
func (s *scanner) indexKey() []byte {
	k := s.it.Key()[len(s.prefix):]
	return k[:s.ix.keyEnd(k)]
}

// record is the record that the scanner stands at.
func (s *scanner) record() *rec { return &s.cur }

func (s *scanner) at(k spot) []byte {
	s.buf = append(append(s.buf[:0], s.prefix...), k...)
	return s.buf
}

// First stands at the first record.
func (s *scanner) First() bool { return s.forward(s.it.First()) }

// Last stands at the last record.
func (s *scanner) Last() bool { return s.backward(s.it.Last()) }

// Next goes on to the next record.
func (s *scanner) Next() bool { return s.forward(s.it.Next()) }

// Prev goes back to the record before.
func (s *scanner) Prev() bool { return s.backward(s.it.Prev()) }

// SeekGE stands at the first record at or after k: a spot, or in an index the
// start of a key.
func (s *scanner) SeekGE(k []byte) bool { return s.forward(s.it.SeekGE(s.at(k))) }

// SeekLT stands at the last record before k.
func (s *scanner) SeekLT(k []byte) bool { return s.backward(s.it.SeekLT(s.at(k))) }

// After stands at the first record after spot k.
func (s *scanner) After(k spot) bool {
	if len(k) == 0 {
		return s.First()
	}
	if s.it.Valid() && bytes.Equal(s.it.Key()[len(s.prefix):], k) {
		return s.Next() // it stands there still
	}
	ok := s.it.SeekGE(s.at(k))
	if ok && bytes.Equal(s.it.Key(), s.buf) {
		ok = s.it.Next()
	}
	return s.forward(ok)
}

// SeekAfterKey stands at the first record of an index whose key is greater
// than every key that begins with key.
func (s *scanner) SeekAfterKey(key []byte) bool {
	k := after(s.at(key))
	return s.forward(k != nil && s.it.SeekGE(k))
}

// SeekLastKey stands at the last record of an index whose key begins with key
// or is less.
func (s *scanner) SeekLastKey(key []byte) bool {
	k := after(s.at(key))
	if k == nil {
		return s.Last()
	}
	return s.backward(s.it.SeekLT(k))
}

func (s *scanner) forward(ok bool) bool {
	for ; ok; ok = s.it.Next() {
		if s.take() {
			return true
		}
		if s.err != nil {
			return false
		}
	}
	s.fail(s.it.Error())
	return false
}

func (s *scanner) backward(ok bool) bool {
	for ; ok; ok = s.it.Prev() {
		if s.take() {
			return true
		}
		if s.err != nil {
			return false
		}
	}
	s.fail(s.it.Error())
	return false
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// take reads the record at the iterator; false if there is none to show.
func (s *scanner) take() bool {
	k := s.it.Key()
	if s.direct {
		v, err := s.it.ValueAndErr()
		if err != nil {
			s.fail(err)
			return false
		}
		r, ok, err := s.e.decodeRecord(s.r, s.f, k[len(s.prefix):], slices.Clone(v))
		s.fail(err)
		s.cur = r
		return ok && err == nil && !(s.stable && r.birth.Stamp > s.below)
	}
	rest := k[len(s.prefix):]
	n := record.BirthSize
	if s.ix != nil {
		n += s.ix.keyEnd(rest)
		if !s.ix.Duplicates && s.f.stat.withheld.Load() > 0 {
			m := append([]byte{'v', keyWithheld}, k[2:]...)
			_, closer, err := s.r.Get(m)
			if err == nil {
				closer.Close()
				return false
			}
			if err != pebble.ErrNotFound {
				s.fail(err)
				return false
			}
		}
	}
	if len(rest) < n {
		return false
	}
	if s.ix != nil && s.ix.Kind == record.IndexItem {
		s.cur = rec{addr: slices.Clone(rest[n:])}
		return len(s.cur.addr) == 4
	}
	r, ok, err := s.register(rest[n:])
	s.fail(err)
	if s.ix != nil && s.ix.given() {
		r.entry, r.via = slices.Clone(rest), s.ix.number
	}
	s.cur = r
	return ok && err == nil && !(s.stable && r.birth.Stamp > s.below)
}

// register reads the record at an address, of the scanner's moment.
func (s *scanner) register(addr []byte) (rec, bool, error) {
	if s.registers == nil {
		return s.e.record(s.r, s.f, addr)
	}
	s.key = append(appendFileKey(s.key[:0], keyRegister, s.f.id), addr...)
	if !s.registers.SeekGE(s.key) || !bytes.Equal(s.registers.Key(), s.key) {
		return rec{}, false, s.registers.Error()
	}
	v, err := s.registers.ValueAndErr()
	if err != nil {
		return rec{}, false, err
	}
	return s.e.decodeRecord(s.r, s.f, addr, slices.Clone(v))
}

// recordCount is how many records a reader can find.
func (f *file) recordCount() int64 { return f.stat.records.Load() - f.stat.parked.Load() }

// stillAt tells whether a record, read again, has the place in an order at
// which it was found.
func (e *Engine) stillAt(v pebble.Reader, f *file, ix *index, r *rec, at spot) (bool, error) {
	if ix == nil || !ix.given() {
		return bytes.Equal(spotOf(f, ix, r), at), nil
	}
	k := append(append(appendFileKey(nil, keyIndex, f.id), ix.number[:]...), at...)
	_, closer, err := v.Get(k)
	if err == pebble.ErrNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r.entry, r.via = at, ix.number
	return true, closer.Close()
}

// physicalSpot is the place of a record in physical order.
func (f *file) physicalSpot(r *rec) spot {
	if f.identity != nil {
		return append(record.AppendBirth(nil, r.birth), r.addr...)
	}
	return r.addr
}

// indexSpot is the place of a record in an index; of one with separate keys,
// where it was found, nil if it was found elsewhere.
func (f *file) indexSpot(ix *index, r *rec) spot {
	if ix.given() {
		if r.via == ix.number {
			return r.entry
		}
		return nil
	}
	k := ix.AppendKeyOf(nil, r.data)
	k = record.AppendBirth(k, r.birth)
	return append(k, r.addr...)
}
