package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drmesh/admin"
	"drmesh/vosio/dd"
)

func inputOf(t *testing.T, text, layout string, delimiter byte) *input {
	t.Helper()
	name := filepath.Join(t.TempDir(), "in.txt")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{in: strings.NewReader("")}
	in, err := a.openInput(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.close)
	in.delimiter = delimiter
	if layout != "" {
		if in.layout, err = dd.Parse([]byte(layout)); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

const parts = `
fields:
    code     char(4),
    count    bin(15),
    name     char(8);
index: code (code);
end;
`

func TestInputThatIsRefused(t *testing.T) {
	if _, err := dd.Parse([]byte(parts)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text, layout string
		want               []string // line:field, or line:
	}{
		{"good", "a;1;x\nb;2;y\n", parts, nil},
		{"nothing", "", parts, nil},
		{"overlong field", "a;1;x\nbcdef;2;y\n", parts, []string{"2:code"}},
		{"number in another form", "a;01;x\nb; 2;y\nc;40000;z\n", parts, []string{"1:count", "2:count", "3:count"}},
		{"trailing blank", "a;1;x \n", parts, []string{"1:name"}},
		{"too few and too many fields", "a;1\nb;2;y;z\n", parts, []string{"1:", "2:"}},
		{"duplicate key", "a;1;x\nb;2;y\na;3;z\n", parts, []string{"3:code"}},
		{"binary", "a;1;x\x00\n", parts, []string{"1:name"}},
		{"line of any text", "caf\xe9\tau lait\r\n\n", "", nil},
		{"binary line", "abc\nd\x00f\n", "", []string{"2:"}},
		{"overlong line", strings.Repeat("x", 32767) + "\n" + strings.Repeat("x", 32768) + "\n" + strings.Repeat("y", 9<<20) + "\nz\n", "", []string{"2:", "3:"}},
	} {
		in := inputOf(t, c.text, c.layout, ';')
		err := in.check()
		if len(c.want) == 0 {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		e, ok := err.(*admin.Error)
		if !ok || e.Class != admin.Failed {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, p := range e.Problems {
			got = append(got, strings.TrimSpace(cell(p.Line))+":"+p.Field)
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: %v, want %v (%v)", c.name, got, c.want, e.Problems)
		}
	}
}

func TestInputOnlyTellsOfAHundredLines(t *testing.T) {
	in := inputOf(t, strings.Repeat("\x01\n", 1000), "", 0)
	e, ok := in.check().(*admin.Error)
	if !ok || len(e.Problems) != maxProblems+1 || !strings.Contains(e.Problems[maxProblems].Text, "900 more") {
		t.Errorf("%v", e)
	}
}

func TestInputThatChangesIsRefused(t *testing.T) {
	in := inputOf(t, "a\nb\n", "", 0)
	if err := in.check(); err != nil || in.records != 2 {
		t.Fatal(err)
	}
	if err := os.WriteFile(in.name, []byte("a\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := in.lines(func(int, []byte, error) error { return nil }); err == nil {
		t.Error("read a file that changed")
	}
}

func TestInputHeader(t *testing.T) {
	in := inputOf(t, "code;count;name\na;1;x\n", parts, ';')
	in.header = true
	if err := in.check(); err != nil || in.records != 1 {
		t.Errorf("%d records, %v", in.records, err)
	}
}
