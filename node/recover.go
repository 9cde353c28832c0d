package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// recovery is what a module is to do at its next start, in D/recover: begin a
// lineage of control by itself. It is there until the lineage has begun.
type recovery struct {
	Parent  uint32          `json:"parent"`
	Lineage uint32          `json:"lineage"`
	With    []origin.Module `json:"with"`
	By      string          `json:"by"`
}

// pendingRecovery reads it; nil: there is none, or it is done.
func (n *Node) pendingRecovery() (*recovery, error) {
	b, err := os.ReadFile(n.dir.file("recover"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	r := new(recovery)
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", n.dir.file("recover"), err)
	}
	if slices.Contains(n.ctl.state().Numbers(), r.Lineage) {
		return nil, os.Remove(n.dir.file("recover"))
	}
	return r, nil
}

// beginLineage has the control group, which is this module alone, begin its
// lineage.
func (n *Node) beginLineage(ctx context.Context, r *recovery) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for n.ctl.state().Lineage() != r.Lineage {
		// The state may have come from a neighbour and be ahead of what raft has
		// in its log: commands are passed over until raft's index is there too.
		if _, err := n.propose(ctx, &control.Command{Kind: control.KindRecover, Recover: &control.Recover{
			Parent: r.Parent, Lineage: r.Lineage, Module: n.dir.Number, With: r.With, By: r.By, Known: n.ctl.state().Index}}); err != nil {
			return fmt.Errorf("begin the lineage %x of control: %w", r.Lineage, err)
		}
	}
	n.log.Warn("control goes on without a majority of those who voted", "lineage", fmt.Sprintf("%x", r.Lineage), "by", r.By)
	if err := os.Remove(n.dir.file("recover")); err != nil {
		return err
	}
	return syncDir(n.dir.path)
}

// controlView is what a member says of the control group.
type controlView struct {
	Index  uint64        `msgpack:"i"`
	Leader origin.Module `msgpack:"l"` // 0: it knows of none
}

func (n *Node) serveControlView(context.Context, origin.Module, []byte) ([]byte, error) {
	v := controlView{Index: n.ctl.state().Index}
	if l, ok := n.raft.Leader(); ok {
		v.Leader = l
	}
	return msgpack.Marshal(&v)
}

// RecoverPlan implements admin.Engine.
func (e engine) RecoverPlan(ctx context.Context) (*admin.ControlRecovery, error) {
	p, _ := e.n.recoverPlan(ctx)
	return p, nil
}

