package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"drmesh/admin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

func parkedAt(t testing.TB, n *Node) []admin.Parked {
	t.Helper()
	l, err := engine{n}.Parked(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// parkedSum is how many operations the account of a module has as parked.
func parkedSum(t testing.TB, n *Node) (sum int64) {
	t.Helper()
	for _, l := range accountHolds(t, n).Lines {
		sum += l.Parked
	}
	return sum
}

// TestPromise5OneBadRecordNeverStopsTheStream parks what a module cannot show:
// a record that an index of its own refuses, and a file whose directory was
// removed there. The stream goes on; the cause mended, they show.
func TestPromise5OneBadRecordNeverStopsTheStream(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	east, west := nodes[0], nodes[1]
	ctx := context.Background()

	t.Run("an index of one module", func(t *testing.T) {
		keyedAt(t, east, "main:k")
		hasIndexes(t, "main:k", 2, nodes...)
		cw := program(t, west)
		if err := cw.CreateIndex(ctx, "main:k", "mail", []record.Component{{Position: 6, Length: 4}}, call.IndexHere); err != nil {
			t.Fatal(err)
		}
		ce := program(t, east)
		port := opened(t, ce, "main:k")
		for _, r := range []string{"0001xanna", "0002xanna", "0003xbert", "0004xanna"} {
			if err := ce.KeyedWrite(ctx, port, []byte(r)); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all is applied", func() bool { return applied(nodes...) })
		if l := parkedAt(t, west); len(l) != 2 || l[0].Reason == "" || l[0].File != "k" || l[0].Share != "main" {
			t.Errorf("parked at west: %+v", l)
		}
		if l := parkedAt(t, east); len(l) != 0 {
			t.Errorf("parked at east: %+v", l)
		}
		// Tried again, with or without a name, they stay for their reasons.
		first := parkedAt(t, west)[0]
		for _, id := range []string{"", first.ID, strings.ToUpper(first.ID[:10])} {
			if l, err := (engine{west}).RetryParked(ctx, id); err != nil || len(l) != 2 || l[0].Shown || l[0].Reason != first.Reason {
				t.Errorf("retry of %q: %+v, %v", id, l, err)
			}
		}
		if x, err := (engine{west}).ParkedVersion(ctx, first.ID); err != nil || string(x.Data) != "0002xanna" || x.By != "%east#m1" || x.At == nil || x.Fields != nil {
			t.Errorf("one of them: %+v, %v", x, err)
		}
		var refusal *admin.Error
		for id, class := range map[string]admin.Class{"": admin.Usage, "zz": admin.NotFound} { // all of two begin with nothing
			if _, err := (engine{west}).ParkedVersion(ctx, id); !errors.As(err, &refusal) || refusal.Class != class {
				t.Errorf("show of %q: %v", id, err)
			}
		}
		if sum := parkedSum(t, west); sum != 2 {
			t.Errorf("west's account has %d parked", sum)
		}
		wp := opened(t, cw, "main:k")
		if got, err := cw.KeyedRead(ctx, wp, "id", []byte("0003")); err != nil || string(got) != "0003xbert" {
			t.Errorf("what came after: %q, %v", got, err)
		}
		d, err := engine{west}.Digest(ctx, "main:k")
		if err != nil || d.Records != 2 || d.Parked != 2 {
			t.Errorf("digest at west: %+v, %v", d, err)
		}
		// The reason goes for one of them: the record in the way is deleted.
		if err := ce.KeyedDelete(ctx, port, []byte("0001")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "one of them shows", func() bool { return applied(nodes...) && len(parkedAt(t, west)) == 1 })
		if sum := parkedSum(t, west); sum != 1 {
			t.Errorf("west's account has %d parked", sum)
		}
		// A parked record is rewritten, and has a value of its own.
		if err := ce.KeyedRewrite(ctx, port, nil, []byte("0005xcarl")); call.CodeOf(err) != call.RecordNotFound {
			t.Errorf("a rewrite of what is not: %v", err)
		}
		if err := ce.KeyedWrite(ctx, port, []byte("0005xanna")); err != nil {
			t.Fatal(err)
		}
		if err := ce.KeyedRewrite(ctx, port, nil, []byte("0005xcarl")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the rewritten one shows", func() bool { return applied(nodes...) && len(parkedAt(t, west)) == 1 })
		// The index goes, and with it the reason.
		r := new(call.Reply)
		if err := cw.Detach(ctx, wp); err != nil {
			t.Fatal(err)
		}
		if err := cw.Do(ctx, &call.Request{Call: "drmesh$delete_local_index", Path: "main:k", Name: "mail"}, r); err != nil || r.Err() != nil {
			t.Fatal(err, r.Err())
		}
		if l := parkedAt(t, west); len(l) != 0 {
			t.Errorf("parked at west without the index: %+v", l)
		}
		if sum := parkedSum(t, west); sum != 0 {
			t.Errorf("west's account has %d parked", sum)
		}
		converged(t, nodes, "main:k")
	})

	t.Run("a directory removed here", func(t *testing.T) {
		ce, cw := program(t, east), program(t, west)
		if err := ce.CreateDir(ctx, "main:sub"); err != nil {
			t.Fatal(err)
		}
		put(t, east, "main:sub>old", "before")
		converged(t, nodes, "main:sub>old")
		r := new(call.Reply)
		if err := cw.Do(ctx, &call.Request{Call: "drmesh$remove_dir_here", Path: "main:sub"}, r); err != nil || r.Err() != nil {
			t.Fatal(err, r.Err())
		}
		put(t, east, "main:sub>new", "one", "two")
		put(t, east, "main:after", "goes on")
		eventually(t, "all is applied", func() bool { return applied(nodes...) })
		if l := parkedAt(t, west); len(l) != 2 || l[0].Reason == "" {
			t.Errorf("parked at west: %+v", l)
		}
		if got, err := content(west, "main:after"); err != nil || got != "goes on" {
			t.Errorf("what came after: %q, %v", got, err)
		}
		if _, err := content(west, "main:sub>new"); call.CodeOf(err) != call.ObjectNotFound {
			t.Errorf("a file without a directory: %v", err)
		}
		accountHolds(t, west)
		// It stays so over a restart.
		dir := west.dir.path
		shut(t, west)
		west = reopen(t, dir)
		nodes[1] = west
		writable(t, west)
		if l := parkedAt(t, west); len(l) != 2 {
			t.Errorf("parked at west after a restart: %+v", l)
		}
		cw = program(t, west)
		if err := cw.Do(ctx, &call.Request{Call: "drmesh$restore_dir_here", Path: "main:sub"}, r); err != nil || r.Err() != nil {
			t.Fatal(err, r.Err())
		}
		if l := parkedAt(t, west); len(l) != 0 {
			t.Errorf("parked at west with the directory: %+v", l)
		}
		if got, err := content(west, "main:sub>new"); err != nil || got != "one two" {
			t.Errorf("the file that came meanwhile: %q, %v", got, err)
		}
		converged(t, nodes, "main:sub>new", "main:sub>old", "main:after")
	})
}

// TestPromise4NothingVanishes has a program rewrite a record that was changed
// at another module since it read it: both images stay, whatever ends.
func TestPromise4NothingVanishes(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	east, west := nodes[0], nodes[1]
	keyedAt(t, east, "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	ctx := context.Background()
	ce, cw := program(t, east), program(t, west)
	pe, pw := opened(t, ce, "main:k"), opened(t, cw, "main:k")
	for i := range 3 {
		if err := ce.KeyedWrite(ctx, pe, []byte(fmt.Sprintf("000%da first", i))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all is applied", func() bool { return applied(nodes...) })
	// Under a lock of west's program, which remote changes do not wait for.
	for i := range 3 {
		key := []byte(fmt.Sprintf("000%d", i))
		if _, err := cw.KeyedRead(ctx, pw, "id", key); err != nil {
			t.Fatal(err)
		}
		if err := ce.KeyedRewrite(ctx, pe, nil, []byte(fmt.Sprintf("000%db of east", i))); err != nil {
			t.Fatal(err)
		}
		eventually(t, "west was overtaken", func() bool { return applied(nodes...) })
		if err := cw.SeqRewrite(ctx, pw, []byte(fmt.Sprintf("000%dc of west", i))); err != nil {
			t.Fatal(err)
		}
	}
	converged(t, nodes, "main:k")
	check := func(nodes []*Node) {
		t.Helper()
		l := sameConflicts(t, nodes)
		if len(l) != 3 {
			t.Errorf("%d conflicts, 3 expected: %+v", len(l), l)
		}
		for _, n := range nodes {
			all, err := engine{n}.Conflicts(ctx, "main")
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range all {
				one, err := engine{n}.Conflict(ctx, c.ID)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.HasSuffix(one.LoserData, []byte("b of east")) || !bytes.HasSuffix(one.Data, []byte("c of west")) || one.LoserBy != "%east#m1" || one.WinnerBy != "%west#m1" {
					t.Errorf("conflict %d at %s: %+v", i, n.dir.Module, one)
				}
			}
			if got, err := content(n, "main:k"); err != nil || got != "0000c of west 0001c of west 0002c of west" {
				t.Errorf("%s has %q, %v", n.dir.Module, got, err)
			}
			accountHolds(t, n)
		}
	}
	check(nodes)
	dir := nodes[2].dir.path
	shut(t, nodes[2])
	nodes[2] = reopen(t, dir)
	writable(t, nodes[2])
	check(nodes)

	// A delete of what was changed since it was read is no silent loss either.
	if _, err := cw.KeyedRead(ctx, pw, "id", []byte("0000")); err != nil {
		t.Fatal(err)
	}
	if err := ce.KeyedRewrite(ctx, pe, nil, []byte("0000d of east")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "west was overtaken", func() bool { return applied(nodes...) })
	if err := cw.SeqDelete(ctx, pw); err != nil {
		t.Fatal(err)
	}
	converged(t, nodes, "main:k")
	found := false
	for _, c := range sameConflicts(t, nodes) {
		found = found || bytes.Equal(c.LoserData, []byte("0000d of east")) || bytes.Equal(c.Data, []byte("0000d of east"))
	}
	if !found {
		t.Error("what east wrote is in no conflict")
	}
}

// TestALargeTransaction sends one txn of 20,000 operations: larger than a
// frame, it travels in parts and is applied whole.
func TestALargeTransaction(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	east := nodes[0]
	ctx := context.Background()
	c := program(t, east)
	if err := c.CreateFile(ctx, "main:large", call.OrgSequential, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateIndex(ctx, "main:large", "id", []record.Component{{Position: 1, Length: 8}}, 0); err != nil {
		t.Fatal(err)
	}
	r := new(call.Reply)
	if err := c.Do(ctx, &call.Request{Call: "s$set_transaction_file", Path: "main:large", Switches: 1}, r); err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	port := opened(t, c, "main:large")
	before := east.j.Tail(east.ownStreams()[0]).Seq
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	const records = 20000
	filler := bytes.Repeat([]byte("x"), 100)
	for i := range records {
		if err := c.KeyedWrite(ctx, port, append([]byte(fmt.Sprintf("%08d", i)), filler...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	s := east.ownStreams()[0]
	if got := east.j.Tail(s).Seq; got != before+1 {
		t.Errorf("%d txns, one expected", got-before)
	}
	l, err := east.j.Read(s, before, 1)
	if err != nil || len(l) != 1 || len(l[0].Bytes) < 2<<20 {
		t.Fatalf("entry: %d, %v", len(l), err)
	}
	converged(t, nodes, "main:large")
	for _, n := range nodes {
		if f, err := (engine{n}).File(ctx, "main:large"); err != nil || f.Records != records {
			t.Errorf("%s has %+v, %v", n.dir.Module, f, err)
		}
	}
}
