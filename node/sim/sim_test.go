package sim

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var (
	seed  = flag.Uint64("seed", 0, "run this one seed")
	seeds = flag.Int("seeds", 24, "how many seeds to run")
	first = flag.Uint64("first", 1, "the first of them")
)

// TestSeed runs a budget of seeds, or the one that is asked for. With -v it
// prints for each what was done, which faults were made and what was checked;
// of a single seed, all that happened.
func TestSeed(t *testing.T) {
	from, n := *first, *seeds
	var out func(string)
	if *seed != 0 {
		from, n = *seed, 1
		if testing.Verbose() {
			out = func(s string) { fmt.Println(s) }
		}
	}
	total := NewReport()
	for s := from; s < from+uint64(n); s++ {
		r, err := Run(Options{Seed: s, Out: out})
		t.Log(r)
		if err != nil {
			var f *Failure
			if errors.As(err, &f) {
				file := filepath.Join(t.ArtifactDir(), fmt.Sprintf("seed-%d.txt", s))
				if err := os.WriteFile(file, []byte(f.Trace+"\n\n"+f.Diagram), 0o644); err == nil {
					t.Logf("the last of what happened is in %s", file)
				}
			}
			t.Fatalf("%v\nagain: go test ./node/sim -run TestSeed -seed=%d -v", err, s)
		}
		total.Add(r)
	}
	t.Logf("%.2f cluster-hours in all\n%v", total.Time.Hours(), total)
	if n >= 100 || n == 24 && from == 1 {
		// A budget of runs that meets no fault of a kind, or checks nothing,
		// proves less than it says.
		for _, k := range []string{"crash", "link cut", "network trouble", "late flushes", "clock jump", "join", "pause", "copy of a disk kept", "restored from a copy", "disk wiped", "batches changed", "batches forged", "frames doubled", "frames held up"} {
			if total.Faults[k] == 0 {
				t.Errorf("no run had the fault %q", k)
			}
		}
		for _, k := range []string{"insert", "rewrite", "delete", "truncate", "create", "rename", "transfer"} {
			if total.Ops[k] == 0 {
				t.Errorf("no run had the operation %q", k)
			}
		}
		if total.Conflicts == 0 {
			t.Errorf("no run ended with a conflict")
		}
	}
}

// TestReplay: the same seed is the same run.
func TestReplay(t *testing.T) {
	for s := uint64(1); s <= 3; s++ {
		a, err := Run(Options{Seed: s})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Run(Options{Seed: s})
		if err != nil {
			t.Fatal(err)
		}
		if a.Trace != b.Trace || a.Txns != b.Txns {
			t.Errorf("seed %d: %v and %v", s, a, b)
		}
	}
}

// TestShrink: of a run that fails the shortest beginning is found, and it fails
// alike.
func TestShrink(t *testing.T) {
	planted := errors.New("planted")
	broken = func(e *mesh, step int) error {
		if step > 37 {
			return planted
		}
		return nil
	}
	defer func() { broken = nil }()
	o := Options{Seed: 5, Modules: 2, Steps: 200}
	_, err := Run(o)
	var f *Failure
	if !errors.As(err, &f) || f.Steps != 200 {
		t.Fatal(err)
	}
	o, f = Shrink(o, f, 40)
	if o.Steps != 39 || f.Steps != 39 || !errors.Is(f.Err, planted) {
		t.Errorf("%d steps: %v", o.Steps, f)
	}
}

// TestNoticed: the checks see what they are for: each of these takes something
// away that was promised.
func TestNoticed(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(e *mesh) error
	}{
		{"an acknowledged txn that its disk does not have", func(e *mesh) error {
			s := e.ms[0].stream()
			d := e.oracle.tails[s]
			e.oracle.promised(dotOf(s, d.Seq+1), "planted")
			return e.oracle.afterStart(e.ms[0])
		}},
		{"a record that one module lost", func(e *mesh) error {
			if err := e.ms[1].lose("vr"); err != nil {
				return err
			}
			return e.oracle.converged(e.ms)
		}},
		{"a record that differs from what the txns say", func(e *mesh) error {
			if err := e.ms[0].lose("vr"); err != nil {
				return err
			}
			return e.oracle.matches(e.ms[0])
		}},
		{"an index entry that one module lost", func(e *mesh) error {
			if err := e.ms[1].lose("vx"); err != nil {
				return err
			}
			return e.oracle.converged(e.ms)
		}},
		{"a loser that the ledger lost", func(e *mesh) error {
			if err := e.ms[0].lose("ce"); err != nil {
				return err
			}
			return e.oracle.matches(e.ms[0])
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(2)
			e := newMesh(w, 3)
			defer e.close()
			if err := e.small(); err != nil {
				t.Fatal(err)
			}
			err := c.spoil(e)
			if err == nil {
				t.Fatal("nobody noticed")
			}
			t.Log(err)
		})
	}
}
