package main

import (
	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) operationCommand() *cobra.Command {
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List long operations of this module, under way and ended",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			l, err := cl.Operations(c.Context())
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("ID", "KIND", "OBJECT", "STATE", "PERCENT", "BY", "BEGUN")
				for _, x := range l {
					t.row(x.ID, x.Kind, x.Object, x.State, x.Percent, x.By, x.Begun)
				}
			})
		}),
	}
	one := func(use, short string, cancel bool) *cobra.Command {
		return &cobra.Command{
			Use:   use,
			Short: short,
			Args:  cobra.ExactArgs(1),
			RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
				ask := cl.Operation
				if cancel {
					ask = cl.Cancel
				}
				x, err := ask(c.Context(), args[0])
				if err != nil {
					return err
				}
				return a.emit(x, func(t *table) { showOperation(t, x) })
			}),
		}
	}
	return nest("operation", "Long operations of this module", ls,
		one("show ID", "Show one operation with its steps", false),
		one("cancel ID", "Cancel an operation that is under way", true))
}

func showOperation(t *table, x *admin.Operation) {
	t.row("id", x.ID)
	t.row("kind", x.Kind+" "+x.Object)
	t.row("state", x.State)
	t.row("percent", x.Percent)
	t.row("by", x.By)
	for _, s := range x.Steps {
		t.row("step", s.At, s.Text)
	}
	if x.Error != nil {
		t.row("error", x.Error.Message)
	}
}
