package vosio

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/vosio/record"
)

// A keyed sequential file has its records at addresses that are their identity
// keys. While that goes for all of them its registers stand in the order of the
// identity index, and a key says where its record is: so the entries of that
// index need not be read. Only tombstones speak for them, which they are kept
// apart from; so a walk that meets many goes on over the entries.

// maxPassed is how many registers without a record a walk passes by in a row.
const maxPassed = 16

// addressed reports whether the records of a file stand at their keys in an
// index.
func (f *file) addressed(ix *index) bool {
	return ix != nil && ix == f.identity && f.stat.foreign.Load() == 0
}

// registerAt is the key of the register of an identity key, or of the beginning
// of one.
func (s *scanner) registerAt(key []byte) []byte {
	s.buf = append(appendFileKey(s.buf[:0], keyRegister, s.f.id), record.KindKey)
	s.buf = append(append(s.buf, s.ix.number[:]...), key...)
	return s.buf
}

// standing is the spot of the current record, good until the next call.
func (s *scanner) standing() []byte {
	s.key = append(s.key[:0], s.cur.addr[5:]...)
	s.key = append(record.AppendBirth(s.key, s.cur.birth), s.cur.addr...)
	return s.key
}

// keyOf is the key that a spot begins with; of a key, it is all of it.
func (s *scanner) keyOf(k []byte) []byte { return k[:min(len(k), s.ix.keyLen)] }

// walker opens a scanner that walks the registers of a file in the order of its
// identity key.
func (e *Engine) walker(f *file, ix *index) (*scanner, error) {
	s := &scanner{e: e, r: e.db, f: f, ix: ix, walk: true, room: new(room)}
	s.prefix = append(appendFileKey(nil, keyIndex, f.id), ix.number[:]...)
	from := bytes.Clone(s.registerAt(nil))
	var err error
	s.registers, err = e.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(from)})
	return s, err
}

// leave goes on over the entries of the index, of the same moment. Where to
// stand is the caller's.
func (s *scanner) leave() bool {
	it, err := s.registers.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{LowerBound: s.prefix, UpperBound: after(s.prefix)}})
	if err != nil {
		s.fail(err)
		return false
	}
	s.it, s.walk = it, false
	return true
}

func (s *scanner) walkGE(k []byte) bool {
	key := s.keyOf(k)
	ok := s.walkOn(s.registers.SeekGE(s.registerAt(key)))
	if s.walk && ok && len(k) > len(key) && bytes.Compare(s.standing(), k) < 0 {
		return s.Next()
	}
	return ok
}

func (s *scanner) walkLT(k []byte) bool {
	key := s.keyOf(k)
	if len(k) == len(key) {
		return s.walkBack(s.registers.SeekLT(s.registerAt(key)))
	}
	ok := s.walkBack(s.registers.SeekLT(append(s.registerAt(key), 0)))
	if s.walk && ok && bytes.Compare(s.standing(), k) >= 0 {
		return s.Prev()
	}
	return ok
}

func (s *scanner) walkAfter(k spot) bool {
	if s.registers.Valid() && len(s.cur.addr) > 0 && bytes.Equal(s.registers.Key()[filePrefix:], s.cur.addr) && bytes.Equal(s.standing(), k) {
		return s.Next() // it stands there still
	}
	ok := s.walkGE(k)
	if s.walk && ok && bytes.Equal(s.standing(), k) {
		return s.Next()
	}
	return ok
}

// walkTake reads the register at which a walk stands.
func (s *scanner) walkTake() bool {
	v, err := s.registers.ValueAndErr()
	if err != nil {
		s.fail(err)
		return false
	}
	return s.decode(s.registers.Key()[filePrefix:], v)
}

func (s *scanner) walkOn(ok bool) bool {
	for n := 0; ok; ok = s.registers.Next() {
		if s.walkTake() {
			return true
		}
		if s.err != nil {
			return false
		}
		if n++; n > maxPassed {
			key := s.registers.Key()[filePrefix+5:]
			return s.leave() && s.SeekGE(key)
		}
	}
	s.fail(s.registers.Error())
	return false
}

func (s *scanner) walkBack(ok bool) bool {
	for n := 0; ok; ok = s.registers.Prev() {
		if s.walkTake() {
			return true
		}
		if s.err != nil {
			return false
		}
		if n++; n > maxPassed {
			key := s.registers.Key()[filePrefix+5:]
			return s.leave() && s.SeekLastKey(key)
		}
	}
	s.fail(s.registers.Error())
	return false
}
