package quicnet

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"

	"drmesh/origin"
)

// holes drops what Cut says.
type holes struct {
	simnet.PerfectRouter
	cut atomic.Bool
}

func (h *holes) SendPacket(p simnet.Packet) error {
	if h.cut.Load() {
		return nil
	}
	return h.PerfectRouter.SendPacket(p)
}

// virtual runs fn with two modules on a simulated network, in virtual time.
func virtual(t *testing.T, latency time.Duration, fn func(t *testing.T, n1, n2 *Net, r *holes)) {
	synctest.Test(t, func(t *testing.T) {
		r := &holes{}
		sim := &simnet.Simnet{Router: r}
		a, b := newAuthority(t, "m1"), &book{}
		var nets []*Net
		var conns []net.PacketConn
		for i := range byte(2) {
			addr := &net.UDPAddr{IP: net.IP{10, 0, 0, i + 1}, Port: 4000}
			conns = append(conns, sim.NewEndpoint(addr, simnet.NodeBiDiLinkSettings{Latency: latency}))
		}
		sim.Start()
		for i, c := range conns {
			n, err := Listen(Config{Identity: newIdentity(t, a, origin.Module(i+1)), Conns: []net.PacketConn{c}, Addresses: b.get})
			if err != nil {
				t.Fatal(err)
			}
			b.set(n.Self(), n.Addrs()[0].String())
			echo(n, RPC, Data)
			nets = append(nets, n)
		}
		fn(t, nets[0], nets[1], r)
		for _, n := range nets {
			n.Close()
		}
		sim.Close()
		synctest.Wait()
	})
}

// A path two seconds long is slow, and not down.
func TestLongPath(t *testing.T) {
	virtual(t, time.Second, func(t *testing.T, n1, n2 *Net, _ *holes) {
		got, err := ask(timeout(t), n1, 2, RPC, "x")
		if err != nil || got != "1:x" {
			t.Fatalf("got %q, %v", got, err)
		}
		time.Sleep(time.Minute)
		if st := n1.PeerStats(2); !st.Connected || st.RTT < 2*time.Second {
			t.Errorf("after a quiet minute: %+v", st)
		}
	})
}

// A cut in the middle is noticed by silence at both ends, attempts go on at
// intervals of some seconds at most, and the first after the heal succeeds.
func TestBlackHoleIsNoticedAndHeals(t *testing.T) {
	virtual(t, 10*time.Millisecond, func(t *testing.T, n1, n2 *Net, r *holes) {
		if _, err := ask(timeout(t), n1, 2, RPC, "x"); err != nil {
			t.Fatal(err)
		}
		r.cut.Store(true)
		time.Sleep(13 * time.Second) // 10 s, and 2 s to the next sign of life
		if n1.PeerStats(2).Connected || n2.PeerStats(1).Connected {
			t.Fatal("still connected")
		}
		for range 20 {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			if _, err := n1.Open(ctx, 2, RPC); err == nil {
				t.Fatal("opened into the hole")
			}
			cancel()
			time.Sleep(time.Second)
		}
		r.cut.Store(false)
		start := time.Now()
		for {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			_, err := ask(ctx, n1, 2, RPC, "y")
			cancel()
			if err == nil {
				break
			}
			if time.Since(start) > 12*time.Second {
				t.Fatalf("not back after %v: %v", time.Since(start), err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}
