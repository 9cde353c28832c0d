package vosio

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/lock"
	"drmesh/vosio/record"
)

// transaction is a process's open transaction. Its changes stand in an overlay
// of its own, which only it reads, and reach the committer together when it
// commits; its record locks are kept to the end.
type transaction struct {
	owner   lock.Owner
	overlay *pebble.Batch
	net     []*netChange          // one for each record, in order of first change
	byAddr  map[string]*netChange // by file and present address
	reads   map[string]expectation
	touched map[origin.FileID]bool
	group   origin.Group // of the shared files that it wrote; 0: none yet
	hungry  bool         // remote txns wait for it
	atEnd   []func()     // file locks to be given back
	n       uint32
	saved   map[*port]savedPosition
	// aborted is set by whoever made it lose: a deadlock's winner, or a lock
	// that took too long.
	aborted atomic.Bool
	why     atomic.Pointer[string] // it was, or will be: the reason
	tp      tpParameters
	timer   *time.Timer             // of its limit; its function takes the lock table's mu
	queued  map[origin.FileID]int64 // messages sent, less those received
}

// abort makes a transaction lose, from any goroutine.
func (t *transaction) abort(why string) {
	t.setWhy(why)
	t.aborted.Store(true)
}

// setWhy says why it is about to lose; the first reason stands.
func (t *transaction) setWhy(why string) { t.why.CompareAndSwap(nil, &why) }

// lost is what a call of a transaction that was aborted gives.
func (t *transaction) lost(op string) error {
	if why := t.why.Load(); why != nil {
		return fmt.Errorf("%s: %s: %w", op, *why, call.TPAborted)
	}
	return fmt.Errorf("%s: %w", op, call.TPAborted)
}

// netChange is what a transaction does to one record in the end.
type netChange struct {
	ch   change
	at   []byte       // its address in the overlay
	born origin.Birth // its birth there
	gone bool         // inserted and deleted again
}

type savedPosition struct {
	opens      int // which open of the port it was
	cur        *rec
	positioned bool
	next       nextPlace
	order      string
	partial    []byte
	pos        int64
}

// maxTransaction bounds the records of one transaction.
const maxTransaction = 1 << 20

func (p *Process) startTransaction(context.Context, *call.Request, *call.Reply) error {
	return p.startRanked(p.tp.priority)
}

// startPriorityTransaction starts a transaction that wins over those of lower
// priority where they wait for each other; -1 loses to all.
func (p *Process) startPriorityTransaction(_ context.Context, q *call.Request, _ *call.Reply) error {
	if q.Count < -1 || q.Count > maxTPPriority {
		return fmt.Errorf("start transaction: priority %d: %w", q.Count, call.InvalidPriority)
	}
	return p.startRanked(int(q.Count))
}

func (p *Process) startRanked(priority int) error {
	if p.txn != nil {
		return fmt.Errorf("start transaction: %w", call.TransactionRunning)
	}
	t := &transaction{owner: p.e.locks.owner(p.number), overlay: p.e.overlay(), byAddr: map[string]*netChange{}, reads: map[string]expectation{},
		touched: map[origin.FileID]bool{}, queued: map[origin.FileID]int64{}, tp: p.tp, saved: map[*port]savedPosition{}}
	p.e.locks.rank(t.owner, priority, func() {
		t.abort("others waited for it in a circle")
		p.e.watches.all() // what it held is free
	})
	if t.hungry = p.losses >= patience; t.hungry {
		p.e.locks.starve(t.owner)
	}
	for _, x := range p.ports {
		t.saved[x] = savedPosition{x.opens, x.cur, x.positioned, x.next, x.order, slices.Clip(x.partial), x.pos}
	}
	p.txn = t
	p.e.open.Add(1)
	t.expire(p.e)
	return nil
}

func (t *transaction) key(f origin.FileID, addr []byte) string { return string(f[:]) + string(addr) }

// noteRead remembers what the transaction was shown of a record.
func (t *transaction) noteRead(p *Process, f *file, r *rec) {
	k := t.key(f.id, r.addr)
	if _, mine := t.byAddr[k]; mine {
		return
	}
	if t.hungry {
		p.e.locks.hold(t.owner, f.id, r.addr)
	}
	if _, ok := t.reads[k]; !ok && len(t.reads) < maxTransaction {
		t.reads[k] = expectation{f.id, r.addr, r.dots}
	}
}

