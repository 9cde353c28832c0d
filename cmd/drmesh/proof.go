package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) proofCommand() *cobra.Command {
	c := &cobra.Command{Use: "proof", Short: "Whether the modules hold the same", RunE: group}
	r := admin.ProofRequest{}
	now := &cobra.Command{
		Use:   "now",
		Short: "Compare what the modules hold of each share, and list each record that differs for good; nothing is changed",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			x, err := cl.Prove(c.Context(), r)
			if err != nil {
				return err
			}
			return a.emitProof(x)
		}),
	}
	f := now.Flags()
	f.StringVar(&r.Share, "share", "", "this share alone")
	f.BoolVar(&r.Scan, "scan", false, "read all from the disks anew, and hold the kept sums against it")
	f.DurationVar(&r.Timeout, "timeout", 0, "how long to wait for the modules (2m)")
	last := &cobra.Command{
		Use:   "last",
		Short: "Show the last proof that this module made",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			x, err := cl.LastProof(c.Context())
			if err != nil {
				return err
			}
			return a.emitProof(x)
		}),
	}
	c.AddCommand(now, last)
	return c
}

func (a *app) syncCommand() *cobra.Command {
	r := admin.SyncRequest{}
	c := &cobra.Command{
		Use:   "sync SHARE",
		Short: "Where this module holds SHARE differently from the others for good, take its group's state from one of them; what stood here is kept in a file",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			r.Share = args[0]
			x, err := cl.Sync(c.Context(), r)
			if err != nil {
				return err
			}
			if err := a.emit(x, func(t *table) {
				t.row("share", x.Share)
				t.row("differences", x.Differences)
				if x.From != "" {
					t.row("taken from", x.From)
					t.row("kept in", x.Kept)
				}
				t.row("now", x.State)
			}); err != nil {
				return err
			}
			if x.State != admin.ProofEqual {
				return admin.Errorf(admin.Findings, "proof_differs", "\"drmesh proof now\" lists them; sync the modules that are wrong", "share %s: %d records still differ", x.Share, x.Left)
			}
			return nil
		}),
	}
	c.Flags().StringVar(&r.From, "from", "", "module to take it from (one of the others, if they agree)")
	c.Flags().DurationVar(&r.Timeout, "timeout", 0, "how long to wait (10m)")
	return c
}

// emitProof prints a proof; one that does not show all equal is an error.
func (a *app) emitProof(x *admin.Proof) error {
	if err := a.emit(x, func(t *table) {
		t.row("SHARE", "GROUP", "STATE", "MODULE", "FILES", "REGISTERS", "AT")
		for _, s := range x.Shares {
			for _, m := range s.Modules {
				at := make([]string, 0, len(m.Vector))
				for _, p := range m.Vector {
					at = append(at, fmt.Sprintf("%s:%d", p.Stream, p.Seq))
				}
				text := strings.Join(at, " ")
				if m.Problem != nil {
					text = *m.Problem
				}
				t.row(s.Share, s.Group, s.State, m.Module, m.Files, m.Registers, text)
			}
			for _, d := range s.Differences {
				for _, h := range d.Held {
					what := h.Version
					switch {
					case what == "":
						what = "nothing"
					case h.Deleted:
						what += " (deleted)"
					default:
						what += " " + h.Content
					}
					t.row("-", d.Path, d.Register, h.Module, "-", "-", what)
				}
			}
		}
	}); err != nil {
		return err
	}
	return proofFindings(x)
}

// proofFindings is the error for a proof that does not show all equal.
func proofFindings(x *admin.Proof) error {
	var problems []admin.Problem
	differ, unknown := 0, 0
	for _, s := range x.Shares {
		for _, m := range s.Modules {
			for _, f := range m.Changed {
				problems = append(problems, admin.Problem{Text: fmt.Sprintf("share %s: the disk of %s does not hold what was written of %s", s.Share, m.Module, f)})
			}
		}
		switch s.State {
		case admin.ProofDiffers:
			differ++
			more := ""
			if s.More {
				more = " or more"
			}
			problems = append(problems, admin.Problem{Text: fmt.Sprintf("share %s: %d records%s differ", s.Share, len(s.Differences), more)})
		case admin.ProofUnknown:
			unknown++
			problems = append(problems, admin.Problem{Text: fmt.Sprintf("share %s: %s", s.Share, s.Reason)})
		}
	}
	var e *admin.Error
	switch {
	case differ > 0 || unknown == 0 && len(problems) > 0:
		e = admin.Errorf(admin.Findings, "proof_differs", "\"drmesh sync SHARE\" at a module that is wrong takes its state from the others", "%d shares are not the same everywhere", max(differ, 1))
	case unknown > 0:
		e = admin.Errorf(admin.Findings, "proof_unknown", "\"drmesh module ls\" and \"drmesh link ls\" say who is away; ask again when they are there", "of %d shares it is not known", unknown)
	default:
		return nil
	}
	e.Problems = problems
	return e
}
