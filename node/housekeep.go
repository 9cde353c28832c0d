package node

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"drmesh/conflict"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// Bounds of housekeeping.
const (
	journalPin  = 8 << 30 // bytes of entries kept for members that lack them
	journalKeep = 1 << 30 // bytes of entries kept although all members hold them
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
		if i%10 == 2 || n.clockUnsure() {
			n.compareClocks()
		}
	}
}

// settledFor makes the test whether nothing concurrent with a txn of the group
// can still come, from the heads that members signed.
func (n *Node) settledFor(st *control.State, g origin.Group) func(origin.Dot) bool {
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
		return settlers(st, g, tails)
	}
	return func(d origin.Dot) bool { return conflict.Settled(d, said, members) }
}

// settlers lists the streams of a group in which something may still come that
// has not seen all that is here: false if there are some that say nothing. The
// tables are those of the present, which say who may still write; who wrote under
// earlier ones counts until its stream has its end, and all of it is here.
func settlers(st *control.State, g origin.Group, tails origin.Vector) ([]origin.Stream, bool) {
	t := st.Tables()
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
			// It never wrote, or has no stream at the moment; it may get one,
			// and begin with what it has.
			return nil, false
		}
		// A stream that some writer never gets does not settle.
		if len(t.Destinations(g, m)) != len(holders)-1 {
			return nil, false
		}
		l = append(l, s)
	}
	for _, w := range st.Writings {
		if w.Group != g || slices.Contains(holders, w.Module) {
			continue
		}
		// A module that the tables took out of the group, or one that leaves
		// and is not gone: what it wrote before may be under way.
		if s := ownStream(st, g, w.Module); s.Incarnation != 0 {
			l = append(l, s)
		}
	}
	return l, true
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

// holding is how far a stream is durable at those that it goes to, as their
// signed heads say.
type holding struct {
	all    origin.Seq // everybody has it up to here
	most   origin.Seq // of all modules that have or get it, more than half do
	behind []origin.Module
}

// held tells how far a stream is held. Of a mesh that is cut in two at most one
// side has more than half of the modules: who goes by most there lets go of what
// the others lack, and the others keep what they write alone, so that they can
// take it up again behind a snapshot.
func (n *Node) held(st *control.State, s origin.Stream) (h holding) {
	h.all = n.j.Durable()[s].Seq
	have := []origin.Seq{h.all}
	if s.Module != n.dir.Number {
		have = append(have, h.all) // its origin
	}
	at := map[origin.Module]origin.Seq{}
	heads := n.heads.all()
	for _, m := range st.Members {
		if !m.HoldsData() || m.Number == n.dir.Number || m.Number == s.Module || !st.Tables().AppliesHere(s, m.Number) {
			continue
		}
		if d, leaving := st.Departure(m.Number); leaving && d.Removed {
			continue // it takes nothing any more
		}
		seq := origin.Seq(0)
		for _, e := range heads[ownStream(st, s.Group, m.Number)].Context {
			if e.Stream == s {
				seq = e.Seq
			}
		}
		at[m.Number] = seq
		have = append(have, seq)
		h.all = min(h.all, seq)
	}
	slices.Sort(have)
	h.most = have[(len(have)-1)/2]
	for m, seq := range at {
		if seq < h.most {
			h.behind = append(h.behind, m)
		}
	}
	return h
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

// pinBytes is how large the journal grows for members that do not take what it
// holds. Beyond that it goes by what most have; who is behind takes a snapshot.
func pinBytes() uint64 {
	if v := os.Getenv("DRMESH_JOURNAL_PIN"); v != "" {
		if n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 64); err == nil {
			return n
		}
	}
	return journalPin
}

// warnPinned tells of members that pin the journal, from half of what they may
// on.
func (n *Node) warnPinned(size, pin uint64, behind map[origin.Module]bool) {
	for _, m := range n.ctl.state().Members {
		key := "module " + m.Name + " is behind"
		switch {
		case !behind[m.Number] || size < pin/2:
			n.clearAlarm(key)
		case size < pin:
			n.alarm(key, fmt.Sprintf("the journal holds %d MB that it may still need; at %d MB it is let go of, and the module takes a snapshot when it is back", size>>20, pin>>20))
		default:
			n.alarm(key, "the journal has let go of what it still needs; it takes a snapshot when it is back, and keeps what it wrote alone")
		}
	}
}

func (n *Node) prune() {
	size, err := n.j.Size()
	keep := keepBytes()
	if err != nil || size < keep && keep > 0 {
		n.warnPinned(0, pinBytes(), nil)
		return
	}
	st, pin, behind := n.ctl.state(), pinBytes(), map[origin.Module]bool{}
	defer func() { n.warnPinned(size, pin, behind) }()
	for _, e := range n.j.Durable().Sorted() {
		if e.Stream.Group == 0 {
			continue
		}
		if st.Owned(e.Stream.Group) && st.Beside(e.Stream) {
			// A neighbour whose state is taken over when the owner's txns are
			// undone may have nothing of it.
			continue
		}
		h := n.held(st, e.Stream)
		for _, m := range h.behind {
			behind[m] = true
		}
		upto := h.all
		if size >= pin && !st.Owned(e.Stream.Group) {
			upto = h.most
		}
		if keep > 0 {
			// Half of what is held goes, so that it is not done all the time.
			p := n.j.Pruned(e.Stream)
			upto = p + (upto-min(upto, p))/2
		}
		was := n.j.Pruned(e.Stream)
		if err := n.j.Prune(e.Stream, upto); err != nil {
			n.log.Warn("journal was not pruned", "stream", n.streamName(e.Stream), "err", err)
			continue
		}
		if upto = n.j.Pruned(e.Stream); upto > was {
			if err := n.eng.PruneImages(e.Stream, upto); err != nil {
				n.log.Warn("before-images were not pruned", "stream", n.streamName(e.Stream), "err", err)
			}
		}
	}
}
