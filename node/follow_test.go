package node

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"drmesh/admin"
	"drmesh/origin"
)

// besideMesh is a mesh with a group that %east#m1 owns, %west#m1 may own, and
// %p#m1 and %q#m1 write beside it; with three witnesses, so that west alone of
// the four goes on with them.
func besideMesh(t *testing.T, more string) (east, west, p, q *Node) {
	t.Helper()
	var witnesses []*Node
	nodes := bareMesh(t, "%east#m1", "%west#m1", "%p#m1", "%q#m1")
	ctx := context.Background()
	for i := range 3 {
		tok, err := engine{nodes[0]}.CreateToken(ctx, admin.TokenRequest{Role: "witness"})
		if err != nil {
			t.Fatal(err)
		}
		dir := fmt.Sprintf("%s/w%d", shortDir(t), i)
		if err := Join(ctx, JoinOptions{Token: tok.Token, Dir: dir, Module: fmt.Sprintf("%%w#w%d", i), Listen: []string{freePort(t)}}); err != nil {
			t.Fatal(err)
		}
		witnesses = append(witnesses, reopen(t, dir))
	}
	applyTables(t, nodes[0], ownedTables+" =supplementary '%p#m1 %q#m1'\n =on_rejoin divert\n"+more)
	writable(t, nodes...)
	allVote(t, append(slices.Clone(nodes), witnesses...))
	eventually(t, "the owner has its lease", func() bool { return leased(nodes[0]) })
	return nodes[0], nodes[1], nodes[2], nodes[3]
}

// writes appends keyed records, and returns their keys.
func writesKeyed(t *testing.T, n *Node, path string, from, to int, what string) {
	t.Helper()
	c := program(t, n)
	port := opened(t, c, path)
	for i := from; i < to; i++ {
		if err := c.KeyedWrite(context.Background(), port, []byte(fmt.Sprintf("%04da %s", i, what))); err != nil {
			t.Fatalf("write %d at %s: %v", i, n.dir.Module, err)
		}
	}
}

func rewriteKeyed(t *testing.T, n *Node, path string, i int, what string) {
	t.Helper()
	c := program(t, n)
	port := opened(t, c, path)
	if _, err := c.KeyedRead(context.Background(), port, "id", []byte(fmt.Sprintf("%04d", i))); err != nil {
		t.Fatalf("read %d at %s: %v", i, n.dir.Module, err)
	}
	if err := c.SeqRewrite(context.Background(), port, []byte(fmt.Sprintf("%04da %s", i, what))); err != nil {
		t.Fatalf("rewrite %d at %s: %v", i, n.dir.Module, err)
	}
}

func recordsAt(t *testing.T, n *Node, path string) int64 {
	t.Helper()
	d, err := engine{n}.Digest(context.Background(), path)
	if err != nil {
		return -1
	}
	return int64(d.Records)
}

func readsAt(t *testing.T, n *Node, path string, i int, want string) {
	t.Helper()
	c := program(t, n)
	port := opened(t, c, path)
	got, err := c.KeyedRead(context.Background(), port, "id", []byte(fmt.Sprintf("%04d", i)))
	if want == "" && err != nil {
		return
	}
	if err != nil || string(got) != fmt.Sprintf("%04da %s", i, want) {
		t.Errorf("record %d at %s: %q, %v; expected %q", i, n.dir.Module, got, err, want)
	}
}

// caughtAt waits until a module has the streams that come to it as far as who
// writes them.
func caughtAt(t *testing.T, to *Node, from ...*Node) {
	t.Helper()
	eventually(t, to.dir.Module+" has all that comes to it", func() bool {
		have, st := to.j.Durable(), to.ctl.state()
		for _, n := range from {
			for s, p := range n.j.Tails() {
				if s.Group != 0 && st.Tables().AppliesHere(s, to.dir.Number) && have[s].Seq != p.Seq {
					return false
				}
			}
		}
		return true
	})
}

