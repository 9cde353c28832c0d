package node

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

var stormSeed = flag.Uint64("storm.seed", 0, "seed of the storm; 0: of the clock")

// view is all that programs and operators can see of the shared files of a
// module: names, attributes, records in physical order and by each index,
// conflicts and claims.
func view(t testing.TB, n *Node) map[string]string {
	t.Helper()
	ctx := context.Background()
	out := map[string]string{}
	files, err := engine{n}.Files(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	c := program(t, n)
	for _, f := range files {
		if f.Share == "" {
			continue
		}
		rel := f.Share + ":" + f.Path[strings.LastIndexByte(f.Path, '>')+1:]
		f.Path = rel
		out[rel] = fmt.Sprintf("%+v", f)
		indexes := []string{""}
		for _, x := range f.Indexes {
			indexes = append(indexes, strings.Fields(x)[0])
		}
		for _, x := range indexes {
			o := call.OpenOptions{IO: call.DirtyInput, Lock: call.DontSetLock, Access: call.Sequential}
			if x != "" {
				o.Access, o.Index = call.Indexed, x
			}
			p, err := c.OpenPath(ctx, rel, o)
			if err != nil {
				t.Fatalf("open %s by %q at %s: %v", rel, x, n.dir.Module, err)
			}
			var b strings.Builder
			count := int64(0)
			for {
				r, err := c.SeqRead(ctx, p)
				if call.CodeOf(err) == call.EndOfFile {
					break
				}
				if err != nil {
					t.Fatalf("read %s by %q at %s: %v", rel, x, n.dir.Module, err)
				}
				fmt.Fprintf(&b, "%q ", r)
				count++
			}
			if err := c.Detach(ctx, p); err != nil {
				t.Fatal(err)
			}
			out[rel+" by "+x] = b.String()
			if x == "" && count != f.Records {
				t.Errorf("%s at %s: %d records, its status says %d", rel, n.dir.Module, count, f.Records)
			}
		}
	}
	return out
}

// sameView checks that all that can be seen is alike at all modules.
func sameView(t testing.TB, nodes []*Node) {
	t.Helper()
	first := view(t, nodes[0])
	for _, n := range nodes[1:] {
		v := view(t, n)
		for k, x := range first {
			if v[k] != x {
				t.Errorf("%s\n at %s: %.600s\n at %s: %.600s", k, nodes[0].dir.Module, x, n.dir.Module, v[k])
			}
		}
		for k := range v {
			if _, ok := first[k]; !ok {
				t.Errorf("%s is at %s and not at %s", k, n.dir.Module, nodes[0].dir.Module)
			}
		}
	}
	sameConflicts(t, nodes)
}

// storm does something of everything, as it comes. Codes that say no are
// answers; anything else is an error.
func storm(t testing.TB, n *Node, rnd *rand.Rand, steps int) {
	ctx := context.Background()
	p := n.eng.NewProcess("storm")
	defer p.Close()
	c := call.Client{Caller: p}
	file := func() string { return fmt.Sprintf("main:k%d", rnd.IntN(2)) }
	names := []string{"main:a", "main:b", "main:c"}
	name := func() string { return names[rnd.IntN(len(names))] }
	ok := func(what string, err error) bool {
		if err == nil {
			return true
		}
		switch call.CodeOf(err) {
		case call.NoTransaction, call.InvalidDuplicateKey, call.RecordNotFound, call.ObjectNotFound, call.FileExists, call.RecordInUse, call.FileInUse, call.TPAborted,
			call.IndexExists, call.RecordAlreadyExists, call.EndOfFile, call.NoCurrentRecord, call.InvalidFileType, call.IndexNotFound, call.InvalidRecordNumber:
			return false
		}
		t.Errorf("%s at %s: %v", what, n.dir.Module, err)
		return false
	}
	open := func(path string, org, io, access int, index string) int {
		port, err := c.OpenPath(ctx, path, call.OpenOptions{Org: org, IO: io, Lock: call.ImplicitLocking, Access: access, Index: index})
		if !ok("open "+path, err) {
			return 0
		}
		return port
	}
	serial := 0
	data := func() []byte {
		serial++
		// key, kind, mail (unique), text
		return []byte(fmt.Sprintf("%04d%c%02d %s %d", rnd.IntN(40), 'a'+byte(rnd.IntN(4)), rnd.IntN(60), n.dir.Module, serial))
	}
	change := func(port int) error {
		d := data()
		switch rnd.IntN(6) {
		case 0, 1:
			return c.KeyedWrite(ctx, port, d)
		case 2:
			return c.KeyedRewrite(ctx, port, nil, d)
		case 3:
			return c.KeyedDelete(ctx, port, d[:4])
		case 4: // read, think, rewrite under another key
			if _, err := c.KeyedRead(ctx, port, "id", d[:4]); err != nil {
				return err
			}
			if rnd.IntN(2) == 0 {
				time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond)
			}
			if rnd.IntN(3) > 0 {
				return c.SeqRewrite(ctx, port, d)
			}
			return c.SeqRewrite(ctx, port, data())
		default:
			if _, err := c.KeyedRead(ctx, port, "kind", d[4:5]); err != nil {
				return err
			}
			return c.SeqDelete(ctx, port)
		}
	}
	for range steps {
		switch rnd.IntN(14) {
		case 0, 1, 2, 3, 4:
			if port := open(file(), call.OrgSequential, call.Update, call.Indexed, "id"); port != 0 {
				for range 4 {
					ok("change", change(port))
				}
				ok("detach", c.Detach(ctx, port))
			}
		case 5, 6: // a transaction
			if port := open(file(), call.OrgSequential, call.Update, call.Indexed, "id"); port != 0 {
				if ok("start", c.Start(ctx)) {
					for range 1 + rnd.IntN(6) {
						ok("change", change(port))
					}
					if rnd.IntN(4) == 0 {
						ok("abort", c.Abort(ctx))
					} else if !ok("commit", c.Commit(ctx)) {
						c.Abort(ctx)
					}
				}
				ok("detach", c.Detach(ctx, port))
			}
		case 7, 8:
			if port := open("main:audit", call.OrgSequential, call.Append, call.Sequential, ""); port != 0 {
				ok("append", c.SeqWrite(ctx, port, data()))
				ok("detach", c.Detach(ctx, port))
			}
		case 9:
			if port := open("main:rel", call.OrgRelative, call.Update, call.Random, ""); port != 0 {
				_, err := c.RelWrite(ctx, port, int64(1+rnd.IntN(20)), data())
				ok("write number", err)
				_, err = c.RelWrite(ctx, port, 0, data())
				ok("write next", err)
				ok("detach", c.Detach(ctx, port))
			}
		case 10:
			if rnd.IntN(4) == 0 {
				ok("truncate", c.TruncateFile(ctx, file()))
			} else if port := open("main:audit", call.OrgSequential, call.Update, call.Sequential, ""); port != 0 {
				for range 1 + rnd.IntN(3) {
					if _, err := c.SeqRead(ctx, port); !ok("read", err) {
						break
					}
				}
				if rnd.IntN(2) == 0 {
					ok("delete", c.SeqDelete(ctx, port))
				} else {
					ok("rewrite", c.SeqRewrite(ctx, port, data()))
				}
				ok("detach", c.Detach(ctx, port))
			}
		case 11:
			ok("create", c.CreateFile(ctx, name(), []int{call.OrgSequential, call.OrgRelative}[rnd.IntN(2)], 200))
		case 12:
			from, to := name(), name()
			if from != to {
				ok("rename", c.Rename(ctx, from, strings.TrimPrefix(to, "main:")))
			}
		case 13:
			switch f := name(); rnd.IntN(3) {
			case 0:
				ok("delete file", c.DeleteFile(ctx, f))
			case 1:
				if port := open(f, call.OrgSequential, call.Append, call.Sequential, ""); port != 0 {
					ok("append", c.SeqWrite(ctx, port, data()))
					ok("detach", c.Detach(ctx, port))
				}
			default:
				ok("index", c.CreateIndex(ctx, f, "late", []record.Component{{Position: 1, Length: 4}}, rnd.IntN(2)*call.IndexDuplicates))
			}
		}
	}
}

