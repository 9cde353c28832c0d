package mesh_test

import (
	"fmt"
	"testing"
	"time"

	"drmesh/mesh/meshtest"
	"drmesh/origin"
)

// BenchmarkPullOfMany is BenchmarkPull of one stream of 500 that stand.
func BenchmarkPullOfMany(b *testing.B) {
	n := meshtest.NewNet()
	from, to := meshtest.NewModule(n, 1, 2), meshtest.NewModule(n, 2, 1)
	for _, m := range []*meshtest.Module{from, to} {
		m.Start()
		defer m.Stop()
	}
	defer n.Close()
	reach := func(g origin.Group, q int) {
		for end := time.Now().Add(time.Minute); int(to.At(meshtest.Stream(g, 1)).Seq) < q; time.Sleep(20 * time.Microsecond) {
			if time.Now().After(end) {
				b.Fatalf("%d of %d txns came", to.At(meshtest.Stream(g, 1)).Seq, q)
			}
		}
	}
	for g := range origin.Group(500) {
		from.Write(g+1, noise(1, 1, 150)...)
	}
	for g := range origin.Group(500) {
		reach(g+1, 1)
	}
	entry := noise(1, 1, 150)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		from.Write(1, entry...)
		reach(1, i+2)
	}
}

// BenchmarkPull moves txns of 150 bytes from one module to another, over a
// network in memory: session, frames, verification and credit, without journal,
// applier and QUIC. One op is one txn; they are written so many at a time.
func BenchmarkPull(b *testing.B) {
	for _, each := range []int{1, 16, 2000} {
		for _, lines := range []int{1, 2} {
			b.Run(fmt.Sprintf("batch=%d/links=%d", each, lines), func(b *testing.B) {
				n := meshtest.NewNet()
				n.Lines(1, 2, lines)
				from, to := meshtest.NewModule(n, 1, 2), meshtest.NewModule(n, 2, 1)
				for _, m := range []*meshtest.Module{from, to} {
					m.Start()
					defer m.Stop()
				}
				defer n.Close()
				s := meshtest.Stream(group, 1)
				reach := func(q int) {
					for end := time.Now().Add(time.Minute); int(to.At(s).Seq) < q; time.Sleep(20 * time.Microsecond) {
						if time.Now().After(end) {
							b.Fatalf("%d of %d txns came", to.At(s).Seq, q)
						}
					}
				}
				entries := noise(1, 2000, 150)
				from.Write(group, entries...)
				reach(len(entries))
				b.ReportAllocs()
				b.ResetTimer()
				done := 0
				for ; done < b.N; done += each {
					from.Write(group, entries[:each]...)
					reach(len(entries) + done - 20*each) // some are always under way
				}
				reach(len(entries) + done)
			})
		}
	}
}
