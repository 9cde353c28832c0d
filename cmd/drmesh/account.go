package main

import (
	"strings"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) accountCommand() *cobra.Command {
	r := admin.AccountRequest{}
	c := &cobra.Command{
		Use:   "account",
		Short: "Sum up, at every module and at one vector, where each acknowledged operation is",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			x, err := cl.Account(c.Context(), r)
			if err != nil {
				return err
			}
			x.Modules, x.Vector, x.Lines, x.Findings = list(x.Modules), list(x.Vector), list(x.Lines), list(x.Findings)
			if len(x.Left) > 0 {
				a.say("left out, could not be asked: %s", strings.Join(x.Left, ", "))
			}
			if err := a.emit(x, func(t *table) {
				t.row("SHARE", "ORIGIN", "MODULE", "TXNS", "OPERATIONS", "LIVE", "OVERWRITTEN", "DELETED", "OPEN", "SUPERSEDED", "CLOSED", "PARKED", "LOST", "MISSING")
				for _, l := range x.Lines {
					t.row(l.Share, l.Origin, l.Module, l.Seq, l.Written, l.Live, l.Overwritten, l.Deleted, l.Open, l.Superseded, l.Closed, l.Parked, l.Lost, l.Missing)
				}
			}); err != nil {
				return err
			}
			return accountFindings(x)
		}),
	}
	f := c.Flags()
	f.BoolVar(&r.Scan, "scan", false, "count by reading everything, and hold the counters against it")
	f.BoolVar(&r.Local, "local", false, "count at this module alone")
	f.BoolVar(&r.Reachable, "reachable", false, "leave out members that cannot be asked, and name them")
	f.DurationVar(&r.Timeout, "timeout", 0, "how long to wait for the members (1m; with --scan 10m)")
	return c
}

// accountFindings is the error for an account that does not come out even.
func accountFindings(x *admin.Account) error {
	var problems []admin.Problem
	for _, f := range x.Findings {
		problems = append(problems, admin.Problem{Text: f})
	}
	var missing int64
	for _, l := range x.Lines {
		missing += max(l.Missing, -l.Missing)
	}
	if len(problems) == 0 && missing == 0 && x.Duplicates == 0 {
		return nil
	}
	e := admin.Errorf(admin.Findings, "account_differs", "keep the directories, and report this", "the account differs: %d findings, %d operations in no class, %d dots twice", len(x.Findings), missing, x.Duplicates)
	e.Problems = problems
	return e
}