// TestStorm has programs at three modules do something of everything at once,
// while links are cut and healed and a module starts again: in the end all see
// the same, and every operation is accounted for.
func TestStorm(t *testing.T) {
	t.Parallel()
	seed := *stormSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-storm.seed %d", seed)
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	for _, f := range []string{"main:k0", "main:k1"} {
		keyedAt(t, nodes[0], f)
		if err := program(t, nodes[0]).CreateIndex(context.Background(), f, "mail", []record.Component{{Position: 6, Length: 2}}, 0); err != nil {
			t.Fatal(err)
		}
		hasIndexes(t, f, 3, nodes...)
	}
	// One of them is written in transactions alone.
	r := new(call.Reply)
	if err := program(t, nodes[0]).Do(context.Background(), &call.Request{Call: "s$set_transaction_file", Path: "main:k1", Switches: 1}, r); err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	eventually(t, "that is known everywhere", func() bool { return applied(nodes...) })
	for round := range 3 {
		var wg sync.WaitGroup
		for i, n := range nodes {
			for w := range 2 {
				rnd := rand.New(rand.NewPCG(seed, uint64(round*10+i*2+w)))
				wg.Add(1)
				go func() {
					defer wg.Done()
					storm(t, n, rnd, 60)
				}()
			}
		}
		switch round {
		case 0:
			for _, l := range []admin.LinkChange{{A: "%east#m1", B: "%west#m1", Paused: true}, {A: "%north#m1", B: "%west#m1", Paused: true}} {
				if err := (engine{nodes[1]}).SetLink(context.Background(), l); err != nil {
					t.Error(err)
				}
			}
			wg.Wait()
			for _, l := range []admin.LinkChange{{A: "%east#m1", B: "%west#m1"}, {A: "%north#m1", B: "%west#m1"}} {
				if err := (engine{nodes[1]}).SetLink(context.Background(), l); err != nil {
					t.Error(err)
				}
			}
		case 1:
			wg.Wait()
			dir := nodes[2].dir.path
			shut(t, nodes[2])
			storm(t, nodes[0], rand.New(rand.NewPCG(seed, 99)), 30)
			nodes[2] = reopen(t, dir)
			writable(t, nodes[2])
		default:
			wg.Wait()
		}
		eventually(t, "all of everything everywhere", func() bool { return applied(nodes...) })
		converged(t, nodes)
		sameView(t, nodes)
		x := status(t, nodes[0])
		var txns uint64
		for _, s := range x.Streams {
			txns += s.Durable
		}
		files, err := engine{nodes[0]}.Files(context.Background(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: %d txns, %d files, %d open conflicts, %d withheld, %d parked", round, txns, len(files), x.Conflicts, x.Withheld, x.Parked)
		if t.Failed() {
			t.Fatalf("in round %d; -storm.seed %d", round, seed)
		}
	}
}

// TestJoinInAStorm has a module join while two others do something of
// everything and let go of their journals.
func TestJoinInAStorm(t *testing.T) {
	t.Setenv("DRMESH_JOURNAL_KEEP", "0")
	seed := *stormSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-storm.seed %d", seed)
	nodes := meshReady(t, "%east#m1", "%west#m1")
	for _, f := range []string{"main:k0", "main:k1"} {
		keyedAt(t, nodes[0], f)
		if err := program(t, nodes[0]).CreateIndex(context.Background(), f, "mail", []record.Component{{Position: 6, Length: 2}}, 0); err != nil {
			t.Fatal(err)
		}
		hasIndexes(t, f, 3, nodes...)
	}
	var wg sync.WaitGroup
	all := func(part, steps int) {
		for i, n := range nodes {
			rnd := rand.New(rand.NewPCG(seed, uint64(part*10+i)))
			wg.Go(func() { storm(t, n, rnd, steps) })
		}
	}
	cut := func(paused bool) {
		if err := (engine{nodes[0]}).SetLink(context.Background(), admin.LinkChange{A: "%east#m1", B: "%west#m1", Paused: paused}); err != nil {
			t.Error(err)
		}
	}
	cut(true) // so that there are conflicts
	all(0, 60)
	wg.Wait()
	cut(false)
	eventually(t, "all of everything everywhere", func() bool { return applied(nodes...) })
	stream := nodes[0].ownStreams()[0]
	eventually(t, "east lets go of its journal", func() bool { return nodes[0].j.Pruned(stream) > 30 })
	stop := make(chan struct{})
	for i, n := range nodes {
		wg.Go(func() {
			for part := 1; ; part++ {
				select {
				case <-stop:
					return
				default:
					storm(t, n, rand.New(rand.NewPCG(seed, uint64(part*10+i))), 5)
				}
			}
		})
	}
	third := joins(t, nodes[1], "%south#m1")
	eventually(t, "the third may write", func() bool { return mayWrite(third) })
	close(stop)
	wg.Wait()
	nodes = append(nodes, third)
	converged(t, nodes)
	sameView(t, nodes)
	if t.Failed() {
		t.Fatalf("after the join; -storm.seed %d", seed)
	}
	all(1000, 60)
	wg.Wait()
	converged(t, nodes)
	sameView(t, nodes)
	if t.Failed() {
		t.Fatalf("after the joiner wrote; -storm.seed %d", seed)
	}
}
