package dd

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

func show1(l *Layout, err error) string {
	if err != nil {
		return "refused:\n" + err.Error() + "\n"
	}
	var b strings.Builder
	for _, w := range l.Warnings {
		fmt.Fprintf(&b, "warning: %v\n", w)
	}
	fmt.Fprintf(&b, "%s, %d bytes", l.Organization, l.RecordSize)
	if l.LongMap {
		b.WriteString(", longmap")
	}
	b.WriteByte('\n')
	for _, f := range l.Fields {
		fmt.Fprintf(&b, "  %d %s %s", f.Offset, f.Name, f.TypeString())
		if f.Type == Bit && f.Bit > 0 {
			fmt.Fprintf(&b, " from bit %d", f.Bit)
		}
		if f.Default != nil {
			fmt.Fprintf(&b, " default %q", *f.Default)
		}
		fmt.Fprintf(&b, ", line %d\n", f.Line)
	}
	for _, x := range l.Indexes {
		fmt.Fprintf(&b, "  index %s", x.Name)
		for _, p := range x.Parts {
			fmt.Fprintf(&b, " %s=%d,%d", l.Fields[p.Field].Name, p.Position, p.Length)
		}
		if x.Duplicates {
			b.WriteString(" duplicates")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestTranscripts: "dd" lays a text out; "lines" puts delimited lines through
// the last layout and back.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.td")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, f := range files {
		var l *Layout
		datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			switch d.Cmd {
			case "dd":
				got, err := Parse([]byte(d.Input))
				if err == nil {
					l = got
				}
				return show1(got, err)
			case "lines":
				for _, line := range strings.Split(d.Input, "\n") {
					line = strings.ReplaceAll(line, "~", " ")
					rec, err := l.EncodeLine(nil, []byte(line), '|')
					if err != nil {
						fmt.Fprintln(&out, "refused:", err)
						continue
					}
					back, err := l.DecodeLine(nil, rec, '|')
					if err != nil || string(back) != line {
						t.Errorf("%q came back as %q, %v", line, back, err)
					}
					fmt.Fprintf(&out, "%x\n", rec)
				}
			case "key":
				var parts [][]byte
				for _, s := range strings.Split(d.Input, "|") {
					parts = append(parts, []byte(s))
				}
				key, err := l.EncodeKey(nil, &l.Indexes[0], parts)
				if err != nil {
					return "refused: " + err.Error()
				}
				return fmt.Sprintf("%q", key)
			default:
				t.Fatalf("no such command %q", d.Cmd)
			}
			return out.String()
		})
	}
}

func TestLimits(t *testing.T) {
	var many strings.Builder
	many.WriteString("fields:")
	for i := range MaxFields + 1 {
		fmt.Fprintf(&many, "f%d bit,", i)
	}
	for _, tt := range []struct{ in, want string }{
		{strings.Repeat(" ", MaxSource+1), "line 1: the dd has 262145 bytes, 262144 are allowed"},
		{many.String(), "line 1: f4096: a record has at most 4096 fields"},
		{"fields: a char(32767), b char(1); end;", "line 1: the record has 32768 bytes, 32767 are allowed"},
		{"fields: a char(2000); index: x (a); end;", "line 1: x: the key has 2000 bytes, 1280 are allowed"},
		{"fields: a char(1);" + strings.Repeat("index: x (a);", 1) + "index: x (a); end;", "line 1: x: there is an index of that name already"},
	} {
		if _, err := Parse([]byte(tt.in)); err == nil || err.Error() != tt.want {
			t.Errorf("%.30q: %v", tt.in, err)
		}
	}
}

func TestRecordsOfOthers(t *testing.T) {
	l, err := Parse([]byte("fields: a char(2) varying, b decimal(3), c char(1); end;"))
	if err != nil || l.RecordSize != 8 {
		t.Fatal(l, err)
	}
	for _, tt := range []struct {
		rec  string
		want string // "!" begins the error
	}{
		{"\x00\x01x?\x01\x2c-?", "x|12|-"},
		{"\x00\x03xy\x01\x2c-?", "!a: the length of the text is 3, char(2) varying holds 2"},
		{"\x00\x00xy\x01\x21-?", "!b: its bytes are no packed decimal"},
		{"\x00\x00xy\x0a\x2c-?", "!b: its bytes are no packed decimal"},
		{"\x00\x01xy\x01\x2c|?", "!c: the value holds the delimiter or a line end"},
		{"\x00\x01xy\x01\x2c\n?", "!c: the value holds the delimiter or a line end"},
		{"\x00", "!the record has 1 bytes, the layout 8"},
	} {
		got, err := l.DecodeLine(nil, []byte(tt.rec), '|')
		if msg, bad := strings.CutPrefix(tt.want, "!"); bad {
			var fe *FieldError
			if !errors.As(err, &fe) || err.Error() != msg || len(got) != 0 {
				t.Errorf("%q: %q, %v", tt.rec, got, err)
			}
		} else if err != nil || string(got) != tt.want {
			t.Errorf("%q: %q, %v", tt.rec, got, err)
		}
	}
}

