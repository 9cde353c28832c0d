package record

import (
	"encoding/binary"

	"drmesh/origin"
)

// AppendEntry appends the address of an entry of a separate-key index: a key of
// the record of that birth.
func AppendEntry(b []byte, index [4]byte, key []byte, birth origin.Birth) []byte {
	return AppendBirth(appendGiven(b, KindEntry, index, key), birth)
}

// AppendItem appends the address of an entry of an item index.
func AppendItem(b []byte, index [4]byte, key []byte, item int32) []byte {
	return binary.BigEndian.AppendUint32(appendGiven(b, KindItem, index, key), uint32(item))
}

func appendGiven(b []byte, kind byte, index [4]byte, key []byte) []byte {
	b = append(b, kind)
	b = append(b, index[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(key)))
	return append(b, key...)
}

// Entry reads the address of an entry back. of is what it leads to: the birth of
// a record, or an item. They borrow addr.
func Entry(addr []byte) (index [4]byte, key, of []byte, ok bool) {
	if len(addr) < 7 || addr[0] != KindEntry && addr[0] != KindItem {
		return index, nil, nil, false
	}
	n, rest := int(binary.BigEndian.Uint16(addr[5:])), addr[7:]
	size := 4
	if addr[0] == KindEntry {
		size = BirthSize
	}
	if len(rest) != n+size || n > origin.MaxKey {
		return index, nil, nil, false
	}
	return [4]byte(addr[1:5]), rest[:n], rest[n:], true
}

// AppendSorted appends a key of any length in a form that has an end and sorts
// as the key: a zero byte becomes 00 ff, and 00 01 is the end. Without end it is
// what all longer keys begin with.
func AppendSorted(b, key []byte, end bool) []byte {
	for _, c := range key {
		if b = append(b, c); c == 0 {
			b = append(b, 0xff)
		}
	}
	if end {
		b = append(b, 0, 1)
	}
	return b
}

// SortedLen is the length of the sorted form that b begins with; 0: it does not.
func SortedLen(b []byte) int {
	for i := 0; i+1 < len(b); i++ {
		if b[i] == 0 {
			if i++; b[i] != 0xff {
				return i + 1
			}
		}
	}
	return 0
}

// Unsorted gives the key of a sorted form.
func Unsorted(b []byte) []byte {
	var key []byte
	for i := 0; i < len(b); i++ {
		if b[i] == 0 && i+1 < len(b) {
			if i++; b[i] != 0xff {
				break
			}
			key = append(key, 0)
			continue
		}
		key = append(key, b[i])
	}
	return key
}
