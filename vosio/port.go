package vosio

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/lock"
)

// port is one port of a process: attached to a path, and maybe open on a file.
// It belongs to its process.
type port struct {
	id    int
	name  string
	path  string
	owner lock.Owner

	isOpen     bool
	opens      int // counts its opens
	file       origin.FileID
	io, access int
	index      string // of the open; '' is none
	order      string // index in force; '' is physical order
	implicit   bool   // locks records for each call
	stable     bool   // reads the stable prefix only: what was born at or below
	below      origin.Stamp
	unlocked   bool                // opened without locking: its I/O needs fileLock
	fileLock   lock.Mode           // of s$lock_file
	held       map[string]struct{} // record locks that outlast a call
	partial    []byte              // of a record that s$seq_write is to complete

	noWait      bool          // calls that would wait do not
	limit       time.Duration // of its waits on queues and pipes; 0: none
	prompt      string        // of s$control
	longest     int           // message that its open on a queue allows
	seenMessage *exchange     // looked at last, of a queue in memory

	// Of a stream file: the byte that is next. positioned says that
	// s$seq_position has set it.
	stream bool
	pos    int64

	// Position: section numbers are not needed to read it. cur is the record
	// last read, written or positioned to; next is what s$seq_read gives.
	cur        *rec
	positioned bool
	kept       *keptScanner // nil: none
	room       room         // of what it has read
	sought     sought       // scratch
	next       nextPlace
	// What reads of this port showed, by register, until written: of late, and
	// before that.
	shown, shownOld map[string][]origin.OpDot

	calls *tally // on this port, since it was opened last; nil: none yet
}

// nextPlace is a place in the order in force.
type nextPlace struct {
	kind nextKind
	at   spot
}

type nextKind uint8

const (
	atFirst nextKind = iota
	atEnd
	atSpot    // the record there, or the one after if it is gone
	afterSpot // the record after
)

// maxShown bounds what a port remembers of its reads, twice; beyond, the oldest
// are forgotten, and a write to such a record counts as having seen all.
const maxShown = 8192

func (p *Process) attachPort(_ context.Context, q *call.Request, r *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	if q.Name != "" {
		if _, ok := p.names[q.Name]; ok {
			return fmt.Errorf("attach %s: port %s: %w", full, q.Name, call.PortAlreadyAttached)
		}
	}
	if len(p.ports) >= maxPorts {
		return fmt.Errorf("attach %s: %w", full, call.TooManyPorts)
	}
	id := 1
	for p.ports[id] != nil {
		id++ // numbers are 16 bits wide: they are used again
	}
	x := &port{id: id, name: q.Name, path: full, owner: p.e.locks.owner(p.number)}
	p.ports[x.id] = x
	if x.name != "" {
		p.names[x.name] = x.id
	}
	r.Port = x.id
	return nil
}

// portOf finds a port; most calls are on the one of the call before.
func (p *Process) portOf(id int) *port {
	if x := p.lastPort; x != nil && x.id == id {
		return x
	}
	p.lastPort = p.ports[id]
	return p.lastPort
}

func (p *Process) port(id int) (*port, error) {
	x := p.portOf(id)
	if x == nil {
		return nil, fmt.Errorf("port %d: %w", id, call.InvalidPortNumber)
	}
	return x, nil
}

// opened finds an open port and the present snapshot of its file.
func (p *Process) opened(id int) (*port, *file, error) {
	x, err := p.port(id)
	if err != nil {
		return nil, nil, err
	}
	if !x.isOpen {
		return nil, nil, fmt.Errorf("port %d on %s: %w", id, x.path, call.PortNotOpen)
	}
	f := p.e.cat.file(x.file)
	if f == nil || f.deleted && f.shown == "" {
		return nil, nil, fmt.Errorf("port %d: %s was deleted: %w", id, x.path, call.ObjectNotFound)
	}
	return x, f, nil
}

// detachPort ends a port.
func (p *Process) detachPort(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, err := p.port(q.Port)
	if err != nil {
		return err
	}
	err = p.complete(ctx, x)
	p.closePort(x)
	delete(p.ports, x.id)
	p.lastPort = nil
	if x.name != "" {
		delete(p.names, x.name)
	}
	return err
}

