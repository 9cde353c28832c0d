package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/vosio/path"
	"drmesh/vosio/tin"
)

// ControlText implements admin.Engine.
func (e engine) ControlText(context.Context) (*admin.ControlText, error) {
	st := e.n.ctl.state()
	if len(st.History) == 0 {
		return &admin.ControlText{}, nil
	}
	h := st.History[len(st.History)-1]
	return &admin.ControlText{Epoch: h.Epoch, At: time.UnixMilli(h.At).UTC(), By: h.By, Format: h.Format, Text: string(h.Source)}, nil
}

func (n *Node) compile(c admin.ControlChange) (*control.State, *control.Compiled, tin.Format, error) {
	st := n.ctl.state()
	if c.Base != 0 && c.Base != st.Epoch {
		return nil, nil, "", failure(admin.Precondition, "epoch_moved", "plan again", "the tables have policy epoch %d by now, the plan was made for %d", st.Epoch, c.Base)
	}
	compiled, format, err := control.CompileText([]byte(c.Text), st, path.Context{Module: n.dir.Module, Date: time.Now().Format("06-01-02")})
	if err != nil {
		a := failure(admin.Config, "bad_tables", "the tables in force stay as they are", "control tables: %v", err)
		var ps tin.Problems
		if errors.As(err, &ps) {
			a.Message = fmt.Sprintf("control tables: %d problems", len(ps))
			if len(ps) == 1 {
				a.Message = "control tables: 1 problem"
			}
			for _, p := range ps {
				a.Problems = append(a.Problems, admin.Problem{Line: p.Line, Field: p.Field, Text: p.Text})
			}
		}
		return nil, nil, "", a
	}
	return st, compiled, format, nil
}

// ControlPlan implements admin.Engine.
func (e engine) ControlPlan(_ context.Context, c admin.ControlChange) (*admin.ControlPlan, error) {
	st, compiled, _, err := e.n.compile(c)
	if err != nil {
		return nil, err
	}
	p := &admin.ControlPlan{Epoch: st.Epoch, Lines: control.Plan(st.Tables(), compiled.Tables)}
	for _, w := range compiled.Warnings {
		p.Warnings = append(p.Warnings, admin.Problem{Line: w.Line, Field: w.Field, Text: w.Text})
	}
	return p, nil
}

// ControlApply implements admin.Engine.
func (e engine) ControlApply(ctx context.Context, c admin.ControlChange) (*admin.ControlPlan, error) {
	n := e.n
	var res control.Result
	var plan *admin.ControlPlan
	for try := 0; ; try++ {
		st, compiled, format, err := n.compile(c)
		if err != nil {
			return nil, err
		}
		plan = &admin.ControlPlan{Lines: control.Plan(st.Tables(), compiled.Tables)}
		for _, w := range compiled.Warnings {
			plan.Warnings = append(plan.Warnings, admin.Problem{Line: w.Line, Field: w.Field, Text: w.Text})
		}
		if err := mayHook(ctx, compiled.Rules, st.Rules); err != nil {
			return nil, err
		}
		res, err = n.propose(ctx, &control.Command{Kind: control.KindApply, Apply: compiled.Apply(format, []byte(c.Text), "drmesh at "+n.dir.Module)})
		if errors.Is(err, control.ErrEpochMoved) && c.Base == 0 && try < 5 {
			if err := n.ctl.wait(ctx, res.Index); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		break
	}
	plan.Epoch = res.Epoch
	progress := admin.ProgressOf(ctx)
	progress.Step(fmt.Sprintf("agreed as policy epoch %d; waiting until the members have it", res.Epoch))
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	wctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := n.ctl.wait(wctx, res.Index); err != nil {
		return nil, failure(admin.Partly, "epoch_waits", "", "policy epoch %d is agreed and has not come here yet", res.Epoch)
	}
	plan.Lacking = n.awaitEpoch(wctx, res.Epoch)
	return plan, nil
}

// mayHook refuses tables with a program that was not in them from who may not do
// everything: it is run at all modules as the user of the node.
func mayHook(ctx context.Context, rules, old *control.Rules) error {
	who := admin.CallerOf(ctx)
	if groups := rules.NewHooks(old); len(groups) > 0 && who.Name != "" && who.Role != admin.Admin {
		return failure(admin.NotPermitted, "hooks_need_admin", "have an admin put these tables in force", "a hook of the group %s is new: modules will run it", groups[0])
	}
	return nil
}

// awaitEpoch waits until all members have a policy epoch in force, and names
// those that have not when ctx ends.
func (n *Node) awaitEpoch(ctx context.Context, epoch uint64) (lacking []string) {
	st, progress, said := n.ctl.state(), admin.ProgressOf(ctx), ""
	for {
		lacking = nil
		if n.appliedEpoch() < epoch {
			lacking = append(lacking, n.dir.Module)
		}
		all := 1
		for _, m := range st.Members {
			if m.Number == n.dir.Number || !m.HoldsData() {
				continue
			}
			all++
			v, err := n.askVector(ctx, m.Number)
			if err != nil || v.Epoch < epoch {
				lacking = append(lacking, m.Name)
			}
		}
		progress.Percent(100 * float64(all-len(lacking)) / float64(all))
		if len(lacking) == 0 {
			return nil
		}
		if text := strings.Join(lacking, " "); text != said {
			said = text
			progress.Step("not in force yet at " + text)
		}
		select {
		case <-ctx.Done():
			return lacking
		case <-time.After(50 * time.Millisecond):
		}
	}
}
