package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/origin/entry"
)

// A supplementary module writes after what it has of the owner. When txns of the
// owner turn out to be lost, its own that follow them (their context covers
// them) are undone as well, unless the group's on_rollback said to let them stay
// when the owner's term ended: its stream ends before the first of them, in
// control, and it goes on under its next incarnation. What lies beyond that end
// is then undone like what lies beyond the owner's, wherever it was applied.
//
// Where the end is, the entries themselves say, so any module that holds them
// may tell control: also when the supplementary module is gone for good.

// errFollowers says that a stream must end before its group can be rolled back.
var errFollowers = errors.New("what follows lost transactions has no end yet")

// readFollowers bounds what is read of the journal at a time.
const readFollowers = 1 << 20

// lostEnd is where a stream ended, if what follows the txns beyond is undone
// with them.
func lostEnd(st *control.State, s origin.Stream) (origin.Seq, bool) {
	end, ok := st.End(s)
	if !ok {
		return 0, false
	}
	t, owners := st.TermOf(s)
	return end.Seq, owners && !t.Stay || !owners && st.Beside(s)
}

// follows reports whether a txn that advances its stream's context so follows
// what was lost, and of which stream that was.
func follows(st *control.State, context []origin.StreamSeq) (lost origin.Stream, ok bool) {
	for _, e := range context {
		if end, undone := lostEnd(st, e.Stream); undone && e.Seq > end {
			return e.Stream, true
		}
	}
	return lost, false
}

// followers finds the supplementary modules' streams of a group that have txns
// here, up to a vector, which follow what was lost, and where they are to end.
func (n *Node) followers(st *control.State, g origin.Group, have origin.Vector) ([]control.Place, error) {
	undone := func(o overrun) bool { _, ok := lostEnd(st, o.stream); return ok }
	if !slices.ContainsFunc(overruns(st, g, have), undone) {
		return nil, nil // who has none of what was lost has nothing that follows it
	}
	var cuts []control.Place
	for _, e := range have.Sorted() {
		s := e.Stream
		if _, ended := st.End(s); s.Group != g || ended || !st.Beside(s) {
			continue
		}
		if _, owners := st.TermOf(s); owners {
			continue
		}
		at, ok, err := n.cut(st, s, e.Seq)
		if err != nil {
			return nil, err
		}
		if ok {
			cuts = append(cuts, control.PlaceOf(s, at))
		}
	}
	return cuts, nil
}

// cut looks for the first txn of a stream that follows what was lost. A context
// never goes back: all behind it follow too.
func (n *Node) cut(st *control.State, s origin.Stream, upto origin.Seq) (end origin.Position, ok bool, err error) {
	after := n.j.Pruned(s)
	for after < upto {
		entries, err := n.j.Read(s, after, readFollowers)
		if err != nil || len(entries) == 0 {
			return end, false, fmt.Errorf("look for what follows lost transactions: %v after %d: %v", s, after, err)
		}
		for _, x := range entries {
			if x.Seq > upto {
				return end, false, nil
			}
			var txn origin.Txn
			if err := entry.Decode(x.Bytes, origin.Dot{Stream: s, Seq: x.Seq}, &txn); err != nil {
				return end, false, err
			}
			if _, lost := follows(st, txn.Context); !lost {
				after = x.Seq
				continue
			}
			h, known, err := n.j.HashAt(s, after)
			if err != nil || !known {
				return end, false, fmt.Errorf("look for what follows lost transactions: the hash of %v at %d is not here: %v", s, after, err)
			}
			return origin.Position{Seq: after, Hash: h}, true, nil
		}
	}
	return end, false, nil
}

// endFollowers has control end what follows lost transactions of a group. What
// this module wrote itself takes no more writes meanwhile: the group waits for
// its snapshot. Only what is durable counts, which no crash takes back.
func (n *Node) endFollowers(g origin.Group) error {
	cuts, err := n.followers(n.ctl.state(), g, n.j.Durable())
	for err == nil && len(cuts) > 0 {
		for i := range cuts {
			if err := n.endFollower(&cuts[i]); err != nil {
				return fmt.Errorf("%s has transactions that follow lost ones, and control has not ended it: %w", n.streamName(cuts[i].Stream()), err)
			}
		}
		// What follows these may have to follow them.
		cuts, err = n.followers(n.ctl.state(), g, n.j.Durable())
	}
	return err
}

func (n *Node) endFollower(p *control.Place) error {
	ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
	defer cancel()
	res, err := n.propose(ctx, &control.Command{Kind: control.KindEndBeside, EndBeside: &control.EndBeside{End: *p}})
	if err != nil {
		return err
	}
	n.log.Warn("a supplementary module's stream has ended: what lies beyond follows lost transactions", "stream", n.streamName(p.Stream()), "end", p.Seq)
	return n.ctl.wait(ctx, res.Index)
}

// besideBase is how many txns a supplementary module's stream has before it:
// those of the module's earlier incarnations in the group. Operators count on
// from there.
func besideBase(st *control.State, s origin.Stream) (base uint64) {
	for _, end := range st.Ends {
		if x := end.Stream(); x.Group == s.Group && x.Module == s.Module && x.Incarnation < s.Incarnation {
			base += uint64(end.Seq)
		}
	}
	return base
}

// causeOf is the term of the owner whose lost txns a supplementary module's
// follow.
func (n *Node) causeOf(st *control.State, o overrun) (t control.Term, err error) {
	first := origin.Dot{Stream: o.stream, Seq: o.end.Seq + 1}
	e, ok, err := n.j.Get(first)
	if err != nil || !ok {
		return t, fmt.Errorf("keep lost transaction %v: it is not in the journal (%v)", first, err)
	}
	var txn origin.Txn
	if err := entry.Decode(e.Bytes, first, &txn); err != nil {
		return t, fmt.Errorf("keep lost transaction %v: %w", first, err)
	}
	if lost, ok := follows(st, txn.Context); ok {
		if t, ok := st.TermOf(lost); ok {
			return t, nil
		}
	}
	// It follows what another supplementary module wrote after lost ones.
	now, ok := st.Term(o.stream.Group)
	for _, u := range st.Terms {
		if u.Group == o.stream.Group && u.Epoch < now.Epoch {
			t = u
		}
	}
	if !ok || t.Epoch == 0 {
		return t, fmt.Errorf("keep lost transactions of %s: no term before the present one is known", n.streamName(o.stream))
	}
	return t, nil
}
