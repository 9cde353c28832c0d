package main

import (
	"github.com/spf13/cobra"

	"drmesh/admin"
)

func (a *app) accountCommand() *cobra.Command {
	var scan bool
	c := &cobra.Command{
		Use:   "account",
		Short: "Sum up where every acknowledged operation is: live, overwritten, deleted, listed",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			x, err := cl.Account(c.Context(), scan)
			if err != nil {
				return err
			}
			x.Lines, x.Findings = list(x.Lines), list(x.Findings)
			if err := a.emit(x, func(t *table) {
				t.row("SHARE", "ORIGIN", "TXNS", "OPERATIONS", "LIVE", "OVERWRITTEN", "DELETED", "OPEN", "SUPERSEDED", "CLOSED", "PARKED", "LOST", "MISSING")
				for _, l := range x.Lines {
					t.row(l.Share, l.Origin, l.Seq, l.Written, l.Live, l.Overwritten, l.Deleted, l.Open, l.Superseded, l.Closed, l.Parked, l.Lost, l.Missing)
				}
			}); err != nil {
				return err
			}
			return accountFindings(x)
		},
	}
	c.Flags().BoolVar(&scan, "scan", false, "count by reading everything, not from the counters")
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
	e := admin.Errorf(admin.Findings, "account_differs", "keep the directories, and report this", "%s: the account differs by %d operations, %d dots twice", x.Module, missing, x.Duplicates)
	e.Problems = problems
	return e
}
