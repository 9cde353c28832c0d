package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/node/sim"
)

const (
	simSteps = 300             // operations and faults of one seed
	simPause = 4 * time.Second // the greatest time between two of them: some ten minutes in all
	simTries = 40              // runs that shrinking a failure may take
)

// simAnswer is what sim ends with.
type simAnswer struct {
	First        uint64         `json:"first_seed"`
	Seeds        int            `json:"seeds"`
	Nodes        int            `json:"nodes"`
	ClusterHours float64        `json:"cluster_hours"`
	Seconds      float64        `json:"seconds"`
	Txns         int            `json:"txns"`
	Operations   map[string]int `json:"operations"`
	Refused      map[string]int `json:"refused"`
	Faults       map[string]int `json:"faults"`
	Checked      map[string]int `json:"checked"`
	// Account sums up what became of all changes: its classes make up those
	// written.
	Account    map[string]int64 `json:"account"`
	Transcript []string         `json:"transcript,omitempty"` // of a plan: each line, and what came of it
	Conflicts  int              `json:"open_conflicts"`
	Failed     *simFailure      `json:"failed"` // null: every promise held
}

type simFailure struct {
	Seed   uint64 `json:"seed"`
	Steps  int    `json:"steps"`
	Reason string `json:"reason"`
	Trace  string `json:"trace_file"`
}

// simOptions are what a user asks for.
type simOptions struct {
	seed  uint64
	nodes int
	hours float64
	steps int
	trace bool
	plan  string
}

