package node

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/origin/clock"
)

// wrong gives a module a wall clock that is off by what is stored.
func wrong(t *testing.T, module string) *atomic.Int64 {
	off := new(atomic.Int64)
	walls.Store(module, func() time.Time { return time.Now().Add(time.Duration(off.Load())) })
	t.Cleanup(func() { walls.Delete(module) })
	return off
}

func stampOf(n *Node) time.Duration {
	own, _ := n.j.Stamps(n.dir.Number)
	return time.Until(own.Time())
}

// TestAClockThatIsOff starts a module with a clock that is an hour ahead of the
// others: alarms tell at both, each shows by how much, and the module stamps by
// the others' time from the first moment on, so that nothing of it waits.
func TestAClockThatIsOff(t *testing.T) {
	t.Parallel()
	off := wrong(t, "%west#m7")
	nodes := meshReady(t, "%east#m1", "%west#m7")
	eventually(t, "a ceiling is kept", func() bool { c, err := loadCeiling(nodes[1].db); return err == nil && c > 0 })
	for range 2 { // the second time it knows before it meets anybody
		shut(t, nodes[1])
		off.Store(int64(time.Hour))
		nodes[1] = reopen(t, nodes[1].dir.path)
		if lead, leap := nodes[1].clock.Off(); max(lead, leap) < 50*time.Minute {
			t.Errorf("at the start it believes its clock: %v, %v", lead, leap)
		}
		eventually(t, "an alarm tells of the clock", func() bool {
			return hasAlarm(t, nodes[0], "clock of module %west#m7", "differ by") && hasAlarm(t, nodes[1], "this module's clock is ahead")
		})
	}
	writable(t, nodes...)
	works(t, nodes, "anyway")
	if ahead := stampOf(nodes[1]); ahead > clock.MaxAhead {
		t.Errorf("it stamps %v ahead", ahead)
	}
	k, err := engine{nodes[1]}.Clock(context.Background())
	if err != nil || k.LeadMS < 3_500_000 || k.MedianMS == nil || *k.MedianMS > -3_500_000 || len(k.Peers) != 1 || k.Peers[0].OffsetMS == nil {
		t.Errorf("its clock: %+v, %v", k, err)
	}
	if s := status(t, nodes[0]); s.ClockMS == nil || *s.ClockMS < 3_500_000 {
		t.Errorf("the clock in the status of the other: %v", s.ClockMS)
	}
	off.Store(0)
	eventually(t, "its clock was set", func() bool { return !hasAlarm(t, nodes[1], "this module's clock is ahead") })
}

// TestStampsOfTheFuture: what a module wrote while nobody knew that its clock
// was wrong waits at the others, and nothing else does. An operator lets it
// through; no clock is dragged along, now or by a new start.
func TestStampsOfTheFuture(t *testing.T) {
	t.Parallel()
	off := wrong(t, "%west#m8")
	nodes := meshReady(t, "%east#m1", "%west#m8")
	present, future := nodes[0], nodes[1]
	path := ""
	eventually(t, "a change is stamped an hour ahead", func() bool {
		if path == "" || stampOf(future) < 30*time.Minute {
			// Before the clocks are compared, as the clock leaps with the machine.
			off.Store(int64(time.Hour))
			path = "main:early"
			put(t, future, path, "one", "two")
			off.Store(0)
		}
		return stampOf(future) > 30*time.Minute
	})
	eventually(t, "it waits", func() bool { return hasAlarm(t, present, "%west#m8.1/", "is held", "ahead of the time here") })
	if s := status(t, present); s.ClockHeld != 1 {
		t.Errorf("%d streams are held in the status", s.ClockHeld)
	}
	put(t, present, "main:mine", "three")
	eventually(t, "what the others write goes on", func() bool {
		got, err := content(future, "main:mine")
		return err == nil && got == "three"
	})
	if _, err := content(present, path); err == nil {
		t.Error("what is held shows")
	}
	ctx := context.Background()
	r, err := engine{present}.ReleaseStamps(ctx, admin.StampRelease{Module: "%west#m8", DryRun: true})
	if err != nil || len(r.Released) != 1 || r.Released[0].At != "%east#m1" || len(r.Left) != 0 {
		t.Errorf("dry run: %+v, %v", r, err)
	}
	if _, err := (engine{present}).ReleaseStamps(ctx, admin.StampRelease{Module: "%east#m1"}); admin.AsError(err).Class != admin.Precondition {
		t.Errorf("nothing of it waits: %v", err)
	}
	// Asked at the other end: all members are told.
	if _, err := (engine{future}).ReleaseStamps(ctx, admin.StampRelease{Module: "%west#m8"}); err != nil {
		t.Fatal(err)
	}
	converged(t, nodes, path)
	put(t, future, "main:more", "four") // it counts on from its own stamps
	converged(t, nodes, "main:more")
	if hasAlarm(t, present, "is held") {
		t.Error("the alarm stays")
	}
	put(t, present, "main:after", "five")
	if ahead := stampOf(present); ahead > clock.MaxAhead {
		t.Errorf("the other clock was dragged %v ahead", ahead)
	}
	shut(t, present)
	again := reopen(t, present.dir.path)
	writable(t, again)
	put(t, again, "main:again", "six")
	if ahead := stampOf(again); ahead > clock.MaxAhead {
		t.Errorf("the new start was dragged %v ahead", ahead)
	}
	converged(t, []*Node{again, future}, path, "main:more", "main:after", "main:again")
}
