package vosio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// crashed is what a crash before some write to the file system leaves.
type crashed struct {
	k       int
	fs      *vfs.MemFS
	acked   origin.Vector // what callers had been told is done
	durable origin.Vector // what the journal said is durable
}

// crasher takes a copy of what a crash would leave before every n-th write.
type crasher struct {
	mem *vfs.MemFS
	j   func() origin.Vector

	mu      sync.Mutex
	on      bool
	n, step int
	keep    int // percent of what is not flushed that survives
	acked   map[origin.Stream]origin.Seq
	all     []crashed
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
	if !c.on {
		return nil
	}
	if c.n++; c.n%c.step != 0 {
		return nil
	}
	x := crashed{k: c.n, acked: origin.Vector{}, durable: c.j()}
	for s, q := range c.acked {
		x.acked[s] = origin.Position{Seq: q}
	}
	x.fs = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.keep, RNG: rand.New(rand.NewPCG(uint64(c.n), 7))})
	c.all = append(c.all, x)
	return nil
}

func (c *crasher) String() string { return "crasher" }

func (c *crasher) ack(s origin.Stream, q origin.Seq) {
	c.mu.Lock()
	c.acked[s] = max(c.acked[s], q)
	c.mu.Unlock()
}

// foreign makes txns of module 2 on the file that module 1 makes.
func foreign(t *testing.T, e *testEngine, f *file) (txns []*origin.Txn, entries [][]byte) {
	b := openEngine(t, vfs.NewMem(), 2, true)
	defer b.close(t)
	ctx := context.Background()
	ship(t, e, b, origin.Stream{Group: 1, Module: 1, Incarnation: 1})
	g := b.fileByID(f.id)
	mq, err := b.file("%s#d>main>queue")
	if err != nil {
		t.Fatal(err)
	}
	k, _ := b.file("%s#d>main>keys")
	key := func(s string) []byte { return record.AppendKey(nil, f.identity.number, []byte(s)) }
	commit := func(chs ...change) {
		if _, err := b.commit(ctx, "far", chs); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 12 {
		commit(change{file: mq, kind: insert, data: appendMessage(nil, &message{priority: i % 3, id: int64(i), body: fmt.Appendf(nil, "far %d", i)})})
		commit(change{file: g, kind: insert, data: fmt.Appendf(nil, "9%03d%c-far", i, 'a'+i%4)})
	}
	commit(change{file: g, kind: rewrite, addr: key("9003"), data: []byte("9003z-far")}, change{file: g, kind: remove, addr: key("9004")},
		change{file: g, kind: insert, data: []byte("9100q-far")})
	commit(change{file: g, kind: rewrite, addr: key("9005"), data: []byte("9105z-moved")})
	if _, err := b.createFile(ctx, "far", "%s#d>main>far", call.OrgRelative, 20); err != nil {
		t.Fatal(err)
	}
	h, _ := b.file("%s#d>main>far")
	for i := range 5 {
		commit(change{file: h, kind: insert, data: fmt.Appendf(nil, "number %d", i)})
	}
	var made []committed
	for i := range 6 {
		made = append(made, keyed(t, b, k, fmt.Sprintf("far%d", i), "same", fmt.Sprintf("far record %d", i)))
		commit(change{file: k, kind: insert, addr: record.AppendItem(nil, k.index("item").number, []byte("far"), int32(i))})
	}
	commit(change{file: k, kind: remove, addr: made[1].addr}, change{file: k, kind: rewrite, addr: made[2].addr, data: []byte("far again")})
	commit(change{file: k, kind: remove, addr: record.AppendEntry(nil, k.index("name").number, []byte("far3"), made[3].birth)})
	commit(change{file: k, kind: remove, addr: record.AppendItem(nil, k.index("item").number, []byte("far"), 4)})
	keyed(t, b, k, "hole", "same", "into a hole")
	st, _ := b.file("%s#d>main>stream")
	for i := range 5 {
		commit(change{file: st, kind: insert, data: fmt.Appendf(nil, "far line %d\n", i)})
	}
	overwrite(t, b, st, 3, []byte("over"), false)
	overwrite(t, b, st, 20, nil, true)
	commit(change{file: st, kind: insert, data: []byte("far end\n")})
	s := origin.Stream{Group: 1, Module: 2, Incarnation: 1}
	l, err := b.j.Read(s, 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range l {
		txn := new(origin.Txn)
		if err := entry.Decode(x.Bytes, origin.Dot{Stream: s, Seq: x.Seq}, txn); err != nil {
			t.Fatal(err)
		}
		txns, entries = append(txns, txn), append(entries, x.Bytes)
	}
	return txns, entries
}

// overwrite writes into the middle of a stream file, or cuts it.
func overwrite(t testing.TB, e *testEngine, f *file, off int64, data []byte, cut bool) {
	t.Helper()
	err := e.on(context.Background(), "test", "%s#d>main>stream", func(x *tx, _ *place) error {
		g, err := x.current(f)
		if err != nil {
			return err
		}
		return x.overwrite(g, off, data, cut)
	})
	if err != nil {
		t.Error(err)
	}
}

// placesFile makes a file with every kind of index that embedded keys are not.
func placesFile(t testing.TB, e *testEngine, path string) *file {
	t.Helper()
	ctx := context.Background()
	if _, err := e.createFile(ctx, "test", path, call.OrgExtended, 8); err != nil {
		t.Fatal(err)
	}
	for _, x := range []record.Index{{Name: recordIndexName, Kind: record.IndexRecord}, {Name: deletedIndexName, Kind: record.IndexDeleted},
		{Name: "name", Kind: record.IndexSeparate}, {Name: "tag", Kind: record.IndexSeparate, Duplicates: true}, {Name: "item", Kind: record.IndexItem, Duplicates: true}} {
		if _, err := e.createIndex(ctx, "test", path, x); err != nil {
			t.Fatal(err)
		}
	}
	f, err := e.file(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// keyed adds a record with a key in the index name and one in tag.
func keyed(t testing.TB, e *testEngine, f *file, name, tag, data string) committed {
	out, err := e.commit(context.Background(), "test", []change{{file: f, kind: insert, data: []byte(data), born: madeHere},
		{file: f, kind: insert, addr: record.AppendEntry(nil, f.index("name").number, []byte(name), madeHere)},
		{file: f, kind: insert, addr: record.AppendEntry(nil, f.index("tag").number, []byte(tag), madeHere)}})
	if err != nil {
		t.Error(err)
		return committed{}
	}
	return out[0]
}

// TestCrashAtEveryWrite crashes before each write to the file system while
// programs write, and while txns of another module come; then it starts again
// on what is left. Nothing acknowledged is gone, and files, indexes and counts
// are what the journal says: a change, its entries and its journal entry are
// there together or not at all.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, keep := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("unflushed=%d%%", keep), func(t *testing.T) { crashRun(t, keep, 0) })
	}
	// Here an answer does not mean flushed; what the journal calls durable is.
	t.Run("interval", func(t *testing.T) { crashRun(t, 30, time.Millisecond) })
}

func crashRun(t *testing.T, keep int, interval time.Duration) {
	c := &crasher{mem: vfs.NewCrashableMem(), keep: keep, step: 1, acked: map[origin.Stream]origin.Seq{}}
	e := openEngine(t, errorfs.Wrap(c.mem, c), 1, false)
	c.j = e.j.Durable
	own := origin.Stream{Group: 1, Module: 1, Incarnation: 1}
	ctx := context.Background()
	f := keyedFile(t, e, "%s#d>main>a")
	k := placesFile(t, e, "%s#d>main>keys")
	st, err := e.createFile(ctx, "test", "%s#d>main>stream", call.OrgStream, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.commit(ctx, "test", []change{{file: st, kind: insert, data: []byte("the first line\n")}}); err != nil {
		t.Fatal(err)
	}
	mq, err := e.createFile(ctx, "test", "%s#d>main>queue", call.OrgMsgQueue, 0)
	if err != nil {
		t.Fatal(err)
	}
	txns, entries := foreign(t, e, f)
	if interval > 0 {
		rules := newOneShare(1)
		rules.s.Interval = interval
		if err := e.SetRules(rules); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	c.on = true
	c.mu.Unlock()

	rounds := 100
	if interval > 0 {
		rounds = 300 // they are over soon
	}
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(uint64(w), 3))
			for range rounds {
				id := fmt.Sprintf("%d%03d", w, r.IntN(8))
				ch := change{file: f, kind: insert, data: fmt.Appendf(nil, "%s%c-%d", id, 'a'+r.IntN(3), r.IntN(1000))}
				if k := r.IntN(4); k >= 2 {
					ch.addr = record.AppendKey(nil, f.identity.number, []byte(id))
					ch.kind = rewrite
					if k == 3 {
						ch.kind, ch.data = remove, nil
					}
				}
				chs := []change{ch}
				if r.IntN(5) == 0 {
					chs = append(chs, change{file: f, kind: insert, data: fmt.Appendf(nil, "%dx%02dm-many", w, r.IntN(100))})
				}
				out, err := e.commit(ctx, "test", chs)
				switch {
				case err == nil:
					if interval == 0 {
						c.ack(own, out[0].dot.Seq)
					}
				case !errors.Is(err, call.InvalidDuplicateKey) && !errors.Is(err, call.RecordNotFound):
					t.Error(err)
				}
			}
		}()
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := range txns {
			if err := e.Apply(ctx, txns[i], entries[i], false); err != nil {
				t.Error(err)
			}
		}
	}()
	wg.Add(1)
	go func() { // sends and takes messages, some together with a record
		defer wg.Done()
		p := e.NewProcess("server")
		defer p.Close()
		cl := call.Client{Caller: p}
		port, err := cl.OpenQueue(ctx, "%s#d>main>queue", call.Server, 0)
		if err != nil {
			t.Error(err)
			return
		}
		for i := range 20 {
			send := []change{{file: mq, kind: insert, data: appendMessage(nil, &message{priority: i % 20, id: int64(i + 1), subject: "near", body: fmt.Appendf(nil, "near %d", i)})}}
			if i%4 == 0 {
				send = append(send, change{file: f, kind: insert, data: fmt.Appendf(nil, "7%03dq-sent", i)})
			}
			out, err := e.commit(ctx, "test", send)
			if err != nil {
				t.Error(err)
				return
			}
			if interval == 0 {
				c.ack(own, out[0].dot.Seq)
			}
			if i%3 == 0 {
				if _, err := cl.Receive(ctx, port, "near", true); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := range 4 {
			path := fmt.Sprintf("%%s#d>main>log%d", i)
			g, err := e.createFile(ctx, "test", path, call.OrgSequential, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for n := range 3 {
				out, err := e.commit(ctx, "test", []change{{file: g, kind: insert, data: fmt.Appendf(nil, "line %d", n)}})
				if err != nil {
					t.Error(err)
					return
				}
				if interval == 0 {
					c.ack(own, out[0].dot.Seq)
				}
			}
			switch i {
			case 0:
				err = e.truncateFile(ctx, "test", path)
			case 1:
				err = e.deleteFile(ctx, "test", path)
			case 2:
				err = e.renameFile(ctx, "test", path, "%s#d>main>other")
			}
			if err != nil {
				t.Error(err)
			}
		}
	}()
	wg.Add(1)
	go func() {
		defer wg.Done()
		var made []committed
		for i := range 12 {
			made = append(made, keyed(t, e, k, fmt.Sprintf("near%d", i), "same", fmt.Sprintf("near record %d", i)))
			var ch change
			switch i % 4 {
			case 0:
				ch = change{kind: insert, addr: record.AppendItem(nil, k.index("item").number, []byte("near"), int32(i))}
			case 1:
				ch = change{kind: remove, addr: made[i-1].addr}
			case 2:
				ch = change{kind: remove, addr: record.AppendEntry(nil, k.index("tag").number, []byte("same"), made[i].birth)}
			case 3:
				ch = change{kind: remove, addr: record.AppendItem(nil, k.index("item").number, []byte("near"), int32(i-3))}
			}
			ch.file = k
			out, err := e.commit(ctx, "test", []change{ch})
			if err != nil {
				t.Error(err)
				return
			}
			if interval == 0 {
				c.ack(own, max(out[0].dot.Seq, made[i].dot.Seq))
			}
		}
	}()
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := range 12 {
			out, err := e.commit(ctx, "test", []change{{file: st, kind: insert, data: fmt.Appendf(nil, "near line %d\n", i)}})
			if err != nil {
				t.Error(err)
				return
			}
			if interval == 0 {
				c.ack(own, out[0].dot.Seq)
			}
			switch i {
			case 3, 4, 8:
				overwrite(t, e, st, int64(i), []byte("OVER"), false)
			case 6:
				overwrite(t, e, st, 9, nil, true)
			case 10:
				if err := e.truncateFile(ctx, "test", "%s#d>main>stream"); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	wg.Wait()
	c.mu.Lock()
	c.on = false
	all := c.all
	c.mu.Unlock()
	e.close(t)
	if len(all) < 80 && interval == 0 || len(all) < 20 {
		t.Fatalf("only %d writes to crash at", len(all))
	}
	t.Logf("%d crashes", len(all))
	for i, x := range all {
		if i%crashEvery != 0 {
			continue
		}
		if err := checkCrashed(t, x); err != nil {
			t.Errorf("crash before write %d: %v", x.k, err)
			if t.Failed() {
				return
			}
		}
	}
}

// checkCrashed starts a module on what a crash left.
func checkCrashed(t *testing.T, x crashed) error {
	e := openEngine(t, x.fs, 1, true)
	defer e.close(t)
	for s, p := range x.acked {
		if got := e.j.Tail(s).Seq; got < p.Seq {
			return fmt.Errorf("stream %v stands at %d, %d was acknowledged", s, got, p.Seq)
		}
	}
	for s, p := range x.durable {
		if got := e.j.Tail(s).Seq; got < p.Seq {
			return fmt.Errorf("stream %v stands at %d, %d was said to be durable", s, got, p.Seq)
		}
		if h, ok, err := e.j.HashAt(s, p.Seq); err != nil || !ok || h != p.Hash {
			return fmt.Errorf("stream %v has another chain at %d: %v", s, p.Seq, err)
		}
	}
	// Another module that takes the same txns in the same order.
	m := openEngine(t, vfs.NewMem(), 3, true)
	defer m.close(t)
	var failed error
	err := e.j.Local(0, func(_ uint64, s origin.Stream, first origin.Seq, count int) bool {
		for q := first; q < first+origin.Seq(count); q++ {
			got, ok, err := e.j.Get(origin.Dot{Stream: s, Seq: q})
			if err != nil || !ok {
				failed = fmt.Errorf("journal lacks %v:%d: %v", s, q, err)
				return false
			}
			txn := new(origin.Txn)
			if failed = entry.Decode(got.Bytes, origin.Dot{Stream: s, Seq: q}, txn); failed != nil {
				return false
			}
			if failed = m.Apply(context.Background(), txn, got.Bytes, false); failed != nil {
				return false
			}
		}
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if got, want := describe(t, e), describe(t, m); got != want {
		return fmt.Errorf("files are not what the journal says:\n%s\nthe journal says:\n%s", got, want)
	}
	for _, s := range e.Account() {
		if s.Missing() != 0 {
			return fmt.Errorf("account: %+v", s)
		}
	}
	// It goes on: a new change is taken and found.
	f, err := e.file("%s#d>main>a")
	if err != nil {
		return err
	}
	if _, err := e.commit(context.Background(), "after", []change{{file: f, kind: insert, data: []byte("8888a-after")}}); err != nil {
		return err
	}
	if !slices.Contains(list(t, e, f, f.index("id")), "8888a-after") {
		return errors.New("what was written after the crash is not there")
	}
	return nil
}

// describe gives all that can be read of a module's files.
func describe(t *testing.T, e *testEngine) string {
	var b strings.Builder
	for _, i := range e.Files("%s#d>main") {
		f := e.fileByID(i.ID)
		if f.stream() {
			fmt.Fprintf(&b, "%s %d bytes ", i.Path, i.Bytes)
			if err := e.eachPiece(e.db, f, func(p []byte) error { fmt.Fprintf(&b, "%q", p); return nil }); err != nil {
				t.Fatal(err)
			}
			digest, _, _, err := e.Digest(i.Path)
			fmt.Fprintln(&b, "", digest, err)
			continue
		}
		fmt.Fprintf(&b, "%s %d records %d bytes\n  %q\n", i.Path, i.Records, i.Bytes, list(t, e, f, nil))
		for _, x := range f.indexes {
			fmt.Fprintf(&b, "  by %s: %q\n", x.Name, list(t, e, f, x))
		}
		for _, x := range f.others {
			fmt.Fprintf(&b, "  %s:", x.Name)
			switch x.Kind {
			case record.IndexSeparate, record.IndexItem:
				s, err := e.scan(e.db, f, x)
				if err != nil {
					t.Fatal(err)
				}
				for ok := s.First(); ok; ok = s.Next() {
					fmt.Fprintf(&b, " %q=%q%x", x.shown(s.indexKey()), s.record().data, s.record().addr)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			case record.IndexRecord:
				if err := scanPrefix(e.db, appendFileKey(nil, keyNumber, f.id), func(k, v []byte) error {
					fmt.Fprintf(&b, " %x=%s", k[filePrefix:], record.String(v))
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			case record.IndexDeleted:
				if err := scanPrefix(e.db, appendFileKey(nil, keyHole, f.id), func(k, v []byte) error {
					fmt.Fprintf(&b, " %s of %x", record.String(k[filePrefix:]), v)
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
