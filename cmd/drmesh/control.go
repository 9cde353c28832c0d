package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) controlCommand() *cobra.Command {
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the control tables in force, as they were written",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			t, err := cl.Control(c.Context())
			if err != nil {
				return err
			}
			if a.format != "table" {
				return a.emit(t, nil)
			}
			a.say("policy epoch %d, by %s at %s", t.Epoch, cell(t.By), cell(t.At))
			if _, err = io.WriteString(a.out, t.Text); err == nil && t.Text != "" && !strings.HasSuffix(t.Text, "\n") {
				_, err = io.WriteString(a.out, "\n")
			}
			return err
		}),
	}
	plan := &cobra.Command{
		Use:   "plan FILE",
		Short: "Check control tables and show what they would change",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.tables(c, args[0], func(cl *client.Client, ch admin.ControlChange) (*admin.ControlPlan, error) {
				return cl.Plan(c.Context(), ch)
			})
		},
	}
	var timeout time.Duration
	var dry bool
	var base uint64
	apply := &cobra.Command{
		Use:   "apply FILE",
		Short: "Put control tables in force on all modules, and wait until they have them",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.tables(c, args[0], func(cl *client.Client, ch admin.ControlChange) (*admin.ControlPlan, error) {
				ch.Base, ch.Timeout = base, timeout
				if dry {
					return cl.Plan(c.Context(), ch)
				}
				return cl.Apply(c.Context(), ch)
			})
		},
	}
	f := apply.Flags()
	f.DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for the members")
	f.BoolVar(&dry, "dry-run", false, "show the plan only")
	f.Uint64Var(&base, "base", 0, "refuse if the policy `epoch` in force is another one")
	return nest("control", "The tables that say what is mirrored, from where to where", show, plan, apply, a.controlHistory(), a.controlRollback(), a.controlRecover(), a.controlFollow())
}

func (a *app) controlHistory() *cobra.Command {
	return &cobra.Command{
		Use:   "history",
		Short: "List the tables that were in force, oldest first; the last is in force now",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			l, err := cl.ControlHistory(c.Context())
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("EPOCH", "AT", "BY", "FORMAT", "LINES")
				for _, x := range l {
					t.row(x.Epoch, x.At, x.By, x.Format, strings.Count(x.Text, "\n"))
				}
			})
		}),
	}
}

func (a *app) controlRollback() *cobra.Command {
	var timeout time.Duration
	var dry bool
	c := &cobra.Command{
		Use:   "rollback EPOCH",
		Short: "Put the tables of an earlier policy epoch in force again, as a new epoch",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			epoch, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usage("control rollback: %q is no policy epoch", args[0])
			}
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			l, err := cl.ControlHistory(c.Context())
			if err != nil {
				return err
			}
			i := slices.IndexFunc(l, func(x admin.ControlText) bool { return x.Epoch == epoch })
			if i < 0 {
				return admin.Errorf(admin.NotFound, "no_epoch", "\"drmesh control history\" lists them", "the tables of policy epoch %d are not kept", epoch)
			}
			// What was looked at must still be in force.
			ch := admin.ControlChange{Text: l[i].Text, Base: l[len(l)-1].Epoch, Timeout: timeout}
			do := cl.Apply
			if dry {
				do = cl.Plan
			}
			p, err := do(c.Context(), ch)
			if err != nil {
				return err
			}
			return a.showPlan("epoch "+args[0], p)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for the members")
	c.Flags().BoolVar(&dry, "dry-run", false, "show the plan only")
	return c
}

// maxTables is more than any table may have, so that the node tells what is
// allowed.
const maxTables = 2 << 20

// tables reads tables from a file (- is standard input), has something done
// with them, and shows the plan.
func (a *app) tables(c *cobra.Command, name string, do func(*client.Client, admin.ControlChange) (*admin.ControlPlan, error)) error {
	text, err := a.readFile(name, maxTables)
	if err != nil {
		return err
	}
	cl, err := a.open(c.Context())
	if err != nil {
		return err
	}
	defer cl.Close()
	p, err := do(cl, admin.ControlChange{Text: string(text)})
	if err != nil {
		e := *admin.AsError(err)
		if len(e.Problems) > 0 {
			e.Message = fmt.Sprintf("%s: %s", name, e.Message)
		}
		return &e
	}
	return a.showPlan(name, p)
}

// showPlan shows what tables change, and which members have not got them yet.
func (a *app) showPlan(name string, p *admin.ControlPlan) error {
	p.Lines = list(p.Lines)
	for _, w := range p.Warnings {
		a.say("warning: %s: line %d: %s: %s", name, w.Line, cell(w.Field), w.Text)
	}
	if err := a.emit(p, func(t *table) {
		for _, l := range p.Lines {
			t.row(l)
		}
	}); err != nil {
		return err
	}
	if len(p.Lacking) > 0 {
		return admin.Errorf(admin.Partly, "members_lack_epoch", "they take the tables when they can be reached; \"drmesh status\" there shows the epoch",
			"policy epoch %d is in force, but not yet at %s", p.Epoch, strings.Join(p.Lacking, ", "))
	}
	return nil
}

// readFile reads a file that the user named; - is standard input.
func (a *app) readFile(name string, most int64) ([]byte, error) {
	r := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, admin.Errorf(admin.NotFound, "no_such_file", "", "%v", err)
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > most {
		return nil, admin.Errorf(admin.Failed, "too_large", "", "%s: over %d bytes", name, most)
	}
	return b, nil
}
