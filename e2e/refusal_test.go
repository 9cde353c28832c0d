package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// TestRefusedCalls: a call that cannot be carried out gives its code, and
// leaves file and position as they were, at the other module, too.
func TestRefusedCalls(t *testing.T) {
	t.Parallel()
	n := testMesh(t, mainShare, "a", "b")
	ctx := t.Context()
	n.keyedFile(t, "a", "main:keyed")
	made, err := n.open(ctx, "a", "", call.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer made.conn.Close()
	if err := made.CreateFile(ctx, "main:fixed", call.OrgFixed, 10); err != nil {
		t.Fatal(err)
	}
	if err := made.CreateFile(ctx, "main:slots", call.OrgRelative, 10); err != nil {
		t.Fatal(err)
	}
	// open opens another connection's port of a file, with three records in it.
	open := func(path string, o call.OpenOptions) *port {
		t.Helper()
		p, err := n.open(ctx, "a", path, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.conn.Close() })
		return p
	}
	fill := func(path string, records ...string) {
		t.Helper()
		p := open(path, call.OpenOptions{IO: call.Update, Access: call.Sequential})
		for _, r := range records {
			if err := p.SeqWrite(ctx, p.n, []byte(r)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Detach(ctx, p.n); err != nil {
			t.Fatal(err)
		}
	}
	fill("main:keyed", "00000001 one", "00000002 two", "00000003 three")
	fill("main:fixed", "1234567890", "abcdefghij", "ABCDEFGHIJ")
	fill("main:slots", "one", "two", "three")
	seq := call.OpenOptions{IO: call.Update, Access: call.Sequential}
	input := call.OpenOptions{IO: call.Input, Access: call.Sequential}
	for _, c := range []struct {
		name, path string
		how        call.OpenOptions
		do         func(p *port) error
		code       call.Code
	}{
		{"a key longer than its index", "main:keyed", call.OpenOptions{IO: call.Update, Access: call.Indexed, Index: "key"},
			func(p *port) error { _, err := p.KeyedRead(ctx, p.n, "key", []byte("000000001")); return err }, call.KeyTooLong},
		{"a record that is there already", "main:keyed", seq,
			func(p *port) error { return p.SeqWrite(ctx, p.n, []byte("00000003 again")) }, call.InvalidDuplicateKey},
		{"a rewrite to a key that is there already", "main:keyed", seq,
			func(p *port) error { return p.SeqRewrite(ctx, p.n, []byte("00000003 again")) }, call.InvalidDuplicateKey},
		{"a record longer than any", "main:keyed", seq,
			func(p *port) error { return p.SeqWrite(ctx, p.n, []byte("00000009"+strings.Repeat("x", 32760))) }, call.RecordTooLong},
		{"a record longer than its relative file's", "main:slots", seq,
			func(p *port) error { return p.SeqWrite(ctx, p.n, []byte("eleven byte")) }, call.RecordTooLong},
		{"a rewrite longer than its relative file's", "main:slots", seq,
			func(p *port) error { return p.SeqRewrite(ctx, p.n, []byte("eleven byte")) }, call.RecordTooLong},
		{"a record longer than its fixed file's", "main:fixed", seq,
			func(p *port) error { return p.SeqWrite(ctx, p.n, []byte("eleven byte")) }, call.RecordTooLong},
		{"a record shorter than its fixed file's", "main:fixed", seq,
			func(p *port) error { return p.SeqRewrite(ctx, p.n, []byte("short")) }, call.RecordTooLong},
		{"a write through a port for input", "main:keyed", input,
			func(p *port) error { return p.SeqWrite(ctx, p.n, []byte("00000009 no")) }, call.InvalidIOType},
		{"a delete through a port for input", "main:slots", input,
			func(p *port) error { return p.SeqDelete(ctx, p.n) }, call.InvalidIOType},
		{"a keyed call through a sequential port", "main:keyed", seq,
			func(p *port) error { return p.KeyedDelete(ctx, p.n, []byte("00000001")) }, call.InvalidAccessMode},
		{"an index that there is not", "main:keyed", call.OpenOptions{IO: call.Update, Access: call.Indexed, Index: "key"},
			func(p *port) error { _, err := p.KeyedRead(ctx, p.n, "none", []byte("00000001")); return err }, call.IndexNotFound},
		{"an index with a key of no length", "main:keyed", seq,
			func(p *port) error {
				return p.CreateIndex(ctx, "main:keyed", "empty", []record.Component{{Position: 1, Length: 0}}, 0)
			}, 0},
		{"a position before the beginning", "main:slots", seq,
			func(p *port) error { return p.SeqPosition(ctx, p.n, call.PosBackward, 99) }, call.BeginningOfFile},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := n.drmesh(t, "file", "digest", c.path, "--dir", "a")
			p := open(c.path, c.how)
			var second string
			if c.how.Access == call.Sequential {
				if _, err := p.SeqRead(ctx, p.n); err != nil {
					t.Fatal(err)
				}
				other := open(c.path, input) // which does nothing wrong
				for range 2 {
					b, err := other.SeqRead(ctx, other.n)
					if err != nil {
						t.Fatal(err)
					}
					second = string(b)
				}
				other.conn.Close()
			}
			err := c.do(p)
			if c.code == 0 && err == nil || c.code != 0 && call.CodeOf(err) != c.code {
				t.Errorf("%v, want %s", err, c.code.Name())
			}
			if after := n.drmesh(t, "file", "digest", c.path, "--dir", "a"); after != before {
				t.Errorf("the file was changed: %s, it was %s", after, before)
			}
			if second != "" && c.code != call.BeginningOfFile {
				if b, err := p.SeqRead(ctx, p.n); err != nil || string(b) != second {
					t.Errorf("the next record is %q, %v, want %q", b, err, second)
				}
			}
			p.conn.Close()
		})
	}
	n.caughtUp(t, "a", "b")
	for _, path := range []string{"main:keyed", "main:fixed", "main:slots"} {
		if a, b := n.drmesh(t, "file", "digest", path, "--dir", "a"), n.drmesh(t, "file", "digest", path, "--dir", "b"); a != b {
			t.Errorf("%s: digests differ: %s %s", path, a, b)
		}
	}
}

