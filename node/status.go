package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"drmesh/admin"
	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/mesh"
	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio"
)

// Status implements admin.Engine.
func (e engine) Status(ctx context.Context) (*admin.Status, error) {
	n := e.n
	st := n.ctl.state()
	s := &admin.Status{Module: n.dir.Module, Number: uint32(n.dir.Number), Mesh: n.dir.Mesh, MeshID: n.dir.MeshID, Version: n.version,
		State: "serving", UptimeS: time.Since(n.started).Seconds(), Control: st.Index, Epoch: st.Epoch, Alarms: n.alarmList(),
		Duplicates: n.loops(), Beyond: n.beyond.Load(), ResidentMB: residentMB(), GossipAlive: n.gossipAlive(), AsOf: time.Now()}
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
	_, replaced := n.alarms[replacedKey]
	if len(n.notCurrent) > 0 || replaced || n.lacksOwn.Load() {
		s.State = "not_current"
	}
	n.mu.Unlock()
	if l := st.Lineage(); l != 0 {
		s.Lineage = fmt.Sprintf("%x", l)
	}
	heard := peersHeard(n.mesh.Links())
	for _, m := range st.Members {
		state := string(m.Status)
		if m.Behind && m.Standing() {
			state = "left behind"
		}
		x := admin.MemberStatus{Module: m.Name, Number: uint32(m.Number), Role: string(m.Role), Status: state, Voter: m.Voter, Addresses: m.Addresses}
		if m.Role == control.RoleLeaf {
			x.Limit = time.Duration(m.Limit) * time.Millisecond
			if m.Standing() && m.Number != n.dir.Number {
				at := time.UnixMilli(n.leafHeard(&m, heard)).UTC()
				x.HeardAt = &at
			}
		}
		s.Members = append(s.Members, x)
	}
	s.Streams = n.streamStatus(st)
	if off, ok := n.median(n.peers()); ok {
		s.ClockMS = ptr(float64(off.Microseconds()) / 1000)
	}
	n.mu.Lock()
	s.ClockHeld = len(n.far)
	n.mu.Unlock()
	c, err := n.inboxes.count(n)
	if err != nil {
		return nil, err
	}
	s.Conflicts, s.Withheld, s.Parked, s.Lost = c.open, c.withheld, c.parked, n.inboxes.lostOpen(n)
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
	moving := n.mesh.Streams()
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
	t := st.Tables()
	for s := range streams {
		// A neighbour has streams that do not come here.
		if s.Group != 0 && (durable[s].Seq > 0 || t.AppliesHere(s, n.dir.Number)) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, origin.Stream.Compare)
	out := []admin.StreamStatus{}
	for _, s := range all {
		here := durable[s].Seq
		x := admin.StreamStatus{Stream: n.streamName(s), Module: n.moduleName(s.Module), Own: s.Module == n.dir.Number, Durable: uint64(here), Peers: []admin.PeerSeq{}}
		_, x.Ended = st.End(s)
		m, comes := moving[s]
		if x.Own {
			x.Received = ptr(uint64(here))
		} else if comes {
			x.Received = ptr(uint64(max(m.Received, here)))
			if m.From != 0 {
				x.From = n.moduleName(m.From)
			}
		}
		written := here
		known := x.Own
		if h, ok := heads[s]; ok {
			known = true
			written = max(written, h.Position.Seq)
			if h.Floor > 0 {
				x.HeadAge = ptr(max(0, time.Since(h.Floor.Time()).Seconds()))
			}
		}
		for _, l := range links {
			if q, ok := l.Has[s]; ok {
				written, known = max(written, q), true
			}
			if p, ok := n.peerStatus(t, s, here, &l, m.Sent); ok {
				x.Peers = append(x.Peers, p)
			}
		}
		if known {
			x.Written = ptr(uint64(written))
			lag := uint64(written - here)
			x.Lag = ptr(lag)
			switch stamp := n.j.Stamp(s); {
			case lag == 0:
				x.LagS, x.LagBytes = ptr(0.0), ptr(uint64(0))
			case stamp > 0:
				x.LagS = ptr(max(0, time.Since(stamp.Time()).Seconds()))
			}
			if size, ok := sizeOfTxn(links, m.From); ok && lag > 0 {
				x.LagBytes = ptr(uint64(float64(lag) * size))
			}
		}
		if stamp := n.j.Stamp(s); stamp > 0 {
			x.Last = ptr(stamp.Time())
		}
		out = append(out, x)
	}
	return out
}

// sizeOfTxn is the mean size of the txns that came from a neighbour, or from
// all.
func sizeOfTxn(links []mesh.LinkStatus, from origin.Module) (float64, bool) {
	var txns, bytes int64
	for _, l := range links {
		if from == 0 || l.Peer == from {
			txns += l.Received
			bytes += l.ReceivedBytes
		}
	}
	if txns == 0 {
		return 0, false
	}
	return float64(bytes) / float64(txns), true
}

