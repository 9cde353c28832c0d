package causal

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"drmesh/origin"
)

func stream(m int) origin.Stream {
	return origin.Stream{Group: 1, Module: origin.Module(m), Incarnation: 1}
}

func dot(m int, q origin.Seq) origin.Dot { return origin.Dot{Stream: stream(m), Seq: q} }

// released lets through all that may, and names it.
func released(g *Gate) (l []string) {
	for {
		it, ok := g.Ready()
		if !ok {
			return l
		}
		l = append(l, fmt.Sprintf("m%d:%d", it.Dot.Module, it.Dot.Seq))
		g.Applied(it.Dot)
	}
}

func TestATxnWaitsForWhatItsWriterHadApplied(t *testing.T) {
	g := New(nil)
	// m2's first was made after m1's second; it comes first.
	if v := g.Offer(Item{Dot: dot(2, 1), Context: []origin.StreamSeq{{Stream: stream(1), Seq: 2}}}); v != Held {
		t.Fatal(v)
	}
	if l := released(g); l != nil {
		t.Errorf("let through too early: %v", l)
	}
	if w := g.Waiting(); len(w) != 1 || w[0].For != dot(1, 2) {
		t.Errorf("waits for %+v", w)
	}
	if v := g.Offer(Item{Dot: dot(1, 2)}); v != Gap {
		t.Errorf("behind a gap: %v", v)
	}
	g.Offer(Item{Dot: dot(1, 1)})
	if got := fmt.Sprint(released(g)); got != "[m1:1]" {
		t.Error(got)
	}
	g.Offer(Item{Dot: dot(1, 2)})
	if got := fmt.Sprint(released(g)); got != "[m1:2 m2:1]" {
		t.Error(got)
	}
	if v := g.Offer(Item{Dot: dot(1, 1)}); v != Duplicate {
		t.Errorf("again: %v", v)
	}
}

// What was given back holds its stream and who waits for it until Resume, and
// is given again as if it had just come.
func TestBack(t *testing.T) {
	g := New(nil)
	g.Offer(Item{Dot: dot(1, 1)})
	it, _ := g.Ready()
	g.Back(it)
	g.Offer(Item{Dot: dot(2, 1), Context: []origin.StreamSeq{{Stream: stream(1), Seq: 1}}})
	g.Offer(Item{Dot: dot(3, 1)})
	if v := g.Offer(Item{Dot: dot(1, 2)}); v != Held {
		t.Errorf("the next of the stream: %v", v)
	}
	if v := g.Offer(Item{Dot: dot(1, 1)}); v != Duplicate {
		t.Errorf("again: %v", v)
	}
	if got := fmt.Sprint(released(g)); got != "[m3:1]" {
		t.Error(got)
	}
	g.Resume()
	if got := fmt.Sprint(released(g)); got != "[m1:1 m1:2 m2:1]" {
		t.Error(got)
	}
}

func TestStreamsThatDoNotComeAreNotWaitedFor(t *testing.T) {
	g := New(nil)
	g.Subscribe(func(s origin.Stream) bool { return s != stream(3) })
	g.Offer(Item{Dot: dot(2, 1), Context: []origin.StreamSeq{{Stream: stream(3), Seq: 9}}})
	if got := fmt.Sprint(released(g)); got != "[m2:1]" {
		t.Error(got)
	}
}

func TestAShutStreamGoesNoFurther(t *testing.T) {
	g := New(nil)
	g.Offer(Item{Dot: dot(1, 1)})
	g.Offer(Item{Dot: dot(2, 1), Context: []origin.StreamSeq{{Stream: stream(1), Seq: 1}}})
	g.Offer(Item{Dot: dot(3, 1), Context: []origin.StreamSeq{{Stream: stream(2), Seq: 1}}})
	g.Offer(Item{Dot: dot(4, 1), Context: []origin.StreamSeq{{Stream: stream(1), Seq: 1}}})
	g.Shut(stream(2))
	if got := fmt.Sprint(released(g)); got != "[m1:1 m4:1]" {
		t.Error(got)
	}
	if v := g.Offer(Item{Dot: dot(2, 1)}); v != Shut {
		t.Error(v)
	}
	if w := g.Waiting(); len(w) != 1 || w[0].For != dot(2, 1) {
		t.Errorf("waits for %+v", w)
	}
}

