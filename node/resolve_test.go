package node

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"drmesh/admin"
)

// TestResolve has two modules write the same records while they are cut off,
// and a person decide: what is shown stays, the loser is written anew, a delete
// stays or is undone, a loser that was replaced unread is dealt with. Each
// conflict is closed at all modules, and every operation is still in one class.
func TestResolve(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	keyedAt(t, nodes[0], "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	east, west := program(t, nodes[0]), program(t, nodes[1])
	pe, pw := opened(t, east, "main:k"), opened(t, west, "main:k")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const keys = 6
	for i := range keys {
		must(east.KeyedWrite(ctx, pe, fmt.Appendf(nil, "%04da base", i)))
	}
	converged(t, nodes, "main:k")
	cutOff(t, nodes[1], []*Node{nodes[0], nodes[2]}, true)
	for i := range keys {
		k := fmt.Appendf(nil, "%04d", i)
		must(east.KeyedRewrite(ctx, pe, k, fmt.Appendf(nil, "%04da east", i)))
		if i == 2 || i == 3 {
			must(west.KeyedDelete(ctx, pw, k))
		} else {
			must(west.KeyedRewrite(ctx, pw, k, fmt.Appendf(nil, "%04da west", i)))
		}
	}
	// Of the last a third version stands: north's, who has seen east's.
	north := program(t, nodes[2])
	eventually(t, "north has what east wrote", func() bool { return applied(nodes[0], nodes[2]) })
	pn := opened(t, north, "main:k")
	must(north.KeyedRewrite(ctx, pn, []byte("0005"), []byte("0005a north")))
	cutOff(t, nodes[1], []*Node{nodes[0], nodes[2]}, false)
	converged(t, nodes, "main:k")

	// Unread, the loser of the fifth is replaced at north.
	must(north.KeyedRewrite(ctx, pn, []byte("0004"), []byte("0004a again")))
	converged(t, nodes, "main:k")

	list := mustConflicts(t, nodes[2], "main")
	if len(list) != keys {
		t.Fatalf("%d conflicts: %+v", len(list), list)
	}
	by := map[string]*admin.Conflict{}
	for i := range list {
		c, err := engine{nodes[2]}.Conflict(ctx, list[i].ID)
		must(err)
		by[string(append(c.LoserData, c.Data...)[:4])] = c
	}
	if c := by["0000"]; c.State != "open" || len(c.Standing) != 2 || c.Would["latest"] != c.Winner || c.Would["earliest"] != c.Loser || len(c.Would) != 3 {
		t.Errorf("the first: %+v", c)
	}
	if c := by["0004"]; c.State != "superseded" || string(c.Shown) != "0004a again" || c.Would != nil {
		t.Errorf("what was replaced unread: %+v", c)
	}
	decide := func(n *Node, key string, replay bool) *admin.Conflict {
		t.Helper()
		e := engine{n}
		dry, err := e.Resolve(ctx, admin.ConflictDecision{ID: by[key].ID, Replay: replay, DryRun: true}, "alice")
		must(err)
		c, err := e.Resolve(ctx, admin.ConflictDecision{ID: by[key].ID, Replay: replay}, "alice")
		must(err)
		if c.State != "closed" || c.ClosedBy != "drmesh conflict: alice" || c.ClosedAt == nil || string(c.Shown) != string(dry.Shown) || (c.Shown == nil) != (dry.Shown == nil) {
			t.Errorf("%s: %+v, and was to show %q", key, c, dry.Shown)
		}
		if _, err := e.Resolve(ctx, admin.ConflictDecision{ID: by[key].ID}, "bob"); class(err) != admin.Precondition {
			t.Errorf("%s, decided again: %v", key, err)
		}
		return c
	}
	shown := map[string]string{}
	for key, c := range by {
		shown[key] = string(c.Shown)
	}
	decide(nodes[0], "0000", false)
	decide(nodes[1], "0001", true)
	decide(nodes[2], "0002", false) // one of them a delete
	decide(nodes[0], "0003", true)
	decide(nodes[1], "0004", true)
	decide(nodes[2], "0005", false)
	converged(t, nodes, "main:k")
	for _, n := range nodes {
		if l := mustConflicts(t, n, "main"); len(l) != 0 {
			t.Errorf("%s still lists %+v", n.dir.Module, l)
		}
		for key, was := range by {
			c, err := engine{n}.Conflict(ctx, was.ID)
			must(err)
			if c.State != "closed" || c.ClosedBy != "drmesh conflict: alice" || string(c.LoserData) != string(was.LoserData) {
				t.Errorf("%s, %s: %+v", n.dir.Module, key, c)
			}
			want := shown[key]
			if slices.Contains([]string{"0001", "0003", "0004"}, key) {
				want = string(was.LoserData)
			}
			if string(c.Shown) != want {
				t.Errorf("%s, %s shows %q, not %q", n.dir.Module, key, c.Shown, want)
			}
		}
		a := accountHolds(t, n)
		closed := int64(0)
		for _, l := range a.Lines {
			closed += l.Closed
		}
		if closed != keys {
			t.Errorf("%s counts %d closed", n.dir.Module, closed)
		}
	}

	// Who decided on what does not stand any more is told so.
	cutOff(t, nodes[1], []*Node{nodes[0], nodes[2]}, true)
	must(east.KeyedRewrite(ctx, pe, []byte("0000"), []byte("0000a east 2")))
	must(west.KeyedRewrite(ctx, pw, []byte("0000"), []byte("0000a west 2")))
	cutOff(t, nodes[1], []*Node{nodes[0], nodes[2]}, false)
	converged(t, nodes, "main:k")
	c := mustConflicts(t, nodes[0], "main")
	if len(c) != 1 {
		t.Fatalf("conflicts: %+v", c)
	}
	must(north.KeyedRewrite(ctx, pn, []byte("0000"), []byte("0000a seen")))
	if c := mustConflicts(t, nodes[2], "main"); len(c) != 1 || c[0].State != "superseded" {
		t.Errorf("replaced by one who was shown the winner: %+v", c)
	}
	if _, err := (engine{nodes[0]}).Resolve(ctx, admin.ConflictDecision{ID: "ffff"}, "alice"); class(err) != admin.NotFound {
		t.Errorf("a conflict that is not there: %v", err)
	}
}
