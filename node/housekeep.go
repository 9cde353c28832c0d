package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"drmesh/conflict"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// Bounds of housekeeping.
const (
	journalKeep = 1 << 30 // bytes of entries kept although all members hold them
	clockAlarm  = 500 * time.Millisecond
)

// housekeep drops settled tombstones, lets go of held journal, watches the
// disk and peers' clocks; it ends with the node.
func (n *Node) housekeep() {
	defer n.wg.Done()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for i := 0; ; i++ {
		select {
		case <-n.ctx.Done():
			return
		case <-t.C:
		}
		n.watchDisk()
		n.applier.Retry()
		n.dropTombstones()
		if i%5 == 0 {
			n.prune()
		}
		if i%10 == 2 {
			n.compareClocks()
		}
	}
}

// settledFor makes the test whether nothing concurrent with a txn of the group
// can still come, from the heads that members signed.
func (n *Node) settledFor(st *control.State, g origin.Group) func(origin.Dot) bool {
	t := st.Tables()
	var said []conflict.Said
	tails := n.j.Durable()
	for s, h := range n.heads.all() {
		if s.Group != g || h.Position.Seq > tails[s].Seq {
			continue
		}
		c := origin.Context{}
		for _, e := range h.Context {
			c[e.Stream] = e.Seq
		}
		said = append(said, conflict.Said{Stream: s, Seq: h.Position.Seq, Context: c, Control: h.Control})
	}
	members := func(index uint64) ([]origin.Stream, bool) {
		// Who writes is asked of a state as new as any that such a head names: a
		// member of which its signer knows, and this module does not, may still
		// write. Later members only make it wait longer; one that left counts
		// until its stream is here to its end.
		if index > st.Index {
			return nil, false
		}
		for _, end := range st.Ends {
			if end.Group == g && tails[end.Stream()].Seq < end.Seq {
				return nil, false
			}
		}
		var l []origin.Stream
		holders := t.Holders(g)
		for _, m := range holders {
			s := ownStream(st, g, m)
			if s.Incarnation == 0 {
				if t.MayOriginate(g, m) {
					return nil, false
				}
				return nil, false
			}
			// A stream that some writer never gets does not settle.
			if len(t.Destinations(g, m)) != len(holders)-1 {
				return nil, false
			}
			l = append(l, s)
		}
		return l, true
	}
	return func(d origin.Dot) bool { return conflict.Settled(d, said, members) }
}

func (n *Node) dropTombstones() {
	st := n.ctl.state()
	by := map[origin.Group]func(origin.Dot) bool{}
	ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
	defer cancel()
	_, err := n.eng.DropTombstones(ctx, func(d origin.Dot) bool {
		if d.Group == 0 {
			return true
		}
		fn := by[d.Group]
		if fn == nil {
			fn = n.settledFor(st, d.Group)
			by[d.Group] = fn
		}
		return fn(d)
	}, 2000)
	if err != nil && n.ctx.Err() == nil {
		n.log.Warn("tombstones were not looked at", "err", err)
	}
}

// held is the seq up to which every destination has a stream durable, as
// their signed heads say.
func (n *Node) held(st *control.State, s origin.Stream) origin.Seq {
	upto := n.j.Durable()[s].Seq
	heads := n.heads.all()
	for _, m := range st.Members {
		if !m.HoldsData() || m.Number == n.dir.Number || m.Number == s.Module || !st.Tables().AppliesHere(s, m.Number) {
			continue
		}
		own := ownStream(st, s.Group, m.Number)
		h, ok := heads[own]
		if !ok {
			return 0
		}
		seq := origin.Seq(0)
		for _, e := range h.Context {
			if e.Stream == s {
				seq = e.Seq
			}
		}
		upto = min(upto, seq)
	}
	return upto
}

// keepBytes is how much of the journal stays although all hold it.
func keepBytes() uint64 {
	if v := os.Getenv("DRMESH_JOURNAL_KEEP"); v != "" {
		if n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 64); err == nil {
			return n
		}
	}
	return journalKeep
}

func (n *Node) prune() {
	size, err := n.j.Size()
	keep := keepBytes()
	if err != nil || size < keep && keep > 0 {
		return
	}
	st := n.ctl.state()
	for _, e := range n.j.Durable().Sorted() {
		if e.Stream.Group == 0 {
			continue
		}
		upto := n.held(st, e.Stream)
		if keep > 0 {
			// Half of what is held goes, so that it is not done all the time.
			p := n.j.Pruned(e.Stream)
			upto = p + (upto-min(upto, p))/2
		}
		if err := n.j.Prune(e.Stream, upto); err != nil {
			n.log.Warn("journal was not pruned", "stream", n.streamName(e.Stream), "err", err)
			continue
		}
		if st.Owned(e.Stream.Group) {
			if err := n.eng.PruneImages(e.Stream, upto); err != nil {
				n.log.Warn("before-images were not pruned", "stream", n.streamName(e.Stream), "err", err)
			}
		}
	}
}

// serveClock answers with this module's wall clock, in unix microseconds.
func (n *Node) serveClock(context.Context, origin.Module, []byte) ([]byte, error) {
	return json.Marshal(time.Now().UnixMicro())
}

func (n *Node) compareClocks() {
	for _, p := range n.peers() {
		ctx, cancel := context.WithTimeout(n.ctx, 2*time.Second)
		began := time.Now()
		b, err := n.mesh.Call(ctx, p, "clock", nil)
		rtt := time.Since(began)
		cancel()
		var us int64
		if err != nil || json.Unmarshal(b, &us) != nil {
			continue
		}
		off := time.UnixMicro(us).Sub(began.Add(rtt / 2))
		n.mu.Lock()
		if n.offsets == nil {
			n.offsets = map[origin.Module]time.Duration{}
		}
		n.offsets[p] = off
		n.mu.Unlock()
		key := "clock of module " + n.moduleName(p)
		if (off-rtt/2).Abs() > clockAlarm && off.Abs() > clockAlarm {
			n.alarm(key, fmt.Sprintf("it shows %s, ours %s: they differ by %v", time.UnixMicro(us).UTC().Format(time.RFC3339Nano), time.Now().UTC().Format(time.RFC3339Nano), off.Round(time.Millisecond)))
		} else {
			n.clearAlarm(key)
		}
	}
}
