package vosio

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio/call"
	"drmesh/vosio/lock"
)

// locking is a lock table and what its users have got, in order.
type locking struct {
	t *testing.T
	l lockTable

	mu  sync.Mutex // protects got
	got []string
}

func newLocking(t *testing.T) *locking {
	x := &locking{t: t}
	x.l.init()
	return x
}

// ask locks in a goroutine of its own, which ends with the answer.
func (x *locking) ask(ctx context.Context, who string, o lock.Owner, object string, m lock.Mode, limit time.Duration) {
	go func() {
		err := x.l.acquire(ctx, o, object, m, limit, call.RecordInUse)
		x.mu.Lock()
		defer x.mu.Unlock()
		switch c := call.CodeOf(err); {
		case err == nil:
			x.got = append(x.got, who)
		case ctx.Err() != nil:
			x.got = append(x.got, who+":gives_up")
		default:
			x.got = append(x.got, who+":"+c.Name())
		}
	}()
	synctest.Wait()
}

// sees checks what was got since the last look, in whatever order at once.
func (x *locking) sees(want string) {
	x.t.Helper()
	synctest.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	wanted := strings.Fields(want)
	slices.Sort(wanted)
	slices.Sort(x.got)
	if !slices.Equal(x.got, wanted) {
		x.t.Errorf("got %q, want %q", x.got, wanted)
	}
	x.got = nil
}

func TestWhoWaitsFirstIsServedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, ctx := newLocking(t), context.Background()
		var o []lock.Owner
		for i := range 8 {
			o = append(o, x.l.owner(uint64(i)))
		}
		x.ask(ctx, "reader1", o[1], "r", lock.Shared, forever)
		x.ask(ctx, "reader2", o[2], "r", lock.Shared, forever)
		x.ask(ctx, "writer3", o[3], "r", lock.Exclusive, forever)
		giving, give := context.WithCancel(ctx)
		x.ask(giving, "writer4", o[4], "r", lock.Exclusive, forever)
		x.ask(ctx, "reader5", o[5], "r", lock.Shared, lockWait)
		x.ask(ctx, "reader6", o[6], "r", lock.Shared, noWait)
		x.sees("reader1 reader2 reader6:e$record_in_use")
		x.l.releaseAll(o[1])
		x.sees("")
		x.l.releaseAll(o[2])
		x.sees("writer3")
		give()
		x.sees("writer4:gives_up")
		x.ask(ctx, "reader7", o[7], "r", lock.Shared, lockWait)
		time.Sleep(lockWait - time.Millisecond)
		x.sees("")
		time.Sleep(time.Millisecond)
		x.sees("reader5:e$timeout reader7:e$timeout")
		x.l.releaseAll(o[3])
		if x.l.t.Len() != 0 || len(x.l.waiters) != 0 {
			t.Errorf("left over: %+v", x.l.t)
		}
	})
}

// Of those that wait in a circle the youngest transaction of the lowest
// priority gives way, and never one that is not in it.
func TestCircles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, ctx := newLocking(t), context.Background()
		lost := ""
		txn := func(process uint64, name string, priority int) lock.Owner {
			o := x.l.owner(process)
			x.l.rank(o, priority, func() { lost += name + " " })
			return o
		}
		old, young, bystander := txn(1, "old", 0), txn(2, "young", 0), txn(3, "bystander", 0)
		x.ask(ctx, "old", old, "a", lock.Exclusive, forever)
		x.ask(ctx, "young", young, "b", lock.Exclusive, forever)
		x.ask(ctx, "bystander", bystander, "a", lock.Exclusive, forever)
		x.ask(ctx, "young", young, "a", lock.Exclusive, forever)
		x.ask(ctx, "old", old, "b", lock.Exclusive, forever)
		x.sees("old young young:e$tp_aborted old")
		if lost != "young " {
			t.Errorf("lost: %s", lost)
		}
		// A port that gives its lock back between two calls is in no circle.
		port := x.l.owner(4)
		x.ask(ctx, "port", port, "c", lock.Shared, forever)
		x.ask(ctx, "old", old, "c", lock.Exclusive, forever)
		x.l.release(port, "c")
		x.ask(ctx, "port", port, "b", lock.Shared, lockWait)
		x.sees("port old")
		if lost != "young " {
			t.Errorf("lost: %s", lost)
		}
		x.l.releaseAll(old)
		x.sees("bystander port")
		// A program that waits for itself would wait for good.
		other := x.l.owner(4)
		x.ask(ctx, "other", other, "b", lock.Exclusive, forever)
		x.sees("other:e$record_in_use")
	})
}

