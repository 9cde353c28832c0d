package main

import (
	"github.com/spf13/cobra"

	"drmesh/admin"
)

func (a *app) leaveCommand() *cobra.Command {
	var accept, dry bool
	c := &cobra.Command{
		Use:   "leave",
		Short: "Take the module out of the mesh; refused while others lack its changes",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			cl, err := a.open(ctx)
			if err != nil {
				return err
			}
			defer cl.Close()
			s, err := cl.Status(ctx)
			if err != nil {
				return err
			}
			type undelivered struct {
				Stream string `json:"stream"`
				Peer   string `json:"peer"`
				Lacks  any    `json:"lacks_records"` // null: unknown
			}
			lacking := []undelivered{}
			for _, st := range s.Streams {
				for _, p := range st.Peers {
					if st.Own && p.Durable == nil {
						lacking = append(lacking, undelivered{st.Stream, p.Module, nil})
					} else if st.Own && *p.Durable < st.Durable {
						lacking = append(lacking, undelivered{st.Stream, p.Module, st.Durable - *p.Durable})
					}
				}
			}
			answer := struct {
				Module      string        `json:"module"`
				Left        bool          `json:"left"`
				Undelivered []undelivered `json:"undelivered"`
			}{s.Module, false, lacking}
			show := func(t *table) {
				for _, l := range lacking {
					t.row(l.Stream, l.Peer, "lacks", l.Lacks)
				}
			}
			if dry {
				a.say("%s would leave mesh %s, and its streams would end", s.Module, s.Mesh)
				return a.emit(answer, show)
			}
			if err := cl.Leave(ctx, accept); err != nil {
				e := admin.AsError(err)
				if e.Class == admin.Precondition && e.Hint == "" {
					e.Hint = "wait until the others have all of it, or give --accept-loss"
				}
				return e
			}
			a.say("%s has left mesh %s", s.Module, s.Mesh)
			if answer.Left = true; a.format == "table" {
				return nil
			}
			return a.emit(answer, nil)
		},
	}
	c.Flags().BoolVar(&accept, "accept-loss", false, "leave even if changes made here are lost by it")
	c.Flags().BoolVar(&dry, "dry-run", false, "show what it would do")
	return c
}
