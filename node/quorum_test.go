package node

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
)

func status(t testing.TB, n *Node) *admin.Status {
	t.Helper()
	s, err := engine{n}.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reopen starts a node again on the directory of one that is closed.
func reopen(t testing.TB, dir string) *Node {
	t.Helper()
	n, err := Open(context.Background(), ServeOptions{Dir: dir, Logger: testLog(t).With("again", dir)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func shut(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// allVote waits until all modules vote in control.
func allVote(t testing.TB, nodes []*Node) {
	t.Helper()
	for _, n := range nodes {
		eventually(t, "all vote, as seen at "+n.dir.Module, func() bool {
			s := status(t, n)
			voters := 0
			for _, m := range s.Members {
				if m.Voter {
					voters++
				}
			}
			return voters == len(nodes) && s.Quorum
		})
	}
}

// works reads and writes a file of the module's own making, which comes to all.
func works(t testing.TB, nodes []*Node, what string) {
	t.Helper()
	var paths []string
	for i, n := range nodes {
		path := fmt.Sprintf("main:%s_%d", what, i)
		put(t, n, path, "one", "two")
		if got, err := content(n, path); err != nil || got != "one two" {
			t.Errorf("%s at %s: %q, %v", path, n.dir.Module, got, err)
		}
		paths = append(paths, path)
	}
	converged(t, nodes, paths...)
}

// TestPromise7NoQuorumIsNeeded takes raft away at two of three modules: files
// are read, written, created and shipped; control alone stands still.
func TestPromise7NoQuorumIsNeeded(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	allVote(t, nodes)
	works(t, nodes, "before")
	for _, n := range nodes[1:] {
		if err := n.raft.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "east knows that control has no quorum", func() bool { return !status(t, nodes[0]).Quorum })
	works(t, nodes, "without")
	text := strings.Replace(mainTables, "data>*", "data>*\n =durability interval", 1)
	if _, err := (engine{nodes[0]}).ControlApply(context.Background(), admin.ControlChange{Text: text}); class(err) != admin.NoQuorum {
		t.Errorf("new tables without quorum: %v, class %d", err, class(err))
	}
	works(t, nodes, "still")

	// A module that starts again meanwhile serves from what it knew.
	dir := nodes[2].dir.path
	shut(t, nodes[2])
	put(t, nodes[0], "main:meanwhile", "while north was down")
	nodes[2] = reopen(t, dir)
	writable(t, nodes[2])
	works(t, nodes, "again")
	if got, err := content(nodes[2], "main:meanwhile"); err != nil || got != "while north was down" {
		t.Errorf("north has %q, %v", got, err)
	}
}

// TestWithoutGossip takes gossip away: nothing is missed but what status shows
// of it.
func TestWithoutGossip(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	allVote(t, nodes)
	for _, n := range nodes {
		eventually(t, "gossip sees all at "+n.dir.Module, func() bool { return status(t, n).GossipAlive == len(nodes) })
	}
	for _, n := range nodes[1:] {
		n.closeGossip()
	}
	eventually(t, "east misses the others", func() bool { return status(t, nodes[0]).GossipAlive == 1 })
	works(t, nodes, "without")
	text := strings.Replace(mainTables, "data>*", "data>*\n =durability interval", 1)
	plan, err := engine{nodes[1]}.ControlApply(context.Background(), admin.ControlChange{Text: text, Timeout: 20 * time.Second})
	if err != nil || len(plan.Lacking) > 0 {
		t.Errorf("new tables without gossip: %+v, %v", plan, err)
	}
	works(t, nodes, "changed")
}

// TestRestart starts a mesh's modules again, one alone at first: it serves, and
// its stream goes on where it stood.
func TestRestart(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	keyedAt(t, nodes[0], "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	ctx := context.Background()
	c := program(t, nodes[1])
	port := opened(t, c, "main:k")
	for i := range 50 {
		if err := c.KeyedWrite(ctx, port, []byte(fmt.Sprintf("%04da first", i))); err != nil {
			t.Fatal(err)
		}
	}
	converged(t, nodes, "main:k")
	stream := nodes[1].ownStreams()[0]
	tail := nodes[1].j.Tail(stream)
	var dirs []string
	for _, n := range nodes {
		dirs = append(dirs, n.dir.path)
		shut(t, n)
	}
	west := reopen(t, dirs[1])
	if got := west.j.Tail(stream); got != tail {
		t.Errorf("the stream stands at %v, it stood at %v", got, tail)
	}
	writable(t, west)
	accountHolds(t, west)
	c = program(t, west)
	port = opened(t, c, "main:k")
	for i := range 50 {
		if got, err := c.KeyedRead(ctx, port, "id", []byte(fmt.Sprintf("%04d", i))); err != nil || string(got) != fmt.Sprintf("%04da first", i) {
			t.Fatalf("record %d: %q, %v", i, got, err)
		}
		if i%2 == 0 {
			if err := c.KeyedRewrite(ctx, port, nil, []byte(fmt.Sprintf("%04db alone", i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := west.j.Tail(stream); got.Seq != tail.Seq+25 {
		t.Errorf("the stream stands at %d, %d expected", got.Seq, tail.Seq+25)
	}
	if s := status(t, west); s.State != "serving" || s.Quorum {
		t.Errorf("west alone: %s, quorum %v", s.State, s.Quorum)
	}
	again := []*Node{reopen(t, dirs[0]), west, reopen(t, dirs[2])}
	writable(t, again...)
	converged(t, again, "main:k")
	works(t, again, "again")
	for _, n := range again { // that others are back takes a round of heads to hear
		eventually(t, "no alarm is left at "+n.dir.Module, func() bool { return len(status(t, n).Alarms) == 0 })
	}
}

// TestPromise9ApplicationsNeverWaitForTheMesh has a program work while no
// neighbour answers, and while one comes and goes.
func TestPromise9ApplicationsNeverWaitForTheMesh(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	keyedAt(t, nodes[0], "main:k")
	converged(t, nodes, "main:k")
	east := nodes[0]
	var dirs []string
	for _, n := range nodes[1:] {
		dirs = append(dirs, n.dir.path)
		shut(t, n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := program(t, east)
	port := opened(t, c, "main:k")
	work := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := c.KeyedWrite(ctx, port, []byte(fmt.Sprintf("%04da", i))); err != nil {
				t.Fatal(err)
			}
			if got, err := c.KeyedRead(ctx, port, "id", []byte(fmt.Sprintf("%04d", i))); err != nil || len(got) != 5 {
				t.Fatalf("%q, %v", got, err)
			}
		}
	}
	work(0, 100)
	if err := c.CreateFile(ctx, "main:alone", call.OrgRelative, 20); err != nil {
		t.Error(err)
	}
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	work(100, 110)
	if err := c.Commit(ctx); err != nil {
		t.Error(err)
	}
	nodes[1] = reopen(t, dirs[0])
	work(110, 150)
	shut(t, nodes[1])
	work(150, 200)
	nodes[1], nodes[2] = reopen(t, dirs[0]), reopen(t, dirs[1])
	work(200, 250)
	converged(t, nodes, "main:k", "main:alone")
}
