package vosio

import (
	"encoding/binary"

	"drmesh/origin"
	"drmesh/vosio/record"
)

// Prefixes of the keys that this package owns; see the package comment.
const (
	keyRegister  = 'r'
	keyIndex     = 'x'
	keyPhysical  = 'p'
	keyWithheld  = 'w'
	keyParked    = 'k'
	keyCounts    = 'n'
	keyAccount   = 'a'
	keyLocal     = 'l'
	keyTombstone = 't'
	keyImage     = 'b'
	keyNumber    = 'u'
	keyHole      = 'h'
	keyKeys      = 'y'
	keyOffset    = 'o'
)

const filePrefix = 2 + len(origin.FileID{})

func appendFileKey(b []byte, kind byte, f origin.FileID) []byte {
	b = append(b, 'v', kind)
	return append(b, f[:]...)
}

func appendRegisterKey(b []byte, f origin.FileID, addr []byte) []byte {
	return append(appendFileKey(b, keyRegister, f), addr...)
}

// appendEntryKey appends the key of an index entry (or, with keyWithheld, of
// its withheld mark).
func appendEntryKey(b []byte, kind byte, f origin.FileID, number [4]byte, key []byte, birth origin.Birth, addr []byte) []byte {
	b = appendFileKey(b, kind, f)
	b = append(b, number[:]...)
	b = append(b, key...)
	b = record.AppendBirth(b, birth)
	return append(b, addr...)
}

func appendPhysicalKey(b []byte, f origin.FileID, birth origin.Birth, addr []byte) []byte {
	b = appendFileKey(b, keyPhysical, f)
	b = record.AppendBirth(b, birth)
	return append(b, addr...)
}

func appendTombstoneKey(b []byte, stamp origin.Stamp, f origin.FileID, addr []byte) []byte {
	b = append(b, 'v', keyTombstone)
	b = binary.BigEndian.AppendUint64(b, uint64(stamp))
	b = append(b, f[:]...)
	return append(b, addr...)
}

// after gives the first key that does not begin with prefix.
func after(prefix []byte) []byte {
	e := append([]byte(nil), prefix...)
	for i := len(e) - 1; i >= 0; i-- {
		if e[i]++; e[i] != 0 {
			return e[:i+1]
		}
	}
	return nil
}
