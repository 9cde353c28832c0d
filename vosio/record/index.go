package record

import (
	"fmt"

	"drmesh/origin"
)

// Component is a part of an embedded key: Length bytes at Position, which
// counts from 1.
type Component struct {
	Position int `json:"pos"`
	Length   int `json:"len"`
}

// Index is the definition of an embedded-key index.
type Index struct {
	Name       string      `json:"name"`
	Components []Component `json:"components"`
	Duplicates bool        `json:"duplicates,omitempty"`
	// Empty says that create_index found the file empty, which a unique index
	// must to become the identity key of a sequential file.
	Empty     bool `json:"empty,omitempty"`
	Collation int  `json:"collation,omitempty"`
	// Local marks an index made at one module alone; it is not mirrored, and
	// records that it refuses are parked there.
	Local bool `json:"local,omitempty"`
}

// Check refuses a definition that no file can have.
func (x *Index) Check() error {
	if x.Name == "" || len(x.Name) > 32 {
		return fmt.Errorf("index name %q: 1 to 32 characters", x.Name)
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
// for bytes that a short record does not have.
func (x *Index) AppendKeyOf(b, data []byte) []byte {
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
	return b
}
