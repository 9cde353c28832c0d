package mesh

import (
	"math/rand/v2"
	"testing"

	"drmesh/origin"
)

// TestCreditBoundsWhatIsHeld plays a source that sends all that it may, and an
// applier and sessions that do as they like.
func TestCreditBoundsWhatIsHeld(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := credits{m: map[origin.Stream]*account{}}
		s := origin.Stream{Group: 1, Module: 2, Incarnation: 1}
		type lease struct {
			generation int
			n          int64
		}
		var leases []lease
		var f *feed
		balance, held, longest := int64(0), int64(0), int64(0)
		for range 2000 {
			switch r.IntN(8) {
			case 0:
				if f != nil {
					c.unsubscribe(s, f)
				}
				f = &feed{}
				balance = c.subscribe(s, f)
			case 1:
				if f != nil {
					c.gone(f)
					f = nil
				}
			case 2:
				if r.IntN(50) == 0 {
					c.reset()
					held = 0
					if f != nil {
						balance = c.subscribe(s, f)
					}
				}
			case 3, 4, 5:
				if f != nil && balance > 0 {
					n := 1 + r.Int64N(600<<10)
					if r.IntN(100) == 0 {
						n = 9 << 20
					}
					longest = max(longest, n)
					balance -= n
					held += n
					g, _ := c.deliver(s, n)
					leases = append(leases, lease{g, n})
				}
			default:
				for len(leases) > 0 && r.IntN(3) > 0 {
					i := r.IntN(len(leases))
					l := leases[i]
					leases = append(leases[:i], leases[i+1:]...)
					if l.generation == c.generation {
						held -= l.n
					}
					if to, grant, _ := c.release(l.generation, s, l.n); to != nil {
						if to != f {
							t.Fatalf("seed %d: credit for a feed that is gone", seed)
						}
						balance += grant
					}
				}
			}
			if held != c.holding(s) {
				t.Fatalf("seed %d: %d bytes are held, counted %d", seed, held, c.holding(s))
			}
			if held > creditMost+longest || f != nil && max(balance, 0)+held > creditMost+longest {
				t.Fatalf("seed %d: %d bytes held and %d to come, the longest run is %d", seed, held, balance, longest)
			}
			if f != nil && held == 0 && balance <= 0 {
				t.Fatalf("seed %d: nothing is held and nothing may come", seed)
			}
		}
		for _, l := range leases {
			c.release(l.generation, s, l.n)
		}
		if f != nil {
			c.gone(f)
		}
		if len(c.m) != 0 || c.standing != 0 {
			t.Fatalf("seed %d: %d accounts are left, %d standing", seed, len(c.m), c.standing)
		}
	}
}

func TestManyStreamsShareTheCredit(t *testing.T) {
	c := credits{m: map[origin.Stream]*account{}}
	f := &feed{}
	var sum int64
	for i := range origin.Module(500) {
		sum += c.subscribe(origin.Stream{Group: 1, Module: i, Incarnation: 1}, f)
	}
	if sum > 5*creditTotal {
		t.Errorf("500 streams may hold %d bytes", sum)
	}
}