func (p *Process) close(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, err := p.port(q.Port)
	if err != nil {
		return err
	}
	if !x.isOpen {
		return fmt.Errorf("close port %d: %w", x.id, call.PortNotOpen)
	}
	err = p.complete(ctx, x)
	p.closePort(x)
	return err
}

func (p *Process) closePort(x *port) {
	p.letGo(x)
	if x.isOpen && x.mayWrite() == nil && p.e.writers.went(x.file, x) {
		p.e.watches.happened(x.file) // readers of a pipe may be at its end
	}
	if x.isOpen && (x.serves() || x.requests()) {
		p.e.queues.closed(x.file, x)
		p.e.watches.happened(x.file)
		x.seenMessage = nil
	}
	if x.isOpen {
		p.e.locks.releaseAll(x.owner)
		p.e.locks.freeRegions(x.owner, x.file)
	}
	x.isOpen, x.cur, x.positioned, x.next, x.shown = false, nil, false, nextPlace{}, nil
	x.unlocked, x.fileLock, x.held, x.partial = false, 0, nil, nil
	x.shownOld = nil
	p.sumUp(&x.calls)
}

func (p *Process) seqOpen(ctx context.Context, q *call.Request, r *call.Reply) error {
	if err := p.attachPort(ctx, &call.Request{Path: q.Path}, r); err != nil {
		return err
	}
	id := r.Port
	err := p.open(ctx, &call.Request{Port: id, Org: call.OrgSequential, IO: q.IO, Lock: call.SetLockDontWait, Access: call.Sequential}, r)
	if err != nil {
		p.detachPort(ctx, &call.Request{Port: id}, r)
		return err
	}
	r.Port = id
	return nil
}

