package vosio

import (
	"context"
	"fmt"
	"time"

	"drmesh/vosio/call"
	"drmesh/vosio/lock"
	"drmesh/vosio/record"
)

// The calls that lock by name. A file lock (s$lock_file) belongs to the port
// and is what its I/O needs if it was opened without locking; a record lock
// (s$..._lock_record) belongs to the port too, and its own calls pass it. In a
// transaction, on a transaction file, record locks are the transaction's, and
// nothing is freed before its end. They wait as calls do for a record, or in
// no-wait mode answer e$caller_must_wait.

// waitFor is how a locking call waits: for how long, and what it answers if it
// must not.
func waitFor(x *port, q *call.Request, inUse call.Code) (time.Duration, call.Code) {
	if q.NoWait || x.noWait {
		return noWait, call.CallerMustWait
	}
	if x.limit > 0 {
		return x.limit, inUse
	}
	return lockWait, inUse
}

// inTransaction reports whether what the process does to a file belongs to its
// open transaction.
func (p *Process) inTransaction(f *file) bool {
	return p.txn != nil && f.attribute(attrTransaction) == "1"
}

// mayTouch refuses I/O on a port that was opened without locking, unless it
// has locked the file. In a transaction its records are locked.
func (p *Process) mayTouch(x *port, f *file, m lock.Mode) error {
	if !x.unlocked || x.fileLock == lock.Exclusive || x.fileLock == m || p.inTransaction(f) {
		return nil
	}
	return fmt.Errorf("%s, opened without locking: %w", x.path, call.FileNotLocked)
}

func (p *Process) lockFile(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.opened(q.Port)
	if err != nil {
		return err
	}
	m := lockMode(q.Lock)
	if m == 0 {
		return fmt.Errorf("lock %s: type %d: %w", x.path, q.Lock, call.InvalidControl)
	}
	switch {
	case x.fileLock == m || x.fileLock == lock.Exclusive:
		return fmt.Errorf("lock %s: %w", x.path, call.AlreadyLocked)
	case !x.unlocked && !x.implicit:
		return fmt.Errorf("lock %s: its open has locked it: %w", x.path, call.AlreadyLocked)
	}
	limit, busy := waitFor(x, q, call.FileInUse)
	if err := p.e.locks.acquire(ctx, x.owner, fileObject(f.id), m, limit, busy); err != nil {
		return fmt.Errorf("lock %s: %w", x.path, err)
	}
	if p.e.cat.file(f.id) == nil {
		p.e.locks.release(x.owner, fileObject(f.id))
		return fmt.Errorf("lock %s: it was deleted meanwhile: %w", x.path, call.ObjectNotFound)
	}
	x.fileLock = m // and on a port with record locking nobody else comes in at all
	return nil
}

func (p *Process) unlockFile(_ context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.opened(q.Port)
	if err != nil {
		return err
	}
	if x.fileLock == 0 {
		return fmt.Errorf("unlock %s: %w", x.path, call.NotLocked)
	}
	if p.inTransaction(f) {
		opens := x.opens
		p.txn.atEnd = append(p.txn.atEnd, func() {
			if x.opens == opens {
				p.freeFile(x)
			}
		})
		return nil
	}
	p.freeFile(x)
	return nil
}

// freeFile gives a port's file lock back; what its open has locked stays.
func (p *Process) freeFile(x *port) {
	if x.fileLock == 0 {
		return
	}
	x.fileLock = 0
	if x.implicit {
		p.e.locks.weaken(x.owner, fileObject(x.file), lock.Implicit)
	} else {
		p.e.locks.release(x.owner, fileObject(x.file))
	}
}

