package main

import (
	"github.com/spf13/cobra"

	"drmesh/admin/client"
)

func (a *app) parkedCommand() *cobra.Command {
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List changes whose effect cannot be shown at this module, with the reason",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			l, err := cl.Parked(c.Context())
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("SHARE", "FILE", "ADDRESS", "DOT", "REASON")
				for _, x := range l {
					t.row(x.Share, x.File, x.Address, x.Dot, x.Reason)
				}
			})
		}),
	}
	return nest("parked", "Changes that wait for something at this module", ls)
}
