package journal

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"drmesh/origin"
)

// crasher takes a copy of what a crash would leave before every write to the
// file system.
type crasher struct {
	mem  *vfs.MemFS
	keep int // percent of what is not flushed that survives

	mu  sync.Mutex
	j   *Journal // nil: not yet
	all []crashed
}

// crashed is what a crash before the nth write leaves, and what the journal had
// called durable by then.
type crashed struct {
	fs      *vfs.MemFS
	durable origin.Vector
}

func (c *crasher) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpRename, errorfs.OpRemove, errorfs.OpReuseForWrite, errorfs.OpFileWrite, errorfs.OpFileWriteAt,
		errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpLink:
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.j != nil {
		durable := c.j.Durable() // before the copy, which may have more
		c.all = append(c.all, crashed{c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.keep, RNG: rand.New(rand.NewPCG(uint64(len(c.all)), 5))}), durable})
	}
	return nil
}

func (c *crasher) String() string { return "crasher" }

// snapshotAt is where the adopted stream stood in the snapshot.
const snapshotAt = 40

// TestCrashAtEveryWrite crashes before each write to the file system, while
// entries of an own stream and of two others are appended, some flushed and
// some not, with heads, pruning, and a stream that comes as a snapshot; and
// opens what is left.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, keep := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("unflushed=%d%%", keep), func(t *testing.T) {
			c := &crasher{mem: vfs.NewCrashableMem(), keep: keep}
			// A small memtable, so that tables and manifest are written, too.
			db, err := pebble.Open("db", &pebble.Options{FS: errorfs.Wrap(c.mem, c), Logger: quiet{}, MemTableSize: 16 << 10})
			if err != nil {
				t.Fatal(err)
			}
			j, err := Open(db)
			if err != nil {
				t.Fatal(err)
			}
			c.mu.Lock()
			c.j = j
			c.mu.Unlock()
			work(t, j, db)
			c.mu.Lock()
			c.j = nil
			c.mu.Unlock()
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if len(c.all) < 100 {
				t.Errorf("only %d writes to crash at", len(c.all))
			}
			t.Logf("%d crashes", len(c.all))
			for i, x := range c.all {
				if err := holds(t, x); err != nil {
					t.Fatalf("crash before write %d: %v", i, err)
				}
			}
		})
	}
}

