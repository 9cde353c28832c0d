package record

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"drmesh/origin"
)

// Kinds of addresses: the first byte of each.
const (
	KindNumber    = 'n'
	KindBirth     = 'd'
	KindKey       = 'k'
	KindEntry     = 'E'
	KindItem      = 'T'
	KindWhole     = 'W'
	KindPage      = 'P'
	KindKept      = 'L'
	KindClaim     = 'C'
	KindName      = 'N'
	KindAttribute = 'A'
	KindIndex     = 'I'
	KindDirectory = 'D'
)

// BirthSize is the length of a birth in keys and addresses.
const BirthSize = 28

// AppendNumber appends the address of record number n of a fixed or relative
// file; n counts from 1.
func AppendNumber(b []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, KindNumber), n)
}

// Number reads a record number back; ok is false for other kinds.
func Number(addr []byte) (n uint64, ok bool) {
	if len(addr) != 9 || addr[0] != KindNumber {
		return 0, false
	}
	return binary.BigEndian.Uint64(addr[1:]), true
}

// AppendBirth appends the sortable form of a birth, BirthSize bytes. The group
// is left out: one file's records are born in one group at a time, and the
// stamp tells moved ones apart.
func AppendBirth(b []byte, v origin.Birth) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(v.Stamp))
	b = binary.BigEndian.AppendUint32(b, uint32(v.Dot.Module))
	b = binary.BigEndian.AppendUint32(b, uint32(v.Dot.Incarnation))
	b = binary.BigEndian.AppendUint64(b, uint64(v.Dot.Seq))
	return binary.BigEndian.AppendUint32(b, v.Dot.Index)
}

// AppendBorn appends the address of a record of a sequential file without
// identity key.
func AppendBorn(b []byte, v origin.Birth) []byte {
	return AppendBirth(append(b, KindBirth), v)
}

// IndexNumber is the 4-byte name of an index in addresses and keys: the start
// of the SHA-256 of its name.
func IndexNumber(name string) [4]byte {
	s := sha256.Sum256([]byte(name))
	return [4]byte(s[:4])
}

// AppendKey appends the address of a record by identity key.
func AppendKey(b []byte, index [4]byte, key []byte) []byte {
	b = append(b, KindKey)
	b = append(b, index[:]...)
	return append(b, key...)
}

// CatalogAddress is the address of a catalog register of a file; name is used
// by attributes and indexes only.
func CatalogAddress(kind byte, f origin.FileID, name string) []byte {
	b := make([]byte, 0, 17+len(name))
	b = append(b, kind)
	b = append(b, f[:]...)
	return append(b, name...)
}

// CatalogFile reads the file id out of a catalog address; ok is false for a
// directory and for rubbish.
func CatalogFile(addr []byte) (f origin.FileID, name string, ok bool) {
	if len(addr) < 17 {
		return f, "", false
	}
	switch addr[0] {
	case KindClaim, KindName, KindAttribute, KindIndex:
		return origin.FileID(addr[1:17]), string(addr[17:]), true
	}
	return f, "", false
}

// DirectoryAddress is the address of a directory below a share's root.
func DirectoryAddress(rel string) []byte { return append([]byte{KindDirectory}, rel...) }

// String gives an address a form for people.
func String(addr []byte) string {
	if len(addr) == 0 {
		return "-"
	}
	switch addr[0] {
	case KindNumber:
		if n, ok := Number(addr); ok {
			return fmt.Sprintf("#%d", n)
		}
	case KindKey:
		if len(addr) >= 5 {
			return fmt.Sprintf("key %q", addr[5:])
		}
	case KindBirth:
		if len(addr) == 1+BirthSize {
			return fmt.Sprintf("born m%d.%d:%d.%d", binary.BigEndian.Uint32(addr[9:]), binary.BigEndian.Uint32(addr[13:]),
				binary.BigEndian.Uint64(addr[17:]), binary.BigEndian.Uint32(addr[25:]))
		}
	case KindEntry, KindItem:
		if _, key, of, ok := Entry(addr); ok {
			if addr[0] == KindItem {
				return fmt.Sprintf("item %d of key %q", int32(binary.BigEndian.Uint32(of)), key)
			}
			return fmt.Sprintf("key %q of the record %s", key, String(append([]byte{KindBirth}, of...)))
		}
	case KindWhole:
		return "the whole file"
	case KindPage:
		if len(addr) == 1+BirthSize+8 {
			return fmt.Sprintf("page %d of generation %x", binary.BigEndian.Uint64(addr[1+BirthSize:]), addr[1:1+BirthSize])
		}
	case KindKept:
		if len(addr) == 1+BirthSize {
			return "kept version " + String(append([]byte{KindBirth}, addr[1:]...))[len("born "):]
		}
	case KindDirectory:
		return "directory " + string(addr[1:])
	case KindClaim:
		return "claim"
	case KindName:
		return "name"
	case KindAttribute, KindIndex:
		if _, name, ok := CatalogFile(addr); ok {
			if addr[0] == KindIndex {
				return "index " + name
			}
			return "attribute " + name
		}
	}
	return hex.EncodeToString(addr)
}

// NewFileID names a file by what every module that creates it alike computes
// alike: its share (” for a module's own files), its path below the share's
// root, its life at that path, and its shape.
func NewFileID(share, rel string, life uint32, organization, recordSize int) origin.FileID {
	return id("file", share, rel, fmt.Sprintf("%d/%d/%d", life, organization, recordSize))
}

// CatalogID names the catalog of a share, itself a file of registers.
func CatalogID(share string) origin.FileID { return id("catalog", share) }

func id(parts ...string) origin.FileID {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	s := sha256.Sum256(b)
	return origin.FileID(s[:16])
}
