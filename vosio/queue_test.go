package vosio

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/vosio/call"
)

// TestMessageBytes holds the bytes of a message against docs/formats.md.
func TestMessageBytes(t *testing.T) {
	b := appendMessage(nil, &message{priority: 3, id: 7, subject: "orders", body: []byte("buy")})
	page, err := os.ReadFile("../docs/formats.md")
	if err != nil || !strings.Contains(string(page), hex.EncodeToString(b)) {
		t.Errorf("docs/formats.md has not %x: %v", b, err)
	}
	m, err := parseMessage(b)
	if err != nil || m.priority != 3 || m.id != 7 || m.subject != "orders" || string(m.body) != "buy" {
		t.Errorf("%+v %v", m, err)
	}
	for _, bad := range [][]byte{nil, b[:6], b[:9], {20, 1, 0, 0, 0, 1, 0}, {0, 2, 0, 0, 0, 1, 0}} {
		if _, err := parseMessage(bad); !errors.Is(err, call.FileFormatError) {
			t.Errorf("%x: %v", bad, err)
		}
	}
	high, low := appendMessage(nil, &message{priority: 19}), appendMessage(nil, &message{})
	if bytes.Compare(high, low) >= 0 {
		t.Error("a higher priority does not come first")
	}
}

// queueOf opens a queue at both ends.
func queueOf(t *testing.T, e *testEngine, org int) (cl call.Client, out, in int) {
	t.Helper()
	ctx := context.Background()
	p := e.NewProcess("p")
	t.Cleanup(func() { p.Close() })
	cl = call.Client{Caller: p}
	if err := cl.CreateFile(ctx, "%s#d>main>q", org, 0); err != nil && !errors.Is(err, call.FileExists) {
		t.Fatal(err)
	}
	var err error
	if in, err = cl.OpenQueue(ctx, "%s#d>main>q", call.Server, 0); err != nil {
		t.Fatal(err)
	}
	if out, err = cl.OpenQueue(ctx, "%s#d>main>q", call.Requester, 0); err != nil {
		t.Fatal(err)
	}
	return cl, out, in
}

// TestQueueSurvivesARestart: messages, their order and their numbers.
func TestQueueSurvivesARestart(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	e := openEngine(t, fs, 1, false)
	cl, out, in := queueOf(t, e, call.OrgMsgQueue)
	long := bytes.Repeat([]byte("0123456789abcdef"), call.MaxMessage/16)
	for i, s := range []string{"a", "b", "c"} {
		if id, err := cl.Send(ctx, out, i, s, long[:len(long)-i]); err != nil || id != int64(i+1) {
			t.Fatal(id, err)
		}
	}
	if m, err := cl.Receive(ctx, in, "", false); err != nil || m.ID != 3 || len(m.Data) != len(long)-2 {
		t.Fatal(m.ID, err)
	}
	e.close(t)
	e = openEngine(t, fs, 1, false)
	defer e.close(t)
	cl, out, in = queueOf(t, e, call.OrgMsgQueue)
	if id, err := cl.Send(ctx, out, 9, "d", []byte("d")); err != nil || id != 4 {
		t.Fatal(id, err)
	}
	for _, want := range []int64{4, 2, 1} {
		if m, err := cl.Receive(ctx, in, "", true); err != nil || m.ID != want {
			t.Fatalf("got %d, want %d: %v", m.ID, want, err)
		}
	}
}

// TestServersShareAQueue: many senders and servers, some in transactions that
// abort now and then; each message is delivered once.
func TestServersShareAQueue(t *testing.T) {
	for _, protected := range []bool{false, true} {
		t.Run(fmt.Sprintf("protected=%v", protected), func(t *testing.T) { serversShare(t, protected) })
	}
}