// peerStatus is how far a neighbour is with a stream that stands at here; not
// ok if the stream does not go there.
func (n *Node) peerStatus(t *control.Tables, s origin.Stream, here origin.Seq, l *mesh.LinkStatus, sent map[origin.Module]origin.Seq) (admin.PeerSeq, bool) {
	p := admin.PeerSeq{Module: n.moduleName(l.Peer)}
	q, has := l.Has[s]
	if !has && s.Module != l.Peer && !t.AppliesHere(s, l.Peer) {
		return p, false
	}
	if q, ok := sent[l.Peer]; ok {
		p.Sent = ptr(uint64(q))
	}
	if a, ok := n.acks.of(l.Peer, s); ok {
		p.Acknowledged = ptr(uint64(a.seq))
	}
	if !l.LastHeard.IsZero() {
		p.AgeS = ptr(time.Since(l.LastHeard).Seconds())
	}
	if !has {
		if !l.Up {
			return p, true
		}
		q = 0 // it tells what it has, and has nothing of this
	}
	p.Durable = ptr(uint64(q))
	if q >= here {
		p.Lag, p.LagBytes, p.LagS = ptr(uint64(0)), ptr(uint64(0)), ptr(0.0)
		return p, true
	}
	p.Lag = ptr(uint64(here - q))
	if bytes, first, ok := n.journalAfter(s, q, here); ok {
		p.LagBytes, p.LagS = ptr(bytes), ptr(max(0, time.Since(first.Time()).Seconds()))
	}
	return p, true
}

// maxMeasured is how much of the journal is read to tell how much a neighbour
// lacks; the rest is taken to be like it.
const maxMeasured = 64 << 10

// journalAfter is the size of a stream's entries between two places, and the
// stamp of the first of them; not ok if the journal does not have that one.
func (n *Node) journalAfter(s origin.Stream, after, upto origin.Seq) (bytes uint64, first origin.Stamp, ok bool) {
	l, err := n.j.Read(s, after, maxMeasured)
	if err != nil || len(l) == 0 {
		return 0, 0, false
	}
	var t origin.Txn
	if err := entry.Decode(l[0].Bytes, origin.Dot{Stream: s, Seq: after + 1}, &t); err != nil {
		return 0, 0, false
	}
	count := origin.Seq(0)
	for _, e := range l {
		if count == upto-after {
			break
		}
		bytes += uint64(len(e.Bytes))
		count++
	}
	return uint64(float64(bytes) / float64(count) * float64(upto-after)), t.Stamp, true
}

// inboxes counts what waits for a person, and remembers it for as long as no
// operation was applied or decided.
type inboxes struct {
	mu   sync.Mutex // protects what follows; held while it is counted, so that it is counted once
	sums []vosio.Sum
	last inboxCount
	lost map[string]lostCount // of each lost-transaction file
}

// lostCount is how many transactions of a file are open, while it is the same.
type lostCount struct {
	size int64
	at   time.Time
	open int
	bad  bool
}

// lostOpen counts the open lost transactions in the files of this module; nil
// if one of them cannot be read.
func (x *inboxes) lostOpen(n *Node) *int {
	l, err := os.ReadDir(n.dir.file("lost"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	counts := map[string]lostCount{}
	sum, bad := 0, false
	for _, e := range l {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		i, err := e.Info()
		if err != nil {
			continue // it went away a moment ago
		}
		c, had := x.lost[name]
		if !had || c.size != i.Size() || !c.at.Equal(i.ModTime()) {
			c = lostCount{size: i.Size(), at: i.ModTime()}
			f, err := n.readLost(name)
			if c.bad = err != nil; !c.bad {
				for _, t := range f.Transactions {
					if t.State == "open" {
						c.open++
					}
				}
			}
		}
		counts[name] = c
		sum += c.open
		bad = bad || c.bad
	}
	x.lost = counts
	if bad {
		return nil
	}
	return &sum
}

type inboxCount struct{ open, withheld, parked int }

func (x *inboxes) count(n *Node) (inboxCount, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	sums := n.eng.Account()
	if x.sums != nil && slices.Equal(sums, x.sums) {
		return x.last, nil
	}
	var c inboxCount
	if err := ledger.Ls(n.db, ledger.Filter{States: []conflict.State{conflict.Open}}, func(*ledger.Entry) bool { c.open++; return true }); err != nil {
		return c, err
	}
	w, err := n.eng.WithheldList()
	if err != nil {
		return c, err
	}
	p, err := n.eng.ParkedList()
	if err != nil {
		return c, err
	}
	c.withheld, c.parked = len(w), len(p)
	x.sums, x.last = sums, c
	return c, nil
}