// TestAPeerThatAnswersNothing stops one of three modules where it stands, with
// its connections open: it costs the others no memory and no time, and has all
// it missed when it goes on.
func TestAPeerThatAnswersNothing(t *testing.T) {
	t.Parallel()
	n := testMesh(t, mainShare, "a", "b", "c")
	n.keyedFile(t, "a", "main:f")
	n.caughtUp(t, "a", "b", "c")
	before := n.rss(t, "a")
	stopped := n.run["c"].cmd.Process
	if err := stopped.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer stopped.Signal(syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p, err := n.open(ctx, "a", "main:f", call.OpenOptions{IO: call.Update, Access: call.Sequential})
	if err != nil {
		t.Fatal(err)
	}
	defer p.conn.Close()
	const records, size = 4000, 8000 // 32 MB, more than any window
	slowest := time.Duration(0)
	for i := range records {
		began := time.Now()
		if err := p.SeqWrite(ctx, p.n, fmt.Appendf(nil, "%08d%s", i, strings.Repeat("x", size))); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
	}
	if slowest > 10*time.Second {
		t.Errorf("a write took %v", slowest)
	}
	has := func(name string) int64 {
		var f admin.File
		if err := json.Unmarshal([]byte(n.drmesh(t, "file", "info", "main:f", "--dir", name, "-o", "json")), &f); err != nil {
			t.Fatal(err)
		}
		return f.Records
	}
	for has("b") != records { // bounded by ctx
		if ctx.Err() != nil {
			t.Fatalf("b has %d of %d records", has("b"), records)
		}
	}
	if now := n.rss(t, "a"); now > before+200 {
		t.Errorf("a had %.0f MB, now it has %.0f", before, now)
	}
	if err := stopped.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	n.caughtUp(t, "a", "b", "c")
	if has("c") != records {
		t.Errorf("c has %d of %d records", has("c"), records)
	}
}
