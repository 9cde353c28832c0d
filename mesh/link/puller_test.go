package link

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"drmesh/origin"
)

// TestTranscripts plays what happens to the puller of module 1. Times are
// milliseconds; streams are called by their module, all in group 1, first
// incarnation. Events, one a line:
//
//	up PEER RTT | down PEER | rtt PEER RTT
//	has PEER STREAM SEQ ...
//	got STREAM SEQ           a run is in our hands
//	full STREAM | room STREAM
//	failed PEER STREAM
//	gap PEER STREAM
//	restart STREAM SEQ ...
//	at MS                    the time is now that, and a tick
//	wants STREAM ... | wants all
//
// and what came of it follows, indented in the order of effects.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := newWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "play" {
				t.Fatalf("unknown command %s", d.Cmd)
			}
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				line = strings.TrimSpace(line)
				out.WriteString(line + "\n")
				for _, e := range w.play(t, strings.Fields(line)) {
					out.WriteString("    " + show(e) + "\n")
				}
			}
			return out.String()
		})
	})
}

type world struct {
	p     *Puller
	now   time.Time
	wants map[origin.Module]bool // nil: all
	leaf  map[origin.Module]bool // carry their own streams alone
}

func newWorld() *world {
	w := &world{now: time.UnixMilli(0)}
	w.p = NewPuller(nil, func(s origin.Stream) bool { return s.Module != 1 && (w.wants == nil || w.wants[s.Module]) },
		func(m origin.Module, s origin.Stream) bool { return !w.leaf[m] || s.Module == m })
	return w
}

func st(m int) origin.Stream {
	return origin.Stream{Group: 1, Module: origin.Module(m), Incarnation: 1}
}

func position(m, q int) origin.Position {
	if q == 0 {
		return origin.Position{Hash: st(m).Genesis()}
	}
	return origin.Position{Seq: origin.Seq(q), Hash: origin.Hash{byte(q)}}
}

func (w *world) play(t *testing.T, f []string) []Effect {
	n := make([]int, len(f))
	for i, x := range f[1:] {
		if d, err := time.ParseDuration(x); err == nil && !strings.ContainsAny(x[len(x)-1:], "0123456789") {
			n[i+1] = int(d)
		} else if v, err := strconv.Atoi(x); err == nil {
			n[i+1] = v
		}
	}
	peer := func(i int) origin.Module { return origin.Module(n[i]) }
	switch f[0] {
	case "up":
		return w.p.Step(w.now, PeerUp{peer(1), time.Duration(n[2])})
	case "down":
		return w.p.Step(w.now, PeerDown{peer(1)})
	case "rtt":
		return w.p.Step(w.now, Measured{peer(1), time.Duration(n[2])})
	case "has":
		a := Announced{Peer: peer(1)}
		for i := 2; i+1 < len(n); i += 2 {
			a.Seqs = append(a.Seqs, origin.StreamSeq{Stream: st(n[i]), Seq: origin.Seq(n[i+1])})
		}
		return w.p.Step(w.now, a)
	case "got":
		return w.p.Step(w.now, Received{st(n[1]), position(n[1], n[2])})
	case "full", "room":
		return w.p.Step(w.now, Full{st(n[1]), f[0] == "full"})
	case "failed":
		return w.p.Step(w.now, Failed{peer(1), st(n[2])})
	case "gap":
		return w.p.Step(w.now, Gap{peer(1), st(n[2])})
	case "restart":
		v := origin.Vector{}
		for i := 1; i+1 < len(n); i += 2 {
			v[st(n[i])] = position(n[i], n[i+1])
		}
		return w.p.Step(w.now, Restart{v})
	case "at":
		w.now = time.UnixMilli(int64(n[1]))
		return w.p.Step(w.now, Tick{})
	case "leaf":
		w.leaf = map[origin.Module]bool{peer(1): true}
		return nil
	case "wants":
		w.wants = nil
		if f[1] != "all" {
			w.wants = map[origin.Module]bool{}
			for _, m := range n[1:] {
				w.wants[origin.Module(m)] = true
			}
		}
		return w.p.Step(w.now, Tick{})
	}
	t.Fatalf("unknown event %v", f)
	return nil
}