// write stages a change in the overlay, under the record's lock.
func (t *transaction) write(ctx context.Context, p *Process, x *port, ch change) (committed, error) {
	f := ch.file
	if t.aborted.Load() {
		return committed{}, t.lost("write " + x.path)
	}
	if len(t.net) >= maxTransaction {
		return committed{}, fmt.Errorf("write %s: %w", x.path, call.TxnTooLarge)
	}
	group := t.group
	if s := p.e.table().Share(f.share); s != nil {
		if group = s.Group; t.group != 0 && t.group != group {
			return committed{}, fmt.Errorf("write %s: the transaction has written files of another group: %w", x.path, call.TwoGroups)
		}
	}
	if ch.kind == remove && isRecord(ch.addr) && f.separate {
		if err := t.removeKeys(ctx, p, x, ch); err != nil {
			return committed{}, err
		}
	}
	if err := t.lockWrite(ctx, p, x, &ch); err != nil {
		return committed{}, err
	}
	if t.hungry && ch.addr != nil && !provisional(ch.addr) && !provisionalEntry(ch.addr) {
		p.e.locks.hold(t.owner, f.id, ch.addr)
	}
	// What stood when the transaction first touched the record must stand at
	// its commit.
	if ch.kind != insert && !provisional(ch.addr) && !provisionalEntry(ch.addr) {
		r, ok, err := p.e.record(t.overlay, f, ch.addr)
		if err != nil {
			return committed{}, err
		}
		if ok {
			t.noteRead(p, f, &r)
		}
	}
	// The caller's buffer is its own again when the call ends.
	ch.data = slices.Clone(ch.data)
	t.n++
	c, err := p.e.tentative(t.overlay, &ch, t.n)
	if err != nil {
		return c, err
	}
	t.touched[f.id] = true
	t.group = group
	from := c.addr
	if ch.addr != nil {
		from = ch.addr
	}
	n := t.byAddr[t.key(f.id, from)]
	if n == nil {
		n = &netChange{ch: ch}
		if ch.kind == insert && f.identity != nil {
			n.ch.addr = nil // its key may change before the commit
		}
		t.net = append(t.net, n)
	} else {
		switch {
		case ch.kind == remove && n.ch.kind == insert:
			n.gone = true
		case ch.kind == remove:
			n.ch.kind, n.ch.data = remove, nil
		case ch.kind == insert && n.ch.kind == remove:
			n.ch.kind, n.ch.data = rewrite, ch.data
		default:
			n.ch.data, n.gone = ch.data, false
		}
	}
	delete(t.byAddr, t.key(f.id, from))
	n.at, n.born = c.addr, c.birth
	t.byAddr[t.key(f.id, c.addr)] = n
	return c, nil
}

// removeKeys removes the keys that programs gave to a record that is deleted.
func (t *transaction) removeKeys(ctx context.Context, p *Process, x *port, ch change) error {
	r, ok, err := p.e.record(t.overlay, ch.file, ch.addr)
	if err != nil || !ok {
		return err
	}
	var addrs [][]byte
	err = eachKey(t.overlay, ch.file, r.birth, func(addr []byte, v *origin.Version) error {
		if ch.file.entryIndex(addr, v) != nil {
			addrs = append(addrs, addr)
		}
		return nil
	})
	for _, a := range addrs {
		if err != nil {
			return err
		}
		_, err = t.write(ctx, p, x, change{file: ch.file, kind: remove, addr: a})
	}
	return err
}

// lockWrite locks what a change will touch to the end of the transaction: its
// record, and the values of unique indexes that it takes up. A new record gets
// its number or key here, so that of two transactions the second waits.
func (t *transaction) lockWrite(ctx context.Context, p *Process, x *port, ch *change) error {
	f := ch.file
	take := func(addr []byte) error {
		_, err := p.lockRecord(ctx, x, f, addr, lock.Exclusive)
		return err
	}
	if number, key, _, ok := record.Entry(ch.addr); ok {
		if ix := f.entryIndex(ch.addr, nil); ix != nil && !ix.Duplicates && ch.kind == insert {
			if err := take(record.AppendKey(nil, number, key)); err != nil {
				return err
			}
		}
		if provisionalEntry(ch.addr) {
			return nil
		}
		return take(ch.addr)
	}
	if ch.kind != remove {
		for _, ix := range f.indexes {
			if ix.Duplicates || ix.Local || ix == f.identity && ch.kind == insert {
				continue
			}
			key := ix.AppendKeyOf(nil, ch.data)
			if ix.IsNull(key) {
				continue
			}
			if err := take(record.AppendKey(nil, ix.number, key)); err != nil {
				return err
			}
		}
	}
	switch {
	case ch.addr != nil:
		if provisional(ch.addr) {
			return nil
		}
		return take(ch.addr)
	case f.identity != nil:
		ch.addr = record.AppendKey(nil, f.identity.number, f.identity.AppendKeyOf(nil, ch.data))
		return take(ch.addr)
	case f.numbered():
		for {
			n, err := p.e.freeNumber(t.overlay, f)
			if err != nil {
				return err
			}
			addr := record.AppendNumber(nil, uint64(n))
			if err := take(addr); err != nil {
				return err
			}
			// Another may have had it, and have committed.
			if m, err := p.e.freeNumber(t.overlay, f); err != nil || m == n {
				ch.addr = addr
				return err
			}
		}
	}
	return nil
}

