package node

import (
	"context"
	"slices"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// Leave implements admin.Engine.
func (e engine) Leave(ctx context.Context, acceptLoss bool) error {
	n := e.n
	st := n.ctl.state()
	if !acceptLoss {
		if l, err := e.LostFiles(ctx); err != nil {
			return err
		} else if i := slices.IndexFunc(l, func(f admin.LostFile) bool { return f.Open }); i >= 0 {
			return failure(admin.Precondition, "lost_open", "replay or discard them, or give them up with --accept-loss", "lost transactions are open in %s, which nobody reads once this module has left", l[i].Name)
		}
		durable := n.j.Durable()
		for _, g := range st.Groups {
			s := ownStream(st, g.Number, n.dir.Number)
			if s.Incarnation == 0 || durable[s].Seq == 0 {
				continue
			}
			held := false
			for _, p := range n.peers() {
				if a, ok := n.acks.of(p, s); ok && a.seq >= durable[s].Seq {
					held = true
				}
			}
			if !held {
				return failure(admin.Precondition, "undelivered", "wait with \"drmesh status --dir D --matrix\" until a neighbour has them, or give them up with --accept-loss",
					"no neighbour has all of %s, which stands at %d", n.streamName(s), durable[s].Seq)
			}
		}
	}
	progress := admin.ProgressOf(ctx)
	if n.raft.IsLeader() {
		progress.Step("leadership of control is handed over")
		// Another leads on, without an election when this one is gone. If
		// nobody can, the election comes.
		if err := n.raft.StepDown(ctx); err != nil {
			n.log.Info("leadership was not handed over", "err", err)
		}
	}
	progress.Step("control is told")
	_, err := n.propose(ctx, &control.Command{Kind: control.KindLeave, Leave: &control.Leave{Module: n.dir.Number}})
	if err != nil {
		return precondition(err)
	}
	progress.Step("the members report what they hold of this module's streams")
	for {
		changed := n.ctl.changed() // before the state, lest a change is missed
		n.departed(progress, n.dir.Number)
		m, _ := n.ctl.state().Member(n.dir.Number)
		if !m.Standing() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return failure(admin.TimedOut, "leave_waits", "", "not all members have reported what they hold of this module's streams")
		}
	}
}

// departed tells how many have reported on a module that goes.
func (n *Node) departed(p *admin.Progress, m origin.Module) {
	st := n.ctl.state()
	if d, ok := st.Departure(m); ok && len(d.Needed) > 0 {
		p.Percent(100 * float64(len(d.Needed)-len(st.Missing(d))) / float64(len(d.Needed)))
	}
}

// Remove implements admin.Engine: another module is put out of the mesh. It is
// not heard any more from the moment that control decides so; its streams end
// where those who remain have them.
func (e engine) Remove(ctx context.Context, module string) error {
	n := e.n
	m, ok := n.ctl.state().Named(module)
	if !ok {
		return failure(admin.NotFound, "no_module", "\"drmesh module ls\" lists them", "no member is called %s", module)
	}
	if m.Number == n.dir.Number {
		return failure(admin.Precondition, "own_module", "use \"drmesh leave\", or ask another module", "%s cannot remove itself", module)
	}
	_, err := n.propose(ctx, &control.Command{Kind: control.KindLeave, Leave: &control.Leave{Module: m.Number, Removed: true}})
	if err != nil {
		return precondition(err)
	}
	for {
		changed := n.ctl.changed()
		n.departed(admin.ProgressOf(ctx), m.Number)
		if x, _ := n.ctl.state().Member(m.Number); !x.Standing() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return failure(admin.Partly, "removal_waits", "start the members that have not reported, or remove them too", "%s is cut off, and not all members have reported what they hold of its streams", module)
		}
	}
}

// ControlHistory implements admin.Engine: the tables that were in force, oldest
// first; the last is in force now. Control keeps the last 20.
func (e engine) ControlHistory(context.Context) ([]admin.ControlText, error) {
	out := []admin.ControlText{}
	for _, h := range e.n.ctl.state().History {
		out = append(out, admin.ControlText{Epoch: h.Epoch, At: time.UnixMilli(h.At).UTC(), By: h.By, Format: h.Format, Text: string(h.Source)})
	}
	return out, nil
}
