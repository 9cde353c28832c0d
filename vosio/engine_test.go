package vosio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/origin"
	"drmesh/origin/clock"
	"drmesh/origin/entry"
	"drmesh/origin/journal"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// oneShare is Rules with one share, main, below %s#d>main, in group 1.
type oneShare struct{ s *Share }

func newOneShare(self origin.Module) oneShare {
	return oneShare{&Share{Name: "main", Group: 1, Stream: origin.Stream{Group: 1, Module: self, Incarnation: 1}, Root: "%s#d>main", Policy: 1,
		Takes: func() bool { return self == 1 }}}
}

func (r oneShare) Locate(full string) (*Share, string) {
	if len(full) > len(r.s.Root) && full[:len(r.s.Root)+1] == r.s.Root+">" {
		return r.s, full[len(r.s.Root)+1:]
	}
	return nil, full
}
func (r oneShare) Share(name string) *Share {
	if name == "main" {
		return r.s
	}
	return nil
}
func (r oneShare) Shares() []*Share                     { return []*Share{r.s} }
func (r oneShare) MayWrite(*Share, string, string) bool { return true }

type testEngine struct {
	*Engine
	db *pebble.DB
	j  *journal.Journal
	fs vfs.FS
}

func openEngine(t testing.TB, fs vfs.FS, self origin.Module, inline bool) *testEngine {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(Config{DB: db, Journal: j, Clock: clock.New(nil, j.LastStamp()), Rules: newOneShare(self), Self: self, Inline: inline})
	if err != nil {
		t.Fatal(err)
	}
	return &testEngine{e, db, j, fs}
}

