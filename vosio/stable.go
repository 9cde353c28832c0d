package vosio

import (
	"context"
	"fmt"
	"sync"
	"time"

	"drmesh/origin"
	"drmesh/vosio/call"
)

// The stable prefix of a sequential file is what was born at or below the least
// floor of all streams that may still write its group: nothing can come any
// more that stands before its end, so at any two modules, at any two moments,
// the shorter of the two prefixes is the beginning of the longer one. Records
// leave it as they are deleted, and change their bytes as they are rewritten,
// when that is applied.
//
// A port that is opened for StableInput reads nothing else. The floor that it
// reads by may be stableAge old.

// Floor says of a stream that what it writes after a position is stamped above
// a stamp.
type Floor struct {
	Stream origin.Stream
	Seq    origin.Seq
	Stamp  origin.Stamp
}

// stableAge is how old a floor may be that a read goes by.
const stableAge = 20 * time.Millisecond

// stables are the floors of groups, as far as somebody reads by them.
type stables struct {
	mu sync.Mutex // protects the maps; not held while the committer is asked
	to map[origin.Group]origin.Stamp
	at map[origin.Group]time.Time
}

// stableTo is the stamp up to which the records of a share's files are stable.
// It never falls.
func (e *Engine) stableTo(ctx context.Context, s *Share) (origin.Stamp, error) {
	c := &e.stable
	c.mu.Lock()
	to, at := c.to[s.Group], c.at[s.Group]
	c.mu.Unlock()
	if time.Since(at) < stableAge && !e.cfg.Inline {
		return to, nil
	}
	floors, ok := e.cfg.Floors(s.Group)
	var now origin.Stamp
	if ok {
		// In the committer's turn: what it has applied, a reader sees.
		err := e.submit(ctx, &request{look: func() {
			now = e.cfg.Clock.Next()
			for _, f := range floors {
				if f.Stream == s.Stream {
					continue
				}
				stamp := e.j.Stamp(f.Stream)
				if f.Seq <= e.j.Tail(f.Stream).Seq {
					stamp = max(stamp, f.Stamp)
				}
				now = min(now, stamp)
			}
		}})
		if err != nil {
			return 0, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.to == nil {
		c.to, c.at = map[origin.Group]origin.Stamp{}, map[origin.Group]time.Time{}
	}
	c.to[s.Group] = max(c.to[s.Group], now)
	c.at[s.Group] = time.Now()
	return c.to[s.Group], nil
}

// openStable checks what StableInput goes with.
func openStable(x *port, f *file, q *call.Request) error {
	switch {
	case f.numbered() || f.stream():
		return fmt.Errorf("open %s for stable input: only sequential files grow at one end: %w", x.path, call.InvalidFileType)
	case f.holes != nil:
		return fmt.Errorf("open %s for stable input: its new records go where others were deleted: %w", x.path, call.InvalidFileType)
	case q.Access != call.Sequential:
		return fmt.Errorf("open %s for stable input: %w", x.path, call.InvalidAccessMode)
	}
	return nil
}

// refresh brings a stable port's bound up to now.
func (p *Process) refresh(ctx context.Context, x *port, f *file) error {
	if !x.stable {
		return nil
	}
	s := p.e.table().Share(f.share)
	if s == nil || p.e.cfg.Floors == nil {
		x.below = ^origin.Stamp(0) // nobody else writes it
		return nil
	}
	to, err := p.e.stableTo(ctx, s)
	x.below = to
	return err
}
