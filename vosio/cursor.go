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
	defer closer.Close()
	out := rec{}
	ok, err := e.decodeRecord(&out, new(room), r, f, addr, v)
	return out, ok, err
}

// decodeRecord copies what it keeps into the room.
func (e *Engine) decodeRecord(out *rec, m *room, r pebble.Reader, f *file, addr, v []byte) (bool, error) {
	var arr [2]origin.Version
	set, err := record.DecodeSet(arr[:0], v)
	if err != nil {
		return false, err
	}
	vis := visible(set)
	if vis == nil {
		return false, nil
	}
	if f.stat.parked.Load() > 0 {
		if p, err := e.isParked(r, f.id, addr); err != nil || p {
			return false, err
		}
	}
	*out = rec{addr: m.bytes(addr), data: m.bytes(vis.Data), birth: vis.Birth, life: vis.Life, dots: m.dots(len(set))}
	for i := range set {
		if !set[i].Tombstone {
			out.dots = append(out.dots, set[i].Dot)
		}
	}
	return true, nil
}

// room is where copies of records go, many to an allocation: who reads one after
// the other makes hardly any. What is given stays good, and belongs to who
// asked. The zero room is for one record.
type room struct {
	byteRoom []byte
	dotRoom  []origin.OpDot
	recRoom  []rec
	many     bool // set for one that is used often
}

// roomBytes is how many bytes are allocated at a time; what is longer than a
// quarter has an allocation of its own.
const roomBytes = 8 << 10

func (m *room) bytes(b []byte) []byte {
	if !m.many || len(b) > roomBytes/4 {
		return slices.Clone(b)
	}
	if cap(m.byteRoom)-len(m.byteRoom) < len(b) {
		m.byteRoom = make([]byte, 0, roomBytes)
	}
	from := len(m.byteRoom)
	m.byteRoom = append(m.byteRoom, b...)
	return m.byteRoom[from:len(m.byteRoom):len(m.byteRoom)]
}

// dots gives room for n dots.
func (m *room) dots(n int) []origin.OpDot {
	if !m.many || n > 8 {
		return make([]origin.OpDot, 0, n)
	}
	if cap(m.dotRoom)-len(m.dotRoom) < n {
		m.dotRoom = make([]origin.OpDot, 0, 128)
	}
	from := len(m.dotRoom)
	m.dotRoom = m.dotRoom[:from+n]
	return m.dotRoom[from : from : from+n]
}

// rec copies a record, but not what it refers to.
func (m *room) rec(r *rec) *rec {
	if !m.many {
		c := *r
		return &c
	}
	if len(m.recRoom) == cap(m.recRoom) {
		m.recRoom = make([]rec, 0, 32)
	}
	m.recRoom = append(m.recRoom, *r)
	return &m.recRoom[len(m.recRoom)-1]
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
	// walk: the order is that of the identity key, and the registers, which
	// stand in it too, are walked instead of its entries; see walk.go.
	walk   bool
	room   *room
	misses int  // how often the next register was not the one sought, in a row
	rests  int  // so often it is not tried
	stable bool // records that were born above below are passed over
	below  origin.Stamp
	cur    rec
	err    error
	buf    []byte
	key    []byte // of a register
}

