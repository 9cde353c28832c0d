package main

import (
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) switchoverCommand() *cobra.Command {
	return nest("switchover", "Give a group to another owner while both are there; nothing is lost",
		a.switchoverCheck(), a.switchoverStart(), a.switchoverStatus(), a.switchoverAbort())
}

func (a *app) switchoverCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check GROUP MODULE",
		Short: "Say what giving GROUP to MODULE needs, line by line; nothing is changed",
		Args:  cobra.ExactArgs(2),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			return a.showCheck(cl.SwitchCheck(c.Context(), args[0], args[1]))
		}),
	}
}

// showCheck shows what was looked at; a FAIL among it is exit 5.
func (a *app) showCheck(x *admin.SwitchCheck, err error) error {
	if err != nil {
		return err
	}
	err = a.emit(x, func(t *table) {
		checkRows(t, x.Checks)
	})
	if err == nil && x.Level == admin.Fail {
		err = admin.Errorf(admin.Precondition, "switchover_unsafe", "mend what is marked FAIL", "the group %s cannot go from %s to %s now", x.Group, x.From, x.To)
	}
	return err
}

func (a *app) switchoverStart() *cobra.Command {
	var timeout time.Duration
	var dry bool
	c := &cobra.Command{
		Use:   "start GROUP MODULE",
		Short: "Give GROUP to MODULE: stop the owner, wait until MODULE has all, let it write",
		Args:  cobra.ExactArgs(2),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			if dry {
				return a.showCheck(cl.SwitchCheck(c.Context(), args[0], args[1]))
			}
			r, err := cl.SwitchStart(c.Context(), admin.SwitchRequest{Group: args[0], To: args[1], Timeout: timeout})
			if err != nil {
				return err
			}
			return a.showReceipt(r)
		}),
	}
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "roll it back if it has not ended after so long")
	c.Flags().BoolVar(&dry, "dry-run", false, "check only")
	return c
}

func (a *app) switchoverStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status [GROUP]",
		Short: "List the changes of owner, of one group or of all, with what became of them",
		Args:  cobra.MaximumNArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			of := ""
			if len(args) > 0 {
				of = args[0]
			}
			groups, err := cl.Groups(c.Context())
			if err != nil {
				return err
			}
			out := struct {
				UnderWay []admin.Switch        `json:"under_way"`
				Ended    []admin.SwitchReceipt `json:"ended"`
			}{UnderWay: []admin.Switch{}}
			for _, g := range groups {
				if g.Switching != nil && (of == "" || of == g.Group) {
					out.UnderWay = append(out.UnderWay, *g.Switching)
				}
			}
			if out.Ended, err = cl.SwitchHistory(c.Context(), of); err != nil {
				return err
			}
			return a.emit(out, func(t *table) {
				t.row("GROUP", "FROM", "TO", "STATE", "NUMBER", "STILL_MS", "BEGUN", "BY")
				for _, s := range out.UnderWay {
					t.row(s.Group, s.From, s.To, s.State, "", "", s.Begun, s.By)
				}
				for _, r := range out.Ended {
					state := "ended"
					if r.Failed != "" {
						state = "rolled back: " + r.Failed
					}
					t.row(r.Group, r.From, r.To, state, r.Number, r.Still, r.Begun, r.By)
					for _, h := range r.Hooks {
						if h.Level != admin.Pass {
							t.row("", h.Level, h.Module, h.Hook+" hook: "+h.State+" "+h.Text)
						}
					}
				}
			})
		}),
	}
}

func (a *app) switchoverAbort() *cobra.Command {
	return &cobra.Command{
		Use:   "abort GROUP",
		Short: "Roll the change of owner of GROUP back: the owner goes on",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			if err := cl.SwitchAbort(c.Context(), args[0]); err != nil {
				return err
			}
			if a.format == "table" {
				return nil
			}
			return a.emit(map[string]string{"group": args[0], "state": "rolled back"}, nil)
		}),
	}
}