// open opens an attached port. OUTPUT empties a file that is there; OUTPUT and
// APPEND create one that is not.
func (p *Process) open(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, err := p.port(q.Port)
	if err != nil {
		return err
	}
	e := p.e
	switch {
	case x.isOpen:
		return fmt.Errorf("open port %d: %w", x.id, call.PortAlreadyOpen)
	case q.IO >= call.Requester && q.IO <= call.ReceiveOnlyServer:
		return p.openQueue(ctx, x, q)
	case (q.IO < call.Input || q.IO > call.DirtyInput) && q.IO != call.StableInput:
		return fmt.Errorf("open %s: I/O type %d: %w", x.path, q.IO, call.InvalidIOType)
	case q.Lock < call.SetLockDontWait || q.Lock > call.ImplicitLocking:
		return fmt.Errorf("open %s: locking mode %d: %w", x.path, q.Lock, call.InvalidLockingMode)
	case q.Access < call.Sequential || q.Access > call.Indexed:
		return fmt.Errorf("open %s: access mode %d: %w", x.path, q.Access, call.InvalidAccessMode)
	}
	stable := q.IO == call.StableInput
	if stable {
		of := *q
		of.IO, q = call.Input, &of
	}
	writes := q.IO == call.Output || q.IO == call.Append || q.IO == call.Update
	if writes {
		if err := e.forbid(e.resolve(x.path), p.name); err != nil {
			return err
		}
	}
	f, err := e.file(x.path)
	if err != nil && q.IO != call.Output && q.IO != call.Append {
		if f, err = e.readable(x.path); err == nil && writes {
			return fmt.Errorf("open %s: the tables exclude it: %w", x.path, call.NoAccess)
		}
	}
	created := false
	if err != nil {
		if call.CodeOf(err) != call.ObjectNotFound || q.IO != call.Output && q.IO != call.Append {
			return err
		}
		if f, err = e.createFile(ctx, p.name, x.path, orgOf(q.Org), sizeOf(q.Org, q.Size)); err != nil {
			return err
		}
		created = true
	}
	if isQueue(f.org) {
		return fmt.Errorf("open %s, a queue: I/O type %d: %w", x.path, q.IO, call.InvalidIOType)
	}
	if f.stream() && q.Access == call.Indexed {
		return fmt.Errorf("open %s, a stream file: %w", x.path, call.InvalidAccessMode)
	}
	if f.version != nil && writes {
		return fmt.Errorf("open %s, a version that is kept, for writing: %w", x.path, call.NoAccess)
	}
	if stable {
		if err := openStable(x, f, q); err != nil {
			return err
		}
	}
	if q.Access == call.Indexed && q.Index != "" {
		switch ix := f.index(q.Index); {
		case ix == nil:
			return fmt.Errorf("open %s: index %s: %w", x.path, q.Index, call.IndexNotFound)
		case !ix.orders():
			return fmt.Errorf("open %s: index %s: %w", x.path, q.Index, call.InvalidIndexType)
		}
	}
	index := q.Index
	if q.Access != call.Indexed {
		index = ""
	} else if index == "" && len(f.indexes) == 0 {
		if i := slices.IndexFunc(f.others, orders); i >= 0 {
			index = f.others[i].Name
		}
	} else if index == "" {
		index = f.indexes[0].Name
		if f.identity != nil {
			index = f.identity.Name
		}
	}
	mode := q.Lock
	if f.attribute(attrImplicit) == "1" || f.isPipe() {
		mode = call.ImplicitLocking
	}
	if q.IO != call.DirtyInput {
		var m lock.Mode
		switch mode {
		case call.SetLockDontWait, call.WaitForLock:
			m = lock.Exclusive
			if q.IO == call.Input {
				m = lock.Shared
			}
		case call.ImplicitLocking:
			m = lock.Implicit
		}
		if m != 0 {
			busy, limit := call.FileInUse, noWait
			switch {
			case mode == call.WaitForLock && q.NoWait:
				busy = call.CallerMustWait
			case mode == call.WaitForLock:
				limit = forever
			}
			if err := e.locks.acquire(ctx, x.owner, fileObject(f.id), m, limit, busy); err != nil {
				return fmt.Errorf("open %s: %w", x.path, err)
			}
			if g := e.cat.file(f.id); g == nil || g.deleted && g.shown == "" {
				// Deleted while this open waited.
				e.locks.releaseAll(x.owner)
				return fmt.Errorf("open %s: it was deleted meanwhile: %w", x.path, call.ObjectNotFound)
			}
		}
	}
	if q.IO == call.Output && !created && f.recordCount() > 0 && !f.isPipe() {
		if err := e.truncateFile(ctx, p.name, x.path); err != nil {
			e.locks.releaseAll(x.owner)
			return err
		}
	}
	x.isOpen, x.file, x.io, x.access, x.index = true, f.id, q.IO, q.Access, index
	x.stable, x.below, x.stream = stable, 0, f.stream()
	x.opens++
	x.implicit = mode == call.ImplicitLocking && q.IO != call.DirtyInput
	x.unlocked = mode == call.DontSetLock && q.IO != call.DirtyInput
	x.rewind()
	if writes {
		e.writers.came(f.id, x)
	}
	if f.share != "" && e.cfg.Opened != nil {
		e.cfg.Opened(string(x.path))
	}
	return nil
}

// rewind puts a port where its open put it.
func (x *port) rewind() {
	x.pos = 0
	x.order, x.cur, x.positioned, x.next, x.partial = x.index, nil, false, nextPlace{kind: atFirst}, nil
	if x.io == call.Output || x.io == call.Append {
		x.next.kind = atEnd
	}
}

func orgOf(org int) int {
	if org == 0 {
		return call.OrgSequential
	}
	return org
}

func sizeOf(org, size int) int {
	if org == call.OrgFixed || org == call.OrgRelative || org == call.OrgExtended {
		return size
	}
	return 0
}

// view is what the port reads: the database, or the transaction's overlay.
func (p *Process) view(f *file) pebble.Reader {
	if p.txn != nil && f.attribute(attrTransaction) == "1" {
		return p.txn.overlay
	}
	return p.e.db
}

// toRead finds an open port that may read.
func (p *Process) toRead(id int) (*port, *file, error) { return p.openedFor(id, (*port).mayRead) }

