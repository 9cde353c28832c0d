package node

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// BenchmarkMirror writes at one module, mirrored to another of the same
// process, until the other has flushed it all.
func BenchmarkMirror(b *testing.B) {
	nodes := meshOf(b, "%east#m1", "%west#m1")
	ctx := context.Background()
	p := nodes[0].eng.NewProcess("drmesh")
	defer p.Close()
	c := call.Client{Caller: p}
	for i, run := range []struct {
		callers          int
		durability, keys string
	}{{1, "sync", "scattered"}, {64, "sync", "scattered"}, {64, "interval", "scattered"}, {64, "interval", "ascending"}} {
		b.Run(fmt.Sprintf("callers=%d/%s/%s", run.callers, run.durability, run.keys), func(b *testing.B) {
			tables := mainTables + " =durability " + run.durability + "\n"
			if _, err := (engine{nodes[0]}).ControlApply(ctx, admin.ControlChange{Timeout: 20 * time.Second, Text: tables}); err != nil {
				b.Fatal(err)
			}
			file := fmt.Sprintf("main:run%d%d", i, time.Now().UnixNano()%1000000)
			if err := c.CreateFile(ctx, file, call.OrgSequential, 0); err != nil {
				b.Fatal(err)
			}
			if err := c.CreateIndex(ctx, file, "key", []record.Component{{Position: 1, Length: 16}}, 0); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			r, err := engine{nodes[0]}.Bench(ctx, admin.BenchRequest{File: file, Callers: run.callers, Bytes: 100, Keys: run.keys, Count: int64(b.N), Peer: "%west#m1"})
			if err != nil {
				b.Fatal(err)
			}
			stream := nodes[0].rules.byName["main"].Stream
			for nodes[1].j.Durable().At(stream).Seq < nodes[0].j.Tail(stream).Seq {
				time.Sleep(time.Millisecond)
			}
			b.ReportMetric(r.AckedPerS, "acked/s")
		})
	}
}

// BenchmarkFiles are the calls of one program on a file of a million records
// with two indexes, under interval, with the store as a node has it.
func BenchmarkFiles(b *testing.B) {
	const records = 1_000_000
	n := meshOf(b, "%east#m1")[0]
	ctx := context.Background()
	if _, err := (engine{n}).ControlApply(ctx, admin.ControlChange{Timeout: 20 * time.Second, Text: mainTables + " =durability interval\n"}); err != nil {
		b.Fatal(err)
	}
	p := n.eng.NewProcess("drmesh")
	defer p.Close()
	c := call.Client{Caller: p}
	file := func(path string) {
		if err := errors.Join(c.CreateFile(ctx, path, call.OrgSequential, 0),
			c.CreateIndex(ctx, path, "key", []record.Component{{Position: 1, Length: 16}}, 0),
			c.CreateIndex(ctx, path, "kind", []record.Component{{Position: 17, Length: 2}}, call.IndexDuplicates)); err != nil {
			b.Fatal(err)
		}
	}
	run := func(b *testing.B, r admin.BenchRequest) int64 {
		b.Helper()
		r.Bytes = 100
		r.Callers = max(1, r.Callers)
		a, err := engine{n}.Bench(ctx, r)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(a.CPU, "cpu-us/op")
		b.ReportMetric(a.Allocs, "mallocs/op")
		b.ReportMetric(a.AllocBytes, "mallocB/op")
		b.ReportMetric(a.RSSMB, "rss-MB")
		return a.Last
	}
	file("main:hot")
	file("%east#d>own")
	last := run(b, admin.BenchRequest{File: "main:hot", Callers: 64, Keys: "ascending", Count: records})
	for _, r := range []admin.BenchRequest{
		{Call: "seq_read", Index: "key"}, {Call: "seq_read"}, {Call: "keyed_read", Index: "key"}, {Call: "keyed_read", Index: "key", Keys: "scattered"},
		{Call: "keyed_write"}, {Call: "keyed_write", File: "%east#d>own", OwnInterval: 10 * time.Millisecond},
	} {
		name := r.Call
		if r.Index != "" {
			name += " by " + r.Index
		}
		if r.Call == "keyed_read" && r.Keys == "" {
			name += " in order"
		}
		if r.File != "" {
			name += ", not shared"
		} else {
			r.File = "main:hot"
		}
		b.Run(name, func(b *testing.B) {
			r.Records, r.Count, r.First = records, int64(b.N), last
			if r.Keys == "" {
				r.Keys = "ascending"
			}
			last = max(last, run(b, r))
		})
	}
}
