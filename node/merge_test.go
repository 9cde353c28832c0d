package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// prunesAll has a module let go of all that it has in its journal, as if it had
// run out of room while somebody was away.
func prunesAll(t testing.TB, n *Node) {
	t.Helper()
	for s, p := range n.j.Durable() {
		if s.Group == 0 {
			continue
		}
		if err := n.j.Prune(s, p.Seq); err != nil {
			t.Fatal(err)
		}
	}
}

// cutOff pauses or opens all of a module's links.
func cutOff(t testing.TB, n *Node, others []*Node, paused bool) {
	t.Helper()
	for _, x := range others {
		if err := (engine{n}).SetLink(context.Background(), admin.LinkChange{A: n.dir.Module, B: x.dir.Module, Paused: paused}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPrunedPast has a module write while it is cut off, and the others let go
// of what they wrote meanwhile: healed, it takes a snapshot, keeps what nobody
// else has of its own, and goes on.
func TestPrunedPast(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%north#m1", "%west#m1")
	east, north, west := nodes[0], nodes[1], nodes[2]
	ctx := context.Background()
	keyedAt(t, east, "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	c := map[*Node]call.Client{}
	port := map[*Node]int{}
	for _, n := range nodes {
		c[n] = program(t, n)
		port[n] = opened(t, c[n], "main:k")
	}
	write := func(n *Node, key int, what string) {
		t.Helper()
		data := []byte(fmt.Sprintf("%04d%s", key, what))
		err := c[n].KeyedWrite(ctx, port[n], data)
		if call.CodeOf(err) == call.InvalidDuplicateKey {
			err = c[n].KeyedRewrite(ctx, port[n], nil, data)
		}
		if err != nil {
			t.Fatalf("write %s at %s: %v", data, n.dir.Module, err)
		}
	}
	remove := func(n *Node, key int) {
		t.Helper()
		if err := c[n].KeyedDelete(ctx, port[n], []byte(fmt.Sprintf("%04d", key))); err != nil {
			t.Fatalf("delete %d at %s: %v", key, n.dir.Module, err)
		}
	}
	for k := range 20 {
		write(east, k, "a first")
	}
	converged(t, nodes, "main:k")

	cutOff(t, west, nodes[:2], true)
	// Both sides write records that the other writes too, delete what the
	// other writes, and write what the other does not touch.
	for k := range 5 {
		write(west, k, "b of west")
		write(west, k, "b of west again")
		write(east, k, "c of east")
	}
	for k := 5; k < 8; k++ {
		remove(west, k)
		write(north, k, "d of north")
	}
	for k := 8; k < 11; k++ {
		write(west, k, "b of west")
		remove(east, k)
	}
	for k := 11; k < 14; k++ {
		remove(north, k)
	}
	for k := 100; k < 110; k++ {
		write(west, k, "b of west")
		write(east, k+100, "c of east")
		write(north, 100+k%3, "d of north")
	}
	put(t, west, "main:made_at_west", "w1", "w2")
	put(t, west, "main:made_by_both", "w")
	put(t, north, "main:made_by_both", "n")
	converged(t, nodes[:2], "main:k")
	prunesAll(t, east)
	prunesAll(t, north)
	own := west.ownStreams()[0]
	if east.j.Tail(own).Seq >= west.j.Tail(own).Seq {
		t.Fatal("west was not cut off")
	}

	cutOff(t, west, nodes[:2], false)
	eventually(t, "all is applied everywhere", func() bool { return applied(nodes...) })
	converged(t, nodes, "main:k")
	sameView(t, nodes)
	if l := sameConflicts(t, nodes); len(l) < 8 {
		t.Errorf("%d conflicts: %+v", len(l), l)
	}
	for _, n := range nodes {
		accountHolds(t, n)
		if got, err := content(n, "main:made_at_west"); err != nil || got != "w1 w2" {
			t.Errorf("what west made alone is %q at %s, %v", got, n.dir.Module, err)
		}
	}
	// And on, with the port that was open all the time.
	write(west, 300, "b later")
	write(east, 301, "c later")
	remove(west, 14)
	eventually(t, "all is applied everywhere", func() bool { return applied(nodes...) })
	sameView(t, nodes)
	// Over a restart too.
	dir := west.dir.path
	shut(t, west)
	nodes[2] = reopen(t, dir)
	writable(t, nodes...)
	works(t, nodes, "after")
	sameView(t, nodes)
	for _, n := range nodes {
		accountHolds(t, n)
	}
}

// TestPinned lets the journal go by what most modules have: one that is cut off
// is warned of, and takes a snapshot; alone, it lets go of nothing of its own.
func TestPinned(t *testing.T) {
	t.Setenv("DRMESH_JOURNAL_KEEP", "0")
	t.Setenv("DRMESH_JOURNAL_PIN", "0")
	nodes := meshReady(t, "%east#m1", "%north#m1", "%west#m1")
	east, north, west := nodes[0], nodes[1], nodes[2]
	put(t, east, "main:audit", "e1")
	converged(t, nodes, "main:audit")
	cutOff(t, west, nodes[:2], true)
	put(t, east, "main:audit", "e2", "e3")
	put(t, west, "main:audit", "w1", "w2")
	es, ws := east.ownStreams()[0], west.ownStreams()[0]
	lacks := west.j.Tail(es).Seq
	for _, n := range nodes[:2] {
		eventually(t, n.dir.Module+" lets go of what west lacks", func() bool { return n.j.Pruned(es) > lacks && n.j.Pruned(es) == east.j.Tail(es).Seq })
		eventually(t, n.dir.Module+" says so", func() bool { return hasAlarm(t, n, "%west#m1 is behind", "takes a snapshot") })
	}
	sent := east.j.Tail(ws).Seq
	if p := west.j.Pruned(ws); p > sent || west.j.Tail(ws).Seq <= sent {
		t.Errorf("west has let go of its own up to %d; others have it up to %d", p, sent)
	}
	cutOff(t, west, nodes[:2], false)
	eventually(t, "all is applied everywhere", func() bool { return applied(nodes...) })
	converged(t, nodes, "main:audit")
	for _, n := range nodes {
		if got, err := content(n, "main:audit"); err != nil || strings.Count(got, " ") != 4 {
			t.Errorf("%s has %q, %v", n.dir.Module, got, err)
		}
		accountHolds(t, n)
	}
	for _, n := range []*Node{east, north} {
		eventually(t, n.dir.Module+" is content", func() bool { return !hasAlarm(t, n, "%west#m1 is behind") })
	}
	works(t, nodes, "after")
}

// TestPrunedPastInAStorm does it again and again while everybody does a bit of
// everything.
func TestPrunedPastInAStorm(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%north#m1", "%west#m1")
	west := nodes[2]
	keyedAt(t, nodes[0], "main:k0")
	keyedAt(t, nodes[0], "main:k1")
	hasIndexes(t, "main:k0", 2, nodes...)
	hasIndexes(t, "main:k1", 2, nodes...)
	storms := func(round, steps int) {
		var wg sync.WaitGroup
		for i, n := range nodes {
			wg.Add(1)
			go func() {
				defer wg.Done()
				storm(t, n, rand.New(rand.NewPCG(*stormSeed, uint64(10*round+i))), steps)
			}()
		}
		wg.Wait()
	}
	for round := range 3 {
		cutOff(t, west, nodes[:2], true)
		storms(2*round, 60)
		eventually(t, "east and north have the same", func() bool { return applied(nodes[:2]...) })
		prunesAll(t, nodes[0])
		prunesAll(t, nodes[1])
		cutOff(t, west, nodes[:2], false)
		storms(2*round+1, 20) // while west takes it over
		eventually(t, "all is applied everywhere", func() bool { return applied(nodes...) })
		sameView(t, nodes)
		for _, n := range nodes {
			accountHolds(t, n)
		}
	}
}
