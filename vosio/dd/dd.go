// Package dd reads data definition files and lays records out by them.
//
// A dd names the fields of a record and their types. From it follow, by the
// rules of the short map, the offset and size of each field and the size of
// the record, which is fixed. Encode turns texts, one for each field, into the
// bytes of a record; Decode is its inverse. Encode takes a text only if Decode
// gives it back byte for byte: what would come back otherwise is refused with
// the name of the field and the cause, so that a file loaded and dumped again
// is the file that was loaded.
//
// The source text of a dd is what is kept; a Layout is derived from it, and
// the same text gives the same Layout on every module and release.
//
// The package is pure and bounded: MaxSource bytes are looked at, and a
// Layout has at most MaxFields fields and MaxIndexes indexes.
package dd

import (
	"fmt"
	"strings"

	"drmesh/origin"
	"drmesh/vosio/tin"
)

const (
	MaxSource  = 256 << 10 // bytes of a dd
	MaxFields  = 4096
	MaxIndexes = 32
	MaxParts   = 64 // parts of one key
	MaxName    = 32 // bytes of a field's or index's name
)

// Type is the type of a field.
type Type uint8

const (
	Char       Type = iota + 1 // char(n): blank padded
	Varying                    // char(n) varying: length, text, room
	Bin                        // bin(p): two's complement, big endian
	Bit                        // bit(n): packed with its neighbours
	BitAligned                 // bit(n) aligned: left-justified in 2 or 4 bytes
	Decimal                    // decimal(p,q): packed digits, sign last
	Float                      // float bin(p): IEEE 754, big endian
	Picture                    // picture '99': digits as text
)

// Field is one field of a record.
type Field struct {
	Name    string // as written
	Type    Type
	N       int // characters, bits, or digits (binary for Bin and Float)
	Scale   int // digits after the point, of a Decimal
	Default *string
	Line    int

	Offset int // of the first byte, from 0
	Bit    int // of a Bit within that byte, from 0, the highest bit first
	Size   int // bytes that the field lies in
}

// TypeString is the type of f as a dd states it.
func (f *Field) TypeString() string {
	switch f.Type {
	case Char:
		return fmt.Sprintf("char(%d)", f.N)
	case Varying:
		return fmt.Sprintf("char(%d) varying", f.N)
	case Bin:
		return fmt.Sprintf("bin(%d)", f.N)
	case Bit:
		return fmt.Sprintf("bit(%d)", f.N)
	case BitAligned:
		return fmt.Sprintf("bit(%d) aligned", f.N)
	case Decimal:
		return fmt.Sprintf("decimal(%d,%d)", f.N, f.Scale)
	case Float:
		return fmt.Sprintf("float bin(%d)", f.N)
	case Picture:
		return fmt.Sprintf("picture '(%d)9'", f.N)
	}
	return "?"
}

// Part is one component of an index key: bytes of the record.
type Part struct {
	Field    int // place in Layout.Fields
	Position int // of the first byte, from 1
	Length   int
}

// Index is an index that the dd defines.
type Index struct {
	Name       string
	Parts      []Part
	Duplicates bool
	Line       int
}

// Layout is a dd, laid out.
type Layout struct {
	Organization string // fixed, relative, sequential or stream
	Stated       bool   // the dd has an organization line
	LongMap      bool
	Fields       []Field
	Indexes      []Index
	RecordSize   int
	Warnings     tin.Problems
}

// Field finds a field by name, in any case.
func (l *Layout) Field(name string) (int, bool) {
	for i := range l.Fields {
		if strings.EqualFold(l.Fields[i].Name, name) {
			return i, true
		}
	}
	return 0, false
}

// Parse reads a dd. An error is a tin.Problems: what is wrong, with its lines.
func Parse(src []byte) (*Layout, error) {
	p := parser{layout: &Layout{Organization: "sequential"}}
	if len(src) > MaxSource {
		p.problems.Add(1, "", "the dd has %d bytes, %d are allowed", len(src), MaxSource)
		return nil, p.problems
	}
	p.scan(string(src))
	if len(p.problems) == 0 {
		p.dd()
	}
	if len(p.problems) == 0 {
		p.place()
	}
	if err := p.problems.Err(); err != nil {
		return nil, err
	}
	p.layout.Warnings.Sort()
	return p.layout, nil
}

// place gives every field its offset, and the indexes their bytes.
func (p *parser) place() {
	l := p.layout
	at, bits, most := 0, 0, 1 // bits: used of the run of bit fields that begins at byte at
	for i := range l.Fields {
		f := &l.Fields[i]
		if f.Type == Bit {
			f.Offset, f.Bit = at+bits/8, bits%8
			bits += f.N
			f.Size = (f.Bit + f.N + 7) / 8
			continue
		}
		if bits > 0 {
			at, bits = align(at+(bits+7)/8, 2), 0
		}
		border := f.border(l.LongMap)
		most = max(most, border)
		at = align(at, border)
		f.Offset, f.Size = at, f.bytes()
		at += f.Size
	}
	at += (bits + 7) / 8
	l.RecordSize = align(at, most)
	if l.RecordSize > origin.MaxRecord {
		p.problems.Add(1, "", "the record has %d bytes, %d are allowed", l.RecordSize, origin.MaxRecord)
		return
	}
	rec := make([]byte, l.RecordSize)
	for i := range l.Fields {
		if f := &l.Fields[i]; f.Default != nil {
			if err := f.encode(rec, []byte(*f.Default)); err != nil {
				p.problems.Add(f.Line, f.Name, "its default does not fit: %v", err.(*FieldError).Why)
			}
		}
	}
	for i := range l.Indexes {
		x := &l.Indexes[i]
		n := 0
		for j := range x.Parts {
			part := &x.Parts[j]
			f := &l.Fields[part.Field]
			switch f.Type {
			case Bit:
				p.problems.Add(x.Line, x.Name, "the field %s is a bit field: keys are made of whole bytes", f.Name)
			case Varying: // its text and room: the length stands before
				part.Position, part.Length = f.Offset+3, f.N
			default:
				part.Position, part.Length = f.Offset+1, f.Size
			}
			n += part.Length
		}
		if n > origin.MaxKey {
			p.problems.Add(x.Line, x.Name, "the key has %d bytes, %d are allowed", n, origin.MaxKey)
		}
	}
}

func align(n, border int) int { return (n + border - 1) / border * border }

// border is what the offset of f is a multiple of.
func (f *Field) border(longMap bool) int {
	switch f.Type {
	case Varying:
		return 2
	case Bin, Float, BitAligned:
		if longMap {
			return f.bytes()
		}
		return 2
	}
	return 1
}

// bytes is the size of a field other than Bit.
func (f *Field) bytes() int {
	switch f.Type {
	case Varying:
		return 2 + f.N
	case Bin:
		switch {
		case f.N <= 15:
			return 2
		case f.N <= 31:
			return 4
		}
		return 8
	case BitAligned:
		if f.N <= 16 {
			return 2
		}
		return 4
	case Decimal:
		return f.N/2 + 1
	case Float:
		if f.N <= 24 {
			return 4
		}
		return 8
	}
	return f.N
}