func (e *testEngine) close(t testing.TB) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.db.Close(); err != nil {
		t.Error(err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func keyedFile(t testing.TB, e *testEngine, path string) *file {
	t.Helper()
	ctx := context.Background()
	if _, err := e.createFile(ctx, "test", path, call.OrgSequential, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := e.createIndex(ctx, "test", path, record.Index{Name: "id", Components: []record.Component{{Position: 1, Length: 4}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.createIndex(ctx, "test", path, record.Index{Name: "kind", Components: []record.Component{{Position: 5, Length: 1}}, Duplicates: true}); err != nil {
		t.Fatal(err)
	}
	f, err := e.file(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func list(t testing.TB, e *testEngine, f *file, ix *index) (out []string) {
	t.Helper()
	s, err := e.scan(e.db, e.fileByID(f.id), ix)
	if err != nil {
		t.Fatal(err)
	}
	for ok := s.First(); ok; ok = s.Next() {
		out = append(out, string(s.record().data))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWriteReadRewriteDelete(t *testing.T) {
	for _, inline := range []bool{false, true} {
		t.Run(fmt.Sprintf("inline=%v", inline), func(t *testing.T) {
			fs := vfs.NewMem()
			e := openEngine(t, fs, 1, inline)
			ctx := context.Background()
			f := keyedFile(t, e, "%s#d>main>a")
			for _, r := range []string{"0003b-three", "0001a-one", "0002b-two"} {
				if _, err := e.commit(ctx, "test", []change{{file: f, kind: insert, data: []byte(r)}}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := e.commit(ctx, "test", []change{{file: f, kind: insert, data: []byte("0001x")}}); !errors.Is(err, call.InvalidDuplicateKey) {
				t.Fatalf("second record of a key: %v", err)
			}
			if got := fmt.Sprint(list(t, e, f, f.index("id"))); got != "[0001a-one 0002b-two 0003b-three]" {
				t.Error("by key:", got)
			}
			if got := fmt.Sprint(list(t, e, f, nil)); got != "[0003b-three 0001a-one 0002b-two]" {
				t.Error("physical:", got)
			}
			if got := fmt.Sprint(list(t, e, f, f.index("kind"))); got != "[0001a-one 0003b-three 0002b-two]" {
				t.Error("by kind:", got)
			}
			key := record.AppendKey(nil, f.identity.number, []byte("0003"))
			if _, err := e.commit(ctx, "test", []change{{file: f, kind: rewrite, addr: key, data: []byte("0004a-moved")}}); err != nil {
				t.Fatal(err)
			}
			key = record.AppendKey(nil, f.identity.number, []byte("0001"))
			if _, err := e.commit(ctx, "test", []change{{file: f, kind: remove, addr: key}}); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(list(t, e, f, f.index("kind"))); got != "[0004a-moved 0002b-two]" {
				t.Error("by kind after:", got)
			}
			if got := fmt.Sprint(list(t, e, f, nil)); got != "[0004a-moved 0002b-two]" {
				t.Error("physical after:", got)
			}
			for _, s := range e.Account() {
				if s.Missing() != 0 {
					t.Errorf("account: %+v", s)
				}
			}
			before := e.Account()
			e.close(t)
			e = openEngine(t, fs, 1, inline)
			defer e.close(t)
			f, err := e.file("%s#d>main>a")
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(list(t, e, f, f.index("id"))); got != "[0002b-two 0004a-moved]" {
				t.Error("after a restart:", got)
			}
			if got := fmt.Sprint(e.Account()); got != fmt.Sprint(before) {
				t.Error("account after a restart:", got, before)
			}
			if f.recordCount() != 2 {
				t.Error("records after a restart:", f.recordCount())
			}
		})
	}
}

// ship applies at to what from has written and to has not.
func ship(t testing.TB, from, to *testEngine, s origin.Stream) {
	t.Helper()
	l, err := from.j.Read(s, to.j.Tail(s).Seq, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range l {
		txn := new(origin.Txn)
		if err := entry.Decode(x.Bytes, origin.Dot{Stream: s, Seq: x.Seq}, txn); err != nil {
			t.Fatal(err)
		}
		if err := to.Apply(context.Background(), txn, x.Bytes, false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestApplyGivesTheSameFile(t *testing.T) {
	a, b := openEngine(t, vfs.NewMem(), 1, false), openEngine(t, vfs.NewMem(), 2, false)
	defer a.close(t)
	defer b.close(t)
	ctx := context.Background()
	f := keyedFile(t, a, "%s#d>main>a")
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := a.commit(ctx, "test", []change{{file: f, kind: insert, data: []byte(fmt.Sprintf("%04d%c", i, 'a'+i%3))}}); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	sa, sb := origin.Stream{Group: 1, Module: 1, Incarnation: 1}, origin.Stream{Group: 1, Module: 2, Incarnation: 1}
	ship(t, a, b, sa)
	g, err := b.file("%s#d>main>a")
	if err != nil {
		t.Fatal(err)
	}
	key := record.AppendKey(nil, f.identity.number, []byte("0007"))
	if _, err := b.commit(ctx, "test", []change{{file: g, kind: rewrite, addr: key, data: []byte("0007z")}}); err != nil {
		t.Fatal(err)
	}
	if err := b.deleteFile(ctx, "test", "%s#d>main>a"); err != nil {
		t.Fatal(err)
	}
	if n := len(list(t, b, g, nil)); n != 0 {
		t.Errorf("%d records after the delete", n)
	}
	ship(t, b, a, sb)
	if _, err := a.file("%s#d>main>a"); !errors.Is(err, call.ObjectNotFound) {
		t.Errorf("deleted file: %v", err)
	}
	if got, want := fmt.Sprint(a.Account()), fmt.Sprint(b.Account()); got != want {
		t.Errorf("accounts differ:\n%s\n%s", got, want)
	}
	for _, s := range a.Account() {
		if s.Missing() != 0 {
			t.Errorf("account: %+v", s)
		}
	}
	// The same path again is another file, empty.
	if _, err := a.createFile(ctx, "test", "%s#d>main>a", call.OrgSequential, 0); err != nil {
		t.Fatal(err)
	}
	h, _ := a.file("%s#d>main>a")
	if h.id == f.id || h.life != 2 || h.recordCount() != 0 {
		t.Errorf("next life: %+v", h)
	}
}

func BenchmarkKeyedWrite(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			dir := b.TempDir()
			e := openEngineDir(b, dir)
			defer e.close(b)
			f := keyedFileOnly(b, e)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for c := range callers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					data := make([]byte, 108)
					for i := c; i < b.N; i += callers {
						copy(data, fmt.Sprintf("%08d", i))
						if _, err := e.commit(context.Background(), "bench", []change{{file: f, kind: insert, data: append([]byte(nil), data...)}}); err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

func openEngineDir(t testing.TB, dir string) *testEngine {
	db, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}, MemTableSize: 16 << 20, CacheSize: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(Config{DB: db, Journal: j, Clock: clock.New(nil, 0), Rules: newOneShare(1), Self: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &testEngine{e, db, j, nil}
}

func keyedFileOnly(t testing.TB, e *testEngine) *file {
	ctx := context.Background()
	if _, err := e.createFile(ctx, "test", "%s#d>main>b", call.OrgSequential, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := e.createIndex(ctx, "test", "%s#d>main>b", record.Index{Name: "id", Components: []record.Component{{Position: 1, Length: 8}}}); err != nil {
		t.Fatal(err)
	}
	f, _ := e.file("%s#d>main>b")
	return f
}
