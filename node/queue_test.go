package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/vosio"
	"drmesh/vosio/call"
)

const queueTables = `/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger

/=record_type    include
 =share_name     notes
 =process_name   *
 =source_path    %east#d01>notes>*

/=record_type    group
 =group          ledger
 =owner          %west#m1
 =commit_scope   one
`

// TestMirroredQueue: all modules send to a queue of a group that all write; its
// owner alone delivers, which changes twice while messages flow, and is then cut
// off for good. No message whose sending was acknowledged is lost, and none is
// delivered twice.
func TestMirroredQueue(t *testing.T) {
	t.Parallel()
	nodes := bareMesh(t, "%east#m1", "%west#m1", "%north#m1")
	applyTables(t, nodes[0], queueTables)
	writable(t, nodes...)
	allVote(t, nodes)
	eventually(t, "the owner has its lease", func() bool { return leased(nodes[1]) })
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	const path = "main:q"
	first := call.Client{Caller: nodes[0].eng.NewProcess("first")}
	defer first.Caller.(interface{ Close() error }).Close()
	if err := first.CreateFile(ctx, path, call.OrgMsgQueue, 0); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		eventually(t, "the queue is everywhere", func() bool {
			full, err := n.eng.FullPath(path)
			if err == nil {
				_, err = n.eng.QueueInfo(full)
			}
			return err == nil
		})
	}
	// A share without an owner delivers nowhere.
	if err := first.CreateFile(ctx, "notes:q", call.OrgMsgQueue, 0); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, "notes:q"} {
		port, err := first.OpenQueue(ctx, p, call.Server, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.Receive(ctx, port, "", false); !errors.Is(err, call.NotOwner) {
			t.Errorf("receive from %s at %s: %v", p, nodes[0].dir.Module, err)
		}
	}

	var mu sync.Mutex
	sent := map[string]bool{}     // acknowledged
	got := map[string]int{}       // delivered, and acknowledged
	unsure := map[string]string{} // delivered, and not known to other modules
	var quiet, delivered atomic.Int64
	var senders, servers sync.WaitGroup
	cutAway := make(chan struct{})
	for i, n := range nodes[:2] {
		for j := range 2 {
			senders.Go(func() {
				p := n.eng.NewProcess("sender")
				defer p.Close()
				c := call.Client{Caller: p}
				port, err := c.OpenQueue(ctx, path, call.Requester, 0)
				for k := 0; err == nil && quiet.Load() == 0; k++ {
					if i == 1 {
						select {
						case <-cutAway:
							return
						default:
						}
					}
					m := fmt.Sprintf("%d.%d.%d", i, j, k)
					_, err = c.Send(ctx, port, k%3, "", []byte(m))
					if err == nil {
						mu.Lock()
						sent[m] = true
						mu.Unlock()
						time.Sleep(time.Millisecond)
					}
					if errors.Is(err, call.DurableHere) {
						err = nil
					}
				}
				if err != nil && !errors.Is(err, vosio.ErrClosed) {
					t.Errorf("sender at %s: %v", n.dir.Module, err)
				}
			})
		}
		for range 2 {
			servers.Go(func() {
				p := n.eng.NewProcess("server")
				defer p.Close()
				c := call.Client{Caller: p}
				port, err := c.OpenQueue(ctx, path, call.Server, 0)
				for err == nil {
					var m call.Message
					m, err = c.Receive(ctx, port, "", false)
					switch {
					case err == nil:
						mu.Lock()
						got[string(m.Data)]++
						mu.Unlock()
						delivered.Add(1)
					case errors.Is(err, call.DurableHere):
						mu.Lock()
						unsure[string(m.Data)] = n.dir.Module
						mu.Unlock()
						err = nil
					case errors.Is(err, call.NotOwner):
						time.Sleep(5 * time.Millisecond)
						err = nil
					}
				}
				if err != nil && ctx.Err() == nil && !errors.Is(err, vosio.ErrClosed) {
					t.Errorf("server at %s: %v", n.dir.Module, err)
				}
			})
		}
	}
	for i, at := range []int{0, 1} {
		before := delivered.Load()
		eventually(t, "messages flow", func() bool { return delivered.Load() > before+50 })
		r, err := engine{nodes[2]}.SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: nodes[at].dir.Module, By: "kim"})
		if err != nil {
			t.Fatal(err)
		}
		if r.Epoch != uint64(i+2) || r.To != nodes[at].dir.Module {
			t.Errorf("receipt: %+v", r)
		}
	}
	before := delivered.Load()
	eventually(t, "messages flow", func() bool { return delivered.Load() > before+50 })
	cutOff(t, nodes[1], []*Node{nodes[0], nodes[2]}, true)
	close(cutAway)
	dir := nodes[1].dir.path
	shut(t, nodes[1])
	eventually(t, "control has a leader", func() bool { return status(t, nodes[0]).Quorum && status(t, nodes[2]).Quorum })
	eventually(t, "the group has another owner", func() bool {
		_, err := engine{nodes[2]}.FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%east#m1", By: "kim", AcceptLoss: true})
		if err != nil {
			t.Log(err)
		}
		return err == nil
	})
	before = delivered.Load()
	eventually(t, "messages flow", func() bool { return delivered.Load() > before+50 })
	quiet.Store(1)
	senders.Wait()
	nodes[1] = reopen(t, dir)
	cutOff(t, nodes[1], []*Node{nodes[0], nodes[2]}, false)
	defer func() {
		stop()
		servers.Wait()
	}()
	missing := func() (l []string) {
		mu.Lock()
		defer mu.Unlock()
		for m := range sent {
			if got[m] == 0 && unsure[m] == "" {
				l = append(l, m)
			}
		}
		return l
	}
	eventually(t, "all is delivered", func() bool { return len(missing()) == 0 })
	mu.Lock()
	defer mu.Unlock()
	for m, n := range got {
		if n != 1 {
			t.Errorf("message %s was delivered %d times", m, n)
		}
	}
	// One at most for each server at the module that was cut off: it is told.
	if len(unsure) > 2 {
		t.Errorf("%d messages of which it was not known whether others deliver them: %v", len(unsure), unsure)
	}
	t.Logf("%d messages, of which these were uncertain: %v", len(sent), unsure)
}

