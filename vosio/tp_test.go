package vosio

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/vosio/call"
)

// TestTransactionTime: a transaction that waits for a lock when its time is over
// waits no more, and what it held goes to who waits for that.
func TestTransactionTime(t *testing.T) {
	ctx := context.Background()
	e := openEngine(t, vfs.NewMem(), 1, false)
	defer e.close(t)
	open := func(name string) (call.Client, int) {
		p := e.NewProcess(name)
		t.Cleanup(func() { p.Close() })
		c := call.Client{Caller: p}
		port, err := c.OpenPath(ctx, "%s#d>main>r", call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Random})
		if err != nil {
			t.Fatal(err)
		}
		return c, port
	}
	if _, err := e.createFile(ctx, "test", "%s#d>main>r", call.OrgRelative, 20); err != nil {
		t.Fatal(err)
	}
	if err := e.setAttribute(ctx, "test", "%s#d>main>r", attrTransaction, "1"); err != nil {
		t.Fatal(err)
	}
	a, pa := open("a")
	b, pb := open("b")
	if _, err := a.SetTPParameter(ctx, call.TPLimit, 60); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{a.Start(ctx), b.Start(ctx)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.RelWrite(ctx, pa, 1, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.RelWrite(ctx, pb, 2, []byte("b")); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := a.RelWrite(ctx, pa, 2, []byte("a")); !errors.Is(err, call.TPAborted) || time.Since(began) > 30*time.Second {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	if _, err := b.RelWrite(ctx, pb, 1, []byte("b")); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(ctx); !errors.Is(err, call.TPAborted) {
		t.Fatal(err)
	}
	if err := a.Abort(ctx); err != nil {
		t.Fatal(err)
	}
	if p, err := a.SetTPParameter(ctx, call.TPNothing, 0); err != nil || p.LastAbort != "it lasted for more than 60/1024 s" {
		t.Errorf("%+v %v", p, err)
	}
	if n := e.LockCount(); n != 1 {
		t.Errorf("%d objects are locked, the opened file expected", n)
	}
}
