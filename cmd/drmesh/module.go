package main

import (
	"github.com/spf13/cobra"
)

func (a *app) moduleCommand() *cobra.Command {
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List the members of the mesh",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			s, err := cl.Status(c.Context())
			if err != nil {
				return err
			}
			return a.emit(list(s.Members), func(t *table) {
				t.row("MODULE", "NUMBER", "ROLE", "STATUS", "VOTER", "ADDRESSES")
				for _, m := range s.Members {
					t.row(m.Module, m.Number, m.Role, m.Status, m.Voter, m.Addresses)
				}
			})
		},
	}
	return nest("module", "Members of the mesh", ls)
}
