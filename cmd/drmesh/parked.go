package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drmesh/admin"
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
				t.row("ID", "SHARE", "FILE", "ADDRESS", "DOT", "REASON")
				for _, x := range l {
					t.row(x.ID, x.Share, x.File, x.Address, x.Dot, x.Reason)
				}
			})
		}),
	}
	show := &cobra.Command{
		Use:   "show ID",
		Short: "Show a parked change: who made it, its image, by fields if the file has a layout, and the reason",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			x, err := cl.ParkedVersion(c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.emit(x, func(t *table) { showParked(t, x) })
		}),
	}
	retry := &cobra.Command{
		Use:   "retry [ID...]",
		Short: "See again whether what is parked can be shown",
		Long: "See again whether what is parked can be shown: with IDs those, and what else is parked in their files, else all.\n" +
			"This happens by itself when a reason goes. What stays parked is listed with the reason that holds now, and the exit code is 5.",
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			if len(args) == 0 {
				args = []string{""}
			}
			done := []admin.Parked{}
			known := map[string]bool{}
			for _, id := range args {
				if id != "" && slices.ContainsFunc(done, func(x admin.Parked) bool { return strings.HasPrefix(x.ID, strings.ToLower(id)) }) {
					continue // it was evaluated with another of its file
				}
				l, err := cl.RetryParked(c.Context(), id)
				if err != nil {
					return err
				}
				for _, x := range l {
					if !known[x.ID] {
						known[x.ID], done = true, append(done, x)
					}
				}
			}
			still := 0
			err := a.emit(done, func(t *table) {
				t.row("ID", "SHARE", "FILE", "ADDRESS", "NOW")
				for _, x := range done {
					now := "shown"
					if !x.Shown {
						now = x.Reason
					}
					t.row(x.ID, x.Share, x.File, x.Address, now)
				}
			})
			for _, x := range done {
				if !x.Shown {
					still++
				}
			}
			if err == nil && still > 0 {
				err = admin.Errorf(admin.Precondition, "still_parked", "mend the reasons: what they kept back then shows by itself", "%d of %d stay parked", still, len(done))
			}
			return err
		}),
	}
	return nest("parked", "Changes that wait for something at this module", ls, show, retry)
}

func showParked(t *table, x *admin.Parked) {
	t.row("id", x.ID)
	t.row("file", x.File)
	t.row("share", x.Share)
	t.row("address", x.Address)
	t.row("dot", x.Dot)
	t.row("by", x.By)
	if x.At != nil {
		t.row("at", x.At)
	}
	t.row("reason", x.Reason)
	if x.Data == nil {
		return
	}
	for _, f := range x.Fields {
		t.row("field "+f.Field, cell([]byte(f.Text)))
	}
	if len(x.Fields) == 0 {
		t.row("record", cell(x.Data))
	}
}
