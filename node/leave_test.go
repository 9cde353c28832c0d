package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// TestLeave takes a module out of a mesh of three: what it wrote stays, what it
// had not handed on is asked about, and the others go on without it.
func TestLeave(t *testing.T) {
	t.Setenv("DRMESH_JOURNAL_KEEP", "0")
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	allVote(t, nodes)
	west := nodes[1]
	put(t, west, "main:audit", "w1")
	converged(t, nodes, "main:audit")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cut := func(paused bool) {
		for _, peer := range []string{"%east#m1", "%north#m1"} {
			if err := (engine{west}).SetLink(ctx, admin.LinkChange{A: "%west#m1", B: peer, Paused: paused}); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut(true)
	put(t, west, "main:audit", "w2")
	if err := (engine{west}).Leave(ctx, false); class(err) != admin.Precondition {
		t.Errorf("leaving with what nobody else has: %v", err)
	}
	cut(false)
	converged(t, nodes, "main:audit")
	eventually(t, "west leaves", func() bool {
		err := engine{west}.Leave(ctx, false)
		if err != nil && class(err) != admin.Precondition { // acknowledgements are under way
			t.Fatal(err)
		}
		return err == nil
	})
	dir := west.dir.path
	shut(t, west)
	var a *admin.Error
	if n, err := Open(ctx, ServeOptions{Dir: dir}); !errors.As(err, &a) || a.Code != "left" {
		t.Errorf("serving a directory that left: %v", err)
		if n != nil {
			n.Close()
		}
	}
	rest := []*Node{nodes[0], nodes[2]}
	for _, n := range rest {
		eventually(t, n.dir.Module+" goes on", func() bool {
			for _, m := range status(t, n).Members {
				if m.Module == "%west#m1" && (m.Status == "member" || m.Status == "leaving") {
					return false
				}
			}
			return true
		})
		put(t, n, "main:audit", "of"+n.dir.Module[1:2])
	}
	converged(t, rest, "main:audit")
	if got, err := content(rest[1], "main:audit"); err != nil || !strings.HasPrefix(got, "w1 w2 ") || len(got) != len("w1 w2 ofe ofn") {
		t.Errorf("after west left: %q, %v", got, err)
	}
	stream := rest[0].ownStreams()[0]
	upto := rest[0].j.Tail(stream).Seq
	eventually(t, "journals do not wait for who left", func() bool { return rest[0].j.Pruned(stream) >= upto })
	works(t, rest, "after")
}

// TestTombstonesGo deletes and waits until nothing concurrent can still come:
// then the deletions leave no trace, at any module, and what was deleted may
// be created again.
func TestTombstonesGo(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	keyedAt(t, nodes[0], "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	ctx := context.Background()
	ports := make([]int, len(nodes))
	cs := make([]call.Client, len(nodes))
	for i, n := range nodes {
		cs[i] = program(t, n)
		ports[i] = opened(t, cs[i], "main:k")
	}
	standing := func(n *Node) (all, gone int64) {
		f, err := engine{n}.File(ctx, "main:k")
		if err != nil {
			t.Fatal(err)
		}
		a := accountHolds(t, n)
		live := int64(0)
		for _, l := range a.Lines {
			live += l.Live + l.Open
			gone += l.Deleted
		}
		// The catalog has registers of its own: claim, name, two indexes.
		return live - f.Records, gone
	}
	base, _ := standing(nodes[0])
	for round := range 2 {
		for i := range 60 {
			n := i % len(nodes)
			if err := cs[n].KeyedWrite(ctx, ports[n], []byte(fmt.Sprintf("%04da round %d", i, round))); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all is applied", func() bool { return applied(nodes...) })
		for i := range 60 {
			n := (i + 1) % len(nodes)
			if err := cs[n].KeyedDelete(ctx, ports[n], []byte(fmt.Sprintf("%04d", i))); err != nil {
				t.Fatal(err)
			}
		}
		converged(t, nodes, "main:k")
		for _, n := range nodes {
			eventually(t, "no tombstone stands at "+n.dir.Module, func() bool { all, _ := standing(n); return all == base })
			if all, gone := standing(n); gone < int64(60*(round+1)) {
				t.Errorf("%s: %d standing, %d deleted by the account", n.dir.Module, all, gone)
			}
		}
	}
	converged(t, nodes, "main:k")
	sameConflicts(t, nodes)
}

// TestTombstonesWaitForWhoIsAway keeps deletions while a module that may still
// write is out of reach, so that nothing that it has comes back to life.
func TestTombstonesWaitForWhoIsAway(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	keyedAt(t, nodes[0], "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	ctx := context.Background()
	ce, cw := program(t, nodes[0]), program(t, nodes[1])
	pe, pw := opened(t, ce, "main:k"), opened(t, cw, "main:k")
	for i := range 10 {
		if err := ce.KeyedWrite(ctx, pe, []byte(fmt.Sprintf("%04da first", i))); err != nil {
			t.Fatal(err)
		}
	}
	converged(t, nodes, "main:k")
	cut := func(paused bool) {
		for _, peer := range []string{"%east#m1", "%north#m1"} {
			if err := (engine{nodes[1]}).SetLink(ctx, admin.LinkChange{A: "%west#m1", B: peer, Paused: paused}); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut(true)
	for i := range 10 {
		if err := ce.KeyedDelete(ctx, pe, []byte(fmt.Sprintf("%04d", i))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "north has the deletions", func() bool { return applied(nodes[0], nodes[2]) })
	for i := range 5 {
		if err := cw.KeyedRewrite(ctx, pw, nil, []byte(fmt.Sprintf("%04db of west", i))); err != nil {
			t.Fatal(err)
		}
	}
	// Housekeeping looks at the deletions several times meanwhile.
	looked := nodes[0].heads.all()[nodes[0].ownStreams()[0]].Floor
	eventually(t, "some seconds of heads", func() bool {
		return nodes[0].heads.all()[nodes[0].ownStreams()[0]].Floor.Millis() > looked.Millis()+2500
	})
	cut(false)
	converged(t, nodes, "main:k")
	if l := sameConflicts(t, nodes); len(l) != 5 {
		t.Errorf("%d conflicts, 5 records were rewritten at west and deleted at east: %+v", len(l), l)
	}
}