// work is what the committer and the network's reader do to a journal.
func work(t *testing.T, j *Journal, db *pebble.DB) {
	own, far, adopted := stream(1), stream(2), stream(3)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 120 {
		how := pebble.Sync
		if r.IntN(3) == 0 {
			how = pebble.NoSync
		}
		n := 1 + r.Uint32N(4)
		// A run of another's comes with its head first.
		if err := j.KeepHead(far, j.Tail(far).Seq+origin.Seq(n), headOf(j.Tail(far).Seq+origin.Seq(n))); err != nil {
			t.Fatal(err)
		}
		runs := []runRecord{{own, 0, 1 + r.Uint32N(3)}, {far, 0, n}}
		if i > 60 {
			runs = append(runs, runRecord{adopted, 0, 1})
		}
		appendRuns(t, j, db, how, runs...)
		switch {
		case i == 60:
			b := db.NewBatch()
			if err := j.Adopt(b, adopted, at(adopted, snapshotAt), snapshotAt<<16, origin.Context{own: 1}); err != nil {
				t.Fatal(err)
			}
			if err := b.Commit(pebble.Sync); err != nil {
				t.Fatal(err)
			}
			j.MarkDurable([]origin.StreamPosition{{Stream: adopted, Position: at(adopted, snapshotAt)}})
		case i%17 == 0:
			for s, p := range j.Durable() {
				if err := j.Prune(s, p.Seq-min(p.Seq, 5)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func headOf(q origin.Seq) []byte { return fmt.Appendf(nil, "head %d", q) }

// holds opens what a crash left, and says what is wrong with it.
func holds(t *testing.T, x crashed) error {
	j, db := open(t, x.fs)
	defer db.Close()
	for s, p := range x.durable {
		if j.Tail(s).Seq < p.Seq {
			return fmt.Errorf("m%d stands at %d, %d was durable", s.Module, j.Tail(s).Seq, p.Seq)
		}
		if h, ok, err := j.HashAt(s, p.Seq); err != nil || ok && h != p.Hash || !ok && j.Pruned(s) <= p.Seq {
			return fmt.Errorf("m%d has another chain at %d: %v, %v", s.Module, p.Seq, ok, err)
		}
	}
	listed := map[origin.Stream]origin.Seq{} // the last in local order
	number := uint64(0)
	var wrong error
	err := j.Local(0, func(n uint64, s origin.Stream, first origin.Seq, count int) bool {
		if n < number {
			wrong = fmt.Errorf("local number %d comes after %d", n, number)
		}
		if l, ok := listed[s]; first != l+1 && (ok || first > j.Pruned(s)+1) {
			wrong = fmt.Errorf("m%d:%d follows %d in local order, pruned is %d", s.Module, first, l, j.Pruned(s))
		}
		listed[s], number = first+origin.Seq(count)-1, n
		return wrong == nil
	})
	if err != nil || wrong != nil {
		return fmt.Errorf("local order: %w, %v", err, wrong)
	}
	for s, p := range j.Tails() {
		if p != at(s, p.Seq) || j.Durable().At(s) != p {
			return fmt.Errorf("m%d stands at %v, durable %v, want %v", s.Module, p, j.Durable().At(s), at(s, p.Seq))
		}
		if j.Stamp(s) != origin.Stamp(p.Seq)<<16 {
			return fmt.Errorf("m%d at %d has stamp %v", s.Module, p.Seq, j.Stamp(s))
		}
		from, context := origin.Seq(0), origin.Context{}
		if s.Module == 3 {
			from, context = snapshotAt, origin.Context{stream(1): 1}
		}
		for o, q := range fullContext(s, from, p.Seq) {
			context[o] = max(context[o], q)
		}
		if got := j.Context(s); fmt.Sprint(got.Sorted()) != fmt.Sprint(context.Sorted()) {
			return fmt.Errorf("m%d at %d has context %v, want %v", s.Module, p.Seq, got.Sorted(), context.Sorted())
		}
		l, err := j.Read(s, j.Pruned(s), 1<<30)
		if err != nil || len(l) != int(p.Seq-j.Pruned(s)) {
			return fmt.Errorf("m%d from %d to %d: %d entries, %v", s.Module, j.Pruned(s), p.Seq, len(l), err)
		}
		for _, e := range l {
			if e.Hash != at(s, e.Seq).Hash || string(e.Bytes) != string(text(s, e.Seq)) {
				return fmt.Errorf("m%d:%d is %q", s.Module, e.Seq, e.Bytes)
			}
		}
		if len(l) > 0 && listed[s] != p.Seq {
			return fmt.Errorf("m%d stands at %d, the last in local order is %d", s.Module, p.Seq, listed[s])
		}
	}
	// What was durable of another's stream can be handed on: a head stands
	// there, or the whole of it was let go of.
	far := stream(2)
	if d := x.durable.At(far).Seq; d > 0 {
		q, b, ok, err := j.HeadAfter(far, d-1)
		if err != nil || !ok || q != d || string(b) != string(headOf(d)) {
			return fmt.Errorf("m2 was durable up to %d, the next head is %q at %d, %v", d, b, q, err)
		}
	}
	// It goes on.
	appendRuns(t, j, db, pebble.Sync, runRecord{stream(1), 0, 2}, runRecord{far, 0, 1})
	if p := j.Tail(stream(1)); p != at(stream(1), p.Seq) {
		return fmt.Errorf("goes on at %v", p)
	}
	return nil
}
