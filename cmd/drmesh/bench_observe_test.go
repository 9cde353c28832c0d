package main

import (
	"testing"
	"time"
)

func TestTimesOfAProcess(t *testing.T) {
	for _, x := range []struct {
		text string
		want time.Duration // 0: refused
	}{
		{"71 (drmesh) S 1 71 71 0 -1 4194560 900 0 3 0 120 45 0 0 20 0 12 0 500 1 2", 1650 * time.Millisecond},
		{"71 (a ) R (b) S 1 71 71 0 -1 4194560 900 0 3 0 1 2 0 0 20 0 12 0 500 1 2", 30 * time.Millisecond},
		{"71 (drmesh) S 1 71", 0},
		{"71 (drmesh) S 1 71 71 0 -1 4194560 900 0 3 0 x 45 0 0", 0},
		{"", 0},
	} {
		if d, err := statTime([]byte(x.text)); d != x.want || (err == nil) != (x.want != 0) {
			t.Errorf("%q: %v, %v", x.text, d, err)
		}
	}
}

func TestMedianOfPairs(t *testing.T) {
	more := func(x observePair) float64 { return x.More }
	odd := []observePair{{More: 9}, {More: -1}, {More: 4}}
	if m := median(odd, more); m != 4 {
		t.Errorf("of three: %v", m)
	}
	if m := median(append(odd, observePair{More: 6}), more); m != 5 {
		t.Errorf("of four: %v", m)
	}
}
