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
// no locks; see hungry for the one thing that they wait for.
type lockTable struct {
	mu      sync.Mutex // protects what follows; never held across I/O
	t       *lock.Table
	regions *lock.Regions
	waiters map[lock.Owner]chan error // capacity 1; told nil when served
	prio    map[lock.Owner]transactionRank
	born    uint64 // counts transactions
	next    atomic.Uint64
	hungry  map[lock.Owner]*hungry
	starved atomic.Int32 // how many are in hungry
}

// transactionRank orders transactions that stand in each other's way: the
// lower priority loses, of equal ones the younger.
type transactionRank struct {
	priority int
	born     uint64
	abort    func()
}

func (r transactionRank) losesTo(s transactionRank) bool {
	return r.priority < s.priority || r.priority == s.priority && r.born > s.born
}

func (l *lockTable) init() {
	l.t, l.regions = lock.New(), lock.NewRegions()
	l.waiters = map[lock.Owner]chan error{}
	l.prio = map[lock.Owner]transactionRank{}
	l.hungry = map[lock.Owner]*hungry{}
}

// owner makes an owner of locks for a process.
func (l *lockTable) owner(process uint64) lock.Owner {
	return lock.Owner{Process: process, N: l.next.Add(1)}
}

func fileObject(f origin.FileID) string { return "f" + string(f[:]) }

func recordObject(f origin.FileID, addr []byte) string { return "r" + string(f[:]) + string(addr) }

// isFree reports whether nobody has a record locked at this moment, nor waits
// for it.
func (l *lockTable) isFree(f origin.FileID, addr []byte) bool {
	var b [128]byte
	name := append(append(append(b[:0], 'r'), f[:]...), addr...)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.t.Free(name)
}

// acquire locks an object. If another has it, or waits for it: with limit 0 the
// error is busy; else it waits its turn, at most so long, forever if limit is
// negative. A transaction that loses to another has no locks any more when its
// error comes.
func (l *lockTable) acquire(ctx context.Context, o lock.Owner, object string, m lock.Mode, limit time.Duration, busy call.Code) error {
	l.mu.Lock()
	if limit == 0 {
		defer l.mu.Unlock()
		if !l.t.Try(o, object, m) {
			return fmt.Errorf("lock: %w", busy)
		}
		return nil
	}
	if l.t.Wait(o, object, m) {
		l.mu.Unlock()
		return nil
	}
	served := make(chan error, 1)
	l.waiters[o] = served
	if err := l.breakCircles(o, busy); err != nil {
		l.mu.Unlock()
		return err
	}
	l.mu.Unlock()
	var deadline <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		deadline = t.C
	}
	var err error
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		err = ctx.Err()
	case <-deadline:
		err = fmt.Errorf("lock: %w", call.Timeout)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case err := <-served: // at the same moment
		return err
	default:
	}
	delete(l.waiters, o)
	l.serve(l.t.Stop(o))
	return err
}

// breakCircles ends the circles that o's wait closes: of each, the transaction
// of lowest rank gives way, and if there is none, o. Its error says that o waits
// no more. Callers hold mu.
func (l *lockTable) breakCircles(o lock.Owner, busy call.Code) error {
	for circle := l.t.Circle(o); circle != nil; circle = l.t.Circle(o) {
		victim, found := o, false
		for _, c := range circle {
			r, ranked := l.prio[c]
			if ranked && (!found || r.losesTo(l.prio[victim])) {
				victim, found = c, true
			}
		}
		if found {
			lost := fmt.Errorf("lock: others wait for this one in a circle: %w", call.TPAborted)
			r, w := l.prio[victim], l.waiters[victim]
			delete(l.prio, victim)
			delete(l.waiters, victim)
			r.abort()
			l.serve(l.t.ReleaseAll(victim))
			if victim == o {
				return lost
			}
			if w != nil {
				w <- lost
			}
			continue
		}
		delete(l.waiters, o)
		l.serve(l.t.Stop(o))
		if len(circle) == 2 {
			return fmt.Errorf("lock: this program has it: %w", busy)
		}
		return fmt.Errorf("lock: others wait for this one in a circle: %w", call.TPAborted)
	}
	return nil
}

func (l *lockTable) release(o lock.Owner, object string) {
	l.mu.Lock()
	l.serve(l.t.Release(o, object))
	l.mu.Unlock()
}

// weaken gives an owner's lock another mode that keeps out fewer others.
func (l *lockTable) weaken(o lock.Owner, object string, m lock.Mode) {
	l.mu.Lock()
	l.serve(l.t.Weaken(o, object, m))
	l.mu.Unlock()
}

func (l *lockTable) releaseAll(o lock.Owner) {
	l.mu.Lock()
	delete(l.prio, o)
	l.serve(l.t.ReleaseAll(o))
	l.mu.Unlock()
}

func (l *lockTable) freeRegions(o lock.Owner, f origin.FileID) {
	l.mu.Lock()
	l.regions.Unlock(o, fileObject(f), 0, lock.Infinity)
	l.mu.Unlock()
}

// serve wakes those who have got what they waited for. Callers hold mu.
func (l *lockTable) serve(served []lock.Owner) {
	for _, o := range served {
		l.waiters[o] <- nil
		delete(l.waiters, o)
	}
}

// rank makes an owner a transaction: abort tells it, from any goroutine, that
// it has lost.
func (l *lockTable) rank(o lock.Owner, priority int, abort func()) {
	l.mu.Lock()
	l.born++
	l.prio[o] = transactionRank{priority, l.born, abort}
	l.mu.Unlock()
}

// inUse reports whether anybody but o has a file open under a lock.
func (l *lockTable) inUse(o lock.Owner, f origin.FileID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.t.Locked(o, fileObject(f))
}

// LockWaits is how many calls wait for a lock now, or on a queue or pipe.
func (e *Engine) LockWaits() int {
	e.locks.mu.Lock()
	defer e.locks.mu.Unlock()
	return e.locks.t.Waiting() + int(e.waiting.Load())
}

// LockCount is how many files and records are locked now.
func (e *Engine) LockCount() int {
	e.locks.mu.Lock()
	defer e.locks.mu.Unlock()
	return e.locks.t.Len()
}
