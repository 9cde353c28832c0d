package node

import (
	"testing"
	"time"
)

// TestRoomOnADisk: what capture may do is a function of how full the disk is.
func TestRoomOnADisk(t *testing.T) {
	const mb, gb = uint64(1 << 20), uint64(1 << 30)
	for _, c := range []struct {
		what        string
		total, free uint64
		delay       time.Duration
		full        bool
	}{
		{"half full", 10 * gb, 5 * gb, 0, false},
		{"79 % used", 10000 * mb, 2100 * mb, 0, false},
		{"80 % used", 10000 * mb, 2000 * mb, 0, false},
		{"81 % used", 10000 * mb, 1900 * mb, 3333 * time.Microsecond, false},
		{"87.5 % used", 10000 * mb, 1250 * mb, 25 * time.Millisecond, false},
		{"95 % used", 10000 * mb, 500 * mb, 50 * time.Millisecond, false},
		{"more than that", 10000 * mb, 499 * mb, 50 * time.Millisecond, true},
		{"a very small disk with its reserve", 100 * mb, 64 * mb, 0, false},
		{"a very small disk without", 100 * mb, 63 * mb, 50 * time.Millisecond, true},
		{"a large disk, nearly full in percents", 1000 * gb, 10 * gb, 0, false},
		{"a large disk that is tight", 1000 * gb, 544 * mb, 25 * time.Millisecond, false},
		{"a large disk down to the reserve", 1000 * gb, 63 * mb, 50 * time.Millisecond, true},
		{"nothing is known", 0, 0, 50 * time.Millisecond, true},
	} {
		r := roomOn(c.total, c.free)
		if r.full != c.full || (r.delay-c.delay).Abs() > time.Millisecond/100 {
			t.Errorf("%s: %+v, want %v and full %v", c.what, r, c.delay, c.full)
		}
	}
	// It never gets better by less room, and has no jumps but the last.
	for _, total := range []uint64{gb, 50 * gb, 99 * gb, 100 * gb, 4000 * gb} {
		last := room{}
		for free := min(total, 30*gb); ; free -= min(free, 5*mb) {
			r := roomOn(total, free)
			if r.delay < last.delay || last.full && !r.full || r.delay > diskWait || r.delay-last.delay > 2*time.Millisecond && !r.full {
				t.Fatalf("%d of %d free: %+v after %+v", free, total, r, last)
			}
			if last = r; free == 0 {
				break
			}
		}
		if !last.full {
			t.Errorf("a disk of %d is never full", total)
		}
	}
}
