package record

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"drmesh/origin"
)

var update = flag.Bool("update", false, "write golden files")

func dot(m, seq, index int) origin.OpDot {
	return origin.OpDot{Dot: origin.Dot{Stream: origin.Stream{Group: 1, Module: origin.Module(m), Incarnation: 1}, Seq: origin.Seq(seq)}, Index: uint32(index)}
}

var (
	stamp = origin.MakeStamp(1_700_000_000_000, 2)
	birth = origin.Birth{Stamp: stamp, Dot: dot(1, 300, 2)}
	born  = origin.Version{Dot: birth.Dot, Stamp: stamp, Policy: 3, Life: 1, Birth: birth, Data: []byte("abc data")}
	rest  = origin.Version{Dot: dot(2, 7, 0), Stamp: stamp + 1<<16, Policy: 4, Life: 1, Birth: birth, Data: []byte{}}
	gone  = origin.Version{Dot: dot(3, 9, 1), Stamp: stamp + 2<<16, Policy: 4, Life: 2, Birth: birth, Tombstone: true}
)

var sets = []struct {
	name string
	set  []origin.Version
}{
	{"set_born", []origin.Version{born}},
	{"set_of_three", []origin.Version{gone, born, rest}},
}

// TestGolden: the stored bytes of version 1, which docs/formats.md shows.
func TestGolden(t *testing.T) {
	var text strings.Builder
	golden := map[string][]byte{}
	add := func(name string, b []byte) {
		golden[name] = b
		fmt.Fprintf(&text, "%s %x\n", name, b)
	}
	for _, c := range sets {
		b := AppendSet(nil, c.set)
		add(c.name, b)
		got, err := DecodeSet(nil, b)
		if err != nil || !reflect.DeepEqual(got, c.set) {
			t.Errorf("%s is read back as %+v, %v", c.name, got, err)
		}
	}
	f := NewFileID("main", "dir>orders", 1, 3, 0)
	add("file_id", f[:])
	cat := CatalogID("main")
	add("catalog_id", cat[:])
	number := IndexNumber("key")
	add("index_number", number[:])
	add("address_number", AppendNumber(nil, 5))
	add("address_birth", AppendBorn(nil, birth))
	add("address_key", AppendKey(nil, number, []byte("abc")))
	add("address_entry", AppendEntry(nil, number, []byte("abc"), birth))
	add("address_item", AppendItem(nil, number, []byte("abc"), -2))
	add("sorted", AppendSorted(nil, []byte("a\x00b"), true))
	add("address_page", binary.BigEndian.AppendUint64(AppendBirth([]byte{KindPage}, birth), 3))
	add("address_kept", AppendBirth([]byte{KindKept}, origin.Birth{Dot: birth.Dot}))
	add("address_claim", CatalogAddress(KindClaim, f, ""))
	add("address_attribute", CatalogAddress(KindAttribute, f, "layout"))
	add("address_directory", DirectoryAddress("dir>sub"))
	const name = "testdata/golden.txt"
	if *update {
		if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("golden bytes are\n%swant\n%s", &text, want)
	}
	doc, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := strings.Join(strings.Fields(string(doc)), "")
	for name, b := range golden {
		if !strings.Contains(shown, hex.EncodeToString(b)) {
			t.Errorf("docs/formats.md does not show the golden bytes of %s", name)
		}
	}
}

// TestOrder: addresses of one kind sort as what they stand for.
func TestOrder(t *testing.T) {
	sorted := func(name string, l ...[]byte) {
		if !slices.IsSortedFunc(l, bytes.Compare) {
			t.Errorf("%s are out of order: %x", name, l)
		}
	}
	sorted("numbers", AppendNumber(nil, 1), AppendNumber(nil, 2), AppendNumber(nil, 256), AppendNumber(nil, math.MaxUint64))
	var births [][]byte
	for _, b := range []origin.Birth{
		{Stamp: 1, Dot: dot(9, 9, 9)}, {Stamp: 2, Dot: dot(1, 9, 0)}, {Stamp: 2, Dot: dot(2, 1, 0)},
		{Stamp: 2, Dot: dot(2, 1, 256)}, {Stamp: 2, Dot: dot(2, 300, 0)}, {Stamp: 256, Dot: dot(1, 1, 0)},
	} {
		births = append(births, AppendBorn(nil, b))
	}
	sorted("births", births...)
	if n, ok := Number(AppendNumber(nil, 1<<40)); !ok || n != 1<<40 {
		t.Errorf("number read back: %d, %v", n, ok)
	}
	for _, a := range [][]byte{nil, {KindNumber}, AppendBorn(nil, birth), append(AppendNumber(nil, 1), 0)} {
		if _, ok := Number(a); ok {
			t.Errorf("%x is read as a number", a)
		}
	}
}

// TestKeyOf: a key is the components joined, with blanks for what a short
// record does not have.
func TestKeyOf(t *testing.T) {
	x := Index{Name: "k", Components: []Component{{Position: 3, Length: 3}, {Position: 1, Length: 2}}}
	for rec, want := range map[string]string{"ABCDEFG": "CDEAB", "ABCD": "CD AB", "A": "   A ", "": "     "} {
		if got := string(x.AppendKeyOf(nil, []byte(rec))); got != want {
			t.Errorf("key of %q is %q, want %q", rec, got, want)
		}
	}
	for _, bad := range []Index{
		{}, {Name: "k"}, {Name: strings.Repeat("n", 33), Components: x.Components},
		{Name: "k", Components: []Component{{Position: 0, Length: 1}}},
		{Name: "k", Components: []Component{{Position: 1, Length: origin.MaxKey + 1}}},
		{Name: "k", Components: []Component{{Position: origin.MaxRecord, Length: 2}}},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v is let through", bad)
		}
	}
	if err := x.Check(); err != nil {
		t.Error(err)
	}
}

// TestFileIDs: another share, path, life or shape is another file, and no two
// of the parts run together.
func TestFileIDs(t *testing.T) {
	seen := map[origin.FileID]string{}
	for _, c := range []struct {
		share, rel string
		life       uint32
		org, size  int
	}{
		{"main", "a", 1, 3, 0}, {"other", "a", 1, 3, 0}, {"main", "b", 1, 3, 0}, {"main", "a", 2, 3, 0},
		{"main", "a", 1, 1, 0}, {"main", "a", 1, 3, 80}, {"mai", "na", 1, 3, 0}, {"", "maina", 1, 3, 0},
	} {
		id := NewFileID(c.share, c.rel, c.life, c.org, c.size)
		if other, had := seen[id]; had {
			t.Errorf("%v has the id of %s", c, other)
		}
		seen[id] = fmt.Sprint(c)
	}
}

// FuzzDecodeSet: no bytes panic; what is read is written alike.
func FuzzDecodeSet(f *testing.F) {
	for _, c := range sets {
		f.Add(AppendSet(nil, c.set))
	}
	f.Add([]byte{SetFormat, 0})
	f.Add([]byte{SetFormat, 0xff, 0xff, 0x03, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := DecodeSet(nil, b)
		if err != nil {
			return
		}
		again, err := DecodeSet(nil, AppendSet(nil, set))
		if err != nil || !reflect.DeepEqual(set, again) {
			t.Errorf("%+v becomes %+v: %v", set, again, err)
		}
	})
}
