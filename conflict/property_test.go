package conflict

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drmesh/origin"
)

// history is a run of several modules on one register k.
func history(t *rapid.T, modules, steps int, hints bool, rules modelRules) []*event {
	var all []*event
	st := make([]*station, modules)
	for i := range st {
		st[i] = newStation(i + 1)
		st[i].hints, st[i].rules, st[i].epoch = hints, rules, 1
		st[i].clock += uint64(rapid.IntRange(0, 3).Draw(t, "skew"))
	}
	for range steps {
		s := st[rapid.IntRange(0, modules-1).Draw(t, "module")]
		switch rapid.SampledFrom([]string{"write", "write", "read", "delete", "truncate", "receive", "receive", "receive", "tables"}).Draw(t, "what") {
		case "tables": // they come to one module before another
			s.epoch = 2
		case "read":
			s.look("k")
		case "write":
			if e, err := s.make(origin.Write, "k", rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "data")); err == nil {
				all = append(all, e)
			}
		case "delete":
			if len(s.sets["k"]) > 0 && !s.sets["k"][0].Tombstone {
				if e, err := s.make(origin.Delete, "k", ""); err == nil {
					all = append(all, e)
				}
			}
		case "truncate":
			delete(s.read, "k") // the caller of a truncate has seen all
			if e, err := s.make(origin.Truncate, "k", ""); err == nil {
				all = append(all, e)
			}
		case "receive":
			var ready []*event
			for _, e := range all {
				if s.ready(e) {
					ready = append(ready, e)
				}
			}
			if len(ready) > 0 {
				s.apply(rapid.SampledFrom(ready).Draw(t, "txn"))
			}
		}
	}
	return all
}

// drawRules draws the policies of two epochs.
func drawRules(t *rapid.T) modelRules {
	any := rapid.SampledFrom([]string{"latest", "earliest", "ask", "31", "2413"})
	return modelRules{1: any.Draw(t, "policy"), 2: any.Draw(t, "next policy")}
}

// follow applies all of the history at a fresh module, next choosing among
// what is ready, and checks every step against the model.
func follow(t interface {
	Helper()
	Fatalf(string, ...any)
}, all []*event, exact bool, rules modelRules, next func(ready []*event) *event) *station {
	t.Helper()
	s := newStation(99)
	s.rules = rules
	var applied []*modelOp
	for len(applied) < len(all) {
		var ready []*event
		for _, e := range all {
			if s.ready(e) {
				ready = append(ready, e)
			}
		}
		if len(ready) == 0 {
			t.Fatalf("history is not causal")
		}
		e := next(ready)
		s.apply(e)
		applied = append(applied, &e.modelOp)
		if err := agrees(s, applied, exact); err != nil {
			t.Fatalf("after %v: %v\nset %v\nledger %v", e.Dot, err, s.sets["k"], s.entries())
		}
	}
	return s
}

func agrees(s *station, applied []*modelOp, exact bool) error {
	set := s.sets["k"]
	standing := modelStanding(applied)
	if len(set) != len(standing) {
		return fmt.Errorf("%d stand, model has %d", len(set), len(standing))
	}
	for i := range set {
		j := slices.IndexFunc(standing, func(o *modelOp) bool { return o.Dot == set[i].Dot })
		if j < 0 {
			return fmt.Errorf("%v stands, not in the model", set[i].Dot)
		}
		if string(set[i].Data) != standing[j].Data {
			return fmt.Errorf("%v has other bytes", set[i].Dot)
		}
		if i > 1 && set[i-1].Dot.Compare(set[i].Dot) >= 0 {
			return fmt.Errorf("set is not in order")
		}
	}
	if top := s.rules.visible(standing); top != nil && top.Dot != set[0].Dot {
		return fmt.Errorf("shows %v, model %v", set[0].Dot, top.Dot)
	}
	var open []origin.OpDot
	superseded := map[origin.OpDot]bool{}
	for _, e := range s.entries() {
		switch e.State {
		case Open:
			open = append(open, e.Loser.Dot)
			if e.Winner.Dot != set[0].Dot {
				return fmt.Errorf("open conflict of %v names %v as winner, %v is shown", e.Loser.Dot, e.Winner.Dot, set[0].Dot)
			}
		case Superseded:
			superseded[e.Loser.Dot] = true
		}
		if e.ID != EntryID(testFile(), []byte("k"), e.Loser.Dot) {
			return fmt.Errorf("id of %v", e.Loser.Dot)
		}
	}
	want := s.rules.open(applied)
	slices.SortFunc(want, func(a, b origin.OpDot) int { return a.Compare(b) })
	if !slices.Equal(open, want) {
		return fmt.Errorf("open conflicts %v, model %v", open, want)
	}
	// Each operation is in exactly one class, and the open and superseded
	// ones are those of the ledger.
	var got, wants [2]int64
	for _, c := range s.account {
		for _, n := range c {
			if n < 0 {
				return fmt.Errorf("negative count: %v", *c)
			}
			got[0] += n
		}
		got[1] += c[ClassOpen]*1000 + c[ClassSuperseded]
	}
	for _, o := range applied {
		if o.Kind != origin.Truncate {
			wants[0]++
		}
	}
	wants[1] = int64(len(open)*1000 + len(superseded))
	if got != wants {
		return fmt.Errorf("account %v, want %v", got, wants)
	}
	// Nothing vanishes: what stands no more and was replaced unread is kept.
	for _, v := range applied {
		if v.Kind == origin.Truncate || slices.Contains(standing, v) {
			continue
		}
		if kept := modelKept(v, applied); kept && !superseded[v.Dot] {
			if exact {
				return fmt.Errorf("%v was replaced unread and is not in the ledger", v.Dot)
			}
		}
	}
	return nil
}

