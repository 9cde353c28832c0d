package vosiotest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drmesh/vosio/call"
	"drmesh/vosio/record"
	"drmesh/vosio/socket"
)

// TestManyProgramsAndTheirDeaths: programs move money between accounts in
// transactions, over the socket, and stand in each other's way; now and then
// one dies in the middle. No money comes or goes, no lock and no process stays.
func TestManyProgramsAndTheirDeaths(t *testing.T) {
	const accounts, programs = 8, 6
	rounds := 60
	m := openModule(t, 1, true, nil, nil)
	defer m.close(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := m.eng.MakeDirs(ctx, root); err != nil {
		t.Fatal(err)
	}
	path := root + ">bank"
	dial := func(name string) (*socket.Client, call.Client) {
		s, err := socket.Dial(ctx, filepath.Join(m.dir, "app.sock"), name)
		if err != nil {
			t.Error(err)
		}
		return s, call.Client{Caller: s}
	}
	open := func(c call.Client) int {
		p, err := c.OpenPath(ctx, path, call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"})
		if err != nil {
			t.Error(err)
		}
		return p
	}
	s, c := dial("teller")
	if err := c.CreateFile(ctx, path, call.OrgSequential, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateIndex(ctx, path, "id", []record.Component{{Position: 1, Length: 2}}, 0); err != nil {
		t.Fatal(err)
	}
	port := open(c)
	for i := range accounts {
		if err := c.KeyedWrite(ctx, port, fmt.Appendf(nil, "%02d1000", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Detach(ctx, port); err != nil {
		t.Fatal(err)
	}
	var r call.Reply
	if err := c.Do(ctx, &call.Request{Call: "s$set_transaction_file", Path: path, Switches: 1}, &r); err != nil || r.Code != 0 {
		t.Fatal(err, r.Err())
	}
	var done, aborted, died atomic.Int64
	var wg sync.WaitGroup
	for w := range programs {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 11))
			s, c := dial(fmt.Sprintf("mover%d", w))
			defer func() { s.Close() }()
			port := open(c)
			// move takes money from one account to another, in one transaction.
			move := func(from, to, sum int, die bool) error {
				if err := c.Start(ctx); err != nil {
					return err
				}
				for _, a := range []struct{ account, add int }{{from, -sum}, {to, sum}} {
					key := fmt.Appendf(nil, "%02d", a.account)
					got, err := c.KeyedRead(ctx, port, "", key)
					if err != nil {
						return err
					}
					have, err := strconv.Atoi(string(got[2:]))
					if err != nil {
						return err
					}
					if err := c.KeyedRewrite(ctx, port, nil, fmt.Appendf(nil, "%02d%d", a.account, have+a.add)); err != nil {
						return err
					}
				}
				if die {
					s.Close()
					return socket.ErrLost
				}
				return c.Commit(ctx)
			}
			for range rounds {
				from := rnd.IntN(accounts)
				to := (from + 1 + rnd.IntN(accounts-1)) % accounts
				switch err := move(from, to, rnd.IntN(100), rnd.IntN(20) == 0); {
				case err == nil:
					done.Add(1)
				case errors.Is(err, call.TPAborted):
					aborted.Add(1)
					if err := c.Abort(ctx); err != nil {
						t.Error("abort:", err)
						return
					}
				case errors.Is(err, socket.ErrLost):
					died.Add(1)
					s, c = dial(fmt.Sprintf("mover%d", w))
					port = open(c)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	port = open(c)
	sum := 0
	for range accounts {
		got, err := c.SeqRead(ctx, port)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(string(got[2:]))
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if sum != accounts*1000 {
		t.Errorf("%d in all accounts, %d at the start", sum, accounts*1000)
	}
	s.Close()
	for end := time.Now().Add(patience); len(m.eng.Processes()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still there: %v", m.eng.Processes())
		}
	}
	if n := m.eng.LockCount(); n != 0 {
		t.Errorf("%d locks are left", n)
	}
	t.Logf("%d moved, %d aborted, %d died", done.Load(), aborted.Load(), died.Load())
	if done.Load() < 50 || aborted.Load() == 0 || died.Load() == 0 {
		t.Errorf("it proves little: %d moved, %d aborted, %d died", done.Load(), aborted.Load(), died.Load())
	}
	for _, a := range m.eng.Account() {
		if a.Missing() != 0 {
			t.Errorf("account: %+v", a)
		}
	}
}
