package main

import (
	"strings"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) clockCommand() *cobra.Command {
	var module string
	ls := &cobra.Command{
		Use:   "ls",
		Short: "Show the clocks of a module's neighbours against its own, and what waits for the time of its stamps",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			k, err := cl.ClockOf(c.Context(), module)
			if err != nil {
				return err
			}
			return a.emit(k, func(t *table) {
				t.row("PEER", "OFFSET_MS", "RTT_MS", "AGE_S")
				for _, p := range k.Peers {
					t.row(p.Peer, p.OffsetMS, p.RTTMS, p.AgeS)
				}
				t.row("(median)", k.MedianMS)
				if k.LeadMS > 0 {
					t.row("ahead by", k.LeadMS, "ms: it stamps by the neighbours' time")
				}
				if k.LeapMS > 0 {
					t.row("leapt by", k.LeapMS, "ms, unconfirmed: it stamps by the time before")
				}
				if len(k.Held) > 0 {
					t.row()
					heldStreams(t, k.Held)
				}
			})
		}),
	}
	ls.Flags().StringVar(&module, "module", "", "the clocks as this `module` sees them, asked through the mesh")
	return nest("clock", "Clocks of modules, and stamps of the future", ls, a.clockRelease())
}

func heldStreams(t *table, l []admin.HeldStream) {
	t.row("HELD_STREAM", "AT", "SEQ", "STAMP", "AHEAD_S")
	for _, h := range l {
		t.row(h.Stream, h.At, h.Seq, h.Stamp, h.AheadS)
	}
}

func (a *app) clockRelease() *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use:   "release MODULE",
		Short: "Let through, at all members, what waits of a module for the time of its stamps",
		Long: `Let through, at all members, what waits of a module for the time of its stamps.
Changes that are stamped more than 10 s ahead of the time wait, and all that was written on top of them, until the time has come. Set
the clock that is wrong first. What is let through keeps its stamps: under the policy latest it wins against what others write at the
same time without having seen it. No other clock is moved by it.`,
		Args: cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			r, err := cl.ReleaseStamps(c.Context(), admin.StampRelease{Module: args[0], DryRun: dry})
			if err != nil {
				return err
			}
			if len(r.Left) > 0 {
				a.say("could not be asked: %s; ask again when they are in reach", strings.Join(r.Left, ", "))
			}
			if dry {
				a.say("would be let through:")
			}
			return a.emit(r, func(t *table) { heldStreams(t, r.Released) })
		}),
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "show what it would do")
	return c
}