// TestAnyOrderOfArrivalIsReleasedInCausalOrderOnce makes a history in which
// modules hear of each other at random, and delivers it in any order that
// keeps each stream's, with duplicates.
func TestAnyOrderOfArrivalIsReleasedInCausalOrderOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 4).Draw(t, "modules")
		know := make([]origin.Context, n) // what each has applied
		told := make([]origin.Context, n) // what its last txn named
		streams := make([][]Item, n)
		full := map[origin.Dot]origin.Context{}
		for i := range n {
			know[i], told[i] = origin.Context{}, origin.Context{}
		}
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			i := rapid.IntRange(0, n-1).Draw(t, "who")
			if j := rapid.IntRange(0, n-1).Draw(t, "hears of"); j != i {
				// Whoever hears of j's last has applied all that j had.
				for s, q := range know[j] {
					if s != stream(i+1) && q > know[i][s] {
						know[i][s] = q
					}
				}
			}
			d := dot(i+1, know[i][stream(i+1)]+1)
			it := Item{Dot: d}
			for _, e := range know[i].Sorted() {
				if e.Stream != d.Stream && e.Seq > told[i][e.Stream] {
					it.Context = append(it.Context, e)
					told[i][e.Stream] = e.Seq
				}
			}
			full[d] = know[i].Clone()
			know[i][d.Stream] = d.Seq
			streams[i] = append(streams[i], it)
		}
		g := New(nil)
		applied := origin.Context{}
		total, got := len(full), 0
		drain := func() {
			for {
				it, ok := g.Ready()
				if !ok {
					return
				}
				if it.Dot.Seq != applied[it.Dot.Stream]+1 {
					t.Fatalf("%v after %d", it.Dot, applied[it.Dot.Stream])
				}
				for s, q := range full[it.Dot] {
					if s != it.Dot.Stream && applied[s] < q {
						t.Fatalf("%v was let through before %v:%d, which its writer had applied", it.Dot, s, q)
					}
				}
				applied[it.Dot.Stream] = it.Dot.Seq
				g.Applied(it.Dot)
				got++
			}
		}
		next := make([]int, n)
		for {
			var open []int
			for i := range n {
				if next[i] < len(streams[i]) {
					open = append(open, i)
				}
			}
			if len(open) == 0 {
				break
			}
			i := rapid.SampledFrom(open).Draw(t, "arrives")
			it := streams[i][next[i]]
			next[i]++
			if v := g.Offer(it); v != Held {
				t.Fatalf("%v: %v", it.Dot, v)
			}
			if rapid.Bool().Draw(t, "twice") {
				if v := g.Offer(it); v != Duplicate {
					t.Fatalf("%v again: %v", it.Dot, v)
				}
			}
			if rapid.Bool().Draw(t, "look") {
				drain()
			}
		}
		drain()
		if got != total {
			t.Fatalf("%d of %d were let through; %+v wait", got, total, g.Waiting())
		}
	})
}

// A context that names more of a stream than there is waits for its end only;
// the end may become known while it waits.
func TestContextsAreReadUpToEnds(t *testing.T) {
	g := New(origin.Context{stream(1): 4})
	ended := false
	g.Ends(func(s origin.Stream) (origin.Seq, bool) { return 5, ended && s == stream(1) })
	g.Offer(Item{Dot: dot(2, 1), Context: []origin.StreamSeq{{Stream: stream(1), Seq: 9}}})
	g.Offer(Item{Dot: dot(1, 5)})
	if got := fmt.Sprint(released(g)); got != "[m1:5]" {
		t.Errorf("before the end is known: %s", got)
	}
	if w := g.Waiting(); len(w) != 1 || w[0].For != dot(1, 9) {
		t.Errorf("waiting: %v", w)
	}
	ended = true
	if got := fmt.Sprint(released(g)); got != "[m2:1]" {
		t.Errorf("when the end is known: %s", got)
	}
}
