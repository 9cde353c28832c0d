package node

import (
	"errors"
	"slices"

	"drmesh/admin"
	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/origin"
	"drmesh/origin/entry"
)

// maxParts is how many operations are told of a transaction that lost a part.
const maxParts = 1000

// partsOf adds to a conflict what else the loser's transaction did, and what
// became of it.
func (n *Node) partsOf(x *ledger.Entry, c *admin.Conflict) error {
	d := x.Loser.Dot.Dot
	raw, kept, err := n.j.Get(d)
	if err != nil {
		return err
	}
	if !kept {
		return n.lostParts(x, c)
	}
	var t origin.Txn
	if err := entry.Decode(raw.Bytes, d, &t); err != nil {
		return err
	}
	if len(t.Ops) < 2 {
		return nil
	}
	for i := range t.Ops {
		if i == maxParts {
			c.PartsOnly = "first 1000"
			break
		}
		op := &t.Ops[i]
		y := n.change(&t, i)
		p := admin.ConflictPart{Kind: y.Kind, File: y.File, Address: y.Address, Data: slices.Clone(op.Data)}
		id := conflict.EntryID(op.File, op.Address, origin.OpDot{Dot: d, Index: uint32(i)})
		switch e, err := ledger.Get(n.db, id); {
		case err == nil:
			p.Conflict, p.State = id.String(), e.State.String()
		case !errors.Is(err, ledger.ErrNotFound):
			return err
		}
		c.Parts = append(c.Parts, p)
	}
	return nil
}

// lostParts adds what the ledger alone knows of the loser's transaction. It is
// in the order of the losers' stamps, and all of a txn have one.
func (n *Node) lostParts(x *ledger.Entry, c *admin.Conflict) error {
	var lost []*ledger.Entry
	more := false
	err := ledger.Ls(n.db, ledger.Filter{After: ledger.Cursor{Stamp: x.Loser.Stamp}}, func(e *ledger.Entry) bool {
		if e.Loser.Stamp > x.Loser.Stamp {
			return false
		}
		if e.Loser.Dot.Dot == x.Loser.Dot.Dot {
			if more = len(lost) == maxParts; more {
				return false
			}
			lost = append(lost, e)
		}
		return true
	})
	if err != nil || len(lost) < 2 {
		return err
	}
	slices.SortFunc(lost, func(a, b *ledger.Entry) int { return a.Loser.Dot.Compare(b.Loser.Dot) })
	if c.PartsOnly = "lost"; more {
		c.PartsOnly = "1000 lost"
	}
	for _, e := range lost {
		y := n.conflictOf(e)
		p := admin.ConflictPart{Kind: "write", File: y.File, Address: y.Address, Data: y.LoserData, Conflict: y.ID, State: y.State}
		if y.Deleted {
			p.Kind = "delete"
		}
		c.Parts = append(c.Parts, p)
	}
	return nil
}
