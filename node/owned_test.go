package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/vosio/call"
)

const ownedTables = `/=record_type    include
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
 =mode           owned
 =owner          %east#m1
`

// ownedMesh is a mesh with a share that %east#m1 owns, main, and one that all
// write, notes.
func ownedMesh(t testing.TB, more string, names ...string) []*Node {
	t.Helper()
	nodes := bareMesh(t, names...)
	applyTables(t, nodes[0], ownedTables+more)
	writable(t, nodes...)
	allVote(t, nodes)
	eventually(t, "the owner has its lease", func() bool { return leased(nodes[0]) })
	return nodes
}

func applyTables(t testing.TB, n *Node, text string) {
	t.Helper()
	plan, err := engine{n}.ControlApply(context.Background(), admin.ControlChange{Timeout: 20 * time.Second, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Lacking) > 0 {
		t.Fatalf("without the epoch: %v", plan.Lacking)
	}
}

func leased(n *Node) bool {
	st := n.ctl.state()
	g, _ := st.Group("ledger")
	tm, ok := st.Term(g.Number)
	return ok && tm.Owner == n.dir.Number && n.leases.holds(g.Number, tm.Epoch)
}

// tryPut appends one record to a file that is there.
func tryPut(n *Node, path, record string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p := n.eng.NewProcess("test")
	defer p.Close()
	c := call.Client{Caller: p}
	port, err := c.OpenPath(ctx, path, call.OpenOptions{Org: call.OrgSequential, IO: call.Append, Lock: call.ImplicitLocking, Access: call.Sequential})
	if err != nil {
		return err
	}
	return c.SeqWrite(ctx, port, []byte(record))
}

// TestOneModuleWritesAnOwnedGroup: the others read it, and write what is not
// owned.
func TestOneModuleWritesAnOwnedGroup(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	for _, c := range []struct {
		n     *Node
		group string
		why   string
	}{
		{nodes[0], "ledger", ""}, {nodes[1], "ledger", "group ledger: %east#m1 owns it"},
		{nodes[1], "notes", ""}, {nodes[1], "", ""}, // it writes what is not owned
	} {
		r, err := engine{c.n}.Ready(context.Background(), "write", c.group)
		if err != nil || r.Ready != (c.why == "") || strings.Join(r.Reasons, "; ") != c.why {
			t.Errorf("%s, group %q: %+v, %v", c.n.dir.Module, c.group, r, err)
		}
	}
	if _, err := (engine{nodes[0]}).Ready(context.Background(), "write", "none"); err == nil || !strings.Contains(err.Error(), "no group none") {
		t.Error(err)
	}
	put(t, nodes[0], "main:a", "one")
	converged(t, nodes, "main:a")
	for _, n := range nodes[1:] {
		if err := tryPut(n, "main:a", "two"); call.CodeOf(err) != call.NotOwner {
			t.Errorf("a write at %s: %v", n.dir.Module, err)
		}
		if got, err := content(n, "main:a"); err != nil || got != "one" {
			t.Errorf("a read at %s: %q, %v", n.dir.Module, got, err)
		}
		put(t, n, "notes:of_"+n.dir.Module[1:5], "mine")
	}
	if err := (engine{nodes[0]}).Leave(context.Background(), true); class(err) != admin.Precondition {
		t.Errorf("the owner leaves: %v", err)
	}
}

// TestSwitchover gives a group to another module and back while programs write
// as fast as they can: each acknowledged record is there once, in one line of
// numbers.
func TestSwitchover(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	put(t, nodes[0], "main:a")
	converged(t, nodes, "main:a")
	var acked, stop atomic.Int64
	var writers sync.WaitGroup
	for i, n := range nodes[:2] {
		for j := range 4 {
			writers.Go(func() {
				for k := 0; stop.Load() == 0; k++ {
					switch err := tryPut(n, "main:a", fmt.Sprintf("%d.%d.%d", i, j, k)); call.CodeOf(err) {
					case 0:
						acked.Add(1)
					case call.NotOwner:
						time.Sleep(5 * time.Millisecond)
					default:
						t.Errorf("write at %s: %v", n.dir.Module, err)
						return
					}
				}
			})
		}
	}
	to := []int{1, 0, 1}
	for i, at := range to {
		before := acked.Load()
		eventually(t, "writes go on", func() bool { return acked.Load() > before+50 })
		r, err := engine{nodes[2]}.SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: nodes[at].dir.Module, By: "kim"})
		if err != nil {
			t.Fatal(err)
		}
		if r.Epoch != uint64(i+2) || r.To != nodes[at].dir.Module || r.Failed != "" {
			t.Errorf("receipt: %+v", r)
		}
		t.Logf("switchover to %s after %d: writes stood still for %.0f ms", r.To, r.Number, r.Still)
	}
	before := acked.Load()
	eventually(t, "writes go on", func() bool { return acked.Load() > before+50 })
	stop.Store(1)
	writers.Wait()
	converged(t, nodes, "main:a")
	d, err := engine{nodes[2]}.Digest(ctx, "main:a")
	if err != nil || d.Records != acked.Load() {
		t.Errorf("%d records were acknowledged, the file has %d; %v", acked.Load(), d.Records, err)
	}
	for _, n := range nodes {
		groups, err := engine{n}.Groups(ctx)
		if err != nil || len(groups) != 2 || groups[0].Owner != "%west#m1" || groups[0].Epoch != 4 {
			t.Fatalf("groups at %s: %+v, %v", n.dir.Module, groups, err)
		}
		// Besides the records: the file's claim.
		if want := uint64(acked.Load()) + 1; groups[0].Number != want {
			t.Errorf("%s counts %d txns of the group, %d expected", n.dir.Module, groups[0].Number, want)
		}
	}
	if c := sameConflicts(t, nodes); len(c) > 0 {
		t.Errorf("conflicts: %+v", c)
	}
}

