package lock

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestTranscripts steps the table: "lock OWNER OBJECT s|x|i", "free OWNER
// OBJECT", "end OWNER"; a lock that is not granted is waited for.
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
			for _, line := range strings.Split(d.Input, "\n") {
				var verb, object, mode string
				var o Owner
				fmt.Sscan(line, &verb, &o, &object, &mode)
				switch verb {
				case "lock":
					ok, blockers := l.Acquire(o, object, modes[mode])
					if ok {
						fmt.Fprintf(&out, "%s: %d has it %s\n", line, o, names[l.Holds(o, object)])
						continue
					}
					fmt.Fprintf(&out, "%s: behind %v", line, blockers)
					if c := l.Wait(o, blockers); c != nil {
						fmt.Fprintf(&out, ", a circle %v", c)
						l.Stop(o)
					}
					out.WriteByte('\n')
				case "free":
					l.Release(o, object)
					fmt.Fprintf(&out, "%s: %d locked\n", line, l.Len())
				case "end":
					l.ReleaseAll(o)
					fmt.Fprintf(&out, "%s: %d locked\n", line, l.Len())
				case "others":
					fmt.Fprintf(&out, "%s: %v\n", line, l.Locked(o, object))
				default:
					t.Fatalf("%s: %q", d.Pos, line)
				}
			}
			return out.String()
		})
	}
}

// TestNoTwoHoldWhatDoesNotGoTogether steps at random from a seed.
func TestNoTwoHoldWhatDoesNotGoTogether(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := New()
		granted, refused := 0, 0
		for range 2000 {
			o, object := Owner(1+r.IntN(6)), fmt.Sprint("o", r.IntN(4))
			switch r.IntN(5) {
			case 0:
				l.Release(o, object)
			case 1:
				l.ReleaseAll(o)
			default:
				m := Mode(1 + r.IntN(3))
				ok, blockers := l.Acquire(o, object, m)
				if ok == (len(blockers) > 0) {
					t.Fatalf("seed %d: granted %v, blockers %v", seed, ok, blockers)
				}
				if ok {
					granted++
				} else {
					refused++
					l.Wait(o, blockers)
				}
			}
			for object, holders := range l.objects {
				for a, am := range holders {
					for b, bm := range holders {
						if a < b && !compatible(am, bm) {
							t.Fatalf("seed %d: %s is held by %d as %d and by %d as %d", seed, object, a, am, b, bm)
						}
					}
				}
			}
		}
		for o := Owner(1); o <= 6; o++ {
			l.ReleaseAll(o)
		}
		if l.Len() != 0 || len(l.owned) != 0 || len(l.waits) != 0 {
			t.Fatalf("seed %d: the table is not empty: %+v", seed, l)
		}
		if granted < 100 || refused < 100 {
			t.Fatalf("seed %d proves little: %d granted, %d refused", seed, granted, refused)
		}
	}
}
