package vosio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/vosio/call"
	"drmesh/vosio/lock"
	"drmesh/vosio/path"
)

// Receiving takes a message off a queue: the first in the order of delivery
// that its subject selects and that no other transaction holds. A message that
// a transaction has taken stays where it was for everybody else, locked, until
// the transaction ends.
//
// Of a mirrored queue one module delivers: the owner of its group, while it has
// the lease. Others hold the messages, and may look at them.

// deliver refuses to take messages off a queue that this module does not own;
// false: it cannot be said at this moment.
func (e *Engine) deliver(f *file) (bool, error) {
	if f.share == "" {
		return true, nil
	}
	s := e.table().Share(f.share)
	switch {
	case s == nil:
		return false, fmt.Errorf("receive from %s: share %s is not here any more: %w", f.rel, f.share, call.NoAccess)
	case s.Owner != "":
		return false, fmt.Errorf("receive from %s:%s: %s owns it: %w", f.share, f.rel, s.Owner, call.NotOwner)
	case s.Takes == nil:
		return false, fmt.Errorf("receive from %s:%s: another module takes its messages, or none: %w", f.share, f.rel, call.NotOwner)
	}
	return s.Takes(), nil
}

// selects reports whether a message has the subject that a server asks for: ”
// is any, and a star name stands for those that it matches.
func selects(want, subject string) bool {
	return want == "" || want == subject || strings.Contains(want, "*") && path.Match(want, subject)
}

// waitingMessage finds the first message at or behind a place in the order of
// delivery that pick takes.
func (p *Process) waitingMessage(f *file, from nextPlace, pick func(*rec, *message) (bool, error)) (r *rec, at spot, m message, err error) {
	v := p.view(f)
	ix := f.delivery()
	if ix == nil {
		return nil, nil, m, fmt.Errorf("search %s: %w", f.rel, call.FileFormatError)
	}
	low, began := f.stat.queue.from()
	s, err := p.e.scan(v, f, ix)
	if err != nil {
		return nil, nil, m, err
	}
	defer s.Close()
	ok := false
	plain := v == pebble.Reader(p.e.db) && from.kind == atFirst
	switch {
	case plain:
		if ok = s.SeekGE(low); ok {
			f.stat.queue.passed(s.spot(), began)
		}
	case from.kind == atFirst:
		ok = s.First()
	case from.kind == atSpot:
		ok = s.SeekGE(from.at)
	case from.kind == afterSpot:
		ok = s.After(from.at)
	}
	for ; ok; ok = s.Next() {
		x := s.record()
		if m, err = parseMessage(x.data); err != nil {
			return nil, nil, m, err
		}
		take, err := pick(x, &m)
		if err != nil {
			return nil, nil, m, err
		}
		if take {
			return x, s.spot(), m, nil
		}
	}
	return nil, nil, m, s.Err()
}

// giveMessage puts a message into a reply.
func giveMessage(q *call.Request, r *call.Reply, m *message) error {
	r.Number, r.Priority, r.Subject = m.id, m.priority, m.subject
	r.Length, r.Data = len(m.body), slices.Clone(m.body)
	if q.Max > 0 && len(m.body) > q.Max {
		r.Data = r.Data[:q.Max]
		return fmt.Errorf("message of %d bytes, buffer of %d: %w", len(m.body), q.Max, call.LongRecord)
	}
	return nil
}

func (p *Process) msgReceive(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.queuePort(q.Port, (*port).serves)
	if err != nil {
		return err
	}
	want := strings.TrimRight(q.Name, " ")
	if isMemoryQueue(f.org) {
		return p.receiveMemory(ctx, x, f, q, want, r)
	}
	var got message
	err = p.await(ctx, x, f.id, q, func() (bool, error) {
		m, ok, err := p.take(ctx, x, f.id, q, func(m *message) bool { return selects(want, m.subject) })
		got = m
		return ok, err
	})
	if err != nil && !errors.Is(err, call.DurableHere) {
		return err
	}
	return errors.Join(err, giveMessage(q, r, &got))
}

