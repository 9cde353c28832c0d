package lock

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func (t *Regions) String() string {
	var l []string
	for _, r := range t.files["f"] {
		to := fmt.Sprint(r.to)
		if r.to == Infinity {
			to = "."
		}
		l = append(l, fmt.Sprintf("%s:%d-%s%c", show(r.o), r.from, to, " sx"[r.m]))
	}
	return strings.Join(l, " ")
}

func TestRegions(t *testing.T) {
	one, two := Owner{1, 0}, Owner{2, 0}
	l := NewRegions()
	for _, s := range []struct {
		o        Owner
		from, to uint64
		m        Mode // 0 unlocks
		ok       bool
		want     string
	}{
		{one, 10, 20, Shared, true, "1:10-20s"},
		{two, 15, 25, Shared, true, "1:10-20s 2:15-25s"},
		{two, 15, 25, Exclusive, false, "1:10-20s 2:15-25s"},
		{two, 20, 25, Exclusive, true, "1:10-20s 2:15-20s 2:20-25x"},
		{one, 19, 21, Shared, false, "1:10-20s 2:15-20s 2:20-25x"},
		{two, 15, 20, 0, true, "1:10-20s 2:20-25x"},
		{one, 12, 14, Exclusive, true, "1:10-12s 1:12-14x 1:14-20s 2:20-25x"},
		{one, 12, 14, Shared, true, "1:10-20s 2:20-25x"},
		{one, 5, 10, Shared, true, "1:5-20s 2:20-25x"},
		{two, 25, Infinity, Exclusive, true, "1:5-20s 2:20-.x"},
		{one, 1000, 1001, Shared, false, "1:5-20s 2:20-.x"},
		{two, 30, 40, 0, true, "1:5-20s 2:20-30x 2:40-.x"},
		{one, 30, 40, Exclusive, true, "1:5-20s 1:30-40x 2:20-30x 2:40-.x"},
		{two, 0, Infinity, 0, true, "1:5-20s 1:30-40x"},
		{one, 0, Infinity, Exclusive, true, "1:0-.x"},
		{one, 0, Infinity, 0, true, ""},
	} {
		ok := true
		if s.m == 0 {
			l.Unlock(s.o, "f", s.from, s.to)
		} else {
			ok = l.Lock(s.o, "f", s.from, s.to, s.m)
		}
		if got := l.String(); ok != s.ok || got != s.want {
			t.Fatalf("%+v: %v, %s", s, ok, got)
		}
	}
	if len(l.files) != 0 {
		t.Error("files without regions are kept")
	}
}

// TestRegionsAtRandom holds the table against one lock for each number.
func TestRegionsAtRandom(t *testing.T) {
	const size = 30
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 2))
		l := NewRegions()
		var model [size]map[Owner]Mode
		for i := range model {
			model[i] = map[Owner]Mode{}
		}
		for range 300 {
			o, m := Owner{uint64(r.IntN(3)), 0}, Mode(r.IntN(3))
			from := r.IntN(size)
			to := from + 1 + r.IntN(size-from)
			free := true
			for i := from; i < to; i++ {
				for x, xm := range model[i] {
					free = free && (x == o || m == 0 || compatible(xm, m))
				}
			}
			if m == 0 {
				l.Unlock(o, "f", uint64(from), uint64(to))
			} else if got := l.Lock(o, "f", uint64(from), uint64(to), m); got != free {
				t.Fatalf("seed %d: %v locks %d-%d as %d: %v in %s", seed, o, from, to, m, got, l)
			}
			for i := from; i < to && free; i++ {
				if delete(model[i], o); m != 0 {
					model[i][o] = m
				}
			}
			for i := range model {
				for o := range uint64(3) {
					for m := Shared; m <= Exclusive; m++ {
						want := true
						for x, xm := range model[i] {
							want = want && (x == Owner{o, 0} || compatible(xm, m))
						}
						if got := l.Free(Owner{o, 0}, "f", uint64(i), uint64(i)+1, m); got != want {
							t.Fatalf("seed %d: %d is free for %d as %d: %v in %s", seed, i, o, m, got, l)
						}
					}
				}
			}
			count := 0
			for o := range uint64(3) {
				count += l.Count(Owner{o, 0}, "f")
			}
			if count != len(l.files["f"]) {
				t.Fatalf("seed %d: %d regions in %s", seed, count, l)
			}
			for i := 1; i < len(l.files["f"]); i++ {
				a, b := l.files["f"][i-1], l.files["f"][i]
				if a.o == b.o && (a.to > b.from || a.to == b.from && a.m == b.m) {
					t.Fatalf("seed %d: not joined: %s", seed, l)
				}
			}
		}
	}
}