// lastTxn is the latest txn of a stream in an engine's journal.
func lastTxn(t testing.TB, e *testEngine, s origin.Stream) (*origin.Txn, []byte) {
	t.Helper()
	at := e.j.Tail(s).Seq
	l, err := e.j.Read(s, at-1, 1<<20)
	if err != nil || len(l) != 1 {
		t.Fatal(len(l), err)
	}
	txn := new(origin.Txn)
	if err := entry.Decode(l[0].Bytes, origin.Dot{Stream: s, Seq: at}, txn); err != nil {
		t.Fatal(err)
	}
	return txn, l[0].Bytes
}

// TestHungry has a transaction lose to another module's txns again and again:
// after three times they wait for it, 200 ms at most, in virtual time.
func TestHungry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, far := openEngine(t, vfs.NewMem(), 1, false), openEngine(t, vfs.NewMem(), 2, false)
		defer e.close(t)
		defer far.close(t)
		ctx := context.Background()
		keyedFile(t, far, "%s#d>main>a")
		if err := far.setAttribute(ctx, "test", "%s#d>main>a", attrTransaction, "1"); err != nil {
			t.Fatal(err)
		}
		open := call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"}
		fp := far.NewProcess("far")
		defer fp.Close()
		fc := call.Client{Caller: fp}
		fport, err := fc.OpenPath(ctx, "%s#d>main>a", open)
		if err != nil {
			t.Fatal(err)
		}
		stream := origin.Stream{Group: 1, Module: 2, Incarnation: 1}
		// remote writes at the other module, and gives the txn.
		remote := func(key int, what string, insert bool) (*origin.Txn, []byte) {
			t.Helper()
			if err := fc.Start(ctx); err != nil {
				t.Fatal(err)
			}
			data := fmt.Appendf(nil, "%04d%s", key, what)
			err := fc.KeyedRewrite(ctx, fport, nil, data)
			if insert {
				err = fc.KeyedWrite(ctx, fport, data)
			}
			if err == nil {
				err = fc.Commit(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
			return lastTxn(t, far, stream)
		}
		remote(1, "first", true)
		remote(2, "first", true)
		ship(t, far, e, stream)
		p := e.NewProcess("near")
		defer p.Close()
		c := call.Client{Caller: p}
		port, err := c.OpenPath(ctx, "%s#d>main>a", open)
		if err != nil {
			t.Fatal(err)
		}
		// attempt reads record 1 in a transaction, has a txn of the far module
		// come, and commits.
		attempt := func(come func(x *origin.Txn, entry []byte), between func()) error {
			t.Helper()
			if err := c.Start(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := c.KeyedRead(ctx, port, "", []byte("0001")); err != nil {
				t.Fatal(err)
			}
			if err := c.SeqRewrite(ctx, port, []byte("0001near")); err != nil {
				t.Fatal(err)
			}
			come(remote(1, "far", false))
			between()
			err := c.Commit(ctx)
			if err != nil {
				if err := c.Abort(ctx); err != nil {
					t.Fatal(err)
				}
			}
			return err
		}
		apply := func(x *origin.Txn, entry []byte) {
			t.Helper()
			if err := e.Apply(ctx, x, entry, false); err != nil {
				t.Fatal(err)
			}
		}
		// arrives is what the applier does.
		waited := time.Duration(-1)
		arrives := func(x *origin.Txn, entry []byte) {
			waited = -1
			began := time.Now()
			var step func()
			woken := make(chan struct{}, 1)
			step = func() { woken <- struct{}{} }
			if !e.Hold(x, step) {
				apply(x, entry)
				return
			}
			go func() {
				<-woken
				if e.Hold(x, step) {
					t.Error("it is to wait again")
				}
				waited = time.Since(began)
				apply(x, entry)
			}()
		}
		nothing := func() {}
		for i := range patience {
			if err := attempt(arrives, nothing); call.CodeOf(err) != call.TPAborted {
				t.Fatalf("attempt %d: %v", i, err)
			}
			if waited >= 0 {
				t.Fatalf("the remote txn waited at attempt %d", i)
			}
		}
		// Now it is waited for, and wins; the remote txn follows.
		if err := attempt(arrives, func() {
			if x, _ := remote(2, "free", false); e.Hold(x, nothing) {
				t.Error("a txn on another record is held")
			}
			time.Sleep(150 * time.Millisecond)
		}); err != nil {
			t.Fatalf("the hungry transaction: %v", err)
		}
		synctest.Wait()
		if waited != 150*time.Millisecond {
			t.Errorf("the remote txn waited %v", waited)
		}
		ship(t, far, e, stream)
		// One that thinks for too long is not waited for longer than the bound,
		// and has to lose as often again before the next.
		for i := range patience {
			if err := attempt(arrives, nothing); call.CodeOf(err) != call.TPAborted {
				t.Fatalf("attempt %d: %v", i, err)
			}
		}
		if err := attempt(arrives, func() { time.Sleep(time.Second); synctest.Wait() }); call.CodeOf(err) != call.TPAborted {
			t.Fatalf("one that took a second: %v", err)
		}
		if waited != maxHunger {
			t.Errorf("the remote txn waited %v", waited)
		}
		if err := attempt(arrives, nothing); call.CodeOf(err) != call.TPAborted || waited >= 0 {
			t.Fatalf("after it: %v, waited %v", err, waited)
		}
		if n := e.locks.starved.Load(); n != 0 {
			t.Errorf("%d are hungry still", n)
		}
	})
}

