//go:build mutants

package sim

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drmesh/origin/mutant"
)

var (
	hunt   = flag.Bool("hunt", false, "look for every planted bug from seed 1 on, and write the list anew")
	only   = flag.String("planted", "", "only this one")
	budget = flag.Uint64("budget", 2000, "seeds for one planted bug")
)

const plantedList = "testdata/planted.txt"

// TestPlanted: the simulator finds every planted bug. The list names for each
// the least seed that does, and what it broke. Without -hunt that seed is run
// again; other work may have changed what a seed does, so that one of the next
// thirty may find it instead.
func TestPlanted(t *testing.T) {
	defer mutant.Plant(0)
	known, err := readPlanted()
	if err != nil && !*hunt {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range mutant.All {
		if *only != "" && p.Name != *only {
			continue
		}
		mutant.Plant(p.Mutant)
		from, to := known[p.Name], known[p.Name]+30
		if *hunt {
			from, to = 1, *budget
		} else if from == 0 {
			t.Errorf("%s is not in %s", p.Name, plantedList)
			continue
		}
		begun := time.Now()
		f := least(from, to)
		if f == nil {
			t.Errorf("%s (%s) was not found by seeds %d to %d (%v)", p.Name, p.What, from, to, time.Since(begun).Round(time.Second))
			continue
		}
		first, _, _ := strings.Cut(f.Err.Error(), "\n")
		if len(first) > 160 {
			first = first[:160] + "..."
		}
		t.Logf("%-24s seed %4d: %s", p.Name, f.Seed, first)
		lines = append(lines, fmt.Sprintf("%-24s %4d  %s\n%30s%s\n", p.Name, f.Seed, p.What, "", first))
	}
	if *hunt && *only == "" && !t.Failed() {
		head := "# The planted bugs: its name, the least seed that finds it, and what it does; below, what the\n# simulator said of that seed. Made by: go test -tags mutants ./node/sim -run TestPlanted -hunt\n"
		if err := os.WriteFile(plantedList, []byte(head+strings.Join(lines, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNothingPlanted: without a bug the same binary fails no seed of the list.
func TestNothingPlanted(t *testing.T) {
	mutant.Plant(0)
	known, err := readPlanted()
	if err != nil {
		t.Fatal(err)
	}
	var seeds []uint64
	for _, s := range known {
		seeds = append(seeds, s)
	}
	slices.Sort(seeds)
	for _, s := range slices.Compact(seeds) {
		if f := least(s, s); f != nil {
			t.Errorf("nothing is planted, and %v", f)
		}
	}
}

// least runs seeds until one fails, two at a time, and gives the least.
func least(from, to uint64) *Failure {
	var next atomic.Uint64
	next.Store(from)
	var mu sync.Mutex
	var found *Failure
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				s := next.Add(1) - 1
				mu.Lock()
				stop := s > to || found != nil && s > found.Seed
				mu.Unlock()
				if stop {
					return
				}
				_, err := Run(Options{Seed: s})
				if f, ok := err.(*Failure); ok {
					mu.Lock()
					if found == nil || f.Seed < found.Seed {
						found = f
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return found
}

func readPlanted() (map[string]uint64, error) {
	f, err := os.Open(plantedList)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	known := map[string]uint64{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var name string
		var seed uint64
		if l := sc.Text(); l != "" && l[0] != '#' && l[0] != ' ' {
			if _, err := fmt.Sscan(l, &name, &seed); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", plantedList, l, err)
			}
			known[name] = seed
		}
	}
	return known, nil
}
