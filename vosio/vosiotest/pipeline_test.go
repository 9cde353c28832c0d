package vosiotest

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin/clock"
	"drmesh/origin/journal"
	"drmesh/vosio"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
	"drmesh/vosio/socket"
)

// BenchmarkSocketWrite adds records over one connection, with so many calls
// under way; each is flushed before its answer.
func BenchmarkSocketWrite(b *testing.B) {
	for _, ahead := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("ahead=%d", ahead), func(b *testing.B) {
			ctx := context.Background()
			dir := b.TempDir()
			db, err := pebble.Open(filepath.Join(dir, "db"), &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: silent{}, MemTableSize: 16 << 20})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			j, err := journal.Open(db)
			if err != nil {
				b.Fatal(err)
			}
			eng, err := vosio.Open(vosio.Config{DB: db, Journal: j, Clock: clock.New(nil, 0), Rules: newMainShare(1), Self: 1, Name: "%s#m1", Decide: latest})
			if err != nil {
				b.Fatal(err)
			}
			defer eng.Close()
			if err := eng.MakeDirs(ctx, root); err != nil {
				b.Fatal(err)
			}
			sock := filepath.Join(dir, "s")
			srv, err := socket.Serve(sock, func(name string, _ socket.Cred) socket.Process { return eng.NewProcess(name) }, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer srv.Close()
			conn, err := socket.Dial(ctx, sock, "bench")
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			c := call.Client{Caller: conn}
			if err := c.CreateFile(ctx, root+">f", call.OrgSequential, 0); err != nil {
				b.Fatal(err)
			}
			if err := c.CreateIndex(ctx, root+">f", "id", []record.Component{{Position: 1, Length: 8}}, 0); err != nil {
				b.Fatal(err)
			}
			port, err := c.OpenPath(ctx, root+">f", call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"})
			if err != nil {
				b.Fatal(err)
			}
			room := make(chan struct{}, ahead)
			data := make([]byte, 108)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				room <- struct{}{}
				copy(data, fmt.Sprintf("%08d", i))
				rep := new(call.Reply)
				if err := conn.Go(ctx, &call.Request{Call: "s$keyed_write", Port: port, Data: data}, rep, func(err error) {
					if err != nil || rep.Code != 0 {
						b.Error(err, rep.Code)
					}
					<-room
				}); err != nil {
					b.Fatal(err)
				}
			}
			for range ahead {
				room <- struct{}{}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}