// twoShares are main and side, in groups 1 and 2.
type twoShares struct{ oneShare }

func (r twoShares) Locate(full string) (*Share, string) {
	if rel, ok := strings.CutPrefix(full, "%s#d>side>"); ok {
		return r.Share("side"), rel
	}
	return r.oneShare.Locate(full)
}

func (r twoShares) Share(name string) *Share {
	if name == "side" {
		return &Share{Name: "side", Group: 2, Stream: origin.Stream{Group: 2, Module: 1, Incarnation: 1}, Root: "%s#d>side", Policy: 1}
	}
	return r.oneShare.Share(name)
}

func (r twoShares) Shares() []*Share { return []*Share{r.s, r.Share("side")} }

// The write that brings a second group into a transaction is refused; the
// transaction goes on with what it has.
func TestTwoGroups(t *testing.T) {
	e := openEngine(t, vfs.NewMem(), 1, false)
	defer e.close(t)
	if err := e.SetRules(twoShares{newOneShare(1)}); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	p := e.NewProcess("test")
	defer p.Close()
	c := call.Client{Caller: p}
	port := map[string]int{}
	for _, path := range []string{"%s#d>main>a", "%s#d>side>b", "%s#d>own"} {
		keyedFile(t, e, path)
		if err := e.setAttribute(ctx, "test", path, attrTransaction, "1"); err != nil {
			t.Fatal(err)
		}
		var err error
		port[path], err = c.OpenPath(ctx, path, call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		path, data string
		want       call.Code
	}{
		{"%s#d>own", "0001 of nobody", 0},
		{"%s#d>side>b", "0001 of side", 0},
		{"%s#d>main>a", "0001 of main", call.TwoGroups},
		{"%s#d>side>b", "0002 of side", 0},
	} {
		if err := c.KeyedWrite(ctx, port[x.path], []byte(x.data)); call.CodeOf(err) != x.want {
			t.Errorf("%s in %s: %v", x.data, x.path, err)
		}
	}
	if err := c.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	for path, n := range map[string]int64{"%s#d>own": 1, "%s#d>side>b": 2, "%s#d>main>a": 0} {
		if x, err := e.Info(path); err != nil || x.Records != n {
			t.Errorf("%s has %d records, %v; want %d", path, x.Records, err, n)
		}
	}
}