// lockFound locks what find finds for longer than the call, and points the port
// at it. When the record was moved or deleted before its lock came, it finds
// anew.
func (p *Process) lockFound(ctx context.Context, q *call.Request, x *port, f *file, ix *index, find func() (*rec, spot, error)) error {
	for {
		r, at, err := find()
		if err != nil {
			return err
		}
		had := p.holds(x, f, r.addr)
		if err := p.lockLong(ctx, q, x, f, r.addr); err != nil {
			return err
		}
		now, ok, err := p.e.record(p.view(f), f, r.addr)
		if ok && err == nil {
			ok, err = p.e.stillAt(p.view(f), f, ix, &now, at)
		}
		if err != nil {
			return err
		}
		if ok {
			x.point(&now, at)
			return nil
		}
		if !had {
			p.unlockLong(x, f, r.addr)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// lockLong locks an address for longer than the call.
func (p *Process) lockLong(ctx context.Context, q *call.Request, x *port, f *file, addr []byte) error {
	limit, busy := waitFor(x, q, call.RecordInUse)
	object := recordObject(f.id, addr)
	if p.inTransaction(f) {
		return p.lockInTransaction(ctx, x, object, lock.Exclusive, limit, busy)
	}
	if err := p.e.locks.acquire(ctx, x.owner, object, lock.Exclusive, limit, busy); err != nil {
		return fmt.Errorf("lock a record of %s: %w", x.path, err)
	}
	if x.held == nil {
		x.held = map[string]struct{}{}
	}
	x.held[object] = struct{}{}
	return nil
}

func (p *Process) holds(x *port, f *file, addr []byte) bool {
	_, ok := x.held[recordObject(f.id, addr)]
	return ok
}

// unlockLong frees an address; what is not held stays as it is, and what a
// transaction holds it keeps.
func (p *Process) unlockLong(x *port, f *file, addr []byte) {
	object := recordObject(f.id, addr)
	if _, ok := x.held[object]; ok {
		delete(x.held, object)
		p.e.locks.release(x.owner, object)
	}
}

// freeRecords frees all record locks of a port, but for what a transaction
// holds.
func (p *Process) freeRecords(x *port) {
	for object := range x.held {
		p.e.locks.release(x.owner, object)
	}
	x.held = nil
}

// toLock finds an open port for a call that locks a record.
func (p *Process) toLock(id int) (*port, *file, error) {
	x, f, err := p.toUpdate(id)
	if err == nil && !x.implicit {
		err = fmt.Errorf("lock a record of %s, not opened for record locking: %w", x.path, call.InvalidLockingMode)
	}
	return x, f, err
}

func (p *Process) seqLockRecord(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.toLock(q.Port)
	if err != nil {
		return err
	}
	ix, err := x.orderOf(f)
	if err != nil {
		return err
	}
	return p.lockFound(ctx, q, x, f, ix, func() (*rec, spot, error) {
		r, at, err := p.seek(x, f, ix, x.next)
		if err == nil && r == nil {
			err = fmt.Errorf("lock a record of %s: %w", x.path, call.EndOfFile)
		}
		return r, at, err
	})
}

func (p *Process) seqUnlockRecord(_ context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.opened(q.Port)
	if err != nil {
		return err
	}
	if x.cur != nil {
		p.unlockLong(x, f, x.cur.addr)
	}
	return nil
}

// ofLockKey finds the record that a keyed lock or unlock means.
func (p *Process) ofLockKey(q *call.Request) (*port, *file, *index, []byte, error) {
	x, f, err := p.toLock(q.Port)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	ix, err := x.keyIndex(f, q.Index)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	key, err := keyOf(x, ix, q.Key, q.Data)
	return x, f, ix, key, err
}

func (p *Process) keyedLockRecord(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, ix, key, err := p.ofLockKey(q)
	if err != nil {
		return err
	}
	err = p.lockFound(ctx, q, x, f, ix, func() (*rec, spot, error) { return p.locate(x, f, ix, key, call.RelEqual) })
	if err == nil {
		x.order = ix.Name
	}
	return err
}

func (p *Process) keyedUnlockRecord(_ context.Context, q *call.Request, _ *call.Reply) error {
	x, f, ix, key, err := p.ofLockKey(q)
	if err != nil {
		return err
	}
	r, _, err := p.locate(x, f, ix, key, call.RelEqual)
	if err != nil {
		return err
	}
	p.unlockLong(x, f, r.addr)
	return nil
}

// numberToLock finds an open port on numbered records for a call that locks
// one.
func (p *Process) numberToLock(q *call.Request) (*port, *file, error) {
	x, f, err := p.toLock(q.Port)
	if err != nil {
		return nil, nil, err
	}
	if err := x.needsNumbers(f); err != nil {
		return nil, nil, err
	}
	return x, f, checkNumber(x, q.Number)
}

// relLockRecord locks a record by number; in a relative file also one that is
// not there, which reserves its number.
func (p *Process) relLockRecord(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.numberToLock(q)
	if err != nil {
		return err
	}
	addr := record.AppendNumber(nil, uint64(q.Number))
	if _, ok, err := p.e.record(p.view(f), f, addr); err != nil {
		return err
	} else if !ok && f.org == call.OrgFixed {
		return fmt.Errorf("lock %s, record %d: %w", x.path, q.Number, call.RecordNotFound)
	}
	if err := p.lockLong(ctx, q, x, f, addr); err != nil {
		return err
	}
	r, ok, err := p.e.record(p.view(f), f, addr)
	if err != nil {
		return err
	}
	x.order = ""
	if ok {
		x.point(&r, addr)
	} else {
		x.cur, x.positioned, x.next = nil, false, nextPlace{atSpot, addr}
	}
	return nil
}

func (p *Process) relUnlockRecord(_ context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.numberToLock(q)
	if err != nil {
		return err
	}
	p.unlockLong(x, f, numberAt(q.Number))
	return nil
}

func (p *Process) unlockRecords(_ context.Context, q *call.Request, _ *call.Reply) error {
	x, _, err := p.opened(q.Port)
	if err != nil {
		return err
	}
	p.freeRecords(x)
	return nil
}

// thenUnlock carries out a write and, if it succeeded, frees all record locks
// of its port.
func thenUnlock(write handler) handler {
	return func(p *Process, ctx context.Context, q *call.Request, r *call.Reply) error {
		if err := write(p, ctx, q, r); err != nil {
			return err
		}
		p.freeRecords(p.ports[q.Port])
		return nil
	}
}
