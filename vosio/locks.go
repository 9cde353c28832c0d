package vosio

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/lock"
)

// lockWait is how long a call waits for a record before its transaction is
// aborted, or it gives e$timeout. An open waits without limit.
const (
	lockWait = 60 * time.Second
	noWait   = time.Duration(0)
	forever  = time.Duration(-1)
)

// lockTable is the module's lock table with those who wait. Remote txns take
// no locks: they wait for no application.
type lockTable struct {
	mu   sync.Mutex // protects t, ch and prio; never held across I/O
	t    *lock.Table
	ch   chan struct{} // closed when a lock is freed and somebody waits
	wait int           // how many wait
	prio map[lock.Owner]transactionRank
	next atomic.Uint64
}

// transactionRank orders transactions that stand in each other's way: the
// lower priority loses, of equal ones the younger.
type transactionRank struct {
	priority int
	abort    func()
}

func (l *lockTable) init() {
	l.t = lock.New()
	l.ch = make(chan struct{})
	l.prio = map[lock.Owner]transactionRank{}
}

func (l *lockTable) owner() lock.Owner { return lock.Owner(l.next.Add(1)) }

func fileObject(f origin.FileID) string { return "f" + string(f[:]) }

func recordObject(f origin.FileID, addr []byte) string { return "r" + string(f[:]) + string(addr) }

// acquire locks an object. If another has it: with limit 0 the error is busy;
// else it waits, at most so long, forever if limit is negative. A transaction
// that loses to another has no locks any more when its error comes.
func (l *lockTable) acquire(ctx context.Context, o lock.Owner, object string, m lock.Mode, limit time.Duration, busy call.Code) error {
	var deadline <-chan time.Time
	ranked := false
	for {
		l.mu.Lock()
		if _, ok := l.prio[o]; ok {
			ranked = true
		} else if ranked {
			l.mu.Unlock()
			return fmt.Errorf("lock: another transaction went first: %w", call.TPAborted)
		}
		ok, blockers := l.t.Acquire(o, object, m)
		if ok {
			l.mu.Unlock()
			return nil
		}
		if limit == 0 {
			l.mu.Unlock()
			return fmt.Errorf("lock: %w", busy)
		}
		if circle := l.t.Wait(o, blockers); circle != nil {
			// A circle: the transaction of lowest rank gives way.
			victim := circle[0]
			for _, c := range circle {
				vr, vt := l.prio[victim]
				cr, ct := l.prio[c]
				if ct && (!vt || cr.priority < vr.priority || cr.priority == vr.priority && c > victim) {
					victim = c
				}
			}
			if r, ok := l.prio[victim]; ok {
				r.abort()
				l.t.ReleaseAll(victim)
				delete(l.prio, victim)
				l.wake()
				if victim != o {
					l.mu.Unlock()
					continue
				}
			}
			l.t.Stop(o)
			l.mu.Unlock()
			return fmt.Errorf("lock: others wait for this one in a circle: %w", call.TPAborted)
		}
		ch := l.ch
		l.wait++
		l.mu.Unlock()
		if deadline == nil && limit > 0 {
			t := time.NewTimer(limit)
			defer t.Stop()
			deadline = t.C
		}
		var err error
		select {
		case <-ch:
		case <-ctx.Done():
			err = ctx.Err()
		case <-deadline:
			err = fmt.Errorf("lock: %w", call.Timeout)
		}
		l.mu.Lock()
		l.wait--
		if err == nil {
			l.mu.Unlock()
			continue
		}
		l.t.Stop(o)
		l.mu.Unlock()
		return err
	}
}

func (l *lockTable) release(o lock.Owner, object string) {
	l.mu.Lock()
	l.t.Release(o, object)
	l.wake()
	l.mu.Unlock()
}

func (l *lockTable) releaseAll(o lock.Owner) {
	l.mu.Lock()
	l.t.ReleaseAll(o)
	delete(l.prio, o)
	l.wake()
	l.mu.Unlock()
}

// wake lets those who wait look again. Callers hold mu.
func (l *lockTable) wake() {
	if l.wait > 0 {
		close(l.ch)
		l.ch = make(chan struct{})
	}
}

func (l *lockTable) rank(o lock.Owner, priority int, abort func()) {
	l.mu.Lock()
	l.prio[o] = transactionRank{priority, abort}
	l.mu.Unlock()
}

// inUse reports whether anybody but o has a file open under a lock.
func (l *lockTable) inUse(o lock.Owner, f origin.FileID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.t.Locked(o, fileObject(f))
}

// LockWaits is how many calls wait for a lock now.
func (e *Engine) LockWaits() int {
	e.locks.mu.Lock()
	defer e.locks.mu.Unlock()
	return e.locks.wait
}

// LockCount is how many files and records are locked now.
func (e *Engine) LockCount() int {
	e.locks.mu.Lock()
	defer e.locks.mu.Unlock()
	return e.locks.t.Len()
}
