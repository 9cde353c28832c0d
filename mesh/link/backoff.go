package link

import "time"

// Pauses between dials grow from the least to the most.
const (
	LeastPause = 20 * time.Millisecond
	MostPause  = 2 * time.Second
	Lasted     = 5 * time.Second // what stood so long starts them anew
)

// Backoff says how long to wait before the next dial. The zero Backoff begins
// with the least.
type Backoff struct{ pause time.Duration }

// Ended hears how long the last attempt stood, 0 if it never did, and gives the
// wait. jitter in [0, 1) spreads those that begin together.
func (b *Backoff) Ended(stood time.Duration, jitter float64) time.Duration {
	if b.pause == 0 || stood > Lasted {
		b.pause = LeastPause
	}
	wait := b.pause/2 + time.Duration(jitter*float64(b.pause))
	b.pause = min(2*b.pause, MostPause)
	return wait
}

// Heard says that the other end gave a sign of life: what follows begins anew.
func (b *Backoff) Heard() { b.pause = LeastPause }
