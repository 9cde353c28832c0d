package vosio

import (
	"context"
	"fmt"
	"sync"
	"time"

	"drmesh/origin"
	"drmesh/vosio/call"
)

// Who waits for something to happen to a file watches it: receivers of queues,
// senders to full ones, readers of pipes, waiters for events. A watcher is told
// that something may have happened, and looks. Telling never blocks.

type watches struct {
	mu   sync.Mutex // protects list; never held across I/O
	list map[origin.FileID]map[chan struct{}]struct{}
}

// watch tells the channel, from now until stop, whenever something happens to
// one of the files.
func (w *watches) watch(files ...origin.FileID) (ch chan struct{}, stop func()) {
	ch = make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list = map[origin.FileID]map[chan struct{}]struct{}{}
	}
	for _, f := range files {
		if w.list[f] == nil {
			w.list[f] = map[chan struct{}]struct{}{}
		}
		w.list[f][ch] = struct{}{}
	}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, f := range files {
			if delete(w.list[f], ch); len(w.list[f]) == 0 {
				delete(w.list, f)
			}
		}
	}
}

func tell(chs map[chan struct{}]struct{}) {
	for ch := range chs {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// happened tells those who watch a file.
func (w *watches) happened(f origin.FileID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tell(w.list[f])
}

// all tells everybody: something happened that is not of one file.
func (w *watches) all() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, chs := range w.list {
		tell(chs)
	}
}

// lookAgain is how often who waits looks though nothing was told: for what only
// time changes, a lease before all.
const lookAgain = 200 * time.Millisecond

// wait says how a call waits.
type wait struct {
	what   string // the call and what it is on
	noWait bool   // e$caller_must_wait instead
	limit  time.Duration
	files  []origin.FileID // where something happens that it waits for
}

// await tries until it is done, after each thing that happens to a port's file.
func (p *Process) await(ctx context.Context, x *port, f origin.FileID, q *call.Request, try func() (done bool, err error)) error {
	return p.awaitAny(ctx, wait{q.Call + " on " + x.path, q.NoWait || x.noWait, x.limit, []origin.FileID{f}}, try)
}

// awaitAny tries until it is done. In no-wait mode it tries once; what must wait
// is e$caller_must_wait there, and e$timeout after the limit, if there is one.
func (p *Process) awaitAny(ctx context.Context, w wait, try func() (done bool, err error)) error {
	must := func(c call.Code) error { return fmt.Errorf("%s: %w", w.what, c) }
	// Mostly nobody has to wait.
	switch done, err := try(); {
	case done || err != nil:
		return err
	case w.noWait:
		return must(call.CallerMustWait)
	}
	told, stop := p.e.watches.watch(w.files...)
	defer stop()
	var deadline <-chan time.Time
	if w.limit > 0 {
		t := time.NewTimer(w.limit)
		defer t.Stop()
		deadline = t.C
	}
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	waits := false
	defer func() {
		if waits {
			p.e.waiting.Add(-1)
		}
	}()
	for {
		done, err := try()
		if done || err != nil {
			return err
		}
		if p.e.cfg.Inline {
			return must(call.CallerMustWait)
		}
		if !waits {
			waits = true
			p.e.waiting.Add(1)
		}
		select {
		case <-told:
		case <-again.C:
		case <-deadline:
			return must(call.Timeout)
		case <-ctx.Done():
			return ctx.Err()
		case <-p.e.ending:
			return ErrClosed
		case <-p.ending:
			return ErrClosed
		}
	}
}

func (p *Process) setNoWaitMode(_ context.Context, q *call.Request, _ *call.Reply) error {
	return p.setWait(q, true)
}

func (p *Process) setWaitMode(_ context.Context, q *call.Request, _ *call.Reply) error {
	return p.setWait(q, false)
}

func (p *Process) setWait(q *call.Request, noWait bool) error {
	x, err := p.port(q.Port)
	if err == nil {
		x.noWait = noWait
	}
	return err
}

// tick is the unit of the time limits of VOS.
const tick = time.Second / 1024

// setTimeLimit bounds the waits of a port; below 0: no bound.
func (p *Process) setTimeLimit(_ context.Context, q *call.Request, _ *call.Reply) error {
	x, err := p.port(q.Port)
	if err != nil {
		return err
	}
	if q.Count > 1<<31-1 || q.Count < -1 {
		return fmt.Errorf("time limit of port %d: %d: %w", x.id, q.Count, call.InvalidControl)
	}
	x.limit = max(0, time.Duration(q.Count)*tick)
	x.noWait = q.Count == 0
	return nil
}
