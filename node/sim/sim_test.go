//go:build simdraft

package sim

import (
	"flag"
	"fmt"
	"testing"
)

var (
	seed  = flag.Uint64("seed", 0, "run this one seed")
	seeds = flag.Int("seeds", 24, "how many seeds to run")
	first = flag.Uint64("first", 1, "the first of them")
)

// TestSeed runs one seed, or a budget of them.
func TestSeed(t *testing.T) {
	if *seed != 0 {
		var out func(string)
		if testing.Verbose() {
			out = func(s string) { fmt.Println(s) }
		}
		r, err := Run(Options{Seed: *seed, Out: out})
		t.Log(r)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	for s := *first; s < *first+uint64(*seeds); s++ {
		r, err := Run(Options{Seed: s})
		t.Log(r)
		if err != nil {
			t.Fatalf("%v\n%s", err, err.(*Failure).Trace)
		}
	}
}
