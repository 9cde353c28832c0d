package path

import (
	"slices"
	"strings"
)

// Context is what a path that is not full is completed from.
type Context struct {
	Module     string // (current_module), %system#module; its system completes #disk>...
	Dir        Full   // (current_dir): completes >dir, <, ., and bare names
	Home       Full   // (home_dir); Dir when empty
	ProcessDir Full   // (process_dir); Dir when empty
	MasterDisk string // (master_disk), %system#disk; the disk of Dir when empty
	Date       string // (date), as yy-mm-dd; the caller's, as this package has no clock
}

// maxInput bounds what Expand looks at: command functions may be longer than
// what they give.
const maxInput = 4 * MaxPath

// Expand gives the full path that s names in c. The last name may be a star
// name. Command functions are replaced first, then:
//
//	%system#disk>...   full already
//	#disk>...          a disk of the current system
//	>dir>...           from the root of the current disk
//	.   .>x            the current directory, x in it
//	<   <<   <x        the parent, its parent, x in the parent
//	x   x>y            from the current directory
func Expand(s string, c Context) (Full, error) {
	if len(s) > maxInput {
		return "", bad(s, "it has %d bytes, %d are allowed", len(s), MaxPath)
	}
	t, err := functions(s, c)
	if err != nil {
		return "", err
	}
	f, err := expand(t, c)
	if err != nil {
		return "", within(s, err)
	}
	return f, nil
}

func expand(s string, c Context) (Full, error) {
	switch {
	case s == "":
		return "", bad(s, "it is empty")
	case s[0] == '%':
		return ParseStar(s)
	case s[0] == '#':
		if err := CheckModule(c.Module); err != nil {
			return "", bad(s, "no current module completes it")
		}
		return ParseStar("%" + SystemOf(c.Module) + s)
	}
	if c.Dir == "" {
		return "", bad(s, "no current directory completes it: write %%system#disk>dir>object or share:object")
	}
	dir := c.Dir
	switch s[0] {
	case '>':
		if s == ">" {
			return dir.Root(), nil
		}
		return ParseStar(string(dir.Root()) + s)
	case '<':
		for s != "" && s[0] == '<' {
			if dir.IsRoot() {
				return "", bad(s, "there is no directory above %s", dir)
			}
			dir, s = dir.Dir(), s[1:]
		}
	default:
		if s == "." {
			return dir, nil
		}
		s = strings.TrimPrefix(s, ".>")
	}
	if s == "" {
		return dir, nil
	}
	return ParseStar(string(dir) + ">" + s)
}

// WithSuffix adds .suffix to the name of f unless it ends so already. It is
// the suffix rule of s$expand_path; an empty suffix changes nothing.
func WithSuffix(f Full, suffix string) (Full, error) {
	if suffix == "" || strings.HasSuffix(string(f), "."+suffix) {
		return f, nil
	}
	if f.IsRoot() {
		return "", bad(string(f), "a disk takes no suffix")
	}
	return ParseStar(string(f) + "." + suffix)
}

// CurrentModule is the command function that control tables name modules by.
const CurrentModule = "(current_module)"

var functionNames = []string{"current_dir", "current_module", "date", "home_dir", "master_disk", "process_dir"}

// functions replaces each (name) in s, once, from left to right; what was put
// in is not looked at again.
func functions(s string, c Context) (string, error) {
	if strings.IndexByte(s, '(') < 0 {
		return s, nil
	}
	var b strings.Builder
	for rest := s; ; {
		before, after, ok := strings.Cut(rest, "(")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, tail, closed := strings.Cut(after, ")")
		if !closed || !slices.Contains(functionNames, name) {
			return "", bad(s, "(%s is no command function: (%s) are", clip(name), strings.Join(functionNames, "), ("))
		}
		value := c.value(name)
		if value == "" {
			return "", bad(s, "(%s) has no value here", name)
		}
		b.WriteString(value)
		// (master_disk)system>x is read as (master_disk)>system>x.
		if rest = tail; name != "date" && name != "current_module" && rest != "" && rest[0] != '>' && rest[0] != '<' {
			b.WriteByte('>')
		}
		if b.Len() > maxInput {
			return "", bad(s, "what its command functions give is too long")
		}
	}
}

func (c Context) value(function string) string {
	switch function {
	case "current_dir":
		return string(c.Dir)
	case "current_module":
		return c.Module
	case "date":
		return c.Date
	case "home_dir":
		if c.Home != "" {
			return string(c.Home)
		}
		return string(c.Dir)
	case "process_dir":
		if c.ProcessDir != "" {
			return string(c.ProcessDir)
		}
		return string(c.Dir)
	case "master_disk":
		if c.MasterDisk != "" {
			return c.MasterDisk
		}
		return string(c.Dir.Root())
	}
	return ""
}
