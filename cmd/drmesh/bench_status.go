package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

// statusBench is the answer of the benchmark of status.
type statusBench struct {
	Modules   int     `json:"modules"`
	Asks      int     `json:"asks"`
	StatusP50 float64 `json:"status_p50_ms"`
	StatusP99 float64 `json:"status_p99_ms"`
	MatrixP50 float64 `json:"matrix_p50_ms"`
	MatrixP99 float64 `json:"matrix_p99_ms"`
}

// statusBenchCommand is "bench status".
func (a *app) statusBenchCommand() *cobra.Command {
	modules, asks := 0, 0
	c := &cobra.Command{
		Use:   "status",
		Short: "How long answers of \"status\" and \"status --matrix\" take, through the operators' socket",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if modules < 1 || modules > 64 || asks < 1 {
				return usage("bench status: --modules from 1 to 64, --asks from 1")
			}
			return a.benchStatus(c.Context(), modules, asks)
		},
	}
	c.Flags().IntVar(&modules, "modules", 8, "`number` of modules, each a process")
	c.Flags().IntVar(&asks, "asks", 500, "`number` of answers of each kind")
	return c
}

func (a *app) benchStatus(ctx context.Context, modules, asks int) (err error) {
	words := []string{"east"}
	for i := 1; i < modules; i++ {
		words = append(words, fmt.Sprintf("m%d", i))
	}
	mesh, err := newDemoMesh(false, words...)
	if err != nil {
		return err
	}
	defer func() {
		mesh.stop()
		err = errors.Join(err, mesh.remove())
	}()
	if err := mesh.start(ctx); err != nil {
		return err
	}
	if err := mesh.apply(ctx, "bench.tin", benchTables); err != nil {
		return err
	}
	if err := mesh.caughtUp(ctx); err != nil {
		return err
	}
	out := statusBench{Modules: modules, Asks: asks}
	p := a.progress("answers", int64(2*asks))
	done := int64(0)
	err = mesh.modules[0].ask(ctx, func(c *client.Client) error {
		times := func(ask func() error) (p50, p99 float64, err error) {
			var l []time.Duration
			for range asks {
				begun := time.Now()
				if err := ask(); err != nil {
					return 0, 0, err
				}
				l = append(l, time.Since(begun))
				done++
				p.at(done)
			}
			return ms(percentile(l, 50)), ms(percentile(l, 99)), nil
		}
		out.StatusP50, out.StatusP99, err = times(func() error {
			_, err := c.Status(ctx)
			return err
		})
		if err != nil {
			return err
		}
		out.MatrixP50, out.MatrixP99, err = times(func() error {
			m, err := c.Matrix(ctx)
			for _, r := range m {
				for _, x := range r.Cells {
					if x.Absent {
						return admin.Errorf(admin.Findings, "amiss", "report this", "%s is not in the answer", x.Module)
					}
				}
			}
			return err
		})
		return err
	})
	if err != nil {
		return err
	}
	p.end(done)
	return a.emit(out, func(t *table) {
		t.row("ANSWER", "P50 MS", "P99 MS")
		t.row("status", out.StatusP50, out.StatusP99)
		t.row("status --matrix", out.MatrixP50, out.MatrixP99)
	})
}
