package journal

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
)

// A stream's end is taken away: entries, heads and local order are those of a
// journal that never had more, and another stream's are untouched.
func TestRewind(t *testing.T) {
	other := origin.Stream{Group: 1, Module: 3, Incarnation: 1}
	for _, to := range []origin.Seq{0, 1, 5, 7, 10, 19, 20} {
		r := newRelay(t)
		add := func(s origin.Stream, n int) {
			b := r.db.NewBatch()
			a := r.j.Begin(b)
			for range n {
				if _, err := a.Add(s, r.j.Tail(s).Seq+1, 1, nil, []byte("entry")); err != nil {
					t.Fatal(err)
				}
				if s == relayed { // interleaved runs
					if _, err := a.Add(other, r.j.Tail(other).Seq+1, 1, nil, []byte("other")); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := a.Finish(); err != nil {
				t.Fatal(err)
			}
			if err := b.Commit(pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			add(relayed, 5)
			r.head(r.j.Tail(relayed).Seq)
		}
		r.durable(20)
		at := origin.Position{Hash: relayed.Genesis()}
		if to > 0 {
			h, _, err := r.j.HashAt(relayed, to)
			if err != nil {
				t.Fatal(err)
			}
			at = origin.Position{Seq: to, Hash: h}
		}
		b := r.db.NewBatch()
		done, err := r.j.Rewind(b, relayed, at)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(pebble.Sync); err != nil {
			t.Fatal(err)
		}
		done()
		again, err := Open(r.db)
		if err != nil {
			t.Fatal(err)
		}
		for name, j := range map[string]*Journal{"rewound": r.j, "opened again": again} {
			if got := j.Tail(relayed); got != at {
				t.Errorf("%s to %d: it stands at %v", name, to, got)
			}
			if d := j.Durable()[relayed]; to > 0 && d != at {
				t.Errorf("%s to %d: durable is %v", name, to, d)
			}
			var l []string
			err := j.Local(0, func(_ uint64, s origin.Stream, first origin.Seq, count int) bool {
				if s == relayed {
					l = append(l, fmt.Sprint(first, "+", count))
				} else if _, ok, _ := j.Get(origin.Dot{Stream: s, Seq: first}); !ok {
					t.Errorf("entry %d of the other stream is gone", first)
				}
				return true
			})
			if err != nil || len(l) != int(to) {
				t.Errorf("%s to %d: local order has %v, %v", name, to, l, err)
			}
			for q := origin.Seq(1); q <= 20; q++ {
				if _, ok, err := j.Get(origin.Dot{Stream: relayed, Seq: q}); err != nil || ok != (q <= to) {
					t.Errorf("%s to %d: entry %d is there: %v, %v", name, to, q, ok, err)
				}
			}
			if q, _, ok := j.LatestHead(relayed); ok && q > to || !ok && to >= 5 {
				t.Errorf("%s to %d: the latest head is of %d", name, to, q)
			}
		}
	}
	// To a place before what a snapshot brought: nothing of the stream is left,
	// and it goes on from there.
	{
		r := newRelay(t)
		b := r.db.NewBatch()
		if err := r.j.Adopt(b, relayed, origin.Position{Seq: 8, Hash: origin.Hash{8}}, 1, nil); err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(pebble.Sync); err != nil {
			t.Fatal(err)
		}
		at := origin.Position{Seq: 5, Hash: origin.Hash{5}}
		b = r.db.NewBatch()
		done, err := r.j.Rewind(b, relayed, at)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(pebble.Sync); err != nil {
			t.Fatal(err)
		}
		done()
		again, err := Open(r.db)
		if err != nil {
			t.Fatal(err)
		}
		for name, j := range map[string]*Journal{"rewound": r.j, "opened again": again} {
			if h, ok, err := j.HashAt(relayed, 5); j.Tail(relayed) != at || j.Pruned(relayed) != 5 || h != at.Hash || !ok || err != nil {
				t.Errorf("%s behind a snapshot: at %v, pruned to %d, %v", name, j.Tail(relayed), j.Pruned(relayed), err)
			}
		}
	}
	r := newRelay(t)
	r.add(5, 10)
	b := r.db.NewBatch()
	defer b.Close()
	if _, err := r.j.Rewind(b, relayed, origin.Position{Seq: 3, Hash: origin.Hash{1}}); err == nil {
		t.Error("it is rewound to a position of another history")
	}
}
