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

func TestQuantilesOfPairs(t *testing.T) {
	l := []observePair{{More: 9}, {More: -1}, {More: 4}, {More: 6}}
	for _, x := range []struct {
		pairs   int
		q, want float64
	}{{1, 0.5, 9}, {2, 0.5, 4}, {3, 0.5, 4}, {4, 0.5, 5}, {4, 0.25, 2.8}, {4, 0.75, 6.8}, {3, 0.25, 1.5}} {
		if m := quantile(l[:x.pairs], x.q, func(x observePair) float64 { return x.More }); m != x.want {
			t.Errorf("%v of the first %d: %v, not %v", x.q, x.pairs, m, x.want)
		}
	}
}
