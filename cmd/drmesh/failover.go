package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) failoverCommand() *cobra.Command {
	return nest("failover", "Give a group to another owner when its own is gone", a.failoverCheck(), a.failoverStart())
}

func (a *app) failoverCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check GROUP MODULE",
		Short: "Say what giving GROUP to MODULE needs, and which transactions no survivor has; nothing is changed",
		Args:  cobra.ExactArgs(2),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			return a.showCheck(cl.FailoverCheck(c.Context(), args[0], args[1]))
		}),
	}
}

func (a *app) failoverStart() *cobra.Command {
	var timeout time.Duration
	var dry, accept, force bool
	c := &cobra.Command{
		Use:   "start GROUP MODULE",
		Short: "Give GROUP to MODULE without its owner: fetch what survivors hold, end the owner's term there",
		Args:  cobra.ExactArgs(2),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			ask := admin.SwitchRequest{Group: args[0], To: args[1], Timeout: timeout, AcceptLoss: accept}
			if force {
				return a.forceFailover(c.Context(), cl, ask, dry)
			}
			if dry {
				return a.showCheck(cl.FailoverCheck(c.Context(), args[0], args[1]))
			}
			r, err := cl.FailoverStart(c.Context(), ask)
			if err != nil {
				return err
			}
			return a.showReceipt(r)
		}),
	}
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "roll it back if it has not ended after so long")
	c.Flags().BoolVar(&dry, "dry-run", false, "check only")
	c.Flags().BoolVar(&accept, "accept-loss", false, "go on although transactions are known of that no survivor has")
	c.Flags().BoolVar(&force, "force", false, "without a majority of the voters: have control go on from this module first, in a new lineage; needs --accept-loss")
	return c
}

func (a *app) showReceipt(r *admin.SwitchReceipt) error {
	return a.emit(r, func(t *table) {
		t.row("group", r.Group)
		t.row("owner", r.To+", before "+r.From)
		t.row("epoch", r.Epoch)
		t.row("last number before", r.Number)
		t.row("writes stood still, ms", r.Still)
		t.row("ended", r.Ended)
		if r.Lineage != "" {
			t.row("control lineage", r.Lineage+", which began without a majority of the voters")
		}
		hookRows(t, r.Hooks)
	})
}

// hookRows shows what became of hooks.
func hookRows(t *table, l []admin.HookRun) {
	for _, h := range l {
		text := h.State
		if h.Text != "" {
			text += ": " + h.Text
		}
		t.row(h.Level+" "+h.Hook+" hook at "+h.Module, text)
		if h.Output != "" && h.Level != admin.Pass {
			t.row("", fmt.Sprintf("%q", h.Output))
		}
	}
}
