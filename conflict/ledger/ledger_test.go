package ledger

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/vmihailenco/msgpack/v5"

	"drmesh/conflict"
	"drmesh/origin"
)

var update = flag.Bool("update", false, "write golden files")

func dot(m, seq int) origin.OpDot {
	return origin.OpDot{Dot: origin.Dot{Stream: origin.Stream{Group: 1, Module: origin.Module(m), Incarnation: 1}, Seq: origin.Seq(seq)}}
}

func version(m, seq int, ms uint64, data string) origin.Version {
	v := origin.Version{Dot: dot(m, seq), Stamp: origin.MakeStamp(ms, 0), Policy: 3, Life: 1, Data: []byte(data)}
	v.Birth = origin.Birth{Stamp: v.Stamp, Dot: v.Dot}
	return v
}

var file = origin.FileID{1, 2, 3, 15: 9}

func entryOf(addr string, loser, winner origin.Version, s conflict.State) conflict.Entry {
	return conflict.Entry{ID: conflict.EntryID(file, []byte(addr), loser.Dot), State: s, Loser: loser, Winner: winner, By: winner.Dot}
}

func golden() *Entry {
	gone := version(2, 7, 1_700_000_000_500, "")
	gone.Tombstone, gone.Data, gone.Life = true, nil, 2
	gone.Birth = origin.Birth{Stamp: origin.MakeStamp(1_600_000_000_000, 4), Dot: dot(3, 1)}
	e := &Entry{Entry: entryOf("k\x00\x00\x00\x01abc", version(1, 300, 1_700_000_000_000, "lost\x00bytes\xff"), gone, conflict.Superseded),
		File: file, Address: []byte("k\x00\x00\x00\x01abc"),
		Facts: Facts{Share: "orders", Stamp: gone.Stamp, Policy: 3, Process: "Bench_7", Rule: "latest"}}
	return e
}

// TestGolden: the bytes of the format, which any msgpack library reads.
func TestGolden(t *testing.T) {
	b := AppendEntry(nil, golden())
	const name = "testdata/entry.golden"
	text := hex.EncodeToString(b) + "\n"
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("entry is\n%swant\n%s", text, want)
	}
	doc, err := os.ReadFile("../../docs/formats/ledger.md")
	if err != nil || !strings.Contains(strings.NewReplacer("\n", "", " ", "").Replace(string(doc)), strings.TrimSpace(string(want))) {
		t.Errorf("docs/formats/ledger.md does not show the golden bytes: %v", err)
	}
	var e Entry
	if err := DecodeEntry(b, &e); err != nil {
		t.Fatal(err)
	}
	if g := golden(); !reflect.DeepEqual(&e, g) {
		t.Errorf("read back %+v\nwant %+v", &e, g)
	}
	var any []any
	if err := msgpack.Unmarshal(b, &any); err != nil || len(any) != fields {
		t.Errorf("a msgpack library reads %d elements: %v", len(any), err)
	}
}