func serversShare(t *testing.T, protected bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e := openEngine(t, vfs.NewMem(), 1, false)
	defer e.close(t)
	const senders, servers, each = 3, 4, 60
	admin := e.NewProcess("admin")
	defer admin.Close()
	cl := call.Client{Caller: admin}
	if err := cl.CreateFile(ctx, "%s#d>main>q", call.OrgMsgQueue, 0); err != nil {
		t.Fatal(err)
	}
	if protected {
		var r call.Reply
		if err := admin.Do(ctx, &call.Request{Call: "s$set_transaction_file", Path: "%s#d>main>q", Switches: 1}, &r); err != nil || r.Code != 0 {
			t.Fatal(err)
		}
	}
	if err := cl.SetMaxQueueDepth(ctx, "%s#d>main>q", 20); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	got := map[string]int{}
	last := map[string]string{} // by sender: what was taken last
	left := senders * each
	var wg sync.WaitGroup
	run := func(name string, fn func(c call.Client) error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			p := e.NewProcess(name)
			defer p.Close()
			if err := fn(call.Client{Caller: p}); err != nil {
				t.Errorf("%s: %v", name, err)
				cancel()
			}
		}()
	}
	for s := range senders {
		run(fmt.Sprintf("sender%d", s), func(c call.Client) error {
			port, err := c.OpenQueue(ctx, "%s#d>main>q", call.Requester, 0)
			for i := 0; i < each && err == nil; i++ {
				if protected {
					err = c.Start(ctx)
				}
				if err == nil {
					_, err = c.Send(ctx, port, 0, "", fmt.Appendf(nil, "%d-%03d", s, i))
				}
				if err == nil && protected {
					err = c.Commit(ctx)
				}
			}
			return err
		})
	}
	for s := range servers {
		run(fmt.Sprintf("server%d", s), func(c call.Client) error {
			port, err := c.OpenQueue(ctx, "%s#d>main>q", call.Server, 0)
			if err != nil {
				return err
			}
			for n := 0; ; n++ {
				mu.Lock()
				done := left == 0
				mu.Unlock()
				if done {
					return nil
				}
				if protected {
					if err := c.Start(ctx); err != nil {
						return err
					}
				}
				if err := c.SetTimeLimit(ctx, port, 20); err != nil {
					return err
				}
				m, err := c.Receive(ctx, port, "", false)
				switch {
				case errors.Is(err, call.Timeout):
				case err != nil:
					return err
				case protected && n%5 == 4:
					if err := c.Abort(ctx); err != nil {
						return err
					}
					continue
				}
				took := err == nil
				if protected {
					if err := c.Commit(ctx); err != nil {
						return err
					}
				}
				if took {
					mu.Lock()
					got[string(m.Data)]++
					last[string(m.Data[:1])] = max(last[string(m.Data[:1])], string(m.Data))
					left--
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for s := range senders {
		for i := range each {
			if n := got[fmt.Sprintf("%d-%03d", s, i)]; n != 1 {
				t.Errorf("message %d-%03d was delivered %d times", s, i, n)
			}
		}
	}
}

// TestWaitsOnQueuesEnd: by the caller's context, by the end of the program, by
// the end of the engine.
func TestWaitsOnQueuesEnd(t *testing.T) {
	e := openEngine(t, vfs.NewMem(), 1, false)
	cl, _, in := queueOf(t, e, call.OrgMsgQueue)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	wait := func(ctx context.Context) {
		go func() {
			_, err := cl.Receive(ctx, in, "", false)
			ended <- err
		}()
		for end := time.Now().Add(10 * time.Second); e.LockWaits() == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("it does not wait")
			}
		}
	}
	wait(ctx)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	wait(context.Background())
	e.close(t)
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// TestTakenMessagesLeaveNoTrail: a search does not walk over what was taken,
// and finds what comes before all else.
func TestTakenMessagesLeaveNoTrail(t *testing.T) {
	ctx := context.Background()
	e := openEngine(t, vfs.NewMem(), 1, false)
	defer e.close(t)
	cl, out, in := queueOf(t, e, call.OrgMsgQueue)
	for i := range 20 {
		if _, err := cl.Send(ctx, out, 5, "", fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		if _, err := cl.Receive(ctx, in, "", true); err != nil {
			t.Fatal(err)
		}
	}
	f, err := e.file("%s#d>main>q")
	if err != nil {
		t.Fatal(err)
	}
	if low, _ := f.stat.queue.from(); low == nil {
		t.Error("no place is known below which nothing stands")
	}
	if _, err := cl.Send(ctx, out, 6, "", []byte("before")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before", "10"} {
		if m, err := cl.Receive(ctx, in, "", true); err != nil || string(m.Data) != want {
			t.Fatalf("%q %v, want %s", m.Data, err, want)
		}
	}
}

// BenchmarkQueue sends and receives a message of 100 bytes, acknowledged at once.
func BenchmarkQueue(b *testing.B) {
	ctx := context.Background()
	e := openEngine(b, vfs.NewMem(), 1, false)
	defer e.close(b)
	rules := newOneShare(1)
	rules.s.Interval = 10 * time.Millisecond
	if err := e.SetRules(rules); err != nil {
		b.Fatal(err)
	}
	p := e.NewProcess("bench")
	defer p.Close()
	cl := call.Client{Caller: p}
	if err := cl.CreateFile(ctx, "%s#d>main>q", call.OrgMsgQueue, 0); err != nil {
		b.Fatal(err)
	}
	in, err := cl.OpenQueue(ctx, "%s#d>main>q", call.Server, 0)
	if err != nil {
		b.Fatal(err)
	}
	out, err := cl.OpenQueue(ctx, "%s#d>main>q", call.Requester, 0)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cl.Send(ctx, out, 5, "", data); err != nil {
			b.Fatal(err)
		}
		if _, err := cl.Receive(ctx, in, "", true); err != nil {
			b.Fatal(err)
		}
	}
}
