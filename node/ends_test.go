package node

import (
	"strings"
	"testing"

	"drmesh/mesh"
	"drmesh/mesh/control"
	"drmesh/origin"
)

func TestRunsAreTakenUpToEnds(t *testing.T) {
	chain := []origin.Hash{{6}, {7}, {8}} // of 6, 7 and 8
	for _, c := range []struct {
		what   string
		end    origin.Position
		take   int
		forked bool
	}{
		{"all of it lies beyond", origin.Position{Seq: 5, Hash: origin.Hash{5}}, 0, false},
		{"the end lies within", origin.Position{Seq: 7, Hash: origin.Hash{7}}, 2, false},
		{"another history ended within", origin.Position{Seq: 7, Hash: origin.Hash{9}}, 2, true},
		{"up to the end", origin.Position{Seq: 8, Hash: origin.Hash{8}}, 3, false},
		{"another history ended there", origin.Position{Seq: 8, Hash: origin.Hash{9}}, 3, true},
		{"the end is not reached", origin.Position{Seq: 9, Hash: origin.Hash{9}}, 3, false},
	} {
		if take, forked := atEnd(c.end, 5, chain); take != c.take || forked != c.forked {
			t.Errorf("%s: %d, %v", c.what, take, forked)
		}
	}
}

// TestWhatLiesBeyondAnEndIsDropped: a neighbour offers txns of a stream that
// ended before them, and a history that is not the one that ended.
func TestWhatLiesBeyondAnEndIsDropped(t *testing.T) {
	n := meshReady(t, "%east#m1")[0]
	st := *n.ctl.state()
	s := origin.Stream{Group: n.ownStreams()[0].Group, Module: 9, Incarnation: 1}
	end := origin.Position{Seq: 3, Hash: origin.Hash{3}}
	st.Index += 1000
	st.Ends = []control.Place{control.PlaceOf(s, end)}
	b, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := n.ctl.take(b); !taken {
		t.Fatal(err)
	}
	offer := func(after origin.Seq, chain ...origin.Hash) {
		released := false
		at := origin.Position{Seq: after + origin.Seq(len(chain)), Hash: chain[len(chain)-1]}
		sink{n}.Deliver(8, mesh.Run{Stream: s, After: after, Entries: make([][]byte, len(chain)), Chain: chain}, origin.Head{Stream: s, Position: at}, func() { released = true })
		if !released {
			t.Errorf("the memory of what came after %d is not given back", after)
		}
	}
	offer(3, origin.Hash{4}, origin.Hash{5})
	offer(3, origin.Hash{4})
	if s := status(t, n); s.Beyond != 3 {
		t.Errorf("status shows %d txns beyond the end", s.Beyond)
	}
	if got := n.beyond.Load(); got != 3 {
		t.Errorf("%d counted", got)
	}
	offer(2, origin.Hash{99})
	if tail := n.j.Tail(s); tail.Seq != 0 {
		t.Errorf("taken up to %d", tail.Seq)
	}
	alarms := strings.Join(n.alarmList(), "\n")
	for _, want := range []string{"txns beyond the end of", "it ended at 3, and 5 was offered", "fork of"} {
		if strings.Count(alarms, want) != 1 {
			t.Errorf("no alarm, or more than one, says %q:\n%s", want, alarms)
		}
	}
}
