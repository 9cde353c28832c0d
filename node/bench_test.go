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
// process.
func BenchmarkMirror(b *testing.B) {
	nodes := meshOf(b, "%east#m1", "%west#m1")
	ctx := context.Background()
	p := nodes[0].eng.NewProcess("drmesh")
	defer p.Close()
	c := call.Client{Caller: p}
	for i, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			file := fmt.Sprintf("main:run%d%d", i, time.Now().UnixNano()%1000000)
			if err := c.CreateFile(ctx, file, call.OrgSequential, 0); err != nil {
				b.Fatal(err)
			}
			if err := c.CreateIndex(ctx, file, "key", []record.Component{{Position: 1, Length: 16}}, 0); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			r, err := engine{nodes[0]}.Bench(ctx, admin.BenchRequest{File: file, Callers: callers, Bytes: 100, Keys: "scattered", Count: int64(b.N), Peer: "%west#m1"})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(r.AckedPerS, "acked/s")
		})
	}
}
