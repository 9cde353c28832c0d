package node

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// counted is what one increment of the one counter came to.
type counted struct {
	value int  // after it
	known bool // else it may have happened, or not
}

// counters is the counter as one program after the other would see it: an
// increment whose outcome is not known leaves it, or raises it.
var counters = porcupine.NondeterministicModel{
	Init: func() []any { return []any{0} },
	Step: func(state, _, output any) []any {
		n, o := state.(int), output.(counted)
		if !o.known {
			return []any{n, n + 1}
		}
		if o.value != n+1 {
			return nil
		}
		return []any{n + 1}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %+v", input, output) },
}

// increment raises the counter at a module by a transaction of its own. done is
// false where it certainly did not happen.
func increment(n *Node) (c counted, done bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p := n.eng.NewProcess("test")
	defer p.Close()
	cl := call.Client{Caller: p}
	port, err := open(cl, "main:count")
	if err != nil {
		return c, false
	}
	if cl.Start(ctx) != nil {
		return c, false
	}
	old, err := cl.KeyedRead(ctx, port, "id", []byte("0000"))
	if err != nil {
		return c, false
	}
	if c.value, err = strconv.Atoi(string(old[5:])); err != nil {
		return c, false
	}
	c.value++
	if cl.KeyedRewrite(ctx, port, []byte("0000"), fmt.Appendf(nil, "0000x%d", c.value)) != nil {
		return c, false
	}
	switch err := cl.Commit(ctx); call.CodeOf(err) {
	case call.NotOwner, call.TPAborted, call.CallerMustWait:
		return c, false
	default:
		c.known = err == nil
		return c, true
	}
}

// TestOwnersAreLinear has programs at all modules raise one counter of a group
// with an owner, while the owner changes, is cut off and loses its quorum: as
// they were told it, the counter is that of one machine. Two owners at a time,
// or an acknowledged increment that did not come along, would show.
func TestOwnersAreLinear(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, " =failover 1\n =commit_scope one\n", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	confirmWithin(nodes[0], time.Second)
	keyedAt(t, nodes[0], "main:count")
	hasIndexes(t, "main:count", 2, nodes...)
	c := program(t, nodes[0])
	port := opened(t, c, "main:count")
	if err := c.KeyedWrite(ctx, port, []byte("0000x0")); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(ctx, port); err != nil {
		t.Fatal(err)
	}
	r := new(call.Reply)
	if err := program(t, nodes[0]).Do(ctx, &call.Request{Call: "s$set_transaction_file", Path: "main:count", Switches: 1}, r); err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	converged(t, nodes, "main:count")

	var mu sync.Mutex // protects history
	var history []porcupine.Operation
	var stop atomic.Bool
	var acked [3]atomic.Int64
	var programs sync.WaitGroup
	// A test that fails must not close the modules under its programs.
	defer func() {
		stop.Store(true)
		programs.Wait()
	}()
	begun := time.Now()
	for i, n := range nodes {
		for j := range 2 {
			programs.Go(func() {
				for !stop.Load() {
					called := time.Since(begun).Nanoseconds()
					out, done := increment(n)
					back := time.Since(begun).Nanoseconds()
					if !done {
						time.Sleep(5 * time.Millisecond)
						continue
					}
					if out.known {
						acked[i].Add(1)
					} else {
						back = math.MaxInt64 // nobody knows when, if ever
					}
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: 2*i + j, Input: n.dir.Module, Call: called, Output: out, Return: back})
					mu.Unlock()
				}
			})
		}
	}
	enough := func(i int) func() bool {
		before := acked[i].Load()
		return func() bool { return acked[i].Load() > before+20 }
	}
	eventually(t, "the first owner counts", enough(0))
	for _, to := range []int{1, 0} {
		if _, err := (engine{nodes[2]}).SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: nodes[to].dir.Module, By: "kim"}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the next owner counts", enough(to))
	}
	// It does not know yet that it is alone, and writes on as long as it may.
	cutOff(t, nodes[0], nodes[1:], true)
	if err := nodes[0].raft.Shutdown(); err != nil {
		t.Fatal(err)
	}
	before := acked[1].Load() + acked[2].Load()
	eventually(t, "another owner counts", func() bool { return acked[1].Load()+acked[2].Load() > before+20 })
	stop.Store(true)
	programs.Wait()
	unknown := 0
	for i := range history {
		if !history[i].Output.(counted).known {
			unknown++
		}
	}
	t.Logf("%d increments, of %d of which nobody was told the outcome; acknowledged %d, %d and %d", len(history), unknown, acked[0].Load(), acked[1].Load(), acked[2].Load())
	model := counters.ToModel()
	if got := porcupine.CheckOperationsTimeout(model, history, time.Minute); got != porcupine.Ok {
		t.Errorf("as it was told, this is no counter of one machine: %v", got)
	}
}
