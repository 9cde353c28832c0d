package vosio

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestWalkIsTheIndex compares a walk over registers with the entries of the
// identity index: each step of one is that of the other, with deleted records
// between, few and many, and from spots that are not there.
func TestWalkIsTheIndex(t *testing.T) {
	for _, deletes := range []int{0, 3, 2 * maxPassed, 300} {
		t.Run(fmt.Sprintf("%d deleted in a row", deletes), func(t *testing.T) {
			e := openEngine(t, vfs.NewMem(), 1, false)
			defer e.close(t)
			ctx := context.Background()
			f := keyedFile(t, e, "%s#d>main>walk")
			const records = 400
			var chs []change
			for i := range records {
				chs = append(chs, change{file: f, kind: insert, data: fmt.Appendf(nil, "%04d%drest", 2*i, i%3)})
			}
			out, err := e.commit(ctx, "test", chs)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(uint64(deletes), 1))
			from := 0
			if deletes > 0 {
				from = rng.IntN(records - deletes)
			}
			chs = chs[:0]
			for i := from; i < from+deletes; i++ {
				chs = append(chs, change{file: f, kind: remove, addr: out[i].addr})
			}
			if deletes > 0 {
				if _, err := e.commit(ctx, "test", chs); err != nil {
					t.Fatal(err)
				}
			}
			f = e.fileByID(f.id)
			ix := f.index("id")
			if !f.addressed(ix) || f.addressed(f.index("kind")) {
				t.Fatal("the file is not one whose records stand at their keys")
			}
			by, err := e.scan(e.db, f, ix)
			if err != nil {
				t.Fatal(err)
			}
			defer by.Close()
			var spots []spot
			for i, c := range out {
				spots = append(spots, f.indexSpot(ix, &rec{addr: c.addr, birth: c.birth, data: fmt.Appendf(nil, "%04d", 2*i)}))
			}
			walk, err := e.walker(f, ix)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { walk.Close() }()
			left := false
			for n := range 4000 {
				left = left || !walk.walk
				if !walk.walk && n%50 == 0 { // it went over to the entries: begin anew
					walk.Close()
					if walk, err = e.walker(f, ix); err != nil {
						t.Fatal(err)
					}
					by.First()
					walk.First()
				}
				k := slices.Clone(spots[rng.IntN(len(spots))])
				switch rng.IntN(4) {
				case 0:
					k = k[:1+rng.IntN(4)]
				case 1:
					k = fmt.Appendf(nil, "%04d", rng.IntN(2*records+10))
				case 2:
					k[4+rng.IntN(len(k)-4)] ^= byte(1 + rng.IntN(255)) // another birth, or address
				}
				steps := []struct {
					name string
					do   func(s *scanner) bool
				}{
					{"First", (*scanner).First}, {"Last", (*scanner).Last},
					{"SeekGE", func(s *scanner) bool { return s.SeekGE(k) }}, {"SeekLT", func(s *scanner) bool { return s.SeekLT(k) }},
					{"After", func(s *scanner) bool { return s.After(k) }},
					{"SeekAfterKey", func(s *scanner) bool { return s.SeekAfterKey(k[:min(4, len(k))]) }},
					{"SeekLastKey", func(s *scanner) bool { return s.SeekLastKey(k[:min(4, len(k))]) }},
				}
				step := steps[rng.IntN(len(steps))]
				for range 1 + rng.IntN(6) {
					a, b := step.do(by), step.do(walk)
					if a != b || by.Err() != nil || walk.Err() != nil {
						t.Fatalf("%s %q: the index says %v (%v), the walk %v (%v)", step.name, k, a, by.Err(), b, walk.Err())
					}
					if !a {
						break
					}
					if string(by.record().data) != string(walk.record().data) || string(by.spot()) != string(walk.spot()) || string(by.indexKey()) != string(walk.indexKey()) {
						t.Fatalf("%s %q: the index gives %q at %q, the walk %q at %q", step.name, k, by.record().data, by.spot(), walk.record().data, walk.spot())
					}
					at := by.spot()
					step = []struct {
						name string
						do   func(s *scanner) bool
					}{
						{"Next", (*scanner).Next}, {"Prev", (*scanner).Prev}, {"After", func(s *scanner) bool { return s.After(at) }},
					}[rng.IntN(3)]
				}
			}
			if left != (deletes > maxPassed) {
				t.Errorf("the walk went over to the entries: %v", left)
			}
		})
	}
}
