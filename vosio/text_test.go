package vosio

import (
	"slices"
	"strings"
	"testing"
)

// TestWrap: where text is broken.
func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text           string
		column, indent int
		want           string // lines, by |
	}{
		{"", 0, 0, ""},
		{"short", 0, 0, "short"},
		{"exactly ten", 0, 0, "exactly|ten"},
		{"ten bytes!", 0, 0, "ten bytes!"},
		{"one two three four", 0, 0, "one two|three four"},
		{"one two three four", 0, 2, "one two|  three|  four"},
		{"goes on", 4, 0, "goes|on"},
		{"goes on", 7, 3, "|   goes on"},
		{"behind", 10, 0, "|behind"},
		{"behind", 99, 0, "|behind"},
		{"averyverylongword", 0, 0, "averyveryl|ongword"},
		{"a verylongwordindeed b", 0, 1, "a| verylongw| ordindeed| b"},
		{"two  blanks", 0, 0, "two|blanks"},
		{"  in", 0, 0, "  in"},
		{"ends ", 0, 0, "ends "},
	} {
		got := wrap(c.text, c.column, 10, c.indent)
		if !slices.Equal(got, strings.Split(c.want, "|")) {
			t.Errorf("%q at %d: %q, want %q", c.text, c.column, strings.Join(got, "|"), c.want)
		}
		for i, l := range got {
			if n := len(l); i > 0 && n > 10 || i == 0 && n > 0 && n+c.column > 10 {
				t.Errorf("%q at %d: line %d is %q", c.text, c.column, i, l)
			}
		}
	}
}
