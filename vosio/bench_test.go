package vosio

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// benchFile makes a keyed file of n records of 100 bytes with two indexes, and
// opens it.
func benchFile(b *testing.B, e *testEngine, path string, n int) (call.Client, int) {
	b.Helper()
	ctx := context.Background()
	p := e.NewProcess("bench")
	b.Cleanup(func() { p.Close() })
	c := call.Client{Caller: p}
	if err := c.CreateFile(ctx, path, call.OrgSequential, 0); err != nil {
		b.Fatal(err)
	}
	if err := c.CreateIndex(ctx, path, "id", []record.Component{{Position: 1, Length: 8}}, 0); err != nil {
		b.Fatal(err)
	}
	if err := c.CreateIndex(ctx, path, "group", []record.Component{{Position: 9, Length: 2}}, call.IndexDuplicates); err != nil {
		b.Fatal(err)
	}
	port, err := c.OpenPath(ctx, path, call.OpenOptions{Org: call.OrgSequential, IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"})
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		if err := c.KeyedWrite(ctx, port, benchRecord(i)); err != nil {
			b.Fatal(err)
		}
	}
	return c, port
}

func benchRecord(i int) []byte {
	rec := make([]byte, 100)
	copy(rec, fmt.Sprintf("%08d%02d", i, i%97))
	return rec
}

// BenchmarkCalls are the calls of one program on a hot file, under interval.
func BenchmarkCalls(b *testing.B) {
	const records = 100_000
	e := openEngineDir(b, b.TempDir())
	defer e.close(b)
	e.cfg.Rules.(oneShare).s.Interval = 10 * time.Millisecond
	ctx := context.Background()
	c, port := benchFile(b, e, "%s#d>main>hot", records)
	if err := e.db.Compact(ctx, []byte{0}, []byte{0xff}, false); err != nil {
		b.Fatal(err)
	}
	key := make([]byte, 8)
	b.Run("keyed_read", func(b *testing.B) {
		rng := rand.New(rand.NewPCG(1, 2))
		b.ReportAllocs()
		for b.Loop() {
			n := rng.IntN(records)
			for i := 7; i >= 0; i-- {
				key[i] = byte('0' + n%10)
				n /= 10
			}
			if _, err := c.KeyedRead(ctx, port, "id", key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("seq_read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := c.SeqRead(ctx, port)
			if call.CodeOf(err) == call.EndOfFile {
				err = c.SeqPosition(ctx, port, call.PosBeginning, 0)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	next := records
	b.Run("keyed_write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := c.KeyedWrite(ctx, port, benchRecord(next)); err != nil {
				b.Fatal(err)
			}
			next++
		}
	})
	c, port = benchFile(b, e, "%s#cold", 0)
	b.Run("keyed_write, not shared", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := c.KeyedWrite(ctx, port, benchRecord(next)); err != nil {
				b.Fatal(err)
			}
			next++
		}
	})
}