// TestFollowers: what p wrote after transactions that are lost with their owner
// rolls back with them, and what q wrote after that; also while p is away, as q
// has its entries. Or it stays. In both cases p and q come to hold the same.
func TestFollowers(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"follow", "stay"} {
		t.Run(mode, func(t *testing.T) { t.Parallel(); testFollowers(t, mode == "stay") })
	}
}

func testFollowers(t *testing.T, stay bool) {
	rule := ""
	if stay {
		rule = " =on_rollback stay\n"
	}
	east, west, p, q := besideMesh(t, rule)
	ctx := context.Background()
	keyedAt(t, east, "main:k")
	hasIndexes(t, "main:k", 2, east, west, p, q)
	writesKeyed(t, east, "main:k", 0, 20, "of east")
	caughtAt(t, p, east)
	writesKeyed(t, p, "main:k", 100, 110, "of p")
	rewriteKeyed(t, p, "main:k", 3, "rewritten at p")
	caughtAt(t, q, east, p)
	writesKeyed(t, q, "main:k", 200, 205, "of q")
	rewriteKeyed(t, east, "main:k", 3, "rewritten at east") // a conflict at p and q
	caughtAt(t, west, east)
	caughtAt(t, p, east, q)
	caughtAt(t, q, east, p)
	sameConflicts(t, []*Node{p, q})
	sameConflicts(t, []*Node{east, west})
	if n := recordsAt(t, west, "main:k"); n != 20 {
		t.Fatalf("%d records at west, which gets nothing of p and q", n)
	}
	if n := recordsAt(t, p, "main:k"); n != 35 {
		t.Fatalf("%d records at p", n)
	}

	// What west never gets.
	cutOff(t, west, []*Node{east, p, q}, true)
	writesKeyed(t, east, "main:k", 20, 30, "lost")
	rewriteKeyed(t, east, "main:k", 5, "lost")
	keyedAt(t, east, "main:lost")
	hasIndexes(t, "main:lost", 2, east, p, q)
	caughtAt(t, p, east)
	writesKeyed(t, p, "main:k", 110, 115, "of p after lost")
	rewriteKeyed(t, p, "main:k", 5, "of p after lost")
	rewriteKeyed(t, p, "main:k", 25, "of p after lost")
	caughtAt(t, q, east, p)
	rewriteKeyed(t, q, "main:k", 110, "of q after p after lost")
	writesKeyed(t, q, "main:k", 205, 207, "of q after lost")
	caughtAt(t, p, east, q)
	// No rule lets what stands in a lost file stay, nor what follows that.
	writesKeyed(t, p, "main:lost", 1, 4, "of p in a lost file")
	caughtAt(t, q, east, p)
	writesKeyed(t, q, "main:k", 207, 208, "of q after the lost file")
	caughtAt(t, p, east, q)
	dirs := map[*Node]string{east: east.dir.path, p: p.dir.path, q: q.dir.path}
	for _, n := range []*Node{east, p, q} {
		shut(t, n)
	}
	eventually(t, "control has a leader again", func() bool { return status(t, west).Quorum })
	eventually(t, "west owns the group", func() bool {
		_, err := engine{west}.FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim", AcceptLoss: true})
		return err == nil
	})
	eventually(t, "west writes", func() bool { return leased(west) })
	writesKeyed(t, west, "main:k", 50, 53, "of west")

	// q comes first. It has what p wrote.
	q = reopen(t, dirs[q])
	cutOff(t, west, []*Node{q}, false)
	eventually(t, "q has rolled back", func() bool {
		return len(lostAt(t, q)) > 0 && q.isReady(ledgerGroup(q)) && mayWrite(q)
	})
	caughtAt(t, q, west)
	want := map[string]int{"ledger.1.4": 14, "ledger.1.of3-1.4": 10, "ledger.1.of4-1.4": 4}
	if stay {
		want["ledger.1.of3-1.4"], want["ledger.1.of4-1.4"] = 3, 1
	}
	if got := lostAt(t, q); !maps.Equal(got, want) {
		t.Errorf("lost-transaction files at q: %v, expected %v", got, want)
	}
	atQ := int64(20 + 3 + 10 + 5)
	if stay {
		atQ += 5 + 1 + 2
	}
	if n := recordsAt(t, q, "main:k"); n != atQ {
		t.Errorf("%d records at q, %d expected", n, atQ)
	}
	accountHolds(t, q)

	// p and east come back.
	p, east = reopen(t, dirs[p]), reopen(t, dirs[east])
	cutOff(t, west, []*Node{p, east}, false)
	eventually(t, "p and east have rolled back", func() bool {
		return len(lostAt(t, p)) == len(want) && len(lostAt(t, east)) == 1 && mayWrite(p) && p.isReady(ledgerGroup(p)) && east.isReady(ledgerGroup(east))
	})
	writesKeyed(t, west, "main:k", 53, 55, "of west")
	writesKeyed(t, p, "main:k", 120, 122, "of p again")
	writesKeyed(t, q, "main:k", 220, 222, "of q again")
	caughtAt(t, q, west, p)
	caughtAt(t, p, west, q)
	caughtAt(t, east, west)
	converged(t, []*Node{p, q}, "main:k")
	converged(t, []*Node{east, west}, "main:k")
	sameConflicts(t, []*Node{p, q})
	for _, n := range []*Node{p, q} {
		if stay {
			readsAt(t, n, "main:k", 5, "of p after lost")
			readsAt(t, n, "main:k", 25, "of p after lost")
			readsAt(t, n, "main:k", 110, "of q after p after lost")
		} else {
			readsAt(t, n, "main:k", 5, "of east")
			readsAt(t, n, "main:k", 25, "")
			readsAt(t, n, "main:k", 110, "")
		}
	}
	for _, n := range []*Node{east, west} {
		if got := recordsAt(t, n, "main:k"); got != 25 {
			t.Errorf("%d records at %s, 25 expected", got, n.dir.Module)
		}
	}
	for _, n := range []*Node{p, q} {
		if s := ownStream(n.ctl.state(), ledgerGroup(n), n.dir.Number); s.Incarnation != 2 {
			t.Errorf("%s writes %v, expected incarnation 2", n.dir.Module, s)
		}
	}
	// Who has not undone it yet tells of more of a stream that has ended: that is
	// no copy restored.
	for _, n := range []*Node{p, east} {
		ended := origin.Stream{Group: ledgerGroup(n), Module: n.dir.Number, Incarnation: 1}
		sink{n}.Ahead(q.dir.Number, ended, 1000)
		for _, x := range status(t, n).Alarms {
			if strings.Contains(x, "not current") {
				t.Errorf("alarm at %s: %s", n.dir.Module, x)
			}
		}
	}
	if !stay {
		// p commits again what can be: not what stood in the lost file, nor the
		// records that it had rewritten after east.
		r, err := engine{p}.LostReplay(ctx, admin.LostChange{Name: "ledger.1.of3-1.3", Safe: true})
		if err != nil || r.Replayed != 5 || r.Left != 5 {
			t.Errorf("replay at p: %+v, %v", r, err)
		}
		caughtAt(t, q, p)
		r, err = engine{q}.LostReplay(ctx, admin.LostChange{Name: "ledger.1.of4-1.4", Safe: true})
		if err != nil || r.Replayed != 4 || r.Left != 0 {
			t.Errorf("replay at q: %+v, %v", r, err)
		}
		// q's copy of p's: it was done.
		r, err = engine{q}.LostReplay(ctx, admin.LostChange{Name: "ledger.1.of3-1.4", Safe: true})
		if err != nil || r.Replayed != 0 || r.Superseded != 4 || r.Left != 6 {
			t.Errorf("replay of p's at q: %+v, %v", r, err)
		}
	}
	caughtAt(t, p, west, q)
	caughtAt(t, q, west, p)
	converged(t, []*Node{p, q}, "main:k")
}

