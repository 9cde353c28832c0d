// Package path holds the rules of VOS names: objects, paths, modules, the
// share form and star names.
//
// A full path is written %system#disk>dir>object. Everything that keeps or
// compares a path keeps it as a Full: the canonical text, at most MaxPath
// bytes, each part checked. Two paths name one object if and only if their
// texts are equal: case counts, and no two spellings lead to one Full.
//
// A Full may hold stars in its last part when it came from ParseStar or
// Expand; HasStar tells. Everything else that this package returns holds none.
//
// The package is pure: text in, text out; it neither knows nor asks whether an
// object exists.
package path

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// MaxPath is the length of the longest full path.
	MaxPath = 256
	// MaxName is the length of the longest object name: that of extended
	// names. (Names of 32 bytes at most fit every VOS release.)
	MaxName = 255
	// MaxModule is the length of the longest module name, %system#module.
	MaxModule = 66
	// maxPart is the length of the longest system, disk, module or share name.
	maxPart = 32
)

// ErrBad is the class of every error of this package: e$bad_pathname.
var ErrBad = errors.New("bad path name")

// Error says what is wrong with which text. It is an ErrBad.
type Error struct {
	Text string // what was given
	Why  string // what is wrong with it
}

func (e *Error) Error() string { return fmt.Sprintf("%s %q: %s", ErrBad, clip(e.Text), e.Why) }

// Is makes every Error an ErrBad.
func (e *Error) Is(target error) bool { return target == ErrBad }

// clip keeps what a stranger sent from filling a log line.
func clip(s string) string {
	if len(s) > MaxPath+32 {
		return s[:MaxPath] + "..."
	}
	return s
}

func bad(text, format string, args ...any) error {
	return &Error{Text: text, Why: fmt.Sprintf(format, args...)}
}

// Full is a full path in its one canonical spelling: %system#disk for the root
// of a disk, else %system#disk>name>name. The zero value is no path.
type Full string

func (f Full) String() string { return string(f) }

// root is the length of the %system#disk part.
func (f Full) root() int {
	if i := strings.IndexByte(string(f), '>'); i >= 0 {
		return i
	}
	return len(f)
}

// System is the name of the system, without its percent sign.
func (f Full) System() string {
	if f == "" {
		return ""
	}
	s, _, _ := strings.Cut(string(f[1:f.root()]), "#")
	return s
}

// Disk is the name of the disk, without its number sign.
func (f Full) Disk() string {
	_, d, _ := strings.Cut(string(f[:f.root()]), "#")
	return d
}

// Root is the root directory of the path's disk.
func (f Full) Root() Full { return f[:f.root()] }

// IsRoot reports whether f is the root directory of a disk.
func (f Full) IsRoot() bool { return f.root() == len(f) }

// Dir is the directory that f stands in; the root of a disk stands in itself.
func (f Full) Dir() Full {
	if i := strings.LastIndexByte(string(f), '>'); i >= 0 {
		return f[:i]
	}
	return f
}

// Base is the last name of f, empty for the root of a disk.
func (f Full) Base() string {
	if i := strings.LastIndexByte(string(f), '>'); i >= 0 {
		return string(f[i+1:])
	}
	return ""
}

// Join gives the object that rel, one name or several with > between them,
// names below f. An empty rel gives f.
func (f Full) Join(rel string) (Full, error) {
	if rel == "" {
		return f, nil
	}
	if err := CheckRel(rel); err != nil {
		return "", err
	}
	g := f + ">" + Full(rel)
	if len(g) > MaxPath {
		return "", bad(string(g), "it has %d bytes, %d are allowed", len(g), MaxPath)
	}
	return g, nil
}

// Rel gives the path of f below dir: empty for dir itself, ok false when f is
// not below it.
func (f Full) Rel(dir Full) (rel string, ok bool) {
	if f == dir {
		return "", true
	}
	if dir == "" || !strings.HasPrefix(string(f), string(dir)) || f[len(dir)] != '>' {
		return "", false
	}
	return string(f[len(dir)+1:]), true
}

// WithSystem gives the path with another system's name, written with or
// without its percent sign: %prim#d03>a becomes %back#d03>a.
func (f Full) WithSystem(system string) (Full, error) {
	system = strings.TrimPrefix(system, "%")
	if err := checkPart(system, "system name"); err != nil {
		return "", err
	}
	i := strings.IndexByte(string(f), '#')
	if i < 0 {
		return "", bad(string(f), "it is not a full path")
	}
	g := "%" + Full(system) + f[i:]
	if len(g) > MaxPath {
		return "", bad(string(g), "it has %d bytes, %d are allowed", len(g), MaxPath)
	}
	return g, nil
}

