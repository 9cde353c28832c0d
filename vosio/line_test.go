package vosio

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/vosio/call"
)

// While a share's owner is being changed, started writes wait in order, as one
// call does: they are made when it is the old owner again, and refused, all of
// them, when it is another module, or nobody wants them any more.
func TestStartedWritesWaitForTheOwner(t *testing.T) {
	type step struct {
		name string
		do   func(e *testEngine, cancel func())
		want call.Code // of what was started while the owner was changed
		code call.Code // of a write after that, unless nobody waits
	}
	owner := func(changing bool, name string) func(e *testEngine, _ func()) {
		return func(e *testEngine, _ func()) {
			r := newOneShare(1)
			r.s.Changing, r.s.Owner = changing, name
			if err := e.SetRules(r); err != nil {
				panic(err)
			}
		}
	}
	for _, s := range []step{
		{"the owner stays", owner(false, ""), 0, 0},
		{"another owner", owner(false, "%s#other"), call.NotOwner, call.NotOwner},
		{"nobody waits", func(_ *testEngine, cancel func()) { cancel() }, call.CallerMustWait, 0},
	} {
		t.Run(s.name, func(t *testing.T) {
			e := openEngine(t, vfs.NewMem(), 1, false)
			t.Cleanup(func() { e.close(t) })
			keyedFile(t, e, "%s#d>main>a")
			f := keyedFile(t, e, "%s#d>main>b")
			p := e.NewProcess("test")
			t.Cleanup(func() { p.Close() })
			c := call.Client{Caller: p}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			port, err := c.OpenPath(ctx, "%s#d>main>b", call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Sequential})
			if err != nil {
				t.Fatal(err)
			}
			const n = 1400 // more than a batch
			replies := make([]call.Reply, n+1)
			answers := make(chan int, n+1)
			start := func(i int) {
				q := &call.Request{Call: "s$seq_write", Port: port, Data: fmt.Appendf(nil, "%04da", i)}
				p.Start(ctx, q, &replies[i], func(err error) {
					if err != nil {
						t.Error(err)
					}
					answers <- i
				})
			}
			for i := range n / 2 {
				start(i)
			}
			for range n / 2 {
				<-answers
			}
			if _, err := c.SeqRead(ctx, port); call.CodeOf(err) != call.EndOfFile {
				t.Fatal(err)
			}
			owner(true, "")(e, nil)
			for i := n / 2; i < n; i++ {
				start(i)
			}
			select {
			case i := <-answers:
				t.Fatalf("write %d is answered %v while the owner is being changed", i, replies[i].Code)
			case <-time.After(3 * tryAgain):
			}
			s.do(e, cancel)
			for i := n / 2; i < n; i++ {
				if got := <-answers; got != i {
					t.Fatalf("answer to %d, want %d", got, i)
				}
				if replies[i].Code != s.want {
					t.Fatalf("write %d: %v, want %v", i, replies[i].Code, s.want)
				}
			}
			if ctx.Err() == nil {
				start(n)
				<-answers
				if replies[n].Code != s.code {
					t.Fatalf("a write after that: %v, want %v", replies[n].Code, s.code)
				}
			}
			got := list(t, e, f, nil)
			want := n / 2
			if s.want == 0 {
				want = n + 1
			}
			if len(got) != want {
				t.Fatalf("%d records, want %d", len(got), want)
			}
			for i, r := range got {
				if r != fmt.Sprintf("%04da", i) {
					t.Fatalf("record %d is %q", i, r)
				}
			}
			owner(false, "")(e, nil)
			again := call.Client{Caller: p}
			if err := again.SeqWrite(context.Background(), port, []byte("9999a")); err != nil {
				t.Fatal("the line does not go on:", err)
			}
		})
	}
}

// Time is up for a line as a whole, and an engine that closes lets nobody wait.
func TestALineEnds(t *testing.T) {
	e := openEngine(t, vfs.NewMem(), 1, false)
	var l line
	ctx := context.Background()
	ask := func(got chan error) *request {
		return &request{ctx: ctx, line: &l, build: func(*tx) error { return errChanging }, told: func(err error) { got <- err }}
	}
	late, closed := make(chan error, 2), make(chan error, 2)
	if err := e.submit(ctx, &request{look: func() { l.until = time.Now().Add(-time.Second) }}); err != nil {
		t.Fatal(err)
	}
	e.queue <- ask(late)
	if err := <-late; err != errChanging {
		t.Error("past its time:", err)
	}
	if err := e.submit(ctx, &request{look: func() { l.until = time.Time{} }}); err != nil {
		t.Fatal(err)
	}
	e.queue <- ask(closed)
	e.queue <- ask(closed)
	if err := e.submit(ctx, &request{look: func() {
		if len(l.held) != 2 || len(e.c.lines) != 1 {
			t.Errorf("%d stand in %d lines, want 2 in 1", len(l.held), len(e.c.lines))
		}
	}}); err != nil {
		t.Fatal(err)
	}
	e.close(t)
	for range 2 {
		if err := <-closed; err != ErrClosed && err != errChanging {
			t.Error("closed:", err)
		}
	}
}