// toWrite finds an open port that may add records.
func (p *Process) toWrite(id int) (*port, *file, error) { return p.openedFor(id, (*port).mayWrite) }

// toUpdate finds an open port that may rewrite and delete.
func (p *Process) toUpdate(id int) (*port, *file, error) { return p.openedFor(id, (*port).mayUpdate) }

func (p *Process) openedFor(id int, may func(*port) error) (*port, *file, error) {
	x, f, err := p.opened(id)
	if err == nil {
		err = may(x)
	}
	return x, f, err
}

func (x *port) mayRead() error {
	if x.io == call.Input || x.io == call.Update || x.io == call.DirtyInput {
		return nil
	}
	return fmt.Errorf("read %s: %w", x.path, call.InvalidIOType)
}

func (x *port) mayWrite() error {
	if x.io == call.Output || x.io == call.Append || x.io == call.Update {
		return nil
	}
	return fmt.Errorf("write %s: %w", x.path, call.InvalidIOType)
}

func (x *port) mayUpdate() error {
	if x.io == call.Update {
		return nil
	}
	return fmt.Errorf("rewrite %s: %w", x.path, call.InvalidIOType)
}

// lockRecord takes a record's lock for a call. Inside a transaction on a
// transaction file it is kept to the end; else free gives it back.
func (p *Process) lockRecord(ctx context.Context, x *port, f *file, addr []byte, m lock.Mode) (free func(), err error) {
	free = func() {}
	if err := p.regionFree(x, f, addr, m); err != nil {
		return free, err
	}
	if addr == nil || x.io == call.DirtyInput {
		return free, nil
	}
	object := recordObject(f.id, addr)
	if p.inTransaction(f) {
		return free, p.lockInTransaction(ctx, x, object, m, p.lockLimit(true), call.RecordInUse)
	}
	if _, held := x.held[object]; held || !x.implicit {
		return free, nil
	}
	if err := p.e.locks.acquire(ctx, x.owner, object, m, lockWait, call.RecordInUse); err != nil {
		return free, fmt.Errorf("lock a record of %s: %w", x.path, err)
	}
	return func() { p.e.locks.release(x.owner, object) }, nil
}

// lockInTransaction takes a record's lock for the rest of the transaction. One
// that loses, or has waited for too long, is aborted.
func (p *Process) lockInTransaction(ctx context.Context, x *port, object string, m lock.Mode, limit time.Duration, busy call.Code) error {
	if p.txn.aborted.Load() {
		return p.txn.lost("lock a record of " + x.path)
	}
	err := p.e.locks.acquire(ctx, p.txn.owner, object, m, limit, busy)
	if c := call.CodeOf(err); err != nil && (c == call.TPAborted || c == call.Timeout) {
		why := "others waited for it in a circle"
		if c == call.Timeout {
			why = fmt.Sprintf("it waited for a lock for %d/1024 s", limit/tick)
		}
		p.txn.abort(why)
		p.e.locks.releaseAll(p.txn.owner)
		p.e.watches.all()
		return p.txn.lost("lock a record of " + x.path)
	}
	if err != nil {
		return fmt.Errorf("lock a record of %s: %w", x.path, err)
	}
	return nil
}

// show remembers what a read showed, on a port that can rewrite it.
func (x *port) show(r *rec) {
	if x.io != call.Update {
		return
	}
	if x.shown == nil || len(x.shown) >= maxShown {
		x.shown, x.shownOld = map[string][]origin.OpDot{}, x.shown
	}
	x.shown[string(r.addr)] = r.dots
}

// seen gives what this port's reads showed of a register.
func (x *port) seen(addr []byte) (dots []origin.OpDot, ok bool) {
	if dots, ok = x.shown[string(addr)]; ok {
		return dots, ok
	}
	if dots, ok = x.shownOld[string(addr)]; ok {
		return dots, ok
	}
	if x.cur != nil && bytes.Equal(x.cur.addr, addr) {
		return x.cur.dots, true // positioned to, or written
	}
	return nil, false
}

// forget is for a register that the port wrote.
func (x *port) forget(addr []byte) {
	delete(x.shown, string(addr))
	delete(x.shownOld, string(addr))
}
