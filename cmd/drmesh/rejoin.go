package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
)

// rejoinCommand waits for what a module does by itself when it comes back: it
// undoes what lies beyond the ends of its terms, and takes what the others
// wrote.
func (a *app) rejoinCommand() *cobra.Command {
	var timeout time.Duration
	var place bool
	c := &cobra.Command{
		Use:   "rejoin",
		Short: "Wait until a module that came back is whole again, and list what it had to undo",
		Long: `A module that comes back undoes by itself what it wrote beyond the end of its
time as an owner, keeps that in lost-transaction files, and takes what the
others wrote meanwhile. This waits for it and lists the files.

A directory that was restored from a backup, or copied, gets new incarnations
by itself once all members agree where its streams end, and what it had written
comes back from them. If another directory of the module was given its place
meanwhile, it takes no shared writes: stop it, or, if the other one is gone for
good, give this one the place with --take-over.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			cl, err := a.open(ctx)
			if err != nil {
				return err
			}
			defer cl.Close()
			if place {
				if err := cl.TakeOver(ctx); err != nil {
					return err
				}
			}
			for {
				s, err := cl.Status(ctx)
				if err != nil {
					return err
				}
				if s.State == "serving" {
					break
				}
				select {
				case <-time.After(200 * time.Millisecond):
				case <-ctx.Done():
					return admin.Errorf(admin.TimedOut, "not_whole", "\"drmesh status\" there says why", "%s is %s", s.Module, s.State)
				}
			}
			left, ok := ctx.Deadline()
			if !ok {
				left = time.Now().Add(timeout)
			}
			if _, err := cl.CaughtUp(ctx, admin.CaughtUpRequest{Timeout: time.Until(left), Reachable: true}); err != nil {
				return err
			}
			files, err := cl.LostFiles(ctx)
			if err != nil {
				return err
			}
			s, err := cl.Status(ctx)
			if err != nil {
				return err
			}
			files = slices.DeleteFunc(files, func(f admin.LostFile) bool { return f.Module != s.Module })
			return a.emit(list(files), func(t *table) {
				t.row("NAME", "GROUP", "EPOCH", "TXNS", "REPLAYED", "OPEN")
				for _, f := range files {
					t.row(f.Name, f.Group, f.Epoch, f.Txns, f.Replays, f.Open)
				}
			})
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	c.Flags().BoolVar(&place, "take-over", false, "give this directory the place of another one of its module, which is gone for good")
	return c
}
