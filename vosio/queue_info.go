package vosio

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"drmesh/vosio/call"
)

// queueInfo tells how a queue stands.
func (p *Process) queueInfo(_ context.Context, q *call.Request, r *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	i, err := p.e.QueueInfo(full)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // paths are full of '>'
	err = enc.Encode(i)
	r.Info = bytes.TrimSpace(b.Bytes())
	return err
}

// QueueInfo tells how a queue stands at this module.
func (e *Engine) QueueInfo(full string) (call.QueueInfo, error) {
	f, err := e.readable(full)
	if err != nil {
		return call.QueueInfo{}, err
	}
	if !isQueue(f.org) {
		return call.QueueInfo{}, fmt.Errorf("%s is no queue: %w", full, call.InvalidFileType)
	}
	i := call.QueueInfo{Path: full, Kind: call.OrgName(f.org), Depth: f.recordCount(), Bytes: f.stat.bytes.Load(), Limit: f.depthLimit(), Protected: f.attribute(attrTransaction) == "1"}
	if ok, err := e.deliver(f); err != nil {
		i.Delivers = "no: " + err.Error()
	} else if ok {
		i.Delivers = "yes"
	} else {
		i.Delivers = "waits for the lease"
	}
	e.queues.mu.Lock()
	if o := e.queues.list[f.id]; o != nil {
		i.Servers, i.Requesters = o.servers, o.requesters
		if isMemoryQueue(f.org) {
			i.Depth = int64(len(o.all))
			i.Bytes = 0
			for _, m := range o.all {
				i.Bytes += int64(len(m.body))
			}
		}
	}
	e.queues.mu.Unlock()
	if isStoredQueue(f.org) {
		s, err := e.scan(e.db, f, f.delivery())
		if err != nil {
			return i, err
		}
		defer s.Close()
		if s.First() {
			i.First = s.record().birth.Stamp.Time()
		}
		if err := s.Err(); err != nil {
			return i, err
		}
	}
	return i, nil
}
