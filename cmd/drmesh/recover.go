package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) controlRecover() *cobra.Command {
	var timeout time.Duration
	var dry, accept bool
	c := &cobra.Command{
		Use:   "recover",
		Short: "Have control go on from this module, in a new lineage, when a majority of the voters is lost for good",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			plan, err := cl.RecoverPlan(c.Context())
			if err != nil {
				return err
			}
			if dry {
				return a.showRecovery(plan)
			}
			a.sayChecks(plan.Checks)
			done, err := a.recovered(c.Context(), cl, accept, timeout)
			if err != nil {
				return err
			}
			return a.emit(done, func(t *table) { recoveryRows(t, done) })
		}),
	}
	a.recoverFlags(c, &timeout, &dry, &accept)
	return c
}

func (a *app) controlFollow() *cobra.Command {
	var timeout time.Duration
	var dry, accept bool
	c := &cobra.Command{
		Use:   "follow [MODULE]",
		Short: "Have this module follow the lineage of control that went on without it, or that of MODULE",
		Args:  cobra.MaximumNArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			whose := ""
			if len(args) > 0 {
				whose = args[0]
			}
			plan, err := cl.FollowPlan(c.Context(), whose)
			if err != nil {
				return err
			}
			if dry {
				return a.showRecovery(plan)
			}
			a.sayChecks(plan.Checks)
			done, err := cl.Follow(c.Context(), admin.RecoverRequest{AcceptLoss: accept, Module: whose})
			if err == nil {
				err = a.begunAnew(c.Context(), cl, done.Lineage, timeout)
			}
			if err != nil {
				return err
			}
			return a.emit(done, func(t *table) { recoveryRows(t, done) })
		}),
	}
	a.recoverFlags(c, &timeout, &dry, &accept)
	return c
}

func (a *app) recoverFlags(c *cobra.Command, timeout *time.Duration, dry, accept *bool) {
	c.Flags().DurationVar(timeout, "timeout", time.Minute, "how long to wait until the node has begun anew")
	c.Flags().BoolVar(dry, "dry-run", false, "show the plan only, and what may be lost")
	c.Flags().BoolVar(accept, "accept-loss", false, "go on although what the plan names may be lost")
}

// recovered has control go on from the module, and waits until it does.
func (a *app) recovered(ctx context.Context, cl *client.Client, accept bool, timeout time.Duration) (*admin.ControlRecovery, error) {
	done, err := cl.Recover(ctx, admin.RecoverRequest{AcceptLoss: accept})
	if err != nil {
		return nil, err
	}
	return done, a.begunAnew(ctx, cl, done.Lineage, timeout)
}

// begunAnew waits until the node serves again and follows a lineage that has a
// leader.
func (a *app) begunAnew(ctx context.Context, cl *client.Client, lineage string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		s, err := cl.Status(ctx)
		if err == nil && s.Lineage == lineage && s.Quorum {
			return nil
		}
		select {
		case <-ctx.Done():
			return admin.Errorf(admin.TimedOut, "not_begun", "look at the node's log; \"drmesh status\" shows the lineage", "the node does not follow the lineage %s yet", lineage)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// showRecovery shows a plan; a FAIL in it is exit 5.
func (a *app) showRecovery(p *admin.ControlRecovery) error {
	if err := a.emit(p, func(t *table) { checkRows(t, p.Checks) }); err != nil {
		return err
	}
	if p.Level == admin.Fail {
		return admin.Errorf(admin.Precondition, "recover_unsafe", "mend what is marked FAIL", "%s cannot do so now", p.Module)
	}
	return nil
}

func recoveryRows(t *table, p *admin.ControlRecovery) {
	t.row("control lineage", p.Lineage)
	t.row("began at", p.Began)
	t.row("by", p.By)
	if len(p.With) > 0 {
		t.row("come along", strings.Join(p.With, " "))
	}
	if len(p.Left) > 0 {
		t.row("left behind", strings.Join(p.Left, " "))
	}
}

func checkRows(t *table, l []admin.CheckLine) {
	for _, x := range l {
		t.row(x.Level, x.Check, x.Text)
		if x.Remedy != "" && x.Level != admin.Pass {
			t.row("", "", "-> "+x.Remedy)
		}
	}
}

// sayChecks tells a plan before it is carried out.
func (a *app) sayChecks(l []admin.CheckLine) {
	for _, x := range l {
		a.say("%s %s: %s", x.Level, x.Check, x.Text)
	}
}

// forceFailover has control go on from the module that is asked, and then gives
// the group to another owner.
func (a *app) forceFailover(ctx context.Context, cl *client.Client, r admin.SwitchRequest, dry bool) error {
	s, err := cl.Status(ctx)
	if err != nil {
		return err
	}
	check, err := cl.FailoverCheck(ctx, r.Group, r.To)
	if err != nil {
		return err
	}
	if s.Quorum {
		if dry {
			return a.showCheck(check, nil)
		}
		a.say("control has a leader: this is a failover like any other")
		done, err := cl.FailoverStart(ctx, r)
		if err != nil {
			return err
		}
		return a.showReceipt(done)
	}
	plan, err := cl.RecoverPlan(ctx)
	if err != nil {
		return err
	}
	if dry {
		if err := a.emit(map[string]any{"control": plan, "failover": check}, func(t *table) {
			checkRows(t, plan.Checks)
			checkRows(t, check.Checks)
		}); err != nil {
			return err
		}
	} else {
		a.sayChecks(plan.Checks)
		a.sayChecks(check.Checks)
	}
	for _, l := range check.Checks {
		// That there is no quorum is what is to be mended.
		if l.Level == admin.Fail && l.Check != "quorum" {
			return admin.Errorf(admin.Precondition, "failover_unsafe", l.Remedy, "%s: %s", l.Check, l.Text)
		}
	}
	if l := plan.First(admin.Fail); l != nil {
		return admin.Errorf(admin.Precondition, "recover_unsafe", l.Remedy, "%s: %s", l.Check, l.Text)
	}
	if dry {
		return nil
	}
	done, err := a.recovered(ctx, cl, r.AcceptLoss, r.Timeout+30*time.Second)
	if err != nil {
		return err
	}
	a.say("control goes on in the new lineage %s; left behind: %s", done.Lineage, strings.Join(done.Left, " "))
	// Who comes along and is to be the owner may take a moment.
	wait, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	for {
		receipt, err := cl.FailoverStart(wait, r)
		if err == nil {
			return a.showReceipt(receipt)
		}
		if e := admin.AsError(err); e.Class != admin.Precondition && e.Class != admin.NoQuorum {
			return err
		}
		// It may have come about by itself, where the tables say so.
		if l, e := cl.SwitchHistory(wait, r.Group); e == nil && len(l) > 0 {
			if x := l[len(l)-1]; x.To == r.To && x.Lineage == done.Lineage && x.Failed == "" {
				return a.showReceipt(&x)
			}
		}
		select {
		case <-wait.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