// TestSwitchoverIsRolledBack: the new owner is cut off from what it lacks; the
// old one goes on.
func TestSwitchoverIsRolledBack(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	put(t, nodes[0], "main:a", "one")
	converged(t, nodes, "main:a")
	for _, n := range []*Node{nodes[0], nodes[2]} {
		if err := (engine{n}).SetLink(ctx, admin.LinkChange{A: n.dir.Module, B: "%west#m1", Paused: true}); err != nil {
			t.Fatal(err)
		}
	}
	put(t, nodes[0], "main:a", "two")
	r := admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim", Timeout: time.Second}
	check, err := engine{nodes[0]}.SwitchCheck(ctx, r)
	if err != nil || line(check, "lag").Level != admin.Fail || line(check, "links").Level != admin.Warn {
		t.Errorf("check of a module that is cut off: %+v, %v", check, err)
	}
	if _, err := (engine{nodes[0]}).SwitchStart(ctx, r); class(err) != admin.Precondition {
		t.Errorf("a switch to a module that is cut off: %v", err)
	}
	// It was cut off a moment after the check.
	_, err = engine{nodes[0]}.changeOwner(ctx, r, check, false)
	if err == nil || class(err) != admin.Failed {
		t.Fatalf("a switch to a module that is cut off: %v", err)
	}
	t.Log(err)
	put(t, nodes[0], "main:a", "three")
	for _, x := range []struct {
		r    admin.SwitchRequest
		want admin.Class
	}{
		{admin.SwitchRequest{Group: "notes", To: "%west#m1"}, admin.Precondition},
		{admin.SwitchRequest{Group: "nosuch", To: "%west#m1"}, admin.NotFound},
		{admin.SwitchRequest{Group: "ledger", To: "%south#m1"}, admin.NotFound},
		{admin.SwitchRequest{Group: "ledger", To: "%east#m1"}, admin.Precondition},
	} {
		if _, err := (engine{nodes[1]}).SwitchStart(ctx, x.r); class(err) != x.want {
			t.Errorf("switch %s to %s: %v", x.r.Group, x.r.To, err)
		}
	}
}