// lostAt is how many transactions the lost-transaction files of a module have.
func lostAt(t *testing.T, n *Node) map[string]int {
	t.Helper()
	l, err := engine{n}.LostFiles(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]int{}
	for _, f := range l {
		m[f.Name] = f.Txns
	}
	return m
}

// TestRollBackOfASnapshot: a module joined while what is lost was there, and took
// a snapshot with it. It rolls back all the same; the transactions themselves are
// in the file of who wrote them.
func TestRollBackOfASnapshot(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nodes := bareMesh(t, "%east#m1", "%west#m1")
	east, west := nodes[0], nodes[1]
	join := func(module, role string) *Node {
		t.Helper()
		tok, err := engine{east}.CreateToken(ctx, admin.TokenRequest{Role: role})
		if err != nil {
			t.Fatal(err)
		}
		dir := shortDir(t) + "/j"
		if err := Join(ctx, JoinOptions{Token: tok.Token, Dir: dir, Module: module, Listen: []string{freePort(t)}}); err != nil {
			t.Fatal(err)
		}
		return reopen(t, dir)
	}
	witness := join("%third#w1", "witness")
	applyTables(t, east, ownedTables+" =on_rejoin divert\n")
	writable(t, nodes...)
	allVote(t, []*Node{east, west, witness})
	eventually(t, "the owner has its lease", func() bool { return leased(east) })
	keyedAt(t, east, "main:k")
	writesKeyed(t, east, "main:k", 0, 20, "of east")
	caughtAt(t, west, east)
	dirs := map[*Node]string{west: west.dir.path, east: east.dir.path}
	shut(t, west)
	writesKeyed(t, east, "main:k", 20, 30, "lost")
	late := join("%late#m1", "member")
	eventually(t, "late has the group", func() bool { return recordsAt(t, late, "main:k") == 30 && mayWrite(late) })
	writesKeyed(t, east, "main:k", 30, 33, "lost")
	caughtAt(t, late, east)
	dirs[late] = late.dir.path
	shut(t, east)
	shut(t, late)
	west = reopen(t, dirs[west])
	eventually(t, "west owns the group", func() bool {
		_, err := engine{west}.FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim", AcceptLoss: true})
		return err == nil
	})
	eventually(t, "west writes", func() bool { return leased(west) })
	writesKeyed(t, west, "main:k", 50, 53, "of west")
	late = reopen(t, dirs[late])
	eventually(t, "late has rolled back", func() bool { return recordsAt(t, late, "main:k") == 23 && late.isReady(ledgerGroup(late)) })
	if got, want := lostAt(t, late), map[string]int{"ledger.1.4": 3}; !maps.Equal(got, want) {
		t.Errorf("lost-transaction files at late: %v, expected %v", got, want)
	}
	east = reopen(t, dirs[east])
	eventually(t, "east has rolled back", func() bool { return len(lostAt(t, east)) == 1 && east.isReady(ledgerGroup(east)) })
	if got, want := lostAt(t, east), map[string]int{"ledger.1.1": 13}; !maps.Equal(got, want) {
		t.Errorf("lost-transaction files at east: %v, expected %v", got, want)
	}
	if r, err := (engine{east}).LostReplay(ctx, admin.LostChange{Name: "ledger.1.1"}); err != nil || r.Replayed != 13 {
		t.Errorf("replay: %+v, %v", r, err)
	}
	converged(t, []*Node{east, west, late}, "main:k")
}