// TestOrderOfArrival: the set, what is shown and the open conflicts depend on
// which txns were applied and not on their order, step by step as an
// independent model says; every operation is in exactly one class of the
// account; what was replaced unread is in the ledger.
func TestOrderOfArrival(t *testing.T) {
	for _, hints := range []bool{true, false} {
		rapid.Check(t, func(t *rapid.T) {
			rules := drawRules(t)
			all := history(t, rapid.IntRange(2, 4).Draw(t, "modules"), rapid.IntRange(1, 40).Draw(t, "steps"), hints, rules)
			var first *station
			for range 4 {
				s := follow(t, all, hints, rules, func(ready []*event) *event { return rapid.SampledFrom(ready).Draw(t, "next") })
				if first == nil {
					first = s
				} else if err := alike(first, s, all, hints); err != nil {
					t.Fatalf("%v", err)
				}
			}
		})
	}
}

// alike compares two modules that have applied the same txns.
func alike(a, b *station, all []*event, exact bool) error {
	if len(a.sets["k"]) != len(b.sets["k"]) {
		return fmt.Errorf("sets differ in length")
	}
	for i, v := range a.sets["k"] {
		if w := b.sets["k"][i]; v.Dot != w.Dot || string(v.Data) != string(w.Data) {
			return fmt.Errorf("sets differ at %d: %v %v", i, v.Dot, w.Dot)
		}
	}
	if !exact {
		return nil
	}
	// A loser that all who cover it knew, or that none did, is in the same
	// class everywhere.
	for _, v := range all {
		var shown, not bool
		for _, w := range all {
			if v.Kind != origin.Truncate && modelCovers(&w.modelOp, &v.modelOp) {
				if modelKept(&v.modelOp, []*modelOp{&v.modelOp, &w.modelOp, find(all, w.ShownDot)}) {
					not = true
				} else {
					shown = true
				}
			}
		}
		if shown && not {
			continue
		}
		id := EntryID(testFile(), []byte("k"), v.Dot)
		if a.ledger[id].State != b.ledger[id].State {
			return fmt.Errorf("%v is %v at one module and %v at another", v.Dot, a.ledger[id].State, b.ledger[id].State)
		}
	}
	return nil
}

func find(all []*event, d origin.OpDot) *modelOp {
	for _, e := range all {
		if e.Dot == d {
			return &e.modelOp
		}
	}
	return &modelOp{}
}

// TestEveryOrder goes through all causal orders of short histories.
func TestEveryOrder(t *testing.T) {
	orders := 0
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules(t)
		all := history(t, 3, rapid.IntRange(3, 9).Draw(t, "steps"), true, rules)
		if len(all) > 6 {
			all = all[:6]
		}
		var first *station
		// plan holds, for each step, which of the ready ones to take; it
		// counts up like a number whose digits have their own bases.
		for plan := []int{}; plan != nil; {
			var bases []int
			step := 0
			s := follow(t, all, true, rules, func(ready []*event) *event {
				if step == len(plan) {
					plan = append(plan, 0)
				}
				bases = append(bases, len(ready))
				step++
				return ready[plan[step-1]]
			})
			orders++
			if first == nil {
				first = s
			} else if err := alike(first, s, all, true); err != nil {
				t.Fatalf("%v", err)
			}
			i := len(plan) - 1
			for ; i >= 0; i-- {
				if plan[i]++; plan[i] < bases[i] {
					break
				}
				plan[i] = 0
			}
			if i < 0 {
				break
			}
		}
	})
	if orders < 200 {
		t.Errorf("only %d orders tried", orders)
	}
}

// TestNoConflictNoAllocation: the path of a single standing version that is
// covered allocates nothing.
func TestNoConflictNoAllocation(t *testing.T) {
	old := origin.Version{Dot: origin.OpDot{Dot: origin.Dot{Stream: origin.Stream{Group: 1, Module: 1, Incarnation: 1}, Seq: 1}}, Stamp: 5, Life: 1, Data: []byte("old")}
	now := old
	now.Dot.Seq, now.Stamp, now.Data = 2, 9, []byte("new")
	standing := []origin.Version{old}
	in := Input{Address: []byte("k"), Incoming: &now, By: now.Dot, Covers: func(d origin.OpDot) bool { return d.Seq < 2 }}
	var out Outcome
	for _, set := range [][]origin.Version{standing, nil} {
		in.Standing = set
		if n := testing.AllocsPerRun(100, func() { Decide(&in, &out) }); n != 0 {
			t.Errorf("%d standing: %v allocations", len(set), n)
		}
		if len(out.Next) != 1 || out.Next[0].Dot != now.Dot || len(out.Entries) != 0 {
			t.Errorf("%d standing: %v", len(set), out.Next)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	old := origin.Version{Dot: origin.OpDot{Dot: origin.Dot{Stream: origin.Stream{Group: 1, Module: 1, Incarnation: 1}, Seq: 1}}, Stamp: 5, Life: 1, Data: make([]byte, 100)}
	now := old
	now.Dot.Seq, now.Stamp = 2, 9
	in := Input{Address: []byte("k"), Standing: []origin.Version{old}, Incoming: &now, By: now.Dot, Covers: func(d origin.OpDot) bool { return d.Seq < 2 }}
	var out Outcome
	b.ReportAllocs()
	for b.Loop() {
		Decide(&in, &out)
	}
}
