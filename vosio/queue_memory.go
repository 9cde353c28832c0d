package vosio

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"drmesh/vosio/call"
)

// Server queues and direct queues: a requester sends, a server receives and
// replies, the requester receives the reply. All of it is in memory and of this
// module; a message ends with its requester's port, and goes back to the queue
// with its server's. Transactions do not hold it.

// exchange is one message with its reply. openQueues.mu protects it.
type exchange struct {
	message
	by      *port // requester
	with    *port // server that took it; nil: it waits
	replied bool
	reply   []byte
}

// compareWaiting orders messages for delivery.
func compareWaiting(a, b *exchange) int {
	if a.priority != b.priority {
		return b.priority - a.priority
	}
	return int(a.id - b.id)
}

// waiting lists what has been taken by no server.
func (o *openQueue) waiting() []*exchange {
	var l []*exchange
	for _, m := range o.all {
		if m.with == nil {
			l = append(l, m)
		}
	}
	slices.SortFunc(l, compareWaiting)
	return l
}

func (p *Process) sendMemory(ctx context.Context, x *port, f *file, q *call.Request, m *message, r *call.Reply) error {
	e := p.e
	m.body = slices.Clone(m.body)
	return p.await(ctx, x, f.id, q, func() (bool, error) {
		limit := f.depthLimit()
		e.queues.mu.Lock()
		defer e.queues.mu.Unlock()
		o := e.queues.list[f.id]
		if o == nil || o.servers == 0 {
			return false, fmt.Errorf("send to %s: %w", x.path, call.NoMsgServer)
		}
		full := int64(len(o.all)) >= limit
		if f.org == call.OrgDirectQueue {
			for _, other := range o.all {
				full = full || other.by == x
			}
		}
		if full {
			return false, nil
		}
		if o.last++; o.last >= 1<<31 {
			o.last = 1
		}
		m.id = o.last
		o.all[m.id] = &exchange{message: *m, by: x}
		r.Number = m.id
		e.watches.happened(f.id)
		return true, nil
	})
}

func (p *Process) receiveMemory(ctx context.Context, x *port, f *file, q *call.Request, want string, r *call.Reply) error {
	var got *exchange
	err := p.await(ctx, x, f.id, q, func() (bool, error) {
		p.e.queues.mu.Lock()
		defer p.e.queues.mu.Unlock()
		for _, m := range p.e.queues.list[f.id].waiting() {
			if !selects(want, m.subject) {
				continue
			}
			if q.Max == 0 || len(m.body) <= q.Max {
				m.with = x
			}
			got = m
			return true, nil
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	return giveMessage(q, r, &got.message)
}

func (p *Process) readMemory(x *port, f *file, q *call.Request, want string, r *call.Reply) error {
	p.e.queues.mu.Lock()
	defer p.e.queues.mu.Unlock()
	if q.Position == call.PosBeginning {
		x.seenMessage = nil
	}
	for _, m := range p.e.queues.list[f.id].waiting() {
		if selects(want, m.subject) && (x.seenMessage == nil || compareWaiting(m, x.seenMessage) > 0) {
			x.seenMessage = m
			return giveMessage(q, r, &m.message)
		}
	}
	return fmt.Errorf("read %s: %w", x.path, call.EndOfFile)
}

// underWay finds a message by number that pick takes.
func (p *Process) underWay(x *port, f *file, number int64, pick func(*exchange) bool) (*exchange, error) {
	if o := p.e.queues.list[f.id]; o != nil {
		if m := o.all[number]; m != nil && pick(m) {
			return m, nil
		}
	}
	return nil, fmt.Errorf("message %d of %s: %w", number, x.path, call.RecordNotFound)
}

// inMemory runs do on a message of a queue in memory, then tells who waits.
func (p *Process) inMemory(q *call.Request, may func(*port) bool, pick func(*port, *exchange) bool, do func(*openQueue, *exchange) error) error {
	x, f, err := p.queuePort(q.Port, may)
	if err != nil {
		return err
	}
	if !isMemoryQueue(f.org) {
		return fmt.Errorf("%s on %s, %s: %w", q.Call, x.path, strings.ReplaceAll(call.OrgName(f.org), "_", " "), call.InvalidFileType)
	}
	p.e.queues.mu.Lock()
	m, err := p.underWay(x, f, q.Number, func(m *exchange) bool { return pick(x, m) })
	if err == nil {
		err = do(p.e.queues.list[f.id], m)
	}
	p.e.queues.mu.Unlock()
	p.e.watches.happened(f.id)
	return err
}

// msgSendReply answers a message that this port received.
func (p *Process) msgSendReply(_ context.Context, q *call.Request, _ *call.Reply) error {
	return p.inMemory(q, func(x *port) bool { return x.io == call.Server }, func(x *port, m *exchange) bool { return m.with == x && !m.replied },
		func(_ *openQueue, m *exchange) error {
			if len(q.Data) > call.MaxMessage {
				return fmt.Errorf("reply of %d bytes: %w", len(q.Data), call.RecordTooLong)
			}
			m.replied, m.reply = true, slices.Clone(q.Data)
			return nil
		})
}

// msgCancelReceive gives a message that this port received back to its queue.
func (p *Process) msgCancelReceive(_ context.Context, q *call.Request, _ *call.Reply) error {
	return p.inMemory(q, (*port).serves, func(x *port, m *exchange) bool { return m.with == x && !m.replied },
		func(_ *openQueue, m *exchange) error { m.with = nil; return nil })
}

func (p *Process) deleteMemory(x *port, f *file, q *call.Request) error {
	return p.inMemory(q, func(*port) bool { return true }, func(x *port, m *exchange) bool { return m.by == x || m.with == nil && x.serves() },
		func(o *openQueue, m *exchange) error { delete(o.all, m.id); return nil })
}

// msgReceiveReply waits for the reply to a message of this port; number 0 is
// any of them.
func (p *Process) msgReceiveReply(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.queuePort(q.Port, func(x *port) bool { return x.io == call.Requester })
	if err != nil {
		return err
	}
	if !isMemoryQueue(f.org) {
		return fmt.Errorf("receive a reply on %s: nobody replies there: %w", x.path, call.InvalidFileType)
	}
	return p.await(ctx, x, f.id, q, func() (bool, error) {
		p.e.queues.mu.Lock()
		defer p.e.queues.mu.Unlock()
		o := p.e.queues.list[f.id]
		var mine []*exchange
		for _, m := range o.all {
			if m.by == x && (q.Number == 0 || m.id == q.Number) {
				mine = append(mine, m)
			}
		}
		if len(mine) == 0 {
			return false, fmt.Errorf("reply to message %d of %s: %w", q.Number, x.path, call.RecordNotFound)
		}
		slices.SortFunc(mine, func(a, b *exchange) int { return int(a.id - b.id) })
		for _, m := range mine {
			if !m.replied {
				continue
			}
			r.Number, r.Length, r.Data = m.id, len(m.reply), slices.Clone(m.reply)
			if q.Max > 0 && len(m.reply) > q.Max {
				r.Data = r.Data[:q.Max]
				return true, fmt.Errorf("reply of %d bytes, buffer of %d: %w", len(m.reply), q.Max, call.LongRecord)
			}
			delete(o.all, m.id)
			return true, nil
		}
		if o.servers == 0 {
			return false, fmt.Errorf("reply to message %d of %s: %w", q.Number, x.path, call.NoMsgServer)
		}
		return false, nil
	})
}
