package tin

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

func show(t *Table, err error) string {
	var b strings.Builder
	if err != nil {
		return "refused:\n" + err.Error() + "\n"
	}
	for _, w := range t.Warnings {
		fmt.Fprintf(&b, "warning: %v\n", w)
	}
	for _, r := range t.Records {
		fmt.Fprintf(&b, "record %d\n", r.Line)
		for _, f := range r.Fields {
			fmt.Fprintf(&b, "  %d %s=%q\n", f.Line, f.Name, f.Value)
		}
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.td")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, f := range files {
		datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string {
			table, err := Parse([]byte(d.Input))
			switch d.Cmd {
			case "parse":
				return string(Detect([]byte(d.Input))) + "\n" + show(table, err)
			case "write":
				if err != nil {
					return show(table, err)
				}
				out, err := Append(nil, table.Records)
				if err != nil {
					return err.Error()
				}
				return string(out)
			}
			t.Fatalf("no such command %q", d.Cmd)
			return ""
		})
	}
}

func TestOddBytes(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"\ufeff/=a b\r\n=c d\r\n", "record 1\n  1 a=\"b\"\n  2 c=\"d\"\n"},
		{"/=a b\x00c", "refused:\nline 1: a: the value holds the control character '\\x00'\n"},
		{"/=a b\n\n =b \xff", "refused:\nline 3: b: the value is not UTF-8\n"},
		{"/=a\x00 b", "refused:\nline 1: a\x00: a field's name holds letters, digits, _ and $ only, not '\\x00'\n"},
		{"/=a " + strings.Repeat("x", MaxValue+1), "refused:\nline 1: a: the value has 4097 bytes, 4096 are allowed\n"},
		{"/=" + strings.Repeat("x", 33) + " 1", "refused:\nline 1: " + strings.Repeat("x", 33) + ": a field's name has at most 32 bytes\n"},
		{strings.Repeat("/=a b\n", MaxRecords+3), "refused:\nline 8193: a table has at most 8192 records\n"},
		{strings.Repeat("/", MaxSource+1), "refused:\nline 1: the table has 1048577 bytes, 1048576 are allowed\n"},
		{"- a: " + strings.Repeat("[", 100), "refused:\nline 1: brackets nest too deep\n"},
		{"- a: 1\n" + strings.Repeat("- ", 100) + "a", "refused:\nline 2: lists nest too deep\n"},
		{"- a: " + strings.Repeat("a: ", 2000), "refused:\nline 1: the line has 6005 bytes, 4608 are allowed\n"},
		{"x" + strings.Repeat("a", MaxYAML), "refused:\nline 1: the table has 262145 bytes, 262144 are allowed\n"},
	} {
		if got := show(Parse([]byte(tt.in))); got != tt.want {
			t.Errorf("%.40q: got\n%s\nwant\n%s", tt.in, got, tt.want)
		}
	}
	var fields strings.Builder
	fields.WriteString("/")
	for i := range MaxFields + 1 {
		fmt.Fprintf(&fields, "=f%d x\n", i)
	}
	if got := show(Parse([]byte(fields.String()))); got != "refused:\nline 257: f256: a record has at most 256 fields\n" {
		t.Error(got)
	}
	if _, err := ParseTIN([]byte(strings.Repeat("x\n", 5000))); strings.Count(err.Error(), "\n") != maxProblems-1 {
		t.Error("problems are not bounded")
	}
}

func plain(rs []Record) (out [][][2]string) {
	for _, r := range rs {
		var fs [][2]string
		for _, f := range r.Fields {
			fs = append(fs, [2]string{f.Name, f.Value})
		}
		out = append(out, fs)
	}
	return
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("/=a b /* c\n */\n = d 'e''f'\n\n/ =g"))
	f.Add([]byte("- a: 1\n  b: '*'\n- c: [x, y]\n"))
	f.Add([]byte("/=m current_module)\n =n 'current_module)'"))
	if b, err := os.ReadFile("testdata/yaml.td"); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		table, err := Parse(src)
		if err != nil {
			for _, p := range err.(Problems) {
				if p.Line < 1 || p.Text == "" {
					t.Fatalf("problem without place: %+v", p)
				}
			}
			return
		}
		out, err := Append(nil, table.Records)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := ParseTIN(out)
		if err != nil || !reflect.DeepEqual(plain(table.Records), plain(again.Records)) {
			t.Fatalf("written %q\nread %v, %v\nfrom %v", out, again, err, table)
		}
	})
}

func TestFieldBeforeRecord(t *testing.T) {
	if got := show(ParseTIN([]byte("=a 1\n/=b 2"))); got != "refused:\nline 1: a: no record has begun: a record begins with /\n" {
		t.Error(got)
	}
}