func (n *Node) recoverPlan(ctx context.Context) (*admin.ControlRecovery, []origin.Module) {
	st := n.ctl.state()
	out := &admin.ControlRecovery{Module: n.dir.Module, Level: admin.Pass, Loss: true}
	if l := st.Lineage(); l != 0 {
		out.Lineage = fmt.Sprintf("%x", l)
	}
	add := out.Add
	if err := n.superseded(); err != nil {
		add(admin.Fail, "lineage", admin.AsError(err).Hint, "%v", err)
		return out, nil
	}
	me, ok := st.Member(n.dir.Number)
	if !ok || me.Status != control.Active || me.Role == control.RoleLeaf {
		add(admin.Fail, "module", "recover at a member that may vote", "%s is %s, %s", n.dir.Module, me.Role, me.Status)
	}
	ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	views := map[origin.Module]controlView{}
	for _, m := range st.Members {
		if !m.Standing() || m.Number == n.dir.Number {
			continue
		}
		wg.Go(func() {
			var v controlView
			b, err := n.mesh.Call(ctx, m.Number, "control view", nil)
			if err == nil {
				err = msgpack.Unmarshal(b, &v)
			}
			if err == nil {
				mu.Lock()
				views[m.Number] = v
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	leader, has := n.raft.Leader()
	voters, here := 0, 0
	newest, most := n.dir.Number, st.Index
	var with []origin.Module
	for _, m := range st.Members {
		if !m.Standing() {
			continue
		}
		v, answers := views[m.Number]
		if m.Voter {
			voters++
			if answers || m.Number == n.dir.Number {
				here++
			}
		}
		switch {
		case m.Number == n.dir.Number:
		case answers:
			if v.Leader != 0 && !has {
				leader, has = v.Leader, true
			}
			if v.Index > most {
				newest, most = m.Number, v.Index
			}
			with = append(with, m.Number)
			out.With = append(out.With, m.Name)
		default:
			out.Left = append(out.Left, m.Name)
		}
	}
	switch {
	case has:
		add(admin.Fail, "quorum", "", "%s leads the control group: there is nothing to recover", n.moduleName(leader))
	case 2*here > voters:
		add(admin.Fail, "quorum", "wait a moment: they elect a leader by themselves", "%d of the %d voters are in reach: that is a majority", here, voters)
	default:
		add(admin.Warn, "quorum", "bring more voters into reach, if that can be done", "%d of the %d voters are in reach", here, voters)
	}
	if newest != n.dir.Number {
		add(admin.Fail, "newest", "recover at "+n.moduleName(newest), "%s knows of control up to index %d, this module up to %d", n.moduleName(newest), most, st.Index)
	} else {
		add(admin.Pass, "newest", "", "no member in reach knows more of control than this module: index %d", st.Index)
	}
	if len(out.With) > 0 {
		add(admin.Pass, "with", "", "%s come along", strings.Join(out.With, " "))
	}
	if len(out.Left) > 0 {
		add(admin.Warn, "left", "see to it that they do not run", "%s are left behind: what control decided with them and is not known here is given up; whichever runs goes on as before until it hears of this", strings.Join(out.Left, " "))
	}
	for _, g := range st.Groups {
		if t, ok := st.Term(g.Number); ok && slices.Contains(out.Left, n.moduleName(t.Owner)) && st.Tables().GroupRule(g.Number) != nil {
			add(admin.Warn, "owner", "\"drmesh failover start "+g.Name+" MODULE\" afterwards", "the group %s stays %s's, which is left behind", g.Name, n.moduleName(t.Owner))
		}
	}
	add(admin.Warn, "lineage", "", "a new lineage of control begins here, with %s alone voting at first; who is of the old one is not heard until it follows with \"drmesh control follow\"", n.dir.Module)
	return out, with
}

// Recover implements admin.Engine: control goes on from what this module knows.
// The node begins anew to do so.
func (e engine) Recover(ctx context.Context, r admin.RecoverRequest) (*admin.ControlRecovery, error) {
	n := e.n
	plan, with := n.recoverPlan(ctx)
	if c := plan.First(admin.Fail); c != nil {
		return nil, failure(admin.Precondition, "recover_unsafe", c.Remedy, "%s: %s", c.Check, c.Text)
	}
	if !r.AcceptLoss {
		return nil, failure(admin.WouldLose, "would_lose", "\"drmesh control recover --dry-run\" shows the plan; give --accept-loss to go on", "what control decided without this module would be given up")
	}
	st := n.ctl.state()
	rec := &recovery{Parent: st.Lineage(), Lineage: newLineage(st.Numbers()), With: with, By: r.By}
	b, err := json.Marshal(rec)
	if err == nil {
		err = writeFile(n.dir.file("recover"), b)
	}
	if err != nil {
		return nil, err
	}
	plan.Lineage, plan.By, plan.Began, plan.At = fmt.Sprintf("%x", rec.Lineage), r.By, n.dir.Module, time.Now().UTC()
	n.restartSoon()
	return plan, nil
}

// FollowPlan implements admin.Engine.
func (e engine) FollowPlan(ctx context.Context, module string) (*admin.ControlRecovery, error) {
	p, _, err := e.n.followPlan(ctx, module)
	return p, err
}

// Follow implements admin.Engine: this module goes on with the log that went on
// without it.
func (e engine) Follow(ctx context.Context, r admin.RecoverRequest) (*admin.ControlRecovery, error) {
	plan, state, err := e.n.followPlan(ctx, r.Module)
	if err != nil {
		return nil, err
	}
	if c := plan.First(admin.Fail); c != nil {
		return nil, failure(admin.Precondition, "follow_unsafe", c.Remedy, "%s: %s", c.Check, c.Text)
	}
	if plan.Loss && !r.AcceptLoss {
		c := plan.First(admin.Warn)
		return nil, failure(admin.WouldLose, "would_lose", "\"drmesh control follow --dry-run\" shows the plan; give --accept-loss to go on", "%s: %s", c.Check, c.Text)
	}
	return plan, e.n.follow(state)
}
