package node

import (
	"context"
	"strings"
	"sync"
	"testing"

	"drmesh/admin"
	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// What operators ask of groups with an owner and should not: each is refused
// with a line and a remedy, or survived, and nothing is changed that was not
// asked.

// line is what a check says of one thing; the worst of several.
func line(c *admin.SwitchCheck, check string) (l admin.CheckLine) {
	for _, x := range c.Checks {
		if x.Check == check && (l.Level == "" || x.Level == admin.Fail || x.Level == admin.Warn && l.Level == admin.Pass) {
			l = x
		}
	}
	return l
}

// TestSwitchoverToWhoShouldNot: to a module that does not hold the group whole,
// to one where something is parked, of another version, unknown, a witness, not
// routed, or the owner itself.
func TestSwitchoverToWhoShouldNot(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	keyedAt(t, nodes[0], "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	check := func(to string) *admin.SwitchCheck {
		t.Helper()
		c, err := engine{nodes[2]}.SwitchCheck(ctx, admin.SwitchRequest{Group: "ledger", To: to})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range c.Checks {
			if l.Level != admin.Pass && l.Remedy == "" {
				t.Errorf("no remedy: %+v", l)
			}
		}
		return c
	}
	refused := func(to, what string, want admin.Class, text string) {
		t.Helper()
		_, err := engine{nodes[2]}.SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: to, By: "kim"})
		if class(err) != want || !strings.Contains(err.Error(), text) || admin.AsError(err).Hint == "" {
			t.Errorf("switchover to %s: %v", what, err)
		}
	}
	refused("%east#m1", "the owner itself", admin.Precondition, "owns the group already")
	refused("%nosuch#m1", "nobody", admin.NotFound, "no member is called")
	refused("", "no name", admin.NotFound, "no member is called")
	refused("west", "half a name", admin.NotFound, "no member is called")

	// Another version takes over during an upgrade; it is only said.
	dir := nodes[1].dir.path
	shut(t, nodes[1])
	west, err := Open(ctx, ServeOptions{Dir: dir, Logger: testLog(t).With("again", dir), version: "9.9.9"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { west.Close() })
	nodes[1] = west
	eventually(t, "west answers", func() bool {
		return line(check("%west#m1"), "version").Level == admin.Warn && check("%west#m1").Level != admin.Fail
	})
	if l := line(check("%west#m1"), "version"); !strings.Contains(l.Text, "%west#m1 is 9.9.9") {
		t.Errorf("another version: %+v", l)
	}

	// Something is parked there.
	if err := program(t, west).CreateIndex(ctx, "main:k", "mail", []record.Component{{Position: 6, Length: 4}}, call.IndexHere); err == nil {
		c := program(t, nodes[0])
		port := opened(t, c, "main:k")
		for _, r := range []string{"0001xanna", "0002xanna"} {
			if err := c.KeyedWrite(ctx, port, []byte(r)); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "one is parked at west", func() bool { return len(parkedAt(t, west)) == 1 })
		if l := line(check("%west#m1"), "parked"); l.Level != admin.Warn || !strings.Contains(l.Text, "1 records cannot be shown at %west#m1") {
			t.Errorf("parked: %+v", l)
		}
	} else {
		t.Logf("a module that does not own the group makes no index: %v", err)
	}

	// It is behind: what it lacks is gone from the journals, and nobody gives it
	// the group.
	holds := func(is bool) {
		west.mu.Lock()
		west.ready[ledgerGroup(west)] = is
		west.mu.Unlock()
	}
	holds(false)
	if l := line(check("%west#m1"), "target"); l.Level != admin.Fail || !strings.Contains(l.Text, "does not hold the group whole") {
		t.Errorf("behind: %+v", l)
	}
	refused("%west#m1", "a module that is behind", admin.Precondition, "does not hold the group whole")
	g, err := engine{nodes[2]}.Groups(ctx)
	if err != nil || g[0].Owner != "%east#m1" || g[0].Epoch != 1 || g[0].Switching != nil {
		t.Errorf("the group: %+v, %v", g, err)
	}
	if err := tryPut(nodes[0], "notes:a", "x"); err != nil {
		t.Error(err)
	}
	holds(true)
	eventually(t, "west may be the owner again", func() bool { return check("%west#m1").Level != admin.Fail })
}

// TestTwoOperatorsAtOnce: of two changes of owner one comes about, and the other
// is refused; the owner is one.
func TestTwoOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	put(t, nodes[0], "main:a", "one")
	converged(t, nodes, "main:a")
	race := func(start func(n *Node, to string) error) (won string) {
		t.Helper()
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, n := range nodes[1:] {
			wg.Go(func() { errs[i] = start(n, n.dir.Module) })
		}
		wg.Wait()
		for i, err := range errs {
			switch {
			case err == nil && won == "":
				won = nodes[i+1].dir.Module
			case err == nil:
				// The second found the first one's at its end, and followed it.
				t.Logf("both came about, one after the other")
				won = ""
			case class(err) != admin.Precondition:
				t.Errorf("the other was refused so: %v", err)
			}
		}
		return won
	}
	if won := race(func(n *Node, to string) error {
		_, err := engine{n}.SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: to, By: n.dir.Module})
		return err
	}); won != "" {
		if g, _ := (engine{nodes[0]}).Groups(ctx); g[0].Owner != won || g[0].Epoch != 2 {
			t.Errorf("%s won, the group: %+v", won, g[0])
		}
	}
	for _, n := range nodes {
		eventually(t, "nothing is under way at "+n.dir.Module, func() bool {
			g, err := engine{n}.Groups(ctx)
			return err == nil && g[0].Switching == nil
		})
	}
}

