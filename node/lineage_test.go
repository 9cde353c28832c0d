package node

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/mesh/quicnet"
	"drmesh/mesh/raftgroup"
	"drmesh/origin"
	"drmesh/vosio/call"
)

// anew serves a node again that asked for it.
func anew(t *testing.T, n *Node) *Node {
	t.Helper()
	select {
	case <-n.restart:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not begin anew", n.dir.Module)
	}
	dir := n.dir.path
	shut(t, n)
	return reopen(t, dir)
}

// twoSites is a mesh of two, of which the first alone votes and owns a group.
// It is gone with two txns that the second has not got.
func twoSites(t *testing.T) (west *Node, east string) {
	t.Helper()
	nodes := bareMesh(t, "%east#m1", "%west#m1")
	applyTables(t, nodes[0], ownedTables+" =on_rejoin divert\n")
	writable(t, nodes...)
	eventually(t, "the owner has its lease", func() bool { return leased(nodes[0]) })
	eventually(t, "west is a member", func() bool { return status(t, nodes[1]).Members[1].Status == "member" })
	put(t, nodes[0], "main:a", "one")
	put(t, nodes[1], "notes:a", "of west")
	converged(t, nodes, "main:a")
	converged(t, nodes, "notes:a")
	cutOff(t, nodes[0], nodes[1:], true)
	put(t, nodes[0], "main:a", "two", "three")
	dir := nodes[0].dir.path
	shut(t, nodes[0])
	eventually(t, "control has no leader", func() bool { return !status(t, nodes[1]).Quorum })
	cutOff(t, nodes[1], nil, false)
	if err := (engine{nodes[1]}).SetLink(context.Background(), admin.LinkChange{A: "%west#m1", B: "%east#m1", Paused: false}); err != nil {
		t.Fatal(err)
	}
	return nodes[1], dir
}

