package mesh_test

import (
	"cmp"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"drmesh/mesh"
	"drmesh/mesh/meshtest"
	"drmesh/mesh/wire"
	"drmesh/origin"
)

// twoLines starts modules 1 and 2 with two lines between them, once their
// links stand.
func (w *world) twoLines(delay time.Duration, rate int) []*meshtest.Module {
	w.Helper()
	w.net.Lines(1, 2, 2)
	w.net.Slow(1, 2, delay, rate)
	ms := w.topology(2, chain(2)...)
	w.within(time.Second, "all links stand", func() bool { return links(ms[0], 2) == 3 && links(ms[1], 1) == 3 })
	return ms
}

// links counts those that stand both ways, the session's own included.
func links(m *meshtest.Module, peer origin.Module) (n int) {
	for _, l := range link(m, peer).Links {
		if l.Up && l.Serving {
			n++
		}
	}
	return n
}

func way(m *meshtest.Module, peer origin.Module, n int) mesh.WayStatus {
	for _, l := range link(m, peer).Links {
		if l.Link == n {
			return l
		}
	}
	return mesh.WayStatus{}
}

// once checks that each of n txns was received in order, and how many of them
// came a second time.
func (w *world) once(m *meshtest.Module, n, most int) {
	w.Helper()
	got, again := m.Got()
	dropped := 0
	for _, l := range m.Mesh().Links() {
		dropped += int(l.Dropped)
	}
	if got != n || again != 0 || dropped > most {
		w.Errorf("module %d received %d txns for %d, %d again, and dropped %d", m.Number, got, n, again, dropped)
	}
	if e := m.Events(); len(e) > 0 {
		w.Errorf("module %d: %v", m.Number, e)
	}
}

func TestBothLinksCarryData(t *testing.T) {
	run(t, func(w *world) {
		ms := w.twoLines(2*time.Millisecond, 1<<20)
		for _, m := range ms {
			m.Write(group, noise(byte(m.Number), 10000, 200)...)
		}
		w.equal(20*time.Second, ms, 20000)
		for i, m := range ms {
			peer := ms[1-i].Number
			a, b, session := way(m, peer, 1), way(m, peer, 2), way(m, peer, 0)
			if a.Received < 4000 || b.Received < 4000 || a.Received+b.Received+session.Received != 10000 {
				t.Errorf("module %d received %d and %d txns over its links, %d over the session", m.Number, a.Received, b.Received, session.Received)
			}
			if a.Sent+b.Sent+session.Sent != 10000 {
				t.Errorf("module %d sent %d and %d txns over its links, %d over the session", m.Number, a.Sent, b.Sent, session.Sent)
			}
			w.once(m, 10000, 0)
		}
	})
}

// noise is txns that do not compress.
func noise(seed byte, n, size int) [][]byte {
	l := make([][]byte, n)
	x := uint64(seed)*2654435761 + 1
	for i := range l {
		l[i] = make([]byte, size)
		for j := range l[i] {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			l[i][j] = byte(x)
		}
	}
	return l
}

func TestLinksAddUp(t *testing.T) {
	took := func(lines int) (d time.Duration) {
		run(t, func(w *world) {
			w.net.Lines(1, 2, lines)
			w.net.Slow(1, 2, 5*time.Millisecond, 1<<20)
			ms := w.topology(2, chain(2)...)
			time.Sleep(time.Second)
			began := time.Now()
			ms[0].Write(group, noise(1, 4000, 1000)...)
			w.equal(20*time.Second, ms, 4000)
			d = time.Since(began)
			w.once(ms[1], 4000, 0)
		})
		return d
	}
	one, two := took(1), took(2)
	if two > one*6/10 {
		t.Errorf("4 MB over one line of 1 MB/s took %v, over two %v", one, two)
	}
	t.Logf("one line %v, two %v", one, two)
}

