package main

import (
	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) conflictCommand() *cobra.Command {
	var share string
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List open and superseded conflicts, and claims whose index entry is withheld",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			l, err := cl.Conflicts(c.Context(), share)
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("ID", "KIND", "STATE", "SHARE", "FILE", "ADDRESS", "LOSER", "WINNER", "AT")
				for _, x := range l {
					t.row(x.ID, x.Kind, x.State, x.Share, x.File, x.Address, x.Loser, x.Winner, x.LoserAt)
				}
			})
		}),
	}
	ls.Flags().StringVar(&share, "share", "", "those of one `share` only")
	show := &cobra.Command{
		Use:   "show ID",
		Short: "Show a conflict with both images",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			x, err := cl.Conflict(c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.emit(x, func(t *table) { showConflict(t, x) })
		}),
	}
	return nest("conflict", "What lost against a concurrent change", ls, show)
}

func showConflict(t *table, x *admin.Conflict) {
	t.row("id", x.ID)
	t.row("kind", x.Kind+", "+x.State)
	t.row("file", x.File)
	t.row("share", x.Share)
	t.row("address", x.Address)
	if x.Index != "" {
		t.row("index", x.Index)
		t.row("key", x.Key)
	}
	t.row("policy", x.Policy)
	loser := cell(x.LoserData)
	if x.Deleted {
		loser = "(a delete)"
	}
	t.row("loser", x.Loser, x.LoserBy, x.LoserAt)
	t.row("", loser)
	t.row("winner", x.Winner, x.WinnerBy, x.WinnerAt)
	t.row("", cell(x.Data))
	if x.Uncertain {
		t.row("order", "uncertain: within the error of the clocks")
	}
}
