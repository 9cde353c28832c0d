package sim

import (
	"fmt"
	"slices"
)

// network carries frames between modules: late, twice or not at all, as its
// faults say. Frames are real bytes. As with the streams of a connection, what
// goes by one lane arrives in order, and lanes overtake each other; a frame of
// a lane that carries txns may come again at any time.
type network struct {
	w       *world
	deliver func(from, to int, frame []byte)
	cut     map[[2]int]bool // one way
	epoch   map[[2]int]int  // of a connection: what was under way when it broke is lost
	last    map[lane]uint64 // when the last frame of a lane arrives
	silent  map[lane]bool   // nothing gets through

	// Faults, in force until the run heals.
	reorder   int // one frame in so many is held up; 0: none
	duplicate int
	tamper    int // one batch in so many is changed by who sends it
	lose      int // a lost frame breaks its connection, as a transport does

	broken func(a, b int) // tells both ends that their connection is gone, or new

	frames, bytes                  int
	held, doubled, lost, cutFrames int
	changed, forged, refused       int            // batches
	paused                         map[int]uint64 // modules that do nothing until then
}

func newNetwork(w *world) *network {
	return &network{w: w, cut: map[[2]int]bool{}, epoch: map[[2]int]int{}, last: map[lane]uint64{}, silent: map[lane]bool{}, paused: map[int]uint64{}}
}

func pair(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

// lane is an ordered part of a conversation: control, or a stream's txns.
type lane struct {
	from, to int
	name     string
}

// controlLane is the lane of all that is not txns.
const controlLane = "control"

// send gives a frame to the network.
func (n *network) send(from, to int, name string, frame []byte) {
	n.frames++
	n.bytes += len(frame)
	if n.cut[[2]int{from, to}] || n.silent[lane{from, to, name}] {
		n.cutFrames++
		return
	}
	r := n.w.rand("net")
	delay := 1 + r.Uint64N(4)
	if n.lose > 0 && r.IntN(n.lose) == 0 {
		n.lost++
		n.breakConnection(from, to)
		return
	}
	if n.reorder > 0 && r.IntN(n.reorder) == 0 {
		n.held++
		delay += 10 + r.Uint64N(200)
	}
	epoch := n.epoch[pair(from, to)]
	frame = slices.Clone(frame)
	var arrive func()
	arrive = func() {
		if until := n.paused[to]; until > n.w.now {
			n.w.after(until-n.w.now, arrive)
			return
		}
		if n.cut[[2]int{from, to}] || n.epoch[pair(from, to)] != epoch {
			n.cutFrames++
			return
		}
		n.deliver(from, to, frame)
	}
	l := lane{from, to, name}
	at := max(n.w.now+delay, n.last[l])
	n.last[l] = at
	n.w.after(at-n.w.now, arrive)
	if name != controlLane && n.duplicate > 0 && r.IntN(n.duplicate) == 0 {
		n.doubled++
		n.w.after(delay+r.Uint64N(300), arrive)
	}
}

// breakConnection ends what two modules have under way; both notice.
func (n *network) breakConnection(a, b int) {
	p := pair(a, b)
	n.epoch[p]++
	epoch := n.epoch[p]
	n.w.after(5, func() {
		if n.epoch[p] == epoch && n.broken != nil {
			n.broken(a, b)
		}
	})
}

// sever cuts a link, in both directions or one. After a second of silence the
// connection is given up.
func (n *network) sever(a, b int, oneWay bool) {
	n.cut[[2]int{a, b}] = true
	if !oneWay {
		n.cut[[2]int{b, a}] = true
	}
	n.w.after(1000, func() {
		if n.cut[[2]int{a, b}] {
			n.breakConnection(a, b)
		}
	})
}

// join heals a link.
func (n *network) join(a, b int) {
	if n.cut[[2]int{a, b}] || n.cut[[2]int{b, a}] {
		delete(n.cut, [2]int{a, b})
		delete(n.cut, [2]int{b, a})
		n.breakConnection(a, b)
	}
}

// heal ends all network faults.
func (n *network) heal(modules int) {
	n.reorder, n.duplicate, n.lose, n.tamper = 0, 0, 0, 0
	for a := range modules {
		for b := range a {
			n.join(a, b)
		}
	}
}

func (n *network) String() string {
	return fmt.Sprintf("%d frames, %d bytes; %d held up, %d doubled, %d lost with their connection, %d lost at cuts", n.frames, n.bytes, n.held, n.doubled, n.lost, n.cutFrames)
}
