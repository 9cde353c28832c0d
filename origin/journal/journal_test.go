package journal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/origin"
)

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func stream(m int) origin.Stream {
	return origin.Stream{Group: 1, Module: origin.Module(m), Incarnation: 1}
}

// text is the entry that a stream has at a seq.
func text(s origin.Stream, q origin.Seq) []byte { return fmt.Appendf(nil, "m%d:%d", s.Module, q) }

// at is where a stream stands after so many of those entries.
func at(s origin.Stream, q origin.Seq) origin.Position {
	p := origin.Position{Hash: s.Genesis()}
	for p.Seq < q {
		p.Seq++
		p.Hash = p.Hash.Next(text(s, p.Seq))
	}
	return p
}

// named is what the context of an entry adds: now and then another stream.
func named(s origin.Stream, q origin.Seq) []origin.StreamSeq {
	if q%3 != 0 {
		return nil
	}
	return []origin.StreamSeq{{Stream: stream(int(s.Module)%3 + 1), Seq: q / 3}}
}

// fullContext is the sum of what the entries after a seq add.
func fullContext(s origin.Stream, after, upto origin.Seq) origin.Context {
	c := origin.Context{}
	for q := after + 1; q <= upto; q++ {
		c.Advance(named(s, q))
	}
	return c
}

func open(t testing.TB, fs vfs.FS) (*Journal, *pebble.DB) {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	j, err := Open(db)
	if err != nil {
		t.Fatal(err)
	}
	return j, db
}

// appendRuns puts runs of entries into one batch: so many of each stream.
func appendRuns(t testing.TB, j *Journal, db *pebble.DB, how *pebble.WriteOptions, runs ...runRecord) {
	t.Helper()
	b := db.NewBatch()
	defer b.Close()
	a := j.Begin(b)
	var to []origin.StreamPosition
	for _, r := range runs {
		for range r.count {
			q := j.Tail(r.stream).Seq + 1
			if _, err := a.Add(r.stream, q, origin.Stamp(q)<<16, named(r.stream, q), text(r.stream, q)); err != nil {
				t.Fatal(err)
			}
		}
		to = append(to, origin.StreamPosition{Stream: r.stream, Position: j.Tail(r.stream)})
	}
	if err := a.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(how); err != nil {
		t.Fatal(err)
	}
	if how == pebble.Sync {
		j.MarkDurable(to)
	}
}