func show(e Effect) string {
	switch e := e.(type) {
	case Subscribe:
		return fmt.Sprintf("subscribe at %d to %v after %d", e.Peer, e.Stream, e.After.Seq)
	case Unsubscribe:
		return fmt.Sprintf("unsubscribe at %d from %v", e.Peer, e.Stream)
	}
	return fmt.Sprintf("%T", e)
}

// event makes up an event of a small world.
func event(r *rand.Rand) Event {
	p, m, q := origin.Module(2+r.IntN(4)), 1+r.IntN(4), 1+r.IntN(20)
	switch r.IntN(10) {
	case 0:
		return PeerUp{p, time.Duration(r.IntN(5)) * time.Millisecond}
	case 1:
		return PeerDown{p}
	case 2:
		return Failed{p, st(m)}
	case 3:
		return Full{st(m), r.IntN(2) == 0}
	case 4:
		return Tick{}
	case 5:
		return Received{st(m), position(m, q)}
	case 6:
		if r.IntN(10) == 0 {
			return Restart{origin.Vector{st(m): position(m, q)}}
		}
		return Measured{p, time.Duration(r.IntN(5)) * time.Millisecond}
	default:
		return Announced{p, []origin.StreamSeq{{Stream: st(m), Seq: origin.Seq(q)}, {Stream: st(1 + r.IntN(4)), Seq: origin.Seq(1 + r.IntN(20))}}}
	}
}

// TestOneSubscriptionPerStream follows the effects as a driver would, over
// many made-up histories.
func TestOneSubscriptionPerStream(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := NewPuller(nil, func(s origin.Stream) bool { return s.Module != 1 && s.Module != 4 }, nil)
		again := NewPuller(nil, func(s origin.Stream) bool { return s.Module != 1 && s.Module != 4 }, nil)
		now := time.UnixMilli(0)
		subs := map[origin.Stream]origin.Module{}
		up := map[origin.Module]bool{}
		has := map[from]origin.Seq{}
		for step := range 300 {
			now = now.Add(time.Duration(r.IntN(60)) * time.Millisecond)
			ev := event(r)
			fail := func(format string, args ...any) {
				t.Fatalf("seed %d, step %d, %+v: %s", seed, step, ev, fmt.Sprintf(format, args...))
			}
			gone := func(m origin.Module) {
				for s, q := range subs {
					if q == m {
						delete(subs, s)
					}
				}
				for k := range has {
					if k.peer == m {
						delete(has, k)
					}
				}
			}
			switch e := ev.(type) {
			case PeerUp:
				up[e.Peer] = true
				gone(e.Peer)
			case PeerDown:
				up[e.Peer] = false
				gone(e.Peer)
			case Announced:
				for _, a := range e.Seqs {
					if k := (from{e.Peer, a.Stream}); up[e.Peer] && a.Seq > has[k] {
						has[k] = a.Seq
					}
				}
			}
			out := p.Step(now, ev)
			for _, eff := range out {
				switch x := eff.(type) {
				case Subscribe:
					if subs[x.Stream] != 0 || !up[x.Peer] || x.Stream.Module == 1 || x.Stream.Module == 4 || has[from{x.Peer, x.Stream}] <= x.After.Seq {
						fail("%s, while it stands at %d, which has %d", show(x), subs[x.Stream], has[from{x.Peer, x.Stream}])
					}
					subs[x.Stream] = x.Peer
				case Unsubscribe:
					if subs[x.Stream] != x.Peer {
						fail("%s, while it stands at %d", show(x), subs[x.Stream])
					}
					delete(subs, x.Stream)
				}
			}
			for m := range 5 {
				if p.Source(st(m)) != subs[st(m)] {
					fail("source of %v is %d, by the effects %d", st(m), p.Source(st(m)), subs[st(m)])
				}
			}
			if got := again.Step(now, ev); !reflect.DeepEqual(got, out) {
				fail("the same history gave %v, then %v", out, got)
			}
		}
		// Whatever happened: if one neighbour has all, and those who have
		// something give it, all of it comes in the end.
		p.Step(now, PeerUp{9, 0})
		a := Announced{Peer: 9}
		for m := range 5 {
			a.Seqs = append(a.Seqs, origin.StreamSeq{Stream: st(m), Seq: 1000})
			has[from{9, st(m)}] = 1000
			p.Step(now, Full{st(m), false})
		}
		p.Step(now, a)
		for range 10 {
			now = now.Add(time.Minute)
			p.Step(now, Tick{})
			for m := range 5 {
				if q := has[from{p.Source(st(m)), st(m)}]; q > p.At(st(m)).Seq {
					p.Step(now, Received{st(m), position(m, int(q))})
				}
			}
		}
		for _, m := range []int{2, 3} {
			if p.At(st(m)).Seq != 1000 {
				t.Fatalf("seed %d: in the end %v stands at %d, and comes from %d", seed, st(m), p.At(st(m)).Seq, p.Source(st(m)))
			}
		}
	}
}

