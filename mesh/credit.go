package mesh

import (
	"sync"

	"drmesh/origin"
)

// credits bounds what is held in memory of each stream: what is under way to
// us, and what was delivered and not released.
//
// For each stream: limit = what the source may still send + what is under way
// + held + owed. A subscription starts with what held leaves of limit, so that
// it does not matter how often sessions come and go; what is over it (a txn is
// taken whole) is debt, which releases pay off first. Small releases are
// granted together (owed): a source can always send while nothing is held.
type credits struct {
	mu         sync.Mutex // protects what follows
	generation int        // releases of an earlier one mean nothing
	standing   int        // subscriptions
	m          map[origin.Stream]*account
}

type account struct {
	limit, held, debt, owed int64
	feed                    *feed // where the subscription stands; nil: none
	full                    bool
}

const (
	creditMost  = 4 << 20 // for one stream
	creditTotal = 64 << 20
	creditLeast = 128 << 10
)

// subscribe gives the credit of a new subscription.
func (c *credits) subscribe(s origin.Stream, f *feed) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.m[s]
	if a == nil {
		a = &account{}
		c.m[s] = a
	}
	if a.feed == nil {
		c.standing++
	}
	a.limit = min(max(creditTotal/int64(c.standing), creditLeast), creditMost)
	a.feed, a.owed, a.debt = f, 0, max(0, a.held-a.limit)
	return max(0, a.limit-a.held)
}

func (c *credits) unsubscribe(s origin.Stream, f *feed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.m[s]; a != nil && a.feed == f {
		c.leave(s, a)
	}
}

// gone unsubscribes all that a feed had.
func (c *credits) gone(f *feed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s, a := range c.m {
		if a.feed == f {
			c.leave(s, a)
		}
	}
}

func (c *credits) leave(s origin.Stream, a *account) {
	a.feed = nil
	c.standing--
	if a.held == 0 {
		delete(c.m, s)
	}
}

// reset forgets all that is held. Subscriptions are made anew by the caller.
func (c *credits) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for s, a := range c.m {
		a.held, a.debt, a.owed, a.full = 0, 0, 0, false
		if a.feed == nil {
			delete(c.m, s)
		}
	}
}

// deliver counts n bytes as held; full: it is now that no more comes.
func (c *credits) deliver(s origin.Stream, n int64) (generation int, full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.m[s]
	if a == nil { // the subscription ended while its last run was verified
		a = &account{limit: creditMost}
		c.m[s] = a
	}
	a.held += n
	if !a.full && a.held+a.owed >= a.limit {
		a.full = true
		return c.generation, true
	}
	return c.generation, false
}

// release counts n bytes as free. What it grants goes to f; room: more can
// come again.
func (c *credits) release(generation int, s origin.Stream, n int64) (f *feed, grant int64, room bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.m[s]
	if generation != c.generation || a == nil {
		return nil, 0, false
	}
	a.held -= n
	paid := min(a.debt, n)
	a.debt -= paid
	a.owed += n - paid
	if a.feed != nil && a.owed >= a.limit/4 {
		f, grant, a.owed = a.feed, a.owed, 0
	}
	if a.full && a.held+a.owed < a.limit {
		a.full, room = false, true
	}
	if a.feed == nil && a.held == 0 {
		delete(c.m, s)
	}
	return f, grant, room
}

// holding is how many bytes of a stream were delivered and not released.
func (c *credits) holding(s origin.Stream) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.m[s]; a != nil {
		return a.held
	}
	return 0
}
