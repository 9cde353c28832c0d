package mesh_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"drmesh/mesh"
	"drmesh/mesh/meshtest"
	"drmesh/mesh/quicnet"
	"drmesh/mesh/wire"
	"drmesh/origin"
	"drmesh/origin/entry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const group = 1

// world is modules on one network, in virtual time.
type world struct {
	*testing.T
	net     *meshtest.Net
	modules []*meshtest.Module
}

// run plays a test in a bubble and ends all that it started.
func run(t *testing.T, fn func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: meshtest.NewNet()}
		defer func() {
			for _, m := range w.modules {
				m.Stop()
			}
			w.net.Close()
		}()
		fn(w)
	})
}

// module makes one; start it by start.
func (w *world) module(m origin.Module, peers ...origin.Module) *meshtest.Module {
	return meshtest.NewModule(w.net, m, peers...)
}

func (w *world) start(m *meshtest.Module) *mesh.Mesh {
	w.modules = append(w.modules, m)
	return m.Start()
}

func (w *world) forget(m *meshtest.Module) {
	m.Stop()
	for i, x := range w.modules {
		if x == m {
			w.modules = append(w.modules[:i:i], w.modules[i+1:]...)
		}
	}
}

// topology starts modules 1 to n with links.
func (w *world) topology(n int, links ...[2]int) []*meshtest.Module {
	peers := make([][]origin.Module, n+1)
	for _, l := range links {
		peers[l[0]] = append(peers[l[0]], origin.Module(l[1]))
		peers[l[1]] = append(peers[l[1]], origin.Module(l[0]))
	}
	ms := make([]*meshtest.Module, n)
	for i := range ms {
		ms[i] = w.module(origin.Module(i+1), peers[i+1]...)
		w.start(ms[i])
	}
	synctest.Wait()
	return ms
}

// within waits for a condition; the time it may take is virtual.
func (w *world) within(d time.Duration, what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(d); !ok(); {
		if time.Now().After(end) {
			for _, m := range w.modules {
				w.Logf("module %d: %v\n%v", m.Number, m.Events(), status(m))
			}
			w.Fatalf("not within %v: %s", d, what)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
	}
}

func status(m *meshtest.Module) string {
	var b strings.Builder
	for _, l := range m.Mesh().Links() {
		fmt.Fprintf(&b, "  %+v\n", l)
	}
	return b.String()
}

func (w *world) equal(d time.Duration, ms []*meshtest.Module, txns int) {
	w.Helper()
	w.within(d, "all modules hold the same", func() bool {
		for _, m := range ms {
			n := 0
			for _, p := range m.Vector() {
				n += int(p.Seq)
			}
			if n != txns || !meshtest.Same(m, ms[0]) {
				return false
			}
		}
		return true
	})
}

func txns(from, n, size int) [][]byte {
	l := make([][]byte, n)
	for i := range l {
		l[i] = fmt.Appendf(nil, "txn %08d %s", from+i, bytes.Repeat([]byte{byte(from + i)}, size))
	}
	return l
}

func chain(n int) (l [][2]int) {
	for i := 1; i < n; i++ {
		l = append(l, [2]int{i, i + 1})
	}
	return l
}

func ring(n int) [][2]int { return append(chain(n), [2]int{n, 1}) }

func star(n int) (l [][2]int) {
	for i := 2; i <= n; i++ {
		l = append(l, [2]int{1, i})
	}
	return l
}

func full(n int) (l [][2]int) {
	for i := 1; i <= n; i++ {
		for j := i + 1; j <= n; j++ {
			l = append(l, [2]int{i, j})
		}
	}
	return l
}

func TestEachTxnCrossesIntoEachModuleOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		links [][2]int
	}{{"chain", chain(5)}, {"ring", ring(5)}, {"star", star(5)}, {"full mesh", full(5)}} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(w *world) {
				for a := range origin.Module(5) {
					for b := range origin.Module(5) {
						w.net.Slow(a+1, b+1, 2*time.Millisecond, 0)
					}
				}
				ms := w.topology(5, c.links...)
				random := rand.New(rand.NewPCG(1, 1))
				const rounds, each = 100, 5
				for i := range rounds {
					for _, m := range ms {
						m.Write(group, txns(i*each, each, 100)...)
					}
					time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
				}
				w.equal(10*time.Second, ms, 5*rounds*each)
				for _, m := range ms {
					n, again := m.Got()
					dropped := int64(0)
					for _, l := range m.Mesh().Links() {
						dropped += l.Dropped
					}
					if n != 4*rounds*each || again != 0 || dropped > int64(n)/20 {
						t.Errorf("module %d received %d txns for %d, %d again, %d dropped", m.Number, n, 4*rounds*each, again, dropped)
					}
					if e := m.Events(); len(e) > 0 {
						t.Errorf("module %d: %v", m.Number, e)
					}
				}
			})
		})
	}
}

