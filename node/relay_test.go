package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/origin"
)

// linkedMesh makes a mesh with share main in which each module has links with
// the listed ones alone.
func linkedMesh(t testing.TB, names []string, peers map[string]string) []*Node {
	t.Helper()
	nodes := bareMesh(t, names...)
	text := mainTables
	for _, m := range names {
		text += fmt.Sprintf("/=record_type module\n =module %s\n =peers '%s'\n", m, peers[m])
	}
	plan, err := engine{nodes[0]}.ControlApply(context.Background(), admin.ControlChange{Timeout: 20 * time.Second, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Lacking) > 0 {
		t.Fatalf("without the epoch: %v", plan.Lacking)
	}
	writable(t, nodes...)
	return nodes
}

func ringOfFive() (names []string, peers map[string]string) {
	const n = 5
	peers = map[string]string{}
	name := func(i int) string {
		return [...]string{"%east#m1", "%south#m1", "%west#m1", "%north#m1", "%mid#m1"}[(i+n)%n]
	}
	for i := range n {
		names = append(names, name(i))
		peers[name(i)] = name(i-1) + " " + name(i+1)
	}
	return names, peers
}

// arrived counts the txns that came to a module over its links, those too
// that it had already.
func arrived(n *Node) (c int64) {
	for _, l := range n.mesh.Links() {
		c += l.Received + l.Dropped
	}
	return c
}

// TestPromise2Once sends the txns of five modules round a ring: each takes
// effect once at each module, and its bytes come in once.
func TestPromise2Once(t *testing.T) {
	t.Parallel()
	names, peers := ringOfFive()
	nodes := linkedMesh(t, names, peers)
	keyedAt(t, nodes[0], "main:ring")
	hasIndexes(t, "main:ring", 2, nodes...)
	eventually(t, "quiet", func() bool { return applied(nodes...) })
	before := make([]int64, len(nodes))
	start := nodes[0].j.Durable()
	for i, n := range nodes {
		before[i] = arrived(n)
	}
	const each = 400
	var wg sync.WaitGroup
	for i, n := range nodes {
		c := program(t, n)
		port := opened(t, c, "main:ring")
		wg.Add(1)
		go func() {
			defer wg.Done()
			for r := range each {
				if err := c.KeyedWrite(context.Background(), port, []byte(fmt.Sprintf("%d%03dk of module %d", i, r, i))); err != nil {
					t.Errorf("write %d at %s: %v", r, n.dir.Module, err)
					return
				}
			}
		}()
	}
	wg.Wait()
	converged(t, nodes, "main:ring")
	end := nodes[0].j.Durable()
	total := int64(0)
	for s, p := range end {
		if s.Group != 0 {
			total += int64(p.Seq - start[s].Seq)
		}
	}
	if total < each*int64(len(nodes)) {
		t.Errorf("%d txns in all, at least %d were written", total, each*len(nodes))
	}
	for i, n := range nodes {
		seen := map[origin.Dot]int{}
		err := n.j.Local(0, func(_ uint64, s origin.Stream, first origin.Seq, count int) bool {
			for k := range count {
				seen[origin.Dot{Stream: s, Seq: first + origin.Seq(k)}]++
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		for d, c := range seen {
			if c != 1 {
				t.Errorf("%v was applied %d times at %s", d, c, n.dir.Module)
			}
		}
		own := int64(0)
		for s, p := range end {
			if s.Group != 0 && s.Module == n.dir.Number {
				own += int64(p.Seq - start[s].Seq)
			}
		}
		got := arrived(n) - before[i]
		// The figure of 1.05 is of 100,000 txns (package e2e): here a few moves
		// of a subscription, on a busy machine, may cost as much as that.
		if limit := float64(total-own) * 1.5; float64(got) > limit {
			t.Errorf("%s received %d txns, of others there are %d", n.dir.Module, got, total-own)
		}
		t.Logf("%s: %d txns of others, %d received", n.dir.Module, total-own, got)
	}
}

// TestDuplicatesAreDroppedAndCounted hands a module a run that it has applied.
func TestDuplicatesAreDroppedAndCounted(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	east, west := nodes[0], nodes[1]
	put(t, east, "main:audit", "one", "two", "three")
	converged(t, nodes, "main:audit")
	ctx := context.Background()
	count := func() int64 {
		s, err := engine{west}.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s.Duplicates
	}
	was := count()
	s := east.ownStreams()[0]
	l, err := east.j.Read(s, 0, 1<<20)
	if err != nil || len(l) == 0 {
		t.Fatalf("journal of %v: %d entries, %v", s, len(l), err)
	}
	var entries [][]byte
	for _, e := range l {
		entries = append(entries, e.Bytes)
	}
	released := make(chan struct{})
	west.applier.Deliver(s, 0, entries, func() { close(released) })
	<-released
	if got := count() - was; got != int64(len(entries)) {
		t.Errorf("%d duplicates counted of %d", got, len(entries))
	}
	converged(t, nodes, "main:audit")
	if got, err := content(west, "main:audit"); err != nil || got != "one two three" {
		t.Errorf("west has %q, %v", got, err)
	}
}

// TestAChainHealsAndRelays cuts a chain of three in its middle, has both sides
// write, and heals it.
func TestAChainHealsAndRelays(t *testing.T) {
	t.Parallel()
	names := []string{"%east#m1", "%north#m1", "%west#m1"}
	nodes := linkedMesh(t, names, map[string]string{"%east#m1": "%north#m1", "%north#m1": "%east#m1 %west#m1", "%west#m1": "%north#m1"})
	east, north, west := nodes[0], nodes[1], nodes[2]
	ctx := context.Background()
	put(t, east, "main:audit", "e1")
	converged(t, nodes, "main:audit")
	if err := (engine{east}).SetLink(ctx, admin.LinkChange{A: "%north#m1", B: "%west#m1", Paused: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the link is seen as paused", func() bool {
		return linkState(t, north, "%west#m1") == "paused" && linkState(t, west, "%north#m1") == "paused"
	})
	put(t, east, "main:audit", "e2")
	put(t, west, "main:audit", "w1")
	put(t, north, "main:audit", "n1")
	eventually(t, "east and north have what each other wrote", func() bool { return applied(east, north) })
	if got, err := content(west, "main:audit"); err != nil || got != "e1 w1" {
		t.Errorf("west, cut off, has %q, %v", got, err)
	}
	if got, err := content(north, "main:audit"); err != nil || strings.Contains(got, "w1") {
		t.Errorf("north, cut off from west, has %q, %v", got, err)
	}
	if err := (engine{west}).SetLink(ctx, admin.LinkChange{A: "%north#m1", B: "%west#m1"}); err != nil {
		t.Fatal(err)
	}
	converged(t, nodes, "main:audit")
	first := ""
	for _, n := range nodes {
		got, err := content(n, "main:audit")
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = got
		}
		if got != first || len(strings.Fields(got)) != 4 {
			t.Errorf("%s has %q, east %q", n.dir.Module, got, first)
		}
	}
	for _, l := range east.mesh.Links() {
		if l.Peer == west.dir.Number && l.Received+l.Sent > 0 {
			t.Error("east and west have no link, and txns went over it")
		}
	}
}

func linkState(t testing.TB, n *Node, peer string) string {
	t.Helper()
	l, err := engine{n}.Links(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range l {
		if x.Peer == peer {
			return x.State
		}
	}
	return "none"
}
