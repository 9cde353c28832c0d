package main

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
)

func (a *app) statusCommand() *cobra.Command {
	var matrix, reachable bool
	var wait string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the module's view of itself and the mesh",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if wait != "" && wait != "caught-up" {
				return usage("status: --wait-for %s: there is caught-up", wait)
			}
			if reachable && wait == "" {
				return usage("status: --reachable goes with --wait-for caught-up")
			}
			cl, err := a.open(ctx)
			if err != nil {
				return err
			}
			defer cl.Close()
			answer := struct {
				*admin.Status
				CaughtUp *admin.CaughtUp `json:"caught_up,omitempty"`
			}{}
			if wait != "" {
				u, err := cl.CaughtUp(ctx, admin.CaughtUpRequest{Timeout: timeout, Reachable: reachable})
				if err != nil {
					return err
				}
				if !u.CaughtUp {
					why := ""
					if len(u.Left) > 0 {
						why = "; could not ask " + strings.Join(u.Left, ", ")
					}
					return admin.Errorf(admin.TimedOut, "not_caught_up", "wait longer with --timeout; --reachable leaves out members that cannot be asked",
						"not caught up after %v: %d records behind%s", timeout, u.Behind, why)
				}
				if len(u.Left) > 0 {
					a.say("left out, could not be asked: %s", strings.Join(u.Left, ", "))
				}
				answer.CaughtUp = u
			}
			if answer.Status, err = cl.Status(ctx); err != nil {
				return err
			}
			st := answer.Status
			st.Alarms, st.Streams, st.Members = list(st.Alarms), list(st.Streams), list(st.Members)
			for i := range st.Streams {
				st.Streams[i].Peers = list(st.Streams[i].Peers)
			}
			if matrix {
				return a.matrix(answer.Status)
			}
			return a.emit(answer, func(t *table) { showStatus(t, answer.Status) })
		},
	}
	f := c.Flags()
	f.BoolVar(&matrix, "matrix", false, "each stream by each module: how far it is durable there")
	f.StringVar(&wait, "wait-for", "", "wait for `what`: caught-up (all that members had when the command began is applied here)")
	f.DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	f.BoolVar(&reachable, "reachable", false, "leave out members that cannot be asked, and name them")
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
	t.row("control", "leader "+leader+", "+quorum+", policy epoch "+cell(s.Epoch))
	t.row("inboxes", cell(s.Conflicts)+" open conflicts, "+cell(s.Withheld)+" withheld, "+cell(s.Parked)+" parked")
	for _, x := range s.Alarms {
		t.row("ALARM", x)
	}
	t.row()
	t.row("STREAM", "WRITTEN", "HERE", "LAG", "LAG_S", "FROM", "HEAD_AGE_S")
	for _, x := range s.Streams {
		from := x.From
		if x.Own {
			from = "own"
		}
		if x.Ended {
			from = strings.TrimSpace(from + " (ended)")
		}
		t.row(x.Stream, x.Written, x.Durable, x.Lag, x.LagS, from, x.HeadAge)
	}
}

// cellOf is one stream at one module.
type cellOf struct {
	Durable *uint64  `json:"durable"` // null: unknown
	AgeS    *float64 `json:"age_s"`
}

// matrix shows each stream by each module, as this module has heard of it.
func (a *app) matrix(s *admin.Status) error {
	modules := []string{s.Module}
	for _, m := range s.Members {
		if !slices.Contains(modules, m.Module) && m.Status != "left" && m.Status != "removed" {
			modules = append(modules, m.Module)
		}
	}
	type row struct {
		Stream  string            `json:"stream"`
		Written *uint64           `json:"written"`
		At      map[string]cellOf `json:"at"`
	}
	rows := []row{}
	for _, st := range s.Streams {
		r := row{st.Stream, st.Written, map[string]cellOf{}}
		for _, m := range modules {
			r.At[m] = cellOf{}
		}
		zero := 0.0
		d := st.Durable
		r.At[s.Module] = cellOf{&d, &zero}
		for _, p := range st.Peers {
			r.At[p.Module] = cellOf{p.Durable, p.AgeS}
		}
		rows = append(rows, r)
	}
	return a.emit(rows, func(t *table) {
		head := []any{"STREAM", "WRITTEN"}
		for _, m := range modules {
			head = append(head, m)
		}
		t.row(head...)
		for _, r := range rows {
			line := []any{r.Stream, r.Written}
			for _, m := range modules {
				line = append(line, r.At[m].Durable)
			}
			t.row(line...)
		}
	})
}
