package node

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/origin"
	"drmesh/vosio/call"
)

// TestFailover: the owner dies with 50 txns that nobody else has. Another is
// made the owner; when the first comes back, they are undone there, put into a
// lost-transaction file, and those that are safe are committed again.
func TestFailover(t *testing.T) {
	t.Parallel()
	for _, rejoin := range []string{"merge", "divert"} {
		t.Run(rejoin, func(t *testing.T) {
			nodes := ownedMesh(t, " =on_rejoin "+rejoin+"\n", "%east#m1", "%west#m1", "%north#m1")
			ctx := context.Background()
			keyedAt(t, nodes[0], "main:k")
			hasIndexes(t, "main:k", 2, nodes...)
			write := func(n *Node, from, to int, what string) {
				t.Helper()
				c := program(t, n)
				port := opened(t, c, "main:k")
				for i := from; i < to; i++ {
					if err := c.KeyedWrite(ctx, port, []byte(fmt.Sprintf("%04da %s", i, what))); err != nil {
						t.Fatal(err)
					}
				}
			}
			write(nodes[0], 0, 100, "shared")
			converged(t, nodes, "main:k")
			cutOff(t, nodes[0], nodes[1:], true)
			write(nodes[0], 100, 150, "only at east")
			c := program(t, nodes[0])
			port := opened(t, c, "main:k")
			if err := c.KeyedRewrite(ctx, port, nil, []byte("0007a rewritten only at east")); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"PASS", "FAIL"} {
				check, err := engine{nodes[1]}.FailoverCheck(ctx, admin.SwitchRequest{Group: "ledger", To: "%west#m1"})
				if err != nil || want == "FAIL" && check.First(admin.Fail) == nil {
					t.Errorf("check while the owner lives: %+v, %v", check, err)
				}
			}
			if _, err := (engine{nodes[1]}).FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%west#m1"}); class(err) != admin.Precondition {
				t.Errorf("failover while the owner lives: %v", err)
			}
			dir := nodes[0].dir.path
			shut(t, nodes[0])
			eventually(t, "control has a leader again", func() bool { return status(t, nodes[1]).Quorum && status(t, nodes[2]).Quorum })
			r, err := engine{nodes[2]}.FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim", AcceptLoss: true})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Failover || r.To != "%west#m1" {
				t.Errorf("receipt: %+v", r)
			}
			write(nodes[1], 200, 210, "after")
			write(nodes[1], 149, 150, "taken by west")

			nodes[0] = reopen(t, dir)
			cutOff(t, nodes[0], nodes[1:], false)
			if err := tryPut(nodes[0], "notes:x", "notes go on"); err == nil {
				t.Log("notes are written at once")
			}
			eventually(t, "east has undone them", func() bool {
				l, err := engine{nodes[0]}.LostFiles(ctx)
				return err == nil && len(l) == 1 && nodes[0].isReady(nodes[0].ctl.state().Groups[0].Number)
			})
			lost, err := engine{nodes[0]}.LostFiles(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if f := lost[0]; f.Txns != 51 || f.Epoch != 1 || f.Owner != "%east#m1" || f.End != r.Number {
				t.Errorf("lost-transaction file: %+v, the receipt's number is %d", f, r.Number)
			}
			end, _ := nodes[0].ctl.state().End(origin.Stream{Group: ledgerGroup(nodes[0]), Module: 1, Incarnation: 1})
			for q, want := range map[origin.Seq]bool{end.Seq: true, end.Seq + 1: false} {
				d := origin.Dot{Stream: origin.Stream{Group: ledgerGroup(nodes[0]), Module: 1, Incarnation: 1}, Seq: q}
				if l, err := nodes[0].eng.Images(d); err != nil || len(l) > 0 != want {
					t.Errorf("%d before-images of txn %d, which ended at %d: %v", len(l), q, end.Seq, err)
				}
			}
			if rejoin == "divert" {
				f, err := engine{nodes[0]}.LostFile(ctx, lost[0].Name)
				if err != nil {
					t.Fatal(err)
				}
				verdicts := map[string]int{}
				for _, x := range f.Transactions {
					verdicts[x.Verdict]++
				}
				if verdicts[admin.LostSafe] != 50 || verdicts[admin.LostConflicts] != 1 {
					t.Errorf("verdicts: %v", verdicts)
				}
				last := f.Transactions[50]
				if len(last.Ops) != 1 || string(last.Ops[0].Before) != "0007a shared" || string(last.Ops[0].After) != "0007a rewritten only at east" || string(last.Ops[0].Now) != "0007a shared" {
					t.Errorf("the last lost transaction: %+v", last)
				}
				converged(t, nodes, "main:k")
				if d, _ := (engine{nodes[2]}).Digest(ctx, "main:k"); d.Records != 111 {
					t.Errorf("%d records before the replay, 111 expected", d.Records)
				}
				if _, err := (engine{nodes[0]}).LostReplay(ctx, admin.LostChange{Name: lost[0].Name}); class(err) != admin.Precondition {
					t.Errorf("replay of what conflicts: %v", err)
				}
				if _, err := (engine{nodes[0]}).LostReplay(ctx, admin.LostChange{Name: lost[0].Name, Safe: true}); err != nil {
					t.Fatal(err)
				}
				if _, err := (engine{nodes[1]}).LostFile(ctx, lost[0].Name); class(err) != admin.NotFound {
					t.Errorf("the file at another module: %v", err)
				}
			}
			eventually(t, "what is safe was replayed", func() bool {
				l, err := engine{nodes[0]}.LostFiles(ctx)
				return err == nil && l[0].Replays == 50 && l[0].Open
			})
			converged(t, nodes, "main:k")
			if d, _ := (engine{nodes[2]}).Digest(ctx, "main:k"); d.Records != 160 {
				t.Errorf("%d records, 160 expected", d.Records)
			}
			p := program(t, nodes[2])
			reader := opened(t, p, "main:k")
			for key, want := range map[string]string{"0007": "0007a rewritten only at east", "0149": "0149a taken by west", "0120": "0120a only at east", "0205": "0205a after"} {
				if got, err := p.KeyedRead(ctx, reader, "id", []byte(key)); err != nil || string(got) != want {
					t.Errorf("record %s: %q, %v", key, got, err)
				}
			}
			f, err := engine{nodes[0]}.LostDiscard(ctx, lost[0].Name)
			if err != nil || f.Open {
				t.Errorf("discard: %+v, %v", f, err)
			}
			if _, err := (engine{nodes[0]}).LostReplay(ctx, admin.LostChange{Name: lost[0].Name, Safe: true}); class(err) != admin.Precondition {
				t.Errorf("replay of a closed file: %v", err)
			}
			if err := tryPut(nodes[0], "main:k", "x"); call.CodeOf(err) != call.NotOwner {
				t.Errorf("a write at the owner that was: %v", err)
			}
		})
	}
}

