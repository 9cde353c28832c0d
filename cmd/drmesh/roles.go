package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// roles is a mesh in which one module at a time writes, with programs that
// write all the while: each goes to the module that takes its writes. The demo
// of roles and the benchmark of roles have one.
type roles struct {
	mesh *demoMesh

	stop    chan struct{} // closed to end the programs
	writers sync.WaitGroup
	last    atomic.Int64 // when a write was acknowledged last, unix ns
	longest atomic.Int64 // ns that no write was acknowledged, since reset

	mu    sync.Mutex // protects what follows
	acked []string   // records that were acknowledged
	wrong error      // what ended a program
}

const rolesFile = "main:ledger"

const rolesTables = `/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger

/=record_type    group
 =group          ledger
 =mode           owned
 =owner          %east#m1
 =commit_scope   one
 =failover       1
`

// start makes the mesh, and waits until all vote and the file is there.
func (r *roles) start(ctx context.Context) error {
	if err := r.mesh.start(ctx); err != nil {
		return err
	}
	if err := r.mesh.apply(ctx, "roles.tin", rolesTables); err != nil {
		return err
	}
	if err := r.until(ctx, "all modules vote", func() (bool, error) {
		for _, x := range r.mesh.modules {
			s, err := x.status(ctx)
			if err != nil {
				return false, err
			}
			voters := 0
			for _, m := range s.Members {
				if m.Voter {
					voters++
				}
			}
			if voters < len(r.mesh.modules) {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		return err
	}
	if _, err := r.mesh.at(ctx, r.mesh.modules[0], "vos", "create_file", rolesFile, "-organization", "sequential"); err != nil {
		return err
	}
	return r.mesh.caughtUp(ctx)
}

// until asks ok again and again, a minute at most.
func (r *roles) until(ctx context.Context, what string, ok func() (bool, error)) error {
	for end := time.Now().Add(time.Minute); ; {
		done, err := ok()
		if done {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("waited a minute until %s: %w", what, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write starts programs.
func (r *roles) write(ctx context.Context, programs int) {
	r.stop = make(chan struct{})
	r.last.Store(time.Now().UnixNano())
	for i := range programs {
		r.writers.Go(func() {
			if err := r.program(ctx, i); err != nil {
				r.mu.Lock()
				r.wrong = err
				r.mu.Unlock()
			}
		})
	}
}

// end ends the programs.
func (r *roles) end() error {
	if r.stop != nil {
		close(r.stop)
		r.writers.Wait()
		r.stop = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wrong
}

// program appends records, one after the other, at whichever module takes
// them. A write whose outcome is not known (the module died, or nobody
// confirmed it) is not written again: it may be there or not.
func (r *roles) program(ctx context.Context, number int) error {
	at := 0
	var f *demoHandle
	defer func() {
		if f != nil {
			f.door.close()
		}
	}()
	for k := 0; ; k++ {
		record := fmt.Sprintf("program %d, record %d", number, k)
		for {
			select {
			case <-r.stop:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			default:
			}
			code, err := call.Code(0), error(nil)
			if f == nil {
				// A module that is down is not waited for.
				soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
				f, err = r.mesh.modules[at].openDemo(soon, rolesFile, "")
				cancel()
			}
			if f != nil {
				err = f.door.SeqWrite(ctx, f.port, []byte(record))
				code = call.CodeOf(err)
			}
			if err == nil {
				r.acknowledged(record)
				break
			}
			if code == call.DurableHere {
				break // it is told as such
			}
			// Another owns the group, or the module is gone.
			unknown := f != nil && code != call.NotOwner
			if f != nil {
				f.door.close()
				f = nil
			}
			at = (at + 1) % len(r.mesh.modules)
			if unknown {
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// acknowledged notes a record, and how long there was none before.
func (r *roles) acknowledged(record string) {
	now := time.Now().UnixNano()
	gap := now - r.last.Swap(now)
	for have := r.longest.Load(); gap > have && !r.longest.CompareAndSwap(have, gap); have = r.longest.Load() {
	}
	r.mu.Lock()
	r.acked = append(r.acked, record)
	r.mu.Unlock()
}

// count is how many records were acknowledged.
func (r *roles) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.acked)
}

// standstill runs fn and gives the longest time without an acknowledged write
// around it: it goes on until some are acknowledged again.
func (r *roles) standstill(ctx context.Context, fn func() error) (time.Duration, error) {
	if err := r.more(ctx, 20); err != nil {
		return 0, err
	}
	r.longest.Store(0)
	if err := fn(); err != nil {
		return 0, err
	}
	if err := r.more(ctx, 20); err != nil {
		return 0, err
	}
	return time.Duration(r.longest.Load()), nil
}

// more waits until n more records are acknowledged.
func (r *roles) more(ctx context.Context, n int) error {
	begin := r.count()
	return r.until(ctx, "writes are acknowledged again", func() (bool, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.wrong != nil {
			return false, r.wrong
		}
		return len(r.acked) >= begin+n, nil
	})
}

// owner is the module that owns the group, as those that answer say.
func (r *roles) owner(ctx context.Context) (*demoModule, error) {
	var last error
	for _, x := range r.mesh.modules {
		var g admin.Group
		if last = r.mesh.answer(ctx, x, &g, "group", "show", "ledger"); last != nil {
			continue
		}
		for _, y := range r.mesh.modules {
			if y.name == g.Owner {
				return y, nil
			}
		}
	}
	return nil, fmt.Errorf("who owns the group: %w", last)
}

// after is the module that follows x in the list.
func (r *roles) after(x *demoModule) *demoModule {
	for i, y := range r.mesh.modules {
		if x == y {
			return r.mesh.modules[(i+1)%len(r.mesh.modules)]
		}
	}
	return r.mesh.modules[0]
}

// missing compares the file at every module with what was acknowledged: which
// records are not there exactly once.
func (r *roles) missing(ctx context.Context) (l []string, err error) {
	if err := r.mesh.caughtUp(ctx); err != nil {
		return nil, err
	}
	for _, x := range r.mesh.modules {
		out, err := r.mesh.at(ctx, x, "file", "dump", rolesFile)
		if err != nil {
			return nil, err
		}
		have := map[string]int{}
		for line := range splitLines(out) {
			have[line]++
		}
		r.mu.Lock()
		for _, a := range r.acked {
			if have[a] != 1 {
				l = append(l, fmt.Sprintf("%s has %q %d times", x.name, a, have[a]))
			}
		}
		r.mu.Unlock()
	}
	return l, nil
}