func TestTxnAndItsAcknowledgementTakeNoTimeOfTheirOwn(t *testing.T) {
	run(t, func(w *world) {
		const way = 5 * time.Millisecond
		w.net.Slow(1, 2, way, 0)
		ms := w.topology(2, chain(2)...)
		ms[0].Write(group, txns(0, 1, 10)...)
		w.equal(time.Second, ms, 1)
		time.Sleep(time.Second)
		for i := range 20 {
			time.Sleep(time.Duration(37*i) * time.Millisecond)
			s := meshtest.Stream(group, 1)
			want := ms[0].At(s).Seq + 1
			began := time.Now()
			ms[0].Write(group, txns(i, 1, 10)...)
			w.within(way+time.Millisecond, "delivery", func() bool { return ms[1].At(s).Seq == want })
			w.within(time.Until(began.Add(2*way+2*time.Millisecond)), "acknowledgement", func() bool { return ms[0].Acked(2, s) == want })
		}
	})
}

func TestCutAndHeal(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(3, full(3)...)
		n := 0
		write := func(k int) {
			for _, m := range ms {
				m.Write(group, txns(n, k, 50)...)
			}
			n += k
		}
		write(100)
		w.equal(5*time.Second, ms, 3*n)
		// 1 and 3 do not see each other: 2 carries.
		w.net.Cut(1, 3)
		write(100)
		w.equal(time.Second, ms, 3*n)
		// 3 is alone.
		w.net.Cut(2, 3)
		write(100)
		time.Sleep(time.Minute)
		if got := ms[2].At(meshtest.Stream(group, 1)).Seq; got != 200 {
			t.Fatalf("module 3 is cut off and has %d", got)
		}
		w.net.Heal(2, 3)
		w.equal(5*time.Second, ms, 3*n)
		w.net.Heal(1, 3)
		write(100)
		w.equal(5*time.Second, ms, 3*n)
		// A hundred cuts in a row.
		for i := range 100 {
			a, b := origin.Module(i%3+1), origin.Module((i+1)%3+1)
			w.net.Cut(a, b)
			write(5)
			time.Sleep(time.Duration(i*13%170) * time.Millisecond)
			w.net.Heal(a, b)
		}
		w.equal(10*time.Second, ms, 3*n)
	})
}

func TestBlackHoleIsLeftForAnotherWay(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(3, full(3)...)
		ms[0].Write(group, txns(0, 10, 50)...)
		w.equal(5*time.Second, ms, 10)
		// What 1 sends to 3 vanishes, and 1 is not told.
		w.net.Block(1, 3)
		n := 10
		for i := range 50 {
			ms[0].Write(group, txns(n, 1, 50)...)
			n++
			began := time.Now()
			w.within(500*time.Millisecond, "delivery around the hole", func() bool { return ms[2].At(meshtest.Stream(group, 1)).Seq == origin.Seq(n) })
			if i > 0 && time.Since(began) > 5*time.Millisecond {
				t.Fatalf("txn %d took %v", i, time.Since(began))
			}
			time.Sleep(100 * time.Millisecond)
		}
		w.within(20*time.Second, "3 gives up the session", func() bool { return !link(ms[2], 1).Up })
		if e := link(ms[2], 1).LastError; !strings.Contains(e, "says nothing") {
			t.Errorf("the error is %q", e)
		}
		w.net.Heal(1, 3)
		w.within(10*time.Second, "the session comes back", func() bool { return link(ms[2], 1).Up })
	})
}

func link(m *meshtest.Module, peer origin.Module) mesh.LinkStatus {
	for _, l := range m.Mesh().Links() {
		if l.Peer == peer {
			return l
		}
	}
	return mesh.LinkStatus{}
}

func TestSurvivorsFillEachOthersGaps(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(4, [2]int{1, 2}, [2]int{2, 3}, [2]int{3, 4}, [2]int{2, 4})
		w.net.Cut(2, 3)
		w.net.Cut(2, 4)
		ms[0].Write(group, txns(0, 500, 300)...)
		w.equal(5*time.Second, ms[:2], 500)
		w.forget(ms[0])
		w.net.Heal(2, 3)
		w.equal(5*time.Second, ms[1:], 500)
	})
}

func TestRestartGoesOnFromWhatIsHere(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(2, chain(2)...)
		ms[0].Write(group, txns(0, 100, 50)...)
		w.equal(5*time.Second, ms, 100)
		ms[1].Stop()
		ms[0].Write(group, txns(100, 100, 50)...)
		time.Sleep(time.Minute)
		ms[1].Start()
		w.within(100*time.Millisecond, "both sessions stand", func() bool { return link(ms[0], 2).Up && link(ms[1], 1).Up })
		w.equal(100*time.Millisecond, ms, 200)
		if n, again := ms[1].Got(); n != 200 || again != 0 {
			t.Errorf("200 txns came as %d, %d again", n, again)
		}
	})
}