// scan opens a scanner. ix nil is physical order: record number, or birth.
func (e *Engine) scan(r pebble.Reader, f *file, ix *index) (*scanner, error) {
	s := &scanner{e: e, r: r, f: f, ix: ix, room: new(room)}
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
	var err error
	if s.it != nil {
		err = s.it.Close()
	}
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
func (s *scanner) spot() spot {
	if s.walk {
		return s.room.bytes(s.standing())
	}
	return s.room.bytes(s.it.Key()[len(s.prefix):])
}

// indexKey is the key of the entry that the scanner stands at.
func (s *scanner) indexKey() []byte {
	if s.walk {
		return s.cur.addr[5:]
	}
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
func (s *scanner) First() bool {
	if s.walk {
		return s.walkOn(s.registers.First())
	}
	return s.forward(s.it.First())
}

// Last stands at the last record.
func (s *scanner) Last() bool {
	if s.walk {
		return s.walkBack(s.registers.Last())
	}
	return s.backward(s.it.Last())
}

// Next goes on to the next record.
func (s *scanner) Next() bool {
	if s.walk {
		return s.walkOn(s.registers.Next())
	}
	return s.forward(s.it.Next())
}

// Prev goes back to the record before.
func (s *scanner) Prev() bool {
	if s.walk {
		return s.walkBack(s.registers.Prev())
	}
	return s.backward(s.it.Prev())
}

// SeekGE stands at the first record at or after k: a spot, or in an index the
// start of a key.
func (s *scanner) SeekGE(k []byte) bool {
	if s.walk {
		return s.walkGE(k)
	}
	return s.forward(s.it.SeekGE(s.at(k)))
}

// SeekLT stands at the last record before k.
func (s *scanner) SeekLT(k []byte) bool {
	if s.walk {
		return s.walkLT(k)
	}
	return s.backward(s.it.SeekLT(s.at(k)))
}

// After stands at the first record after spot k.
func (s *scanner) After(k spot) bool {
	if len(k) == 0 {
		return s.First()
	}
	if s.walk {
		return s.walkAfter(k)
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
	if s.walk {
		k := after(s.registerAt(key))
		return s.walkOn(k != nil && s.registers.SeekGE(k))
	}
	k := after(s.at(key))
	return s.forward(k != nil && s.it.SeekGE(k))
}

// SeekLastKey stands at the last record of an index whose key begins with key
// or is less.
func (s *scanner) SeekLastKey(key []byte) bool {
	if s.walk {
		k := after(s.registerAt(key))
		if k == nil {
			return s.Last()
		}
		return s.walkBack(s.registers.SeekLT(k))
	}
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
		return s.decode(k[len(s.prefix):], v)
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
		s.cur = rec{addr: s.room.bytes(rest[n:])}
		return len(s.cur.addr) == 4
	}
	if !s.register(rest[n:]) {
		return false
	}
	if s.ix != nil && s.ix.given() {
		s.cur.entry, s.cur.via = s.room.bytes(rest), s.ix.number
	}
	return true
}

// decode makes the register of an address and a value the current record, if it
// is to be shown.
func (s *scanner) decode(addr, v []byte) bool {
	ok, err := s.e.decodeRecord(&s.cur, s.room, s.r, s.f, addr, v)
	s.fail(err)
	return ok && err == nil && !(s.stable && s.cur.birth.Stamp > s.below)
}

// register reads the record at an address, of the scanner's moment.
func (s *scanner) register(addr []byte) bool {
	if s.registers == nil {
		r, ok, err := s.e.record(s.r, s.f, addr)
		s.fail(err)
		s.cur = r
		return ok && err == nil && !(s.stable && r.birth.Stamp > s.below)
	}
	if !s.lookUp(addr) {
		return false
	}
	v, err := s.registers.ValueAndErr()
	s.fail(err)
	return err == nil && s.decode(addr, v)
}

// lookUp has registers stand at an address. Where records were made in the order
// in which they are read, it is the next one.
func (s *scanner) lookUp(addr []byte) bool {
	s.key = append(appendFileKey(s.key[:0], keyRegister, s.f.id), addr...)
	if s.rests > 0 {
		s.rests--
	} else if s.registers.Valid() && s.registers.Next() && bytes.Equal(s.registers.Key(), s.key) {
		s.misses = 0
		return true
	} else {
		s.misses = min(s.misses+1, 8)
		s.rests = 1 << s.misses
	}
	ok := s.registers.SeekGE(s.key) && bytes.Equal(s.registers.Key(), s.key)
	s.fail(s.registers.Error())
	return ok
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
