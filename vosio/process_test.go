package vosio

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio/call"
)

// openPort gives a client of a program, and its port on a file.
func openPort(t testing.TB, e *testEngine, path string, o call.OpenOptions) (call.Client, int) {
	t.Helper()
	p := e.NewProcess("test")
	t.Cleanup(func() { p.Close() })
	c := call.Client{Caller: p}
	port, err := c.OpenPath(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return c, port
}

// A program may use its buffers again as soon as a call is over, and change
// what a read gave it.
func TestCallersOwnTheirBuffers(t *testing.T) {
	e := openEngine(t, vfs.NewMem(), 1, false)
	t.Cleanup(func() { e.close(t) })
	ctx := context.Background()
	f := keyedFile(t, e, "%s#d>main>a")
	c, port := openPort(t, e, "%s#d>main>a", call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"})
	buf := []byte("0000a-before")
	for i := range 3 {
		copy(buf, fmt.Sprintf("%04d", i))
		if err := c.KeyedWrite(ctx, port, buf); err != nil {
			t.Fatal(err)
		}
	}
	copy(buf, "9999z")
	// The current record is still 0002a: a delete by its key means it.
	if err := c.KeyedDelete(ctx, port, []byte("0002")); err != nil {
		t.Fatal(err)
	}
	got, err := c.KeyedRead(ctx, port, "", []byte("0000"))
	if err != nil {
		t.Fatal(err)
	}
	copy(got, "9999z")
	if next, err := c.SeqRead(ctx, port); err != nil || string(next) != "0001a-before" {
		t.Fatalf("after a record whose bytes the program changed: %q, %v", next, err)
	}
	if err := c.Close(ctx, port); err != nil {
		t.Fatal(err)
	}
	if err := e.setAttribute(ctx, "test", "%s#d>main>a", attrTransaction, "1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Open(ctx, port, call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for i := 5; i < 8; i++ {
		copy(buf, fmt.Sprintf("%04db", i))
		if err := c.KeyedWrite(ctx, port, buf); err != nil {
			t.Fatal(err)
		}
	}
	copy(buf, "9999z-after")
	if err := c.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(list(t, e, f, f.index("id"))), "[0000a-before 0001a-before 0005b-before 0006b-before 0007b-before]"; got != want {
		t.Errorf("the file has %s, want %s", got, want)
	}
}

// A rewrite names what its port was not shown, however many records it read
// since.
func TestAPortRemembersManyReads(t *testing.T) {
	a, b := openEngine(t, vfs.NewMem(), 1, true), openEngine(t, vfs.NewMem(), 2, true)
	t.Cleanup(func() { a.close(t); b.close(t) })
	a.SetLazy(true)
	b.SetLazy(true)
	ctx := context.Background()
	keyedFile(t, a, "%s#d>main>a")
	open := call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"}
	ca, pa := openPort(t, a, "%s#d>main>a", open)
	const n = 5000
	for i := range n {
		if err := ca.KeyedWrite(ctx, pa, fmt.Appendf(nil, "%04da", i)); err != nil {
			t.Fatal(err)
		}
	}
	sa, sb := origin.Stream{Group: 1, Module: 1, Incarnation: 1}, origin.Stream{Group: 1, Module: 2, Incarnation: 1}
	flushed := func(e *testEngine) {
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	flushed(a)
	ship(t, a, b, sa)
	if err := ca.SeqPosition(ctx, pa, call.PosBeginning, 0); err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := ca.SeqRead(ctx, pa); err != nil {
			t.Fatal(err)
		}
	}
	cb, pb := openPort(t, b, "%s#d>main>a", open)
	if err := cb.KeyedRewrite(ctx, pb, nil, []byte("0000b")); err != nil {
		t.Fatal(err)
	}
	flushed(b)
	ship(t, b, a, sb)
	if err := ca.KeyedRewrite(ctx, pa, nil, []byte("0000c")); err != nil {
		t.Fatal(err)
	}
	flushed(a)
	at := a.j.Tail(sa).Seq
	l, err := a.j.Read(sa, at-1, 1<<20)
	if err != nil || len(l) != 1 {
		t.Fatal(len(l), err)
	}
	var txn origin.Txn
	if err := entry.Decode(l[0].Bytes, origin.Dot{Stream: sa, Seq: at}, &txn); err != nil {
		t.Fatal(err)
	}
	if got := txn.Ops[0].Unseen; len(got) != 1 || got[0].Module != 2 {
		t.Errorf("the rewrite names %v as unseen, want the version of module 2", got)
	}
}

// Writes that are started one after the other take effect in that order, share
// flushes, and move their port as calls do.
func TestStartedWritesKeepTheirOrder(t *testing.T) {
	e := openEngine(t, vfs.NewMem(), 1, false)
	t.Cleanup(func() { e.close(t) })
	ctx := context.Background()
	keyedFile(t, e, "%s#d>main>a")
	f := keyedFile(t, e, "%s#d>main>b")
	p := e.NewProcess("test")
	t.Cleanup(func() { p.Close() })
	c := call.Client{Caller: p}
	port, err := c.OpenPath(ctx, "%s#d>main>b", call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Sequential})
	if err != nil {
		t.Fatal(err)
	}
	const n = 3000
	replies := make([]call.Reply, n)
	answers := make(chan int, n)
	for i := range n {
		key := i
		if i%100 == 99 {
			key = i - 1 // taken
		}
		q := &call.Request{Call: "s$seq_write", Port: port, Data: fmt.Appendf(nil, "%04da", key)}
		p.Start(ctx, q, &replies[i], func(err error) {
			if err != nil {
				t.Error(err)
			}
			answers <- i
		})
	}
	// A call of another kind comes behind all of them.
	if err := c.SeqRewrite(ctx, port, []byte("2998aaaaa")); err != nil {
		t.Fatal(err)
	}
	if len(answers) != n {
		t.Fatalf("%d of %d answers before the answer to a later call", len(answers), n)
	}
	for i := range replies {
		want := call.Code(0)
		if i%100 == 99 {
			want = call.InvalidDuplicateKey
		}
		if replies[i].Code != want {
			t.Fatalf("write %d: %v, want %v", i, replies[i].Code, want)
		}
	}
	got := list(t, e, f, nil)
	if len(got) != n-n/100 {
		t.Fatalf("%d records", len(got))
	}
	for i, r := range got {
		want := fmt.Sprintf("%04da", i+i/99)
		if i == len(got)-1 {
			want = "2998aaaaa"
		}
		if r != want {
			t.Fatalf("record %d is %q, want %q", i, r, want)
		}
	}
	for range 2 {
		if _, err := c.SeqRead(ctx, port); call.CodeOf(err) != call.EndOfFile {
			t.Fatal("the port is not at the end:", err)
		}
	}
	// Wrong calls answer as Do does.
	for q, want := range map[*call.Request]call.Code{
		{Call: "s$seq_write", Port: 99}:                                 call.InvalidPortNumber,
		{Call: "s$keyed_write", Port: port, Data: []byte("9999")}:       call.InvalidAccessMode,
		{Call: "s$seq_write", Port: port, Data: make([]byte, 32768)}:    call.RecordTooLong,
		{Call: "s$seq_read", Port: port}:                                call.EndOfFile,
		{Call: "nonsense"}:                                              call.NotAvailable,
		{Call: "s$seq_write", Port: port, Data: []byte("0000a in use")}: call.InvalidDuplicateKey,
	} {
		var r call.Reply
		ch := make(chan error, 1)
		p.Start(ctx, q, &r, func(err error) { ch <- err })
		if err := <-ch; err != nil || r.Code != want {
			t.Errorf("%s: %v, %v, want %v", q.Call, err, r.Code, want)
		}
	}
	if l := e.LockCount(); l != 1 {
		t.Errorf("%d locks are held, want the open's", l)
	}
	// A process that ends waits for what it started.
	var last call.Reply
	p.Start(ctx, &call.Request{Call: "s$seq_write", Port: port, Data: []byte("9999z")}, &last, func(error) {})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := list(t, e, f, nil); got[len(got)-1] != "9999z" {
		t.Error("a started write is not there after Close:", got[len(got)-1])
	}
	ch := make(chan error, 1)
	p.Start(ctx, &call.Request{Call: "s$seq_write", Port: port}, &last, func(err error) { ch <- err })
	if err := <-ch; err != ErrClosed {
		t.Error("a call after Close:", err)
	}
}