func TestLinkThatIsCutLosesNothing(t *testing.T) {
	for name, cut := range map[string]func(w *world, line int){
		"cut":        func(w *world, line int) { w.net.CutLine(1, 2, line) },
		"black hole": func(w *world, line int) { w.net.BlockLine(1, 2, line) },
	} {
		for line := range 2 { // the session is on line 0
			t.Run(name, func(t *testing.T) {
				run(t, func(w *world) {
					ms := w.twoLines(5*time.Millisecond, 1<<20)
					entries := noise(1, 10000, 500)
					for i := range 100 {
						ms[0].Write(group, entries[i*100:(i+1)*100]...)
						if i == 50 {
							cut(w, line)
						}
						time.Sleep(20 * time.Millisecond)
					}
					w.equal(30*time.Second, ms, 10000)
					w.once(ms[1], 10000, 2*(1<<20)/500)
					if name == "cut" {
						return
					}
					// What vanished with the line is seen to be gone.
					w.within(20*time.Second, "the link is down at both ends", func() bool {
						return !way(ms[0], 2, line+1).Serving && !way(ms[1], 1, line+1).Up
					})
					w.net.HealLine(1, 2, line)
					w.within(10*time.Second, "it comes back", func() bool { return links(ms[0], 2) == 3 && links(ms[1], 1) == 3 })
					before := way(ms[1], 1, line+1).Received
					ms[0].Write(group, noise(2, 4000, 500)...)
					w.equal(30*time.Second, ms, 14000)
					if way(ms[1], 1, line+1).Received == before {
						t.Error("nothing goes over the link that came back")
					}
				})
			})
		}
	}
}

func TestBlackHoleOfDataIsNoticedAtOnce(t *testing.T) {
	run(t, func(w *world) {
		ms := w.twoLines(0, 0)
		ms[0].Write(group, txns(0, 10, 50)...)
		w.equal(time.Second, ms, 10)
		w.net.BlockLine(1, 2, 1) // the session is on the other
		n := 10
		for range 50 {
			ms[0].Write(group, txns(n, 1, 50)...)
			n++
			w.within(time.Second, "delivery over the other link", func() bool { return ms[1].At(meshtest.Stream(group, 1)).Seq == origin.Seq(n) })
			time.Sleep(50 * time.Millisecond)
		}
	})
}

func TestSlowLinkDoesNotHoldUpTheFastOne(t *testing.T) {
	run(t, func(w *world) {
		w.net.Lines(1, 2, 2)
		w.net.SlowLine(1, 2, 0, 2*time.Millisecond, 4<<20)
		w.net.SlowLine(1, 2, 1, 2*time.Millisecond, 20<<10)
		ms := w.topology(2, chain(2)...)
		w.within(time.Second, "all links stand", func() bool { return links(ms[0], 2) == 3 })
		began := time.Now()
		ms[0].Write(group, noise(1, 20000, 500)...) // 10 MB at 4 MB/s
		w.equal(60*time.Second, ms, 20000)
		// A link that slow may hold a window's worth, until the other carries
		// that too.
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("10 MB over links of 4 MB/s and 20 KB/s took %v", d)
		}
		w.once(ms[1], 20000, 512<<10/500)
	})
}

// Three modules, three lines each way, of which at any time some are cut, or
// swallow everything, or crawl.
func TestLinesComeAndGo(t *testing.T) {
	for seed := range uint64(5) {
		run(t, func(w *world) {
			r := rand.New(rand.NewPCG(seed, 11))
			for _, l := range full(3) {
				w.net.Lines(origin.Module(l[0]), origin.Module(l[1]), 3)
			}
			ms := w.topology(3, full(3)...)
			n := 0
			for range 200 {
				k := r.IntN(40)
				for _, m := range ms {
					m.Write(group, noise(byte(r.IntN(256)), k, 1+r.IntN(2000))...)
				}
				n += 3 * k
				l := full(3)[r.IntN(3)]
				a, b, line := origin.Module(l[0]), origin.Module(l[1]), r.IntN(3)
				switch r.IntN(6) {
				case 0:
					w.net.CutLine(a, b, line)
				case 1:
					w.net.BlockLine(a, b, line)
				case 2:
					w.net.SlowLine(a, b, line, time.Duration(r.IntN(50))*time.Millisecond, 20_000+r.IntN(1_000_000))
				default:
					w.net.HealLine(a, b, line)
				}
				time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
			}
			for _, l := range full(3) {
				w.net.Heal(origin.Module(l[0]), origin.Module(l[1]))
				w.net.Slow(origin.Module(l[0]), origin.Module(l[1]), time.Millisecond, 0)
			}
			w.equal(2*time.Minute, ms, n)
			for _, m := range ms {
				if e := m.Events(); len(e) > 0 {
					t.Errorf("seed %d: module %d: %v", seed, m.Number, e)
				}
			}
		})
	}
}

