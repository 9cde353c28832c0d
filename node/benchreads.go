package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"syscall"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// spending is what the process has used since a moment.
type spending struct {
	once   sync.Once
	timer  *time.Timer
	cpu    time.Duration
	allocs runtime.MemStats
}

// spend begins to count after a while; by ends it.
func spend(after time.Duration) *spending {
	s := new(spending)
	begin := func() {
		s.once.Do(func() {
			runtime.ReadMemStats(&s.allocs)
			s.cpu = usedTime()
		})
	}
	if after > 0 {
		s.timer = time.AfterFunc(after, begin)
	} else {
		begin()
	}
	return s
}

// by gives each of n calls its part.
func (s *spending) by(r *admin.BenchResult, n int64) {
	cpu := usedTime()
	if s.timer != nil {
		s.timer.Stop()
	}
	began := true
	s.once.Do(func() { began = false })
	if !began || n == 0 {
		return
	}
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	r.CPU = float64((cpu - s.cpu).Nanoseconds()) / 1000 / float64(n)
	r.Allocs = float64(now.Mallocs-s.allocs.Mallocs) / float64(n)
	r.AllocBytes = float64(now.TotalAlloc-s.allocs.TotalAlloc) / float64(n)
}

// usedTime is what this process has used, user and system.
func usedTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchReads has programs of this node read a file of ascending keys, and see
// to it that they get what they ask for.
func (n *Node) benchReads(ctx context.Context, full string, r admin.BenchRequest) (*admin.BenchResult, error) {
	if r.Call == "keyed_read" && r.Records < 1 {
		return nil, failure(admin.Usage, "bad_bench", "from 1", "bench: %d records", r.Records)
	}
	begun := time.Now()
	from := begun.Add(r.Warmup)
	until := from.Add(r.Duration)
	spent := spend(r.Warmup)
	counted := make([]int64, r.Callers)
	all := make([]int64, r.Callers)
	errs := make([]error, r.Callers)
	var wg sync.WaitGroup
	for i := range r.Callers {
		wg.Go(func() { errs[i] = n.benchReader(ctx, full, &r, i, from, until, &counted[i], &all[i]) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, explain(err)
	}
	took := time.Since(from).Seconds()
	out := &admin.BenchResult{Seconds: took, RSSMB: residentMB()}
	calls := int64(0)
	for i := range r.Callers {
		out.Acked += all[i]
		calls += counted[i]
	}
	spent.by(out, calls)
	if r.Duration > 0 {
		out.AckedPerS = float64(calls) / took
	} else {
		out.AckedPerS = float64(out.Acked) / time.Since(begun).Seconds()
	}
	return out, nil
}

// benchReader is one program of benchReads.
func (n *Node) benchReader(ctx context.Context, full string, r *admin.BenchRequest, number int, from, until time.Time, counted, all *int64) error {
	p := n.eng.NewProcess("drmesh")
	defer p.Close()
	c := call.Client{Caller: p}
	access := call.Indexed
	if r.Call == "seq_read" && r.Index == "" {
		access = call.Sequential
	}
	port, err := c.OpenPath(ctx, full, call.OpenOptions{IO: call.Input, Lock: call.ImplicitLocking, Access: access, Index: r.Index})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(number), 2))
	rec := make([]byte, r.Bytes)
	var q call.Request
	got := call.Reply{Room: []byte{}}
	read := func() error {
		q = call.Request{Call: "s$seq_read", Port: port}
		if err := p.Do(ctx, &q, &got); err != nil {
			return err
		}
		if got.Code == call.EndOfFile {
			return c.SeqPosition(ctx, port, call.PosBeginning, 0)
		}
		return got.Err()
	}
	if r.Call == "keyed_read" {
		read = func() error {
			k := *all % r.Records
			if r.Keys != "ascending" {
				k = rng.Int64N(r.Records)
			}
			benchKey(rec, uint64(1+k))
			q = call.Request{Call: "s$keyed_read", Port: port, Index: r.Index, Key: rec[:16]}
			if err := p.Do(ctx, &q, &got); err != nil {
				return err
			}
			if got.Code == 0 && (len(got.Data) != r.Bytes || string(got.Data[:16]) != string(rec[:16])) {
				return fmt.Errorf("read of %s gave %.16q", rec[:16], got.Data)
			}
			return got.Err()
		}
	}
	counts := false
	for ctx.Err() == nil {
		// The clock is asked once for 32 calls: it is no part of them.
		for range 32 {
			if err := read(); err != nil {
				return err
			}
			*all++
			if counts {
				*counted++
			}
			if r.Count > 0 && *all >= r.Count {
				return nil
			}
		}
		now := time.Now()
		if r.Count == 0 && now.After(until) {
			return nil
		}
		counts = counts || now.After(from)
	}
	return ctx.Err()
}
