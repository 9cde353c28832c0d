package vosio

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// TestKeptScanner: a reader that keeps its scanner finds what anybody was told
// is written, in every order; what is not used is let go.
func TestKeptScanner(t *testing.T) {
	e := openEngineDir(t, t.TempDir())
	defer e.close(t)
	ctx := context.Background()
	const path = "%s#d>main>k"
	writer := e.NewProcess("writer")
	w := call.Client{Caller: writer}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.CreateFile(ctx, path, call.OrgSequential, 0))
	must(w.CreateIndex(ctx, path, "id", []record.Component{{Position: 1, Length: 4}}, 0))
	must(w.CreateIndex(ctx, path, "group", []record.Component{{Position: 5, Length: 1}}, call.IndexDuplicates))
	open := func(c call.Client, index string) int {
		t.Helper()
		port, err := c.OpenPath(ctx, path, call.OpenOptions{Org: call.OrgSequential, IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: index})
		must(err)
		return port
	}
	out := open(w, "id")
	reader := e.NewProcess("reader")
	c := call.Client{Caller: reader}
	ports := map[string]int{"id": open(c, "id"), "group": open(c, "group")}
	for i := range 40 {
		must(w.KeyedWrite(ctx, out, fmt.Appendf(nil, "%04d%d first", i, i%3)))
		for index, port := range ports {
			key := fmt.Appendf(nil, "%04d", i)
			if index == "group" {
				key = fmt.Appendf(nil, "%d", i%3)
			}
			if _, err := c.KeyedRead(ctx, port, index, key); err != nil {
				t.Fatalf("%s after write %d: %v", index, i, err)
			}
		}
		must(w.KeyedRewrite(ctx, out, fmt.Appendf(nil, "%04d", i), fmt.Appendf(nil, "%04d%d again", i, (i+1)%3)))
		got, err := c.KeyedRead(ctx, ports["id"], "id", fmt.Appendf(nil, "%04d", i))
		must(err)
		if string(got) != fmt.Sprintf("%04d%d again", i, (i+1)%3) {
			t.Fatalf("after rewrite %d: %q", i, got)
		}
		if i%5 == 4 {
			must(w.KeyedDelete(ctx, out, fmt.Appendf(nil, "%04d", i)))
			if _, err := c.KeyedRead(ctx, ports["id"], "id", fmt.Appendf(nil, "%04d", i)); call.CodeOf(err) != call.RecordNotFound {
				t.Fatalf("after delete %d: %v", i, err)
			}
		}
	}
	// In order, while somebody writes behind and before it: each record once.
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for n := 1000; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := w.KeyedWrite(ctx, out, fmt.Appendf(nil, "%04d9 more", n)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 20 {
		must(c.SeqPosition(ctx, ports["id"], call.PosBeginning, 0))
		last := ""
		for range 32 {
			got, err := c.SeqRead(ctx, ports["id"])
			must(err)
			if string(got) <= last {
				t.Fatalf("%q after %q", got, last)
			}
			last = string(got)
		}
	}
	close(stop)
	wg.Wait()
	must(c.SeqPosition(ctx, ports["id"], call.PosBeginning, 0))
	_, err := c.SeqRead(ctx, ports["id"])
	must(err)
	if e.keeps.Load() == 0 {
		t.Error("nothing is kept")
	}
	e.sweep()
	e.sweep()
	if n := e.keeps.Load(); n != 0 {
		t.Errorf("%d are kept, unused", n)
	}
	if got, err := c.SeqRead(ctx, ports["id"]); err != nil || string(got) != "00012 again" {
		t.Errorf("after that: %q, %v", got, err)
	}
}
