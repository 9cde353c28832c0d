package vosio

import (
	"context"
	"fmt"
	"strconv"

	"drmesh/vosio/call"
	"drmesh/vosio/lock"
)

// msgOpen attaches and opens a port on a queue.
func (p *Process) msgOpen(ctx context.Context, q *call.Request, r *call.Reply) error {
	if err := p.attachPort(ctx, &call.Request{Path: q.Path}, r); err != nil {
		return err
	}
	id := r.Port
	if err := p.open(ctx, &call.Request{Port: id, IO: q.IO, Size: q.Size, Lock: call.ImplicitLocking, Access: call.Sequential}, r); err != nil {
		p.detachPort(ctx, &call.Request{Port: id}, r)
		return err
	}
	r.Port = id
	return nil
}

// openQueue opens an attached port on a queue. Its open is like one for
// record-by-record locking: it keeps calls by path out.
func (p *Process) openQueue(ctx context.Context, x *port, q *call.Request) error {
	e := p.e
	f, err := e.file(x.path)
	if err != nil {
		if f, err = e.readable(x.path); err != nil {
			return err
		}
	}
	size := q.Size
	if size == 0 {
		size = call.MaxMessage
	}
	switch {
	case !isQueue(f.org):
		return fmt.Errorf("open %s as a queue: %w", x.path, call.InvalidFileType)
	case size < 1 || size > call.MaxMessage:
		return fmt.Errorf("open %s: messages of %d bytes: %w", x.path, q.Size, call.InvalidRecordSize)
	case f.org != call.OrgServerQueue && f.org != call.OrgDirectQueue && q.IO == call.Requester:
		// Nobody replies there; it sends all the same.
	}
	if err := e.locks.acquire(ctx, x.owner, fileObject(f.id), lock.Implicit, noWait, call.FileInUse); err != nil {
		return fmt.Errorf("open %s: %w", x.path, err)
	}
	if g := e.cat.file(f.id); g == nil || g.deleted && g.shown == "" {
		e.locks.releaseAll(x.owner)
		return fmt.Errorf("open %s: it was deleted meanwhile: %w", x.path, call.ObjectNotFound)
	}
	x.isOpen, x.file, x.io, x.access, x.index = true, f.id, q.IO, call.Sequential, ""
	x.opens++
	x.implicit = true
	x.longest = size
	x.cur, x.positioned, x.next, x.order, x.partial = nil, false, nextPlace{kind: atFirst}, "", nil
	e.queues.opened(f.id, x.serves())
	e.watches.happened(f.id)
	return nil
}

// queuePort finds a port that is open on a queue.
func (p *Process) queuePort(id int, may func(*port) bool) (*port, *file, error) {
	x, f, err := p.opened(id)
	if err != nil {
		return nil, nil, err
	}
	if !isQueue(f.org) {
		return nil, nil, fmt.Errorf("port %d on %s, no queue: %w", id, x.path, call.InvalidFileType)
	}
	if !may(x) {
		return nil, nil, fmt.Errorf("port %d on %s: %w", id, x.path, call.InvalidIOType)
	}
	return x, f, nil
}

// setMaxQueueDepth bounds a queue; 0: as its kind has it.
func (p *Process) setMaxQueueDepth(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	f, err := p.e.file(full)
	if err != nil {
		return err
	}
	if !isQueue(f.org) {
		return fmt.Errorf("depth of %s: %w", full, call.InvalidFileType)
	}
	if q.Count < 0 || q.Count > 1<<31-1 {
		return fmt.Errorf("depth of %s: %d: %w", full, q.Count, call.InvalidControl)
	}
	v := ""
	if q.Count > 0 {
		v = strconv.FormatInt(q.Count, 10)
	}
	if err := p.e.setAttribute(ctx, p.name, full, attrDepth, v); err != nil {
		return err
	}
	p.e.watches.happened(f.id)
	return nil
}