// TestForcedFailover: of two sites the one that owned and voted is gone. The
// other goes on without it. The first comes back, is told that it is not the
// owner any more, follows, and what only it had is in a lost-transaction file.
func TestForcedFailover(t *testing.T) {
	t.Parallel()
	west, dir := twoSites(t)
	ctx := context.Background()
	to := admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim"}
	check, err := engine{west}.FailoverCheck(ctx, to)
	if err != nil || check.First(admin.Fail) == nil || check.First(admin.Fail).Check != "quorum" {
		t.Errorf("failover without quorum: %+v, %v", check, err)
	}
	plan, err := engine{west}.RecoverPlan(ctx)
	if err != nil || plan.Level != admin.Warn || !plan.Loss || len(plan.With) != 0 || len(plan.Left) != 1 || plan.Left[0] != "%east#m1" {
		t.Fatalf("plan: %+v, %v", plan, err)
	}
	if _, err := (engine{west}).Recover(ctx, admin.RecoverRequest{}); class(err) != admin.WouldLose {
		t.Errorf("recover without accepting: %v", err)
	}
	done, err := engine{west}.Recover(ctx, admin.RecoverRequest{AcceptLoss: true, By: "kim"})
	if err != nil {
		t.Fatal(err)
	}
	west = anew(t, west)
	s := status(t, west)
	if s.Lineage != done.Lineage || s.Lineage == "" || !s.Quorum || s.Leader != "%west#m1" || s.Epoch != 10000 {
		t.Errorf("status: %+v", s)
	}
	for _, m := range s.Members {
		if m.Module == "%east#m1" && m.Status != "left behind" {
			t.Errorf("east: %+v", m)
		}
	}
	if plan, _ := (engine{west}).RecoverPlan(ctx); plan.First(admin.Fail) == nil {
		t.Errorf("a second recovery: %+v", plan)
	}
	// What is known to be missing must be accepted, as ever: east's own word on
	// it did not come here, so that nothing is listed.
	r, err := engine{west}.FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim", AcceptLoss: true})
	if err != nil || !r.Failover || r.Lineage != done.Lineage {
		t.Fatalf("receipt: %+v, %v", r, err)
	}
	put(t, west, "main:a", "two of west")
	put(t, west, "notes:a", "goes on")

	east := reopen(t, dir)
	eventually(t, "east knows that control went on", func() bool { return east.fenced.Load() != nil })
	for _, n := range []*Node{east, west} {
		eventually(t, n.dir.Module+" says so", func() bool {
			for _, a := range status(t, n).Alarms {
				if strings.Contains(a, "without this module") || strings.Contains(a, "%east#m1 follows another lineage") {
					return true
				}
			}
			return false
		})
	}
	if leased(east) {
		t.Error("east owns the group still")
	}
	if err := tryPut(east, "main:a", "four"); err == nil {
		t.Error("east takes writes of the group")
	}
	if _, err := (engine{east}).CreateToken(ctx, admin.TokenRequest{}); class(err) != admin.Precondition || !strings.Contains(err.Error(), "control went on without %east#m1") {
		t.Errorf("a change of control at east: %v", err)
	}
	if got, err := content(east, "main:a"); err != nil || !strings.HasPrefix(got, "one two three") {
		t.Errorf("a read at east: %q, %v", got, err)
	}
	if _, err := (engine{west}).SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%east#m1"}); class(err) != admin.Precondition {
		t.Errorf("switchover to who is left behind: %v", err)
	}
	// It stays so over a restart.
	shut(t, east)
	east = reopen(t, dir)
	if east.fenced.Load() == nil {
		t.Error("east forgot that control went on")
	}
	follow, err := engine{east}.FollowPlan(ctx, "")
	if err != nil || follow.Lineage != done.Lineage || follow.Began != "%west#m1" || follow.By != "kim" || !follow.Loss || follow.Invited || follow.First(admin.Fail) != nil {
		t.Fatalf("plan to follow: %+v, %v", follow, err)
	}
	if _, err := (engine{east}).Follow(ctx, admin.RecoverRequest{}); class(err) != admin.WouldLose {
		t.Errorf("follow without accepting: %v", err)
	}
	if _, err := (engine{east}).Follow(ctx, admin.RecoverRequest{AcceptLoss: true}); err != nil {
		t.Fatal(err)
	}
	east = anew(t, east)
	nodes := []*Node{east, west}
	eventually(t, "east has undone what west never had", func() bool {
		l, err := engine{east}.LostFiles(ctx)
		return err == nil && len(l) == 1 && l[0].Txns >= 2 && east.isReady(ledgerGroup(east))
	})
	converged(t, nodes, "main:a")
	converged(t, nodes, "notes:a")
	for _, n := range nodes {
		if got, err := content(n, "main:a"); err != nil || got != "one two of west" {
			t.Errorf("%s has %q, %v", n.dir.Module, got, err)
		}
		if s := status(t, n); s.Lineage != done.Lineage {
			t.Errorf("%s follows %q", n.dir.Module, s.Lineage)
		}
	}
	eventually(t, "nobody is left behind", func() bool {
		s := status(t, west)
		return len(s.Alarms) == 0 && s.Members[0].Status == "member"
	})
	if _, err := (engine{west}).SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%east#m1", By: "kim"}); err != nil {
		t.Fatal(err)
	}
	put(t, east, "main:a", "back")
	put(t, east, "notes:a", "of east")
	converged(t, nodes, "main:a")
	converged(t, nodes, "notes:a")
	if err := tryPut(west, "main:a", "x"); call.CodeOf(err) != call.NotOwner {
		t.Errorf("west writes: %v", err)
	}
	if _, err := (engine{east}).FollowPlan(ctx, ""); class(err) != admin.Precondition {
		t.Errorf("there is something to follow: %v", err)
	}
}

