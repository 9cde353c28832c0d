package vosio

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/vosio/call"
)

// TestLargeTransaction: 100,000 operations of 100 bytes on a keyed file, a
// relative file and a queue in one transaction, within 300 MB where the runtime
// is told to stay there; left to itself it keeps room for as much garbage as
// there is data.
func TestLargeTransaction(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	const ops, most = 100_000, 300 << 20
	ctx := context.Background()
	t.Chdir(t.TempDir())
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(most - 20<<20))
	e := openEngine(t, vfs.Default, 1, false)
	defer e.close(t)
	largeTransaction(ctx, t, e, ops, most)
}

func largeTransaction(ctx context.Context, t *testing.T, e *testEngine, ops int, most uint64) {
	p := e.NewProcess("large")
	defer p.Close()
	cl := call.Client{Caller: p}
	keyedFile(t, e, "%s#d>main>keyed")
	for path, org := range map[string]int{"%s#d>main>rel": call.OrgRelative, "%s#d>main>queue": call.OrgMsgQueue} {
		if err := cl.CreateFile(ctx, path, org, 100); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"keyed", "rel", "queue"} {
		if err := e.setAttribute(ctx, "large", "%s#d>main>"+path, attrTransaction, "1"); err != nil {
			t.Fatal(err)
		}
	}
	open := func(path string, access int) int {
		n, err := cl.OpenPath(ctx, "%s#d>main>"+path, call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: access})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	keyed, rel := open("keyed", call.Indexed), open("rel", call.Random)
	out, err := cl.OpenQueue(ctx, "%s#d>main>queue", call.Requester, 0)
	if err != nil {
		t.Fatal(err)
	}
	in, err := cl.OpenQueue(ctx, "%s#d>main>queue", call.Server, 0)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse+m.StackInuse))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	began := time.Now()
	if err := cl.Start(ctx); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for i := range ops {
		data := fmt.Appendf(nil, "%04x%c%095d", i/4, 'a'+i%7, i)
		var err error
		switch i % 4 {
		case 0:
			err = cl.KeyedWrite(ctx, keyed, data)
		case 1:
			_, err = cl.RelWrite(ctx, rel, 0, data)
		case 2:
			_, err = cl.Send(ctx, out, i%20, "", data)
		case 3:
			if i%40 == 3 {
				_, err = cl.Receive(ctx, in, "", true)
				taken++
			} else {
				err = cl.KeyedRewrite(ctx, keyed, nil, append(data[:5:5], fmt.Sprintf("%095d", i+1)...))
			}
		}
		if err != nil {
			t.Fatalf("operation %d: %v", i, err)
		}
	}
	staged, atStaged := time.Since(began), peak.Load()
	if err := cl.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	close(stop)
	<-stopped
	t.Logf("%d operations staged in %v, committed in %v more, at most %d and %d MiB in use", ops, staged.Round(time.Millisecond), (took - staged).Round(time.Millisecond), atStaged>>20, peak.Load()>>20)
	if peak.Load() > most && crashEvery == 1 {
		t.Errorf("%d MiB were in use", peak.Load()>>20)
	}
	want := map[string]int64{"keyed": int64(ops / 4), "rel": int64(ops / 4), "queue": int64(ops/4 - taken)}
	for path, n := range want {
		if i, err := e.Info("%s#d>main>" + path); err != nil || i.Records != n {
			t.Errorf("%s has %d records, %d expected: %v", path, i.Records, n, err)
		}
	}
}
