package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
)

// demoResult is what a demo ends with. Scripts rely on its names.
type demoResult struct {
	Modules           int     `json:"modules"`
	RecordsIn         int     `json:"records_in"`         // loaded from the input
	Writes            int64   `json:"writes"`             // calls acknowledged
	AppliedEverywhere bool    `json:"applied_everywhere"` // the account by scan, at all modules
	DigestsEqual      bool    `json:"digests_equal"`
	LoopsSuppressed   int64   `json:"loops_suppressed"`   // txns received and dropped, since they were applied
	DuplicatesApplied int64   `json:"duplicates_applied"` // dots found twice in any journal
	Conflicts         int     `json:"conflicts"`          // entries at the end, each dot once; as the next two
	Parked            int     `json:"parked"`
	Lost              int     `json:"lost"`
	RatePerS          float64 `json:"rate_per_s"` // writes of the load scene by its seconds
	LagP50MS          float64 `json:"lag_p50_ms"` // from the call to durable at the last module
	LagP99MS          float64 `json:"lag_p99_ms"`
	Seconds           float64 `json:"seconds"` // of the load scene
}

// demo is one run: a mesh, what its files are to hold, and what was found. The
// scenes are in demo_scenes.go, the proof in demo_proof.go.
type demo struct {
	a      *app
	mesh   *demoMesh
	words  io.Writer       // for people
	pause  *bufio.Reader   // waits for a key between scenes; nil: goes on
	data   *dataset        // main:records
	orders *dataset        // main:orders, loaded while a node is killed
	audit  map[string]bool // lines that main:audit is to hold
	result demoResult
	amiss  []string // what should not be
}

func (a *app) demoCommand() *cobra.Command {
	var script, keep, onlyRoles bool
	var input, layout, delimiter string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Three modules on this machine, real input; ends with a proof",
		Long: `demo starts three modules on this machine and mirrors real records between
them, in every direction: it loads the Unicode character database, changes it
elsewhere, cuts the network, kills a node, and at last proves that all three
hold the same and that nothing is missing.

It does what you could do: it runs "drmesh init", "join", "serve", "file load"
and so on, and calls through the sockets of the modules.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			ctx := c.Context()
			if onlyRoles {
				return a.demoRoles(ctx)
			}
			d := &demo{a: a, words: a.out, audit: map[string]bool{}}
			if a.format != "table" {
				d.words = a.err
			}
			if !script && terminal(a.err) && a.in == os.Stdin && terminal(os.Stdin) {
				d.pause = bufio.NewReader(a.in)
			}
			if err := d.read(input, layout, delimiter); err != nil {
				return err
			}
			if d.mesh, err = newDemoMesh(keep, "east", "west", "north"); err != nil {
				return err
			}
			kept := false
			defer func() {
				if kept {
					return
				}
				d.mesh.stop()
				if err != nil && ctx.Err() == nil {
					a.say("the directories and logs stay in %s", d.mesh.dir)
				} else if e := d.mesh.remove(); err == nil {
					err = e
				}
			}()
			if err := d.play(ctx); err != nil {
				return err
			}
			if err := d.show(); err != nil {
				return err
			}
			if len(d.amiss) > 0 {
				e := admin.Errorf(admin.Findings, "amiss", "keep the directories and logs, and report this", "the demo found %d things amiss", len(d.amiss))
				for _, w := range d.amiss {
					e.Problems = append(e.Problems, admin.Problem{Text: w})
				}
				return e
			}
			if kept = keep; keep {
				d.left()
			}
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&script, "script", false, "run unattended: do not wait for a key between the scenes")
	f.BoolVar(&onlyRoles, "roles", false, "show a group with an owner instead: a switchover, and the failover of an owner that is killed, both while programs write")
	f.BoolVar(&keep, "keep", false, "leave the mesh running at the end")
	f.StringVar(&input, "input", "", "`file` of delimited lines to use instead of the Unicode character database")
	f.StringVar(&layout, "layout", "", "`dd` file with the layout of --input; it needs an index without duplicates")
	f.StringVar(&delimiter, "delimiter", ";", "one `character` between the fields of --input")
	return c
}

// read reads the input.
func (d *demo) read(input, layout, delimiter string) error {
	if len(delimiter) != 1 {
		return usage("demo: --delimiter: give one character")
	}
	if (input == "") != (layout == "") {
		return usage("demo: --input and --layout go together")
	}
	text, source, err := unicode()
	if input != "" {
		if text, err = d.a.readFile(input, 1<<30); err == nil {
			source, err = d.a.readFile(layout, 1<<20)
		}
	}
	if err != nil {
		return err
	}
	if d.data, err = newDataset(text, source, delimiter[0]); err != nil {
		return err
	}
	if len(d.data.order) < 10 {
		return usage("demo: the input has %d lines; give at least 10", len(d.data.order))
	}
	d.orders, err = newDataset(orders(30000), ordersLayout, ';')
	return err
}

// tell writes words for people.
func (d *demo) tell(format string, args ...any) {
	fmt.Fprintf(d.words, format+"\n", args...)
	d.a.flush()
}

// wrong notes what should not be.
func (d *demo) wrong(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	d.amiss = append(d.amiss, s)
	d.tell("  AMISS: %s", s)
}

// wait lets the visitor read.
func (d *demo) wait(ctx context.Context) error {
	if d.pause == nil {
		return ctx.Err()
	}
	fmt.Fprint(d.a.err, "(Enter for the next scene) ")
	line := make(chan error, 1)
	go func() {
		_, err := d.pause.ReadString('\n')
		line <- err
	}()
	select {
	case <-line:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// show ends the demo.
func (d *demo) show() error {
	r := d.result
	d.tell("")
	return d.a.emit(r, func(t *table) {
		t.row("records loaded", comma(int64(r.RecordsIn)), fmt.Sprintf("in %.1f s, %s a second", r.Seconds, comma(int64(r.RatePerS))))
		t.row("calls acknowledged", comma(r.Writes))
		t.row("all applied everywhere", cell(r.AppliedEverywhere), "or listed: "+fmt.Sprintf("%d conflicts, %d parked, %d lost", r.Conflicts, r.Parked, r.Lost))
		t.row("all digests equal", cell(r.DigestsEqual))
		t.row("loops suppressed", comma(r.LoopsSuppressed), fmt.Sprintf("%d applied twice", r.DuplicatesApplied))
		t.row("lag", fmt.Sprintf("%.1f ms", r.LagP50MS), fmt.Sprintf("median, 99 of 100 within %.1f ms, from the call to durable at the last module", r.LagP99MS))
	})
}

// left tells how to go on with a mesh that is kept.
func (d *demo) left() {
	d.a.say("\nThe mesh keeps running. Try:")
	x, y := d.mesh.modules[0], d.mesh.modules[1]
	d.a.say("  drmesh status --dir %s", x.dir)
	d.a.say("  drmesh journal tail --dir %s", y.dir)
	d.a.say("  drmesh conflict ls --dir %s", y.dir)
	d.a.say("Stop it with:")
	var pids []string
	for _, m := range d.mesh.modules {
		pids = append(pids, fmt.Sprint(m.cmd.Process.Pid))
	}
	d.a.say("  kill %s", strings.Join(pids, " "))
	d.a.say("and start a module again with: drmesh serve --dir %s", filepath.Join(d.mesh.dir, "east"))
}

// comma writes a number with its thousands apart.
func comma(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func seconds(t time.Time) float64 { return time.Since(t).Seconds() }
