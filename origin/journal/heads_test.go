package journal

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/origin"
)

var relayed = origin.Stream{Group: 1, Module: 2, Incarnation: 1}

// relay is a journal of one stream, of which runs come with their heads.
type relay struct {
	*testing.T
	j  *Journal
	db *pebble.DB
}

func newRelay(t *testing.T) *relay {
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	j, err := Open(db)
	if err != nil {
		t.Fatal(err)
	}
	return &relay{t, j, db}
}

func (r *relay) head(q origin.Seq) {
	r.Helper()
	if err := r.j.KeepHead(relayed, q, fmt.Appendf(nil, "head %d", q)); err != nil {
		r.Fatal(err)
	}
}

// add appends entries up to a seq.
func (r *relay) add(upto origin.Seq, size int) {
	r.Helper()
	b := r.db.NewBatch()
	a := r.j.Begin(b)
	for q := r.j.Tail(relayed).Seq + 1; q <= upto; q++ {
		if _, err := a.Add(relayed, q, origin.Stamp(q), nil, make([]byte, size)); err != nil {
			r.Fatal(err)
		}
	}
	if err := a.Finish(); err != nil {
		r.Fatal(err)
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		r.Fatal(err)
	}
}

func (r *relay) durable(q origin.Seq) {
	r.Helper()
	h, ok, err := r.j.HashAt(relayed, q)
	if err != nil || !ok {
		r.Fatal(ok, err)
	}
	r.j.MarkDurable([]origin.StreamPosition{{Stream: relayed, Position: origin.Position{Seq: q, Hash: h}}})
}

// heads lists which are on disk.
func (r *relay) heads() (l []origin.Seq) {
	r.Helper()
	for after := origin.Seq(0); ; {
		q, b, ok, err := r.j.HeadAfter(relayed, after)
		if err != nil {
			r.Fatal(err)
		}
		if !ok {
			return l
		}
		if string(b) != fmt.Sprintf("head %d", q) {
			r.Fatalf("at %d stands %q", q, b)
		}
		l, after = append(l, q), q
	}
}

// What is durable can be handed on, however far the heads are ahead of it.
func TestRelayCanServeWhatIsDurable(t *testing.T) {
	r := newRelay(t)
	for q := origin.Seq(10); q <= 2000; q += 10 {
		r.head(q) // five runs are under way
		r.add(q, 10)
		if q > 50 {
			r.durable(q - 50)
			l := r.heads()
			if !slices.Contains(l, q-50) || !slices.Contains(l, q) {
				t.Fatalf("durable up to %d, with heads up to %d; on disk are %v", q-50, q, l)
			}
			if len(l) > 12 {
				t.Fatalf("%d heads are on disk: %v", len(l), l)
			}
		}
	}
}

// A receiver that catches up holds a run in memory: heads lie near enough.
func TestHeadsLieNearEachOther(t *testing.T) {
	for _, size := range []int{100, 10 << 10, 1 << 20} {
		r := newRelay(t)
		const n = 1500
		for q := origin.Seq(1); q <= n; q++ {
			if size == 1<<20 && q > 20 {
				break
			}
			r.head(q)
			r.add(q, size)
			r.durable(q)
		}
		l := r.heads()
		before := origin.Seq(0)
		for _, q := range l {
			if d := int(q - before); d > 512 || d > 1 && (d-1)*size > 512<<10 {
				t.Errorf("entries of %d bytes: heads at %d, then %d", size, before, q)
			}
			before = q
		}
	}
}

// The origin is silent, and the disk too: memory stays bounded.
func TestHeadsOfWhatNeverComesAreBounded(t *testing.T) {
	r := newRelay(t)
	r.head(1)
	r.add(1, 10)
	r.durable(1)
	for q := origin.Seq(2); q < 5000; q++ {
		r.head(q)
	}
	if l := r.heads(); len(l) > recentHeads+20 || !slices.Contains(l, 1) || l[len(l)-1] != 4999 {
		t.Errorf("%d heads are on disk: %v", len(l), l)
	}
}