func (a *app) simCommand() *cobra.Command {
	var o simOptions
	c := &cobra.Command{
		Use:   "sim",
		Short: "Run a simulated mesh through faults, from seeds, and account for every write",
		Long: `Run a simulated mesh through faults, from seeds, and account for every write.
The file system, conflicts, ledger, causal gate, journal, frames and pull protocol are those of the node; network, disks, clocks and
time are simulated. Each seed is some ten minutes of work under crashes, cut and lossy links, tampering, pauses, clock jumps, joins,
late flushes, disks wiped or put back from a copy, then everything is healed, checked, started anew and checked again. The same seed is
the same run.

With --plan a plan of yours is played instead: a text that says what each module does and which faults there are, a line each, as
docs/plans.md describes them. What came of each line is printed; "check" at its end has all promises checked.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.sim(c.Context(), o) },
	}
	f := c.Flags()
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.IntVar(&o.nodes, "nodes", 3, "modules, 2 to 5")
	f.Float64Var(&o.hours, "hours", 1, "simulated `hours` of the mesh; seeds follow each other until they are over")
	f.IntVar(&o.steps, "steps", simSteps, "operations and faults of each seed; as a failure says, to see it again")
	f.StringVar(&o.plan, "plan", "", "play this `file` (-: standard input) instead of random work; of all else, --seed counts")
	f.BoolVar(&o.trace, "trace", false, "print all that happens, of the one seed")
	return c
}

func (a *app) sim(ctx context.Context, o simOptions) error {
	switch {
	case o.nodes < 2 || o.nodes > 5:
		return usage("sim: --nodes %d: give 2 to 5", o.nodes)
	case o.hours <= 0 || o.hours > 100_000:
		return usage("sim: --hours %v: give more than 0, 100,000 at most", o.hours)
	case o.steps < 1 || o.steps > 1_000_000:
		return usage("sim: --steps %d: give 1 to 1,000,000", o.steps)
	case o.seed == 0:
		return usage("sim: --seed: give 1 or more")
	}
	if o.plan != "" {
		return a.simPlan(o)
	}
	options := sim.Options{Modules: o.nodes, Steps: o.steps, Pause: simPause}
	if o.trace {
		options.Out = func(s string) { fmt.Fprintln(a.err, s) }
	}
	begun := time.Now()
	total, seeds, failure, err := a.simSeeds(ctx, o, options)
	if err != nil {
		return err
	}
	out := simAnswer{First: o.seed, Seeds: seeds, Nodes: o.nodes, ClusterHours: total.Time.Hours(), Seconds: time.Since(begun).Seconds(), Txns: total.Txns,
		Operations: total.Ops, Refused: total.Refused, Faults: total.Faults, Checked: total.Checks, Account: total.Account, Conflicts: total.Conflicts}
	if failure != nil {
		options.Seed, options.Out = failure.Seed, nil
		a.say("seed %d failed: %v; looking for a shorter run", failure.Seed, failure.Err)
		_, failure = sim.Shrink(options, failure, simTries)
		if out.Failed, err = keepTrace(failure); err != nil {
			return err
		}
	}
	if err := a.emit(out, func(t *table) { showSim(t, &out) }); err != nil {
		return err
	}
	if out.Failed != nil {
		return admin.Errorf(admin.Findings, "promise_broken", fmt.Sprintf("again: drmesh sim --seed %d --nodes %d --steps %d --trace", out.Failed.Seed, o.nodes, out.Failed.Steps),
			"seed %d: %s", out.Failed.Seed, out.Failed.Reason)
	}
	return nil
}

// keepTrace writes the last of what happened to a file: each event, and all of
// them as a picture.
func keepTrace(failure *sim.Failure) (*simFailure, error) {
	f, err := os.CreateTemp("", fmt.Sprintf("drmesh-sim-%d-*.txt", failure.Seed))
	if err != nil {
		return nil, fmt.Errorf("keep the trace: %w", err)
	}
	if _, err := f.WriteString(failure.Trace + "\n\n" + failure.Diagram); err != nil {
		return nil, fmt.Errorf("keep the trace: %w", errors.Join(err, f.Close()))
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("keep the trace: %w", err)
	}
	return &simFailure{failure.Seed, failure.Steps, failure.Err.Error(), f.Name()}, nil
}

const maxPlan = 1 << 20 // bytes

// simPlan plays a plan.
func (a *app) simPlan(o simOptions) error {
	in := a.in
	if o.plan != "-" {
		f, err := os.Open(o.plan)
		if err != nil {
			return usage("sim: --plan: %v", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxPlan+1))
	switch {
	case err != nil:
		return usage("sim: --plan: read %s: %v", o.plan, err)
	case len(text) > maxPlan:
		return usage("sim: --plan: %s has more than %d bytes", o.plan, maxPlan)
	}
	begun := time.Now()
	out := simAnswer{First: o.seed, Seeds: 1, Transcript: []string{}}
	r, err := sim.Play(o.seed, string(text), func(s string) { out.Transcript = append(out.Transcript, s) })
	out.Nodes, out.ClusterHours, out.Seconds, out.Txns = r.Modules, r.Time.Hours(), time.Since(begun).Seconds(), r.Txns
	out.Operations, out.Refused, out.Faults, out.Checked, out.Account, out.Conflicts = r.Ops, r.Refused, r.Faults, r.Checks, r.Account, r.Conflicts
	var failure *sim.Failure
	switch {
	case errors.As(err, &failure):
		if out.Failed, err = keepTrace(failure); err != nil {
			return err
		}
	case err != nil:
		return usage("sim: --plan %s: %v", o.plan, err)
	}
	if err := a.emit(out, func(t *table) {
		for _, l := range out.Transcript {
			t.row(l)
		}
		t.row()
		showSim(t, &out)
	}); err != nil {
		return err
	}
	if out.Failed != nil {
		return admin.Errorf(admin.Findings, "promise_broken", fmt.Sprintf("again: drmesh sim --seed %d --plan %s", o.seed, o.plan), "line %d: %s", out.Failed.Steps, out.Failed.Reason)
	}
	return nil
}

// simSeeds runs one seed after the other, two at a time, until the hours are
// over or one fails. Of several that fail the least counts.
func (a *app) simSeeds(ctx context.Context, o simOptions, options sim.Options) (total *sim.Report, seeds int, failure *sim.Failure, err error) {
	var mu sync.Mutex // protects what follows
	total = sim.NewReport()
	next := o.seed
	wanted := time.Duration(o.hours * float64(time.Hour))
	p := a.progress("simulated minutes", int64(wanted.Minutes())+1)
	if o.trace {
		p.w = io.Discard // the trace is alike each time
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				mu.Lock()
				if total.Time >= wanted || o.trace && next > o.seed || failure != nil || err != nil || ctx.Err() != nil {
					mu.Unlock()
					return
				}
				run := options
				run.Seed = next
				next++
				mu.Unlock()
				r, e := sim.Run(run)
				mu.Lock()
				total.Add(r)
				seeds++
				var f *sim.Failure
				switch {
				case errors.As(e, &f):
					if failure == nil || f.Seed < failure.Seed {
						failure = f
					}
				case e != nil:
					err = e
				}
				p.at(min(int64(total.Time.Minutes()), p.total))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	p.end(min(int64(total.Time.Minutes()), p.total))
	return total, seeds, failure, errors.Join(err, ctx.Err())
}

func showSim(t *table, x *simAnswer) {
	t.row("seeds", fmt.Sprintf("%d, from %d", x.Seeds, x.First))
	t.row("modules", x.Nodes)
	t.row("cluster-hours", fmt.Sprintf("%.1f, in %.0f s", x.ClusterHours, x.Seconds))
	t.row("txns", x.Txns)
	t.row("open conflicts in the end", x.Conflicts)
	for _, l := range []struct {
		what string
		m    map[string]int
	}{{"operation", x.Operations}, {"refused", x.Refused}, {"fault", x.Faults}, {"checked", x.Checked}} {
		for _, k := range slices.Sorted(maps.Keys(l.m)) {
			t.row(l.what, k, l.m[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(x.Account)) {
		t.row("account", k, x.Account[k])
	}
	if x.Failed == nil {
		t.row("all promises held")
		return
	}
	t.row("FAILED", fmt.Sprintf("seed %d after %d steps: %s", x.Failed.Seed, x.Failed.Steps, x.Failed.Reason))
	t.row("trace", x.Failed.Trace)
}
