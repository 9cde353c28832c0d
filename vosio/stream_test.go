package vosio

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// TestWholeGolden: the bytes of what a stream file begins with, which
// docs/formats.md shows.
func TestWholeGolden(t *testing.T) {
	birth := origin.Birth{Stamp: origin.MakeStamp(1_700_000_000_000, 2), Dot: origin.OpDot{Dot: origin.Dot{Stream: origin.Stream{Module: 1, Incarnation: 1}, Seq: 300}, Index: 2}}
	w := &whole{generation: record.AppendBirth(nil, birth), length: 20, folded: []foldedTo{{1, 1, 300}}}
	b := w.append(nil)
	doc, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(strings.Fields(string(doc)), ""), hex.EncodeToString(b)) {
		t.Errorf("docs/formats.md does not show %x", b)
	}
	if got := decodeWhole(b); fmt.Sprint(got) != fmt.Sprint(w) {
		t.Errorf("read back as %v", got)
	}
	for n := range b {
		if got := decodeWhole(b[:n]); got.length != 0 && n < len(b)-16 {
			t.Errorf("%d bytes of it are read as %v", n, got)
		}
	}
}

// TestStreamIsWhatWasWritten writes at random into a stream file of many pages
// and holds it against a slice of bytes; a restart changes nothing.
func TestStreamIsWhatWasWritten(t *testing.T) {
	fs := vfs.NewMem()
	e := openEngine(t, fs, 1, true)
	ctx := context.Background()
	f, err := e.createFile(ctx, "test", "%s#d>main>stream", call.OrgStream, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var want []byte
	check := func(step int) {
		t.Helper()
		var got []byte
		if err := e.eachPiece(e.db, e.fileByID(f.id), func(b []byte) error { got = append(got, b...); return nil }); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) || e.fileByID(f.id).stat.bytes.Load() != int64(len(want)) {
			t.Fatalf("step %d: %d bytes, counted as %d, want %d", step, len(got), e.fileByID(f.id).stat.bytes.Load(), len(want))
		}
	}
	for step := range 150 {
		data := bytes.Repeat([]byte{byte('a' + step%26)}, 1+r.IntN(3000))
		switch off := r.IntN(len(want) + 1); {
		case step%3 != 0:
			if _, err := e.commit(ctx, "test", []change{{file: f, kind: insert, data: data}}); err != nil {
				t.Fatal(err)
			}
			want = append(want, data...)
		case step%15 == 0:
			overwrite(t, e, f, int64(off), nil, true)
			want = want[:off]
		default:
			overwrite(t, e, f, int64(off), data, false)
			want = append(want[:off:off], append(data, want[min(len(want), off+len(data)):]...)...)
		}
		check(step)
	}
	e.close(t)
	e = openEngine(t, fs, 1, true)
	defer e.close(t)
	check(-1)
	for _, s := range e.Account() {
		if s.Missing() != 0 {
			t.Errorf("account: %+v", s)
		}
	}
}
