package vosio

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/vosio/call"
)

// TestHotReadsSeeWhatWasAnswered rewrites records that others read by key all
// the while: none sees less than what was answered before, nor goes back.
func TestHotReadsSeeWhatWasAnswered(t *testing.T) {
	e := openEngine(t, vfs.NewMem(), 1, false)
	defer e.close(t)
	e.cfg.Rules.(oneShare).s.Interval = time.Millisecond
	f := keyedFile(t, e, "%s#d>main>hot")
	ctx := context.Background()
	const records, rewrites = 4, 800
	open := func(io int) (call.Client, int, *Process) {
		p := e.NewProcess("test")
		c := call.Client{Caller: p}
		port, err := c.OpenPath(ctx, "%s#d>main>hot", call.OpenOptions{IO: io, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"})
		if err != nil {
			t.Error(err)
		}
		return c, port, p
	}
	c, port, p := open(call.Update)
	defer p.Close()
	for i := range records {
		if err := c.KeyedWrite(ctx, port, fmt.Appendf(nil, "%04d0%d", i, 0)); err != nil {
			t.Fatal(err)
		}
	}
	var answered [records]atomic.Int64
	var over atomic.Bool
	var readers, begun sync.WaitGroup
	begun.Add(3)
	for range 3 {
		readers.Go(func() {
			c, port, p := open(call.Input)
			defer p.Close()
			var last [records]int64
			once := sync.OnceFunc(begun.Done)
			defer once()
			for n := 0; !over.Load() && !t.Failed(); n++ {
				i := n % records
				least := max(last[i], answered[i].Load())
				b, err := c.KeyedRead(ctx, port, "id", fmt.Appendf(nil, "%04d", i))
				once()
				if err != nil {
					t.Error(err)
					return
				}
				if last[i], err = strconv.ParseInt(string(b[5:]), 10, 64); err != nil || last[i] < least {
					t.Errorf("record %d is %q (%v) after %d", i, b, err, least)
				}
			}
		})
	}
	begun.Wait()
	for n := int64(1); n <= rewrites && !t.Failed(); n++ {
		i := n % records
		if err := c.KeyedRewrite(ctx, port, fmt.Appendf(nil, "%04d", i), fmt.Appendf(nil, "%04d0%d", i, n)); err != nil {
			t.Fatal(err)
		}
		answered[i].Store(n)
	}
	over.Store(true)
	readers.Wait()
	if f.stat.hot.Load() == 0 {
		t.Error("nothing was kept")
	}
	// What is deleted is not found, and what comes in its place is.
	key := []byte("0001")
	if err := c.KeyedDelete(ctx, port, key); err != nil {
		t.Fatal(err)
	}
	if b, err := c.KeyedRead(ctx, port, "id", key); call.CodeOf(err) != call.RecordNotFound {
		t.Errorf("a deleted record is read: %q, %v", b, err)
	}
	if err := c.KeyedWrite(ctx, port, []byte("00010new")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if b, err := c.KeyedRead(ctx, port, "id", key); err != nil || string(b) != "00010new" {
			t.Errorf("the new record: %q, %v", b, err)
		}
	}
	if err := c.Close(ctx, port); err != nil {
		t.Fatal(err)
	}
	if err := e.truncateFile(ctx, "test", "%s#d>main>hot"); err != nil {
		t.Fatal(err)
	}
	c, port, p = open(call.Input)
	defer p.Close()
	if b, err := c.KeyedRead(ctx, port, "id", key); call.CodeOf(err) != call.RecordNotFound {
		t.Errorf("a record of a truncated file is read: %q, %v", b, err)
	}
}

// TestHotRing puts more in than there is room for: what is found is what was
// put in last, or nothing.
func TestHotRing(t *testing.T) {
	e := &Engine{}
	defer e.endHot()
	f := &file{stat: &fileStat{}}
	at := e.moment(f)
	value := func(i int) []byte { return append(make([]byte, 4000), fmt.Sprint(i)...) }
	hash := func(i int) uint64 { return uint64(i+1) * 0x9e3779b97f4a7c15 }
	const n = 2 * hotBytes / 4016
	found := 0
	for i := range n {
		e.putHot(f, hash(i), value(i), at)
		for _, j := range []int{i, i / 2} {
			if v, ok := e.getHot(nil, f, hash(j)); ok {
				if string(v) != string(value(j)) {
					t.Fatalf("after %d: %d gives %q", i, j, v[4000:])
				}
				found++
			} else if j == i {
				t.Fatalf("%d is not found", i)
			}
		}
	}
	if v, ok := e.getHot(nil, f, hash(0)); ok {
		t.Errorf("the first is still there after twice the room: %q", v[4000:])
	}
	if found < n+n/4 {
		t.Errorf("%d found of %d", found, 2*n)
	}
	e.dropHot(hash(n - 1))
	if _, ok := e.getHot(nil, f, hash(n-1)); ok {
		t.Error("what was taken out is there")
	}
	f.stat.generation.Add(1)
	if e.putHot(f, hash(n-1), value(n-1), at); found > 0 {
		if _, ok := e.getHot(nil, f, hash(n-1)); ok {
			t.Error("what was read before a change went in after it")
		}
	}
	e.epoch.Add(1)
	if _, ok := e.getHot(nil, f, hash(n-2)); ok {
		t.Error("it has what it had before the epoch")
	}
}
