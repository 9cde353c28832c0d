package node

import (
	"context"
	"errors"

	"drmesh/admin"
	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/origin"
	"drmesh/vosio"
)

// entryOf finds a conflict by its id, or the beginning of it.
func (n *Node) entryOf(id string) (*ledger.Entry, error) {
	full, err := ledger.Find(n.db, id)
	if err == nil {
		var x *ledger.Entry
		if x, err = ledger.Get(n.db, full); err == nil || !errors.Is(err, ledger.ErrNotFound) {
			return x, err
		}
	}
	return nil, failure(admin.NotFound, "no_conflict", "\"drmesh conflict ls\" lists them", "%v", err)
}

// Conflict implements admin.Engine.
func (e engine) Conflict(_ context.Context, id string) (*admin.Conflict, error) {
	x, err := e.n.entryOf(id)
	if err != nil {
		return nil, err
	}
	return e.n.wholeConflict(x)
}

// wholeConflict is a conflict with all that stands beside it.
func (n *Node) wholeConflict(x *ledger.Entry) (*admin.Conflict, error) {
	c := n.conflictOf(x)
	set, err := n.eng.Standing(n.db, x.File, x.Address)
	if err != nil {
		return nil, err
	}
	for i := range set {
		v := &set[i]
		c.Standing = append(c.Standing, admin.StandingVersion{Dot: n.dotName(v.Dot), By: n.moduleName(v.Dot.Module), At: v.Stamp.Time(), Deleted: v.Tombstone, Data: v.Data})
	}
	if len(set) > 0 && !set[0].Tombstone {
		c.Shown = set[0].Data
	}
	if x.State == conflict.Open && len(set) > 0 {
		c.Would = map[string]string{}
		for _, k := range conflict.Kinds() {
			p := conflict.Policy{Kind: k}
			if k == conflict.Rank {
				if p = n.policy(x.Facts.Share, n.ctl.state().Epoch); p.Kind != k {
					continue // there is no rank
				}
			}
			c.Would[k.String()] = n.dotName(set[p.Would(set)].Dot)
		}
	}
	if f, ok := n.eng.InfoByID(x.File); ok {
		c.Layout = f.Layout
	}
	if err := n.partsOf(x, &c); err != nil {
		return nil, err
	}
	if x.State == conflict.Closed {
		c.ClosedBy, c.ClosedAt = x.ClosedBy, ptr(x.ClosedAt.Time())
	}
	return &c, nil
}

// Resolve implements admin.Engine. What is written covers all that stood when
// the ledger was asked, and says that its writer was shown this loser; if
// something else stands by the time that it gets its place, nothing is written.
func (e engine) Resolve(ctx context.Context, d admin.ConflictDecision, by string) (*admin.Conflict, error) {
	n := e.n
	x, err := n.entryOf(d.ID)
	if err != nil {
		return nil, err
	}
	if x.State == conflict.Closed {
		return nil, failure(admin.Precondition, "closed", "\"drmesh conflict show "+x.ID.String()+"\" says by whom", "conflict %v is closed already", x.ID)
	}
	set, err := n.eng.Standing(n.db, x.File, x.Address)
	if err != nil {
		return nil, err
	}
	r := &vosio.Resolution{File: x.File, Address: x.Address, Closes: []origin.OpDot{x.Loser.Dot}}
	for i := range set {
		if !set[i].Tombstone {
			r.Saw = append(r.Saw, set[i].Dot)
		}
	}
	switch {
	case d.Replay && !x.Loser.Tombstone:
		r.Data = x.Loser.Data
	case !d.Replay && len(set) > 0 && !set[0].Tombstone:
		r.Data = set[0].Data
	}
	if d.DryRun {
		c, err := n.wholeConflict(x)
		if c != nil {
			c.Shown = r.Data
		}
		return c, err
	}
	switch err := n.eng.Resolve(ctx, clip("drmesh conflict: "+by, 64), r); {
	case errors.Is(err, vosio.ErrMoved):
		return nil, failure(admin.Precondition, "moved", "look at it again with \"drmesh conflict show "+x.ID.String()+"\"", "conflict %v: the record was changed meanwhile", x.ID)
	case err != nil:
		return nil, explain(err)
	}
	if x, err = ledger.Get(n.db, x.ID); errors.Is(err, ledger.ErrNotFound) {
		return nil, failure(admin.Failed, "withdrawn", "", "conflict %s: it was withdrawn", d.ID)
	} else if err != nil {
		return nil, err
	}
	return n.wholeConflict(x)
}
