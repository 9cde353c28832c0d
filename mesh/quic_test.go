package mesh_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"drmesh/mesh"
	"drmesh/mesh/meshtest"
	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// real gives a mesh the streams of quicnet.
type real struct{ q *quicnet.Net }

func (r real) Open(ctx context.Context, m origin.Module, k quicnet.Kind) (net.Conn, error) {
	return r.q.Open(ctx, m, k)
}

func (r real) Handle(k quicnet.Kind, fn meshtest.Handler) {
	r.q.Handle(k, func(ctx context.Context, m origin.Module, s quicnet.Stream) { fn(ctx, m, s) })
}

func (r real) Pairs(m origin.Module) []quicnet.Path { return r.q.Pairs(m) }

func (r real) OpenPath(ctx context.Context, m origin.Module, p quicnet.Path, k quicnet.Kind) (net.Conn, error) {
	return r.q.OpenPath(ctx, m, p, k)
}

func (r real) RTT(m origin.Module) time.Duration { return r.q.PeerStats(m).RTT }

// TestOverRealConnections is the one test here in real time: three modules on
// loopback, of which the first is stopped in the middle, and comes back.
func TestOverRealConnections(t *testing.T) {
	authority, err := quicnet.NewAuthority(meshtest.MeshID, "test")
	if err != nil {
		t.Fatal(err)
	}
	addrs := map[origin.Module]string{}
	for m := range origin.Module(3) {
		// Three ports that are free now; all are taken before any is dialled.
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs[m+1] = c.LocalAddr().String()
		defer c.Close()
		c.Close()
	}
	start := func(m *meshtest.Module) (stop func()) {
		key, err := quicnet.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := authority.Issue(m.Number, fmt.Sprintf("%%test#m%d", m.Number), key.Public().(ed25519.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		q, err := quicnet.Listen(quicnet.Config{Identity: quicnet.Identity{Cert: cert, Key: key, Authorities: []*x509.Certificate{authority.Certificate()}},
			Listen: []string{addrs[m.Number]}, Addresses: func(m origin.Module) []string { return []string{addrs[m]} }})
		if err != nil {
			t.Fatal(err)
		}
		x := mesh.New(mesh.Config{Self: m.Number, MeshID: meshtest.MeshID, Network: real{q}, Source: m.Source(), Sink: m.Sink(), Key: meshtest.Public,
			Peers: m.Peers, Wants: func(s origin.Stream) bool { return s.Module != m.Number }, Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			x.Run(ctx)
		}()
		return func() {
			cancel()
			<-done
			q.Close()
		}
	}
	n := meshtest.NewNet()
	ms := []*meshtest.Module{meshtest.NewModule(n, 1, 2, 3), meshtest.NewModule(n, 2, 1, 3), meshtest.NewModule(n, 3, 1, 2)}
	var stops []func()
	for _, m := range ms {
		stops = append(stops, start(m))
	}
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	equal := func(txns int) {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(time.Millisecond) {
			n := 0
			for _, p := range ms[0].Vector() {
				n += int(p.Seq)
			}
			if n == txns && meshtest.Same(ms[0], ms[1]) && meshtest.Same(ms[0], ms[2]) {
				return
			}
			if time.Now().After(end) {
				for _, m := range ms {
					t.Logf("module %d: %v, %v", m.Number, m.Vector().Context(), m.Events())
				}
				t.Fatalf("the modules never held the same %d txns", txns)
			}
		}
	}
	for i := range 100 {
		for _, m := range ms {
			m.Write(group, txns(i*10, 10, 100)...)
		}
	}
	equal(3000)
	stops[0]()
	for i := range 100 {
		for _, m := range ms[1:] {
			m.Write(group, txns(i*10, 10, 100)...)
		}
	}
	ms[1].Write(group, make([]byte, 3<<20))
	stops[0] = start(ms[0])
	equal(5001)
	for _, m := range ms {
		// On a machine that is busy otherwise a subscription may move.
		if n, again := m.Got(); again > n/20 {
			t.Errorf("module %d received %d txns, %d of them again", m.Number, n, again)
		}
		if e := m.Events(); len(e) > 0 {
			t.Errorf("module %d: %q", m.Number, e)
		}
	}
}