func TestPauseStopsDataBothWays(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(2, chain(2)...)
		both := func(on bool) {
			ms[0].Mesh().SetPaused(2, on)
			ms[1].Mesh().SetPaused(1, on)
		}
		ms[0].Write(group, txns(0, 10, 50)...)
		w.equal(5*time.Second, ms, 10)
		both(true)
		synctest.Wait()
		sent := w.net.Sent(1, 2) + w.net.Sent(2, 1)
		ms[0].Write(group, txns(10, 10, 50)...)
		ms[1].Write(group, txns(0, 10, 50)...)
		time.Sleep(time.Minute)
		if now := w.net.Sent(1, 2) + w.net.Sent(2, 1); now != sent {
			t.Errorf("%d bytes were sent over a paused link", now-sent)
		}
		if l := link(ms[0], 2); !l.Paused || l.Up || l.Serving {
			t.Errorf("paused: %+v", l)
		}
		both(false)
		w.equal(time.Second, ms, 30)
		// One side is enough to stop it.
		ms[0].Mesh().SetPaused(2, true)
		synctest.Wait()
		ms[0].Write(group, txns(20, 10, 50)...)
		ms[1].Write(group, txns(10, 10, 50)...)
		time.Sleep(time.Minute)
		if meshtest.Same(ms[0], ms[1]) {
			t.Error("data went over a link that one side paused")
		}
		ms[0].Mesh().SetPaused(2, false)
		w.equal(5*time.Second, ms, 50)
	})
}

func TestPeersThatAreNotWantedAreNotServed(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(2, chain(2)...)
		ms[0].Write(group, txns(0, 10, 50)...)
		w.equal(5*time.Second, ms, 10)
		ms[0].SetPeers()
		synctest.Wait()
		time.Sleep(time.Second)
		ms[0].Write(group, txns(10, 10, 50)...)
		ms[1].Write(group, txns(0, 10, 50)...)
		time.Sleep(time.Minute)
		if a, b := ms[0].At(meshtest.Stream(group, 2)).Seq, ms[1].At(meshtest.Stream(group, 1)).Seq; a != 0 || b != 10 {
			t.Fatalf("without a link, %d and %d txns are here and there", a, b)
		}
		ms[0].SetPeers(2)
		w.equal(5*time.Second, ms, 30)
	})
}

func TestOnlyWantedAndAllowedStreamsCome(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.module(1, 2), w.module(2, 1)
		var more atomic.Bool
		b.Wants = func(s origin.Stream) bool { return s.Group != 2 || more.Load() }
		a.May = func(p origin.Module, s origin.Stream) bool { return s.Group != 3 }
		for g := range origin.Group(3) {
			a.Write(g+1, txns(0, 10, 50)...)
		}
		w.start(a)
		w.start(b)
		w.within(5*time.Second, "group 1", func() bool { return b.At(meshtest.Stream(1, 1)).Seq == 10 })
		time.Sleep(time.Minute)
		if v := b.Vector(); len(v) != 1 {
			t.Fatalf("more than group 1 came: %v", v)
		}
		more.Store(true)
		b.Mesh().Refresh()
		w.within(time.Second, "group 2", func() bool { return b.At(meshtest.Stream(2, 1)).Seq == 10 })
	})
}

func TestSlowReceiverCostsACursor(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(3, star(3)...)
		ms[1].Hold(true)
		const n, size = 120, 100 << 10
		for i := range n {
			ms[0].Write(group, txns(i, 1, size)...)
		}
		w.within(30*time.Second, "the other has all", func() bool { return ms[2].At(meshtest.Stream(group, 1)).Seq == n })
		time.Sleep(time.Minute)
		if held := ms[1].Held(); held < 3<<20 || held > 5<<20 {
			t.Errorf("%d bytes were given to an applier that takes none over", held)
		}
		// Sessions come and go: that is no way to more.
		for range 20 {
			w.net.Cut(1, 2)
			time.Sleep(time.Second)
			w.net.Heal(1, 2)
			time.Sleep(5 * time.Second)
		}
		if held := ms[1].Held(); held > 5<<20 {
			t.Errorf("%d bytes were given after many sessions", held)
		}
		ms[1].Hold(false)
		w.within(30*time.Second, "the slow one has all", func() bool { return ms[1].At(meshtest.Stream(group, 1)).Seq == n })
		if got, again := ms[1].Got(); got != n || again != 0 {
			t.Errorf("%d txns came as %d, %d again", n, got, again)
		}
	})
}

func TestLargeTxnTravelsInParts(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(3, chain(3)...)
		random := rand.New(rand.NewPCG(3, 3))
		big := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			return b
		}
		ms[0].Write(group, txns(0, 3, 10)...)
		ms[0].Write(group, big(wire.MaxEntries-5), big(wire.MaxEntries-4), big(6<<20))
		ms[0].Write(group, txns(3, 3, 10)...)
		w.equal(30*time.Second, ms, 9)
		// In the middle of one the link breaks.
		w.net.Slow(1, 2, time.Millisecond, 8<<20)
		ms[0].Write(group, big(10<<20))
		time.Sleep(500 * time.Millisecond)
		w.net.Cut(1, 2)
		w.net.Heal(1, 2)
		w.equal(30*time.Second, ms, 10)
		if _, again := ms[2].Got(); again != 0 {
			t.Errorf("%d txns came again", again)
		}
	})
}

