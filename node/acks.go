package node

import (
	"context"
	"sync"
	"time"

	"drmesh/origin"
)

// acks is what neighbours have told to have durable, and when; and what is
// durable here. Waiters are woken when it advances.
type acks struct {
	mu   sync.Mutex // protects what follows; never held across I/O
	seqs map[origin.Module]map[origin.Stream]acked
	ch   chan struct{} // closed at the next advance
	// Measuring is on while somebody waits for times.
	watch map[*watch]struct{}
}

type acked struct {
	seq origin.Seq
	at  time.Time
}

// watch collects when a stream's positions became known as durable at a peer.
type watch struct {
	peer   origin.Module
	stream origin.Stream
	fn     func(seq origin.Seq, at time.Time) // must not block
}

func (a *acks) init() {
	a.seqs = map[origin.Module]map[origin.Stream]acked{}
	a.ch = make(chan struct{})
	a.watch = map[*watch]struct{}{}
}

func (a *acks) note(from origin.Module, seqs []origin.StreamSeq) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.seqs[from]
	if m == nil {
		m = map[origin.Stream]acked{}
		a.seqs[from] = m
	}
	for _, e := range seqs {
		if e.Seq > m[e.Stream].seq && len(m) < origin.MaxStreams {
			m[e.Stream] = acked{e.Seq, now}
		}
		for w := range a.watch {
			if w.peer == from && w.stream == e.Stream {
				w.fn(e.Seq, now)
			}
		}
	}
	close(a.ch)
	a.ch = make(chan struct{})
}

// self notes an advance here, for those who wait for it.
func (a *acks) self([]origin.StreamPosition) {
	a.mu.Lock()
	close(a.ch)
	a.ch = make(chan struct{})
	a.mu.Unlock()
}

func (a *acks) of(m origin.Module, s origin.Stream) (acked, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x, ok := a.seqs[m][s]
	return x, ok
}

// wait waits until ok gives true; ok is asked again at each advance.
func (a *acks) wait(ctx context.Context, ok func() bool) error {
	for {
		a.mu.Lock()
		ch := a.ch
		a.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
