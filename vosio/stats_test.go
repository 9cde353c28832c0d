package vosio

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/vosio/call"
)

// statsText is one line for each program and file: calls, with how many failed.
func statsText(l []FileCalls) string {
	var b strings.Builder
	for _, f := range l {
		fmt.Fprintf(&b, "%s %s:", f.Program, f.File)
		for _, c := range f.Calls {
			fmt.Fprintf(&b, " %s=%d", strings.TrimPrefix(c.Call, "s$"), c.Made)
			if c.Failed > 0 {
				fmt.Fprintf(&b, "(%d)", c.Failed)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestCallsAreCounted counts by program and file, open ports and closed ones,
// writes that nobody waits for, and what fails.
func TestCallsAreCounted(t *testing.T) {
	e := openEngine(t, vfs.NewMem(), 1, false)
	t.Cleanup(func() { e.close(t) })
	var closed []FileCalls
	e.cfg.Closed = func(f FileCalls) { closed = append(closed, f) }
	ctx := context.Background()
	p := e.NewProcess("payroll")
	c := call.Client{Caller: p}
	if err := c.CreateFile(ctx, "%s#d>f", call.OrgSequential, 0); err != nil {
		t.Fatal(err)
	}
	port, err := c.OpenPath(ctx, "%s#d>f", call.OpenOptions{IO: call.Update, Access: call.Sequential, Lock: call.ImplicitLocking})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.SeqWrite(ctx, port, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	var r call.Reply
	done := make(chan error, 1)
	p.Start(ctx, &call.Request{Call: "s$seq_write", Port: port, Data: []byte("y")}, &r, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := p.Do(ctx, &call.Request{Call: "s$keyed_read", Port: port, Index: "none"}, &r); err != nil || r.Code == 0 {
		t.Fatalf("a read by an index that is not there: %v, %v", r.Code, err)
	}
	q := e.NewProcess("audit")
	if err := q.Do(ctx, &call.Request{Call: "s$delete_file", Path: "%s#d>none"}, &r); err != nil || r.Code == 0 {
		t.Fatalf("delete what is not there: %v, %v", r.Code, err)
	}
	_, l := e.Stats()
	t.Log("\n" + statsText(l))
	for _, want := range []string{
		"payroll %s#d>f:", " seq_write=4", " keyed_read=1(1)", " open=1", " create_file=1", "audit %s#d>none: delete_file=1(1)\n",
	} {
		if !strings.Contains(statsText(l), want) {
			t.Errorf("%q is not counted", want)
		}
	}
	if len(closed) != 0 {
		t.Errorf("closed already: %v", closed)
	}
	before := statsText(l)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if len(closed) != 1 || closed[0].Program != "payroll" || closed[0].File != "%s#d>f" || !strings.Contains(statsText(closed), " seq_write=4") {
		t.Errorf("told at the close: %v", closed)
	}
	if _, l := e.Stats(); statsText(l) != before {
		t.Errorf("after the close:\n%s", statsText(l))
	}
	// What does not fit goes to the others.
	for i := range maxTallies + 10 {
		q.Do(ctx, &call.Request{Call: "s$delete_file", Path: fmt.Sprintf("%%s#d>none%d", i)}, &r)
	}
	_, l = e.Stats()
	if len(l) > maxTallies+1 || !strings.Contains(statsText(l), "(others) (others): delete_file=") {
		t.Errorf("%d sums", len(l))
	}
	q.Close()
}
