package node

import (
	"context"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
)

// leafToken makes a token of a leaf with a limit shorter than operators may give.
func leafToken(t testing.TB, n *Node, limit time.Duration) string {
	t.Helper()
	ctx := context.Background()
	tok := newToken(n.dir.authority.Fingerprint(), n.joinAddresses())
	h := tok.hash()
	res, err := n.propose(ctx, &control.Command{Kind: control.KindCreateToken, CreateToken: &control.CreateToken{ID: tok.ID, Secret: h[:],
		Role: control.RoleLeaf, Expires: time.Now().Add(time.Hour).UnixMilli(), Limit: limit.Milliseconds()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.ctl.wait(ctx, res.Index); err != nil {
		t.Fatal(err)
	}
	return tok.String()
}

// TestLeaf: a leaf reads and writes, does not vote, and nobody gets another's
// txns from it; one that stays away is warned of, and removed, and joins again
// under the same name.
func TestLeaf(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nodes := bareMesh(t, "%east#m1", "%west#m1")
	east, west := nodes[0], nodes[1]
	base := shortDir(t)
	if err := Join(ctx, JoinOptions{Token: leafToken(t, east, 6*time.Second), Dir: base + "/l", Module: "%shop#m1", Listen: []string{freePort(t)}}); err != nil {
		t.Fatal(err)
	}
	shop := reopen(t, base+"/l")
	applyMain(t, east)
	writable(t, east, west, shop)
	eventually(t, "the leaf is a member", func() bool {
		m, _ := east.ctl.state().Member(shop.dir.Number)
		return m.Status == control.Active
	})
	put(t, east, "main:a", "one")
	converged(t, []*Node{east, west, shop}, "main:a")
	put(t, shop, "main:b", "ours")
	converged(t, []*Node{east, west, shop}, "main:b")

	// East and west do not meet. What the leaf writes comes; what it has of
	// east's, west does not take from there, though it hears of it.
	west.mesh.SetPaused(east.dir.Number, true)
	east.mesh.SetPaused(west.dir.Number, true)
	put(t, shop, "main:b", "still")
	eventually(t, "west has the leaf's", func() bool { got, err := content(west, "main:b"); return err == nil && got == "ours still" })
	put(t, east, "main:a", "two")
	st := west.ctl.state()
	stream := ownStream(st, st.Groups[0].Number, east.dir.Number)
	eventually(t, "west hears that the leaf has it", func() bool {
		a, ok := west.acks.of(shop.dir.Number, stream)
		return ok && a.seq > west.j.Durable()[stream].Seq
	})
	if from := west.mesh.Streams()[stream].From; from != 0 {
		t.Errorf("west pulls east's stream from module %d", from)
	}
	if got, err := content(west, "main:a"); err != nil || got != "one" {
		t.Errorf("west got %q of east's from a leaf: %v", got, err)
	}
	west.mesh.SetPaused(east.dir.Number, false)
	east.mesh.SetPaused(west.dir.Number, false)
	converged(t, []*Node{east, west, shop}, "main:a", "main:b")

	leaf := func(n *Node) admin.MemberStatus {
		for _, m := range status(t, n).Members {
			if m.Module == "%shop#m1" && m.Status != "removed" {
				return m
			}
		}
		return admin.MemberStatus{}
	}
	if m := leaf(east); m.Role != "leaf" || m.Voter || m.Limit != 6*time.Second || m.HeardAt == nil || time.Since(*m.HeardAt) > 5*time.Second {
		t.Errorf("the leaf shows as %+v", m)
	}
	eventually(t, "control hears of the leaf", func() bool {
		m, _ := east.ctl.state().Member(shop.dir.Number)
		return m.Heard > m.JoinedAt
	})

	shut(t, shop)
	warned := func(n *Node) bool {
		return strings.Contains(strings.Join(status(t, n).Alarms, "\n"), "leaf %shop#m1 is not heard of: since ")
	}
	eventually(t, "east and west warn", func() bool { return warned(east) && warned(west) })
	if m := leaf(east); m.Status != "member" {
		t.Errorf("warned of when it was %s already", m.Status)
	}
	eventually(t, "the leaf is removed", func() bool {
		m, _ := west.ctl.state().Member(shop.dir.Number)
		return m.Status == control.Removed
	})
	eventually(t, "the warnings are over", func() bool { return !warned(east) && !warned(west) })
	put(t, east, "main:a", "three")
	converged(t, []*Node{east, west}, "main:a", "main:b")

	tok, err := engine{west}.CreateToken(ctx, admin.TokenRequest{Role: "leaf", Limit: 2 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := Join(ctx, JoinOptions{Token: tok.Token, Dir: base + "/m", Module: "%shop#m1", Listen: []string{freePort(t)}}); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, base+"/m")
	writable(t, again)
	put(t, again, "main:b", "back")
	converged(t, []*Node{east, west, again}, "main:a", "main:b")
	if got, err := content(east, "main:b"); err != nil || got != "ours still back" {
		t.Errorf("east shows %q: %v", got, err)
	}
	if m := leaf(east); m.Limit != 2*time.Hour {
		t.Errorf("its limit is %v", m.Limit)
	}
}

func TestLeafTokenRefused(t *testing.T) {
	t.Parallel()
	n := bareMesh(t, "%east#m1")[0]
	for _, r := range []admin.TokenRequest{
		{Role: "member", Limit: time.Hour}, {Role: "leaf", Limit: time.Minute}, {Role: "leaf", Limit: -time.Hour}, {Role: "leaf", Limit: 20 * 365 * 24 * time.Hour},
	} {
		if _, err := (engine{n}).CreateToken(context.Background(), r); class(err) != admin.Usage {
			t.Errorf("%s %v: %v", r.Role, r.Limit, err)
		}
	}
}