func (p *Process) commitTransaction(ctx context.Context, _ *call.Request, _ *call.Reply) error {
	t := p.txn
	if t == nil {
		return fmt.Errorf("commit transaction: %w", call.NoTransaction)
	}
	if t.aborted.Load() {
		// The program must abort it before it starts another.
		return t.lost("commit transaction")
	}
	chs, of := t.changes()
	var expect []expectation
	for _, x := range t.reads {
		expect = append(expect, x)
	}
	// The committer has what is in it: of a large transaction, better not twice.
	t.overlay.Close()
	t.overlay, t.net, t.byAddr = p.e.overlay(), nil, nil
	out, err := p.e.commitIf(ctx, p.name, chs, expect)
	if len(chs) == 0 {
		err = p.e.stands(expect)
	}
	if err != nil {
		t.abort("its commit failed: " + err.Error())
		p.e.locks.releaseAll(t.owner)
		p.e.watches.all()
		c := call.CodeOf(err)
		switch c {
		case call.TPAborted, call.InvalidDuplicateKey, call.RecordNotFound, call.RecordAlreadyExists:
			p.losses++
		}
		if t.hungry && !p.e.locks.sated(t.owner) {
			p.losses = 0
		}
		t.hungry = false
		switch c {
		case call.InvalidDuplicateKey, call.RecordNotFound, call.RecordAlreadyExists:
			// Programs of this module were kept out by locks: another module
			// was there first.
			return fmt.Errorf("commit transaction: %w: %v", call.TPAborted, err)
		}
		return fmt.Errorf("commit transaction: %w", err)
	}
	p.losses = 0
	// Records that had provisional addresses and births have their own now.
	at := map[string]committed{}
	for _, x := range p.ports {
		if x.isOpen && x.cur != nil && t.touched[x.file] {
			at[t.key(x.file, x.cur.addr)] = committed{}
		}
	}
	for i, k := range of {
		if _, stands := at[k]; stands {
			at[k] = out[i]
		}
	}
	maps.DeleteFunc(at, func(_ string, c committed) bool { return c.addr == nil })
	for _, x := range p.ports {
		if x.isOpen && t.touched[x.file] {
			if err := p.settle(x, at); err != nil {
				return err
			}
		}
	}
	p.endTransaction()
	return nil
}

// changes are the transaction's net changes, one for each register, and the
// registers as the overlay knows them.
//
// A record that moved to another key is one change, which keeps its birth. When
// it moved to a key that another record of the transaction left, as in a swap,
// the changes of both are those of their registers: each register that stood
// has new bytes or goes.
func (t *transaction) changes() (chs []change, of []string) {
	from, to := map[string]*netChange{}, map[string]*netChange{}
	for _, n := range t.net {
		if n.gone {
			continue
		}
		if n.ch.kind != insert {
			from[t.key(n.ch.file.id, n.ch.addr)] = n
		}
		if n.ch.kind != remove {
			to[t.key(n.ch.file.id, n.at)] = n
		}
	}
	tangled := map[*netChange]bool{}
	var tangle func(n *netChange)
	tangle = func(n *netChange) {
		if n == nil || tangled[n] {
			return
		}
		tangled[n] = true
		tangle(to[t.key(n.ch.file.id, n.ch.addr)])
		tangle(from[t.key(n.ch.file.id, n.at)])
	}
	for k, n := range to {
		if left := from[k]; left != nil && left != n {
			tangle(n)
		}
	}
	chs, of = make([]change, 0, len(t.net)), make([]string, 0, len(t.net))
	add := func(ch change, k string) {
		if ch.file.separate {
			if n := to[k]; n != nil && isRecord(n.at) {
				ch.born = n.born
			}
		}
		chs, of = append(chs, ch), append(of, k)
	}
	for _, n := range t.net {
		if n.gone {
			continue
		}
		f := n.ch.file
		if !tangled[n] {
			k := t.key(f.id, n.at)
			add(n.ch, k)
			continue
		}
		if n.ch.kind != insert {
			k := t.key(f.id, n.ch.addr)
			if taker := to[k]; taker != nil {
				ch := change{file: f, kind: rewrite, addr: n.ch.addr, data: taker.ch.data}
				if f.separate {
					// Its keys come with it.
					if ch.moved = true; taker.born.Stamp != math.MaxUint64 {
						ch.birth = taker.born
					}
				}
				add(ch, k)
			} else {
				add(change{file: f, kind: remove, addr: n.ch.addr}, k)
			}
		}
		if n.ch.kind != remove {
			if k := t.key(f.id, n.at); from[k] == nil {
				ch := change{file: f, kind: insert, addr: n.at, data: n.ch.data}
				if f.separate && n.born.Stamp != math.MaxUint64 {
					ch.birth = n.born
				}
				add(ch, k)
			}
		}
	}
	return chs, of
}

