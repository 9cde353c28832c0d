package clock

import (
	"sync"
	"testing"
	"time"

	"drmesh/origin"
)

// hand is a wall clock that is set by hand.
type hand struct{ now time.Time }

func (h *hand) read() time.Time { return h.now }

func at(ms int64) time.Time { return time.UnixMilli(ms) }

func TestStampsRiseWhateverTheWallClockDoes(t *testing.T) {
	h := &hand{at(1000)}
	c := New(h.read, 0)
	a := c.Next()
	if a != origin.MakeStamp(1000, 0) {
		t.Errorf("first: %v", a)
	}
	h.now = at(500) // an hour back, or half a second: all the same
	b := c.Next()
	if b <= a || b.Millis() != 1000 || b.Counter() != 1 {
		t.Errorf("after the clock went back: %v", b)
	}
	h.now = at(2000)
	if x := c.Next(); x != origin.MakeStamp(2000, 0) {
		t.Errorf("when it is ahead again: %v", x)
	}
}

func TestAFullCounterMovesOnToTheNextMillisecond(t *testing.T) {
	h := &hand{at(1000)}
	c := New(h.read, origin.MakeStamp(1000, 65535))
	if x := c.Next(); x != origin.MakeStamp(1001, 0) {
		t.Errorf("%v", x)
	}
}

func TestAStampFromElsewhereIsFollowedButNotTooFar(t *testing.T) {
	h := &hand{at(100_000)}
	c := New(h.read, 0)
	near := origin.MakeStamp(105_000, 3)
	if _, refused := c.Observe(near); refused {
		t.Error("five seconds ahead was refused")
	}
	if x := c.Next(); x <= near {
		t.Errorf("%v is not above %v", x, near)
	}
	far := origin.MakeStamp(100_000+3_600_000, 0)
	ahead, refused := c.Observe(far)
	if !refused || ahead != time.Hour {
		t.Errorf("an hour ahead: %v, refused %v", ahead, refused)
	}
	if x := c.Next(); x >= far {
		t.Errorf("the clock was dragged to %v", x)
	}
}

func TestNoStampTwice(t *testing.T) {
	c := New(nil, 0)
	var mu sync.Mutex
	seen := map[origin.Stamp]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				s := c.Next()
				mu.Lock()
				if seen[s] {
					t.Errorf("%v twice", s)
				}
				seen[s] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