func TestPoorLinkIsSlowNotDown(t *testing.T) {
	run(t, func(w *world) {
		w.net.Slow(1, 2, time.Second, 8000) // 2 s there and back, 64 kbit/s
		ms := w.topology(2, chain(2)...)
		random := rand.New(rand.NewPCG(4, 4))
		noise := make([]byte, 600<<10)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		for i := range 6 {
			ms[0].Write(group, noise[i*100<<10:(i+1)*100<<10])
		}
		w.within(2*time.Minute, "600 KiB at 8 kB/s", func() bool { return ms[1].At(meshtest.Stream(group, 1)).Seq == 6 })
		l := link(ms[1], 1)
		if up := time.Since(l.Since); !l.Up || up < 60*time.Second {
			t.Errorf("the session stands for %v: %+v", up, l)
		}
	})
}

// stranger is a module that speaks frames by hand.
type stranger struct {
	*testing.T
	c   net.Conn
	buf []byte
}

func (w *world) dial(from, to origin.Module) *stranger {
	w.Helper()
	synctest.Wait() // whoever has just started listens
	c, err := w.net.Host(from).Open(w.Context(), to, quicnet.Data)
	if err != nil {
		w.Fatal(err)
	}
	return &stranger{T: w.T, c: c}
}

func (s *stranger) send(b []byte) {
	s.Helper()
	if _, err := s.c.Write(b); err != nil {
		s.Fatal(err)
	}
}

func (s *stranger) hello(m origin.Module, v ...origin.StreamPosition) {
	s.Helper()
	s.send(wire.AppendHello(nil, &wire.Hello{Version: wire.Protocol, Mesh: meshtest.MeshID, Module: m, Vector: v}))
}

// next reads frames until one is of a type.
func (s *stranger) next(want wire.Type) []byte {
	s.Helper()
	for {
		t, body, buf, err := wire.ReadFrame(s.c, s.buf)
		if err != nil {
			s.Fatalf("waiting for frame %d: %v", want, err)
		}
		s.buf = buf
		if t == want {
			return body
		}
	}
}

// closed waits until the other has given up.
func (s *stranger) closed() {
	s.Helper()
	s.c.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		_, _, _, err := wire.ReadFrame(s.c, nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.Fatal("the session is not closed")
		}
		if err != nil {
			return
		}
	}
}

func position(s origin.Stream, entries ...[]byte) origin.Position {
	p := origin.Position{Hash: s.Genesis()}
	for _, e := range entries {
		p = origin.Position{Seq: p.Seq + 1, Hash: p.Hash.Next(e)}
	}
	return p
}

func headBy(signer origin.Module, s origin.Stream, p origin.Position) []byte {
	h := origin.Head{Stream: s, Position: p}
	entry.SignHead(&h, meshtest.Key(signer))
	return entry.AppendHead(nil, &h)
}

// liar serves whoever pulls from module 9, by hand: after the hello and the
// announcement of a stream it sends frames for each subscription.
func (w *world) liar(v origin.Vector, frames func(sub wire.Subscribe) [][]byte) {
	w.net.Host(9).Handle(quicnet.Data, func(ctx context.Context, peer origin.Module, c net.Conn) {
		defer c.Close()
		s := &stranger{T: w.T, c: c}
		if _, _, _, err := wire.ReadFrame(c, nil); err != nil {
			return
		}
		s.hello(9, v.Sorted()...)
		alive := time.NewTicker(time.Second)
		defer alive.Stop()
		go func() {
			for {
				select {
				case <-alive.C:
					c.Write(wire.AppendAnnounce(nil, nil))
				case <-ctx.Done():
					return
				}
			}
		}()
		for {
			t, body, _, err := wire.ReadFrame(c, nil)
			if err != nil {
				return
			}
			if t != wire.TypeSubscribe {
				continue
			}
			sub, err := wire.DecodeSubscribe(body)
			if err != nil {
				w.Error(err)
				return
			}
			for _, f := range frames(sub) {
				if _, err := c.Write(f); err != nil {
					return
				}
			}
		}
	})
}