func TestWhatANeighbourAnnouncesIsBounded(t *testing.T) {
	p := NewPuller(nil, func(s origin.Stream) bool { return s.Module != 1 }, nil)
	p.Step(time.UnixMilli(0), PeerUp{2, 0})
	for i := range origin.Group(10) {
		a := Announced{Peer: 2}
		for j := range origin.Module(1000) {
			a.Seqs = append(a.Seqs, origin.StreamSeq{Stream: origin.Stream{Group: 1 + i, Module: 3 + j, Incarnation: 1}, Seq: 1<<64 - 1})
		}
		p.Step(time.UnixMilli(0), a)
	}
	if len(p.streams) > origin.MaxStreams || len(p.peers[2].has) > origin.MaxStreams {
		t.Fatalf("%d streams are remembered of one neighbour, %d are allowed", len(p.peers[2].has), origin.MaxStreams)
	}
}

func TestCompare(t *testing.T) {
	chain := func(s origin.Stream, q origin.Seq) (origin.Hash, bool, error) {
		if q < 3 {
			return origin.Hash{}, false, nil // let go
		}
		return origin.Hash{byte(q)}, true, nil
	}
	at := func(m, q, h int) origin.StreamPosition {
		return origin.StreamPosition{Stream: st(m), Position: origin.Position{Seq: origin.Seq(q), Hash: origin.Hash{byte(h)}}}
	}
	ours := origin.Vector{st(1): position(1, 10), st(2): position(2, 10), st(3): position(3, 10)}
	for _, c := range []struct {
		name   string
		theirs origin.StreamPosition
		forks  []Fork
		ahead  []origin.StreamSeq
	}{
		{"equal", at(2, 10, 10), nil, nil},
		{"equal seq, other history", at(2, 10, 11), []Fork{{st(2), 10, origin.Hash{10}, origin.Hash{11}}}, nil},
		{"they lag", at(2, 7, 7), nil, nil},
		{"they lag, on another branch", at(2, 7, 70), []Fork{{st(2), 7, origin.Hash{7}, origin.Hash{70}}}, nil},
		{"they lag beyond our journal", at(2, 2, 70), nil, nil},
		{"they have nothing", at(2, 0, 0), nil, nil},
		{"they lead: they will see", at(2, 11, 70), nil, nil},
		{"unknown here", at(4, 11, 70), nil, nil},
		{"they lead in our own stream", at(1, 11, 11), nil, []origin.StreamSeq{{Stream: st(1), Seq: 11}}},
		{"own stream, other history", at(1, 10, 11), []Fork{{st(1), 10, origin.Hash{10}, origin.Hash{11}}}, nil},
	} {
		forks, ahead, err := Compare(1, ours, []origin.StreamPosition{c.theirs}, chain)
		if err != nil || !slices.Equal(forks, c.forks) || !slices.Equal(ahead, c.ahead) {
			t.Errorf("%s: %v, %v, %v; want %v, %v", c.name, forks, ahead, err, c.forks, c.ahead)
		}
	}
}
