package vosio

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"drmesh/vosio/call"
	"drmesh/vosio/lock"
)

// Parameters of transactions: their priority if the start names none, how long
// one waits for a lock before it is aborted, and how long it may last at all. A
// process has its own, from those of the module when it begins; they hold for
// the transactions that start afterwards.
type tpParameters struct {
	priority int
	lockWait time.Duration // below 0: for as long as it takes
	limit    time.Duration // 0: none
}

// defaultParameters are the module's until somebody sets others.
var defaultParameters = tpParameters{lockWait: lockWait}

// tpDefaults are the parameters of processes to come.
type tpDefaults struct {
	mu sync.Mutex // protects p
	p  tpParameters
}

func (d *tpDefaults) get() tpParameters {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.p
}

// What s$set_tp_parameters sets, by its type argument.
const (
	tpNothing  = 0
	tpPriority = 1
	tpLockWait = 2
	tpLimit    = 3
)

// set sets one parameter from a call.
func (t *tpParameters) set(q *call.Request) error {
	refuse := func(c call.Code) error {
		return fmt.Errorf("transaction parameter %d: %d: %w", q.Position, q.Count, c)
	}
	if q.Count < -1 || q.Count > 1<<31-1 {
		return refuse(call.InvalidControl)
	}
	switch q.Position {
	case tpNothing:
	case tpPriority:
		if q.Count > maxTPPriority {
			return refuse(call.InvalidPriority)
		}
		t.priority = int(q.Count)
	case tpLockWait:
		t.lockWait = time.Duration(q.Count) * tick
	case tpLimit:
		t.limit = max(0, time.Duration(q.Count)*tick)
	default:
		return refuse(call.InvalidControl)
	}
	return nil
}

// maxTPPriority is the highest priority of a transaction; -1 is the lowest.
const maxTPPriority = 9

// setTPParameters sets one of the process's parameters, type 0 none, and tells
// all of them, with the reason for which its transaction was aborted last.
func (p *Process) setTPParameters(_ context.Context, q *call.Request, r *call.Reply) error {
	if err := p.tp.set(q); err != nil {
		return err
	}
	return p.giveTP(p.tp, r)
}

func (p *Process) setTPDefaults(_ context.Context, q *call.Request, r *call.Reply) error {
	d := &p.e.tp
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.p.set(q); err != nil {
		return err
	}
	return p.giveTP(d.p, r)
}

func (p *Process) giveTP(t tpParameters, r *call.Reply) (err error) {
	i := call.TPParameters{Priority: t.priority, LockWait: -1, Limit: int64(t.limit / tick), LastAbort: p.lastAbort}
	if t.lockWait >= 0 {
		i.LockWait = int64(t.lockWait / tick)
	}
	r.Info, err = json.Marshal(i)
	return err
}

// lockLimit is how long a call of the process waits for a record.
func (p *Process) lockLimit(inTransaction bool) time.Duration {
	if inTransaction {
		return p.txn.tp.lockWait
	}
	return lockWait
}

// lose makes a transaction lose from outside, whatever its process does: it has
// no locks any more, and what waits for one ends.
func (l *lockTable) lose(o lock.Owner, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ranked := l.prio[o]
	if !ranked {
		return // it has ended
	}
	w := l.waiters[o]
	delete(l.prio, o)
	delete(l.waiters, o)
	r.abort()
	l.serve(l.t.ReleaseAll(o))
	if w != nil {
		w <- why
	}
}

// expire begins the time that a transaction has, if it has one.
func (t *transaction) expire(e *Engine) {
	if t.tp.limit <= 0 {
		return
	}
	t.timer = time.AfterFunc(t.tp.limit, func() {
		t.setWhy(fmt.Sprintf("it lasted for more than %d/1024 s", t.tp.limit/tick))
		e.locks.lose(t.owner, fmt.Errorf("lock: the transaction's time is over: %w", call.TPAborted))
	})
}
