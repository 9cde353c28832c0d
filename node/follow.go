package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio/record"
)

// A supplementary module writes after what it has of the owner. When txns of the
// owner turn out to be lost, its own that follow them (their context covers
// them) are undone as well: its stream ends before the first of them, in
// control, and it goes on under its next incarnation. What lies beyond that end
// is then undone like what lies beyond the owner's, wherever it was applied.
//
// Where the group's on_rollback said stay when the owner's term ended, they are
// not, up to the first that cannot stand: it wrote to a file that a lost txn
// made, or gave an index.
//
// Where the end is, the entries themselves say, so any module that holds them
// may tell control: also when the supplementary module is gone for good.

// errFollowers says that a stream must end before its group can be rolled back.
var errFollowers = errors.New("what follows lost transactions has no end yet")

// readFollowers bounds what is read of the journal at a time.
const readFollowers = 1 << 20

// losses are what is known here of a group's lost txns: what their followers
// are told by.
type losses struct {
	st *control.State
	// made has of each stream whose followers stay the files that its lost txns
	// made or gave an index, and the first seq that did.
	made map[origin.Stream]map[origin.FileID]origin.Seq
}

// losses looks at what a module has beyond the ends of a group's streams; nil:
// nothing.
func (n *Node) losses(st *control.State, g origin.Group, have origin.Vector) (*losses, error) {
	over := overruns(st, g, have)
	if len(over) == 0 {
		return nil, nil
	}
	l := &losses{st: st, made: map[origin.Stream]map[origin.FileID]origin.Seq{}}
	for _, o := range over {
		if t, ok := st.TermOf(o.stream); !ok || !t.Stay {
			continue
		}
		made := map[origin.FileID]origin.Seq{}
		l.made[o.stream] = made
		err := n.streamTxns(o.stream, o.end.Seq, o.have, func(txn *origin.Txn) bool {
			for i := range txn.Ops {
				addr := txn.Ops[i].Address
				if f, _, ok := record.CatalogFile(addr); ok && made[f] == 0 && (addr[0] == record.KindClaim || addr[0] == record.KindIndex) {
					made[f] = txn.Dot.Seq
				}
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// follow tells of which stream's lost txns one follows and cannot stand without.
// seen is its whole context, as far as it is known.
func (l *losses) follow(txn *origin.Txn, seen origin.Context) (lost origin.Stream, ok bool) {
	for _, e := range txn.Context {
		t, owners := l.st.TermOf(e.Stream)
		end, ended := l.st.End(e.Stream)
		if ended && e.Seq > end.Seq && (owners && !t.Stay || !owners && l.st.Beside(e.Stream)) {
			return e.Stream, true
		}
	}
	for s, made := range l.made {
		for i := range txn.Ops {
			f := txn.Ops[i].File
			if x, _, ok := record.CatalogFile(txn.Ops[i].Address); ok {
				f = x
			}
			if q := made[f]; q > 0 && q <= seen[s] {
				return s, true
			}
		}
	}
	return lost, false
}

// streamTxns visits the durable txns of a stream after a seq, up to another, until
// fn is false.
func (n *Node) streamTxns(s origin.Stream, after, upto origin.Seq, fn func(txn *origin.Txn) bool) error {
	for after = max(after, n.j.Pruned(s)); after < upto; {
		entries, err := n.j.Read(s, after, readFollowers)
		if err == nil && len(entries) == 0 {
			err = errors.New("they are not durable yet")
		}
		if err != nil {
			return fmt.Errorf("read txns of %v after %d: %w", s, after, err)
		}
		for _, e := range entries {
			if e.Seq > upto {
				return nil
			}
			var txn origin.Txn
			if err := entry.Decode(e.Bytes, origin.Dot{Stream: s, Seq: e.Seq}, &txn); err != nil {
				return err
			}
			if !fn(&txn) {
				return nil
			}
			after = e.Seq
		}
	}
	return nil
}

// followers finds the supplementary modules' streams of a group that have txns
// here, up to a vector, which follow what was lost, and where they are to end.
func (n *Node) followers(st *control.State, g origin.Group, have origin.Vector) ([]control.Place, error) {
	if !st.Owned(g) {
		return nil, nil
	}
	// Who has none of what was lost has nothing that follows it.
	l, err := n.losses(st, g, have)
	if err != nil || l == nil {
		return nil, err
	}
	var cuts []control.Place
	for _, e := range have.Sorted() {
		s := e.Stream
		_, ended := st.End(s)
		if _, owners := st.TermOf(s); s.Group != g || ended || owners || !st.Beside(s) {
			continue
		}
		if n.j.Pruned(s) > 0 {
			// It came with a snapshot: its context is not known from the
			// beginning. Who has it whole tells.
			continue
		}
		end, _, ok, err := n.cut(l, s, e.Seq)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		h, known, err := n.j.HashAt(s, end)
		if err != nil || !known {
			return nil, fmt.Errorf("end %v at %d: its hash there is not known (%v)", s, end, err)
		}
		cuts = append(cuts, control.PlaceOf(s, origin.Position{Seq: end, Hash: h}))
	}
	return cuts, nil
}

// cut looks for the first txn of a stream that follows what was lost. All behind
// it follow too: a context never goes back, and a stream is one line.
func (n *Node) cut(l *losses, s origin.Stream, upto origin.Seq) (end origin.Seq, lost origin.Stream, ok bool, err error) {
	seen := origin.Context{}
	end = n.j.Pruned(s)
	err = n.streamTxns(s, end, upto, func(txn *origin.Txn) bool {
		seen.Advance(txn.Context)
		if lost, ok = l.follow(txn, seen); !ok {
			end = txn.Dot.Seq
		}
		return !ok
	})
	return end, lost, ok, err
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

// causeOf is the term of the owner whose lost txns a supplementary module's
// follow.
func (n *Node) causeOf(st *control.State, o overrun) (control.Term, error) {
	l, err := n.losses(st, o.stream.Group, n.j.Tails())
	if err != nil {
		return control.Term{}, err
	}
	if l != nil {
		_, lost, ok, err := n.cut(l, o.stream, o.have)
		if err != nil {
			return control.Term{}, err
		}
		if t, owners := st.TermOf(lost); ok && owners {
			return t, nil
		}
	}
	// It follows what another supplementary module wrote after lost ones, or
	// these are not here.
	var t control.Term
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
