package node

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// reads gives all that a port shows, from the beginning.
func reads(c call.Client, port int) ([]string, error) {
	ctx := context.Background()
	if err := c.SeqPosition(ctx, port, call.PosBeginning, 0); err != nil {
		return nil, err
	}
	var l []string
	for {
		r, err := c.SeqRead(ctx, port)
		if call.CodeOf(err) == call.EndOfFile {
			return l, nil
		}
		if err != nil {
			return nil, err
		}
		l = append(l, string(r))
	}
}

func isPrefix(a, b []string) bool {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestStablePrefix has two modules append to one file at once. Whatever one of
// them was shown by a stable read, at whatever moment, the other is shown too
// in the same places, also while they are cut off from each other; and in the
// end all is stable.
func TestStablePrefix(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	ctx := context.Background()
	for _, n := range nodes {
		put(t, n, "main:audit", "first of "+n.dir.Module)
	}
	converged(t, nodes, "main:audit")

	open := func(n *Node, io int) (call.Client, int) {
		c := program(t, n)
		port, err := c.OpenPath(ctx, "main:audit", call.OpenOptions{Org: call.OrgSequential, IO: io, Lock: call.ImplicitLocking, Access: call.Sequential})
		if err != nil {
			t.Fatal(err)
		}
		return c, port
	}
	var mu sync.Mutex
	var longest []string // of all stable reads at either module
	shorter, unstable := 0, 0
	look := func(n *Node, c call.Client, port int) error {
		l, err := reads(c, port)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if len(l) > len(longest) {
			l, longest = longest, l
		} else if len(l) < len(longest) {
			shorter++
		}
		if !isPrefix(l, longest) {
			return fmt.Errorf("at %s, or before at the other: %q and %q", n.dir.Module, l, longest)
		}
		return nil
	}
	var wg sync.WaitGroup
	for _, n := range nodes {
		cw, w := open(n, call.Append)
		cs, s := open(n, call.StableInput)
		ci, i := open(n, call.Input)
		done := make(chan struct{})
		wg.Go(func() {
			defer close(done)
			for k := range 150 {
				if err := cw.SeqWrite(ctx, w, fmt.Appendf(nil, "%s %d", n.dir.Module, k)); err != nil {
					t.Errorf("write at %s: %v", n.dir.Module, err)
					return
				}
			}
		})
		wg.Go(func() {
			for over := false; !over; {
				select {
				case <-done:
					over = true
				default:
				}
				if err := look(n, cs, s); err != nil {
					t.Error(err)
					return
				}
				all, err := reads(ci, i)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if len(all) > len(longest) && isPrefix(longest, all) || !isPrefix(longest, all) {
					unstable++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if unstable == 0 {
		t.Error("nothing was provisional: this proves little")
	}

	// Cut off, nothing new gets stable; healed, all does.
	cut := func(paused bool) {
		if err := (engine{nodes[0]}).SetLink(ctx, admin.LinkChange{A: "%east#m1", B: "%west#m1", Paused: paused}); err != nil {
			t.Fatal(err)
		}
	}
	east, es := open(nodes[0], call.StableInput)
	west, ws := open(nodes[1], call.StableInput)
	whole := func(n int) func() bool {
		return func() bool {
			for i, c := range []call.Client{east, west} {
				if err := look(nodes[i], c, []int{es, ws}[i]); err != nil {
					t.Fatal(err)
				}
			}
			return len(longest) == n
		}
	}
	eventually(t, "all is stable", whole(302))
	cut(true)
	eventually(t, "the link is seen as paused", func() bool {
		return linkState(t, nodes[0], "%west#m1") == "paused" && linkState(t, nodes[1], "%east#m1") == "paused"
	})
	put(t, nodes[0], "main:audit", "of east alone", "once more")
	put(t, nodes[1], "main:audit", "of west alone")
	if got, err := content(nodes[0], "main:audit"); err != nil || len(got) == 0 {
		t.Fatal(err)
	}
	for range 20 {
		if whole(303)() {
			t.Fatal("what the other module cannot have is called stable")
		}
	}
	cut(false)
	eventually(t, "all is stable again", whole(305))

	// It is for the physical order of sequential files.
	c := program(t, nodes[0])
	keyedAt(t, nodes[0], "main:k")
	if err := c.CreateFile(ctx, "main:rel", call.OrgRelative, 20); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]call.Code{"main:k": call.InvalidAccessMode, "main:rel": call.InvalidFileType} {
		o := call.OpenOptions{IO: call.StableInput, Lock: call.ImplicitLocking, Access: call.Indexed}
		if want == call.InvalidFileType {
			o.Access = call.Sequential
		}
		if _, err := c.OpenPath(ctx, path, o); call.CodeOf(err) != want {
			t.Errorf("%s for stable input: %v", path, err)
		}
	}
	if err := east.SeqWrite(ctx, es, []byte("no")); call.CodeOf(err) != call.InvalidIOType {
		t.Errorf("a write on a port for stable input: %v", err)
	}
}