// TestFailoverByItself: with failover in the tables another module follows an
// owner that died, although it led the control group too.
func TestFailoverByItself(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, " =failover 1\n =rank %north#m1 %west#m1\n =commit_scope one\n", "%east#m1", "%west#m1", "%north#m1")
	put(t, nodes[0], "main:a", "one")
	converged(t, nodes, "main:a")
	// A slow moment is no death.
	before := nodes[0].ctl.state().Index
	if g, _ := (engine{nodes[1]}).Groups(context.Background()); g[0].Owner != "%east#m1" {
		t.Fatalf("the owner changed without need: %+v at %d", g[0], before)
	}
	dir := nodes[0].dir.path
	began := time.Now()
	shut(t, nodes[0])
	down := time.Since(began)
	eventually(t, "north takes writes", func() bool { return tryPut(nodes[2], "main:a", "two") == nil })
	last := nodes[2].ctl.state().Receipts[0]
	t.Logf("the owner was down after %v; the failover began after %v and ended after %v; the first write came after %v", down.Round(time.Millisecond),
		time.UnixMilli(last.Begun).Sub(began).Round(time.Millisecond), time.UnixMilli(last.Ended).Sub(began).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	nodes[0] = reopen(t, dir)
	eventually(t, "east knows", func() bool {
		g, err := engine{nodes[0]}.Groups(context.Background())
		return err == nil && g[0].Owner == "%north#m1"
	})
	converged(t, nodes, "main:a")
	if got, err := content(nodes[0], "main:a"); err != nil || got != "one two" {
		t.Errorf("east has %q, %v", got, err)
	}
}

// TestTwoSitesAndAWitness: of two sites one dies, and the other goes on, since
// a witness, which holds no data, makes them three that decide.
func TestTwoSitesAndAWitness(t *testing.T) {
	t.Parallel()
	nodes := bareMesh(t, "%east#m1", "%west#m1")
	ctx := context.Background()
	tok, err := engine{nodes[0]}.CreateToken(ctx, admin.TokenRequest{Role: "witness"})
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t) + "/w"
	if err := Join(ctx, JoinOptions{Token: tok.Token, Dir: dir, Module: "%third#w1", Listen: []string{freePort(t)}}); err != nil {
		t.Fatal(err)
	}
	witness := reopen(t, dir)
	applyTables(t, nodes[0], ownedTables+" =failover 1\n =commit_scope one\n")
	writable(t, nodes...)
	allVote(t, []*Node{nodes[0], nodes[1], witness})
	eventually(t, "the owner has its lease", func() bool { return leased(nodes[0]) })
	put(t, nodes[0], "main:a", "one")
	converged(t, nodes, "main:a")
	if _, err := (engine{witness}).Digest(ctx, "main:a"); class(err) != admin.NotFound {
		t.Errorf("the witness has a file: %v", err)
	}
	if d := witness.j.Durable(); len(d) > 0 {
		t.Errorf("the witness has streams: %v", d)
	}
	if _, err := (engine{witness}).SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%third#w1"}); class(err) != admin.Precondition {
		t.Errorf("a witness becomes the owner: %v", err)
	}
	east := nodes[0].dir.path
	shut(t, nodes[0])
	eventually(t, "west takes writes", func() bool {
		g, err := engine{nodes[1]}.Groups(ctx)
		return err == nil && g[0].Owner == "%west#m1" && leased(nodes[1])
	})
	// With commit_scope one nobody else is there to confirm.
	confirmWithin(nodes[1], 300*time.Millisecond)
	if err := tryPut(nodes[1], "main:a", "two"); call.CodeOf(err) != call.DurableHere {
		t.Errorf("a write that nobody confirms: %v", err)
	}
	nodes[0] = reopen(t, east)
	eventually(t, "east follows", func() bool {
		got, err := content(nodes[0], "main:a")
		return err == nil && got == "one two"
	})
	confirmWithin(nodes[1], scopeTimeout)
	if err := tryPut(nodes[1], "main:a", "three"); err != nil {
		t.Errorf("a write with both there: %v", err)
	}
	converged(t, nodes, "main:a")
}

