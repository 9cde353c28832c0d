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

func TestAClockAheadOfAllOthersStampsByTheirs(t *testing.T) {
	h := &hand{at(10_000_000)}
	c := New(h.read, 0)
	if c.Agree(9 * time.Second) {
		t.Error("nine seconds changed the time")
	}
	if x := c.Next(); x != origin.MakeStamp(10_000_000, 0) {
		t.Errorf("nine seconds ahead: %v", x)
	}
	if !c.Agree(time.Hour) {
		t.Error("an hour changed nothing")
	}
	if x := c.Next(); x != origin.MakeStamp(10_000_000, 1) {
		t.Errorf("no stamp goes back: %v", x)
	}
	if ahead := c.Ahead(origin.MakeStamp(10_000_000, 0)); ahead != time.Hour {
		t.Errorf("our own stamps of before are %v ahead", ahead)
	}
	h.now = at(10_000_000 + 3_600_000 + 5)
	if x := c.Next(); x != origin.MakeStamp(10_000_005, 0) {
		t.Errorf("an hour later: %v", x)
	}
	c.Agree(0) // it was set
	if x := c.Next(); x != origin.MakeStamp(13_600_005, 0) {
		t.Errorf("after it was set: %v", x)
	}
}

func TestALeapDoesNotCountUntilPeersConfirmIt(t *testing.T) {
	h := &hand{at(10_000_000)}
	passed := time.Duration(0)
	c := New(h.read, 0)
	c.steady = func(time.Time) time.Duration { return passed }
	h.now, passed = at(10_000_000+365*24*3_600_000+7), 7*time.Millisecond
	if x := c.Next(); x != origin.MakeStamp(10_000_007, 0) {
		t.Errorf("a year was leapt to: %v", x)
	}
	if _, leap := c.Off(); leap != 365*24*time.Hour {
		t.Errorf("the leap is %v", leap)
	}
	passed = 0
	c.Agree(0) // the others show the same: the machine had slept
	if x := c.Next(); x.Millis() != uint64(h.now.UnixMilli()) {
		t.Errorf("confirmed: %v", x)
	}
	if _, leap := c.Off(); leap != 0 {
		t.Errorf("confirmed, and still %v", leap)
	}
}

func TestAStartIsAboveWhatWasFollowedAndNoMore(t *testing.T) {
	s := func(ms uint64) origin.Stamp { return origin.MakeStamp(ms, 0) }
	for _, c := range []struct {
		what         string
		now          int64
		ceiling, own origin.Stamp
		foreign      []origin.Stamp
		want         origin.Stamp
	}{
		{"nothing", 1_000_000, 0, 0, nil, 0},
		{"what others wrote", 1_000_000, s(900_000), s(800_000), []origin.Stamp{s(1_005_000)}, s(1_005_000)},
		{"our own, whatever the time", 1_000_000, s(900_000), s(5_000_000), nil, s(5_000_000)},
		{"a floor that was promised", 1_000_000, s(7_000_000), s(800_000), nil, s(7_000_000)},
		{"one that was let through from the future", 1_000_000, s(900_000), s(800_000), []origin.Stamp{s(950_000), s(9_000_000)}, s(950_000)},
		{"the wall clock was set back", 1_000_000, s(5_000_000), s(800_000), []origin.Stamp{s(5_004_000)}, s(5_004_000)},
	} {
		if got := Last(at(c.now), c.ceiling, c.own, c.foreign); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

func TestAStartDoubtsItsClockUntilSomebodyShowsTheTime(t *testing.T) {
	h := &hand{at(10_000_000)}
	c := New(h.read, 0)
	c.Doubt(origin.MakeStamp(6_400_000, 0)) // an hour before: it was down, or the clock is wrong
	h.now = at(10_000_003)
	if x := c.Next(); x != origin.MakeStamp(6_400_003, 0) {
		t.Errorf("in doubt: %v", x)
	}
	theirs := origin.MakeStamp(9_999_000, 0)
	if _, refused := c.Observe(theirs); refused {
		t.Error("what another has stamped and the wall clock shows was refused")
	}
	if x := c.Next(); x != theirs+1 {
		t.Errorf("after a stamp of another: %v", x)
	}
	c.Agree(0)
	if x := c.Next(); x != origin.MakeStamp(10_000_003, 0) {
		t.Errorf("confirmed: %v", x)
	}
}
