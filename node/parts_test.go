package node

import (
	"context"
	"fmt"
	"testing"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// TestATransactionThatLostAPart: of a transaction of three writes two lose. Any
// of its conflicts shows all three with their images and what became of them,
// alike at all modules; without the journal, those that lost.
func TestATransactionThatLostAPart(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	keyedAt(t, nodes[0], "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	east, west := program(t, nodes[0]), program(t, nodes[1])
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r := new(call.Reply)
	if err := east.Do(ctx, &call.Request{Call: "s$set_transaction_file", Path: "main:k", Switches: 1}, r); err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	converged(t, nodes, "main:k")
	pe := opened(t, east, "main:k")
	must(east.Start(ctx))
	for i := range 3 {
		must(east.KeyedWrite(ctx, pe, fmt.Appendf(nil, "000%da base", i)))
	}
	must(east.Commit(ctx))
	converged(t, nodes, "main:k")
	cutOff(t, nodes[1], nodes[:1], true)
	must(east.Start(ctx))
	for i := range 3 {
		k := fmt.Appendf(nil, "000%d", i)
		must(east.KeyedRewrite(ctx, pe, k, fmt.Appendf(nil, "000%da east", i)))
	}
	must(east.Commit(ctx))
	// West writes later by any clock: what it has heard of moves its stamps.
	pw := opened(t, west, "main:k")
	must(west.Start(ctx))
	for i := 1; i < 3; i++ {
		k := fmt.Appendf(nil, "000%d", i)
		must(west.KeyedRewrite(ctx, pw, k, fmt.Appendf(nil, "000%da west", i)))
	}
	must(west.Commit(ctx))
	cutOff(t, nodes[1], nodes[:1], false)
	converged(t, nodes, "main:k")
	for _, n := range nodes {
		l := mustConflicts(t, n, "main")
		if len(l) != 2 || l[0].Txn != l[1].Txn || l[0].Txn == "" {
			t.Fatalf("%s: conflicts %+v", n.dir.Module, l)
		}
		for _, x := range l {
			c, err := engine{n}.Conflict(ctx, x.ID)
			must(err)
			// Who lost is told by the stamps; both transactions are of one
			// module, and east's has a write that nobody disputed.
			whole := map[string]int{"%east#m1": 3, "%west#m1": 2}[c.LoserBy]
			if len(c.Parts) != whole || c.PartsOnly != "" {
				t.Fatalf("%s: parts %+v (%s)", n.dir.Module, c.Parts, c.PartsOnly)
			}
			lost := 0
			for _, p := range c.Parts {
				if p.Conflict == l[0].ID || p.Conflict == l[1].ID {
					lost++
				} else if p.Conflict != "" || p.State != "" || string(p.Data) != "0000a east" {
					t.Errorf("%s: part %+v", n.dir.Module, p)
				}
				if p.Kind != "write" || p.File != "k" {
					t.Errorf("%s: part %+v", n.dir.Module, p)
				}
			}
			if lost != 2 {
				t.Errorf("%s: %d lost of %+v", n.dir.Module, lost, c.Parts)
			}
			e, err := n.entryOf(x.ID)
			must(err)
			var without admin.Conflict
			must(n.lostParts(e, &without))
			if len(without.Parts) != 2 || without.PartsOnly != "lost" || without.Parts[0].Conflict == without.Parts[1].Conflict || len(without.Parts[0].Data) == 0 {
				t.Errorf("%s, of the ledger: %+v", n.dir.Module, without)
			}
		}
	}
}
