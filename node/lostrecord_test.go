package node

import (
	"context"
	"os"
	"strings"
	"testing"

	"drmesh/admin"
)

// lostMesh is a mesh whose owner was gone with three txns that nobody else had,
// and is back: they are in a lost-transaction file there.
func lostMesh(t *testing.T) (nodes []*Node, name string) {
	t.Helper()
	nodes = ownedMesh(t, " =on_rejoin divert\n", "%east#m1", "%west#m1", "%north#m1")
	put(t, nodes[0], "main:a", "one")
	converged(t, nodes, "main:a")
	cutOff(t, nodes[0], nodes[1:], true)
	put(t, nodes[0], "main:a", "two", "three", "four")
	dir := nodes[0].dir.path
	shut(t, nodes[0])
	eventually(t, "west follows", func() bool {
		_, err := engine{nodes[2]}.FailoverStart(context.Background(), admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim", AcceptLoss: true})
		return err == nil
	})
	nodes[0] = reopen(t, dir)
	cutOff(t, nodes[0], nodes[1:], false)
	eventually(t, "east is whole again", func() bool {
		l, err := engine{nodes[0]}.LostFiles(context.Background())
		return err == nil && len(l) == 1 && nodes[0].isReady(ledgerGroup(nodes[0]))
	})
	converged(t, nodes, "main:a")
	return nodes, "ledger.1.1"
}

// records is what a module says of lost-transaction files.
func records(t *testing.T, n *Node) []admin.LostFile {
	t.Helper()
	l, err := engine{n}.LostRecords(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openEverywhere(t *testing.T, nodes []*Node, open bool, replayed, discarded int) {
	t.Helper()
	for _, n := range nodes {
		eventually(t, "control tells it at "+n.dir.Module, func() bool {
			l := n.ctl.state().Lost
			return len(l) == 1 && (l[0].Closed == 0) == open && l[0].Replayed == replayed && l[0].Discarded == discarded
		})
		if l := records(t, n); len(l) != 1 || l[0].Open != open || l[0].Replays != replayed || l[0].Given != discarded || l[0].Txns != 3 || l[0].Module != "%east#m1" || l[0].Owner != "%east#m1" || l[0].Epoch != 1 {
			t.Errorf("lost-transaction files at %s: %+v", n.dir.Module, l)
		}
	}
}

// lostLine is what the check of a failover says of lost transactions.
func lostLine(t *testing.T, n *Node, to string) admin.CheckLine {
	t.Helper()
	check, err := engine{n}.FailoverCheck(context.Background(), admin.SwitchRequest{Group: "ledger", To: to})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range check.Checks {
		if l.Check == "lost" {
			return l
		}
	}
	t.Fatalf("no such line: %+v", check)
	return admin.CheckLine{}
}

// TestLostFilesAreKnownEverywhere from when they are made until their last
// transaction is reviewed; another failover warns while one is open.
func TestLostFilesAreKnownEverywhere(t *testing.T) {
	t.Parallel()
	nodes, name := lostMesh(t)
	ctx := context.Background()
	openEverywhere(t, nodes, true, 0, 0)
	if l := lostLine(t, nodes[1], "%north#m1"); l.Level != admin.Warn || l.Text != "lost transactions of earlier failovers are open: 3 in ledger.1.1 at %east#m1" {
		t.Errorf("check: %+v", l)
	}
	if err := (engine{nodes[0]}).Leave(ctx, false); class(err) != admin.Precondition || !strings.Contains(err.Error(), name) {
		t.Errorf("a module leaves with lost transactions: %v", err)
	}
	for _, n := range nodes[1:] {
		_, err := engine{n}.LostReplay(ctx, admin.LostChange{Name: name})
		if class(err) != admin.NotFound || admin.AsError(err).Hint != "ask %east#m1, which has it" {
			t.Errorf("replay at %s: %v", n.dir.Module, err)
		}
		if _, err := (engine{n}).LostDiscard(ctx, name); class(err) != admin.NotFound {
			t.Errorf("discard at %s: %v", n.dir.Module, err)
		}
	}
	before, err := os.ReadFile(nodes[0].lostPath(name))
	if err != nil {
		t.Fatal(err)
	}
	r, err := engine{nodes[0]}.LostReplay(ctx, admin.LostChange{Name: name})
	if err != nil || r.Replayed != 3 {
		t.Fatalf("replay: %+v, %v", r, err)
	}
	if l := lostLine(t, nodes[0], "%north#m1"); l.Level != admin.Pass {
		t.Errorf("check after the replay: %+v", l)
	}
	openEverywhere(t, nodes, false, 3, 0)
	if _, err := (engine{nodes[0]}).LostReplay(ctx, admin.LostChange{Name: name}); class(err) != admin.Precondition {
		t.Errorf("replayed twice: %v", err)
	}
	// Somebody brings the file of before the replay back.
	if err := os.WriteFile(nodes[0].lostPath(name), before, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func() error{
		"replay": func() error {
			_, err := engine{nodes[0]}.LostReplay(ctx, admin.LostChange{Name: name, Safe: true})
			return err
		},
		"discard": func() error { _, err := engine{nodes[0]}.LostDiscard(ctx, name); return err },
		"show":    func() error { _, err := engine{nodes[0]}.LostFile(ctx, name); return err },
	} {
		if err := try(); class(err) != admin.Precondition || !strings.Contains(err.Error(), "old copy: 3 of its transactions were replayed") {
			t.Errorf("%s of an old copy: %v", what, err)
		}
	}
	converged(t, nodes, "main:a")
	if got, err := content(nodes[2], "main:a"); err != nil || got != "one two three four" {
		t.Errorf("north has %q, %v", got, err)
	}
}

// TestLostFileThatWasChanged, or is at the wrong module, is used for nothing.
func TestLostFileThatWasChanged(t *testing.T) {
	t.Parallel()
	nodes, name := lostMesh(t)
	ctx := context.Background()
	openEverywhere(t, nodes, true, 0, 0)
	file := nodes[0].lostPath(name)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) []byte {
		t.Helper()
		if !strings.Contains(string(good), old) {
			t.Fatalf("the file has no %s:\n%s", old, good)
		}
		return []byte(strings.Replace(string(good), old, new, 1))
	}
	for what, b := range map[string][]byte{
		"another image":         edit(`"after": "dHdv"`, `"after": "dHdw"`),
		"said to be done":       edit(`"state": "open"`, `"state": "replayed"`),
		"a state of its own":    edit(`"state": "open"`, `"state": "maybe"`),
		"said to be closed":     edit(`"open": true`, `"open": false`),
		"another module's":      edit(`"module": "%east#m1"`, `"module": "%west#m1"`),
		"another mesh's":        edit(`"mesh": "`, `"mesh": "0`),
		"another group's":       edit(`"group": "ledger"`, `"group": "notes"`),
		"a field too many":      edit(`"epoch"`, `"more": 1, "epoch"`),
		"without a transaction": edit(`"txns": 3`, `"txns": 2`),
		"cut off":               good[:len(good)/2],
		"empty":                 {},
	} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (engine{nodes[0]}).LostReplay(ctx, admin.LostChange{Name: name, Safe: true}); class(err) != admin.Precondition {
			t.Errorf("%s: replay: %v", what, err)
		}
		if _, err := (engine{nodes[0]}).LostDiscard(ctx, name); class(err) != admin.Precondition {
			t.Errorf("%s: discard: %v", what, err)
		}
		if l := records(t, nodes[0]); len(l) != 1 || !l[0].Open {
			t.Errorf("%s: the list: %+v", what, l)
		}
	}
	// A copy at another module is not that module's.
	if err := os.MkdirAll(nodes[1].dir.file("lost"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(nodes[1].lostPath(name), good, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{name, "../" + name, ".hidden", "nosuch"} {
		if _, err := (engine{nodes[1]}).LostReplay(ctx, admin.LostChange{Name: bad}); err == nil {
			t.Errorf("replay of %s at another module", bad)
		}
	}
	if got, err := content(nodes[1], "main:a"); err != nil || got != "one" {
		t.Errorf("something was replayed: %q, %v", got, err)
	}
	// The file is gone: only discard helps, and says so to control.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := (engine{nodes[0]}).LostReplay(ctx, admin.LostChange{Name: name}); class(err) != admin.NotFound {
		t.Errorf("replay of a file that is gone: %v", err)
	}
	f, err := engine{nodes[0]}.LostDiscard(ctx, name)
	if err != nil || f.Open || f.Given != 3 {
		t.Errorf("discard of a file that is gone: %+v, %v", f, err)
	}
	openEverywhere(t, nodes, false, 0, 3)
}
