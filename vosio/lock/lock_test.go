package lock

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// show writes an owner as the transcripts do: its process, and a number if that
// has several.
func show(o Owner) string {
	if o.N == 0 {
		return fmt.Sprint(o.Process)
	}
	return fmt.Sprintf("%d.%d", o.Process, o.N)
}

func showAll(l []Owner) string {
	s := make([]string, len(l))
	for i, o := range l {
		s[i] = show(o)
	}
	return strings.Join(s, " ")
}

// TestTranscripts steps the table: "lock OWNER OBJECT s|x|i" waits for what is
// not granted, "try" does not, "free OWNER OBJECT", "weak OWNER OBJECT s|i" makes one weaker, "stop OWNER" ends a wait,
// "end OWNER" frees all.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.td")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	modes := map[string]Mode{"s": Shared, "x": Exclusive, "i": Implicit}
	names := map[Mode]string{0: "-", Shared: "s", Exclusive: "x", Implicit: "i"}
	for _, f := range files {
		l := New()
		datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				l = New()
				return ""
			}
			var out strings.Builder
			then := func(served []Owner) {
				fmt.Fprintf(&out, "%d locked", l.Len())
				for _, o := range served {
					fmt.Fprintf(&out, ", %s is served", show(o))
				}
			}
			for _, line := range strings.Split(d.Input, "\n") {
				var verb, who, object, mode string
				fmt.Sscan(line, &verb, &who, &object, &mode)
				var o Owner
				p, n, _ := strings.Cut(who, ".")
				fmt.Sscan(p, &o.Process)
				fmt.Sscan(n, &o.N)
				fmt.Fprintf(&out, "%s: ", line)
				switch verb {
				case "try":
					fmt.Fprintf(&out, "%v, %s has it %s", l.Try(o, object, modes[mode]), who, names[l.Holds(o, object)])
				case "lock":
					if l.Wait(o, object, modes[mode]) {
						fmt.Fprintf(&out, "%s has it %s", who, names[l.Holds(o, object)])
						break
					}
					fmt.Fprintf(&out, "behind %s", showAll(l.blockers(o)))
					if c := l.Circle(o); c != nil {
						fmt.Fprintf(&out, ", a circle %s; ", showAll(c))
						then(l.Stop(o))
					}
				case "free":
					then(l.Release(o, object))
				case "weak":
					then(l.Weaken(o, object, modes[mode]))
				case "stop":
					then(l.Stop(o))
				case "end":
					then(l.ReleaseAll(o))
				case "others":
					fmt.Fprint(&out, l.Locked(o, object))
				case "held":
					fmt.Fprint(&out, l.Held(o))
				default:
					t.Fatalf("%s: %q", d.Pos, line)
				}
				out.WriteByte('\n')
			}
			return out.String()
		})
	}
}

// TestNoTwoHoldWhatDoesNotGoTogether steps at random from a seed: nobody holds
// what another's lock excludes, nobody waits who could have what he waits for,
// and of two that wait for one object, the first is served first unless the
// second's process held the object.
func TestNoTwoHoldWhatDoesNotGoTogether(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := New()
		granted, queued, served := 0, 0, 0
		for range 2000 {
			o, name := Owner{uint64(1 + r.IntN(4)), uint64(r.IntN(2))}, fmt.Sprint("o", r.IntN(3))
			before := map[string][]claim{}
			for name, x := range l.objects {
				before[name] = slices.Clone(x.queue)
			}
			var now []Owner
			switch k := r.IntN(8); {
			case k == 0:
				now = l.Release(o, name)
			case k == 1:
				now = l.ReleaseAll(o)
			case k == 2:
				now = l.Stop(o)
			default:
				if _, waits := l.waits[o]; waits {
					continue
				}
				m := Mode(1 + r.IntN(3))
				if k == 3 {
					l.Try(o, name, m)
				} else if l.Wait(o, name, m) {
					granted++
				} else {
					queued++
					for l.Circle(o) != nil {
						now = append(now, l.Stop(o)...)
					}
				}
			}
			served += len(now)
			for name, x := range l.objects {
				for i, a := range x.holders {
					for _, b := range x.holders[i+1:] {
						if !compatible(a.m, b.m) {
							t.Fatalf("seed %d: %s is held by %v as %d and by %v as %d", seed, name, a.o, a.m, b.o, b.m)
						}
					}
				}
				if len(x.queue) > 0 && x.fits(x.queue[0]) {
					t.Fatalf("seed %d: %v waits for %s and could have it: %+v", seed, x.queue[0], name, x)
				}
				var was []Owner // of those that still wait, in order
				for _, c := range before[name] {
					if slices.Contains(x.queue, c) {
						was = append(was, c.o)
					}
				}
				var is []Owner
				for _, c := range x.queue {
					if slices.Contains(was, c.o) {
						is = append(is, c.o)
					}
				}
				if !slices.Equal(was, is) {
					t.Fatalf("seed %d: %s is queued for by %v, was by %v", seed, name, is, was)
				}
			}
		}
		for p := range uint64(5) {
			for n := range uint64(2) {
				l.ReleaseAll(Owner{p, n})
			}
		}
		if l.Len() != 0 || len(l.owned) != 0 || len(l.waits) != 0 || len(l.waiting) != 0 {
			t.Fatalf("seed %d: the table is not empty: %+v", seed, l)
		}
		if granted < 100 || queued < 100 || served < 50 {
			t.Fatalf("seed %d proves little: %d granted, %d queued, %d served", seed, granted, queued, served)
		}
	}
}

// TestNobodyStarves has readers come all the time, so that at no moment the
// object is free: a writer is served after those that were before it.
func TestNobodyStarves(t *testing.T) {
	l := New()
	const readers = 10
	for i := range uint64(readers) {
		l.Wait(Owner{i + 1, 0}, "r", Shared)
	}
	writer := Owner{100, 0}
	if l.Wait(writer, "r", Exclusive) {
		t.Fatal("a writer among readers")
	}
	next := uint64(200)
	for i := range uint64(readers) {
		l.Wait(Owner{next, 0}, "r", Shared) // one more comes before each that goes
		if l.Try(Owner{next + 50, 0}, "r", Shared) {
			t.Fatal("a reader that does not wait passed the writer")
		}
		next++
		served := l.ReleaseAll(Owner{i + 1, 0})
		if last := i == readers-1; last != slices.Contains(served, writer) {
			t.Fatalf("after %d readers have gone %v are served", i+1, served)
		}
	}
	if served := l.ReleaseAll(writer); len(served) != readers {
		t.Fatalf("after the writer %d readers are served", len(served))
	}
}
