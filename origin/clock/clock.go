// Package clock is a module's hybrid logical clock.
//
// Stamps strictly rise, whatever the wall clock does: while it stands behind
// the last stamp, the counter counts on. A stamp seen from elsewhere moves the
// clock up to it, but not one that lies further ahead of the wall clock than
// MaxAhead: a peer with a wrong clock must not drag ours along.
package clock

import (
	"sync"
	"time"

	"drmesh/origin"
	"drmesh/origin/mutant"
)

// MaxAhead is how far ahead of our wall clock a foreign stamp may lie and
// still move our clock.
const MaxAhead = 10 * time.Second

// Clock gives out stamps. It may be used by any goroutine.
type Clock struct {
	wall func() time.Time

	mu   sync.Mutex // protects last
	last origin.Stamp
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
	return &Clock{wall: wall, last: last}
}

// Next gives a stamp above every one given or observed.
func (c *Clock) Next() origin.Stamp {
	now := origin.MakeStamp(uint64(max(0, c.wall().UnixMilli())), 0)
	c.mu.Lock()
	defer c.mu.Unlock()
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

// Observe moves the clock up to a foreign stamp. It reports how far the stamp
// lies ahead of the wall clock, and whether that was too far to be followed.
func (c *Clock) Observe(s origin.Stamp) (ahead time.Duration, refused bool) {
	ahead = s.Time().Sub(c.wall())
	if ahead > MaxAhead {
		return ahead, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !mutant.On(mutant.ClockAlone) {
		c.last = max(c.last, s)
	}
	return ahead, false
}
