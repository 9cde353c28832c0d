package member

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

type overQUIC struct{ *quicnet.Net }

func (o overQUIC) OpenStream(ctx context.Context, m origin.Module) (net.Conn, error) {
	return o.Open(ctx, m, quicnet.Gossip)
}

// The same over real connections.
func TestOverQUIC(t *testing.T) {
	auth, err := quicnet.NewAuthority("m1", "test")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	addrs := map[origin.Module]string{}
	start := func(m origin.Module) (*Members, *notes, *quicnet.Net) {
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
		addrs[m] = q.Addrs()[0].String()
		mu.Unlock()
		n := &notes{last: map[origin.Module]Event{}}
		s, err := Start(Config{Self: m, Network: overQUIC{q}, Timing: quick,
			Peers: func() []origin.Module { return []origin.Module{1, 2, 3} },
			Changed: func(e Event) {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.last[e.Module] = e
			}})
		if err != nil {
			t.Fatal(err)
		}
		q.HandleDatagram(s.Datagram)
		q.Handle(quicnet.Gossip, func(_ context.Context, peer origin.Module, c quicnet.Stream) { s.Stream(peer, c) })
		t.Cleanup(func() {
			s.Shutdown()
			q.Close()
		})
		return s, n, q
	}
	m1, n1, _ := start(1)
	m2, n2, _ := start(2)
	m3, _, q3 := start(3)
	for _, m := range []*Members{m1, m2, m3} {
		eventually(t, "all three know each other", func() bool { return names(m) == "1 2 3" })
	}
	m3.Shutdown()
	q3.Close()
	for _, n := range []*notes{n1, n2} {
		eventually(t, "death is heard of", func() bool { return strings.HasPrefix(n.state(3), "dead") })
	}
}
