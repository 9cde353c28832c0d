package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"drmesh/admin/client"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
	"drmesh/vosio/socket"
)

const mainShare = `/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
`

// testMesh makes a mesh of served modules and puts tables in force; on return
// all of them may write. Everything is gone after the test.
func testMesh(t *testing.T, tables string, names ...string) *nodes {
	t.Helper()
	n := newNodes(t, names...)
	n.join(t, names...)
	n.apply(t, names[0], tables)
	n.caughtUp(t, names...)
	return n
}

// join makes a mesh of served modules.
func (n *nodes) join(t *testing.T, names ...string) {
	t.Helper()
	ports, err := freePorts(len(names))
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range names {
		listen := fmt.Sprintf("127.0.0.1:%d", ports[i])
		if i == 0 {
			n.drmesh(t, "init", "--dir", a, "--module", "%"+a+"#m1", "--listen", listen)
		} else {
			token := n.drmesh(t, "token", "create", "--dir", names[0])
			n.drmesh(t, "join", strings.TrimSpace(token), "--dir", a, "--module", "%"+a+"#m1", "--listen", listen)
		}
		if _, err := n.start(a); err != nil {
			t.Fatal(err)
		}
	}
}

// newNodes is a place for nodes, which ends with the test. Their logs are told
// when it fails.
func newNodes(t *testing.T, names ...string) *nodes {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	n := &nodes{dir: dir, run: map[string]*node{}}
	t.Cleanup(func() {
		n.end()
		if t.Failed() {
			for _, a := range names {
				t.Logf("log of %s:\n%s", a, n.log(a))
			}
		}
		os.RemoveAll(dir)
	})
	return n
}

// apply puts tables in force.
func (n *nodes) apply(t *testing.T, name, tables string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, "tables.tin"), []byte(tables), 0o600); err != nil {
		t.Fatal(err)
	}
	n.drmesh(t, "control", "apply", "tables.tin", "--dir", name, "--timeout", "30s")
}

// drmesh runs a command that must work, and gives its standard output.
func (n *nodes) drmesh(t *testing.T, args ...string) string {
	t.Helper()
	var out, say bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, &out, &say
	if err := cmd.Run(); err != nil {
		t.Fatalf("drmesh %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), say.String())
	}
	return out.String()
}

// caughtUp waits until all modules have what any had.
func (n *nodes) caughtUp(t *testing.T, names ...string) {
	t.Helper()
	for _, a := range names {
		n.drmesh(t, "status", "--wait-for", "caught-up", "--timeout", "90s", "--dir", a, "-o", "json")
	}
}

// port is an application's open file at one module.
type port struct {
	call.Client
	conn *socket.Client
	n    int
}

func (n *nodes) open(ctx context.Context, name, path string, o call.OpenOptions) (*port, error) {
	c, err := client.DialSocket(ctx, filepath.Join(n.dir, name), "app.sock")
	if err != nil {
		return nil, err
	}
	s, err := socket.NewClient(ctx, c, "e2e")
	if err != nil {
		return nil, err
	}
	p := &port{Client: call.Client{Caller: s}, conn: s}
	if o.Lock == 0 {
		o.Lock = call.ImplicitLocking
	}
	if path != "" {
		if p.n, err = p.OpenPath(ctx, path, o); err != nil {
			s.Close()
			return nil, err
		}
	}
	return p, nil
}

// keyedFile makes a sequential file whose records begin with an 8-byte key.
func (n *nodes) keyedFile(t *testing.T, name, path string) {
	t.Helper()
	p, err := n.open(t.Context(), name, "", call.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.conn.Close()
	if err := p.CreateFile(t.Context(), path, call.OrgSequential, 0); err != nil {
		t.Fatal(err)
	}
	if err := p.CreateIndex(t.Context(), path, "key", []record.Component{{Position: 1, Length: 8}}, 0); err != nil {
		t.Fatal(err)
	}
}

// TestKillAtAnyTimeLosesNothingAcknowledged has programs write at three
// modules while each is killed again and again. Every record whose call was
// answered is at all modules in the end, once; records whose call was not
// answered are there or not, alike everywhere. Promise 1: capture has no
// window. Promise 2: once.
func TestKillAtAnyTimeLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "c"}
	n := testMesh(t, mainShare, names...)
	n.keyedFile(t, "a", "main:f")
	n.caughtUp(t, names...)

	const rounds = 6
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex // protects acked and tried
	acked, tried := map[string]bool{}, map[string]bool{}
	var writers sync.WaitGroup
	for i, a := range names {
		for w := range 4 {
			writers.Go(func() {
				seq := 0
				for ctx.Err() == nil {
					p, err := n.open(ctx, a, "main:f", call.OpenOptions{IO: call.Append, Access: call.Sequential})
					if err != nil {
						continue // being killed; the dial waits
					}
					for ctx.Err() == nil {
						seq++
						rec := fmt.Sprintf("%d%d%06d written at %s", i, w, seq, a)
						mu.Lock()
						tried[rec] = true
						mu.Unlock()
						if err = p.SeqWrite(ctx, p.n, []byte(rec)); err != nil {
							break
						}
						mu.Lock()
						acked[rec] = true
						mu.Unlock()
					}
					p.conn.Close()
				}
			})
		}
	}
	written := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acked)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		// Somewhere in the next few hundred records.
		until := written() + 50 + rng.IntN(400)
		for deadline := time.Now().Add(time.Minute); written() < until; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("round %d: nothing is written any more: %d records", round, written())
			}
		}
		a := names[round%len(names)]
		n.run[a].cmd.Process.Kill()
		<-n.run[a].done
		if _, err := n.start(a); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	writers.Wait()
	n.caughtUp(t, names...)

	first := ""
	for _, a := range names {
		dump := n.drmesh(t, "file", "dump", "main:f", "--dir", a)
		if first == "" {
			first = dump
		} else if dump != first {
			t.Errorf("%s and %s hold different records", a, names[0])
		}
		n.drmesh(t, "account", "--scan", "--dir", a)
	}
	got := map[string]int{}
	for l := range strings.Lines(first) {
		got[strings.TrimSuffix(l, "\n")]++
	}
	for r := range acked {
		if got[r] != 1 {
			t.Errorf("%q was acknowledged and is there %d times", r, got[r])
		}
	}
	for r, k := range got {
		if !tried[r] || k != 1 {
			t.Errorf("%q is there %d times", r, k)
		}
	}
	t.Logf("%d records acknowledged, %d there, %d kills", len(acked), len(got), rounds)
}
