package vosio

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/origin"
	"drmesh/origin/journal"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// takeOver puts a's state over b's.
func takeOver(t testing.TB, a, b *testEngine) {
	t.Helper()
	snap := a.db.NewSnapshot()
	defer snap.Close()
	saved, err := journal.SavedIn(snap, 1)
	if err != nil {
		t.Fatal(err)
	}
	from, contexts := origin.Vector{}, map[origin.Stream]origin.Context{}
	for _, s := range saved {
		from[s.Stream], contexts[s.Stream] = s.Position, s.Context
	}
	var have origin.Vector
	in, err := b.BeginInstall(1, []string{"main"}, func(h origin.Vector, _ *pebble.Batch) error { have = h; return nil })
	if err != nil {
		t.Fatal(err)
	}
	// Nothing of the group is taken meanwhile, and what stands is not shown as
	// if it were all.
	if !b.isTaken("main") {
		t.Error("the share is being replaced, and read")
	}
	if err := b.Apply(context.Background(), &origin.Txn{Dot: origin.Dot{Stream: origin.Stream{Group: 1, Module: 9, Incarnation: 1}, Seq: 1}}, nil, false); err != errInstalling {
		t.Errorf("a remote txn while the group is replaced: %v", err)
	}
	if err := Export(snap, []string{"main"}, in.Put); err != nil {
		t.Fatal(err)
	}
	if err := in.Build(); err != nil {
		t.Fatal(err)
	}
	if err := in.Replay(have, from, contexts); err != nil {
		t.Fatal(err)
	}
	var pos []origin.StreamPosition
	err = in.Finish(func(batch *pebble.Batch) error {
		for _, s := range saved {
			if s.Position.Seq <= have[s.Stream].Seq {
				continue
			}
			if err := b.j.Adopt(batch, s.Stream, s.Position, s.Stamp, s.Context); err != nil {
				return err
			}
			pos = append(pos, origin.StreamPosition{Stream: s.Stream, Position: s.Position})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.j.MarkDurable(pos)
	if b.isTaken("main") {
		t.Error("the share is open again, and not read")
	}
}

// A module that has an index of its own takes over records that it refuses:
// they are parked, as if they had come one by one, also after a restart; and
// its own txns, that nobody else has, are kept.
func TestTakeOver(t *testing.T) {
	fs := vfs.NewMem()
	a, b := openEngine(t, vfs.NewMem(), 1, false), openEngine(t, fs, 2, false)
	defer a.close(t)
	ctx := context.Background()
	const path = "%s#d>main>k"
	keyedFile(t, a, path)
	sa, sb := origin.Stream{Group: 1, Module: 1, Incarnation: 1}, origin.Stream{Group: 1, Module: 2, Incarnation: 1}
	write := func(e *testEngine, data string) error {
		f, err := e.file(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.commit(ctx, "test", []change{{file: f, kind: insert, data: []byte(data)}})
		return err
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(write(a, "0001a one"))
	ship(t, a, b, sa)
	_, err := b.createIndex(ctx, "test", path, record.Index{Name: "here", Components: []record.Component{{Position: 5, Length: 1}}, Local: true})
	must(err)
	must(write(b, "0100x of b alone"))
	must(write(b, "0101y of b alone"))
	for i := range 4 {
		must(write(a, fmt.Sprintf("%04da more", i+2)))
	}
	must(write(a, "0100z of a, too"))
	takeOver(t, a, b)
	check := func() {
		t.Helper()
		l, err := b.ParkedList()
		must(err)
		if len(l) != 4 {
			t.Errorf("parked: %+v", l)
		}
		for _, s := range b.Account() {
			if s.Missing() != 0 || s.Stream == sb && s.Of(Written) != 2 || s.Stream == sa && s.Of(Parked) != 4 {
				t.Errorf("account %+v", s)
			}
		}
		i, err := b.Info(path)
		must(err)
		if i.Records != 3 { // one with kind a, b's two (its 0100 is the later one)
			t.Errorf("%d records are shown", i.Records)
		}
	}
	check()
	if err := write(b, "0102a refused"); call.CodeOf(err) != call.InvalidDuplicateKey {
		t.Errorf("a value that a shown record has: %v", err)
	}
	// b goes on, and a takes what b had and has.
	must(write(b, "0102w goes on"))
	ship(t, b, a, sb)
	i, err := a.Info(path)
	must(err)
	if i.Records != 8 {
		t.Errorf("%d records at a", i.Records)
	}
	b.close(t)
	b = openEngine(t, fs, 2, false)
	defer func() { b.close(t) }()
	l, err := b.ParkedList()
	must(err)
	if len(l) != 4 {
		t.Errorf("parked after a restart: %+v", l)
	}
	must(b.DropLocalIndex(ctx, path, "here"))
	if l, err := b.ParkedList(); err != nil || len(l) != 0 {
		t.Errorf("parked without the index: %+v, %v", l, err)
	}
}

// One that ends in the middle is begun again: what stands then is a part, and
// the journal has all that is to be kept.
func TestTakeOverAgain(t *testing.T) {
	fs := vfs.NewMem()
	a, b := openEngine(t, vfs.NewMem(), 1, false), openEngine(t, fs, 2, false)
	defer a.close(t)
	ctx := context.Background()
	const path = "%s#d>main>k"
	f := keyedFile(t, a, path)
	sa, sb := origin.Stream{Group: 1, Module: 1, Incarnation: 1}, origin.Stream{Group: 1, Module: 2, Incarnation: 1}
	add := func(e *testEngine, data string) {
		t.Helper()
		if _, err := e.commit(ctx, "test", []change{{file: f, kind: insert, data: []byte(data)}}); err != nil {
			t.Fatal(err)
		}
	}
	add(a, "0001a one")
	ship(t, a, b, sa)
	add(b, "0100x of b alone")
	for i := range 500 {
		add(a, fmt.Sprintf("%04da and some bytes more", i+1000))
	}
	tail := b.j.Tail(sb)
	for _, pages := range []int{0, 1} {
		in, err := b.BeginInstall(1, []string{"main"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = Export(a.db, []string{"main"}, func(page []byte) error {
			if n++; n > pages {
				return errStop
			}
			return in.Put(page)
		})
		if err != nil && err != errStop {
			t.Fatal(err)
		}
		// The committer refuses the group until the end.
		if _, err := b.commit(canceled(ctx), "test", []change{{file: f, kind: insert, data: []byte("0101y")}}); err == nil {
			t.Error("a write while the group is replaced")
		}
		b.close(t)
		b = openEngine(t, fs, 2, false)
		if got := b.j.Tail(sb); got != tail {
			t.Fatalf("the own stream stands at %v, was at %v", got, tail)
		}
	}
	defer func() { b.close(t) }()
	takeOver(t, a, b)
	for _, want := range []string{"0001", "0100", "1000", "1499"} {
		if _, ok, err := b.record(b.db, b.fileByID(f.id), record.AppendKey(nil, f.identity.number, []byte(want))); err != nil || !ok {
			t.Errorf("record %s: %v, %v", want, ok, err)
		}
	}
	if i, err := b.Info(path); err != nil || i.Records != 502 {
		t.Errorf("%d records, %v", i.Records, err)
	}
	for _, s := range b.Account() {
		if s.Missing() != 0 || s.Stream == sb && s.Of(Live) != 1 {
			t.Errorf("account %+v", s)
		}
	}
	add(b, "0102z goes on")
	ship(t, b, a, sb)
	if i, err := a.Info(path); err != nil || i.Records != 503 {
		t.Errorf("%d records at the other, %v", i.Records, err)
	}
}

// canceled is a context whose caller does not wait.
func canceled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// TestTakeOverOfEveryKind: indexes of every kind and stream files are derived
// from what a snapshot brings as they are where it was taken, and go on alike.
func TestTakeOverOfEveryKind(t *testing.T) {
	a, b := openEngine(t, vfs.NewMem(), 1, true), openEngine(t, vfs.NewMem(), 3, true)
	defer a.close(t)
	defer b.close(t)
	ctx := context.Background()
	f, k := keyedFile(t, a, "%s#d>main>a"), placesFile(t, a, "%s#d>main>keys")
	if _, err := a.createIndex(ctx, "test", "%s#d>main>a", record.Index{Name: "alias", Kind: record.IndexSeparate, Duplicates: true}); err != nil {
		t.Fatal(err)
	}
	f = a.fileByID(f.id)
	st, err := a.createFile(ctx, "test", "%s#d>main>stream", call.OrgStream, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.createFile(ctx, "test", "%s#d>main>queue", call.OrgMsgQueue, 0); err != nil {
		t.Fatal(err)
	}
	txns, entries := foreign(t, a, f)
	commit := func(chs ...change) []committed {
		t.Helper()
		out, err := a.commit(ctx, "test", chs)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := commit(change{file: f, kind: insert, data: []byte("0001a-one"), born: madeHere},
		change{file: f, kind: insert, addr: record.AppendEntry(nil, f.index("alias").number, []byte("x\x00y"), madeHere)})
	commit(change{file: f, kind: rewrite, addr: out[0].addr, data: []byte("0002a-moved")})
	for i := range 5 {
		made := keyed(t, a, k, fmt.Sprintf("n%d", i), "t", fmt.Sprintf("record %d", i))
		commit(change{file: k, kind: insert, addr: record.AppendItem(nil, k.index("item").number, []byte("i"), int32(i))})
		if i == 2 {
			commit(change{file: k, kind: remove, addr: made.addr})
		}
		commit(change{file: st, kind: insert, data: fmt.Appendf(nil, "line %d\n", i)})
	}
	overwrite(t, a, st, 2, []byte("X"), false)
	commit(change{file: st, kind: insert, data: []byte("end\n")})
	for i := range txns {
		if err := a.Apply(ctx, txns[i], entries[i], false); err != nil {
			t.Fatal(err)
		}
	}
	takeOver(t, a, b)
	same := func(when string) {
		t.Helper()
		// Holes are a module's own.
		strip := func(s string) string {
			var l []string
			for _, x := range strings.Split(s, "\n") {
				if !strings.Contains(x, deletedIndexName) {
					l = append(l, x)
				}
			}
			return strings.Join(l, "\n")
		}
		if got, want := strip(describe(t, b)), strip(describe(t, a)); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", when, got, want)
		}
	}
	same("taken over")
	keyed(t, a, k, "after", "t", "after")
	overwrite(t, a, st, 5, []byte("more"), false)
	commit(change{file: f, kind: remove, addr: record.AppendKey(nil, f.identity.number, []byte("0002"))})
	ship(t, a, b, origin.Stream{Group: 1, Module: 1, Incarnation: 1})
	same("after that")
}
