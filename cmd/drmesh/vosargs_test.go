package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"drmesh/admin"
)

func TestVOSArguments(t *testing.T) {
	switches := []vosSwitch{{name: "delete"}, {name: "duplicates"}, {name: "organization", value: "kind"}, {name: "key", value: "pos,len", many: true}}
	for _, c := range []struct{ line, want string }{
		{"a b", "[a b]"},
		{"a -delete b", "[a b] delete[]"},
		{"a -del b", "[a b] delete[]"},
		{"a -organization fixed b", "[a b] organization[fixed]"},
		{"a x -key 1,4 9,2 -duplicates", "[a x] duplicates[] key[1,4 9,2]"},
		{"a -key 1,4 -- -b", "[a -b] key[1,4]"},
		{"a --dir /d -o json --modules *", "[a] dir=/d output=json modules=*"},
		{"a --output=yaml --dir=/d --dry-run", "[a] dir=/d output=yaml dry-run"},
		{"a -d b", "-d may be -delete or -duplicates"},
		{"a -delete -delete", "given twice"},
		{"a -size 3", "there is no switch -size; there are -delete"},
		{"a --delete", "there is no option --delete"},
		{"a -organization", "-organization needs a value: kind"},
		{"a -organization -delete", "-organization needs a value: kind"},
		{"a --dir", "--dir needs a value"},
	} {
		v, err := parseVOS("vos test", strings.Fields(c.line), switches, "modules")
		got := ""
		if err != nil {
			var e *admin.Error
			if !errors.As(err, &e) || e.Class != admin.Usage {
				t.Errorf("%s: %v is no usage error", c.line, err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %s", c.line, err, c.want)
			}
			continue
		}
		got = fmt.Sprint(v.words)
		for _, n := range []string{"delete", "duplicates", "organization", "key"} {
			if v.has(n) {
				got += fmt.Sprintf(" %s%v", n, v.given[n])
			}
		}
		for _, p := range []struct{ k, v string }{{"dir", v.dir}, {"output", v.output}, {"modules", v.long["modules"]}} {
			if p.v != "" {
				got += " " + p.k + "=" + p.v
			}
		}
		if v.dryRun {
			got += " dry-run"
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.line, got, c.want)
		}
	}
}