// TestRecoverTakesAlong: of four modules two of the three voters are gone. The
// third begins a lineage, and the fourth, in reach, comes along by itself.
func TestRecoverTakesAlong(t *testing.T) {
	t.Parallel()
	nodes := bareMesh(t, "%east#m1", "%west#m1", "%north#m1", "%south#m1")
	ctx := context.Background()
	applyTables(t, nodes[0], ownedTables)
	writable(t, nodes...)
	votes := func(n *Node) bool {
		m, _ := nodes[0].ctl.state().Member(n.dir.Number)
		return m.Voter
	}
	eventually(t, "three vote", func() bool {
		voters := 0
		for _, n := range nodes {
			if votes(n) {
				voters++
			}
		}
		return voters == 3
	})
	// Who is ready first votes: east, which began, and two of the others. One of
	// these goes with east, so that the rest has no leader.
	slices.SortStableFunc(nodes[1:], func(a, b *Node) int {
		switch {
		case votes(a) == votes(b):
			return 0
		case votes(a):
			return -1
		}
		return 1
	})
	put(t, nodes[0], "main:a", "one")
	put(t, nodes[3], "notes:a", "one")
	converged(t, nodes, "main:a")
	converged(t, nodes, "notes:a")
	if _, err := (engine{nodes[2]}).Recover(ctx, admin.RecoverRequest{AcceptLoss: true}); class(err) != admin.Precondition {
		t.Errorf("recover while control has a leader: %v", err)
	}
	if _, err := (engine{nodes[2]}).FollowPlan(ctx, ""); class(err) != admin.Precondition {
		t.Errorf("follow with nothing to follow: %v", err)
	}
	for _, n := range nodes[:2] {
		shut(t, n)
	}
	north, south := nodes[2], nodes[3]
	eventually(t, "control has no leader", func() bool { return !status(t, north).Quorum && !status(t, south).Quorum })
	var done *admin.ControlRecovery
	eventually(t, "north recovers control", func() bool {
		var err error
		done, err = engine{north}.Recover(ctx, admin.RecoverRequest{AcceptLoss: true, By: "kim"})
		return err == nil
	})
	if len(done.With) != 1 || done.With[0] != south.dir.Module || len(done.Left) != 2 {
		t.Errorf("plan: %+v", done)
	}
	north = anew(t, north)
	south = anew(t, south)
	eventually(t, "south has followed", func() bool {
		for _, n := range []*Node{north, south} {
			for _, m := range status(t, n).Members {
				if m.Module == south.dir.Module && m.Status != "member" {
					return false
				}
			}
		}
		return status(t, south).Quorum
	})
	if s := status(t, south); s.Lineage != done.Lineage {
		t.Errorf("south follows %q", s.Lineage)
	}
	if _, err := (engine{south}).FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: south.dir.Module, By: "kim", AcceptLoss: true}); err != nil {
		t.Fatal(err)
	}
	put(t, south, "main:a", "two")
	put(t, north, "notes:a", "two")
	converged(t, []*Node{north, south}, "main:a")
	converged(t, []*Node{north, south}, "notes:a")
}

// TestRecoveredOnBothSides: two modules each believe that the rest is gone.
// Neither lineage comes from the other, and they are kept apart.
func TestRecoveredOnBothSides(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	put(t, nodes[0], "main:a", "one")
	converged(t, nodes, "main:a")
	dirs := []string{}
	for _, n := range nodes {
		dirs = append(dirs, n.dir.path)
		shut(t, n)
	}
	var alone [2]*Node
	for i, dir := range dirs[1:] {
		n := reopen(t, dir)
		var err error
		eventually(t, "it recovers by itself", func() bool {
			_, err = engine{n}.Recover(ctx, admin.RecoverRequest{AcceptLoss: true, By: "kim"})
			return err == nil
		})
		n = anew(t, n)
		put(t, n, "notes:b"+n.dir.Module[1:2], "alone")
		shut(t, n)
		alone[i] = n
	}
	for i, dir := range dirs[1:] {
		alone[i] = reopen(t, dir)
	}
	for i, n := range alone {
		other := alone[1-i]
		eventually(t, n.dir.Module+" finds that they parted", func() bool {
			for _, a := range status(t, n).Alarms {
				if strings.Contains(a, other.dir.Module+" follows another lineage") && strings.Contains(a, "recovered on both sides") {
					return true
				}
			}
			return false
		})
		if n.fenced.Load() != nil {
			t.Errorf("%s is fenced", n.dir.Module)
		}
		eventually(t, n.dir.Module+" leads its own", func() bool { return status(t, n).Leader == n.dir.Module })
		if got, err := content(n, "notes:b"+other.dir.Module[1:2]); err == nil {
			t.Errorf("%s has what the other wrote alone: %q", n.dir.Module, got)
		}
	}
	// One of them gives its control up, and follows the other.
	north := alone[1]
	if _, err := (engine{north}).FollowPlan(ctx, ""); class(err) != admin.Precondition {
		t.Errorf("follow without saying whom: %v", err)
	}
	if _, err := (engine{north}).Follow(ctx, admin.RecoverRequest{Module: "%west#m1"}); class(err) != admin.WouldLose {
		t.Errorf("follow without accepting: %v", err)
	}
	plan, err := engine{north}.Follow(ctx, admin.RecoverRequest{Module: "%west#m1", AcceptLoss: true})
	if err != nil || plan.Began != "%west#m1" {
		t.Fatalf("follow: %+v, %v", plan, err)
	}
	both := []*Node{alone[0], anew(t, north)}
	eventually(t, "north has followed", func() bool { return status(t, both[0]).Members[2].Status == "member" && status(t, both[1]).Quorum })
	converged(t, both, "notes:bn")
	converged(t, both, "notes:bw")
}

