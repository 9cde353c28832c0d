package path

import "strings"

// HasStar reports whether name is a star name.
func HasStar(name string) bool { return strings.IndexByte(name, '*') >= 0 }

// Match reports whether name matches the star name pattern: a star stands for
// any run of bytes, also none, but never for >.
func Match(pattern, name string) bool {
	ok := match(pattern, name, nil)
	return ok
}

// match tells each run that a star stood for, in order, to took. The runs are
// the shortest from the left, the last star takes what is left: one answer,
// and no backtracking.
func match(pattern, name string, took func(string)) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, more, star := strings.Cut(rest, "*")
		var at int
		if star {
			at = strings.Index(name, part)
		} else if at = len(name) - len(part); at >= 0 && name[at:] != part {
			at = -1
		}
		if at < 0 || strings.IndexByte(name[:at], '>') >= 0 {
			return false
		}
		if took != nil {
			took(name[:at])
		}
		if !star {
			return true
		}
		name, rest = name[at+len(part):], more
	}
}

// Fill gives the name that a destination's last part dest stands for when the
// source was chosen by the star name (or plain name) pattern and is called
// name: * alone is the source's name; a star inside a longer dest is filled
// with what the source's star matched, in order.
func Fill(dest, pattern, name string) (string, error) {
	if dest == "*" {
		return name, CheckName(name)
	}
	if !HasStar(dest) {
		return dest, CheckName(dest)
	}
	var runs []string
	if !match(pattern, name, func(s string) { runs = append(runs, s) }) {
		return "", bad(name, "it does not match %q", clip(pattern))
	}
	if n := strings.Count(dest, "*"); n > len(runs) {
		return "", bad(dest, "it has %d stars, the source %q has %d", n, clip(pattern), len(runs))
	}
	var b strings.Builder
	for {
		part, rest, star := strings.Cut(dest, "*")
		b.WriteString(part)
		if b.Len() > MaxPath {
			return "", bad(name, "the name filled in has over %d bytes", MaxName)
		}
		if !star {
			return b.String(), CheckName(b.String())
		}
		b.WriteString(runs[0])
		runs, dest = runs[1:], rest
	}
}
