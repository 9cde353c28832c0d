package node

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/origin"
	"drmesh/vosio/call"
)

// sideBySide is how many tests run at a time: most of them wait for something.
var sideBySide = "6"

// TestMain lets the test binary be the process that is killed. Of the tests
// that mostly wait, for elections, leases and modules that become voters, some
// run side by side.
func TestMain(m *testing.M) {
	if dir := os.Getenv("DRMESH_TEST_WRITER"); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, "failed:", err)
			os.Exit(1)
		}
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		flag.Set("test.parallel", sideBySide)
	}
	os.Exit(m.Run())
}

// writeUntilKilled serves a directory and writes, from several programs; each
// acknowledged record's key goes to standard output.
func writeUntilKilled(dir string) error {
	ctx := context.Background()
	n, err := Open(ctx, ServeOptions{Dir: dir})
	if err != nil {
		return err
	}
	from, err := strconv.Atoi(os.Getenv("DRMESH_TEST_FROM"))
	if err != nil {
		return err
	}
	const programs = 4
	keys, failed := make(chan string), make(chan error)
	for w := range programs {
		go func() {
			c := call.Client{Caller: n.eng.NewProcess("writer")}
			port, err := open(c, "main:k")
			for i := from + w; err == nil; i += programs {
				key := fmt.Sprintf("%04d", i%10000)
				if err = c.KeyedWrite(ctx, port, []byte(key+"awritten")); call.CodeOf(err) == call.InvalidDuplicateKey {
					err = nil // an earlier round came further than this one began
					continue
				}
				if err != nil {
					break
				}
				// Each third is rewritten, under another key of its second index.
				if i%3 == 0 {
					err = c.KeyedRewrite(ctx, port, nil, []byte(key+"brewritten"))
				}
				keys <- key
			}
			failed <- err
		}()
	}
	for {
		select {
		case k := <-keys:
			fmt.Println(k)
		case err := <-failed:
			return err
		}
	}
}

// TestPromise1CaptureHasNoWindow kills a process in the middle of its writing,
// again and again: what was acknowledged is there, with its index entries and
// its journal entry; and what is there, is whole.
func TestPromise1CaptureHasNoWindow(t *testing.T) {
	nodes := meshReady(t, "%east#m1")
	keyedAt(t, nodes[0], "main:k")
	dir := nodes[0].dir.path
	shut(t, nodes[0])
	ctx := context.Background()
	acked := map[string]bool{}
	for round := range 3 {
		from := round * 3000
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "DRMESH_TEST_WRITER="+dir, "DRMESH_TEST_FROM="+strconv.Itoa(from))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		n := 0
		for r := bufio.NewScanner(out); r.Scan(); n++ {
			k := r.Text()
			if strings.HasPrefix(k, "failed") {
				t.Fatal(k)
			}
			acked[k] = true
			if n == 250+111*round {
				if err := cmd.Process.Kill(); err != nil { // kill -9
					t.Fatal(err)
				}
			}
		}
		cmd.Wait()
		timer.Stop()
		if n < 250 {
			t.Fatalf("round %d: %d records only", round, n)
		}

		east, err := Open(ctx, ServeOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		written, logged := int64(0), int64(0)
		for _, l := range accountHolds(t, east).Lines {
			written += l.Written
		}
		if _, err := east.eachTxn(ctx, 0, func(_ uint64, x *origin.Txn) error { logged += int64(len(x.Ops)); return nil }); err != nil {
			t.Fatal(err)
		}
		if written != logged {
			t.Errorf("round %d: %d operations in the registers' account, %d in the journal", round, written, logged)
		}
		c := program(t, east)
		port := opened(t, c, "main:k")
		for k := range acked {
			i, _ := strconv.Atoi(k)
			got, err := c.KeyedRead(ctx, port, "id", []byte(k))
			want := k + "awritten"
			if i%3 == 0 {
				want = k + "brewritten"
			}
			if err != nil || string(got) != want {
				t.Errorf("round %d: acknowledged record %s: %q, %v", round, k, got, err)
			}
		}
		// The other index has each record once, under its present key.
		kinds := map[string]int{}
		p, err := c.OpenPath(ctx, "main:k", call.OpenOptions{IO: call.Input, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "kind"})
		if err != nil {
			t.Fatal(err)
		}
		last := byte(0)
		for {
			r, err := c.SeqRead(ctx, p)
			if call.CodeOf(err) == call.EndOfFile {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if r[4] < last {
				t.Errorf("index kind: %c after %c", r[4], last)
			}
			last = r[4]
			kinds[string(r[:4])]++
		}
		f, err := engine{east}.File(ctx, "main:k")
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(kinds)) != f.Records || len(kinds) < len(acked) {
			t.Errorf("round %d: %d records by the index kind, %d by the file, %d acknowledged", round, len(kinds), f.Records, len(acked))
		}
		for k, c := range kinds {
			if c != 1 {
				t.Errorf("record %s stands %d times in the index kind", k, c)
			}
		}
		shut(t, east)
	}
}

// TestKilledUnderInterval kills a module whose share says interval, with a
// neighbour that pulls from it: nothing that the neighbour was given is taken
// back, and their histories stay one.
func TestKilledUnderInterval(t *testing.T) {
	t.Parallel()
	nodes := bareMesh(t, "%east#m1", "%west#m1")
	text := strings.Replace(mainTables, "data>*", "data>*\n =durability interval\n =interval_ms 20", 1)
	plan, err := engine{nodes[0]}.ControlApply(context.Background(), admin.ControlChange{Timeout: 20 * time.Second, Text: text})
	if err != nil || len(plan.Lacking) > 0 {
		t.Fatal(plan, err)
	}
	writable(t, nodes...)
	keyedAt(t, nodes[0], "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	west := nodes[1]
	stream := nodes[0].ownStreams()[0]
	dir := nodes[0].dir.path
	shut(t, nodes[0])
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "DRMESH_TEST_WRITER="+dir, "DRMESH_TEST_FROM="+strconv.Itoa(round*3000))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		was := west.j.Tail(stream).Seq
		timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		eventually(t, "west has some of it", func() bool { return west.j.Tail(stream).Seq > was+200 })
		cmd.Process.Kill() // -9
		killed := time.Now()
		cmd.Wait()
		timer.Stop()
		at := west.j.Tail(stream)
		east, err := Open(context.Background(), ServeOptions{Dir: dir, Logger: testLog(t).With("round", round)})
		if err != nil {
			t.Fatal(err)
		}
		if h, ok, err := east.j.HashAt(stream, at.Seq); err != nil || !ok || h != at.Hash {
			t.Errorf("round %d: west has %v; at east it is %v, %v, %v, and east stands at %v", round, at, h, ok, err, east.j.Tail(stream))
		}
		writable(t, east)
		put(t, east, fmt.Sprintf("main:after_%d", round), "goes on")
		eventually(t, "west has what came after", func() bool { return applied(east, west) })
		if d := time.Since(killed); d > 8*time.Second {
			// West's connection to the process that is gone lives ten seconds.
			t.Errorf("round %d: it took %v until west heard of the new process", round, d)
		}
		converged(t, []*Node{east, west}, "main:k", fmt.Sprintf("main:after_%d", round))
		for _, n := range []*Node{east, west} {
			if a := n.alarmList(); len(a) > 0 {
				t.Errorf("round %d: alarms at %s: %v", round, n.dir.Module, a)
			}
		}
		shut(t, east)
	}
}
