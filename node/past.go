package node

import (
	"slices"
	"sync"

	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/origin/journal"
)

// past tells what our own txns were made on, for heads of positions in the past:
// a receiver that catches up compares it with what it holds before it takes a
// run. Of the runs that one receiver gets one after the other, each head names
// what all of them worked on, so that a relay may pass several on under the last.
//
// It is a memory of what was read, no more: what it has forgotten is left
// out of the next head, and the writer's newest head names it.
type past struct {
	mu   sync.Mutex // protects what follows; held across decoding of a run, and point reads
	runs []pastRun  // newest last, maxPast at most
	txn  origin.Txn // reused
}

// pastRun is where a run ended, and what it and those before it were made on.
type pastRun struct {
	at      origin.Dot
	context origin.Context
}

// maxPast is how many receivers at different places are remembered.
const maxPast = 16

// context lists what the entries of a run of an own stream name, and what those
// named that were read before it, with the chains that are here. What is not here
// any more, or lies beyond an end, is left out.
func (p *past) context(st origin.Stream, after origin.Seq, entries []journal.Entry, j *journal.Journal, end func(origin.Stream) (origin.Seq, bool)) ([]origin.StreamPosition, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := origin.Context{}
	if i := slices.IndexFunc(p.runs, func(r pastRun) bool { return r.at == (origin.Dot{Stream: st, Seq: after}) }); i >= 0 {
		// Another receiver may be there too: what it gets next is only less.
		c = p.runs[i].context
		p.runs = slices.Delete(p.runs, i, i+1)
	}
	for _, e := range entries {
		if err := entry.Peek(e.Bytes, origin.Dot{Stream: st, Seq: e.Seq}, &p.txn); err != nil {
			return nil, err
		}
		c.Advance(p.txn.Context)
	}
	if len(p.runs) == maxPast {
		p.runs = slices.Delete(p.runs, 0, 1)
	}
	p.runs = append(p.runs, pastRun{origin.Dot{Stream: st, Seq: entries[len(entries)-1].Seq}, c})
	var l []origin.StreamPosition
	for _, e := range c.Sorted() {
		if last, ended := end(e.Stream); ended && e.Seq > last || e.Stream == st {
			continue
		}
		h, ok, err := j.HashAt(e.Stream, e.Seq)
		if err != nil {
			return nil, err
		}
		if ok {
			l = append(l, origin.StreamPosition{Stream: e.Stream, Position: origin.Position{Seq: e.Seq, Hash: h}})
		}
	}
	return l, nil
}
