package vosio

import (
	"time"

	"drmesh/vosio/call"
)

// tryAgain is how often a write is tried that a share does not take for a while.
const tryAgain = 50 * time.Millisecond

// line is where the writes of one process stand that were started and that a
// share does not take for a while: its state is still to come, its owner is being
// changed, or has no lease. Behind the first of them stand all that the process
// started later, so that their order stays.
//
// It belongs to the committer's goroutine. At most maxStarted stand in it. It
// ends when a try gets through, or when the time is over or its program or
// the engine ends: then all that stand in it get their answers.
type line struct {
	held  []*request
	until time.Time // when what stands in it is answered that it has to wait
}

// passes reports whether an error is one that a write waits for the end of.
func passes(err error) bool {
	return err == errWaiting || err == errChanging || err == errNoLease
}

// queued puts a request behind those of its process that wait.
func (c *committer) queued(r *request) bool {
	if len(r.line.held) == 0 {
		return false
	}
	r.line.held = append(r.line.held, r)
	return true
}

// hold lets a request that cannot be carried out now wait, and those of its
// process that come behind it. false: it has waited long enough, or nobody wants it.
func (c *committer) hold(r *request) bool {
	l := r.line
	now := time.Now()
	select {
	case <-c.e.ending:
		return false
	default:
	}
	if r.ctx.Err() != nil || !l.until.IsZero() && !now.Before(l.until) {
		return false
	}
	if l.until.IsZero() {
		l.until = now.Add(lockWait)
	}
	l.held = append(l.held, r)
	c.lines[l] = struct{}{}
	// Its goroutine ends with the line in the queue, or with the engine.
	time.AfterFunc(tryAgain, func() {
		select {
		case c.e.queue <- &request{resume: l}:
		case <-c.e.closed:
		}
	})
	return true
}

// goOn tries what stands in a line, in order.
func (c *committer) goOn(l *line) {
	held := l.held
	l.held = nil
	delete(c.lines, l)
	for i, r := range held {
		if c.n >= batchRequests || c.bytes >= batchBytes {
			c.cut()
		}
		c.handle(r)
		if err := r.err; err != nil && (passes(err) || call.CodeOf(err) == call.NotOwner) && r.ctx.Err() == nil {
			// Nothing that comes behind it is written without it, though
			// the share may take it a moment later.
			for _, r := range held[i+1:] {
				r.err = err
				r.answer(err)
			}
			break
		}
	}
	if len(l.held) == 0 {
		l.until = time.Time{}
	}
}

// dropLines answers what waits when the engine closes.
func (c *committer) dropLines() {
	for l := range c.lines {
		for _, r := range l.held {
			r.answer(ErrClosed)
		}
		l.held = nil
	}
	clear(c.lines)
}
