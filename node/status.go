package node

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"drmesh/admin"
	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// Status implements admin.Engine.
func (e engine) Status(ctx context.Context) (*admin.Status, error) {
	n := e.n
	st := n.ctl.state()
	s := &admin.Status{Module: n.dir.Module, Number: uint32(n.dir.Number), Mesh: n.dir.Mesh, MeshID: n.dir.MeshID, Version: Version,
		State: "serving", UptimeS: time.Since(n.started).Seconds(), Control: st.Index, Epoch: st.Epoch, Alarms: n.alarmList(),
		Duplicates: n.loops(), ResidentMB: residentMB(), GossipAlive: n.gossipAlive(), AsOf: time.Now()}
	if l, ok := n.raft.Leader(); ok {
		s.Leader, s.Quorum = n.moduleName(l), true
	}
	n.mu.Lock()
	if _, full := n.alarms[diskFull]; full {
		s.State = "full"
	}
	if len(n.need) > 0 {
		s.State = "joining"
	}
	if len(n.notCurrent) > 0 {
		s.State = "not_current"
	}
	n.mu.Unlock()
	for _, m := range st.Members {
		s.Members = append(s.Members, admin.MemberStatus{Module: m.Name, Number: uint32(m.Number), Role: string(m.Role), Status: string(m.Status), Voter: m.Voter, Addresses: m.Addresses})
	}
	s.Streams = n.streamStatus(st)
	open := 0
	if err := ledger.Ls(n.db, ledger.Filter{States: []conflict.State{conflict.Open}}, func(*ledger.Entry) bool { open++; return true }); err != nil {
		return nil, err
	}
	s.Conflicts = open
	w, err := n.eng.WithheldList()
	if err != nil {
		return nil, err
	}
	s.Withheld = len(w)
	p, err := n.eng.ParkedList()
	if err != nil {
		return nil, err
	}
	s.Parked = len(p)
	return s, nil
}

// loops counts txns received though they were applied: suppressed loops.
func (n *Node) loops() int64 {
	d := n.eng.Duplicates.Load() + n.applier.Duplicates.Load()
	for _, l := range n.mesh.Links() {
		d += l.Dropped
	}
	return d
}

func residentMB() float64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(f[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

func ptr[T any](v T) *T { return &v }

func (n *Node) streamStatus(st *control.State) []admin.StreamStatus {
	durable := n.j.Durable()
	heads := n.heads.all()
	links := n.mesh.Links()
	streams := map[origin.Stream]bool{}
	for s := range durable {
		streams[s] = true
	}
	for s := range heads {
		streams[s] = true
	}
	for _, l := range links {
		for s := range l.Has {
			streams[s] = true
		}
	}
	var all []origin.Stream
	for s := range streams {
		if s.Group != 0 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, origin.Stream.Compare)
	var out []admin.StreamStatus
	for _, s := range all {
		x := admin.StreamStatus{Stream: n.streamName(s), Module: n.moduleName(s.Module), Own: s.Module == n.dir.Number, Durable: uint64(durable[s].Seq)}
		_, x.Ended = st.End(s)
		written := uint64(durable[s].Seq)
		known := x.Own
		if h, ok := heads[s]; ok {
			known = true
			written = max(written, uint64(h.Position.Seq))
			if h.Floor > 0 {
				x.HeadAge = ptr(max(0, time.Since(h.Floor.Time()).Seconds()))
			}
		}
		for _, l := range links {
			p := admin.PeerSeq{Module: n.moduleName(l.Peer)}
			if q, ok := l.Has[s]; ok {
				p.Durable = ptr(uint64(q))
				written = max(written, uint64(q))
				known = true
			} else if l.Up {
				p.Durable = ptr(uint64(0))
			}
			if !l.LastHeard.IsZero() {
				p.AgeS = ptr(time.Since(l.LastHeard).Seconds())
			}
			x.Peers = append(x.Peers, p)
		}
		if known {
			x.Written = ptr(written)
			lag := written - uint64(durable[s].Seq)
			x.Lag = ptr(lag)
			if lag == 0 {
				x.LagS = ptr(0.0)
			} else if stamp := n.j.Stamp(s); stamp > 0 {
				x.LagS = ptr(time.Since(stamp.Time()).Seconds())
			}
		}
		if stamp := n.j.Stamp(s); stamp > 0 {
			x.Last = ptr(stamp.Time())
		}
		out = append(out, x)
	}
	return out
}
