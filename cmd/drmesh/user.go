package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

// userCommand holds what lets people and programs in. Modules are let in by
// "token create": the two kinds of token have other words and other texts.
func (a *app) userCommand() *cobra.Command {
	r := admin.AccessRequest{}
	var role string
	create := &cobra.Command{
		Use:   "create",
		Short: "Make an access token of this module; prints it alone, once",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if r.TTL <= 0 {
				return usage("user token create: --ttl %v: give a time above 0", r.TTL)
			}
			if r.Role = admin.Role(role); r.Role != admin.Viewer && r.Role != admin.Operator && r.Role != admin.Admin {
				return usage("user token create: --role %s: give viewer, operator or admin", role)
			}
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			t, err := cl.CreateAccess(c.Context(), r)
			if err != nil {
				return err
			}
			if a.format == "table" {
				a.say("access token %s, %s until %s; it is not shown again", t.ID, t.Role, cell(t.Expires))
				_, err := fmt.Fprintln(a.out, t.Token)
				return err
			}
			return a.emit(t, nil)
		},
	}
	f := create.Flags()
	f.StringVar(&role, "role", "viewer", "`role`: viewer looks, operator pauses links and changes tables, admin does all")
	f.DurationVar(&r.TTL, "ttl", 30*24*time.Hour, "how long the token may be used")
	f.StringVar(&r.Name, "name", "", "whose it is, for the audit")
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List the access tokens of this module",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			l, err := cl.AccessTokens(c.Context())
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("ID", "ROLE", "NAME", "BY", "CREATED", "EXPIRES", "REVOKED")
				for _, x := range l {
					revoked := "-"
					if x.Revoked != nil {
						revoked = cell(x.Revoked)
					}
					t.row(x.ID, string(x.Role), x.Name, x.By, x.Created, x.Expires, revoked)
				}
			})
		}),
	}
	revoke := &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke an access token: it is refused from now on",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			t, err := cl.RevokeAccess(c.Context(), args[0])
			if err != nil {
				return err
			}
			if a.format == "table" {
				return nil
			}
			return a.emit(t, nil)
		}),
	}
	return nest("user", "People and programs that ask from afar", nest("token", "Access tokens of this module", create, ls, revoke))
}

func (a *app) auditCommand() *cobra.Command {
	limit := 0
	c := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what at this module, the newest last",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 1 || limit > 10000 {
				return usage("audit: --limit %d: 1 to 10000", limit)
			}
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			l, err := cl.Audit(c.Context(), limit)
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("AT", "WHO", "ROLE", "VIA", "ROUTE", "OBJECT", "OUTCOME", "CODE")
				for _, x := range l {
					t.row(x.At, x.Who, string(x.Role), x.Via, x.Route, x.Object, x.Outcome, x.Code)
				}
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 100, "how many lines at most")
	return c
}