// TestOwnerThereAndBack: an owner dies, and so does a module that has three of
// its txns more than the one that follows. Both come back, undo the three, and
// the group goes back to its first owner, under another incarnation: the
// numbers are one line, and nothing is applied twice.
func TestOwnerThereAndBack(t *testing.T) {
	t.Parallel()
	nodes := bareMesh(t, "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	all := append([]*Node{}, nodes...)
	for i := range 2 { // so that two of the five may be away
		tok, err := engine{nodes[0]}.CreateToken(ctx, admin.TokenRequest{Role: "witness"})
		if err != nil {
			t.Fatal(err)
		}
		dir := shortDir(t) + "/w"
		if err := Join(ctx, JoinOptions{Token: tok.Token, Dir: dir, Module: fmt.Sprintf("%%third#w%d", i+1), Listen: []string{freePort(t)}}); err != nil {
			t.Fatal(err)
		}
		all = append(all, reopen(t, dir))
	}
	applyTables(t, nodes[0], ownedTables+" =on_rejoin divert\n")
	writable(t, nodes...)
	allVote(t, all)
	eventually(t, "the owner has its lease", func() bool { return leased(nodes[0]) })
	put(t, nodes[0], "main:a", "one", "two")
	converged(t, nodes, "main:a")
	cutOff(t, nodes[1], []*Node{nodes[0], nodes[2]}, true)
	put(t, nodes[0], "main:a", "three", "four", "five")
	eventually(t, "north has them", func() bool {
		got, err := content(nodes[2], "main:a")
		return err == nil && got == "one two three four five"
	})
	east, north := nodes[0].dir.path, nodes[2].dir.path
	shut(t, nodes[0])
	shut(t, nodes[2])
	eventually(t, "west takes over", func() bool {
		_, err := engine{nodes[1]}.FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim", AcceptLoss: true})
		return err == nil
	})
	put(t, nodes[1], "main:a", "three again")
	nodes[0], nodes[2] = reopen(t, east), reopen(t, north)
	cutOff(t, nodes[1], []*Node{nodes[0], nodes[2]}, false)
	for _, n := range []*Node{nodes[0], nodes[2]} {
		eventually(t, n.dir.Module+" has undone them", func() bool {
			l, err := engine{n}.LostFiles(ctx)
			got, cerr := content(n, "main:a")
			return err == nil && len(l) == 1 && l[0].Txns == 3 && cerr == nil && got == "one two three again"
		})
	}
	eventually(t, "the group goes back", func() bool {
		_, err := engine{nodes[2]}.SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%east#m1", By: "kim"})
		return err == nil
	})
	put(t, nodes[0], "main:a", "four again")
	converged(t, nodes, "main:a")
	for _, n := range nodes {
		if got, err := content(n, "main:a"); err != nil || got != "one two three again four again" {
			t.Errorf("%s has %q, %v", n.dir.Module, got, err)
		}
		g, err := engine{n}.Groups(ctx)
		// The file, two records, west's, and east's last.
		if err != nil || g[0].Owner != "%east#m1" || g[0].Epoch != 3 || g[0].Number != 5 {
			t.Errorf("the group at %s: %+v, %v", n.dir.Module, g[0], err)
		}
		term, _ := n.ctl.state().Term(ledgerGroup(n))
		if term.Incarnation != 2 {
			t.Errorf("east writes under incarnation %d", term.Incarnation)
		}
		st := n.ctl.state()
		notes, _ := st.Group("notes")
		if inc := st.Incarnation(notes.Number, nodes[0].dir.Number); inc != 1 {
			t.Errorf("east writes another group under incarnation %d", inc)
		}
		for _, a := range status(t, n).Alarms {
			if strings.Contains(a, "fork") {
				t.Errorf("%s has the alarm %q", n.dir.Module, a)
			}
		}
	}
}
