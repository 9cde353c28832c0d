package node

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"drmesh/admin"
	"drmesh/mesh"
	"drmesh/origin"
)

// Links implements admin.Engine.
func (e engine) Links(context.Context) ([]admin.Link, error) {
	n := e.n
	have := map[origin.Module]bool{}
	out := []admin.Link{}
	add := func(m origin.Module) *admin.Link {
		have[m] = true
		l := admin.Link{Peer: n.moduleName(m), State: "connecting", Pairs: []admin.LinkPair{}}
		ps := n.net.PeerStats(m)
		l.WireSent, l.WireReceived = ps.BytesSent, ps.BytesReceived
		if ps.RTT > 0 {
			l.RTTMS = ptr(float64(ps.RTT.Microseconds()) / 1000)
		}
		if ps.LastError != nil {
			l.LastError = ps.LastError.Error()
		}
		n.mu.Lock()
		if o, ok := n.offsets[m]; ok {
			l.ClockMS = ptr(float64(o.off.Microseconds()) / 1000)
		}
		n.mu.Unlock()
		out = append(out, l)
		return &out[len(out)-1]
	}
	peers := n.peers()
	for _, s := range n.mesh.Links() {
		if !slices.Contains(peers, s.Peer) {
			continue
		}
		l := add(s.Peer)
		switch {
		case s.Paused:
			l.State = "paused"
		case s.Up:
			l.State = "up"
			l.LastError = ""
		default:
			if s.LastError != "" {
				l.LastError = s.LastError
			}
		}
		l.Serving = s.Serving
		if !s.Since.IsZero() {
			l.SinceS = ptr(time.Since(s.Since).Seconds())
		}
		if !s.LastHeard.IsZero() {
			l.HeardS = ptr(time.Since(s.LastHeard).Seconds())
		}
		l.Received, l.ReceivedBytes, l.Sent, l.SentBytes = s.Received, s.ReceivedBytes, s.Sent, s.SentBytes
		for _, w := range s.Links {
			l.Pairs = append(l.Pairs, n.linkPair(&s, &w))
		}
	}
	for _, p := range peers {
		if !have[p] {
			add(p)
		}
	}
	return out, nil
}

func (n *Node) linkPair(s *mesh.LinkStatus, w *mesh.WayStatus) admin.LinkPair {
	p := admin.LinkPair{Link: w.Link, Local: w.Local, Remote: w.Remote, State: "connecting", Serving: w.Serving, LastError: w.LastError,
		Received: w.Received, ReceivedBytes: w.ReceivedBytes, Sent: w.Sent, SentBytes: w.SentBytes}
	if w.Local == "" && w.Path.Remote != "" {
		if a := n.net.Addrs(); w.Path.Local < len(a) {
			p.Local, p.Remote = a[w.Path.Local].String(), w.Path.Remote
		}
	}
	switch {
	case s.Paused:
		p.State = "paused"
	case w.Up:
		p.State = "up"
	}
	if !w.Since.IsZero() {
		p.SinceS = ptr(time.Since(w.Since).Seconds())
	}
	if w.RTT > 0 {
		p.RTTMS = ptr(float64(w.RTT.Microseconds()) / 1000)
	}
	return p
}

// SetLink implements admin.Engine. The two ends of the link are told, whoever
// is asked; one of them at least must be in reach.
func (e engine) SetLink(ctx context.Context, c admin.LinkChange) error {
	n := e.n
	st := n.ctl.state()
	a, okA := st.Named(c.A)
	b, okB := st.Named(c.B)
	for _, x := range []struct {
		name string
		ok   bool
	}{{c.A, okA}, {c.B, okB}} {
		if !x.ok {
			return failure(admin.NotFound, "no_module", "\"drmesh module ls\" lists the modules", "no module %s", x.name)
		}
	}
	if !st.Tables().Linked(a.Number, b.Number) {
		return failure(admin.NotFound, "no_link", "\"drmesh link ls\" lists the links", "no link stands between %s and %s", c.A, c.B)
	}
	told := 0
	var last error
	for _, end := range [][2]origin.Module{{a.Number, b.Number}, {b.Number, a.Number}} {
		if end[0] == n.dir.Number {
			n.pause(end[1], c.Paused)
			told++
			continue
		}
		req, err := json.Marshal(pauseRequest{end[1], c.Paused})
		if err != nil {
			return err
		}
		pctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		_, err = n.mesh.Call(pctx, end[0], "pause", req)
		cancel()
		if err != nil {
			last = err
			continue
		}
		told++
	}
	if told == 0 {
		return failure(admin.Unreachable, "ends_unreachable", "", "neither end of the link is in reach: %v", last)
	}
	return nil
}

type pauseRequest struct {
	Peer   origin.Module `json:"peer"`
	Paused bool          `json:"paused"`
}

func (n *Node) servePause(_ context.Context, _ origin.Module, b []byte) ([]byte, error) {
	var q pauseRequest
	if err := json.Unmarshal(b, &q); err != nil {
		return nil, err
	}
	n.pause(q.Peer, q.Paused)
	return nil, nil
}

// pause stops or starts data with a neighbour. It lasts until it is taken
// back, or this node starts again.
func (n *Node) pause(m origin.Module, paused bool) {
	n.mu.Lock()
	n.paused[m] = paused
	n.mu.Unlock()
	n.mesh.SetPaused(m, paused)
}
