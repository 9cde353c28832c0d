package node

import (
	"context"
	"fmt"
	"testing"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// TestSalvage: a module that is cut off writes a new record, a rewrite of one
// that the others change meanwhile, one of a record that the others delete, and
// a transaction of several kinds, and is put out of the mesh. Of its directory the
// new record is written again; the others' writes stay, and the rest is listed
// whole.
func TestSalvage(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	east, west, north := nodes[0], nodes[1], nodes[2]
	ctx := context.Background()
	allVote(t, nodes)
	keyedAt(t, east, "main:k")
	r := new(call.Reply)
	if err := program(t, east).Do(ctx, &call.Request{Call: "s$set_transaction_file", Path: "main:k", Switches: 1}, r); err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	write := func(n *Node, do func(c call.Client, port int) error) {
		t.Helper()
		c := program(t, n)
		port := opened(t, c, "main:k")
		if err := c.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := do(c, port); err != nil {
			t.Fatalf("at %s: %v", n.dir.Module, err)
		}
		if err := c.Commit(ctx); err != nil {
			t.Fatalf("commit at %s: %v", n.dir.Module, err)
		}
	}
	add := func(i int, what string) func(c call.Client, port int) error {
		return func(c call.Client, port int) error {
			return c.KeyedWrite(ctx, port, fmt.Appendf(nil, "%04da %s", i, what))
		}
	}
	change := func(i int, what string) func(c call.Client, port int) error {
		return func(c call.Client, port int) error {
			if _, err := c.KeyedRead(ctx, port, "id", fmt.Appendf(nil, "%04d", i)); err != nil {
				return err
			}
			if what == "" {
				return c.SeqDelete(ctx, port)
			}
			return c.SeqRewrite(ctx, port, fmt.Appendf(nil, "%04da %s", i, what))
		}
	}
	for i := range 5 {
		write(east, add(i, "old"))
	}
	converged(t, nodes, "main:k")
	cutOff(t, north, nodes[:2], true)
	write(north, add(9, "of north"))
	write(north, change(0, "of north"))
	write(north, change(1, "of north"))
	write(north, change(2, "of north"))
	write(north, change(9, "of north again"))
	write(north, func(c call.Client, port int) error {
		for _, do := range []func(call.Client, int) error{change(3, "of north"), change(0, "of north again"), add(8, "of north")} {
			if err := do(c, port); err != nil {
				return err
			}
		}
		return nil
	})
	write(north, change(4, ""))
	write(east, change(0, "of east"))
	write(east, change(1, ""))
	converged(t, nodes[:2], "main:k")
	from := admin.LostSalvage{From: north.dir.path}
	if _, err := (engine{east}).LostSalvage(ctx, from); class(err) != admin.Precondition {
		t.Errorf("of a member: %v", err)
	}
	if err := (engine{east}).Remove(ctx, "%north#m1"); err != nil {
		t.Fatal(err)
	}
	if _, err := (engine{east}).LostSalvage(ctx, from); class(err) != admin.Precondition {
		t.Errorf("of a directory that is served: %v", err)
	}
	shut(t, north)
	for _, bad := range []string{"", "relative", t.TempDir()} {
		if _, err := (engine{east}).LostSalvage(ctx, admin.LostSalvage{From: bad}); err == nil {
			t.Errorf("of %q: %v", bad, err)
		}
	}
	var l []admin.LostFile
	eventually(t, "its streams have their ends", func() (ok bool) {
		var err error
		l, err = engine{east}.LostSalvage(ctx, from)
		return err == nil
	})
	if len(l) != 1 || l[0].Txns != 7 || !l[0].Open || !l[0].Salvaged || l[0].Origin != "%north#m1" {
		t.Fatalf("salvaged: %+v", l)
	}
	if more, err := (engine{east}).LostSalvage(ctx, from); err != nil || len(more) != 0 {
		t.Errorf("a second time: %+v, %v", more, err)
	}
	f, err := engine{east}.LostFile(ctx, l[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	var verdicts []string
	for _, x := range f.Transactions {
		verdicts = append(verdicts, x.Verdict)
	}
	// The second change of record 9 is safe once the first is there.
	if got := fmt.Sprint(verdicts); got != "[safe conflicts conflicts safe conflicts conflicts safe]" {
		t.Errorf("verdicts %s", got)
	}
	res, err := engine{east}.LostReplay(ctx, admin.LostChange{Name: f.Name, Safe: true})
	if err != nil || res.Replayed != 4 || res.Left != 3 {
		t.Errorf("replayed: %+v, %v", res, err)
	}
	converged(t, nodes[:2], "main:k")
	for _, n := range []*Node{east, west} {
		for i, want := range map[int]string{0: "of east", 1: "", 2: "of north", 3: "old", 4: "", 8: "", 9: "of north again"} {
			readsAt(t, n, "main:k", i, want)
		}
		if got := recordsAt(t, n, "main:k"); got != 4 {
			t.Errorf("%d records at %s", got, n.dir.Module)
		}
	}
	if f, err = (engine{east}).LostFile(ctx, f.Name); err != nil || !f.Open || f.Replays != 4 {
		t.Errorf("the file after it: %+v, %v", f, err)
	}
	if c, err := (engine{west}).Conflicts(ctx, ""); err != nil || len(c) != 0 {
		t.Errorf("conflicts: %v, %v", c, err)
	}
	// Control decides although one of its three voters is gone.
	eventually(t, "the other knows of it", func() bool {
		l, err := engine{west}.LostRecords(ctx)
		return err == nil && len(l) == 1 && l[0].Open && l[0].Replays == 4
	})
}
