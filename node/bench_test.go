package node

import (
	"context"
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
