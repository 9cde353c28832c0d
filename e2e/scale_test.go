package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const unicodeDD = `fields:
	code_point char(7), name char(96), general_category char(2), combining_class char(3), bidi_class char(3),
	decomposition char(112), decimal_digit char(1), digit char(1), numeric char(16), bidi_mirrored char(1),
	unicode_1_name char(64), iso_comment char(1), uppercase char(6), lowercase char(6), titlecase char(6);
index: code_point (code_point) no_duplicates;
index: category (general_category) duplicates;
end;
`

// manyLines are 60,000 records: the Unicode character database, and most of it
// once more under other keys.
func manyLines(t *testing.T) []string {
	t.Helper()
	b, err := unicodeText()
	if err != nil {
		t.Fatal(err)
	}
	var l []string
	for s := range strings.Lines(string(b)) {
		l = append(l, s)
	}
	for _, s := range l[:60000-len(l)] {
		l = append(l, "+"+s)
	}
	return l
}

// TestLoadsAtTwoModulesWhileAThirdJoins loads 60,000 records at one module and
// as many at another at the same time, and lets a third module join under
// that load. In the end all three dump what was loaded, in the order of keys.
func TestLoadsAtTwoModulesWhileAThirdJoins(t *testing.T) {
	t.Parallel()
	n := testMesh(t, mainShare, "a", "b")
	lines := manyLines(t)[:12000]
	if err := os.WriteFile(filepath.Join(n.dir, "in.txt"), []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, "in.dd"), []byte(unicodeDD), 0o600); err != nil {
		t.Fatal(err)
	}
	var loads sync.WaitGroup
	errs := make([]error, 2)
	for i, a := range []string{"a", "b"} {
		loads.Go(func() {
			var say bytes.Buffer
			cmd := exec.CommandContext(t.Context(), binary, "file", "load", "main:from_"+a, "--from", "in.txt", "--layout", "in.dd", "--delimiter", ";", "--dir", a)
			cmd.Dir, cmd.Stderr = n.dir, &say
			if err := cmd.Run(); err != nil {
				errs[i] = fmt.Errorf("load at %s: %w: %s", a, err, say.String())
			}
		})
	}
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(n.drmesh(t, "token", "create", "--dir", "b"))
	n.drmesh(t, "join", token, "--dir", "c", "--module", "%c#m1", "--listen", fmt.Sprintf("127.0.0.1:%d", ports[0]))
	if _, err := n.start("c"); err != nil {
		t.Fatal(err)
	}
	loads.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	n.caughtUp(t, "a", "b", "c")
	// Key order is that of the blank padded fields.
	slices.SortFunc(lines, func(x, y string) int {
		kx, _, _ := strings.Cut(x, ";")
		ky, _, _ := strings.Cut(y, ";")
		return strings.Compare(kx+"  ", ky+"  ")
	})
	want := strings.Join(lines, "")
	for _, at := range []string{"a", "b", "c"} {
		for _, from := range []string{"a", "b"} {
			if got := n.drmesh(t, "file", "dump", "main:from_"+from, "--delimiter", ";", "--dir", at); got != want {
				t.Errorf("%s: main:from_%s is not what was loaded: %d bytes, want %d", at, from, len(got), len(want))
			}
		}
		n.drmesh(t, "account", "--scan", "--dir", at)
	}
	n.drmesh(t, "vos", "compare_files", "main:from_a", "--modules", "*", "--dir", "c")
	n.drmesh(t, "vos", "compare_files", "main:from_b", "--modules", "*", "--dir", "a")
}