func TestForgedRunIsRefusedAndTheRestUnhurt(t *testing.T) {
	s2, s9 := meshtest.Stream(group, 2), meshtest.Stream(group, 9)
	forged, own := txns(0, 3, 10), txns(100, 3, 10)
	for _, c := range []struct {
		name string
		run  wire.Batch
	}{
		{"signed by the relay", wire.Batch{Stream: s2, Entries: forged, Head: headBy(9, s2, position(s2, forged...))}},
		{"with another stream's head", wire.Batch{Stream: s2, Entries: own, Head: headBy(9, s9, position(s9, own...))}},
		{"signed by nobody known", wire.Batch{Stream: s2, Entries: forged, Head: headBy(5000, s2, position(s2, forged...))}},
		{"an entry changed on the way", wire.Batch{Stream: s2, Entries: forged, Head: headBy(2, s2, position(s2, forged[0], forged[1], []byte("another")))}},
		{"no head at all", wire.Batch{Stream: s2, Entries: forged, Head: []byte("xxxx")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(w *world) {
				w.liar(origin.Vector{s2: {Seq: 3}, s9: position(s9, own...)}, func(sub wire.Subscribe) [][]byte {
					if sub.Stream == s2 {
						return [][]byte{new(wire.Encoder).AppendBatch(nil, &c.run)}
					}
					return [][]byte{new(wire.Encoder).AppendBatch(nil, &wire.Batch{Stream: s9, Entries: own, Head: headBy(9, s9, position(s9, own...))})}
				})
				m := w.module(1, 9)
				w.start(m)
				w.within(time.Second, "the relay's own stream comes", func() bool { return m.At(s9).Seq == 3 })
				w.within(time.Second, "the forgery is counted", func() bool { return link(m, 9).Refused == 1 })
				time.Sleep(10 * time.Second)
				l := link(m, 9)
				if m.At(s2).Seq != 0 || l.Refused != 1 || !l.Up || time.Since(l.Since) < 10*time.Second {
					t.Errorf("%d forged txns are here; %+v", m.At(s2).Seq, l)
				}
				// Who has the truth, is heard.
				honest := w.module(2, 1)
				honest.Write(group, txns(0, 5, 20)...)
				w.start(honest)
				m.SetPeers(9, 2)
				w.within(2*time.Second, "the true stream comes", func() bool { return m.At(s2) == honest.At(s2) })
			})
		})
	}
}

func TestForgedHeadIsRefused(t *testing.T) {
	run(t, func(w *world) {
		m := w.module(1, 9)
		s2, s9 := meshtest.Stream(group, 2), meshtest.Stream(group, 9)
		w.liar(origin.Vector{s9: {Seq: 1}}, func(wire.Subscribe) [][]byte {
			return [][]byte{
				wire.AppendHead(nil, headBy(9, s2, origin.Position{Seq: 7})),
				wire.AppendHead(nil, headBy(5000, meshtest.Stream(group, 5000), origin.Position{Seq: 7})), // not known yet: no fault
			}
		})
		w.start(m)
		w.within(time.Second, "it is counted", func() bool { return link(m, 9).Refused == 1 })
		if !link(m, 9).Up {
			t.Error("the session is closed")
		}
	})
}

// A head comes from every neighbour, and its signature is looked at once.
func TestHeadIsVerifiedOnce(t *testing.T) {
	run(t, func(w *world) {
		m := w.module(1, 9)
		s9 := meshtest.Stream(group, 9)
		head, forged := headBy(9, s9, origin.Position{Seq: 7}), headBy(2, s9, origin.Position{Seq: 7})
		w.liar(origin.Vector{s9: {Seq: 1}}, func(wire.Subscribe) [][]byte {
			var l [][]byte
			for range 10 {
				l = append(l, wire.AppendHead(nil, head), wire.AppendHead(nil, forged))
			}
			return l
		})
		var looked atomic.Int64
		x := mesh.New(mesh.Config{Self: 1, MeshID: meshtest.MeshID, Network: w.net.Host(1), Source: m.Source(), Sink: m.Sink(),
			Key: func(m origin.Module) ed25519.PublicKey {
				looked.Add(1)
				return meshtest.Public(m)
			}, Peers: m.Peers, Wants: func(s origin.Stream) bool { return s.Module != 1 }, Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(w.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			x.Run(ctx)
		}()
		time.Sleep(time.Second)
		if l := x.Links(); l[0].Refused != 10 || looked.Load() != 11 {
			t.Errorf("%d of 10 forged heads were refused, %d signatures looked at, want 11", l[0].Refused, looked.Load())
		}
		cancel()
		<-done
	})
}

func TestWhatIsNoFrameClosesTheSession(t *testing.T) {
	lies := map[string][]byte{
		"rubbish":        bytes.Repeat([]byte{0xff}, 100),
		"oversized":      {0x7f, 0xff, 0xff, 0xff, 6},
		"empty":          {0, 0, 0, 0, 6},
		"wrong body":     wire.End(append(wire.Begin(nil, wire.TypeSubscribe), 0xc0), 0),
		"half, then end": {0, 0, 1, 0, 6, 0x99},
	}
	for name, b := range lies {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				ms := w.topology(2, chain(2)...)
				ms[0].SetPeers(2, 9)
				for _, first := range []bool{true, false} {
					s := w.dial(9, 1)
					if !first {
						s.hello(9)
						s.next(wire.TypeHello)
					}
					s.send(b)
					if name == "half, then end" {
						s.c.Close()
					} else {
						s.closed()
					}
					w.within(time.Second, "it is not served", func() bool { return !link(ms[0], 9).Serving })
				}
				ms[1].Write(group, txns(0, 10, 10)...)
				w.equal(time.Second, ms, 10)
			})
		})
	}
}