// TestUnknown: what a later version appends is skipped; another format, cut
// and altered bytes are refused, and nothing panics.
func TestUnknown(t *testing.T) {
	b := AppendEntry(nil, golden())
	more := append([]byte{}, b...)
	more[0]++ // fixarray of one more
	more = append(more, 0x82, 0xa1, 'a', 0x01, 0xa1, 'b', 0x92, 0xc0, 0xc3)
	var e Entry
	if err := DecodeEntry(more, &e); err != nil || !reflect.DeepEqual(&e, golden()) {
		t.Errorf("with one element more: %v", err)
	}
	for n := range b {
		if err := DecodeEntry(b[:n], &e); !errors.Is(err, ErrEntry) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	if err := DecodeEntry(append(b, 0), &e); !errors.Is(err, ErrEntry) {
		t.Errorf("a byte too many: %v", err)
	}
	other := append([]byte{}, b...)
	other[1] = 9
	if err := DecodeEntry(other, &e); !errors.Is(err, ErrEntry) || !strings.Contains(err.Error(), "format 9") {
		t.Errorf("another format: %v", err)
	}
	for i := range b {
		for _, x := range []byte{0xff, 0xc1, 0xdd, 0xc6} {
			c := append([]byte{}, b...)
			c[i] = x
			_ = DecodeEntry(c, &e)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(AppendEntry(nil, golden()))
	f.Add([]byte{0x9e, 1, 2, 0xc6, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Entry
		if DecodeEntry(b, &e) != nil {
			return
		}
		var again Entry
		if err := DecodeEntry(AppendEntry(nil, &e), &again); err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("not stable: %v\n%+v\n%+v", err, e, again)
		}
	})
}

func open(t *testing.T, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

func commit(t *testing.T, db *pebble.DB, writes []KV) {
	t.Helper()
	b := db.NewBatch()
	if err := Apply(b, writes); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, r pebble.Reader, f Filter) (out []string) {
	t.Helper()
	if err := Ls(r, f, func(e *Entry) bool {
		out = append(out, fmt.Sprintf("%v m%d:%d %s", e.State, e.Loser.Dot.Module, e.Loser.Dot.Seq, e.Facts.Share))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSurvivesCrash: what was committed with a batch is read back byte for
// byte from a file system that lost all that was not synced; what was not
// synced is there whole or not at all.
func TestSurvivesCrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := open(t, fs)
	data := make([]byte, 256)
	for i := range data {
		data[i] = byte(i)
	}
	lost := version(1, 1, 1000, string(data))
	f := Facts{Share: "orders", Stamp: 7, Policy: 2, Process: "p"}
	commit(t, db, Writes(nil, file, []byte("n\x00\x01"), []conflict.Entry{entryOf("n\x00\x01", lost, version(2, 1, 2000, "won"), conflict.Open)}, f))
	b := db.NewBatch()
	late := version(3, 1, 3000, "late")
	if err := Apply(b, Writes(nil, file, []byte("x"), []conflict.Entry{entryOf("x", late, version(2, 2, 4000, "w"), conflict.Open)}, f)); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	for _, keep := range []int{0, 50, 100} {
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(1, uint64(keep)))})
		db := open(t, crashed)
		e, err := Get(db, conflict.EntryID(file, []byte("n\x00\x01"), lost.Dot))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(e.Loser.Data, data) || string(e.Winner.Data) != "won" || e.Facts != f {
			t.Errorf("read back %+v", e)
		}
		if _, err := Get(db, conflict.EntryID(file, []byte("x"), late.Dot)); err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("half an entry: %v", err)
		}
		if n := len(list(t, db, Filter{})); n != 1 && n != 2 {
			t.Errorf("%d entries", n)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestLedger goes through the life of entries and the ways to list them.
func TestLedger(t *testing.T) {
	db := open(t, vfs.NewMem())
	defer db.Close()
	a, b, c := version(1, 1, 300, "a"), version(2, 1, 100, "b"), version(3, 1, 200, "c")
	w := version(4, 1, 900, "w")
	orders, lines := Facts{Share: "orders"}, Facts{Share: "lines"}
	commit(t, db, Writes(nil, file, []byte("1"), []conflict.Entry{entryOf("1", a, w, conflict.Open), entryOf("1", b, w, conflict.Open)}, orders))
	commit(t, db, Writes(nil, origin.FileID{2}, []byte("1"), []conflict.Entry{entryOf("1", c, w, conflict.Open)}, lines))
	for _, x := range []struct {
		name string
		f    Filter
		want []string
	}{
		{"all, in the order of stamps", Filter{}, []string{"open m2:1 orders", "open m3:1 lines", "open m1:1 orders"}},
		{"a share", Filter{Share: "orders"}, []string{"open m2:1 orders", "open m1:1 orders"}},
		{"a file", Filter{File: origin.FileID{2}}, []string{"open m3:1 lines"}},
		{"a state", Filter{States: []conflict.State{conflict.Superseded, conflict.Closed}}, nil},
		{"behind one", Filter{After: Cursor{b.Stamp, conflict.EntryID(file, []byte("1"), b.Dot)}}, []string{"open m3:1 lines", "open m1:1 orders"}},
	} {
		if got := list(t, db, x.f); !slices.Equal(got, x.want) {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
	if err := Ls(db, Filter{}, func(*Entry) bool { return false }); err != nil {
		t.Error(err)
	}
	ida := conflict.EntryID(file, []byte("1"), a.Dot)
	if _, _, err := Close(db, ida, "pat", 5); !errors.Is(err, ErrState) {
		t.Errorf("an open one was closed: %v", err)
	}
	// a is superseded, b shown again.
	commit(t, db, Writes(nil, file, []byte("1"), []conflict.Entry{entryOf("1", a, w, conflict.Superseded), entryOf("1", b, w, conflict.Withdrawn)}, orders))
	if got := list(t, db, Filter{Share: "orders"}); !slices.Equal(got, []string{"superseded m1:1 orders"}) {
		t.Errorf("%q", got)
	}
	if _, err := Get(db, conflict.EntryID(file, []byte("1"), b.Dot)); !errors.Is(err, ErrNotFound) {
		t.Errorf("a withdrawn entry stands: %v", err)
	}
	kv, counts, err := Close(db, ida, "pat", origin.MakeStamp(777, 0))
	if err != nil {
		t.Fatal(err)
	}
	commit(t, db, kv)
	if len(counts) != 2 || counts[0].Class != conflict.ClassSuperseded || counts[0].Delta != -1 || counts[1].Class != conflict.ClassClosed || counts[1].Delta != 1 {
		t.Errorf("counts %v", counts)
	}
	e, err := Get(db, ida)
	if err != nil || e.State != conflict.Closed || e.ClosedBy != "pat" || e.ClosedAt.Millis() != 777 || string(e.Loser.Data) != "a" {
		t.Errorf("closed entry %+v: %v", e, err)
	}
	if _, _, err := Close(db, ida, "pat", 5); !errors.Is(err, ErrState) {
		t.Errorf("closed twice: %v", err)
	}
	if id, err := Find(db, ida.String()[:6]); err != nil || id != ida {
		t.Errorf("found %v: %v", id, err)
	}
	for _, s := range []string{"", "abc", "zzzz", "0000", ida.String() + "00"} {
		if _, err := Find(db, s); err == nil {
			t.Errorf("found %q", s)
		}
	}
	// Damage is an error that names the place, not a panic or a silence.
	if err := db.Set(entryKey(50, ida), []byte{0x9e, 1}, nil); err != nil {
		t.Fatal(err)
	}
	if err := Ls(db, Filter{}, func(*Entry) bool { return true }); !errors.Is(err, ErrEntry) || !strings.Contains(err.Error(), "6365") {
		t.Errorf("damage: %v", err)
	}
}
