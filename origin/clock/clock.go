// Package clock is a module's hybrid logical clock.
//
// Stamps strictly rise, whatever the wall clock does: while it stands behind
// the last stamp, the counter counts on. A stamp seen from elsewhere moves the
// clock up to it, but not one that lies further ahead of the time than
// MaxAhead: a peer with a wrong clock must not drag ours along.
//
// Nor may a wrong clock of our own poison the others. The time is that of the
// wall clock, unless this is known to be wrong: where it is more than MaxAhead
// ahead of what the peers show, the time is theirs; and where it leaps forward
// by more than that while the module runs, or while it was down, the leap does
// not count until peers confirm it. Then time goes on, and stamps with it, only not by what the wall
// clock shows.
package clock

import (
	"sync"
	"time"

	"drmesh/origin"
	"drmesh/origin/mutant"
)

// MaxAhead is how far ahead of the time a foreign stamp may lie and still move
// our clock, and how far the wall clock may be ahead of those of the peers.
const MaxAhead = 10 * time.Second

// Clock gives out stamps. It may be used by any goroutine.
type Clock struct {
	wall func() time.Time

	mu   sync.Mutex // protects what follows
	last origin.Stamp
	lead time.Duration // by which the wall clock is ahead of the peers; 0: little enough
	leap time.Duration // that it made since agreed, and that nobody has confirmed
	// doubt is by how much it is ahead of the last time known of before the
	// start, until somebody confirms it.
	doubt time.Duration
	// agreed is what the wall clock showed when the lead was measured last. It
	// has a monotonic reading, by which leaps are seen, or in tests steady does.
	agreed time.Time
	steady func(since time.Time) time.Duration
}

// New makes a clock that stamps above last: the greatest stamp ever given out
// or promised to be a floor. wall is the wall clock; nil is time.Now.
func New(wall func() time.Time, last origin.Stamp) *Clock {
	if mutant.On(mutant.ClockAnew) {
		last = 0
	}
	if wall == nil {
		wall = time.Now
	}
	return &Clock{wall: wall, last: last, agreed: wall()}
}

// Last gives what a clock that starts at a time is to stamp above: all that the
// module itself has stamped or promised, and of foreign stamps those that a
// clock would have followed. One that somebody let in although it lies in the
// future does not drag the clock along at the next start either.
func Last(now time.Time, ceiling, own origin.Stamp, foreign []origin.Stamp) origin.Stamp {
	last := max(ceiling, own)
	// The wall clock may have been set back since. What was followed before was
	// near the time of then, and so is the ceiling.
	far := max(origin.MakeStamp(uint64(max(0, now.UnixMilli())), 0), ceiling)
	for _, s := range foreign {
		if s.Time().Sub(far.Time()) <= MaxAhead {
			last = max(last, s)
		}
	}
	return last
}

// Doubt has the time go on from where it is known to have been, until Agree: a
// module that was down cannot tell whether its wall clock is right.
func (c *Clock) Doubt(known origin.Stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ahead := c.wall().Sub(known.Time()); ahead > MaxAhead {
		c.doubt = ahead
	}
}

// far is how far a foreign stamp lies ahead of the time. What the wall clock
// shows and somebody else has stamped is not in doubt. The caller holds mu.
func (c *Clock) far(s origin.Stamp) time.Duration { return s.Time().Sub(c.wall().Add(-c.lead)) }

// now is the time that stamps show. The caller holds mu.
func (c *Clock) now() time.Time {
	w := c.wall()
	passed := w.Sub(c.agreed)
	if c.steady != nil {
		passed = c.steady(c.agreed)
	}
	if leap := w.Round(0).Sub(c.agreed.Round(0)) - passed; leap > MaxAhead {
		c.leap = leap
	} else {
		c.leap = 0
	}
	return w.Add(-max(c.lead, c.doubt) - c.leap)
}

// Agree tells by how much the wall clock is ahead of those of the peers, as just
// measured; 0 where there are none. It reports whether this changes the time.
func (c *Clock) Agree(ahead time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ahead <= MaxAhead {
		ahead = 0
	}
	had := c.lead
	c.lead, c.doubt, c.leap, c.agreed = ahead, 0, 0, c.wall()
	return (had - ahead).Abs() > time.Second
}

// Off tells why the time is not what the wall clock shows: by how much that is
// ahead of the peers, and by how much it leapt, while the module ran or before,
// without anybody confirming it.
func (c *Clock) Off() (lead, leap time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now()
	return c.lead, max(c.leap, c.doubt)
}

// Next gives a stamp above every one given or observed.
func (c *Clock) Next() origin.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := origin.MakeStamp(uint64(max(0, c.now().UnixMilli())), 0)
	// Adding one to a stamp whose counter is full carries into the next
	// millisecond, which is what is wanted.
	if mutant.On(mutant.ClockBack) {
		c.last = min(c.last, now)
	}
	c.last = max(c.last+1, now)
	return c.last
}

// Last is the last stamp given or observed.
func (c *Clock) Last() origin.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Ahead is how far a stamp lies ahead of the time.
func (c *Clock) Ahead(s origin.Stamp) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.far(s)
}

// Observe moves the clock up to a foreign stamp. It reports how far the stamp
// lies ahead of the time, and whether that was too far to be followed.
func (c *Clock) Observe(s origin.Stamp) (ahead time.Duration, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ahead = c.far(s)
	if ahead > MaxAhead {
		return ahead, true
	}
	if !mutant.On(mutant.ClockAlone) {
		c.last = max(c.last, s)
	}
	return ahead, false
}
