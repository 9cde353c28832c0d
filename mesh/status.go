package mesh

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"drmesh/mesh/link"
	"drmesh/origin"
)

// LinkStatus is what is known of the link to a neighbour.
type LinkStatus struct {
	Peer      origin.Module
	Up        bool // our session to it stands
	Serving   bool // its session to us stands
	Paused    bool
	Since     time.Time // when Up last changed
	RTT       time.Duration
	LastError string // of the last session or dial; empty while up
	LastHeard time.Time
	// What was pulled from it, and served to it, in txns and bytes of entries.
	// Dropped txns were received before.
	Received, ReceivedBytes, Sent, SentBytes, Dropped int64
	// Refused counts runs and heads of it that could not be verified.
	Refused int64
	// Bytes of entries per second, lately.
	ReceiveRate, SendRate float64
	Has                   map[origin.Stream]origin.Seq // durable there, as announced
}

type linkState struct {
	up, serving, paused bool
	since               time.Time
	lastError           string
	has                 map[origin.Stream]origin.Seq
	receiveRate         rate
	sendRate            rate

	lastHeard                                                  atomic.Int64 // Unix nanoseconds
	received, receivedBytes, sent, sentBytes, dropped, refused atomic.Int64
}

// rate follows a counter that is looked at every second.
type rate struct {
	last int64
	perS float64
}

func (r *rate) next(n int64) {
	r.perS += (float64(n-r.last) - r.perS) / 3
	if r.perS < 1 {
		r.perS = 0
	}
	r.last = n
}

// link is the state of a neighbour's link; the caller holds mu.
func (m *Mesh) link(p origin.Module) *linkState {
	l := m.links[p]
	if l == nil {
		l = &linkState{has: map[origin.Stream]origin.Seq{}}
		m.links[p] = l
	}
	return l
}

func (m *Mesh) linkOf(p origin.Module) *linkState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.link(p)
}

// measure takes the rates, and tells the puller of the round trips.
func (m *Mesh) measure() {
	m.mu.Lock()
	for _, l := range m.links {
		l.receiveRate.next(l.receivedBytes.Load())
		l.sendRate.next(l.sentBytes.Load())
	}
	peers := slices.Sorted(maps.Keys(m.feeds))
	m.mu.Unlock()
	for _, p := range peers {
		m.step(link.Measured{Peer: p, RTT: m.cfg.Network.RTT(p)})
	}
}

// Links tells the state of all links that there are or were, by number.
func (m *Mesh) Links() []LinkStatus {
	m.mu.Lock()
	l := make([]LinkStatus, 0, len(m.links))
	for p, x := range m.links {
		s := LinkStatus{Peer: p, Up: x.up, Serving: x.serving, Paused: x.paused, Since: x.since, LastError: x.lastError,
			Received: x.received.Load(), ReceivedBytes: x.receivedBytes.Load(), Sent: x.sent.Load(), SentBytes: x.sentBytes.Load(),
			Dropped: x.dropped.Load(), Refused: x.refused.Load(), ReceiveRate: x.receiveRate.perS, SendRate: x.sendRate.perS, Has: maps.Clone(x.has)}
		if t := x.lastHeard.Load(); t != 0 {
			s.LastHeard = time.Unix(0, t)
		}
		l = append(l, s)
	}
	m.mu.Unlock()
	for i := range l {
		l[i].RTT = m.cfg.Network.RTT(l[i].Peer)
	}
	slices.SortFunc(l, func(a, b LinkStatus) int { return cmp.Compare(a.Peer, b.Peer) })
	return l
}
