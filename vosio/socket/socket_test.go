package socket

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drmesh/vosio/call"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a process that answers as its test wants.
type fake struct {
	do     func(ctx context.Context, q *call.Request, r *call.Reply) error
	closed chan struct{}
}

func (f *fake) Do(ctx context.Context, q *call.Request, r *call.Reply) error {
	*r = call.Reply{}
	return f.do(ctx, q, r)
}

func (f *fake) Close() error {
	close(f.closed)
	return nil
}

type door struct {
	*Server
	path string

	mu    sync.Mutex
	names []string
	procs []*fake
}

func open(t testing.TB, do func(ctx context.Context, q *call.Request, r *call.Reply) error) *door {
	t.Helper()
	dir, err := os.MkdirTemp("", "door")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &door{path: filepath.Join(dir, "app.sock")}
	d.Server, err = Serve(d.path, func(name string, c Cred) Process {
		if int(c.PID) != os.Getpid() || int(c.UID) != os.Getuid() {
			t.Errorf("the peer is %+v", c)
		}
		f := &fake{do, make(chan struct{})}
		d.mu.Lock()
		d.names, d.procs = append(d.names, name), append(d.procs, f)
		d.mu.Unlock()
		return f
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *door) dial(t testing.TB) *Client {
	t.Helper()
	c, err := Dial(context.Background(), d.path, "tester")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// process gives the name and process of the i-th program that connected.
func (d *door) process(t testing.TB, i int) (name string, f *fake) {
	eventually(t, "a program is connected", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		if i < len(d.procs) {
			name, f = d.names[i], d.procs[i]
		}
		return f != nil
	})
	return name, f
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so after 20 s", what)
		}
	}
}

func echo(_ context.Context, q *call.Request, r *call.Reply) error {
	r.Number, r.Data = q.Number, q.Data
	return nil
}