// take takes the first message that want selects off a queue of registers;
// false: there is none now. One that does not fit the caller's buffer stays.
func (p *Process) take(ctx context.Context, x *port, id [16]byte, q *call.Request, want func(*message) bool) (message, bool, error) {
	f := p.e.cat.file(id)
	if f == nil {
		return message{}, false, fmt.Errorf("receive from %s: %w", x.path, call.ObjectNotFound)
	}
	if ok, err := p.e.deliver(f); err != nil || !ok {
		return message{}, false, err
	}
	if f.share != "" {
		if err := p.e.forbidFile(f, p.name); err != nil {
			return message{}, false, err
		}
	}
	owner := x.owner
	protected := f.attribute(attrTransaction) == "1"
	if protected {
		if p.txn == nil {
			return message{}, false, fmt.Errorf("receive from %s: %w", x.path, call.NoTransaction)
		}
		if p.txn.aborted.Load() {
			return message{}, false, p.txn.lost("receive from " + x.path)
		}
		owner = p.txn.owner
	}
	from := nextPlace{kind: atFirst}
	for {
		object := ""
		found, at, m, err := p.waitingMessage(f, from, func(c *rec, m *message) (bool, error) {
			if !want(m) {
				return false, nil
			}
			if provisional(c.addr) {
				return true, nil // the transaction's own
			}
			o := recordObject(f.id, c.addr)
			err := p.e.locks.acquire(ctx, owner, o, lock.Exclusive, noWait, call.RecordInUse)
			if err == nil {
				object = o
			}
			return err == nil, nil
		})
		if err != nil || found == nil {
			return message{}, false, err
		}
		if q.Max > 0 && len(m.body) > q.Max {
			// The program is told how long it is, and asks again.
			if object != "" && !protected {
				p.e.locks.release(owner, object)
			}
			return m, true, nil
		}
		ch := change{file: f, kind: remove, addr: found.addr}
		if protected {
			_, err = p.txn.write(ctx, p, x, ch)
			if err == nil {
				p.txn.queued[f.id]--
			}
		} else {
			_, err = p.e.commit(ctx, p.name, []change{ch})
			p.e.locks.release(owner, object)
		}
		switch {
		case err == nil:
			return m, true, nil
		case errors.Is(err, call.DurableHere):
			// It is off the queue here, so nobody else may get it: the program
			// has it with the code, and decides.
			return m, true, err
		case errors.Is(err, call.RecordNotFound):
			// Somebody took it between the look and the lock.
			from = nextPlace{afterSpot, at}
		default:
			p.e.watches.happened(f.id)
			return message{}, false, err
		}
	}
}

// msgRead looks at a message and leaves it: the first (type 1), or the one that
// follows the last that this port looked at.
func (p *Process) msgRead(_ context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.queuePort(q.Port, (*port).serves)
	if err != nil {
		return err
	}
	want := strings.TrimRight(q.Name, " ")
	if isMemoryQueue(f.org) {
		return p.readMemory(x, f, q, want, r)
	}
	from := x.next
	switch q.Position {
	case call.PosBeginning:
		from = nextPlace{kind: atFirst}
	case 0, call.PosForward:
	default:
		return fmt.Errorf("read %s: type %d: %w", x.path, q.Position, call.InvalidControl)
	}
	found, at, m, err := p.waitingMessage(f, from, func(_ *rec, m *message) (bool, error) { return selects(want, m.subject), nil })
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("read %s: %w", x.path, call.EndOfFile)
	}
	x.next = nextPlace{afterSpot, at}
	return giveMessage(q, r, &m)
}

// msgDelete takes the message of a number away unread: a requester its own, or
// anybody's that has the number; a server any.
func (p *Process) msgDelete(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.queuePort(q.Port, func(*port) bool { return true })
	if err != nil {
		return err
	}
	if isMemoryQueue(f.org) {
		return p.deleteMemory(x, f, q)
	}
	_, ok, err := p.take(ctx, x, f.id, &call.Request{}, func(m *message) bool { return m.id == q.Number })
	if err == nil && !ok {
		err = fmt.Errorf("delete message %d of %s: %w", q.Number, x.path, call.RecordNotFound)
	}
	return err
}
