package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/origin"
	"drmesh/vosio/call"
)

// joins admits a module at a member, and serves it.
func joins(t testing.TB, at *Node, name string) *Node {
	t.Helper()
	ctx := context.Background()
	tok, err := engine{at}.CreateToken(ctx, admin.TokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	d := filepath.Join(shortDir(t), "d")
	if err := Join(ctx, JoinOptions{Token: tok.Token, Dir: d, Module: name, Listen: []string{freePort(t)}}); err != nil {
		t.Fatal(err)
	}
	return reopen(t, d)
}

// TestJoinAfterPruning has a fourth module join when the others have let go of
// their journals, while two of them write.
func TestJoinAfterPruning(t *testing.T) {
	t.Setenv("DRMESH_JOURNAL_KEEP", "0")
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	keyedAt(t, nodes[0], "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	ctx := context.Background()
	c := program(t, nodes[0])
	port := opened(t, c, "main:k")
	for i := range 300 {
		if err := c.KeyedWrite(ctx, port, []byte(fmt.Sprintf("%04da of east", i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if err := c.KeyedDelete(ctx, port, []byte(fmt.Sprintf("%04d", i))); err != nil {
			t.Fatal(err)
		}
	}
	stream := nodes[0].ownStreams()[0]
	for _, n := range nodes {
		eventually(t, n.dir.Module+" lets go of its journal", func() bool { return n.j.Pruned(stream) >= 350 })
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, n := range nodes[:2] {
		c := program(t, n)
		port := opened(t, c, "main:k")
		wg.Add(1)
		go func() {
			defer wg.Done()
			for r := 0; ; r++ {
				select {
				case <-stop:
					return
				default:
				}
				k := 1000*(i+1) + r%1000
				data := []byte(fmt.Sprintf("%04db round %d of %d", k, r, i))
				err := c.KeyedWrite(ctx, port, data)
				if call.CodeOf(err) == call.InvalidDuplicateKey {
					err = c.KeyedRewrite(ctx, port, nil, data)
				}
				if err == nil && r%5 == 4 {
					err = c.KeyedDelete(ctx, port, []byte(fmt.Sprintf("%04d", k)))
				}
				if err != nil {
					t.Errorf("round %d at %s: %v", r, n.dir.Module, err)
					return
				}
			}
		}()
	}
	fourth := joins(t, nodes[2], "%south#m1")
	nodes = append(nodes, fourth)
	eventually(t, "the fourth may write", func() bool { return mayWrite(fourth) })
	c4 := program(t, fourth)
	p4 := opened(t, c4, "main:k")
	for i := range 50 {
		if err := c4.KeyedWrite(ctx, p4, []byte(fmt.Sprintf("%04dc of south", 5000+i))); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	converged(t, nodes, "main:k")
	sameConflicts(t, nodes)
	for i := range 300 {
		_, err := c4.KeyedRead(ctx, p4, "id", []byte(fmt.Sprintf("%04d", i)))
		if want := call.Code(0); i < 100 {
			if call.CodeOf(err) != call.RecordNotFound {
				t.Fatalf("record %d was deleted before the fourth joined: %v there", i, err)
			}
		} else if call.CodeOf(err) != want {
			t.Fatalf("record %d at the fourth: %v", i, err)
		}
	}
	eventually(t, "the fourth is a member", func() bool {
		for _, m := range status(t, nodes[0]).Members {
			if m.Module == "%south#m1" {
				return m.Status == "member"
			}
		}
		return false
	})
	works(t, nodes, "after")
}

// copyOf copies a module's directory.
func copyOf(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(shortDir(t), "copy")
	if out, err := exec.Command("cp", "-a", dir, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}

func hasAlarm(t testing.TB, n *Node, words ...string) bool {
	t.Helper()
	for _, a := range status(t, n).Alarms {
		ok := true
		for _, w := range words {
			ok = ok && strings.Contains(a, w)
		}
		if ok {
			return true
		}
	}
	return false
}

// refusesShared checks that a write to a shared file gives e$not_current.
func refusesShared(t testing.TB, n *Node, path string) {
	t.Helper()
	ctx := context.Background()
	c := program(t, n)
	port, err := c.OpenPath(ctx, path, call.OpenOptions{Org: call.OrgSequential, IO: call.Append, Lock: call.ImplicitLocking, Access: call.Sequential})
	if err == nil {
		err = c.SeqWrite(ctx, port, []byte("too early"))
	}
	if call.CodeOf(err) != call.NotCurrent {
		t.Errorf("a write to %s at the copy %s: %v, e$not_current expected", path, n.dir.Module, err)
	}
}

// TestRestoredCopy starts an old copy of a module's directory in its place: it
// takes no shared writes until all have agreed where its streams end, gets back
// what it had written, and goes on under new incarnations.
func TestRestoredCopy(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	put(t, nodes[1], "main:audit", "w1")
	converged(t, nodes, "main:audit")
	dir := nodes[1].dir.path
	shut(t, nodes[1])
	backup := copyOf(t, dir)
	nodes[1] = reopen(t, dir)
	writable(t, nodes[1])
	put(t, nodes[1], "main:audit", "w2")
	converged(t, nodes, "main:audit")
	shut(t, nodes[1])
	// Nothing is agreed on without all who hold data.
	third := nodes[2].dir.path
	shut(t, nodes[2])
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(backup, dir); err != nil {
		t.Fatal(err)
	}
	west := reopen(t, dir)
	refusesShared(t, west, "main:audit")
	eventually(t, "an alarm tells of the copy", func() bool { return hasAlarm(t, west, "not current", "restored from a copy") })
	refusesShared(t, west, "main:audit")
	if s := status(t, west).State; s != "not_current" {
		t.Errorf("state %s", s)
	}
	if got, err := content(west, "main:audit"); err != nil || !strings.HasPrefix(got, "w1") {
		t.Errorf("the copy reads %q, %v", got, err)
	}
	// Files of its own it may write, and what others do goes on among them.
	put(t, west, "%west#own>notes", "not shared")
	put(t, nodes[0], "main:audit", "e1")
	eventually(t, "the copy applies", func() bool { got, err := content(west, "main:audit"); return err == nil && got == "w1 e1" })
	// Kept over a restart.
	shut(t, west)
	west = reopen(t, dir)
	refusesShared(t, west, "main:audit")
	if d, under := nodes[0].ctl.state().Departure(2); under && len(nodes[0].ctl.state().Missing(d)) == 0 {
		t.Error("it is agreed on without north")
	}
	nodes[2] = reopen(t, third)
	north := nodes[2]
	// It relays.
	cut := func(paused bool) {
		if err := (engine{nodes[0]}).SetLink(context.Background(), admin.LinkChange{A: "%east#m1", B: "%north#m1", Paused: paused}); err != nil {
			t.Fatal(err)
		}
	}
	cut(true)
	put(t, nodes[0], "main:audit", "e2")
	eventually(t, "the copy relays", func() bool { got, err := content(north, "main:audit"); return err == nil && got == "w1 w2 e1 e2" })
	cut(false)
	// All are there: what it lacked comes back, and it writes again.
	old := origin.Stream{Group: nodes[0].ctl.state().Groups[0].Number, Module: 2, Incarnation: 1}
	eventually(t, "the old stream has ended", func() bool { _, ended := nodes[0].ctl.state().End(old); return ended })
	writable(t, west)
	put(t, west, "main:audit", "w3")
	converged(t, []*Node{nodes[0], west, north}, "main:audit")
	if got, err := content(west, "main:audit"); err != nil || got != "w1 w2 e1 e2 w3" {
		t.Errorf("the copy has %q, %v", got, err)
	}
	own := west.ownStreams()[0]
	if end, _ := west.ctl.state().End(old); own.Incarnation == 1 || west.j.Tail(old) != end || west.j.Tail(own).Seq != 1 {
		t.Errorf("it writes %v, which stands at %d; the old stream ended at %d, and stands at %d", own, west.j.Tail(own).Seq, end.Seq, west.j.Tail(old).Seq)
	}
	if s := status(t, west); s.State != "serving" || hasAlarm(t, west, "not current") {
		t.Errorf("state %s, %v", s.State, s.Alarms)
	}
	for _, n := range []*Node{nodes[0], west, north} {
		accountHolds(t, n)
	}
	// Nothing is forgotten over a restart.
	shut(t, west)
	west = reopen(t, dir)
	writable(t, west)
	put(t, west, "main:audit", "w4")
	converged(t, []*Node{nodes[0], west, north}, "main:audit")
	// The directory of before, which nobody has seen since, is not let write in
	// its place.
	shut(t, west)
	gone := reopen(t, dir+".gone")
	refusesShared(t, gone, "main:audit") // at once: it asks before it writes
	eventually(t, "it says why", func() bool { return hasAlarm(t, gone, "another directory of this module has taken its place") })
	refusesShared(t, gone, "main:audit")
}

// TestPutBackInPlace puts an older state into a directory without its
// fingerprint showing it, as a machine that goes back to a snapshot does: the
// first shared write waits until the neighbours were asked, and is refused. With
// no neighbour in reach it does not wait for long.
func TestPutBackInPlace(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	put(t, nodes[1], "main:audit", "w1")
	converged(t, nodes, "main:audit")
	dir := nodes[1].dir.path
	shut(t, nodes[1])
	backup := copyOf(t, dir)
	nodes[1] = reopen(t, dir)
	put(t, nodes[1], "main:audit", "w2")
	converged(t, nodes, "main:audit")
	shut(t, nodes[1])
	for _, of := range []string{"db", "control"} {
		if err := os.RemoveAll(filepath.Join(dir, of)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-a", filepath.Join(backup, of), dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	west := reopen(t, dir)
	if west.unproven.Load() {
		t.Fatal("its fingerprint shows it, so this tests nothing")
	}
	refusesShared(t, west, "main:audit")
	// It gets back what it had written, and goes on.
	writable(t, west)
	put(t, west, "main:audit", "w3")
	nodes[1] = west
	converged(t, nodes, "main:audit")
	if got, err := content(west, "main:audit"); err != nil || got != "w1 w2 w3" {
		t.Errorf("it has %q, %v", got, err)
	}
	// Alone it writes too.
	shut(t, nodes[0])
	shut(t, west)
	west = reopen(t, dir)
	put(t, west, "main:audit", "w4")
}

// TestFork has a directory and its copy both write under one stream: whoever
// meets both says so, and neither history is mixed into the other.
func TestFork(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	put(t, nodes[1], "main:audit", "w1")
	converged(t, nodes, "main:audit")
	var dirs []string
	for _, n := range nodes {
		dirs = append(dirs, n.dir.path)
		shut(t, n)
	}
	twin := copyOf(t, dirs[1])
	// The one writes with nobody in reach.
	west := reopen(t, dirs[1])
	writable(t, west)
	put(t, west, "main:audit", "w2", "w3", "w4")
	stream := west.ownStreams()[0]
	shut(t, west)
	// The other is a machine's snapshot, which no fingerprint tells from its
	// original.
	other := reopen(t, twin)
	other.proven(0)
	writable(t, other)
	put(t, other, "main:audit", "x2")
	east := reopen(t, dirs[0])
	eventually(t, "east has the twin's", func() bool { return applied(east, other) })
	shut(t, other)

	west = reopen(t, dirs[1])
	eventually(t, "west hears of it", func() bool { return hasAlarm(t, west, "fork") && hasAlarm(t, west, "not current") })
	eventually(t, "east hears of it", func() bool { return hasAlarm(t, east, "fork") })
	refusesShared(t, west, "main:audit")
	for what, n := range map[string]*Node{"w1 w2 w3 w4": west, "w1 x2": east} {
		if got, err := content(n, "main:audit"); err != nil || got != what {
			t.Errorf("%s has %q, %v", n.dir.Module, got, err)
		}
	}
	// North had neither: it takes what comes first, and hears of the other.
	north := reopen(t, dirs[2])
	eventually(t, "north hears of it", func() bool { return hasAlarm(t, north, "fork") })
	// What east writes now was made on east's history. North takes it if that
	// is its own too; else its gate stays shut until the fork is mended, since
	// the two must not be mixed.
	put(t, east, "main:more", "goes on")
	got, err := content(north, "main:audit")
	switch {
	case err == nil && got == "w1 x2":
		eventually(t, "the others go on", func() bool { got, err := content(north, "main:more"); return err == nil && got == "goes on" })
	case err == nil && got == "w1 w2 w3 w4":
		put(t, north, "main:north", "writes")
		if _, err := content(north, "main:more"); err == nil {
			t.Error("north took what was made on another history than its own")
		}
	default:
		t.Errorf("north has %q, %v", got, err)
	}
	_ = stream
	accountHolds(t, east)
	accountHolds(t, west)
	accountHolds(t, north)
}

// TestAShareRoutedLater has a share come to a module that is a member for
// long, when the journals that made it are gone; and no other share's
// conflicts with it.
func TestAShareRoutedLater(t *testing.T) {
	t.Setenv("DRMESH_JOURNAL_KEEP", "0")
	nodes := bareMesh(t, "%east#m1", "%north#m1", "%west#m1")
	east, north, west := nodes[0], nodes[1], nodes[2]
	ctx := context.Background()
	for _, n := range nodes {
		eventually(t, "all are members", func() bool {
			for _, m := range status(t, n).Members {
				if m.Status != "member" {
					return false
				}
			}
			return true
		})
	}
	tables := func(main, private string) {
		t.Helper()
		text := ""
		for share, to := range map[string]string{"main": main, "private": private} {
			text += fmt.Sprintf("/=record_type include\n =share_name %s\n =process_name *\n =source_path %%east#d01>%s>*\n =from_modules '%s'\n =to_modules '%s'\n", share, share, to, to)
		}
		plan, err := engine{east}.ControlApply(ctx, admin.ControlChange{Timeout: 20 * time.Second, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Lacking) > 0 {
			t.Fatalf("without the epoch: %v", plan.Lacking)
		}
	}
	tables("%east#m1 %north#m1", "%east#m1 %north#m1")
	writable(t, east, north)
	// Conflicts in both shares.
	for _, share := range []string{"main", "private"} {
		path := share + ":k"
		keyedAt(t, east, path)
		hasIndexes(t, path, 2, east, north)
		ce, cn := program(t, east), program(t, north)
		pe, pn := opened(t, ce, path), opened(t, cn, path)
		for i := range 40 {
			if err := ce.KeyedWrite(ctx, pe, []byte(fmt.Sprintf("%04da first", i))); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all is applied", func() bool { return applied(east, north) })
		if _, err := cn.KeyedRead(ctx, pn, "id", []byte("0007")); err != nil {
			t.Fatal(err)
		}
		if err := ce.KeyedRewrite(ctx, pe, nil, []byte("0007b of east")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all is applied", func() bool { return applied(east, north) })
		if err := cn.SeqRewrite(ctx, pn, []byte("0007c of north")); err != nil {
			t.Fatal(err)
		}
	}
	converged(t, []*Node{east, north}, "main:k", "private:k")
	if l := sameConflicts(t, []*Node{east, north}); len(l) != 2 {
		t.Fatalf("%d conflicts", len(l))
	}
	stream := ownStream(east.ctl.state(), groupOf(t, east, "main"), east.dir.Number)
	eventually(t, "east lets go of its journal", func() bool { return east.j.Pruned(stream) > 20 })
	if _, err := content(west, "main:k"); err == nil {
		t.Fatal("west has the share already")
	}
	tables("%east#m1 %north#m1 %west#m1", "%east#m1 %north#m1")
	writable(t, nodes...)
	for _, n := range nodes {
		put(t, n, "main:of_"+n.dir.Module[1:4], "welcome")
	}
	mains := func(n *Node) bool {
		for _, m := range nodes {
			if got, err := content(n, "main:of_"+m.dir.Module[1:4]); err != nil || got != "welcome" {
				return false
			}
		}
		return true
	}
	for _, n := range nodes {
		eventually(t, "all of main at "+n.dir.Module, func() bool { return mains(n) })
		accountHolds(t, n)
	}
	d, err := engine{east}.Digest(ctx, "main:k")
	if err != nil {
		t.Fatal(err)
	}
	if x, err := (engine{west}).Digest(ctx, "main:k"); err != nil || x.Digest != d.Digest {
		t.Errorf("main:k at west: %+v, %v; at east %+v", x, err, d)
	}
	l, err := engine{west}.Conflicts(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(l) != 1 || l[0].Share != "main" {
		t.Errorf("conflicts at west, which has share main alone: %+v", l)
	}
	if _, err := content(west, "private:k"); err == nil {
		t.Error("west has a share that is not routed to it")
	}

	// Routed away and back again: what went by meanwhile is gone from the
	// journals, and comes with a snapshot once more.
	tables("%east#m1 %north#m1", "%east#m1 %north#m1")
	put(t, west, "%west#own>notes", "not shared")
	ce := program(t, east)
	pe := opened(t, ce, "main:k")
	for i := range 40 {
		var err error
		if i%2 == 0 {
			err = ce.KeyedDelete(ctx, pe, []byte(fmt.Sprintf("%04d", i)))
		} else {
			err = ce.KeyedRewrite(ctx, pe, nil, []byte(fmt.Sprintf("%04dd again", i)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	upto := east.j.Tail(stream).Seq
	eventually(t, "east lets go of its journal", func() bool { return east.j.Pruned(stream) == upto })
	tables("%east#m1 %north#m1 %west#m1", "%east#m1 %north#m1")
	eventually(t, "west has it again", func() bool {
		a, err := engine{east}.Digest(ctx, "main:k")
		if err != nil {
			t.Fatal(err)
		}
		b, err := engine{west}.Digest(ctx, "main:k")
		return err == nil && a.Digest == b.Digest
	})
	writable(t, nodes...)
	put(t, west, "main:of_wes", "and on")
	eventually(t, "what west writes then", func() bool { got, err := content(east, "main:of_wes"); return err == nil && got == "welcome and on" })
	if l, err := (engine{west}).Conflicts(ctx, ""); err != nil || len(l) != len(mustConflicts(t, east, "main")) {
		t.Errorf("conflicts at west: %+v, %v; at east %+v", l, err, mustConflicts(t, east, "main"))
	}
	for _, n := range nodes {
		accountHolds(t, n)
	}
}

func mustConflicts(t testing.TB, n *Node, share string) []admin.Conflict {
	t.Helper()
	l, err := engine{n}.Conflicts(context.Background(), share)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func groupOf(t testing.TB, n *Node, share string) origin.Group {
	t.Helper()
	for _, s := range n.ctl.state().Tables().Shares {
		if s.Name == share {
			return s.GroupNumber
		}
	}
	t.Fatalf("no share %s", share)
	return 0
}