// TestNoLeaseNoWrites takes the control group away: the owner stops within the
// time of its lease, and goes on when control is back. Groups that all write
// notice nothing.
func TestNoLeaseNoWrites(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	put(t, nodes[0], "main:a", "one")
	for _, n := range nodes[1:] {
		if err := n.raft.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the lease ends", func() bool { return !leased(nodes[0]) })
	if err := tryPut(nodes[0], "main:a", "two"); call.CodeOf(err) != call.NotOwner && err != context.DeadlineExceeded {
		t.Errorf("a write without lease: %v", err)
	}
	put(t, nodes[0], "notes:a", "goes on")
	if got, err := content(nodes[0], "main:a"); err != nil || got != "one" {
		t.Errorf("a read without lease: %q, %v", got, err)
	}
}

// confirmWithin has a module's writes wait so long for others to confirm them.
func confirmWithin(n *Node, d time.Duration) {
	n.scopes.mu.Lock()
	n.scopes.timeout = d
	n.scopes.mu.Unlock()
}

// TestCommitScope: a change is acknowledged when as many hold it as the group
// says, or told to be durable here alone.
func TestCommitScope(t *testing.T) {
	t.Parallel()
	for _, scope := range []string{control.ScopeOne, control.ScopeSystem, control.ScopeAll} {
		t.Run(scope, func(t *testing.T) {
			nodes := ownedMesh(t, " =commit_scope "+scope+"\n", "%east#m1", "%west#m1", "%east#m2")
			ctx := context.Background()
			put(t, nodes[0], "main:a", "one", "two")
			held := 0
			for _, n := range nodes[1:] {
				if got, err := content(n, "main:a"); err == nil && got == "one two" {
					held++
				}
			}
			if held == 0 || scope == control.ScopeAll && held < 2 {
				t.Errorf("acknowledged while %d others had it", held)
			}
			// %west#m1 is away: the others are of the owner's own system.
			for _, n := range []*Node{nodes[0], nodes[2]} {
				if err := (engine{n}).SetLink(ctx, admin.LinkChange{A: n.dir.Module, B: "%west#m1", Paused: true}); err != nil {
					t.Fatal(err)
				}
			}
			want := map[string]call.Code{control.ScopeOne: 0, control.ScopeSystem: call.DurableHere, control.ScopeAll: call.DurableHere}[scope]
			if want != 0 {
				confirmWithin(nodes[0], 300*time.Millisecond)
			}
			if err := tryPut(nodes[0], "main:a", "three"); call.CodeOf(err) != want {
				t.Errorf("without west: %v", err)
			}
			if got, err := content(nodes[0], "main:a"); err != nil || got != "one two three" {
				t.Errorf("the owner has %q, %v", got, err)
			}
			applyTables(t, nodes[0], ownedTables+" =commit_scope "+scope+"\n =on_timeout go_on\n")
			if err := tryPut(nodes[0], "main:a", "four"); err != nil {
				t.Errorf("with on_timeout go_on: %v", err)
			}
		})
	}
}

// TestPromise6Fencing cuts an owner off from everybody while programs write at
// all modules. Another follows by itself. No two modules acknowledge writes at
// one time, and what was acknowledged is there at the end, once, in one line.
func TestPromise6Fencing(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, " =failover 1\n =commit_scope one\n", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	confirmWithin(nodes[0], time.Second)
	put(t, nodes[0], "main:a")
	converged(t, nodes, "main:a")
	type ack struct {
		at     time.Time
		record string
	}
	acks := make([][]ack, len(nodes))
	var stop atomic.Bool
	var writers sync.WaitGroup
	for i, n := range nodes {
		writers.Go(func() {
			for k := 0; !stop.Load(); k++ {
				r := fmt.Sprintf("%d.%d", i, k)
				if err := tryPut(n, "main:a", r); err == nil {
					acks[i] = append(acks[i], ack{time.Now(), r})
				} else {
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	enough := func(n *Node, more uint64) func() bool {
		return func() bool {
			g, err := engine{n}.Groups(ctx)
			return err == nil && g[0].Number > more
		}
	}
	eventually(t, "the owner writes", enough(nodes[0], 30))
	cutOff(t, nodes[0], nodes[1:], true)
	dir := nodes[0].dir.path
	if err := nodes[0].raft.Shutdown(); err != nil {
		t.Fatal(err)
	}
	var next int
	eventually(t, "another owner", func() bool {
		g, err := engine{nodes[1]}.Groups(ctx)
		if err != nil || g[0].Epoch != 2 {
			return false
		}
		for i, n := range nodes {
			if n.dir.Module == g[0].Owner {
				next = i
			}
		}
		return true
	})
	before, err := engine{nodes[next]}.Groups(ctx)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next one writes", enough(nodes[next], before[0].Number+30))
	stop.Store(true)
	writers.Wait()
	if next == 0 || len(acks[0]) == 0 || len(acks[next]) == 0 || len(acks[3-next]) != 0 {
		t.Fatalf("acknowledged: %d, %d and %d; the next owner is %d", len(acks[0]), len(acks[1]), len(acks[2]), next)
	}
	if last, first := acks[0][len(acks[0])-1], acks[next][0]; !last.at.Before(first.at) {
		t.Errorf("%s was acknowledged at the old owner %v after %s at the new one", last.record, last.at.Sub(first.at), first.record)
	}
	shut(t, nodes[0])
	nodes[0] = reopen(t, dir)
	cutOff(t, nodes[0], nodes[1:], false)
	eventually(t, "east knows of its end", func() bool {
		end, ok := nodes[0].ctl.state().End(origin.Stream{Group: ledgerGroup(nodes[0]), Module: 1, Incarnation: 1})
		return ok && nodes[0].j.Tail(origin.Stream{Group: ledgerGroup(nodes[0]), Module: 1, Incarnation: 1}).Seq == end.Seq
	})
	converged(t, nodes, "main:a")
	have := map[string]int{}
	got, err := content(nodes[2], "main:a")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.Fields(got) {
		have[r]++
	}
	for i := range acks {
		for _, a := range acks[i] {
			if have[a.record] != 1 {
				t.Errorf("record %s was acknowledged and is there %d times", a.record, have[a.record])
			}
		}
	}
	if c := sameConflicts(t, nodes); len(c) > 0 {
		t.Errorf("conflicts: %+v", c)
	}
}

// ledgerGroup is the number of the owned group.
func ledgerGroup(n *Node) origin.Group {
	g, _ := n.ctl.state().Group("ledger")
	return g.Number
}

// TestTailBeginsAtTheEnd: who follows the journal is shown what is to come, and
// from a dot or time on what was before.
func TestTailBeginsAtTheEnd(t *testing.T) {
	nodes := meshReady(t, "%east#m1")
	put(t, nodes[0], "main:a", "before")
	ctx, cancel := context.WithCancel(context.Background())
	var tails sync.WaitGroup
	defer func() {
		cancel()
		tails.Wait()
	}()
	tail := func(r admin.JournalRequest) chan string {
		got := make(chan string, 1000)
		tails.Go(func() {
			engine{nodes[0]}.Journal(ctx, r, func(c *admin.Change) error {
				if c.Kind == "write" && c.File == "a" {
					got <- string(c.Data)
				}
				return nil
			})
		})
		return got
	}
	began := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	all, next := tail(admin.JournalRequest{Follow: true, From: began}), tail(admin.JournalRequest{Follow: true})
	if got := <-all; got != "before" {
		t.Errorf("from a time on: %q first", got)
	}
	// The other one stands at the end by the time that it sees anything.
	eventually(t, "what is written is seen", func() bool {
		if err := tryPut(nodes[0], "main:a", "after"); err != nil {
			t.Fatal(err)
		}
		return len(next) > 0
	})
	if got := <-next; got != "after" {
		t.Errorf("without a beginning: %q first", got)
	}
}
