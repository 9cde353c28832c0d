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

// load writes the numbers from a first one into main:a at a module, many calls
// under way at once, until stop, and tells the number that comes next. It ends at
// the first error, as every load does.
func load(n *Node, from int, stop <-chan struct{}) (next int, err error) {
	ctx := context.Background()
	p := n.eng.NewProcess("load")
	defer p.Close()
	c := call.Client{Caller: p}
	port, err := c.OpenPath(ctx, "main:a", call.OpenOptions{Org: call.OrgSequential, IO: call.Append, Lock: call.ImplicitLocking, Access: call.Sequential})
	if err != nil {
		return from, err
	}
	type answer struct {
		number int
		rep    *call.Reply
		err    error
	}
	const inFlight = 64
	answers := make(chan answer, inFlight)
	at, under := from, 0
	next = from
	for {
		stopped := err != nil
		select {
		case <-stop:
			stopped = true
		default:
		}
		if stopped && under == 0 {
			return next, err
		}
		if !stopped && under < inFlight {
			number, rep := at, new(call.Reply)
			p.Start(ctx, &call.Request{Call: "s$seq_write", Port: port, Data: fmt.Append(nil, number)}, rep, func(err error) { answers <- answer{number, rep, err} })
			at++
			under++
			continue
		}
		a := <-answers
		under--
		switch {
		case a.err != nil || a.rep.Code != 0:
			err = errors.Join(err, a.err)
			if a.rep.Code != 0 {
				err = a.rep.Code
			}
		case a.number != next:
			return next, fmt.Errorf("%d is written, but %d before it is not", a.number, next)
		default:
			next++
		}
	}
}

// TestALoadThroughSwitchovers: a program that keeps many writes under way is
// neither stopped nor mixed up by a change of owner that is rolled back; one that
// comes to pass refuses all that is not written, and when its module owns the
// group again it goes on where it was.
func TestALoadThroughSwitchovers(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	east := nodes[0]
	put(t, east, "main:a", "0")
	converged(t, nodes, "main:a")
	type ended struct {
		next int
		err  error
	}
	begin := func(from int) (chan struct{}, chan ended) {
		stop, end := make(chan struct{}), make(chan ended, 1)
		go func() {
			next, err := load(east, from, stop)
			end <- ended{next, err}
		}()
		return stop, end
	}
	written := func() int {
		groups, err := engine{east}.Groups(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return int(groups[0].Number) - 1 // the file's claim
	}
	further := func() {
		t.Helper()
		had := written()
		eventually(t, "writes go on", func() bool { return written() > had })
	}
	pause := func(paused bool) {
		for _, n := range []*Node{east, nodes[2]} {
			if err := (engine{n}).SetLink(ctx, admin.LinkChange{A: n.dir.Module, B: "%west#m1", Paused: paused}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The asked module learns a moment later that the links are up, and the
	// change before has ended.
	change := func(to string) {
		t.Helper()
		eventually(t, "the group goes to "+to, func() bool {
			_, err := engine{nodes[2]}.SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: to, By: "kim"})
			if err != nil && class(err) != admin.Precondition {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	stop, end := begin(1)
	further()
	r := admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim", Timeout: 500 * time.Millisecond}
	check, err := engine{east}.SwitchCheck(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	pause(true)
	further()
	if _, err := (engine{east}).changeOwner(ctx, r, check, false); class(err) != admin.Failed {
		t.Fatalf("a switch to a module that is cut off: %v", err)
	}
	pause(false)
	further()
	close(stop)
	got := <-end
	if got.err != nil {
		t.Fatalf("the load ended after %d records, though its module is the owner as before: %v", got.next, got.err)
	}
	for range 2 {
		_, end = begin(got.next)
		further()
		change("%west#m1")
		got = <-end
		if got.err != call.NotOwner {
			t.Fatalf("the load at who is not the owner any more ended with %v after %d records", got.err, got.next)
		}
		change("%east#m1")
		if all := written(); all != got.next {
			t.Fatalf("the load wrote %d records, the file has %d", got.next, all)
		}
	}
	converged(t, nodes, "main:a")
	for _, n := range nodes {
		text, err := content(n, "main:a")
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range strings.Fields(text) {
			if r != fmt.Sprint(i) {
				t.Fatalf("record %d at %s is %s", i, n.dir.Module, r)
			}
		}
	}
}
