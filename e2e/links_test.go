package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// udpProxy passes packets between whoever sends to it and one address. Stopped,
// it swallows them, as a line that was cut somewhere.
type udpProxy struct {
	front *net.UDPConn
	to    *net.UDPAddr
	dead  atomic.Bool
	bytes atomic.Int64
	wg    sync.WaitGroup

	mu    sync.Mutex // protects backs
	backs map[string]*net.UDPConn
}

func startProxy(t *testing.T, listen, to string) *udpProxy {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		t.Fatal(err)
	}
	p := &udpProxy{backs: map[string]*net.UDPConn{}}
	if p.to, err = net.ResolveUDPAddr("udp", to); err != nil {
		t.Fatal(err)
	}
	if p.front, err = net.ListenUDP("udp", a); err != nil {
		t.Fatal(err)
	}
	p.wg.Go(p.forth)
	t.Cleanup(func() {
		p.front.Close()
		p.mu.Lock()
		for _, b := range p.backs {
			b.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// forth passes on what comes to the proxy.
func (p *udpProxy) forth() {
	b := make([]byte, 64<<10)
	for {
		n, from, err := p.front.ReadFromUDP(b)
		if err != nil {
			return
		}
		if p.dead.Load() {
			continue
		}
		p.mu.Lock()
		back := p.backs[from.String()]
		if back == nil {
			if back, err = net.DialUDP("udp", nil, p.to); err == nil {
				p.backs[from.String()] = back
				p.wg.Go(func() { p.back(back, from) })
			}
		}
		p.mu.Unlock()
		if back != nil {
			back.Write(b[:n])
			p.bytes.Add(int64(n))
		}
	}
}

func (p *udpProxy) back(c *net.UDPConn, to *net.UDPAddr) {
	b := make([]byte, 64<<10)
	for {
		n, err := c.Read(b)
		if err != nil {
			if strings.Contains(err.Error(), "refused") {
				continue // nobody listens there yet
			}
			return
		}
		if !p.dead.Load() {
			p.front.WriteToUDP(b[:n], to)
			p.bytes.Add(int64(n))
		}
	}
}

// TestTwoLinks has two modules with two addresses each; of one pair all that
// the first pulls goes through a proxy, which is stopped in the middle of a
// load: of the second pair, or of the first.
func TestTwoLinks(t *testing.T) {
	for _, first := range []bool{false, true} {
		t.Run(fmt.Sprintf("the first is cut %v", first), func(t *testing.T) {
			t.Parallel()
			twoLinks(t, first)
		})
	}
}

func twoLinks(t *testing.T, first bool) {
	n := newNodes(t, "a", "b")
	ports, err := freePorts(5)
	if err != nil {
		t.Fatal(err)
	}
	listen := func(i int, host string) string { return fmt.Sprintf("%s:%d", host, ports[i]) }
	proxied, real := listen(3, "127.0.0.2"), listen(4, "127.0.0.2")
	n.drmesh(t, "init", "--dir", "a", "--module", "%a#m1", "--listen", listen(0, "127.0.0.1"), "--listen", listen(1, "127.0.0.2"))
	if _, err := n.start("a"); err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(n.drmesh(t, "token", "create", "--dir", "a"))
	join := []string{"join", token, "--dir", "b", "--module", "%b#m1", "--listen", listen(2, "127.0.0.1"), "--listen", proxied}
	if first {
		join[len(join)-1], join[len(join)-3] = join[len(join)-3], join[len(join)-1]
	}
	n.drmesh(t, join...)
	// The others know the proxy's address; b itself listens behind it.
	file := filepath.Join(n.dir, "b", "module.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(b, []byte(proxied), []byte(real), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := startProxy(t, proxied, real)
	if _, err := n.start("b"); err != nil {
		t.Fatal(err)
	}
	n.apply(t, "a", mainShare)
	n.keyedFile(t, "b", "main:f")
	n.caughtUp(t, "a", "b")

	for _, x := range []string{"a", "b"} {
		mine := sockets(t, n.run[x].cmd.Process.Pid)
		if udp := boundPorts(t, "/proc/net/udp", mine, ""); len(udp) != 2 {
			t.Errorf("%s: UDP ports %v, want two", x, udp)
		}
	}
	pairs := func(x string) (up int, l []admin.LinkPair) {
		var links []admin.Link
		if err := json.Unmarshal([]byte(n.drmesh(t, "link", "ls", "--dir", x, "-o", "json")), &links); err != nil || len(links) != 1 {
			t.Fatalf("%d links, %v", len(links), err)
		}
		for _, p := range links[0].Pairs {
			if p.State == "up" && p.Serving {
				up++
			}
		}
		return up, links[0].Pairs
	}
	standing := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			if n, _ := pairs("a"); n == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("never %d connections:\n%s", want, n.drmesh(t, "link", "ls", "--dir", "a"))
			}
		}
	}
	standing(3) // the session, and a link for each pair

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	var written atomic.Int64
	for w := range 8 {
		writers.Go(func() {
			p, err := n.open(ctx, "b", "main:f", call.OpenOptions{IO: call.Append, Access: call.Sequential})
			if err != nil {
				t.Error(err)
				return
			}
			defer p.conn.Close()
			for seq := 0; ctx.Err() == nil; seq++ {
				rec := fmt.Sprintf("%d%07d %0900x", w, seq, seq*0x9e3779b97f4a7c1)
				if err := p.SeqWrite(ctx, p.n, []byte(rec)); err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				written.Add(1)
			}
		})
	}
	more := func(k int64) {
		t.Helper()
		until := written.Load() + k
		for deadline := time.Now().Add(time.Minute); written.Load() < until; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("nothing is written any more: %d records", written.Load())
			}
		}
	}
	more(2000)
	if _, l := pairs("a"); l[1].Received == 0 || l[2].Received == 0 {
		t.Errorf("not all links carry: %+v", l)
	}
	proxy.dead.Store(true)
	more(2000)
	stop()
	writers.Wait()
	n.caughtUp(t, "a", "b")
	digest := n.drmesh(t, "file", "digest", "main:f", "--dir", "a")
	if other := n.drmesh(t, "file", "digest", "main:f", "--dir", "b"); other != digest {
		t.Errorf("a has %s, b %s", digest, other)
	}
	n.drmesh(t, "account", "--scan", "--dir", "a")
	n.drmesh(t, "account", "--scan", "--dir", "b")
	standing(2)
	t.Logf("%d records; %d bytes through the proxy\n%s", written.Load(), proxy.bytes.Load(), n.drmesh(t, "link", "ls", "--dir", "a"))
	proxy.dead.Store(false)
	standing(3)
}