func TestPauseIsOfAllLinks(t *testing.T) {
	run(t, func(w *world) {
		ms := w.twoLines(0, 0)
		ms[0].Mesh().SetPaused(2, true)
		ms[1].Mesh().SetPaused(1, true)
		synctest.Wait()
		if links(ms[0], 2) != 0 || links(ms[1], 1) != 0 {
			t.Errorf("links stand:\n%s%s", status(ms[0]), status(ms[1]))
		}
		ms[0].Write(group, txns(0, 100, 50)...)
		time.Sleep(time.Minute)
		if n, _ := ms[1].Got(); n != 0 {
			t.Errorf("%d txns came over a link that is paused", n)
		}
		ms[0].Mesh().SetPaused(2, false)
		ms[1].Mesh().SetPaused(1, false)
		w.equal(5*time.Second, ms, 100)
		w.within(5*time.Second, "all links stand", func() bool { return links(ms[0], 2) == 3 && links(ms[1], 1) == 3 })
	})
}

func TestLargeTxnsOverTwoLinks(t *testing.T) {
	run(t, func(w *world) {
		ms := w.twoLines(2*time.Millisecond, 16<<20)
		for i := range 4 {
			ms[0].Write(group, noise(byte(i), 1, 3<<20)...)
			ms[0].Write(group, noise(byte(i), 100, 100)...)
		}
		w.equal(20*time.Second, ms, 404)
		w.once(ms[1], 404, 0)
	})
}

// Links of a session that is over, numbers that are none, acknowledgements of
// what was never sent: the link ends, the session stands.
func TestLinkMustFitItsSession(t *testing.T) {
	run(t, func(w *world) {
		m := w.module(1, 9)
		w.start(m)
		s := w.dial(9, 1)
		defer s.c.Close()
		s.hello(9)
		s.next(wire.TypeHello)
		session, err := wire.DecodeNumber(s.next(wire.TypeOffer))
		if err != nil {
			t.Fatal(err)
		}
		attach := func(a wire.Attach) *stranger {
			x := w.dial(9, 1)
			a.Version, a.Mesh, a.Module = wire.Protocol, meshtest.MeshID, cmp.Or(a.Module, 9)
			x.send(wire.AppendAttach(nil, &a))
			return x
		}
		for name, a := range map[string]wire.Attach{
			"another session":  {Session: session + 1, Link: 1},
			"no link":          {Session: session},
			"too high a link":  {Session: session, Link: 5},
			"another's number": {Session: session, Link: 1, Module: 2},
		} {
			x := attach(a)
			x.closed()
			x.c.Close()
			if n := links(m, 9); n != 0 || !link(m, 9).Serving {
				t.Errorf("%s: %d links", name, n)
			}
		}
		x := attach(wire.Attach{Session: session, Link: 2})
		x.next(wire.TypeAnnounce)
		x.send(wire.AppendTaken(nil, 1))
		x.closed()
		x.c.Close()
		// The session goes on, by itself and with a link.
		stream := meshtest.Stream(group, 1)
		s.send(wire.AppendSubscribe(nil, &wire.Subscribe{Stream: stream, After: position(stream), Credit: 1 << 20}))
		m.Write(group, txns(0, 1, 10)...)
		s.next(wire.TypeBatch)
		x = attach(wire.Attach{Session: session, Link: 4})
		defer x.c.Close()
		x.next(wire.TypeAnnounce)
		m.Write(group, txns(1, 1, 10)...)
		x.next(wire.TypeBatch)
		// It is not acknowledged: the session carries it, too.
		s.next(wire.TypeBatch)
	})
}

func TestGapThatStaysOpenIsAskedForAgain(t *testing.T) {
	run(t, func(w *world) {
		s9 := meshtest.Stream(group, 9)
		own := txns(0, 4, 20)
		head := headBy(9, s9, position(s9, own...))
		asked := 0
		w.liar(origin.Vector{s9: position(s9, own...)}, func(sub wire.Subscribe) [][]byte {
			b := wire.Batch{Stream: s9, After: 2, Entries: own[2:], Head: head}
			if asked++; asked > 1 {
				b.After, b.Entries = 0, own
			}
			return [][]byte{new(wire.Encoder).AppendBatch(nil, &b)}
		})
		m := w.module(1, 9)
		w.start(m)
		time.Sleep(10 * time.Second)
		if n, _ := m.Got(); n != 0 || asked != 1 {
			t.Errorf("%d txns came, it was asked for %d times", n, asked)
		}
		w.within(15*time.Second, "all comes", func() bool { return m.At(s9).Seq == 4 })
		w.once(m, 4, 0)
	})
}
