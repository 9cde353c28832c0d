package raftgroup

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"testing"

	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// The same over real connections: the leader's whole module goes away.
func TestOverQUIC(t *testing.T) {
	ctx := timeout(t)
	auth, err := quicnet.NewAuthority("m1", "test")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	addrs := map[origin.Module]string{}
	nets := map[origin.Module]*quicnet.Net{}
	start := func(m origin.Module, boot bool) *member {
		key, err := quicnet.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := auth.Issue(m, fmt.Sprintf("%%s#m%d", m), key.Public().(ed25519.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		q, err := quicnet.Listen(quicnet.Config{
			Identity: quicnet.Identity{Cert: cert, Key: key, Authorities: []*x509.Certificate{auth.Certificate()}},
			Listen:   []string{"127.0.0.1:0"},
			Addresses: func(m origin.Module) []string {
				mu.Lock()
				defer mu.Unlock()
				if a := addrs[m]; a != "" {
					return []string{a}
				}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		addrs[m], nets[m] = q.Addrs()[0].String(), q
		mu.Unlock()
		s := &list{}
		g, err := Start(Config{Dir: t.TempDir(), Self: m, Bootstrap: boot, FSM: s, Timing: quick,
			Dial: func(ctx context.Context, m origin.Module) (net.Conn, error) { return q.Open(ctx, m, quicnet.Raft) }})
		if err != nil {
			t.Fatal(err)
		}
		q.Handle(quicnet.Raft, func(_ context.Context, peer origin.Module, s quicnet.Stream) { g.Accept(peer, s) })
		t.Cleanup(func() {
			g.Shutdown()
			q.Close()
		})
		return &member{g, s}
	}
	ms := three(t, start)
	index := propose(ctx, t, "a", ms...)
	caughtUp(ctx, t, index, "a", ms...)
	ms[0].Shutdown()
	nets[1].Close()
	index = propose(ctx, t, "b", ms[1], ms[2])
	caughtUp(ctx, t, index, "a b", ms[1:]...)
}