// order is local order as text.
func order(t testing.TB, j *Journal) string {
	t.Helper()
	var l []string
	if err := j.Local(0, func(n uint64, s origin.Stream, first origin.Seq, count int) bool {
		l = append(l, fmt.Sprintf("%d=m%d:%d+%d", n, s.Module, first, count))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(l, " ")
}

// TestRead: durable entries alone are read, one at least, and as many as a
// limit of bytes holds.
func TestRead(t *testing.T) {
	j, db := open(t, vfs.NewMem())
	defer db.Close()
	one := stream(1)
	appendRuns(t, j, db, pebble.Sync, runRecord{one, 0, 9}) // of 4 bytes each
	appendRuns(t, j, db, pebble.NoSync, runRecord{one, 0, 2})
	if err := j.Prune(one, 3); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stream origin.Stream
		after  origin.Seq
		max    int
		want   string
	}{
		{one, 3, 1 << 20, "4 5 6 7 8 9"},
		{one, 8, 1 << 20, "9"},
		{one, 9, 1 << 20, ""}, // 10 and 11 are not flushed
		{one, 11, 1 << 20, ""},
		{one, 99, 1 << 20, ""},
		{one, 3, 0, "4"},
		{one, 3, 1, "4"},
		{one, 3, 4, "4"},
		{one, 3, 5, "4"},
		{one, 3, 8, "4 5"},
		{one, 3, 12, "4 5 6"},
		{one, 3, 9, "4 5"},
		{one, 2, 1 << 20, "pruned"},
		{one, 0, 1 << 20, "pruned"},
		{stream(2), 0, 1 << 20, ""},
	} {
		l, err := j.Read(c.stream, c.after, c.max)
		var got []string
		for _, e := range l {
			got = append(got, fmt.Sprint(e.Seq))
			if p := at(c.stream, e.Seq); e.Hash != p.Hash || string(e.Bytes) != string(text(c.stream, e.Seq)) {
				t.Errorf("entry %d is %q", e.Seq, e.Bytes)
			}
		}
		if errors.Is(err, ErrPruned) {
			got, err = []string{"pruned"}, nil
		}
		if s := strings.Join(got, " "); err != nil || s != c.want {
			t.Errorf("after %d, up to %d bytes: %q, %v, want %q", c.after, c.max, s, err, c.want)
		}
	}
}

// TestHashAt: the chain is known from the place that is pruned on, up to what
// is sequenced.
func TestHashAt(t *testing.T) {
	fs := vfs.NewMem()
	j, db := open(t, fs)
	one, adopted := stream(1), stream(3)
	appendRuns(t, j, db, pebble.Sync, runRecord{one, 0, 9})
	appendRuns(t, j, db, pebble.NoSync, runRecord{one, 0, 1})
	if err := j.Prune(one, 4); err != nil {
		t.Fatal(err)
	}
	b := db.NewBatch()
	if err := j.Adopt(b, adopted, at(adopted, 6), 77, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(pebble.Sync); err != nil {
		t.Fatal(err)
	}
	j.MarkDurable([]origin.StreamPosition{{Stream: adopted, Position: at(adopted, 6)}})
	appendRuns(t, j, db, pebble.Sync, runRecord{adopted, 0, 2})
	check := func(when string) {
		t.Helper()
		for _, c := range []struct {
			stream origin.Stream
			seq    origin.Seq
			ok     bool
		}{
			{one, 0, true}, {one, 1, false}, {one, 3, false}, {one, 4, true}, {one, 5, true}, {one, 9, true}, {one, 10, true}, {one, 11, false},
			{adopted, 0, true}, {adopted, 5, false}, {adopted, 6, true}, {adopted, 7, true}, {adopted, 8, true}, {adopted, 9, false},
			{stream(2), 0, true}, {stream(2), 1, false},
		} {
			h, ok, err := j.HashAt(c.stream, c.seq)
			if err != nil || ok != c.ok || ok && h != at(c.stream, c.seq).Hash {
				t.Errorf("%s: m%d at %d: %v, %v", when, c.stream.Module, c.seq, ok, err)
			}
		}
	}
	check("as written")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	j, db = open(t, fs)
	defer db.Close()
	check("opened again")
}

// TestPrune: no more goes than is durable, nothing comes back, and local order
// goes with its entries.
func TestPrune(t *testing.T) {
	fs := vfs.NewMem()
	j, db := open(t, fs)
	one, two := stream(1), stream(2)
	appendRuns(t, j, db, pebble.Sync, runRecord{one, 0, 3})
	appendRuns(t, j, db, pebble.Sync, runRecord{one, 0, 1}, runRecord{two, 0, 2}, runRecord{one, 0, 1})
	appendRuns(t, j, db, pebble.Sync, runRecord{two, 0, 2})
	appendRuns(t, j, db, pebble.NoSync, runRecord{two, 0, 1})
	for _, c := range []struct {
		stream origin.Stream
		upto   origin.Seq
		want   string // pruned of both, and local order
	}{
		{one, 0, "0 0 1=m1:1+3 2=m1:4+1 2=m2:1+2 2=m1:5+1 3=m2:3+2 4=m2:5+1"},
		{one, 2, "2 0 1=m1:1+3 2=m1:4+1 2=m2:1+2 2=m1:5+1 3=m2:3+2 4=m2:5+1"},
		{one, 1, "2 0 1=m1:1+3 2=m1:4+1 2=m2:1+2 2=m1:5+1 3=m2:3+2 4=m2:5+1"},
		{one, 4, "4 0 2=m1:4+1 2=m2:1+2 2=m1:5+1 3=m2:3+2 4=m2:5+1"},
		{two, 5, "4 0 2=m1:4+1 2=m2:1+2 2=m1:5+1 3=m2:3+2 4=m2:5+1"}, // 5 is not durable
		{two, 3, "4 3 2=m1:4+1 2=m2:1+2 2=m1:5+1 3=m2:3+2 4=m2:5+1"},
		{one, 9, "4 3 2=m1:4+1 2=m2:1+2 2=m1:5+1 3=m2:3+2 4=m2:5+1"},
		{one, 5, "5 3 3=m2:3+2 4=m2:5+1"},
		{two, 4, "5 4 4=m2:5+1"},
		{stream(3), 1, "5 4 4=m2:5+1"},
	} {
		if err := j.Prune(c.stream, c.upto); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %d %s", j.Pruned(one), j.Pruned(two), order(t, j)); got != c.want {
			t.Errorf("m%d up to %d:\n got %s\nwant %s", c.stream.Module, c.upto, got, c.want)
		}
		for _, s := range []origin.Stream{one, two} {
			for q := origin.Seq(1); q <= j.Tail(s).Seq; q++ {
				if _, ok, err := j.Get(origin.Dot{Stream: s, Seq: q}); err != nil || ok != (q > j.Pruned(s)) {
					t.Errorf("m%d:%d is here: %v, %v", s.Module, q, ok, err)
				}
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	j, db = open(t, fs)
	if got := fmt.Sprintf("%d %d %s", j.Pruned(one), j.Pruned(two), order(t, j)); got != "5 4 4=m2:5+1" {
		t.Errorf("opened again: %s", got)
	}
	// All of it is pruned: numbers go on all the same.
	if err := j.Prune(two, 5); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	j, db = open(t, fs)
	defer db.Close()
	appendRuns(t, j, db, pebble.Sync, runRecord{one, 0, 1})
	if got := order(t, j); got != "4=m2:5+1 5=m1:6+1" {
		t.Errorf("after all was pruned: %s", got)
	}
}

// TestAdopt: a stream goes on from a snapshot's position, also when part of it
// was here before, and over a start.
func TestAdopt(t *testing.T) {
	for _, before := range []uint32{0, 1, 4} {
		t.Run(fmt.Sprintf("%d were here", before), func(t *testing.T) {
			fs := vfs.NewMem()
			j, db := open(t, fs)
			s := stream(2)
			if before > 0 {
				appendRuns(t, j, db, pebble.Sync, runRecord{s, 0, before})
			}
			b := db.NewBatch()
			given := origin.Context{stream(9): 5}
			if err := j.Adopt(b, s, at(s, 6), 1000<<16, given); err != nil {
				t.Fatal(err)
			}
			if err := b.Commit(pebble.Sync); err != nil {
				t.Fatal(err)
			}
			j.MarkDurable([]origin.StreamPosition{{Stream: s, Position: at(s, 6)}})
			given[stream(9)] = 99 // the caller's, not the journal's
			for _, again := range []bool{false, true} {
				if again {
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
					j, db = open(t, fs)
				}
				if j.Tail(s) != at(s, 6) || j.Durable().At(s) != at(s, 6) || j.Pruned(s) != 6 || j.Stamp(s) != 1000<<16 {
					t.Fatalf("stands at %v, durable %v, pruned %d, stamp %v", j.Tail(s), j.Durable().At(s), j.Pruned(s), j.Stamp(s))
				}
				if c := j.Context(s); len(c) != 1 || c[stream(9)] != 5 {
					t.Errorf("context %v", c)
				}
				if _, err := j.Read(s, 3, 1<<20); !errors.Is(err, ErrPruned) {
					t.Errorf("what is before it: %v", err)
				}
			}
			defer db.Close()
			appendRuns(t, j, db, pebble.Sync, runRecord{s, 0, 2})
			l, err := j.Read(s, 6, 1<<20)
			if err != nil || len(l) != 2 || l[1].Hash != at(s, 8).Hash {
				t.Errorf("goes on with %v, %v", l, err)
			}
			if j.Stamp(s) != 1000<<16 {
				t.Errorf("the stamp went back to %v", j.Stamp(s))
			}
			saved, err := SavedIn(db, 1)
			if err != nil || len(saved) != 1 || saved[0].Position != at(s, 8) || saved[0].Stamp != 1000<<16 || saved[0].Context[stream(9)] != 5 {
				t.Errorf("a snapshot has %+v, %v", saved, err)
			}
			if err := j.Prune(s, 7); err != nil {
				t.Fatal(err)
			}
			for q := origin.Seq(1); q <= 7; q++ {
				if _, ok, err := j.Get(origin.Dot{Stream: s, Seq: q}); ok || err != nil {
					t.Errorf("%d is still here, %v", q, err)
				}
			}
		})
	}
}

// TestAddRefusesGaps: an entry follows its stream's last.
func TestAddRefusesGaps(t *testing.T) {
	j, db := open(t, vfs.NewMem())
	defer db.Close()
	s := stream(1)
	appendRuns(t, j, db, pebble.Sync, runRecord{s, 0, 2})
	b := db.NewBatch()
	defer b.Close()
	a := j.Begin(b)
	for _, q := range []origin.Seq{0, 1, 2, 4, 1 << 62} {
		if _, err := a.Add(s, q, 1, nil, []byte("x")); !errors.Is(err, ErrGap) {
			t.Errorf("%d after 2: %v", q, err)
		}
	}
	if j.Tail(s) != at(s, 2) {
		t.Errorf("stands at %v", j.Tail(s))
	}
	if err := a.Finish(); err != nil || b.Count() != 0 {
		t.Errorf("%d keys in the batch, %v", b.Count(), err)
	}
}

// TestMarkDurable: it does not go back, and wakes who waits.
func TestMarkDurable(t *testing.T) {
	j, db := open(t, vfs.NewMem())
	defer db.Close()
	s := stream(1)
	appendRuns(t, j, db, pebble.NoSync, runRecord{s, 0, 5})
	if len(j.Durable()) != 0 {
		t.Errorf("durable is %v", j.Durable())
	}
	before, changed := j.Durable(), j.Changed()
	for _, q := range []origin.Seq{2, 5, 3} {
		j.MarkDurable([]origin.StreamPosition{{Stream: s, Position: at(s, q)}})
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was woken")
	}
	if j.Durable().At(s) != at(s, 5) || len(before) != 0 {
		t.Errorf("durable is %v, what was given before %v", j.Durable(), before)
	}
}

// TestDamaged: what is stored and is not what was written is said, and nothing
// panics.
func TestDamaged(t *testing.T) {
	s := stream(1)
	for name, spoil := range map[string]func(b *pebble.Batch) error{
		"position": func(b *pebble.Batch) error { return b.Set(key(keyPosition, s), []byte("short"), nil) },
		"context":  func(b *pebble.Batch) error { return b.Set(key(keyContext, s), []byte("odd"), nil) },
		"pruned":   func(b *pebble.Batch) error { return b.Set(key(keyPruned, s), nil, nil) },
		"head":     func(b *pebble.Batch) error { return b.Set([]byte{'j', keyHead, 1}, []byte("x"), nil) },
	} {
		fs := vfs.NewMem()
		j, db := open(t, fs)
		appendRuns(t, j, db, pebble.Sync, runRecord{s, 0, 1})
		b := db.NewBatch()
		if err := errors.Join(spoil(b), b.Commit(pebble.Sync)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(db); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	j, db := open(t, vfs.NewMem())
	defer db.Close()
	appendRuns(t, j, db, pebble.Sync, runRecord{s, 0, 3})
	lost := origin.Dot{Stream: s, Seq: 2}
	if err := db.Delete(seqKey(keyEntry, s, 2), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if l, err := j.Read(s, 0, 1<<20); err == nil {
		t.Errorf("read over a hole: %v", l)
	}
	if err := db.Set(seqKey(keyEntry, s, 2), []byte("short"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Read(s, 0, 1<<20); !errors.Is(err, ErrDamaged) {
		t.Errorf("read: %v", err)
	}
	if _, _, err := j.Get(lost); !errors.Is(err, ErrDamaged) {
		t.Errorf("get: %v", err)
	}
	if _, _, err := j.HashAt(s, 2); !errors.Is(err, ErrDamaged) {
		t.Errorf("hash: %v", err)
	}
	if err := db.Set([]byte{'j', keyLocal, 0, 0, 0, 0, 0, 0, 0, 1}, []byte("odd"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := j.Local(0, func(uint64, origin.Stream, origin.Seq, int) bool { return true }); !errors.Is(err, ErrDamaged) {
		t.Errorf("local order: %v", err)
	}
	if err := j.Prune(s, 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("prune: %v", err)
	}
}
