package vosio

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"drmesh/vosio/call"
)

// send adds a message to a queue. To a full one it waits for room; what a
// transaction itself has put there makes none, and is e$queue_full.
func (p *Process) msgSend(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.queuePort(q.Port, (*port).requests)
	if err != nil {
		return err
	}
	subject := strings.TrimRight(q.Name, " ")
	switch {
	case q.Count < 0 || q.Count > maxPriority:
		return fmt.Errorf("send to %s: priority %d: %w", x.path, q.Count, call.InvalidPriority)
	case len(q.Data) < 1 || len(q.Data) > x.longest:
		return fmt.Errorf("send to %s: %d bytes, its open allows 1 to %d: %w", x.path, len(q.Data), x.longest, call.RecordTooLong)
	case len(subject) > maxSubject:
		return fmt.Errorf("send to %s: a subject of %d bytes, at most %d: %w", x.path, len(subject), maxSubject, call.RecordTooLong)
	}
	// A server of a mirrored queue may be at another module.
	if f.share == "" && f.org != call.OrgMsgQueue && !p.e.queues.served(f.id) {
		return fmt.Errorf("send to %s: %w", x.path, call.NoMsgServer)
	}
	m := &message{priority: int(q.Count), subject: subject, body: q.Data}
	if isMemoryQueue(f.org) {
		return p.sendMemory(ctx, x, f, q, m, r)
	}
	if f.share != "" {
		if err := p.e.forbidFile(f, p.name); err != nil {
			return err
		}
	}
	protected := f.attribute(attrTransaction) == "1"
	if protected && p.txn == nil {
		return fmt.Errorf("send to %s: %w", x.path, call.NoTransaction)
	}
	m.id = f.stat.queue.next()
	ch := change{file: f, kind: insert, data: appendMessage(make([]byte, 0, messageHead+len(subject)+len(q.Data)), m)}
	err = p.await(ctx, x, f.id, q, func() (bool, error) {
		now := p.e.cat.file(f.id)
		if now == nil {
			return false, fmt.Errorf("send to %s: %w", x.path, call.ObjectNotFound)
		}
		limit := now.depthLimit()
		if protected {
			if p.txn.aborted.Load() {
				return false, p.txn.lost("send to " + x.path)
			}
			own := p.txn.queued[f.id]
			if limit > 0 && own >= limit {
				return false, fmt.Errorf("send to %s: the transaction's own messages fill it: %w", x.path, call.QueueFull)
			}
			if limit > 0 && f.stat.records.Load()+own >= limit {
				return false, nil
			}
			if _, err := p.txn.write(ctx, p, x, ch); err != nil {
				return false, err
			}
			p.txn.queued[f.id]++
			return true, nil
		}
		ch.limit = limit
		_, err := p.e.commit(ctx, p.name, []change{ch})
		if errors.Is(err, call.QueueFull) {
			return false, nil
		}
		return err == nil, err
	})
	r.Number = m.id
	return err
}
