package entry

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"drmesh/origin"
	"drmesh/origin/pack"
)

var update = flag.Bool("update", false, "write golden files")

func stream(m int) origin.Stream {
	return origin.Stream{Group: 1, Module: origin.Module(m), Incarnation: 1}
}

func dot(m, seq, index int) origin.OpDot {
	return origin.OpDot{Dot: origin.Dot{Stream: stream(m), Seq: origin.Seq(seq)}, Index: uint32(index)}
}

var (
	file  = origin.FileID{1, 2, 3, 15: 9}
	stamp = origin.MakeStamp(1_700_000_000_000, 2)
	key   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
)

// small is what most txns are: one record written.
func small() origin.Txn {
	return origin.Txn{Dot: dot(1, 300, 0).Dot, Stamp: stamp, Policy: 3, Process: "Bench_7",
		Ops: []origin.Operation{{Kind: origin.Write, File: file, Address: []byte("k\x00\x00\x00\x01abc"), Life: 1, Data: []byte("abc data")}}}
}

// full has every field.
func full() origin.Txn {
	old := origin.Birth{Stamp: origin.MakeStamp(1_600_000_000_000, 0), Dot: dot(3, 1, 70_000)}
	return origin.Txn{Dot: dot(2, 7, 0).Dot, Stamp: stamp, Policy: 3,
		Context: []origin.StreamSeq{{Stream: stream(1), Seq: 300}, {Stream: stream(3), Seq: 1 << 40}},
		Ops: []origin.Operation{
			{Kind: origin.Write, File: file, Address: []byte{'n', 0, 0, 0, 0, 0, 0, 0, 5}, Life: 2, Data: []byte{}, Birth: old},
			{Kind: origin.Delete, File: file, Address: []byte("k\x00\x00\x00\x01abc"), Life: 1, Birth: old, Unseen: []origin.OpDot{dot(1, 299, 0)}, Hidden: []origin.OpDot{dot(3, 2, 1)}},
			{Kind: origin.Truncate, File: file, Address: []byte{}},
		}}
}

func head() origin.Head {
	h := origin.Head{Stream: stream(1), Position: origin.Position{Seq: 300, Hash: stream(1).Genesis()}, Floor: stamp, Control: 12,
		Context: []origin.StreamPosition{{Stream: stream(2), Position: origin.Position{Seq: 7, Hash: stream(2).Genesis()}}}}
	SignHead(&h, key)
	return h
}

// TestGolden: the bytes of version 1, which docs/formats.md shows and any
// msgpack library reads.
func TestGolden(t *testing.T) {
	var text strings.Builder
	golden := map[string][]byte{}
	add := func(name string, b []byte) {
		golden[name] = b
		fmt.Fprintf(&text, "%s %x\n", name, b)
	}
	for name, txn := range map[string]origin.Txn{"entry": small(), "entry_full": full()} {
		b, err := Append(nil, &txn)
		if err != nil {
			t.Fatal(err)
		}
		golden[name] = b
		var got origin.Txn
		if err := Decode(b, txn.Dot, &got); err != nil {
			t.Fatal(err)
		}
		if len(txn.Context) == 0 {
			got.Context = nil
		}
		if !reflect.DeepEqual(got, txn) {
			t.Errorf("%s is read back as %+v\nwant %+v", name, got, txn)
		}
		var any []any
		if err := msgpack.Unmarshal(b, &any); err != nil || len(any) != 6 {
			t.Errorf("%s: a msgpack library reads %d elements: %v", name, len(any), err)
		}
	}
	add("entry", golden["entry"])
	add("entry_full", golden["entry_full"])
	h := head()
	add("head", AppendHead(nil, &h))
	add("genesis", h.Position.Hash[:])
	next := h.Position.Hash.Next(golden["entry"])
	add("next", next[:])
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

// TestSize: what a change of one keyed record of 100 bytes costs beside its
// data.
func TestSize(t *testing.T) {
	txn := small()
	txn.Process = ""
	txn.Ops[0].Address = append([]byte{'k', 1, 2, 3, 4}, "abcdefgh"...)
	txn.Ops[0].Data = make([]byte, 100)
	b, err := Append(nil, &txn)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b) - 100; n > 55 {
		t.Errorf("%d bytes beside the record's 100", n)
	}
}

