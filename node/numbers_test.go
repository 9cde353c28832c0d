package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// TestTwoModulesTakeDifferentNumbers: two modules that add records to one
// relative file, neither waiting for the other, take different numbers; nothing
// is in conflict, and both have all records.
func TestTwoModulesTakeDifferentNumbers(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	ctx := context.Background()
	clients := []call.Client{program(t, nodes[0]), program(t, nodes[1])}
	if err := clients[0].CreateFile(ctx, "main:r", call.OrgRelative, 20); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file is at both", func() bool {
		_, err := clients[1].Status(ctx, "main:r")
		return err == nil && applied(nodes...)
	})
	var ports [2]int
	for i, c := range clients {
		p, err := c.OpenPath(ctx, "main:r", call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Random})
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = p
	}
	const each = 70 // more than a module has in a row
	taken := map[int64]string{}
	for n := range each {
		for i, c := range clients {
			data := fmt.Sprintf("%d of module %d", n, i+1)
			at, err := c.RelWrite(ctx, ports[i], 0, []byte(data))
			if err != nil {
				t.Fatal(err)
			}
			if was, ok := taken[at]; ok {
				t.Fatalf("number %d is that of %q and of %q", at, was, data)
			}
			taken[at] = data
		}
	}
	// Both come to numbers that control leased to them; one of a file that is
	// gone has no more of them.
	leased := func() (l [2]int) {
		for _, x := range nodes[0].ctl.state().Extents {
			l[x.Module-1]++
		}
		return l
	}
	for i, c := range clients {
		for deadline := time.Now().Add(time.Minute); ; {
			at, err := c.RelWrite(ctx, ports[i], 0, []byte("leased"))
			if err != nil {
				t.Fatal(err)
			}
			if was, ok := taken[at]; ok {
				t.Fatalf("number %d is taken twice, before that by %q", at, was)
			}
			taken[at] = "leased"
			if at >= record.FirstLeased && at <= record.LastLeased {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("module %d takes %d, which is not leased; there are %+v", i+1, at, nodes[i].ctl.state().Extents)
			}
		}
	}
	if l := leased(); l != [2]int{1, 1} {
		t.Errorf("extents of the modules: %v", l)
	}
	eventually(t, "all is applied", func() bool { return applied(nodes...) })
	for i, c := range clients {
		for at, want := range taken {
			if got, err := c.RelRead(ctx, ports[i], at); err != nil || string(got) != want {
				t.Errorf("module %d, record %d: %q, %v; want %q", i+1, at, got, err, want)
			}
		}
	}
	if l := sameConflicts(t, nodes); len(l) != 0 {
		t.Errorf("conflicts: %+v", l)
	}
	for i, c := range clients {
		if err := c.Close(ctx, ports[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := clients[0].DeleteFile(ctx, "main:r"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file is gone at both", func() bool {
		_, err := clients[1].Status(ctx, "main:r")
		return err != nil && applied(nodes...)
	})
	for _, n := range nodes {
		n.releaseNumbers()
	}
	if l := leased(); l != [2]int{} {
		t.Errorf("extents of a file that is gone: %v", l)
	}
}