// Two that cannot speak with each other must not wake each other up to try.
func TestThoseWhoDoNotUnderstandEachOtherDialSeldom(t *testing.T) {
	run(t, func(w *world) {
		var dials atomic.Int64
		w.net.Host(9).Handle(quicnet.Data, func(ctx context.Context, peer origin.Module, c net.Conn) {
			dials.Add(1)
			wire.ReadFrame(c, nil)
			c.Write(wire.AppendHello(nil, &wire.Hello{Version: 1, Mesh: "other", Module: 9}))
			c.Close()
		})
		m := w.module(1, 9)
		w.start(m)
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			s := w.dial(9, 1) // it tries, too
			s.send(wire.AppendHello(nil, &wire.Hello{Version: 1, Mesh: "other", Module: 9}))
			s.closed()
			s.c.Close()
		}
		if n := dials.Load(); n < 20 || n > 120 {
			t.Errorf("%d dials in a minute", n)
		}
		if e := link(m, 9).LastError; e != `module 9 says it is module 9 of mesh "other"` {
			t.Error(e)
		}
	})
}

func TestHelloMustFitThePeer(t *testing.T) {
	for name, h := range map[string]wire.Hello{
		"another mesh":   {Version: 1, Mesh: "other", Module: 9},
		"another module": {Version: 1, Mesh: meshtest.MeshID, Module: 2},
		"no version":     {Version: 0, Mesh: meshtest.MeshID, Module: 9},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				m := w.module(1, 9)
				w.start(m)
				s := w.dial(9, 1)
				s.send(wire.AppendHello(nil, &h))
				if _, _, _, err := wire.ReadFrame(s.c, nil); err == nil {
					t.Error("was answered")
				}
				s.c.Close()
			})
		})
	}
	run(t, func(w *world) { // one that speaks later versions too
		m := w.module(1, 9)
		w.start(m)
		s := w.dial(9, 1)
		s.send(wire.AppendHello(nil, &wire.Hello{Version: 7, Mesh: meshtest.MeshID, Module: 9}))
		if h, err := wire.DecodeHello(s.next(wire.TypeHello)); err != nil || h.Version != wire.Protocol {
			t.Errorf("%+v, %v", h, err)
		}
		s.c.Close()
	})
}

func TestReceiverThatStopsReadingIsLeft(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(2, chain(2)...)
		ms[0].SetPeers(2, 9)
		ms[0].Write(group, txns(0, 1, 100<<10)...)
		w.equal(10*time.Second, ms, 1)
		random := rand.New(rand.NewPCG(5, 5))
		noise := make([]byte, 4<<20)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		for i := range 40 {
			ms[0].Write(group, noise[i*100<<10:(i+1)*100<<10])
		}
		s := w.dial(9, 1)
		defer s.c.Close()
		s.hello(9)
		s.next(wire.TypeHello)
		stream := meshtest.Stream(group, 1)
		s.send(wire.AppendSubscribe(nil, &wire.Subscribe{Stream: stream, After: position(stream), Credit: 1 << 62}))
		synctest.Wait()
		if sent := w.net.Sent(1, 9); sent > 1<<20 {
			t.Errorf("%d bytes were sent to who reads nothing", sent)
		}
		if !link(ms[0], 9).Serving {
			t.Error("it is not served")
		}
		ms[0].Write(group, txns(0, 10, 10)...)
		w.equal(time.Second, ms, 51)
		w.within(65*time.Second, "it is left", func() bool { return !link(ms[0], 9).Serving })
	})
}

func TestForkIsFoundWhenTwoModulesMeet(t *testing.T) {
	s1 := meshtest.Stream(group, 1)
	want := func(w *world, m *meshtest.Module, events ...string) {
		w.Helper()
		w.within(3*time.Second, fmt.Sprintf("module %d says %q", m.Number, events), func() bool { return reflect.DeepEqual(m.Events(), events) })
	}
	t.Run("clone that wrote", func(t *testing.T) {
		run(t, func(w *world) {
			ms := w.topology(2, chain(2)...)
			ms[0].Write(group, txns(0, 10, 10)...)
			w.equal(time.Second, ms, 10)
			clone := ms[0].Clone(w.net, 2)
			w.forget(ms[0])
			clone.Write(group, txns(500, 4, 10)...)
			w.start(clone)
			w.within(3*time.Second, "the clone's txns", func() bool { return ms[1].At(s1).Seq == 14 })
			w.forget(clone)
			ms[0].Write(group, txns(10, 2, 10)...)
			w.start(ms[0])
			want(w, ms[0], "2 has m1.1/g1 up to 14")
			want(w, ms[1], "fork of m1.1/g1 at 12 against 1")
			// Neither history is mixed into the other.
			ms[0].Write(group, txns(12, 10, 10)...)
			time.Sleep(time.Minute)
			if got := ms[1].At(s1).Seq; got != 14 {
				t.Errorf("module 2 went on to %d in a forked stream", got)
			}
		})
	})
	t.Run("restored copy", func(t *testing.T) {
		run(t, func(w *world) {
			ms := w.topology(2, chain(2)...)
			ms[0].Write(group, txns(0, 10, 10)...)
			w.equal(time.Second, ms, 10)
			old := ms[0].Clone(w.net, 2)
			ms[0].Write(group, txns(10, 10, 10)...)
			w.equal(time.Second, ms, 20)
			w.forget(ms[0])
			w.start(old)
			want(w, old, "2 has m1.1/g1 up to 20")
			want(w, ms[1])
		})
	})
	t.Run("between two who are not its origin", func(t *testing.T) {
		run(t, func(w *world) {
			a, b := w.module(1, 2), w.module(2, 1, 3)
			w.start(a)
			w.start(b)
			a.Write(group, txns(0, 10, 10)...)
			w.equal(time.Second, []*meshtest.Module{a, b}, 10)
			w.forget(a)
			a2, c := w.module(1, 3), w.module(3, 1, 2)
			a2.Write(group, txns(700, 6, 10)...)
			w.net.Cut(2, 3)
			w.start(a2)
			w.start(c)
			w.within(time.Second, "the other branch", func() bool { return c.At(s1).Seq == 6 })
			w.forget(a2)
			w.net.Heal(2, 3)
			want(w, b, "fork of m1.1/g1 at 6 against 3")
			want(w, c, "fork of m1.1/g1 at 6 against 2") // it holds less; it is told when it asks
			time.Sleep(time.Minute)
			if got := c.At(s1).Seq; got != 6 {
				t.Errorf("module 3 went on to %d in a forked stream", got)
			}
		})
	})
}