const everyType = `fields:
 a char(5), b char(4) varying, c bin(15), d bin(31), e bin(63), f bit(3), g bit, h bit(5) aligned,
 i decimal(5,2), j float bin(24), k float bin(53), l picture '999', m bin(7), n decimal(2,2);
 index: x (a, b); end;`

func FuzzLine(f *testing.F) {
	l, err := Parse([]byte(everyType))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("abc|d |-1|77|-9223372036854775808|101|1|00001|-12.34|1.5|1e+100|007|-128|0.10"))
	f.Fuzz(func(t *testing.T, line []byte) {
		rec, err := l.EncodeLine(nil, line, '|')
		if err != nil {
			if len(rec) != 0 {
				t.Fatal("a refused line left bytes")
			}
		} else if back, err := l.DecodeLine(nil, rec, '|'); err != nil || !bytes.Equal(back, line) {
			t.Fatalf("%q came back as %q, %v", line, back, err)
		}
		if len(line) >= l.RecordSize {
			if texts, err := l.Decode(line[:l.RecordSize]); err == nil && len(texts) != len(l.Fields) {
				t.Fatal("fields are missing")
			}
		}
	})
}

func TestEveryType(t *testing.T) {
	l, err := Parse([]byte(everyType))
	if err != nil {
		t.Fatal(err)
	}
	line := "abc|d |-1|77|-9223372036854775808|101|1|00001|-12.34|1.5|1e+100|007|-128|0.10"
	rec, err := l.EncodeLine([]byte("kept"), []byte(line), '|')
	if err != nil || len(rec) != 4+l.RecordSize {
		t.Fatal(err)
	}
	back, err := l.DecodeLine(nil, rec[4:], '|')
	if err != nil || string(back) != line {
		t.Fatalf("%s, %v", back, err)
	}
	texts, err := l.Decode(rec[4:])
	if err != nil || strings.Join(texts, "|") != line {
		t.Fatal(texts, err)
	}
	var parts [][]byte
	for _, s := range texts {
		parts = append(parts, []byte(s))
	}
	again, err := l.Encode(nil, parts)
	if err != nil || !bytes.Equal(again, rec[4:]) {
		t.Fatal(err)
	}
	if _, err := l.Encode(nil, parts[1:]); err == nil {
		t.Fatal("a field was missing")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(everyType))
	f.Add([]byte("organization: relative; fields : a char (32) var default ('x''y'), b bit 1 c bit (1),\nend;"))
	f.Fuzz(func(t *testing.T, src []byte) {
		l, err := Parse(src)
		if err != nil {
			return
		}
		end := 0
		for _, f := range l.Fields {
			if f.Offset < 0 || f.Size < 1 || f.Offset+f.Size > l.RecordSize {
				t.Fatalf("field %+v outside a record of %d", f, l.RecordSize)
			}
			if at := 8*f.Offset + f.Bit; at < end {
				t.Fatalf("field %+v overlaps", f)
			}
			end = 8*f.Offset + f.Bit + map[bool]int{true: f.N, false: 8 * f.Size}[f.Type == Bit]
		}
		l.Decode(make([]byte, l.RecordSize))
		for _, x := range l.Indexes {
			for _, p := range x.Parts {
				if p.Position < 1 || p.Length < 1 || p.Position+p.Length-1 > l.RecordSize {
					t.Fatalf("index %+v outside the record", x)
				}
			}
		}
	})
}

func BenchmarkEncodeLine(b *testing.B) {
	l, err := Parse([]byte("fields: a char(6), b char(90), c char(2), d bin(15), e char(120); end;"))
	if err != nil {
		b.Fatal(err)
	}
	line := []byte("0041;LATIN CAPITAL LETTER A;Lu;0;L")
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = l.EncodeLine(buf[:0], line, ';'); err != nil {
			b.Fatal(err)
		}
	}
}