func TestCallsAnswersAndModes(t *testing.T) {
	d := open(t, echo)
	st, err := os.Stat(d.path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	c := d.dial(t)
	var r call.Reply
	if err := c.Do(context.Background(), &call.Request{Call: "x", Number: 7, Data: []byte("seven")}, &r); err != nil || r.Number != 7 || string(r.Data) != "seven" {
		t.Fatalf("%+v, %v", r, err)
	}
	if name, _ := d.process(t, 0); name != "tester" {
		t.Errorf("the program's name came as %q", name)
	}
	nameless, err := Dial(context.Background(), d.path, "")
	if err != nil {
		t.Fatal(err)
	}
	name, p := d.process(t, 1)
	if exe, _ := os.Executable(); name != filepath.Base(exe) {
		t.Errorf("a program that gives no name is %q", name)
	}
	nameless.Close()
	select {
	case <-p.closed:
	case <-time.After(20 * time.Second):
		t.Error("the process of a program that left is not closed")
	}
	if n := d.Calls.Load(); n != 1 {
		t.Errorf("%d calls counted", n)
	}
}

func TestOrderIsKept(t *testing.T) {
	var mu sync.Mutex
	var order []int64
	d := open(t, func(_ context.Context, q *call.Request, r *call.Reply) error {
		mu.Lock()
		order = append(order, q.Number)
		mu.Unlock()
		r.Number = q.Number
		return nil
	})
	c := d.dial(t)
	const n = 5000
	var wg sync.WaitGroup
	wg.Add(n)
	replies := make([]call.Reply, n)
	for i := range n {
		err := c.Go(context.Background(), &call.Request{Call: "x", Number: int64(i)}, &replies[i], func(err error) {
			if err != nil {
				t.Error(err)
			}
			wg.Done()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	for i := range n {
		if order[i] != int64(i) || replies[i].Number != int64(i) {
			t.Fatalf("call %d: carried out as number %d, answered with %d", i, order[i], replies[i].Number)
		}
	}
}

// TestAnswerDoesNotWaitForTheNextCall: one call waits for a lock, the answer
// of the one before it comes.
func TestAnswerDoesNotWaitForTheNextCall(t *testing.T) {
	d := open(t, func(ctx context.Context, q *call.Request, r *call.Reply) error {
		if q.Call == "wait" {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	c := d.dial(t)
	first, second := make(chan error, 1), make(chan error, 1)
	var r [2]call.Reply
	if err := c.send(&call.Request{Call: "x"}, &r[0], func(err error) { first <- err }); err != nil {
		t.Fatal(err)
	}
	if err := c.Go(context.Background(), &call.Request{Call: "wait"}, &r[1], func(err error) { second <- err }); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-first:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no answer while the next call waits")
	}
	// The program dies: the wait ends, and the process is closed.
	c.Close()
	if err := <-second; !errors.Is(err, ErrLost) {
		t.Errorf("the call under way: %v", err)
	}
	_, p := d.process(t, 0)
	select {
	case <-p.closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the process is not closed")
	}
	if err := c.Do(context.Background(), &call.Request{}, &r[0]); !errors.Is(err, ErrLost) {
		t.Errorf("after the end: %v", err)
	}
}

func TestUnknownOutcomeEndsTheConnection(t *testing.T) {
	d := open(t, func(context.Context, *call.Request, *call.Reply) error { return errors.New("closed under the call") })
	c := d.dial(t)
	var r call.Reply
	if err := c.Do(context.Background(), &call.Request{Call: "x"}, &r); !errors.Is(err, ErrLost) {
		t.Errorf("%v", err)
	}
	if n := d.Refused.Load(); n != 0 {
		t.Errorf("%d refusals counted for a fault of the node", n)
	}
}

func TestCancelLeavesTheConnection(t *testing.T) {
	release := make(chan struct{})
	d := open(t, func(_ context.Context, q *call.Request, r *call.Reply) error {
		if q.Call == "slow" {
			<-release
		}
		r.Number = q.Number
		return nil
	})
	c := d.dial(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var r call.Reply
	if err := c.Do(ctx, &call.Request{Call: "slow", Number: 1}, &r); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	close(release)
	for i := range int64(3) {
		if err := c.Do(context.Background(), &call.Request{Call: "x", Number: 2 + i}, &r); err != nil || r.Number != 2+i {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

// TestAProgramThatReadsNothingIsNotReadFrom: what the node holds for it stays
// bounded, and others go on.
func TestAProgramThatReadsNothingIsNotReadFrom(t *testing.T) {
	d := open(t, func(_ context.Context, q *call.Request, r *call.Reply) error {
		r.Data = make([]byte, 200<<10)
		return nil
	})
	conn, err := net.Dial("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(appendHello(nil, hello{version: Version, name: "deaf"})); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for {
		b := call.AppendRequest(beginFrame(nil, uint64(sent+1)), &call.Request{Call: "x", Data: make([]byte, 100<<10)})
		if err := endFrame(b, 0); err != nil {
			t.Fatal(err)
		}
		conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := conn.Write(b); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			break
		}
		if sent++; sent > 2000 {
			t.Fatal("the node takes in all that comes")
		}
	}
	if sent > 200 {
		t.Errorf("the node took in %d requests of 100 KiB", sent)
	}
	c := d.dial(t)
	var r call.Reply
	if err := c.Do(context.Background(), &call.Request{Call: "x"}, &r); err != nil || len(r.Data) != 200<<10 {
		t.Errorf("another program: %v", err)
	}
}

func TestRubbishIsRefused(t *testing.T) {
	d := open(t, echo)
	ok := appendHello(nil, hello{version: Version, name: "x"})
	frame := func(id uint64, body []byte) []byte {
		b := append(beginFrame(nil, id), body...)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		return b
	}
	huge := make([]byte, 12)
	binary.BigEndian.PutUint32(huge, 0xffffffff)
	lying := make([]byte, 12)
	binary.BigEndian.PutUint32(lying, 4000)
	n := int64(0)
	for _, c := range []struct {
		name string
		send []byte
		end  bool // the program ends its side
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), false},
		{"zero length", make([]byte, 12), false},
		{"huge", huge, false},
		{"half a hello", lying, true},
		{"a hello with an id", frame(1, ok[12:]), false},
		{"no msgpack", frame(0, []byte{0xc1}), false},
		{"no version", frame(0, []byte{0x80}), false},
		{"a request that is huge", append(bytes.Clone(ok), huge...), false},
		{"a request without id", append(bytes.Clone(ok), frame(0, []byte{0x80})...), false},
		{"a request that is no map", append(bytes.Clone(ok), frame(1, []byte{0x93, 1, 2, 3})...), false},
		{"a request with a lying length", append(bytes.Clone(ok), frame(1, []byte{0x81, 0xa1, 'd', 0xc6, 0xff, 0xff, 0xff, 0xff})...), false},
		{"a deep request", append(bytes.Clone(ok), frame(1, append(bytes.Repeat([]byte{0x81, 0xa1, 'Z'}, 10000), 0xc0))...), false},
	} {
		conn, err := net.Dial("unix", d.path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(c.send); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.end {
			conn.(*net.UnixConn).CloseWrite()
		}
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: the node did not end the connection: %v", c.name, err)
		}
		conn.Close()
		n++
		eventually(t, c.name+" counted", func() bool { return d.Refused.Load() == n })
	}
	// All who came this far are gone.
	eventually(t, "connections gone", func() bool {
		d.Server.mu.Lock()
		defer d.Server.mu.Unlock()
		return len(d.conns) == 0
	})
}

// TestALengthAloneTakesNoMemory: a thousand that announce a megabyte each.
func TestALengthAloneTakesNoMemory(t *testing.T) {
	var head [frameHead]byte
	binary.BigEndian.PutUint32(head[:], MaxFrame)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 1000 {
		_, _, _, err := readFrame(bytes.NewReader(head[:]), nil, MaxFrame)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 1000; n > 70<<10 {
		t.Errorf("%d bytes for a frame that never came", n)
	}
}

func TestPaths(t *testing.T) {
	none := func(string, Cred) Process { return nil }
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100), "app.sock")
	if _, err := Serve(long, none, nil); err == nil || !strings.Contains(err.Error(), "shorter path") {
		t.Errorf("a long path: %v", err)
	}
	if _, err := Dial(context.Background(), long, "x"); err == nil || !strings.Contains(err.Error(), "shorter path") {
		t.Errorf("a long path: %v", err)
	}
	dir, err := os.MkdirTemp("", "door")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "app.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Serve(path, none, nil); err == nil {
		t.Error("a file in the socket's place was taken away")
	}
	os.Remove(path)
	// A node that was killed leaves its socket.
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	s, err := Serve(path, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestAnotherVersion(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		readFrame(b, nil, maxHello)
		b.Write(appendHello(nil, hello{version: 9}))
	}()
	if _, err := NewClient(context.Background(), a, "x"); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("%v", err)
	}
	b.Close()
}

func TestLargeAnswers(t *testing.T) {
	d := open(t, func(_ context.Context, q *call.Request, r *call.Reply) error {
		for range q.Number {
			r.Names = append(r.Names, strings.Repeat("n", 100))
		}
		return nil
	})
	c := d.dial(t)
	var r call.Reply
	if err := c.Do(context.Background(), &call.Request{Number: 5000}, &r); err != nil || len(r.Names) != 5000 {
		t.Fatalf("%d names, %v", len(r.Names), err)
	}
	if err := c.Do(context.Background(), &call.Request{Call: "many", Number: 40000}, &r); err != nil || r.Code != call.NoAlloc {
		t.Fatalf("an answer over a frame: %v %v", r.Code, err)
	}
	if err := c.Do(context.Background(), &call.Request{Data: make([]byte, MaxFrame)}, &r); !errors.Is(err, ErrFrame) {
		t.Fatalf("a request over a frame: %v", err)
	}
	if err := c.Do(context.Background(), &call.Request{Number: 1}, &r); err != nil || len(r.Names) != 1 {
		t.Fatalf("after it: %v", err)
	}
}

func TestGolden(t *testing.T) {
	b := appendHello(nil, hello{version: 1, name: "drms_demo"})
	b, err := appendReply(b, 7, &call.Reply{Port: 1})
	if err != nil {
		t.Fatal(err)
	}
	const want = "000000180000000000000000" + "82a17601a16ea96472" + "6d735f64656d6f" + "0000000c0000000000000007" + "81a17001"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("the door's bytes changed:\n%s\n%s", got, want)
	}
}

func FuzzHello(f *testing.F) {
	f.Add(appendHello(nil, hello{version: 1, name: "x"})[12:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHello(b); err == nil && (h.version == 0 || len(h.name) > maxName) {
			t.Fatalf("%+v", h)
		}
	})
}

// A program that goes while its call is carried out is noticed: by the reader
// that carries the call out, and by those who carry out what is queued.
func TestTheEndIsSeenDuringACall(t *testing.T) {
	for _, queued := range []bool{false, true} {
		begun, ended := make(chan struct{}, 2), make(chan struct{}, 2)
		d := open(t, func(ctx context.Context, q *call.Request, r *call.Reply) error {
			begun <- struct{}{}
			<-ctx.Done()
			ended <- struct{}{}
			return ctx.Err()
		})
		c := d.dial(t)
		q := call.Request{Call: "s$seq_read", Port: 1}
		var reps [2]call.Reply
		for i := range 1 + btoi(queued) {
			if err := c.Go(context.Background(), &q, &reps[i], func(error) {}); err != nil {
				t.Fatal(err)
			}
		}
		<-begun
		_, f := d.process(t, 0)
		c.Close()
		<-ended
		<-f.closed
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Calls are carried out one at a time, in the order in which they were sent,
// whether they come alone or behind others, fast or slowly, and however often
// the reader is relieved.
func TestOneAtATime(t *testing.T) {
	for _, relief := range []time.Duration{patience, time.Nanosecond} {
		var under atomic.Int32
		var last atomic.Int64
		begun, release := make(chan struct{}), make(chan struct{})
		d := open(t, func(_ context.Context, q *call.Request, r *call.Reply) error {
			if under.Add(1) != 1 {
				t.Error("two calls at once")
			}
			if was := last.Swap(q.Number); was != q.Number-1 {
				t.Errorf("%d after %d", q.Number, was)
			}
			if string(q.Data) == "slow" {
				begun <- struct{}{}
				<-release
				time.Sleep(3 * patience) // for the others to be read meanwhile
			}
			r.Number = q.Number
			under.Add(-1)
			return nil
		})
		d.patience = relief
		c := d.dial(t)
		ctx := context.Background()
		n := int64(0)
		for range 50 {
			for range 20 { // alone
				n++
				q, r := call.Request{Call: "s$seq_read", Port: 1, Number: n}, call.Reply{}
				if err := c.Do(ctx, &q, &r); err != nil || r.Number != n {
					t.Fatalf("call %d: %v, answer %d", n, err, r.Number)
				}
			}
			var reps [10]call.Reply
			got := make(chan error, len(reps))
			first := n + 1
			for i := range reps {
				n++
				q := call.Request{Call: "s$seq_read", Port: 1, Number: n}
				if i == 0 {
					q.Data = []byte("slow") // until the others were sent
				}
				if err := c.Go(ctx, &q, &reps[i], func(err error) { got <- err }); err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					<-begun // alone
				}
			}
			release <- struct{}{}
			for range reps {
				if err := <-got; err != nil {
					t.Fatal(err)
				}
			}
			for i := range reps {
				if reps[i].Number != first+int64(i) {
					t.Errorf("answer %d to call %d", reps[i].Number, first+int64(i))
				}
			}
		}
	}
}

// A caller who goes in the middle of an answer leaves the rest to who comes
// after him.
func TestACallerGoesInTheMiddleOfAnAnswer(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	fail := make(chan error, 1)
	half, rest := make(chan struct{}), make(chan struct{})
	answer := func(id uint64, n int64) []byte {
		b, err := appendReply(nil, id, &call.Reply{Number: n, Data: make([]byte, 100)})
		if err != nil {
			t.Error(err)
		}
		return b
	}
	go func() {
		fail <- func() error {
			if _, _, _, err := readFrame(there, nil, maxHello); err != nil {
				return err
			}
			if _, err := there.Write(appendHello(nil, hello{version: Version})); err != nil {
				return err
			}
			if _, _, _, err := readFrame(there, nil, MaxFrame); err != nil {
				return err
			}
			first := answer(1, 11)
			if _, err := there.Write(first[:20]); err != nil {
				return err
			}
			close(half)
			<-rest
			if _, _, _, err := readFrame(there, nil, MaxFrame); err != nil {
				return err
			}
			_, err := there.Write(append(first[20:], answer(2, 22)...))
			return err
		}()
	}()
	c, err := NewClient(context.Background(), here, "tester")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-half; cancel() }()
	q, r := call.Request{Call: "s$seq_read", Port: 1}, call.Reply{}
	if err := c.Do(ctx, &q, &r); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want that it was given up", err)
	}
	close(rest)
	if err := c.Do(context.Background(), &q, &r); err != nil || r.Number != 22 {
		t.Errorf("answer %d, %v", r.Number, err)
	}
	if err := <-fail; err != nil {
		t.Error(err)
	}
}

func BenchmarkDo(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			d := open(b, echo)
			c := d.dial(b)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range callers {
				wg.Go(func() {
					q, r := call.Request{Call: "s$seq_write", Port: 1, Data: make([]byte, 100)}, call.Reply{}
					for i := w; i < b.N; i += callers {
						if err := c.Do(context.Background(), &q, &r); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
