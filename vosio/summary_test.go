package vosio

import (
	"testing"

	"drmesh/origin"
)

// BenchmarkSummary is what a kept summary adds to a rewrite of a record of 100
// bytes.
func BenchmarkSummary(b *testing.B) {
	s := &summary{known: true}
	set := func(seq origin.Seq) []origin.Version {
		return []origin.Version{{Dot: origin.OpDot{Dot: origin.Dot{Stream: origin.Stream{Group: 1, Module: 2, Incarnation: 1}, Seq: seq}}, Data: make([]byte, 100)}}
	}
	was, is := set(1), set(2)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.changed(uint64(i)<<40, was, is)
	}
}

// The sum of a register says which versions stand in it, with which bytes, and
// nothing of their order; a lone tombstone is nothing.
func TestRegisterSum(t *testing.T) {
	v := func(m origin.Module, data string) origin.Version {
		return origin.Version{Dot: origin.OpDot{Dot: origin.Dot{Stream: origin.Stream{Group: 1, Module: m, Incarnation: 1}, Seq: 7}}, Data: []byte(data)}
	}
	gone := v(1, "")
	gone.Tombstone, gone.Data = true, nil
	sets := map[string][]origin.Version{
		"a": {v(1, "x")}, "other bytes": {v(1, "y")}, "other writer": {v(2, "x")}, "both": {v(1, "x"), v(2, "x")}, "deleted beside": {gone, v(2, "x")},
	}
	seen := map[uint64]string{registerSum(5, nil): "nothing"}
	for name, set := range sets {
		sum := registerSum(5, set)
		if was, ok := seen[sum]; ok {
			t.Errorf("%s and %s have one sum", name, was)
		}
		seen[sum] = name
		if len(set) == 2 && registerSum(5, []origin.Version{set[1], set[0]}) != sum {
			t.Errorf("%s: the order of the set is in the sum", name)
		}
		if registerSum(6, set) == sum {
			t.Errorf("%s: the key is not in the sum", name)
		}
	}
	for what, change := range map[string]func(*origin.Version){
		"life": func(v *origin.Version) { v.Life++ }, "policy epoch": func(v *origin.Version) { v.Policy++ }, "stamp": func(v *origin.Version) { v.Stamp++ },
		"birth": func(v *origin.Version) { v.Birth.Stamp++ }, "birth's place": func(v *origin.Version) { v.Birth.Dot.Seq++ },
	} {
		x := v(1, "x")
		change(&x)
		if registerSum(5, []origin.Version{x}) == registerSum(5, sets["a"]) {
			t.Errorf("the %s is not in the sum", what)
		}
	}
	if registerSum(5, []origin.Version{gone}) != 0 {
		t.Error("a lone tombstone is something")
	}
	// What comes and goes leaves nothing.
	s := &summary{}
	s.changed(5, nil, sets["a"])
	s.changed(5, sets["a"], sets["both"])
	s.changed(5, sets["both"], []origin.Version{gone})
	if *s != (summary{}) {
		t.Errorf("%+v", s)
	}
}
