package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"drmesh/admin"
	"drmesh/origin"
	"drmesh/vosio"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// meshReady makes a mesh of modules with share main that all may write.
func meshReady(t testing.TB, names ...string) []*Node {
	t.Helper()
	nodes := meshOf(t, names...)
	writable(t, nodes...)
	return nodes
}

// writable waits until share main takes writes at nodes: a module that joined
// a moment before the tables came takes a snapshot first.
func writable(t testing.TB, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		eventually(t, n.dir.Module+" may write", func() bool { return mayWrite(n) })
	}
}

func mayWrite(n *Node) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.rules.Share("main")
	return s != nil && !s.Stream.IsZero() && len(n.need) == 0
}

// shareMain is share main as a module has it.
func shareMain(n *Node) *vosio.Share {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rules.Share("main")
}

// program gives a program at a module; it ends with the test.
func program(t testing.TB, n *Node) call.Client {
	t.Helper()
	p := n.eng.NewProcess("test")
	t.Cleanup(func() { p.Close() })
	return call.Client{Caller: p}
}

// keyedAt makes a keyed file: a unique key of four bytes, and an index with
// duplicates on the fifth.
func keyedAt(t testing.TB, n *Node, path string) {
	t.Helper()
	ctx := context.Background()
	c := program(t, n)
	if err := c.CreateFile(ctx, path, call.OrgSequential, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateIndex(ctx, path, "id", []record.Component{{Position: 1, Length: 4}}, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateIndex(ctx, path, "kind", []record.Component{{Position: 5, Length: 1}}, call.IndexDuplicates); err != nil {
		t.Fatal(err)
	}
}

// opened opens a keyed file for a program that reads and writes it.
func opened(t testing.TB, c call.Client, path string) int {
	t.Helper()
	p, err := open(c, path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func open(c call.Client, path string) (int, error) {
	return c.OpenPath(context.Background(), path, call.OpenOptions{Org: call.OrgSequential, IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"})
}

// hasIndexes waits until a file with its indexes stands at all modules.
func hasIndexes(t testing.TB, path string, indexes int, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		eventually(t, path+" at "+n.dir.Module, func() bool {
			f, err := engine{n}.File(context.Background(), path)
			return err == nil && len(f.Indexes) == indexes
		})
	}
}

// applied tells whether all of nodes have applied the same of all streams, all
// that anyone of them has.
func applied(nodes ...*Node) bool {
	greatest := origin.Context{}
	for _, n := range nodes {
		// What is sequenced, since a share may say interval.
		for s, p := range n.j.Tails() {
			if s.Group != 0 && p.Seq > greatest[s] {
				greatest[s] = p.Seq
			}
		}
	}
	for _, n := range nodes {
		d := n.j.Durable()
		for s, q := range greatest {
			if d[s].Seq != q {
				return false
			}
		}
	}
	return true
}

// converged waits until nodes have all, and checks that they hold the same of
// each path, and that each one's account is whole.
func converged(t testing.TB, nodes []*Node, paths ...string) {
	t.Helper()
	eventually(t, "all of everything everywhere", func() bool { return applied(nodes...) })
	ctx := context.Background()
	for _, path := range paths {
		var first *admin.Digest
		for _, n := range nodes {
			d, err := engine{n}.Digest(ctx, path)
			if err != nil {
				t.Fatalf("digest of %s at %s: %v", path, n.dir.Module, err)
			}
			if first == nil {
				first = d
			}
			if d.Digest != first.Digest || d.Records != first.Records {
				t.Errorf("%s at %s: %d records, %s; at %s: %d, %s", path, n.dir.Module, d.Records, d.Digest, nodes[0].dir.Module, first.Records, first.Digest)
			}
		}
	}
	for _, n := range nodes {
		accountHolds(t, n)
	}
}

// accountHolds checks that every operation at a module is in exactly one class,
// by the counters and by the scan.
func accountHolds(t testing.TB, n *Node) *admin.Account {
	t.Helper()
	a, err := engine{n}.Account(context.Background(), admin.AccountRequest{Scan: true, Local: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Findings {
		t.Errorf("account at %s: %s", n.dir.Module, f)
	}
	if a.Duplicates != 0 {
		t.Errorf("account at %s: %d dots applied twice", n.dir.Module, a.Duplicates)
	}
	for _, l := range a.Lines {
		if l.Missing != 0 || l.Live+l.Overwritten+l.Deleted+l.Open+l.Superseded+l.Closed+l.Parked != l.Written {
			t.Errorf("account at %s does not add up: %+v", n.dir.Module, l)
		}
	}
	return a
}

// sameConflicts checks that all modules list the same open conflicts and
// claims. It gives all that the first lists.
func sameConflicts(t testing.TB, nodes []*Node) []admin.Conflict {
	t.Helper()
	var first []admin.Conflict
	at := map[string]int{}
	for i, n := range nodes {
		l, err := engine{n}.Conflicts(context.Background(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range l {
			if c.State == "superseded" {
				// Covered by two concurrent writers, it lost to the one that came
				// here first: these may differ.
				continue
			}
			at[fmt.Sprintf("%s %s %s %s %s loser %s %q winner %s %q", c.ID, c.Kind, c.State, c.File, c.Address, c.Loser, c.LoserData, c.Winner, c.Data)] |= 1 << i
		}
		if i == 0 {
			first = l
		}
	}
	var odd []string
	for s, m := range at {
		if m != 1<<len(nodes)-1 {
			odd = append(odd, fmt.Sprintf("%s: at modules %03b", s, m))
		}
	}
	slices.Sort(odd)
	if len(odd) > 0 {
		t.Errorf("%d of %d conflicts are not listed alike everywhere:\n%s", len(odd), len(at), strings.Join(odd[:min(len(odd), 12)], "\n"))
	}
	return first
}

// TestPromise3Convergence has three modules write the same keys at once,
// rewrite and delete: they end alike.
func TestPromise3Convergence(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	keyedAt(t, nodes[0], "main:all")
	hasIndexes(t, "main:all", 2, nodes...)
	var wg sync.WaitGroup
	for i, n := range nodes {
		c := program(t, n)
		port := opened(t, c, "main:all")
		wg.Add(1)
		go func() {
			defer wg.Done()
			ctx := context.Background()
			for r := range 300 {
				k := fmt.Sprintf("%04d", (r*7+i*3)%60)
				data := []byte(fmt.Sprintf("%s%c from %d, %d", k, 'a'+byte(r%5), i, r))
				err := c.KeyedWrite(ctx, port, data)
				if call.CodeOf(err) == call.InvalidDuplicateKey {
					if r%4 == 3 {
						err = c.KeyedDelete(ctx, port, []byte(k))
					} else {
						err = c.KeyedRewrite(ctx, port, []byte(k), data)
					}
				}
				// Another module may have deleted or created it in between.
				if err != nil && call.CodeOf(err) != call.RecordNotFound && call.CodeOf(err) != call.InvalidDuplicateKey {
					t.Errorf("write %s at %s: %v", k, n.dir.Module, err)
					return
				}
			}
		}()
	}
	wg.Wait()
	converged(t, nodes, "main:all")
	sameConflicts(t, nodes)
}

// class gives the exit class of an error.
func class(err error) admin.Class {
	var a *admin.Error
	if errors.As(err, &a) {
		return a.Class
	}
	return 0
}
