package main

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
)

func TestCommandLine(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"drmesh vos rename a b", "vos rename a b"},
		{"/usr/bin/copy_file a b -delete", "vos copy_file a b -delete"},
		{"./compare_files.pm a b", "vos compare_files a b"},
		{"rename_all a", "a"},
		{"unlink", "vos unlink"},
	} {
		if got := commandLine(strings.Fields(c.args)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: got %q, want %s", c.args, got, c.want)
		}
	}
}

func TestDateTime(t *testing.T) {
	for _, c := range []struct {
		text    string
		seconds int64
		ok      bool
	}{
		{"none", 0, true},
		{"80-01-02", 86400, true},
		{"1980-01-01_00:01", 60, true},
		{"1980-01-01 00:00:01", 1, true},
		{"2047-12-31_23:59:59", 2145916799, true},
		{"1980-01-01", 0, false},
		{"2048-02-01", 0, false},
		{"79-12-31", 0, false},
		{"80-13-01", 0, false},
		{"80-01-02_25:00", 0, false},
		{"tomorrow", 0, false},
	} {
		if n, ok := dateTime(c.text, time.UTC); n != c.seconds || ok != c.ok {
			t.Errorf("%s: got %d %v, want %d %v", c.text, n, ok, c.seconds, c.ok)
		}
	}
}

// What nobody can be asked about is refused, but not with -no_ask or in a plan.
func TestNobodyToAsk(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, a := range []*app{{in: strings.NewReader("yes\n"), err: new(bytes.Buffer), format: "table"}, {in: null, err: new(bytes.Buffer), format: "table"}} {
		r := &vosRun{vosArgs: &vosArgs{given: map[string][]string{}}, a: a, name: "vos delete_file"}
		yes, err := r.agreed("Delete x?")
		if e := (*admin.Error)(nil); yes || !errors.As(err, &e) || e.Class != admin.Usage {
			t.Errorf("got %v, %v, want a refusal", yes, err)
		}
		r.dryRun = true
		if yes, err := r.agreed("Delete x?"); !yes || err != nil {
			t.Errorf("a plan was refused: %v", err)
		}
		r.dryRun, r.given["no_ask"] = false, nil
		if yes, err := r.agreed("Delete x?"); !yes || err != nil {
			t.Errorf("-no_ask was refused: %v", err)
		}
	}
}