// What a module writes while its hello is on its way may reach the other by a
// third: that is no sign that its directory is a copy.
func TestWhatIsWrittenWhileTwoMeetIsNoAlarm(t *testing.T) {
	run(t, func(w *world) {
		w.net.Slow(1, 2, 200*time.Millisecond, 0)
		ms := w.topology(3, full(3)...)
		for i := range 100 {
			ms[0].Write(group, txns(i, 1, 10)...)
			time.Sleep(5 * time.Millisecond)
		}
		w.equal(5*time.Second, ms, 100)
		for _, m := range ms {
			if e := m.Events(); len(e) > 0 {
				t.Errorf("module %d: %v", m.Number, e)
			}
		}
	})
}

func TestForkAtASubscriptionIsTold(t *testing.T) {
	run(t, func(w *world) {
		m := w.module(1, 9)
		m.Write(group, txns(0, 10, 10)...)
		w.start(m)
		s := w.dial(9, 1)
		defer s.c.Close()
		s.hello(9)
		s.next(wire.TypeHello)
		stream := meshtest.Stream(group, 1)
		s.send(wire.AppendSubscribe(nil, &wire.Subscribe{Stream: stream, After: origin.Position{Seq: 4, Hash: origin.Hash{1}}, Credit: 1 << 20}))
		p, err := wire.DecodeFork(s.next(wire.TypeFork))
		if want := (wire.Place{Stream: stream, Seq: 4, Hash: position(stream, txns(0, 4, 10)...).Hash}); err != nil || p != want {
			t.Errorf("%+v, %v", p, err)
		}
		if e := m.Events(); !reflect.DeepEqual(e, []string{"fork of m1.1/g1 at 4 against 9"}) {
			t.Errorf("%q", e)
		}
	})
}

func TestPrunedStreamNeedsASnapshot(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.module(1, 2), w.module(2, 1)
		s := meshtest.Stream(group, 1)
		a.Write(group, txns(0, 100, 10)...)
		a.Prune(s, 60)
		w.start(a)
		w.start(b)
		w.within(time.Second, "the alarm", func() bool { return len(b.Events()) > 0 })
		if e := b.Events(); e[0] != "1 let go of m1.1/g1 after 0" {
			t.Errorf("%q", e)
		}
		b.Adopt(a, s)
		a.Write(group, txns(100, 10, 10)...)
		b.Mesh().Restart(w.Context())
		w.equal(time.Second, []*meshtest.Module{a, b}, 110)
	})
}

func TestBoundOfAnnouncements(t *testing.T) {
	run(t, func(w *world) {
		// A neighbour that announces what nobody wrote, to the last seq there
		// is, holds nobody up for long.
		s2 := meshtest.Stream(group, 2)
		w.liar(origin.Vector{s2: {Seq: 1<<64 - 1}}, func(wire.Subscribe) [][]byte { return nil })
		m, honest := w.module(1, 9), w.module(2, 1)
		honest.Write(group, txns(0, 5, 20)...)
		w.start(m)
		time.Sleep(time.Second)
		w.start(honest)
		m.SetPeers(9, 2)
		w.within(40*time.Second, "the true stream comes", func() bool { return m.At(s2).Seq == 5 })
	})
}

