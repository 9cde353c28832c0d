// Package tin reads and writes tables in their source form: lists of records
// of named text fields, as TIN (the input of create_table) or as YAML (a list
// of maps with the same names).
//
// Both forms give the same Table. Every record and every field keeps the line
// that it stands on, so that whoever gives the names a meaning can point at
// the place; this package knows no field by name. It reports all that it finds
// wrong, not the first thing only.
//
// The package is pure, and bounded: nothing larger than MaxSource is looked
// at, and MaxRecords, MaxFields and MaxValue limit what comes of it.
package tin

import (
	"fmt"
	"slices"
	"strings"
)

const (
	MaxSource  = 1 << 20 // bytes of a TIN text
	MaxYAML    = 1 << 18 // bytes of a YAML text
	MaxRecords = 8192    // records of a table
	MaxFields  = 256     // fields of a record
	MaxName    = 32      // bytes of a field's name
	MaxValue   = 4096    // bytes of a value

	maxProblems = 100
)

// Format is the form that a table was written in.
type Format string

const (
	TIN  Format = "tin"
	YAML Format = "yaml"
)

// Field is one named value of a record. Name is in lower case.
type Field struct {
	Name  string
	Value string
	Line  int
}

// Record is one record of a table; its fields stand in the order of the text.
type Record struct {
	Line   int
	Fields []Field
}

// Get gives the value of the field called name; ok is false if r lacks it.
func (r *Record) Get(name string) (f Field, ok bool) {
	i := slices.IndexFunc(r.Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return r.Fields[i], true
}

// Table is what a text holds.
type Table struct {
	Format   Format
	Records  []Record
	Warnings Problems // what was accepted though it is not quite right
}

// Problem is one thing that is wrong in a table, and where.
type Problem struct {
	Line  int    `json:"line"`
	Field string `json:"field,omitempty"` // empty: the record or the text as a whole
	Text  string `json:"text"`            // what is wrong, and what is allowed
}

func (p Problem) String() string {
	if p.Field == "" {
		return fmt.Sprintf("line %d: %s", p.Line, p.Text)
	}
	return fmt.Sprintf("line %d: %s: %s", p.Line, p.Field, p.Text)
}

// Problems is all that is wrong with a table, in the order of lines. As an
// error it is one problem a line.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, q := range p {
		lines[i] = q.String()
	}
	return strings.Join(lines, "\n")
}

// Add appends a problem. What comes after the hundredth is not kept: the
// person who reads them has enough.
func (p *Problems) Add(line int, field, format string, args ...any) {
	if len(*p) < maxProblems {
		*p = append(*p, Problem{line, field, fmt.Sprintf(format, args...)})
	}
}

// Sort puts problems in the order of lines; those of one line stay as found.
func (p Problems) Sort() {
	slices.SortStableFunc(p, func(a, b Problem) int { return a.Line - b.Line })
}

// Err is p as an error, nil if there is none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	p.Sort()
	return p
}

// Detect tells the form of src: TIN if its first character outside blanks and
// comments is a slash (or if there is none), else YAML.
func Detect(src []byte) Format {
	s := strings.TrimPrefix(string(src[:min(len(src), MaxSource)]), "\ufeff")
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		if strings.HasPrefix(s, "/*") {
			if _, after, ok := strings.Cut(s[2:], "*/"); ok {
				s = after
				continue
			}
		}
		if s == "" || s[0] == '/' {
			return TIN
		}
		return YAML
	}
}

// Parse reads a table in either form. An error is a Problems.
func Parse(src []byte) (*Table, error) {
	if Detect(src) == TIN {
		return ParseTIN(src)
	}
	return ParseYAML(src)
}

// checkValue says what keeps v from being a value, or nothing.
func checkValue(v string) string {
	if len(v) > MaxValue {
		return fmt.Sprintf("the value has %d bytes, %d are allowed", len(v), MaxValue)
	}
	for _, r := range v {
		if r == '\ufffd' {
			return "the value is not UTF-8"
		}
		if (r < ' ' && r != '\t') || r == 0x7f {
			return fmt.Sprintf("the value holds the control character %q", r)
		}
	}
	return ""
}

// checkFieldName says what keeps s from being the name of a field, or nothing.
func checkFieldName(s string) string {
	switch {
	case s == "":
		return "a field needs a name"
	case len(s) > MaxName:
		return fmt.Sprintf("a field's name has at most %d bytes", MaxName)
	}
	for i := range len(s) {
		if !nameByte(s[i]) {
			return fmt.Sprintf("a field's name holds letters, digits, _ and $ only, not %q", s[i])
		}
	}
	return ""
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '$'
}
