package conflict

import (
	"testing"

	"drmesh/origin"
)

func TestDiffer(t *testing.T) {
	a, b := origin.Stream{Group: 1, Module: 1, Incarnation: 1}, origin.Stream{Group: 1, Module: 2, Incarnation: 1}
	v := func(s origin.Stream, seq origin.Seq) HeldVersion {
		return HeldVersion{Dot: origin.OpDot{Dot: origin.Dot{Stream: s, Seq: seq}}, Content: uint64(seq)}
	}
	gone := func(s origin.Stream, seq origin.Seq) HeldVersion {
		x := v(s, seq)
		x.Tombstone, x.Content = true, 0
		return x
	}
	other := v(a, 3)
	other.Content = 99
	at := func(x, y origin.Seq) origin.Context { return origin.Context{a: x, b: y} }
	held := func(c origin.Context, l ...HeldVersion) *Held { return &Held{l, c} }
	for _, c := range []struct {
		what   string
		x, y   *Held
		differ bool
	}{
		{"the same", held(at(3, 0), v(a, 3)), held(at(3, 0), v(a, 3)), false},
		{"other bytes", held(at(3, 0), v(a, 3)), held(at(3, 0), other), true},
		{"one has yet to come", held(at(3, 0), v(a, 3)), held(at(2, 0)), false},
		{"one that came is not there", held(at(3, 0), v(a, 3)), held(at(3, 0)), true},
		{"it was replaced by what is to come", held(at(3, 0), v(a, 3)), held(at(3, 5), v(b, 5)), false},
		{"it was replaced by what has come", held(at(3, 5), v(a, 3)), held(at(3, 5), v(b, 5)), true},
		{"each has something to come", held(at(3, 4), v(a, 3)), held(at(2, 5), v(b, 5)), false},
		{"two stand, one is to come", held(at(3, 5), v(a, 3), v(b, 5)), held(at(3, 4), v(a, 3)), false},
		{"two stand, one is lost", held(at(3, 5), v(a, 3), v(b, 5)), held(at(3, 5), v(a, 3)), true},
		{"a tombstone was let go", held(at(3, 5), gone(a, 3)), held(at(3, 5)), false},
		{"a deletion was lost", held(at(3, 5), gone(a, 3)), held(at(3, 5), v(b, 5)), true},
		{"a deletion is to come", held(at(3, 5), gone(a, 3)), held(at(2, 5), v(b, 5)), false},
		{"a truncate is to come, which leaves nothing", held(at(3, 5), v(a, 3)), held(at(4, 5)), true},
		{"nothing at all", held(at(0, 0)), held(at(9, 9)), false},
	} {
		if got := Differ(c.x, c.y); got != c.differ {
			t.Errorf("%s: differ %v", c.what, got)
		}
		if got := Differ(c.y, c.x); got != c.differ {
			t.Errorf("%s, the other way round: differ %v", c.what, got)
		}
	}
}
