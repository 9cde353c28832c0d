package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"drmesh/node"
)

func (a *app) serveCommand() *cobra.Command {
	o := node.ServeOptions{}
	var verbose bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the module's node; prints READY when it takes calls",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.needDir(); err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				// Most of a node's memory is Pebble's, and not the collector's:
				// to collect half as often costs some megabytes.
				debug.SetGCPercent(200)
			}
			if os.Getenv("GOMAXPROCS") == "" {
				// A thread that waits for a flush keeps its place until the
				// runtime notices; with two more there is room for others meanwhile.
				runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
			}
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			var h slog.Handler = slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level})
			if a.format == "json" || a.format == "jsonl" {
				h = slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level})
			}
			o.Dir, o.Logger = a.dir, slog.New(h)
			o.Ready = func() {
				fmt.Fprintln(a.out, "READY")
				a.flush()
				if _, err := daemon.SdNotify(false, daemon.SdNotifyReady+fmt.Sprintf("\nMAINPID=%d", os.Getpid())); err != nil {
					o.Logger.Warn("systemd was not told", "err", err)
				}
			}
			err := node.Serve(c.Context(), o)
			if _, e := daemon.SdNotify(false, daemon.SdNotifyStopping); e != nil {
				o.Logger.Warn("systemd was not told", "err", e)
			}
			if err != nil && c.Context().Err() != nil {
				// Asked to stop: what was cut short by that is no failure.
				o.Logger.Info("stopped", "err", err)
				return nil
			}
			return err
		},
	}
	c.Flags().BoolVar(&o.Recover, "recover", false, "go on with a directory whose log may not be trusted (not built yet)")
	c.Flags().StringVar(&o.Admin, "admin", "", "TCP `IP:PORT` for operators, for this run (that of init or join)")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "tell more in the log")
	return c
}
