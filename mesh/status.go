package mesh

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"drmesh/mesh/link"
	"drmesh/mesh/quicnet"
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
	// Links are those that carry the data: one for each pair of addresses, and
	// the session's own conversation, which is link 0.
	Links []WayStatus
}

// WayStatus is one link to a neighbour. What was received over it and what was
// sent over it are two things: each direction has a conversation of its own.
type WayStatus struct {
	Link          int
	Path          quicnet.Path // zero for link 0 where the network chose
	Local, Remote string       // addresses, while it stands
	Up            bool         // we receive by it
	Serving       bool         // the neighbour does
	Since         time.Time    // when Up last changed
	RTT           time.Duration
	LastError     string

	Received, ReceivedBytes, Sent, SentBytes int64 // txns, and bytes of entries
}

// StreamStatus is how far the moving of a stream is.
type StreamStatus struct {
	Received origin.Seq                   // come here, not yet all durable
	From     origin.Module                // whom it is pulled from; 0: nobody
	Sent     map[origin.Module]origin.Seq // how far it was sent to those who pull it from here
}

// Streams tells how far the moving of each stream is that comes here or goes
// out from here.
func (m *Mesh) Streams() map[origin.Stream]StreamStatus {
	out := map[origin.Stream]StreamStatus{}
	m.pull.Lock()
	if p := m.pull.puller; p != nil {
		for _, s := range p.Streams() {
			out[s] = StreamStatus{Received: p.At(s).Seq, From: p.Source(s)}
		}
	}
	m.pull.Unlock()
	m.mu.Lock()
	all := slices.Collect(maps.Values(m.serving))
	m.mu.Unlock()
	for _, v := range all {
		v.mu.Lock()
		for _, e := range v.spread.Positions() {
			x := out[e.Stream]
			if x.Sent == nil {
				x.Sent = map[origin.Module]origin.Seq{}
			}
			x.Sent[v.peer] = e.Seq
			out[e.Stream] = x
		}
		v.mu.Unlock()
	}
	return out
}

type linkState struct {
	up, serving, paused bool
	since               time.Time
	lastError           string
	has                 map[origin.Stream]origin.Seq
	receiveRate         rate
	sendRate            rate

	ways [link.MaxLinks + 1]wayState

	lastHeard                                                  atomic.Int64 // Unix nanoseconds
	received, receivedBytes, sent, sentBytes, dropped, refused atomic.Int64
}

// wayState is one link. Mesh.mu protects what comes before the counters.
type wayState struct {
	path      quicnet.Path
	feeding   net.Conn // what we receive by
	serving   net.Conn // what the neighbour receives by
	since     time.Time
	lastError string

	received, receivedBytes, sent, sentBytes atomic.Int64
}

// feeds says that we receive by c from now on; nil: not any more, and why.
func (w *wayState) feeds(c net.Conn, err error) {
	if (w.feeding == nil) != (c == nil) {
		w.since = time.Now()
	}
	if w.feeding, w.lastError = c, ""; err != nil {
		w.lastError = err.Error()
	}
}

func (w *wayState) serves(c net.Conn) { w.serving = c }

func (w *wayState) status(n int) (s WayStatus, any bool) {
	s = WayStatus{Link: n, Path: w.path, Up: w.feeding != nil, Serving: w.serving != nil, Since: w.since, LastError: w.lastError,
		Received: w.received.Load(), ReceivedBytes: w.receivedBytes.Load(), Sent: w.sent.Load(), SentBytes: w.sentBytes.Load()}
	c := w.feeding
	if c == nil {
		c = w.serving
	}
	if c != nil {
		s.Local, s.Remote, s.RTT = c.LocalAddr().String(), c.RemoteAddr().String(), roundTrip(c)
	}
	return s, c != nil || w.lastError != "" || !w.since.IsZero() || s.Sent > 0
}

// roundTrip is that of the connection under a stream; 0 where it is not known.
func roundTrip(c net.Conn) time.Duration {
	if r, ok := c.(interface{ RTT() time.Duration }); ok {
		return r.RTT()
	}
	return 0
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
		for i := range x.ways {
			if w, any := x.ways[i].status(i); any {
				s.Links = append(s.Links, w)
			}
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