// TestRefused: what is no entry of this version, and why.
func TestRefused(t *testing.T) {
	good := small()
	b, err := Append(nil, &good)
	if err != nil {
		t.Fatal(err)
	}
	change := func(fn func(b []byte) []byte) []byte { return fn(bytes.Clone(b)) }
	at := bytes.Index(b, []byte{0x91, 0x95}) + 2 // the kind of the operation
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrDamaged},
		{"half", b[:len(b)/2], ErrDamaged},
		{"bytes behind", append(bytes.Clone(b), 0), ErrDamaged},
		{"another version", change(func(b []byte) []byte { b[1] = 2; return b }), ErrUnknown},
		{"an unknown kind", change(func(b []byte) []byte { b[at] = 4; return b }), ErrUnknown},
		{"a kind of 0", change(func(b []byte) []byte { b[at] = 0; return b }), ErrUnknown},
		{"too few fields", change(func(b []byte) []byte { b[0] = 0x95; return b }), ErrDamaged},
		{"a lying count", append(bytes.Clone(b[:at-2]), 0xdd, 0x00, 0x3f, 0xff, 0xff), ErrDamaged},
	} {
		var txn origin.Txn
		if err := Decode(c.b, good.Dot, &txn); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestLaterFieldsAreSkipped: what a later writer appended to the entry and its
// operation is passed over.
func TestLaterFieldsAreSkipped(t *testing.T) {
	b := pack.AppendArray(nil, 7)
	b = pack.AppendUint(b, Version)
	b = pack.AppendUint(b, 5)
	b = pack.AppendUint(b, 1)
	b = pack.AppendString(b, "p")
	b = pack.AppendArray(b, 0)
	b = pack.AppendArray(b, 1)
	b = pack.AppendArray(b, 10)
	b = pack.AppendUint(b, uint64(origin.Delete))
	b = pack.AppendBytes(b, file[:])
	b = pack.AppendBytes(b, []byte("a"))
	b = pack.AppendUint(b, 1)
	b = pack.AppendNil(b)
	b = pack.AppendNil(b)
	b = pack.AppendArray(b, 0)
	b = pack.AppendArray(b, 0)
	b = pack.AppendArray(b, 0)
	b = pack.AppendString(b, "later, in the operation")
	b = pack.AppendString(b, "later, in the entry")
	var txn origin.Txn
	if err := Decode(b, dot(1, 1, 0).Dot, &txn); err != nil {
		t.Fatal(err)
	}
	if len(txn.Ops) != 1 || txn.Ops[0].Kind != origin.Delete || string(txn.Ops[0].Address) != "a" {
		t.Errorf("read %+v", txn.Ops)
	}
}

// TestHeadIsSigned: a head is its signer's, whole and as it was.
func TestHeadIsSigned(t *testing.T) {
	h := head()
	pub := key.Public().(ed25519.PublicKey)
	b := AppendHead(nil, &h)
	got, err := DecodeHead(b)
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Fatalf("read back %+v, %v", got, err)
	}
	if !VerifyHead(&got, pub) {
		t.Error("the signature does not verify")
	}
	for i := range b {
		x := bytes.Clone(b)
		x[i] ^= 1
		if got, err := DecodeHead(x); err == nil && VerifyHead(&got, pub) {
			t.Errorf("byte %d changed, and it verifies", i)
		}
	}
	if VerifyHead(&h, nil) || VerifyHead(&h, ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)) {
		t.Error("verifies with another key")
	}
}

// FuzzDecode: no bytes panic, or cost more memory than they deserve; what is
// read is written and read again alike.
func FuzzDecode(f *testing.F) {
	for _, txn := range []origin.Txn{small(), full(), {}} {
		b, err := Append(nil, &txn)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	h := head()
	f.Add(AppendHead(nil, &h))
	f.Add([]byte("\x96\x01\x05\x01\xa0\x90\xdd\x00\x3f\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var txn origin.Txn
		err := Decode(b, dot(1, 1, 0).Dot, &txn)
		head, herr := DecodeHead(b)
		runtime.ReadMemStats(&after)
		// An operation of 21 bytes becomes a value of some 200, and growing a
		// slice doubles it; 64 KiB are for what else runs meanwhile.
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10+64*uint64(len(b)) {
			t.Errorf("%d bytes of input cost %d", len(b), n)
		}
		if err == nil {
			again, err := Append(nil, &txn)
			if err != nil {
				t.Fatalf("read and not written: %v", err)
			}
			var twice origin.Txn
			if err := Decode(again, txn.Dot, &twice); err != nil {
				t.Fatal(err)
			}
			third, err := Append(nil, &twice)
			if err != nil || !bytes.Equal(again, third) {
				t.Errorf("written as %x, then as %x: %v", again, third, err)
			}
		}
		if herr == nil {
			if twice, err := DecodeHead(AppendHead(nil, &head)); err != nil || !reflect.DeepEqual(head, twice) {
				t.Errorf("head %+v becomes %+v: %v", head, twice, err)
			}
		}
	})
}
