package record

import (
	"bytes"
	"fmt"

	"drmesh/origin"
)

// Component is a part of an embedded key: Length bytes at Position, which
// counts from 1.
type Component struct {
	Position int `json:"pos"`
	Length   int `json:"len"`
}

// What an index holds, beside keys that are part of the record.
const (
	IndexSeparate = "separate" // keys that programs give to records
	IndexItem     = "item"     // keys with 32-bit items, and no records
	IndexRecord   = "record"   // the numbers of the records of a sequential file
	IndexDeleted  = "deleted"  // the holes that deleted records left
)

// Index is the definition of an index.
type Index struct {
	Name string `json:"name"`
	// Kind is what it holds; '' is embedded keys.
	Kind       string      `json:"kind,omitempty"`
	Components []Component `json:"components"` // of embedded keys
	Duplicates bool        `json:"duplicates,omitempty"`
	// Empty says that create_index found the file empty, which a unique index
	// must to become the identity key of a sequential file.
	Empty     bool `json:"empty,omitempty"`
	Collation int  `json:"collation,omitempty"`
	// NullKeys keeps keys out that are blanks alone.
	NullKeys bool `json:"null_keys,omitempty"`
	// Local marks an index made at one module alone; it is not mirrored, and
	// records that it refuses are parked there.
	Local bool `json:"local,omitempty"`
}

// Check refuses a definition that no file can have.
func (x *Index) Check() error {
	if x.Name == "" || len(x.Name) > 32 {
		return fmt.Errorf("index name %q: 1 to 32 characters", x.Name)
	}
	switch x.Kind {
	case "":
	case IndexSeparate, IndexItem, IndexRecord, IndexDeleted:
		if len(x.Components) != 0 {
			return fmt.Errorf("index %s: a %s index has no components", x.Name, x.Kind)
		}
		return nil
	default:
		return fmt.Errorf("index %s: kind %q is not known", x.Name, x.Kind)
	}
	if len(x.Components) == 0 || len(x.Components) > 64 {
		return fmt.Errorf("index %s: 1 to 64 components, not %d", x.Name, len(x.Components))
	}
	for _, c := range x.Components {
		if c.Position < 1 || c.Length < 1 || c.Position+c.Length-1 > origin.MaxRecord {
			return fmt.Errorf("index %s: component %d,%d lies outside a record", x.Name, c.Position, c.Length)
		}
	}
	if n := x.KeyLen(); n > origin.MaxKey {
		return fmt.Errorf("index %s: key of %d bytes, at most %d", x.Name, n, origin.MaxKey)
	}
	return nil
}

// KeyLen is the length of every key of the index.
func (x *Index) KeyLen() int {
	n := 0
	for _, c := range x.Components {
		n += c.Length
	}
	return n
}

// AppendKeyOf appends the key of a record: its components joined, with blanks
// for bytes that a short record does not have, in the form of the collation.
func (x *Index) AppendKeyOf(b, data []byte) []byte {
	start := len(b)
	for _, c := range x.Components {
		from, to := c.Position-1, c.Position-1+c.Length
		n := 0
		if from < len(data) {
			p := data[from:min(to, len(data))]
			b = append(b, p...)
			n = len(p)
		}
		for ; n < c.Length; n++ {
			b = append(b, ' ')
		}
	}
	x.Collate(b[start:])
	return b
}

// Collations: how keys compare.
const (
	CollateAlike = 1 // upper and lower case of ASCII alike
	CollateBytes = 4 // unsigned bytes, from left to right
)

// Collate gives a key, in its place, the form whose bytes sort as the collation
// says.
func (x *Index) Collate(key []byte) {
	if x.Collation != CollateAlike {
		return
	}
	for i, c := range key {
		if 'a' <= c && c <= 'z' {
			key[i] = c - 'a' + 'A'
		}
	}
}

// IsNull reports whether a key is one that the index keeps out.
func (x *Index) IsNull(key []byte) bool {
	return x.NullKeys && len(bytes.TrimLeft(key, " ")) == 0
}