// HasStar reports whether the last name of f is a star name.
func (f Full) HasStar() bool { return HasStar(f.Base()) }

// Parse reads a full path without stars.
func Parse(s string) (Full, error) { return parse(s, false) }

// ParseStar reads a full path whose last name may be a star name.
func ParseStar(s string) (Full, error) { return parse(s, true) }

func parse(s string, star bool) (Full, error) {
	if len(s) > MaxPath {
		return "", bad(s, "it has %d bytes, %d are allowed", len(s), MaxPath)
	}
	if s == "" {
		return "", bad(s, "it is empty")
	}
	head, rest, more := strings.Cut(s, ">")
	system, disk, ok := strings.Cut(head, "#")
	if !ok || !strings.HasPrefix(system, "%") {
		return "", bad(s, "a full path begins with %%system#disk")
	}
	if err := checkPart(system[1:], "system name"); err != nil {
		return "", within(s, err)
	}
	if err := checkPart(disk, "disk name"); err != nil {
		return "", within(s, err)
	}
	if more {
		if err := checkRel(rest, star); err != nil {
			return "", within(s, err)
		}
	}
	return Full(s), nil
}

// within names the whole text in an error about a part of it.
func within(whole string, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Text != whole {
		return bad(whole, "%q: %s", clip(e.Text), e.Why)
	}
	return err
}

// CheckRel reports what is wrong with one name, or several with > between
// them, as the path of an object below a directory.
func CheckRel(rel string) error { return checkRel(rel, false) }

func checkRel(rel string, star bool) error {
	if len(rel) > MaxPath {
		return bad(rel, "it has %d bytes, %d are allowed", len(rel), MaxPath)
	}
	for {
		name, rest, more := strings.Cut(rel, ">")
		if err := checkName(name, star && !more); err != nil {
			return err
		}
		if !more {
			return nil
		}
		rel = rest
	}
}

// CheckName reports what is wrong with s as the name of one object. The rules
// are those of extended names: at most MaxName bytes of UTF-8, none of
// # % * < > ? and no control character; not . or ..; no hyphen first; no blank
// or apostrophe at either end or beside a period, no two blanks together, no
// blank before a hyphen.
func CheckName(s string) error { return checkName(s, false) }

func checkName(s string, star bool) error {
	switch {
	case s == "":
		return bad(s, "a name is empty")
	case len(s) > MaxName:
		return bad(s, "the name has %d bytes, %d are allowed", len(s), MaxName)
	case s == "." || s == "..":
		return bad(s, "it is no name")
	case s[0] == '-':
		return bad(s, "a name does not begin with a hyphen")
	case !utf8.ValidString(s):
		return bad(s, "it is not UTF-8")
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '*' && star:
		case c == '*':
			return bad(s, "a star has no place here")
		case strings.IndexByte("#%<>?", c) >= 0:
			return bad(s, "a name does not hold %q", c)
		case c < ' ' || c == 0x7f:
			return bad(s, "a name holds no control characters")
		case c == ' ' || c == '\'':
			if i == 0 || i == len(s)-1 {
				return bad(s, "a name has no blank or apostrophe at its ends")
			}
			if s[i-1] == '.' || s[i+1] == '.' {
				return bad(s, "a name has no blank or apostrophe beside a period")
			}
			if c == ' ' && (s[i+1] == ' ' || s[i+1] == '-') {
				return bad(s, "a name has no blank before a blank or a hyphen")
			}
		}
	}
	return nil
}

// checkPart is the rule for names of systems, disks, modules and shares: what
// every VOS release takes and what needs no quoting in a table, a certificate
// or a shell but for # and %.
func checkPart(s, what string) error {
	switch {
	case s == "":
		return bad(s, "the %s is empty", what)
	case len(s) > maxPart:
		return bad(s, "the %s has %d bytes, %d are allowed", what, len(s), maxPart)
	case s[0] == '-' || s[0] == '.':
		return bad(s, "a %s does not begin with %q", what, s[0])
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_' || c == '-' || c == '.' || c == '$' || c == '+':
		default:
			return bad(s, "a %s holds letters, digits and _ - . $ + only", what)
		}
	}
	return nil
}
