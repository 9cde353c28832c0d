package node

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"drmesh/vosio/call"
)

// TestAFullDisk takes the room away at one module: shared files take no writes
// there, all else goes on, and there is nothing to do when room comes back.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	dir := nodes[1].dir.path
	shut(t, nodes[1])
	var full, filling atomic.Bool
	west, err := Open(context.Background(), ServeOptions{Dir: dir, Logger: testLog(t), disk: func(string) (total, free uint64, err error) {
		if full.Load() {
			return 10 << 30, 1 << 20, nil
		}
		if filling.Load() {
			return 10 << 30, 600 << 20, nil
		}
		return 10 << 30, 5 << 30, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := west.Close(); err != nil {
			t.Error(err)
		}
	})
	nodes[1] = west
	writable(t, nodes...)
	put(t, west, "main:audit", "w1")
	converged(t, nodes, "main:audit")
	ctx := context.Background()
	c := program(t, west)
	port, err := c.OpenPath(ctx, "main:audit", call.OpenOptions{Org: call.OrgSequential, IO: call.Append, Lock: call.ImplicitLocking, Access: call.Sequential})
	if err != nil {
		t.Fatal(err)
	}
	// Before it is full, writes wait.
	filling.Store(true)
	eventually(t, "west says that it fills up", func() bool { return hasAlarm(t, west, "filling up", "waits 47") })
	before := time.Now()
	if err := c.SeqWrite(ctx, port, []byte("slow")); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(before); d < 45*time.Millisecond {
		t.Errorf("a write took %v", d)
	}
	full.Store(true)
	eventually(t, "west says so", func() bool {
		return status(t, west).State == "full" && hasAlarm(t, west, "disk is full") && !hasAlarm(t, west, "filling up")
	})
	if err := c.SeqWrite(ctx, port, []byte("no room")); call.CodeOf(err) != call.DiskFull {
		t.Errorf("a write on a full disk: %v", err)
	}
	if got, err := content(west, "main:audit"); err != nil || got != "w1 slow" {
		t.Errorf("west reads %q, %v", got, err)
	}
	put(t, nodes[0], "main:of_east", "e1")
	eventually(t, "west applies and acknowledges", func() bool {
		s := nodes[0].ownStreams()[0]
		a, ok := nodes[0].acks.of(west.dir.Number, s)
		return ok && a.seq == nodes[0].j.Tail(s).Seq && applied(nodes...)
	})
	if got, err := content(west, "main:of_east"); err != nil || got != "e1" {
		t.Errorf("west has %q, %v", got, err)
	}
	full.Store(false)
	filling.Store(false)
	eventually(t, "writes resume", func() bool { return c.SeqWrite(ctx, port, []byte("w2")) == nil })
	if s := status(t, west); s.State != "serving" || hasAlarm(t, west, "disk is full") {
		t.Errorf("with room again: %s, %v", s.State, s.Alarms)
	}
	converged(t, nodes, "main:audit")
	if got, err := content(nodes[0], "main:audit"); err != nil || got != "w1 slow w2" {
		t.Errorf("east has %q, %v", got, err)
	}
}
