package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// upsert writes a record, rewrites it if it is there, or deletes it now and
// then.
func upsert(ctx context.Context, c call.Client, port int, key, text string) error {
	err := c.KeyedWrite(ctx, port, []byte(key+" "+text))
	switch {
	case call.CodeOf(err) != call.InvalidDuplicateKey:
		return err
	case strings.HasSuffix(text, "7"):
		err = c.KeyedDelete(ctx, port, []byte(key))
	default:
		err = c.KeyedRewrite(ctx, port, []byte(key), []byte(key+" "+text))
	}
	if call.CodeOf(err) == call.RecordNotFound {
		return nil // another module took it away meanwhile
	}
	return err
}

// TestProof: the modules hold the same, also while programs write, rewrite and
// delete at all of them; and what somebody changes on a disk behind a module's
// back is found, and named, and nothing else.
func TestProof(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	keyedAt(t, nodes[0], "main:f")
	hasIndexes(t, "main:f", 2, nodes...)
	writeRecords(t, nodes[0], "a", 40)
	put(t, nodes[2], "main:g", "one", "two", "three")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	prove := func(at *Node, scan bool) *admin.ShareProof {
		t.Helper()
		p, err := engine{at}.Prove(ctx, admin.ProofRequest{Scan: scan, Share: "main"})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Shares) != 1 || len(p.Shares[0].Modules) != 3 {
			t.Fatalf("%+v", p)
		}
		return &p.Shares[0]
	}
	if _, err := (engine{nodes[1]}).LastProof(ctx); err == nil {
		t.Error("there is a last proof before the first")
	}
	// Under load, from before the first summary on.
	wctx, stop := context.WithCancel(ctx)
	done := make(chan error, len(nodes))
	for i, n := range nodes {
		go func() {
			c := program(t, n)
			port, err := open(c, "main:f")
			for k := 0; err == nil && wctx.Err() == nil; k++ {
				key := fmt.Sprintf("%c%03d", 'p'+byte(k%2), k%50) // two modules at a time meet in each record
				if k%2 == i%2 {
					key = fmt.Sprintf("%c%03d", 'x'+byte(i), k%50)
				}
				err = upsert(ctx, c, port, key, fmt.Sprintf("%d.%d", i, k))
			}
			done <- err
		}()
	}
	for look := range 4 {
		if s := prove(nodes[look%3], look == 2); s.State != admin.ProofEqual {
			t.Errorf("look %d, under load: %s %s, %+v", look, s.State, s.Reason, s.Differences)
		}
	}
	stop()
	for range nodes {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all is applied", func() bool { return applied(nodes...) })
	for _, scan := range []bool{false, true} {
		s := prove(nodes[0], scan)
		if s.State != admin.ProofEqual || *s.Modules[0].Files != 2 || *s.Modules[0].Registers != *s.Modules[2].Registers {
			t.Errorf("scan %v: %+v", scan, s)
		}
		for _, m := range s.Modules {
			if len(m.Changed) > 0 {
				t.Errorf("scan %v: changed at %s: %v", scan, m.Module, m.Changed)
			}
		}
	}

	// A flipped bit at one module, a register that is gone at another.
	flip, drop := "a007", "a023"
	touch := func(n *Node, key string, fn func(k, v []byte) error) {
		t.Helper()
		id, addr, err := n.eng.AddressOf(shareMain(n).Root+">f", key)
		if err != nil {
			t.Fatal(err)
		}
		k := append(append([]byte("vr"), id[:]...), addr...) // as docs/formats.md has it
		v, closer, err := n.db.Get(k)
		if err != nil {
			t.Fatal(err)
		}
		defer closer.Close()
		if err := fn(k, append([]byte(nil), v...)); err != nil {
			t.Fatal(err)
		}
	}
	touch(nodes[1], flip, func(k, v []byte) error {
		v[len(v)-1] ^= 1
		return nodes[1].db.Set(k, v, pebble.Sync)
	})
	touch(nodes[2], drop, func(k, _ []byte) error { return nodes[2].db.Delete(k, pebble.Sync) })
	// The kept sums know nothing of it; a scan does, and says so until all is
	// mended.
	if s := prove(nodes[0], false); s.State != admin.ProofEqual {
		t.Errorf("without a scan: %+v", s)
	}
	for _, scan := range []bool{true, false} {
		s := prove(nodes[0], scan)
		if s.State != admin.ProofDiffers || len(s.Differences) != 2 {
			t.Fatalf("scan %v: %s %s, %+v", scan, s.State, s.Reason, s.Differences)
		}
		for _, d := range s.Differences {
			switch {
			case strings.Contains(d.Register, flip):
				if len(d.Held) != 3 || d.Held[0].Content != d.Held[2].Content || d.Held[1].Content == d.Held[0].Content {
					t.Errorf("%+v", d)
				}
			case strings.Contains(d.Register, drop):
				if len(d.Held) != 3 || d.Held[2].Version != "" || d.Held[0].Version == "" || d.Held[0].Content != d.Held[1].Content {
					t.Errorf("%+v", d)
				}
			default:
				t.Errorf("%+v does not differ", d)
			}
		}
		for i, m := range s.Modules {
			if changed := strings.Join(m.Changed, " "); changed != []string{"", "f", "f"}[i] {
				t.Errorf("scan %v: changed at %s: %q", scan, m.Module, changed)
			}
		}
	}
	if p, err := (engine{nodes[0]}).LastProof(ctx); err != nil || p.Shares[0].State != admin.ProofDiffers {
		t.Error(p, err)
	}
	if _, err := (engine{nodes[0]}).Prove(ctx, admin.ProofRequest{Share: "none"}); class(err) != admin.NotFound {
		t.Error(err)
	}
	// Each takes the state anew where the others agree, while programs write.
	if _, err := (engine{nodes[0]}).Sync(ctx, admin.SyncRequest{Share: "none"}); class(err) != admin.NotFound {
		t.Error(err)
	}
	if x, err := (engine{nodes[0]}).Sync(ctx, admin.SyncRequest{Share: "main"}); err != nil || x.From != "" || x.Differences != 2 {
		t.Errorf("at who is right: %+v, %v", x, err)
	}
	for i, key := range []string{1: flip, 2: drop} {
		if i == 0 {
			continue
		}
		writeRecords(t, nodes[0], string('g'+rune(i)), 5)
		x, err := engine{nodes[i]}.Sync(ctx, admin.SyncRequest{Share: "main"})
		if err != nil || x.From == "" || x.Left != 2-i || (x.State == admin.ProofEqual) != (i == 2) {
			t.Fatalf("at %s: %+v, %v", nodes[i].dir.Module, x, err)
		}
		b, err := os.ReadFile(x.Kept)
		var kept keptVersions
		if err != nil || json.Unmarshal(b, &kept) != nil || len(kept.Registers) != 1 || !strings.Contains(kept.Registers[0].Register, key) || len(kept.Registers[0].Versions) != 2-i {
			t.Errorf("kept: %s, %v", b, err)
		}
	}
	if s := prove(nodes[0], true); s.State != admin.ProofEqual || len(s.Modules[1].Changed)+len(s.Modules[2].Changed) > 0 {
		t.Errorf("after both: %+v", s)
	}
	writeRecords(t, nodes[1], "k", 3)
	writeRecords(t, nodes[2], "l", 3)
	eventually(t, "all is applied", func() bool { return applied(nodes...) })
	if s := prove(nodes[2], false); s.State != admin.ProofEqual {
		t.Errorf("after more writes: %+v", s)
	}
	if x, err := (engine{nodes[0]}).Account(ctx, admin.AccountRequest{Scan: true}); err != nil || len(x.Findings) > 0 {
		t.Errorf("the account: %+v, %v", x, err)
	}
	// Who is away is named, and nothing is said of the share.
	if err := nodes[2].Close(); err != nil {
		t.Fatal(err)
	}
	if s := prove(nodes[0], false); s.State != admin.ProofUnknown || s.Modules[2].Problem == nil || s.Modules[2].Registers != nil {
		t.Errorf("a module is away: %+v", s)
	}
}

// TestProofOfManyLost: what is lost at one module does not fit in one answer of
// another.
func TestProofOfManyLost(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	keyedAt(t, nodes[0], "main:f")
	hasIndexes(t, "main:f", 2, nodes...)
	writeRecords(t, nodes[0], "a", 300)
	eventually(t, "all is applied", func() bool { return applied(nodes...) })
	id, _, err := nodes[1].eng.AddressOf(shareMain(nodes[1]).Root+">f", "a007")
	if err != nil {
		t.Fatal(err)
	}
	from := append([]byte("vr"), id[:]...)
	to := append([]byte(nil), from...)
	to[len(to)-1]++
	if err := nodes[1].db.DeleteRange(from, to, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	st := nodes[0].ctl.state()
	for _, limit := range []int{1000, 50} {
		p := &prover{n: nodes[0], st: st, share: shareMain(nodes[0]), scan: true, limit: limit, answer: 20}
		x := p.prove(t.Context())
		if x.State != admin.ProofDiffers || len(x.Differences) != min(limit, 300) || x.More != (limit < 300) {
			t.Errorf("limit %d: %s %s, %d differences, more %v", limit, x.State, x.Reason, len(x.Differences), x.More)
		}
	}
}