// TestTwoFailoversAtOnce: the owner is dead. Two operators each give the group
// to another module within a moment, and try again at once: one becomes the
// owner, in one epoch more, and the rest is refused since it lives.
func TestTwoFailoversAtOnce(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	put(t, nodes[0], "main:a", "one")
	converged(t, nodes, "main:a")
	shut(t, nodes[0])
	rest := nodes[1:]
	eventually(t, "control has a leader", func() bool { return status(t, rest[0]).Quorum && status(t, rest[1]).Quorum })
	var mu sync.Mutex
	var wg sync.WaitGroup
	var won []string
	for _, n := range rest {
		for range 2 {
			wg.Go(func() {
				r, err := engine{n}.FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: n.dir.Module, By: n.dir.Module, AcceptLoss: true})
				if err != nil {
					if c := class(err); c != admin.Precondition && c != admin.NotFound {
						t.Errorf("refused so: %v", err)
					}
					return
				}
				mu.Lock()
				won = append(won, r.To)
				mu.Unlock()
			})
		}
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("owners: %v", won)
	}
	for _, n := range rest {
		eventually(t, n.dir.Module+" knows", func() bool {
			g, err := engine{n}.Groups(ctx)
			return err == nil && g[0].Owner == won[0] && g[0].Epoch == 2 && g[0].Switching == nil
		})
		other := rest[0].dir.Module
		if other == won[0] {
			other = rest[1].dir.Module
		}
		_, err := engine{n}.FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: other, By: "kim", AcceptLoss: true})
		if class(err) != admin.Precondition || !strings.Contains(err.Error(), won[0]+" answers: it is not gone") || !strings.Contains(admin.AsError(err).Hint, "switchover start") {
			t.Errorf("failover while the new owner lives: %v", err)
		}
	}
	writers := 0
	for _, n := range rest {
		if n.dir.Module == won[0] {
			eventually(t, "the new owner writes", func() bool { return tryPut(n, "main:a", "two") == nil })
		}
		if leased(n) {
			writers++
		}
	}
	if writers != 1 {
		t.Errorf("%d modules may write", writers)
	}
	st := rest[0].ctl.state()
	if end, ok := st.End(origin.Stream{Group: ledgerGroup(rest[0]), Module: 1, Incarnation: 1}); !ok || end.Seq == 0 {
		t.Errorf("east's stream: %+v, %v", end, ok)
	}
}

// TestFailoverListsWhatSurvivorsHeardOf: the target knows of no txn that is
// missing, but another survivor has heard of them.
func TestFailoverListsWhatSurvivorsHeardOf(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	put(t, nodes[0], "main:a", "one")
	converged(t, nodes, "main:a")
	cutOff(t, nodes[1], []*Node{nodes[0], nodes[2]}, true)
	put(t, nodes[0], "main:a", "two", "three")
	converged(t, []*Node{nodes[0], nodes[2]}, "main:a")
	shut(t, nodes[0])
	eventually(t, "control has a leader", func() bool { return status(t, nodes[1]).Quorum && status(t, nodes[2]).Quorum })
	r := admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim"}
	check, err := engine{nodes[1]}.FailoverCheck(ctx, r)
	if err != nil || check.Missing != 0 || !strings.Contains(line(check, "lag").Text, "fetches 2 txns from other survivors first") {
		t.Errorf("what another survivor has: %+v, %v", check, err)
	}
	// East told north of two more before it died.
	s := origin.Stream{Group: ledgerGroup(nodes[2]), Module: 1, Incarnation: 1}
	has := nodes[2].j.Durable()[s].Seq
	nodes[2].acks.note(1, []origin.StreamSeq{{Stream: s, Seq: has + 2}})
	check, err = engine{nodes[1]}.FailoverCheck(ctx, r)
	if err != nil || check.Missing != 2 || len(check.MissingDots) != 2 || !strings.HasPrefix(check.MissingDots[0], "%east#m1.1/ledger:") {
		t.Errorf("what no survivor has: %+v, %v", check, err)
	}
	if _, err := (engine{nodes[1]}).FailoverStart(ctx, r); class(err) != admin.WouldLose {
		t.Errorf("failover that loses what nobody accepted: %v", err)
	}
	// With north away its knowledge is, too; that is said.
	shut(t, nodes[2])
	check, err = engine{nodes[1]}.FailoverCheck(ctx, r)
	if err != nil || line(check, "survivors").Level != admin.Warn || !strings.Contains(line(check, "survivors").Text, "%north#m1") {
		t.Errorf("with a survivor away: %+v, %v", check, err)
	}
}