// TestQueueOfAnOwnedGroup: its owner sends and receives; it changes, and the
// next one goes on where the first stopped.
func TestQueueOfAnOwnedGroup(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	const path = "main:q"
	clients := make([]call.Client, 2)
	for i := range clients {
		clients[i] = program(t, nodes[i])
	}
	if err := clients[0].CreateFile(ctx, path, call.OrgMsgQueue, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the queue is at the other module", func() bool {
		port, err := clients[1].OpenQueue(ctx, path, call.Server, 0)
		if err == nil {
			clients[1].Detach(ctx, port)
		}
		return err == nil
	})
	in, out := make([]int, 2), make([]int, 2)
	for i, c := range clients {
		var err error
		if in[i], err = c.OpenQueue(ctx, path, call.Server, 0); err != nil {
			t.Fatal(err)
		}
		if out[i], err = c.OpenQueue(ctx, path, call.Requester, 0); err != nil {
			t.Fatal(err)
		}
	}
	next := 0
	serve := func(owner, n int) {
		t.Helper()
		other := 1 - owner
		if _, err := clients[other].Receive(ctx, in[other], "", false); !errors.Is(err, call.NotOwner) {
			t.Errorf("receive where it is not owned: %v", err)
		}
		if _, err := clients[other].Send(ctx, out[other], 0, "", []byte("x")); !errors.Is(err, call.NotOwner) {
			t.Errorf("send where it is not owned: %v", err)
		}
		for range n {
			m, err := clients[owner].Receive(ctx, in[owner], "", true)
			if err != nil || string(m.Data) != fmt.Sprint(next) {
				t.Fatalf("received %q, %v; want %d", m.Data, err, next)
			}
			next++
		}
	}
	for i := range 6 {
		if _, err := clients[0].Send(ctx, out[0], 0, "", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	serve(0, 4)
	if _, err := (engine{nodes[2]}).SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: nodes[1].dir.Module, By: "kim"}); err != nil {
		t.Fatal(err)
	}
	serve(1, 2)
	if _, err := clients[1].Receive(ctx, in[1], "", true); !errors.Is(err, call.CallerMustWait) {
		t.Errorf("an empty queue: %v", err)
	}
}
