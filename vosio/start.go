package vosio

import (
	"context"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/lock"
	"drmesh/vosio/record"
)

// maxStarted bounds the writes of one process that are under way.
const maxStarted = 1024

// started is a write that was handed to the committer and not waited for. Its
// answer comes at any time; the port learns of it before the process's next
// call that is not such a write.
type started struct {
	x     *port
	opens int
	file  origin.FileID
	data  []byte

	// Written before under is told.
	out committed
	err error
}

// Start carries a call out as Do does, and calls done, once, when r holds the
// answer. Calls take effect in the order of Start. It waits like Do, but for
// calls that add records: the next call may come while their flush goes on, so
// that a program that sends many shares it with itself. If a share cannot be
// written for a while, they wait in their line, as long as one call would. What q refers to belongs
// to the process from here on. done may be called by any goroutine, before Start
// returns too; it must not block, nor call the process.
func (p *Process) Start(ctx context.Context, q *call.Request, r *call.Reply, done func(error)) {
	*r = call.Reply{Room: r.Room}
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.closed {
		done(ErrClosed)
		return
	}
	if !p.startInsert(ctx, q, r, done) {
		done(p.carryOut(ctx, q, r))
	}
}

// startInsert hands a new record to the committer. false: the call is not of
// that kind, or wrong, and nothing was done.
func (p *Process) startInsert(ctx context.Context, q *call.Request, r *call.Reply, done func(error)) bool {
	if p.e.cfg.Inline || q.Call != "s$seq_write" && q.Call != "s$keyed_write" {
		return false
	}
	x, f, err := p.opened(q.Port)
	switch {
	case err != nil, x.mayWrite() != nil, f.stream(), len(x.partial) > 0, q.Call == "s$keyed_write" && f.separate, f.attribute(attrRegions) == "1", p.mayTouch(x, f, lock.Exclusive) != nil, q.Call == "s$keyed_write" && x.access != call.Indexed,
		f.attribute(attrTransaction) == "1", p.e.waits(f), f.share != "" && p.e.slow.Load() > 0, f.share != "" && p.e.forbidFile(f, p.name) != nil, checkLength(f, len(q.Data)) != nil:
		return false
	}
	var addr []byte
	if f.identity != nil {
		addr = record.AppendKey(nil, f.identity.number, f.identity.AppendKeyOf(nil, q.Data))
	}
	free := func() {}
	if object := recordObject(f.id, addr); addr != nil && x.implicit && !p.holds(x, f, addr) {
		// Who has to wait does so with no write under way, as one call does.
		if p.e.locks.acquire(ctx, x.owner, object, lock.Exclusive, noWait, call.RecordInUse) != nil {
			return false
		}
		free = func() { p.e.locks.release(x.owner, object) }
	}
	if len(p.started) >= maxStarted {
		p.settleStarted()
	}
	t, number := p.counted(q.Port), call.Find(q.Call).Number()
	t.made[number].Add(1)
	s := &started{x: x, opens: x.opens, file: f.id, data: q.Data}
	req := &request{process: p.name, ctx: ctx, line: &p.line, changes: []change{{file: f, kind: insert, data: q.Data}}}
	req.told = func(err error) {
		free()
		if err == nil {
			s.out = req.out[0]
			if n, ok := record.Number(s.out.addr); ok {
				r.Number = int64(n)
			}
		} else {
			s.err = err
			err = p.answer(ctx, r, err)
			t.failed[number].Add(1)
		}
		p.under.Done()
		done(err)
	}
	p.under.Add(1)
	if err := p.e.enqueue(ctx, req); err != nil {
		req.told(err)
		return true
	}
	p.started = append(p.started, s)
	return true
}

// settleStarted waits for the writes under way, and moves their ports as they
// would have moved one by one.
func (p *Process) settleStarted() {
	if len(p.started) == 0 {
		return
	}
	p.under.Wait()
	for i, s := range p.started {
		p.started[i] = nil
		if s.err != nil || !s.x.isOpen || s.x.opens != s.opens {
			continue
		}
		s.x.forget(s.out.addr)
		if f := p.e.cat.file(s.file); f != nil {
			s.x.added(f, s.out, s.data)
		}
	}
	p.started = p.started[:0]
}
