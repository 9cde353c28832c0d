package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// TestParkedCommands: a record that an index of one module refuses is shown by
// its fields there, stays parked when it is tried again, and shows by itself
// when the index goes.
func TestParkedCommands(t *testing.T) {
	t.Parallel()
	n := testMesh(t, mainShare, "a", "b")
	ctx := t.Context()
	for name, text := range map[string]string{
		"stock.dd": "fields: article char(6), note char(6);\nindex: article (article);\nend;\n",
		"one.txt":  "saw|x\n",
		"two.txt":  "nails|x\nhammer|y\n",
	} {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.drmesh(t, "file", "load", "main:stock", "--from", "one.txt", "--layout", "stock.dd", "--dir", "a")
	n.caughtUp(t, "a", "b")
	b, err := n.open(ctx, "b", "", call.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.conn.Close()
	if err := b.CreateIndex(ctx, "main:stock", "note", []record.Component{{Position: 7, Length: 6}}, call.IndexHere); err != nil {
		t.Fatal(err)
	}
	n.drmesh(t, "file", "load", "main:stock", "--from", "two.txt", "--layout", "stock.dd", "--append", "--dir", "a")
	n.caughtUp(t, "a", "b")

	fails := func(args ...string) (string, int) {
		cmd := exec.CommandContext(ctx, binary, args...)
		cmd.Dir = n.dir
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	has := func(what, out string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), w) {
				t.Errorf("%s has no %q:\n%s", what, w, out)
			}
		}
	}
	const why = `index note of this module alone has the key "x " already`
	ls := n.drmesh(t, "parked", "ls", "--dir", "b")
	has("parked ls", ls, why)
	lines := strings.Split(strings.TrimSpace(ls), "\n")
	if len(lines) != 2 {
		t.Fatalf("one is parked:\n%s", ls)
	}
	id := strings.Fields(lines[1])[0]
	show := n.drmesh(t, "parked", "show", id[:12], "--dir", "b")
	has("parked show", show, "id "+id, `field article "nails"`, `field note "x"`, "by %a#m1", "reason index note")
	if out, code := fails("parked", "retry", id, "--dir", "b"); code != 5 {
		t.Errorf("retry: exit %d\n%s", code, out)
	} else {
		has("parked retry", out, id, "index note", "1 of 1 stay parked")
	}
	if out, code := fails("parked", "show", "0123", "--dir", "b"); code != 4 {
		t.Errorf("show of what is not: exit %d\n%s", code, out)
	}
	r := new(call.Reply)
	if err := b.Do(ctx, &call.Request{Call: "drmesh$delete_local_index", Path: "main:stock", Name: "note"}, r); err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	for _, c := range []string{"ls", "retry"} {
		if out := n.drmesh(t, "parked", c, "--dir", "b"); strings.Contains(out, id) {
			t.Errorf("parked %s without the index:\n%s", c, out)
		}
	}
	has("file dump", n.drmesh(t, "file", "dump", "main:stock", "--layout", "stock.dd", "--dir", "b"), "nails|x", "saw|x", "hammer|y")
}
