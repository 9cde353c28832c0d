package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) moduleCommand() *cobra.Command {
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List the members of the mesh",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
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
		}),
	}
	show := &cobra.Command{
		Use:   "show MODULE",
		Short: "Show one member: how control knows it, and how it sees itself",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			m, err := member(c.Context(), cl, args[0])
			if err != nil {
				return err
			}
			answer := struct {
				admin.MemberStatus
				View    *admin.Status `json:"view"` // null: it does not answer
				Problem *admin.Error  `json:"problem,omitempty"`
			}{MemberStatus: *m}
			if answer.View, err = cl.StatusOf(c.Context(), args[0]); err != nil {
				answer.View, answer.Problem = nil, admin.AsError(err)
			}
			return a.emit(answer, func(t *table) {
				m := answer.MemberStatus
				t.row("member", m.Module, "number", m.Number, m.Role, m.Status)
				t.row("voter", m.Voter)
				t.row("addresses", m.Addresses)
				if m.Limit > 0 {
					t.row("limit", "removed when unheard for "+m.Limit.String())
				}
				if m.HeardAt != nil {
					t.row("heard", m.HeardAt.Format(time.RFC3339))
				}
				if answer.Problem != nil {
					t.row("view", "unknown: "+answer.Problem.Message)
					return
				}
				t.row()
				showStatus(t, answer.View)
			})
		}),
	}
	return nest("module", "Members of the mesh", ls, show, a.moduleRemove())
}

// member finds a member by its name.
func member(ctx context.Context, cl *client.Client, name string) (*admin.MemberStatus, error) {
	s, err := cl.Status(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.Members, func(m admin.MemberStatus) bool { return m.Module == name })
	if i < 0 {
		return nil, admin.Errorf(admin.NotFound, "no_module", "\"drmesh module ls\" lists the modules", "no module %s", name)
	}
	return &s.Members[i], nil
}

func (a *app) moduleRemove() *cobra.Command {
	var timeout time.Duration
	var accept, dry bool
	c := &cobra.Command{
		Use:   "remove MODULE",
		Short: "Put another module out of the mesh: nobody hears it any more, and its streams end",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			if _, err := member(c.Context(), cl, args[0]); err != nil {
				return err
			}
			if dry {
				a.say("%s would be put out of the mesh; what nobody else has of its changes would be lost to the others", args[0])
				if a.format == "table" {
					return nil
				}
				return a.emit(map[string]any{"module": args[0], "removed": false}, nil)
			}
			if !accept {
				return admin.Errorf(admin.WouldLose, "would_lose", "have it leave by itself with \"drmesh leave\", or give --accept-loss", "what nobody else has of the changes of %s would be lost to the others", args[0])
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			if err := cl.Remove(ctx, args[0]); err != nil {
				return err
			}
			if a.format == "table" {
				a.say("%s is out of the mesh", args[0])
				return nil
			}
			return a.emit(map[string]any{"module": args[0], "removed": true}, nil)
		}),
	}
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the members that have to report")
	c.Flags().BoolVar(&accept, "accept-loss", false, "give up what nobody else has of its changes")
	c.Flags().BoolVar(&dry, "dry-run", false, "show what it would do")
	return c
}