// TestMoreLost: a crash ended the undoing, and the module wrote more before it
// learned of the end again. What no file has yet is put into another.
func TestMoreLost(t *testing.T) {
	t.Parallel()
	n := bareMesh(t, "%east#m1")[0]
	if err := os.MkdirAll(n.dir.file("lost"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"ledger.1.of3-1.1 a b", "", "ledger.1.of3-1.more1.1 c", "", "ledger.1.of3-1.more2.1 d"} {
		f := &admin.LostFile{Format: lostFormat, Mesh: n.dir.MeshID, Module: n.dir.Module, Group: "ledger", Name: "ledger.1.of3-1.1"}
		for _, dot := range []string{"a", "b", "c", "d"}[:2+i/2] {
			f.Transactions = append(f.Transactions, admin.LostTxn{Dot: dot, State: "open"})
		}
		if err := n.moreLost(f); err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(f.Transactions) > 0 {
			got = f.Name
			for _, x := range f.Transactions {
				got += " " + x.Dot
			}
			if err := n.writeLost(f); err != nil {
				t.Fatal(err)
			}
		}
		if got != want {
			t.Errorf("attempt %d: %q, expected %q", i, got, want)
		}
	}
}

// TestDonors: modules that join take the group from one all of whose txns go to
// them: who may own it gets nothing of p's, and another supplementary module has
// all of it. The journal of what p wrote stays, from its beginning.
func TestDonors(t *testing.T) {
	t.Setenv("DRMESH_JOURNAL_KEEP", "0")
	ctx := context.Background()
	nodes := bareMesh(t, "%east#m1", "%p#m1")
	east, p := nodes[0], nodes[1]
	applyTables(t, east, ownedTables+" =supplementary %p*\n")
	writable(t, nodes...)
	eventually(t, "the owner has its lease", func() bool { return leased(east) })
	keyedAt(t, east, "main:k")
	hasIndexes(t, "main:k", 2, east, p)
	writesKeyed(t, east, "main:k", 0, 20, "of east")
	caughtAt(t, p, east)
	writesKeyed(t, p, "main:k", 100, 110, "of p")
	ofEast := origin.Stream{Group: ledgerGroup(east), Module: east.dir.Number, Incarnation: 1}
	eventually(t, "p lets go of its journal", func() bool { return p.j.Pruned(ofEast) > 10 })
	if q := p.j.Pruned(ownStream(p.ctl.state(), ledgerGroup(p), p.dir.Number)); q > 0 {
		t.Errorf("p let go of what it wrote, up to %d", q)
	}
	join := func(module string) *Node {
		t.Helper()
		tok, err := engine{p}.CreateToken(ctx, admin.TokenRequest{})
		if err != nil {
			t.Fatal(err)
		}
		dir := shortDir(t) + "/j"
		if err := Join(ctx, JoinOptions{Token: tok.Token, Dir: dir, Module: module, Listen: []string{freePort(t)}}); err != nil {
			t.Fatal(err)
		}
		return reopen(t, dir)
	}
	west, p2 := join("%west#m1"), join("%p2#m1")
	writable(t, p2)
	eventually(t, "west is whole", func() bool { return west.isReady(ledgerGroup(west)) && recordsAt(t, west, "main:k") == 20 })
	eventually(t, "p2 is whole", func() bool { return recordsAt(t, p2, "main:k") == 30 })
	writesKeyed(t, p2, "main:k", 200, 205, "of p2")
	caughtAt(t, p, p2, east)
	caughtAt(t, west, east)
	converged(t, []*Node{p, p2}, "main:k")
	converged(t, []*Node{east, west}, "main:k")
	if n := recordsAt(t, east, "main:k"); n != 20 {
		t.Errorf("%d records at east", n)
	}
	for s := range west.j.Tails() {
		if s.Module == p.dir.Number && s.Group == ledgerGroup(west) || s.Module == p2.dir.Number && s.Group == ledgerGroup(west) {
			t.Errorf("west has %v", s)
		}
	}
	// Asked for it, p does not give to west what does not go there.
	err := west.fetchFrom(ledgerGroup(west), p.dir.Number)
	if err == nil {
		t.Error("west took p's state")
	}
}
