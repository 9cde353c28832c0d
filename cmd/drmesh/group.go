package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drmesh/admin"
)

func (a *app) groupCommand() *cobra.Command {
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List the groups, and who owns those that have an owner",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.groups(c)
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("GROUP", "MODE", "OWNER", "EPOCH", "NUMBER", "COMMIT", "SHARES")
				for _, g := range l {
					if g.Owner == "" {
						t.row(g.Group, g.Mode, "", "", "", g.CommitScope, strings.Join(g.Shares, " "))
						continue
					}
					t.row(g.Group, g.Mode, g.Owner, g.Epoch, g.Number, g.CommitScope, strings.Join(g.Shares, " "))
				}
			})
		},
	}
	show := &cobra.Command{
		Use:   "show GROUP",
		Short: "Show one group: its owner, epoch and last number, and a change of owner under way",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.groups(c)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(l, func(g admin.Group) bool { return g.Group == args[0] })
			if i < 0 {
				return admin.Errorf(admin.NotFound, "no_group", "\"drmesh group ls\" lists them", "there is no group %s", args[0])
			}
			g := l[i]
			return a.emit(g, func(t *table) {
				t.row("group", g.Group)
				t.row("mode", g.Mode)
				t.row("shares", strings.Join(g.Shares, " "))
				t.row("acknowledged by", g.CommitScope)
				t.row("on timeout", g.OnTimeout)
				if g.Owner != "" {
					t.row("owner", g.Owner)
					t.row("epoch", g.Epoch)
					t.row("since", g.Since)
					t.row("last number here", g.Number)
					for _, s := range g.Supplementary {
						at := "it does not come here"
						if s.Number != nil {
							at = fmt.Sprintf("last number here %d", *s.Number)
						}
						t.row("supplementary", s.Module+", "+at)
					}
					if g.OnRollback != "" {
						t.row("on rollback", g.OnRollback)
					}
				}
				if s := g.Switching; s != nil {
					t.row("changing", "to "+s.To+", "+s.State+", until", s.Until)
				}
			})
		},
	}
	return nest("group", "Groups of shares and their owners", ls, show)
}

func (a *app) groups(c *cobra.Command) ([]admin.Group, error) {
	cl, err := a.open(c.Context())
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return cl.Groups(c.Context())
}