// TestFollowAfterACrash: wherever a node dies while it puts another's control
// state in place of its own, the next start ends it.
func TestFollowAfterACrash(t *testing.T) {
	state := control.New()
	index := uint64(0)
	step := func(c *control.Command) {
		t.Helper()
		b, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		index++
		if state, _, err = control.Step(state, index, b); err != nil {
			t.Fatal(err)
		}
	}
	step(&control.Command{Kind: control.KindInit, Init: &control.Init{Mesh: "m", Name: "m", Module: "%west#m1", Key: make([]byte, 32)}})
	step(&control.Command{Kind: control.KindRecover, Recover: &control.Recover{Lineage: 0x5f3a1, Module: 1, By: "kim"}})
	theirs, err := state.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	const before = ".before-5f3a1"
	for name, crash := range map[string]func(d *dir){
		"before anything": func(*dir) {},
		"when raft's directory was moved": func(d *dir) {
			if err := os.Rename(d.file("raft"), d.file("raft"+before)); err != nil {
				t.Fatal(err)
			}
		},
		"when all is in place": func(d *dir) {
			if err := os.Rename(d.file("raft"), d.file("raft"+before)); err != nil {
				t.Fatal(err)
			}
			if err := writeFile(d.file("control"), theirs); err != nil {
				t.Fatal(err)
			}
		},
		"where there was no raft": func(d *dir) {
			if err := os.RemoveAll(d.file("raft")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		d := &dir{path: t.TempDir()}
		if err := os.MkdirAll(d.file("raft", "log"), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, b := range map[string][]byte{"control": []byte("ours"), "follow": theirs} {
			if err := writeFile(d.file(file), b); err != nil {
				t.Fatal(err)
			}
		}
		crash(d)
		for range 2 { // the second has nothing to do
			if err := d.takeFollow(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if b, err := os.ReadFile(d.file("control")); err != nil || !bytes.Equal(b, theirs) {
			t.Errorf("%s: the state is not the other's: %v", name, err)
		}
		for _, gone := range []string{"raft", "follow"} {
			if _, err := os.Stat(d.file(gone)); !os.IsNotExist(err) {
				t.Errorf("%s: %s is there: %v", name, gone, err)
			}
		}
	}
}

// TestRecoverAfterACrash: the node dies after its lineage began, and before it
// noted that; and before it began.
func TestRecoverAfterACrash(t *testing.T) {
	t.Parallel()
	west, _ := twoSites(t)
	ctx := context.Background()
	done, err := engine{west}.Recover(ctx, admin.RecoverRequest{AcceptLoss: true, By: "kim"})
	if err != nil {
		t.Fatal(err)
	}
	file := west.dir.file("recover")
	todo, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Raft's part is done, and the lineage has not begun.
	dir := west.dir.path
	shut(t, west)
	p, err := openPlane(filepath.Join(dir, "control"), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	g, err := raftgroup.Start(raftgroup.Config{Dir: dir, Self: 2, Recover: true, FSM: p, Dial: func(context.Context, origin.Module) (net.Conn, error) { return nil, os.ErrClosed }})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Shutdown(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		west = reopen(t, dir)
		eventually(t, "west leads", func() bool { return status(t, west).Leader == "%west#m1" })
		if s := status(t, west); s.Lineage != done.Lineage || len(west.ctl.state().Lineages) != 1 || s.Epoch != 10000 {
			t.Errorf("status: %+v, %v", s, west.ctl.state().Lineages)
		}
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("what was to do is there still: %v", err)
		}
		shut(t, west)
		if err := os.WriteFile(file, todo, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWitnessFollows: of two sites and a witness only one site is left. It goes
// on by force; the witness comes back, follows, loses nothing, and takes no loss
// on itself.
func TestWitnessFollows(t *testing.T) {
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
	applyTables(t, nodes[0], ownedTables)
	writable(t, nodes...)
	allVote(t, []*Node{nodes[0], nodes[1], witness})
	put(t, nodes[1], "notes:a", "one")
	index := nodes[1].ctl.state().Index
	eventually(t, "all know the same", func() bool {
		return witness.ctl.state().Index >= index && nodes[1].ctl.state().Index >= witness.ctl.state().Index
	})
	shut(t, nodes[0])
	shut(t, witness)
	west := nodes[1]
	eventually(t, "west recovers control", func() bool {
		_, err = engine{west}.Recover(ctx, admin.RecoverRequest{AcceptLoss: true, By: "kim"})
		return err == nil
	})
	west = anew(t, west)
	witness = reopen(t, dir)
	eventually(t, "the witness is told", func() bool { return witness.fenced.Load() != nil })
	plan, err := engine{witness}.FollowPlan(ctx, "")
	if err != nil || plan.First(admin.Fail) != nil || plan.Invited {
		t.Fatalf("plan: %+v, %v", plan, err)
	}
	if _, err := (engine{witness}).Follow(ctx, admin.RecoverRequest{AcceptLoss: plan.Loss}); err != nil {
		t.Fatal(err)
	}
	witness = anew(t, witness)
	eventually(t, "the witness has followed", func() bool {
		return status(t, west).Members[2].Status == "member" && status(t, witness).Quorum
	})
	// It is not asked whom to follow again, and lets a new module in like any.
	if witness.fenced.Load() != nil || status(t, witness).Lineage != status(t, west).Lineage {
		t.Errorf("the witness: %+v", status(t, witness))
	}
	south := joins(t, west, "%south#m1")
	put(t, west, "notes:a", "two")
	converged(t, []*Node{west, south}, "notes:a")
	if n := south.dir.Number; n>>12 != origin.Module(west.ctl.state().Lineage()) || n&0xfff != 4 {
		t.Errorf("south is number %#x in lineage %x", n, west.ctl.state().Lineage())
	}
}

// TestNobodyBeginsALineageForOthers: a member asks a control group that is whole
// to recover, and what it says first on a stream may be anything.
func TestNobodyBeginsALineageForOthers(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	ctx := context.Background()
	c := &control.Command{Kind: control.KindRecover, Recover: &control.Recover{Lineage: 0x5f3a1, Module: 2, By: "mallory"}}
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nodes[1].mesh.Call(ctx, 1, "propose", b); err == nil || !strings.Contains(err.Error(), "where nobody else decides") {
		t.Errorf("a lineage for others: %v", err)
	}
	for _, first := range [][]byte{{}, {1}, {1, 0, 0}, {200, 1, 2, 3}, {1, 0, 0, 0, 1}, {1, 0xff, 0, 0, 0}, bytes.Repeat([]byte{0xfe}, 2000)} {
		s, err := nodes[1].net.Open(ctx, 1, quicnet.RPC)
		if err != nil {
			t.Fatal(err)
		}
		s.SetDeadline(time.Now().Add(20 * time.Second))
		s.Write(first)
		s.CloseWrite()
		if n, err := s.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("% x was answered: %v", first[:min(4, len(first))], err)
		}
		s.Close()
	}
	if f := nodes[0].fenced.Load(); f != nil {
		t.Errorf("fenced by rubbish: %+v", f)
	}
	if st := nodes[0].ctl.state(); len(st.Lineages) != 0 {
		t.Errorf("lineages: %v", st.Lineages)
	}
}