func TestQuestions(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(2, chain(2)...)
		a, b := ms[0].Mesh(), ms[1].Mesh()
		b.HandleRPC("echo", func(_ context.Context, from origin.Module, q []byte) ([]byte, error) {
			return fmt.Appendf(nil, "%d: %s", from, q), nil
		})
		b.HandleRPC("fail", func(context.Context, origin.Module, []byte) ([]byte, error) { return nil, errors.New("no quorum") })
		b.HandleRPC("long", func(context.Context, origin.Module, []byte) ([]byte, error) { return make([]byte, mesh.MaxRPC), nil })
		b.HandleRPC("wait", func(ctx context.Context, _ origin.Module, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		ctx := w.Context()
		if r, err := a.Call(ctx, 2, "echo", []byte("hello")); err != nil || string(r) != "1: hello" {
			t.Errorf("%q, %v", r, err)
		}
		if r, err := a.Call(ctx, 2, "echo", make([]byte, mesh.MaxRPC-100)); err != nil || len(r) != mesh.MaxRPC-100+3 {
			t.Errorf("a long question: %d bytes, %v", len(r), err)
		}
		for name, want := range map[string]string{
			"fail":    "module 2, fail: no quorum",
			"unknown": "module 2, unknown: this module does not answer that",
			"long":    "module 2, long: the answer has 8388608 bytes, 8388607 are allowed",
			"wait":    "module 2, wait: context deadline exceeded",
		} {
			var remote *mesh.RemoteError
			if _, err := a.Call(ctx, 2, name, nil); !errors.As(err, &remote) || err.Error() != want {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := a.Call(ctx, 2, "echo", make([]byte, mesh.MaxRPC)); err == nil {
			t.Error("a question over the limit was sent")
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		began := time.Now()
		if _, err := a.Call(short, 2, "wait", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		time.Sleep(time.Minute)
		// More at a time than one module may ask.
		replies := make(chan error)
		for range 80 {
			go func() {
				_, err := a.Call(ctx, 2, "wait", nil)
				replies <- err
			}()
		}
		busy := 0
		for range 80 {
			if err := <-replies; strings.Contains(err.Error(), "are being answered already") {
				busy++
			}
		}
		if busy != 16 {
			t.Errorf("of 80 questions at once %d were refused", busy)
		}
	})
}

func TestSnapshots(t *testing.T) {
	run(t, func(w *world) {
		ms := w.topology(2, chain(2)...)
		a, b := ms[0].Mesh(), ms[1].Mesh()
		fetch := func(ctx context.Context, request string, take func([]byte) error) (string, error) {
			var got []byte
			err := a.FetchSnapshot(ctx, 2, []byte(request), func(c []byte) error {
				got = append(got, c...)
				if take != nil {
					return take(c)
				}
				return nil
			})
			return string(got), err
		}
		if _, err := fetch(w.Context(), "all", nil); err == nil || !strings.Contains(err.Error(), "gives no snapshots") {
			t.Error(err)
		}
		b.HandleSnapshot(func(ctx context.Context, from origin.Module, req []byte, emit func([]byte) error) error {
			chunk := make([]byte, 0, 300<<10)
			for i := range 20 {
				chunk = append(chunk[:0], bytes.Repeat([]byte{byte('a' + i)}, 1+i*15000)...)
				if err := emit(chunk); err != nil {
					return err
				}
				switch {
				case string(req) == "fail" && i == 5:
					return errors.New("the disk is sick")
				case string(req) == "wait" && i == 5:
					<-ctx.Done()
					return ctx.Err()
				}
			}
			return nil
		})
		var want strings.Builder
		for i := range 20 {
			want.WriteString(strings.Repeat(string(rune('a'+i)), 1+i*15000))
		}
		if got, err := fetch(w.Context(), "all", nil); err != nil || got != want.String() {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		// A receiver that takes a minute for each chunk.
		if got, err := fetch(w.Context(), "all", func([]byte) error { time.Sleep(time.Minute); return nil }); err != nil || got != want.String() {
			t.Errorf("slowly: %d bytes, %v", len(got), err)
		}
		if _, err := fetch(w.Context(), "fail", nil); err == nil || err.Error() != "snapshot: module 2, snapshot: the disk is sick" {
			t.Error(err)
		}
		full := errors.New("disk is full")
		if _, err := fetch(w.Context(), "all", func(c []byte) error { return full }); !errors.Is(err, full) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if _, err := fetch(ctx, "wait", nil); !errors.Is(err, mesh.ErrIncomplete) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.AfterFunc(time.Second, func() { w.net.Cut(1, 2) })
		if _, err := fetch(w.Context(), "wait", nil); !errors.Is(err, mesh.ErrIncomplete) {
			t.Error(err)
		}
		w.net.Heal(1, 2)
		// One that lies about its bytes.
		w.net.Host(9).Handle(quicnet.Snapshot, func(_ context.Context, _ origin.Module, c net.Conn) {
			c.Write([]byte{0, 0, 0, 3, 1, 2, 3, 4, 'a', 'b', 'c'})
			c.Close()
		})
		if err := a.FetchSnapshot(w.Context(), 9, nil, func([]byte) error { return nil }); err == nil || !strings.Contains(err.Error(), "damaged chunk") {
			t.Error(err)
		}
	})
}
