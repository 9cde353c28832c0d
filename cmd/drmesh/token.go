package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
)

func (a *app) tokenCommand() *cobra.Command {
	r := admin.TokenRequest{}
	create := &cobra.Command{
		Use:   "create",
		Short: "Make a token that admits one module; prints it alone",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if r.Role != "member" && r.Role != "witness" && r.Role != "leaf" {
				return usage("token create: --role %s: give member, witness or leaf", r.Role)
			}
			if r.TTL <= 0 {
				return usage("token create: --ttl %v: give a time above 0", r.TTL)
			}
			if r.Limit < 0 || r.Limit != 0 && r.Role != "leaf" {
				return usage("token create: --limit %v: give it with --role leaf, and above 0", r.Limit)
			}
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			t, err := cl.CreateToken(c.Context(), r)
			if err != nil {
				return err
			}
			if a.format == "table" {
				_, err := fmt.Fprintln(a.out, t.Token)
				return err
			}
			return a.emit(t, nil)
		},
	}
	f := create.Flags()
	f.StringVar(&r.Role, "role", "member", "`role` of the new module: member, witness or leaf")
	f.DurationVar(&r.Limit, "limit", 0, "of a leaf: how long it may go unheard before it is removed; 0 is 720h")
	f.DurationVar(&r.TTL, "ttl", time.Hour, "how long the token may be used")
	return nest("token", "Tokens that admit modules", create)
}
