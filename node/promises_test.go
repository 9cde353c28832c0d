package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

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
		for s, p := range n.j.Durable() {
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
	a, err := engine{n}.Account(context.Background(), true)
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

// sameConflicts checks that all modules list the same conflicts.
func sameConflicts(t testing.TB, nodes []*Node) []admin.Conflict {
	t.Helper()
	var first []admin.Conflict
	text := ""
	for i, n := range nodes {
		l, err := engine{n}.Conflicts(context.Background(), "")
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, c := range l {
			fmt.Fprintf(&b, "%s %s %s %s %s loser %s %q winner %s %q\n", c.ID, c.Kind, c.State, c.File, c.Address, c.Loser, c.LoserData, c.Winner, c.Data)
		}
		if i == 0 {
			first, text = l, b.String()
		} else if b.String() != text {
			t.Errorf("conflicts at %s:\n%sat %s:\n%s", nodes[0].dir.Module, text, n.dir.Module, b.String())
		}
	}
	return first
}

// TestPromise3Convergence has three modules write the same keys at once,
// rewrite and delete: they end alike.
func TestPromise3Convergence(t *testing.T) {
	nodes := threeNodes(t)
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
				if call.CodeOf(err) == call.KeyInUse {
					if r%4 == 3 {
						err = c.KeyedDelete(ctx, port, []byte(k))
					} else {
						err = c.KeyedRewrite(ctx, port, []byte(k), data)
					}
				}
				// Another module may have deleted or created it in between.
				if err != nil && call.CodeOf(err) != call.RecordNotFound && call.CodeOf(err) != call.KeyInUse {
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

var _ = time.Second
