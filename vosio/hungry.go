package vosio

import (
	"time"

	"drmesh/origin"
	"drmesh/vosio/lock"
)

// Remote txns wait for no lock. But a transaction that reads a record which
// others keep writing would lose at its commit again and again. So after
// patience losses in a row the next one of the same process is hungry: remote
// txns wait for it on the records that it has read or written, until it ends,
// and never longer than maxHunger after it touched the first. A process whose
// time was not enough begins to count anew.
const (
	patience  = 3
	maxHunger = 200 * time.Millisecond
)

// hungry is one such transaction. It is in lockTable.hungry until it ends or
// its time is over; lockTable.mu protects it.
type hungry struct {
	files   map[origin.FileID]struct{}
	records map[string]struct{}
	timer   *time.Timer // from the first record on; its function takes the table's mu
	wakes   []func()    // of those who wait for it
}

// maxHeld bounds the records of one hungry transaction; it loses at others.
const maxHeld = 4096

// starve makes a transaction hungry.
func (l *lockTable) starve(o lock.Owner) {
	l.mu.Lock()
	l.hungry[o] = &hungry{files: map[origin.FileID]struct{}{}, records: map[string]struct{}{}}
	l.starved.Store(int32(len(l.hungry)))
	l.mu.Unlock()
}

// hold has remote txns wait on a record, if the transaction is hungry.
func (l *lockTable) hold(o lock.Owner, f origin.FileID, addr []byte) {
	if l.starved.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hungry[o]
	if h == nil || len(h.records) >= maxHeld {
		return
	}
	h.files[f] = struct{}{}
	h.records[recordObject(f, addr)] = struct{}{}
	if h.timer == nil {
		h.timer = time.AfterFunc(maxHunger, func() { l.sated(o) })
	}
}

// sated ends a transaction's hunger, and reports whether it lasted until now.
func (l *lockTable) sated(o lock.Owner) bool {
	l.mu.Lock()
	h := l.hungry[o]
	delete(l.hungry, o)
	l.starved.Store(int32(len(l.hungry)))
	l.mu.Unlock()
	if h == nil {
		return false
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	for _, wake := range h.wakes {
		wake()
	}
	return true
}

// Hold reports whether a remote txn has to wait for a hungry transaction of a
// program here. If so, wake is called once, at latest after 200 ms; then one
// asks again. wake must not block.
func (e *Engine) Hold(txn *origin.Txn, wake func()) bool {
	l := &e.locks
	if l.starved.Load() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.hungry { // whichever is found first: all of them end
		for i := range txn.Ops {
			op := &txn.Ops[i]
			_, held := h.records[recordObject(op.File, op.Address)]
			if op.Kind == origin.Truncate {
				_, held = h.files[op.File]
			}
			if held {
				h.wakes = append(h.wakes, wake)
				return true
			}
		}
	}
	return false
}
