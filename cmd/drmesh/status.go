package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drmesh/admin"
	"drmesh/admin/client"
)

// waiting is what commands wait for that show how far the mesh is.
type waiting struct {
	what      string
	timeout   time.Duration
	reachable bool
}

func (w *waiting) flags(f *pflag.FlagSet) {
	f.StringVar(&w.what, "wait-for", "", "wait for `what`: caught-up (all that members had when the command began is applied here)")
	f.DurationVar(&w.timeout, "timeout", time.Minute, "how long to wait")
	f.BoolVar(&w.reachable, "reachable", false, "leave out members that cannot be asked, and name them")
}

// check refuses what cannot be waited for.
func (w *waiting) check(command string) error {
	if w.what != "" && w.what != "caught-up" {
		return usage("%s: --wait-for %s: there is caught-up", command, w.what)
	}
	if w.reachable && w.what == "" {
		return usage("%s: --reachable goes with --wait-for caught-up", command)
	}
	return nil
}

// wait waits; nil if nothing is waited for.
func (a *app) wait(ctx context.Context, cl *client.Client, w *waiting) (*admin.CaughtUp, error) {
	if w.what == "" {
		return nil, nil
	}
	u, err := cl.CaughtUp(ctx, admin.CaughtUpRequest{Timeout: w.timeout, Reachable: w.reachable})
	if err != nil {
		return nil, err
	}
	if !u.CaughtUp {
		why := ""
		if len(u.Left) > 0 {
			why = "; could not ask " + strings.Join(u.Left, ", ")
		}
		return nil, admin.Errorf(admin.TimedOut, "not_caught_up", "wait longer with --timeout; --reachable leaves out members that cannot be asked",
			"not caught up after %v: %d records behind%s", w.timeout, u.Behind, why)
	}
	if len(u.Left) > 0 {
		a.say("left out, could not be asked: %s", strings.Join(u.Left, ", "))
	}
	return u, nil
}

func (a *app) statusCommand() *cobra.Command {
	var matrix bool
	var module string
	w := waiting{}
	c := &cobra.Command{
		Use:   "status",
		Short: "Show a module's view of itself and the mesh",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if err := w.check("status"); err != nil {
				return err
			}
			cl, err := a.open(ctx)
			if err != nil {
				return err
			}
			defer cl.Close()
			u, err := a.wait(ctx, cl, &w)
			if err != nil {
				return err
			}
			if matrix {
				rows, err := cl.Matrix(ctx)
				if err != nil {
					return err
				}
				return a.matrix(rows)
			}
			answer := struct {
				*admin.Status
				CaughtUp *admin.CaughtUp `json:"caught_up,omitempty"`
			}{CaughtUp: u}
			if answer.Status, err = cl.StatusOf(ctx, module); err != nil {
				return err
			}
			return a.emit(answer, func(t *table) { showStatus(t, answer.Status) })
		},
	}
	f := c.Flags()
	f.BoolVar(&matrix, "matrix", false, "each stream by each module: how far it is applied there")
	f.StringVar(&module, "module", "", "the view of this `module`, asked through the mesh")
	w.flags(f)
	return c
}

func showStatus(t *table, s *admin.Status) {
	quorum := "quorum"
	if !s.Quorum {
		quorum = "NO QUORUM: control changes wait, all else goes on"
	}
	leader := s.Leader
	if leader == "" {
		leader = "unknown"
	}
	t.row("module", s.Module+" of mesh "+s.Mesh+", "+s.State)
	t.row("up", (time.Duration(s.UptimeS)*time.Second).String()+", "+cell(s.ResidentMB)+" MB, as of "+cell(s.AsOf))
	lineage := ""
	if s.Lineage != "" {
		lineage = ", lineage " + s.Lineage
	}
	t.row("control", "leader "+leader+", "+quorum+", policy epoch "+cell(s.Epoch)+lineage)
	t.row("inboxes", cell(s.Conflicts)+" open conflicts, "+cell(s.Withheld)+" withheld, "+cell(s.Parked)+" parked, "+cell(s.Lost)+" lost transactions")
	if s.ClockMS != nil {
		held := ""
		if s.ClockHeld > 0 {
			held = ", " + cell(s.ClockHeld) + " streams wait for the time of their stamps: drmesh clock ls"
		}
		t.row("clock", "the neighbours show "+strconv.FormatFloat(*s.ClockMS, 'f', 1, 64)+" ms more"+held)
	}
	if s.Beyond > 0 {
		t.row("dropped", cell(s.Beyond)+" txns that came and lie beyond the end of their stream")
	}
	for _, x := range s.Alarms {
		t.row("ALARM", x)
	}
	t.row()
	t.row("STREAM", "WRITTEN", "RECEIVED", "HERE", "LAG", "LAG_BYTES", "LAG_S", "FROM", "HEAD_AGE_S")
	for _, x := range s.Streams {
		from := x.From
		if x.Own {
			from = "own"
		}
		if x.Ended {
			from = strings.TrimSpace(from + " (ended)")
		}
		t.row(x.Stream, x.Written, x.Received, x.Durable, x.Lag, x.LagBytes, x.LagS, from, x.HeadAge)
	}
}

// cellOf is one stream at one module, in the matrix.
type cellOf struct {
	Durable *uint64 `json:"durable"` // null: unknown
	admin.MatrixCell
}

// matrix shows each stream by each module.
func (a *app) matrix(rows []admin.MatrixRow) error {
	type row struct {
		Stream  string            `json:"stream"`
		Written *uint64           `json:"written"`
		At      map[string]cellOf `json:"at"`
	}
	var modules []string
	out := []row{}
	for _, r := range rows {
		x := row{r.Stream, r.Written, map[string]cellOf{}}
		for _, c := range r.Cells {
			x.At[c.Module] = cellOf{c.Applied, c}
			if !slices.Contains(modules, c.Module) {
				modules = append(modules, c.Module)
			}
		}
		out = append(out, x)
	}
	slices.Sort(modules)
	return a.emit(out, func(t *table) {
		head := []any{"STREAM", "WRITTEN"}
		for _, m := range modules {
			head = append(head, m)
		}
		t.row(head...)
		for _, r := range out {
			line := []any{r.Stream, r.Written}
			for _, m := range modules {
				c, goes := r.At[m]
				switch {
				case !goes:
					line = append(line, "-")
				case c.Absent:
					line = append(line, cell(c.Durable)+" (absent)")
				default:
					line = append(line, c.Durable)
				}
			}
			t.row(line...)
		}
	})
}

func (a *app) lagCommand() *cobra.Command {
	w := waiting{}
	c := &cobra.Command{
		Use:   "lag",
		Short: "Show how far each stream is at each module, and how old that is",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := w.check("lag"); err != nil {
				return err
			}
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			if _, err := a.wait(c.Context(), cl, &w); err != nil {
				return err
			}
			rows, err := cl.Matrix(c.Context())
			if err != nil {
				return err
			}
			return a.emit(list(rows), func(t *table) {
				t.row("STREAM", "MODULE", "WRITTEN", "SENT", "RECEIVED", "APPLIED", "ACKED", "LAG", "LAG_BYTES", "LAG_S", "AGE_S", "NOTE")
				for _, r := range rows {
					for _, c := range r.Cells {
						if c.Module == r.Origin {
							continue
						}
						note := ""
						if c.Absent {
							note = "ABSENT"
						}
						t.row(r.Stream, c.Module, r.Written, c.Sent, c.Received, c.Applied, c.Acknowledged, c.LagRecords, c.LagBytes, c.LagS, c.AgeS, note)
					}
				}
			})
		},
	}
	w.flags(c.Flags())
	return c
}
