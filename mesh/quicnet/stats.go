package quicnet

import (
	"cmp"
	"slices"
	"time"

	"drmesh/origin"
)

// PeerStats is what is known of the ways to one module.
type PeerStats struct {
	Peer          origin.Module
	Connected     bool
	Since         time.Time     // of being connected, or of last having become so
	RTT           time.Duration // smoothed, of the newest connection; 0 when none
	BytesSent     uint64        // UDP payload, all connections so far
	BytesReceived uint64
	LastError     error // of the last failed attempt or lost connection
	LastErrorAt   time.Time
	Conns         []ConnStats
}

// ConnStats is one connection.
type ConnStats struct {
	Path          Path
	Bulk          bool // carries data and snapshots; else the rest
	Version       uint16
	Since         time.Time
	RTT, MinRTT   time.Duration
	Window        uint64 // congestion window, bytes
	BytesSent     uint64
	BytesReceived uint64
	PacketsLost   uint64
}

// Stats lists the modules that were ever talked to or tried, by number.
func (n *Net) Stats() []PeerStats {
	n.mu.Lock()
	peers := make([]*peer, 0, len(n.peers))
	for _, p := range n.peers {
		peers = append(peers, p)
	}
	n.mu.Unlock()
	l := make([]PeerStats, 0, len(peers))
	for _, p := range peers {
		l = append(l, p.stats())
	}
	slices.SortFunc(l, func(a, b PeerStats) int { return cmp.Compare(a.Peer, b.Peer) })
	return l
}

// PeerStats is the entry of Stats for one module.
func (n *Net) PeerStats(m origin.Module) PeerStats { return n.peer(m).stats() }

func (p *peer) stats() PeerStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PeerStats{
		Peer: p.id, Connected: len(p.conns) > 0, Since: p.since,
		BytesSent: p.sent, BytesReceived: p.recv,
		LastError: p.lastErr, LastErrorAt: p.errAt,
	}
	for _, c := range p.conns {
		st := c.quic.ConnectionStats()
		s.Conns = append(s.Conns, ConnStats{
			Path: c.path, Bulk: c.lane == laneBulk, Version: c.version, Since: c.since,
			RTT: st.SmoothedRTT, MinRTT: st.MinRTT, Window: st.CongestionWindow,
			BytesSent: st.BytesSent, BytesReceived: st.BytesReceived, PacketsLost: st.PacketsLost,
		})
		s.RTT = st.SmoothedRTT
		s.BytesSent += st.BytesSent
		s.BytesReceived += st.BytesReceived
	}
	return s
}