// settle gives a port that stands at a record of the committed transaction the
// record's own address and birth.
func (p *Process) settle(x *port, at map[string]committed) error {
	f := p.e.cat.file(x.file)
	if f == nil {
		return nil
	}
	ix, err := x.orderOf(f)
	if err != nil {
		return nil // the next read says so
	}
	if x.cur != nil {
		if c, ok := at[p.txn.key(f.id, x.cur.addr)]; ok {
			was := spotOf(f, ix, x.cur)
			entry, via := x.cur.entry, x.cur.via
			x.cur = &rec{addr: c.addr, birth: c.birth, data: x.cur.data, life: x.cur.life, dots: oneDot(c)}
			if ix != nil && ix.given() && via == ix.number {
				at, err := p.e.findEntry(p.e.db, f, ix, entry[:ix.keyEnd(entry)], c.addr)
				if err != nil {
					return err
				}
				x.cur.entry, x.cur.via = at, via
			}
			if bytes.Equal(x.next.at, was) {
				x.next.at = spotOf(f, ix, x.cur)
				if ix == nil && isPlace(c.addr) && x.next.kind == afterSpot {
					x.next.at = record.AppendBorn(nil, c.birth) // the end, also of what went into a hole
				}
			}
		}
	}
	if ix != nil || x.next.kind != atSpot && x.next.kind != afterSpot || !provisionalSpot(x.next.at) {
		return nil
	}
	// It stands where a record of the transaction was, which is gone: behind
	// all others.
	s, err := p.e.scan(p.e.db, f, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	x.next = nextPlace{kind: atFirst}
	if s.Last() {
		x.next = nextPlace{afterSpot, s.spot()}
	}
	return s.Err()
}

// stands checks, at one moment, that what a transaction read was not changed
// by another module since. One that wrote is checked by the committer.
func (e *Engine) stands(expect []expectation) error {
	if len(expect) == 0 {
		return nil
	}
	snap := e.db.NewSnapshot()
	defer snap.Close()
	for _, x := range expect {
		v, closer, err := snap.Get(appendRegisterKey(nil, x.file, x.addr))
		if err != nil && err != pebble.ErrNotFound {
			return err
		}
		var set []origin.Version
		if err == nil {
			set, err = record.DecodeSet(nil, v)
			closer.Close()
			if err != nil {
				return err
			}
		}
		n := 0
		for i := range set {
			if !set[i].Tombstone {
				n++
			}
			if !set[i].Tombstone && !slices.Contains(x.dots, set[i].Dot) {
				n = -1
				break
			}
		}
		if n != len(x.dots) {
			return fmt.Errorf("%s was changed meanwhile at another module: %w", record.String(x.addr), call.TPAborted)
		}
	}
	return nil
}

func (p *Process) abortTransaction(context.Context, *call.Request, *call.Reply) error {
	if p.txn == nil {
		return fmt.Errorf("abort transaction: %w", call.NoTransaction)
	}
	p.abort()
	return nil
}

// abort undoes the open transaction, if there is one: ports return to where
// they stood at its start.
func (p *Process) abort() {
	t := p.txn
	if t == nil {
		return
	}
	for _, x := range p.ports {
		if !x.isOpen {
			continue
		}
		if s, ok := t.saved[x]; ok && s.opens == x.opens {
			x.cur, x.positioned, x.next, x.order, x.partial, x.pos = s.cur, s.positioned, s.next, s.order, s.partial, s.pos
		} else if t.touched[x.file] {
			x.rewind() // opened in the transaction
		}
	}
	p.endTransaction()
}

func (p *Process) endTransaction() {
	if t := p.txn; t.timer != nil {
		t.timer.Stop()
	}
	if why := p.txn.why.Load(); p.txn.aborted.Load() && why != nil {
		p.lastAbort = *why
	}
	if p.txn.hungry && !p.e.locks.sated(p.txn.owner) {
		p.losses = 0
	}
	p.e.locks.releaseAll(p.txn.owner)
	for _, free := range p.txn.atEnd {
		free()
	}
	for f := range p.txn.queued {
		p.e.watches.happened(f) // what it had taken is there again, or what it sent
	}
	p.txn.overlay.Close()
	p.txn = nil
	p.e.open.Add(-1)
}
