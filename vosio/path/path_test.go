package path

import (
	"errors"
	"strings"
	"testing"
)

var here = Context{
	Module: "%east#m1",
	Dir:    "%east#d01>data>in",
	Home:   "%east#d02>home>kim",
	Date:   "24-03-01",
}

func TestExpand(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"%prim#d03>PROD>data>f", "%prim#d03>PROD>data>f"},
		{"%prim#d03", "%prim#d03"},
		{"#d09>x", "%east#d09>x"},
		{">system>ported", "%east#d01>system>ported"},
		{">", "%east#d01"},
		{"x", "%east#d01>data>in>x"},
		{"x>y", "%east#d01>data>in>x>y"},
		{".", "%east#d01>data>in"},
		{".>x", "%east#d01>data>in>x"},
		{".bashrc", "%east#d01>data>in>.bashrc"},
		{"<", "%east#d01>data"},
		{"<<", "%east#d01"},
		{"<x>y", "%east#d01>data>x>y"},
		{"<<x", "%east#d01>x"},
		{"*.kp", "%east#d01>data>in>*.kp"},
		{"(master_disk)system>x", "%east#d01>system>x"},
		{"(master_disk)>system>x", "%east#d01>system>x"},
		{"(home_dir)>a", "%east#d02>home>kim>a"},
		{"(current_dir)<a", "! \"in<a\": a name does not hold '<'"},
		{"(process_dir)", "%east#d01>data>in"},
		{"log.(date)", "%east#d01>data>in>log.24-03-01"},
		{"a/b", "%east#d01>data>in>a/b"},
		{"Grüße", "%east#d01>data>in>Grüße"},
		{"two words", "%east#d01>data>in>two words"},
		{"", "! it is empty"},
		{"(nosuch)>x", "! (nosuch is no command function: (current_dir), (current_module), (date), (home_dir), (master_disk), (process_dir) are"},
		{"(date", "! (date is no command function: (current_dir), (current_module), (date), (home_dir), (master_disk), (process_dir) are"},
		{"<<<", "! \"<\": there is no directory above %east#d01"},
		{"a>>b", "! \"\": a name is empty"},
		{"a>", "! \"\": a name is empty"},
		{"a*>b", "! \"a*\": a star has no place here"},
		{"a>..>b", "! \"..\": it is no name"},
		{"-delete", "! \"-delete\": a name does not begin with a hyphen"},
		{"what?", "! \"what?\": a name does not hold '?'"},
		{"a#b", "! \"a#b\": a name does not hold '#'"},
		{" a", "! \" a\": a name has no blank or apostrophe at its ends"},
		{"a .b", "! \"a .b\": a name has no blank or apostrophe beside a period"},
		{"a  b", "! \"a  b\": a name has no blank before a blank or a hyphen"},
		{"a -b", "! \"a -b\": a name has no blank before a blank or a hyphen"},
		{"a\x00b", "! \"a\\x00b\": a name holds no control characters"},
		{"a\xff", "! \"a\\xff\": it is not UTF-8"},
		{"%e", "! a full path begins with %system#disk"},
		{"%#d01>x", "! \"\": the system name is empty"},
		{"%e#>x", "! \"\": the disk name is empty"},
		{"%e t#d>x", "! \"e t\": a system name holds letters, digits and _ - . $ + only"},
		{"%e#d1#d2>x", "! \"d1#d2\": a disk name holds letters, digits and _ - . $ + only"},
		{strings.Repeat("a", 300), "! it has 318 bytes, 256 are allowed"},
	} {
		got, err := Expand(tt.in, here)
		if want, isErr := strings.CutPrefix(tt.want, "! "); isErr {
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, ErrBad) {
				t.Errorf("Expand(%q) = %q, %v, want an error", tt.in, got, err)
			} else if why := e.Why; why != want && !strings.HasSuffix(why, want) {
				t.Errorf("Expand(%q): %s, want %s", tt.in, why, want)
			}
			continue
		}
		if err != nil || string(got) != tt.want {
			t.Errorf("Expand(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestExpandWithoutContext(t *testing.T) {
	for _, in := range []string{"x", "<", ".", ">x", "#d>x", "(current_module)", "(date)"} {
		if f, err := Expand(in, Context{}); err == nil {
			t.Errorf("Expand(%q) = %q, want an error", in, f)
		}
	}
}

func TestParts(t *testing.T) {
	f, err := Parse("%east#d01>data>packages")
	if err != nil {
		t.Fatal(err)
	}
	if f.System() != "east" || f.Disk() != "d01" || f.Base() != "packages" || f.Dir() != "%east#d01>data" || f.Root() != "%east#d01" {
		t.Errorf("parts of %s: %q %q %q %q %q", f, f.System(), f.Disk(), f.Base(), f.Dir(), f.Root())
	}
	if r := f.Root(); r.Dir() != r || r.Base() != "" || !r.IsRoot() || r.System() != "east" || r.Disk() != "d01" {
		t.Errorf("parts of the root: %q %q", r.Dir(), r.Base())
	}
	if g, err := f.WithSystem("%west"); err != nil || g != "%west#d01>data>packages" {
		t.Errorf("WithSystem = %q, %v", g, err)
	}
	if _, err := f.WithSystem("a#b"); err == nil {
		t.Error("WithSystem took a#b")
	}
	for _, tt := range []struct {
		dir, rel string
		ok       bool
	}{
		{"%east#d01>data", "packages", true}, {"%east#d01", "data>packages", true}, {string(f), "", true},
		{"%east#d01>dat", "", false}, {"%west#d01>data", "", false}, {"", "", false},
	} {
		rel, ok := f.Rel(Full(tt.dir))
		if rel != tt.rel || ok != tt.ok {
			t.Errorf("Rel(%q) = %q, %v", tt.dir, rel, ok)
		}
		if ok {
			if g, err := Full(tt.dir).Join(rel); err != nil || g != f {
				t.Errorf("Join(%q, %q) = %q, %v", tt.dir, rel, g, err)
			}
		}
	}
	if _, err := f.Join("a>*"); err == nil {
		t.Error("Join took a star")
	}
	if _, err := Parse("%east#d01>*"); err == nil {
		t.Error("Parse took a star")
	}
}

func TestSuffix(t *testing.T) {
	for _, tt := range [][3]string{
		{"%e#d>a", "out", "%e#d>a.out"}, {"%e#d>a.out", "out", "%e#d>a.out"}, {"%e#d>a", "", "%e#d>a"}, {"%e#d>*", "out", "%e#d>*.out"},
	} {
		if f, err := WithSuffix(Full(tt[0]), tt[1]); err != nil || string(f) != tt[2] {
			t.Errorf("WithSuffix(%q, %q) = %q, %v", tt[0], tt[1], f, err)
		}
	}
	if _, err := WithSuffix("%e#d", "out"); err == nil {
		t.Error("a disk took a suffix")
	}
}

func TestModule(t *testing.T) {
	for _, ok := range []string{"%east#m1", "%phx_vos#m14", "%a.b#c-d"} {
		if err := CheckModule(ok); err != nil {
			t.Error(err)
		}
	}
	for _, no := range []string{"", "east#m1", "%east", "%#m", "%e#", "%e#m>d", "%e#-m", "%e #m", "%" + strings.Repeat("a", 33) + "#m", "%e#m\n"} {
		if CheckModule(no) == nil {
			t.Errorf("CheckModule took %q", no)
		}
	}
	if s := SystemOf("%east#m1"); s != "east" {
		t.Error(s)
	}
}

func TestShareForm(t *testing.T) {
	for _, tt := range []struct{ in, share, rel string }{
		{"main:packages", "main", "packages"}, {"main:", "main", ""}, {"main:a>b", "main", "a>b"}, {"main:a>*.x", "main", "a>*.x"},
	} {
		s, r, err := ParseShare(tt.in)
		if err != nil || s != tt.share || r != tt.rel || !IsShare(tt.in) {
			t.Errorf("ParseShare(%q) = %q %q %v", tt.in, s, r, err)
		}
	}
	for _, no := range []string{"", "a", "a>b:c", "%e#d>a:b", ":x", "ma in:x", "main:a>>b", "main:<x", ".>a:b", strings.Repeat("a", 300) + ":b"} {
		if s, r, err := ParseShare(no); err == nil {
			t.Errorf("ParseShare(%q) = %q %q", no, s, r)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "a", true}, {"*", "a>b", false}, {"tlf*", "tlf", true}, {"tlf*", "tlf9", true}, {"tlf*", "xtlf", false},
		{"*.kp", "a.kp", true}, {"*.kp", ".kp", true}, {"*.kp", "a.kpx", false}, {"a*b*c", "abc", true}, {"a*b*c", "axxbyyc", true},
		{"a*b*c", "acb", false}, {"a*a", "a", false}, {"a*a", "aa", true}, {"abc", "abc", true}, {"abc", "abd", false}, {"", "", true},
		{"**", "x", true}, {"*ab*ab", "abab", true}, {"*ab*ab", "ab", false}, {"a*", "a>b", false},
	} {
		if got := Match(tt.pattern, tt.name); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
}

func TestFill(t *testing.T) {
	for _, tt := range []struct{ dest, pattern, name, want string }{
		{"*", "perl.pm", "perl.pm", "perl.pm"}, {"*", "p*", "perl", "perl"}, {"*.old", "*.data", "x.data", "x.old"},
		{"b*c*", "a*.*", "a1.2", "b1c2"}, {"plain", "*", "x", "plain"}, {"n*", "abc", "abc", ""}, {"*a*", "*", "x", ""},
		{"*.old", "*.data", "x.dat", ""}, {"a*", "*", strings.Repeat("x", 255), ""},
	} {
		got, err := Fill(tt.dest, tt.pattern, tt.name)
		if tt.want == "" {
			if err == nil {
				t.Errorf("Fill(%q, %q, %q) = %q, want an error", tt.dest, tt.pattern, tt.name, got)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("Fill(%q, %q, %q) = %q, %v", tt.dest, tt.pattern, tt.name, got, err)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"%e#d>a", "<x", "(date)", "a>*", "main:x", "(home_dir)(home_dir)"} {
		f.Add(s, "a*b")
	}
	f.Fuzz(func(t *testing.T, s, pattern string) {
		if p, err := Expand(s, here); err == nil {
			if len(p) > MaxPath {
				t.Fatalf("Expand(%q) has %d bytes", s, len(p))
			}
			if q, err := ParseStar(string(p)); err != nil || q != p {
				t.Fatalf("Expand(%q) = %q, which reads as %q, %v", s, p, q, err)
			}
			if !p.IsRoot() {
				if Full(string(p.Dir())+">"+p.Base()) != p {
					t.Fatalf("parts of %q do not make it", p)
				}
			}
		}
		if share, rel, err := ParseShare(s); err == nil && share+":"+rel != s {
			t.Fatalf("ParseShare(%q) = %q %q", s, share, rel)
		}
		if !HasStar(pattern) && Match(pattern, s) != (pattern == s) {
			t.Fatalf("Match(%q, %q)", pattern, s)
		}
		if n, err := Fill(pattern, "*", s); err == nil && CheckName(n) != nil {
			t.Fatalf("Fill gave %q", n)
		}
	})
}
