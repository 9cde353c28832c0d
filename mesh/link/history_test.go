package link

import (
	"fmt"
	"testing"

	"drmesh/origin"
)

// chains are streams of short texts, as a journal has them.
type chains map[origin.Stream][]string

func place(s origin.Stream, texts ...string) origin.Position {
	p := origin.Position{Hash: s.Genesis()}
	for _, t := range texts {
		p.Hash = p.Hash.Next([]byte(t))
		p.Seq++
	}
	return p
}

func (c chains) HashAt(s origin.Stream, q origin.Seq) (origin.Hash, bool, error) {
	if int(q) > len(c[s]) {
		return origin.Hash{}, false, nil
	}
	return place(s, c[s][:q]...).Hash, true, nil
}

func (c chains) Tail(s origin.Stream) origin.Position { return place(s, c[s]...) }

// TestHistories: m3 wrote on one of two histories of m2. Whoever has the other
// notices, in whatever order he hears of both.
func TestHistories(t *testing.T) {
	m2 := origin.Stream{Group: 1, Module: 2, Incarnation: 1}
	m3 := origin.Stream{Group: 1, Module: 3, Incarnation: 1}
	names := func(texts ...string) *origin.Head {
		return &origin.Head{Stream: m3, Position: origin.Position{Seq: 7}, Context: []origin.StreamPosition{{Stream: m2, Position: place(m2, texts...)}}}
	}
	chain := func(after origin.Seq, l []string) (out []origin.Hash) {
		for i := range l {
			out = append(out, place(m2, append([]string{"a", "b", "c"}[:after:after], l[:i+1]...)...).Hash)
		}
		return out
	}
	type step struct {
		head  []string // m3's, which names m2's so
		after origin.Seq
		run   []string // of m2
		kept  int      // the journal has as many of m2 from here on
		want  string
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"the writer after the history", []step{{run: []string{"a", "b"}, kept: 2}, {head: []string{"a", "x"}, want: "m3 at 2"}}},
		{"while the history is on its way to the journal", []step{{run: []string{"a", "b"}}, {head: []string{"a", "x"}, want: "m3 at 2"}}},
		{"the writer first", []step{{head: []string{"a", "x"}}, {run: []string{"a", "b"}, want: "m3 at 2"}}},
		{"the history in two runs", []step{{head: []string{"a", "x", "y"}}, {run: []string{"a"}}, {after: 1, run: []string{"b", "c"}, want: "m3 at 3"}}},
		{"kept meanwhile", []step{{head: []string{"a", "x", "y"}}, {run: []string{"a", "b"}, kept: 2}, {after: 2, run: []string{"c"}, want: "m3 at 3"}}},
		{"it comes again from an earlier place", []step{{run: []string{"a"}, kept: 1}, {after: 1, run: []string{"b", "c"}}, {after: 1, run: []string{"b"}}, {head: []string{"a", "x"}, want: "m3 at 2"}}},
		{"the same history", []step{{head: []string{"a", "b"}}, {run: []string{"a", "b"}}, {head: []string{"a", "b"}, kept: 2}, {head: []string{"a"}}}},
		{"further than is here", []step{{head: []string{"a", "b", "c"}}, {run: []string{"a", "b"}, kept: 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			here := chains{}
			h := NewHistories(here)
			for i, s := range c.steps {
				got := ""
				if s.head != nil {
					x, ok, err := h.Head(names(s.head...))
					if err != nil {
						t.Fatal(err)
					}
					if !ok {
						got = fmt.Sprintf("m%d at %d", x.By.Module, x.Seq)
					}
				}
				if s.run != nil {
					l, err := h.Run(m2, s.after, chain(s.after, s.run))
					if err != nil {
						t.Fatal(err)
					}
					for _, x := range l {
						got += fmt.Sprintf("m%d at %d", x.By.Module, x.Seq)
					}
				}
				if got != s.want {
					t.Fatalf("step %d: %q, want %q", i+1, got, s.want)
				}
				if s.kept > 0 {
					here[m2] = []string{"a", "b", "c"}[:s.kept]
				}
			}
		})
	}
}

// TestNamedIsBounded: a writer that names ever more of a stream that does not
// come costs no more than so much.
func TestNamedIsBounded(t *testing.T) {
	m2 := origin.Stream{Group: 1, Module: 2, Incarnation: 1}
	h := NewHistories(chains{})
	for q := range origin.Seq(3 * maxNamed) {
		head := &origin.Head{Stream: origin.Stream{Group: 1, Module: 3, Incarnation: 1}, Context: []origin.StreamPosition{{Stream: m2, Position: origin.Position{Seq: q + 1, Hash: origin.Hash{1}}}}}
		if _, ok, err := h.Head(head); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if n := len(h.named[m2]); n != maxNamed {
		t.Errorf("%d places are remembered", n)
	}
}
