package node

import (
	"context"
	"slices"

	"drmesh/admin"
	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/origin"
	"drmesh/vosio/record"
)

func (n *Node) conflictOf(x *ledger.Entry) admin.Conflict {
	c := admin.Conflict{ID: x.ID.String(), Kind: "version", State: x.State.String(), Share: x.Facts.Share, Address: record.String(x.Address),
		Loser: n.dotName(x.Loser.Dot), LoserAt: ptr(x.Loser.Stamp.Time()), LoserBy: n.moduleName(x.Loser.Dot.Module), LoserData: slices.Clone(x.Loser.Data),
		Deleted: x.Loser.Tombstone, Policy: x.Facts.Rule, Uncertain: x.Apart() < 500}
	c.Txn = n.dotName(origin.OpDot{Dot: x.Loser.Dot.Dot})
	if !x.Winner.Dot.Stream.IsZero() {
		c.Winner, c.WinnerAt, c.WinnerBy, c.Data = n.dotName(x.Winner.Dot), ptr(x.Winner.Stamp.Time()), n.moduleName(x.Winner.Dot.Module), slices.Clone(x.Winner.Data)
	}
	if f, ok := n.eng.InfoByID(x.File); ok {
		c.File = f.Rel
	} else {
		c.File = x.File.String()
	}
	return c
}

// Conflicts implements admin.Engine.
func (e engine) Conflicts(_ context.Context, share string) ([]admin.Conflict, error) {
	n := e.n
	out := []admin.Conflict{}
	err := ledger.Ls(n.db, ledger.Filter{Share: share, States: []conflict.State{conflict.Open, conflict.Superseded}}, func(x *ledger.Entry) bool {
		out = append(out, n.conflictOf(x))
		return len(out) < 100000
	})
	if err != nil {
		return nil, err
	}
	w, err := n.eng.WithheldList()
	if err != nil {
		return nil, err
	}
	for _, x := range w {
		if share != "" && x.Share != share {
			continue
		}
		out = append(out, admin.Conflict{Kind: "claim", State: "withheld", Share: x.Share, File: x.Path, Address: record.String(x.Address), Index: x.Index, Key: string(x.Key)})
	}
	return out, nil
}
