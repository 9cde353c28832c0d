package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"drmesh/admin"
)

// rolesResult is what the demo of roles ends with.
type rolesResult struct {
	Modules           int     `json:"modules"`
	Writes            int     `json:"writes"`         // acknowledged
	SwitchoverMS      float64 `json:"switchover_ms"`  // longest time without an acknowledged write
	FailoverMS        float64 `json:"failover_ms"`    // from the kill to the next acknowledged write
	LostFiles         int     `json:"lost_files"`     // lost-transaction files at the end
	LostTxns          int     `json:"lost_txns"`      // transactions in them: none of them was acknowledged
	Missing           int     `json:"missing"`        // acknowledged records that a module lacks, or has twice
	DigestsEqual      bool    `json:"digests_equal"`  // of the file, at all modules
	AppliedEverywhere bool    `json:"account_proven"` // the account by scan, at all modules
}

// demoRoles makes the mesh for playRoles, and takes it away again.
func (a *app) demoRoles(ctx context.Context) (err error) {
	words := a.out
	if a.format != "table" {
		words = a.err
	}
	mesh, err := newDemoMesh(false, "east", "west", "north")
	if err != nil {
		return err
	}
	defer func() {
		mesh.stop()
		if err != nil && ctx.Err() == nil {
			a.say("the directories and logs stay in %s", mesh.dir)
		} else if e := mesh.remove(); err == nil {
			err = e
		}
	}()
	return a.playRoles(ctx, mesh, words)
}

// playRoles is the demo of a group that one module at a time writes.
func (a *app) playRoles(ctx context.Context, mesh *demoMesh, words io.Writer) error {
	r := &roles{mesh: mesh}
	out := rolesResult{Modules: len(mesh.modules)}
	tell := func(format string, args ...any) {
		fmt.Fprintf(words, format+"\n", args...)
		a.flush()
	}
	tell("1 of 5: three modules; %%east#m1 owns the group \"ledger\"")
	if err := r.start(ctx); err != nil {
		return err
	}
	tell("  A change is acknowledged when one other module has it too (commit_scope one).")
	r.write(ctx, 8)
	defer r.end()

	tell("\n2 of 5: east gives the group to west, while eight programs write")
	still, err := r.standstill(ctx, func() error {
		_, err := mesh.at(ctx, mesh.modules[2], "switchover", "start", "ledger", mesh.modules[1].name)
		return err
	})
	if err != nil {
		return err
	}
	out.SwitchoverMS = ms(still)
	tell("  Writes stood still for %.0f ms; %d are acknowledged so far.", out.SwitchoverMS, r.count())

	tell("\n3 of 5: west is killed; another follows by itself")
	still, err = r.standstill(ctx, func() error { mesh.modules[1].kill(); return nil })
	if err != nil {
		return err
	}
	out.FailoverMS = ms(still)
	next, err := r.owner(ctx)
	if err != nil {
		return err
	}
	tell("  %s took the group; the first write was acknowledged %.0f ms after the last at west.", next.name, out.FailoverMS)

	tell("\n4 of 5: west comes back")
	if err := mesh.serve(ctx, mesh.modules[1]); err != nil {
		return err
	}
	if err := r.more(ctx, 100); err != nil {
		return err
	}
	if err := r.end(); err != nil {
		return err
	}
	out.Writes = r.count()

	tell("\n5 of 5: the proof")
	lacking, err := r.missing(ctx)
	if err != nil {
		return err
	}
	out.Missing = len(lacking)
	for _, l := range lacking[:min(len(lacking), 5)] {
		tell("  AMISS: %s", l)
	}
	for _, x := range mesh.modules {
		var files []admin.LostFile
		if err := mesh.answer(ctx, x, &files, "lost", "ls"); err != nil {
			return err
		}
		for _, f := range files {
			out.LostFiles++
			out.LostTxns += f.Txns
			tell("  %s keeps %d transactions that nobody else had, none of them acknowledged: drmesh lost show %s", x.name, f.Txns, f.Name)
		}
	}
	_, err = mesh.at(ctx, mesh.modules[0], "vos", "compare_files", rolesFile, "--modules", "*")
	out.DigestsEqual = err == nil
	_, err = mesh.at(ctx, mesh.modules[0], "account", "--scan")
	out.AppliedEverywhere = err == nil
	tell("  All %s acknowledged records are at all three, once.", comma(int64(out.Writes)))
	tell("")
	if err := a.emit(out, func(t *table) {
		t.row("writes acknowledged", comma(int64(out.Writes)))
		t.row("switchover", fmt.Sprintf("%.0f ms without an answer", out.SwitchoverMS))
		t.row("failover after kill -9", fmt.Sprintf("%.0f ms without an answer", out.FailoverMS))
		t.row("in lost-transaction files", fmt.Sprintf("%d transactions, none acknowledged", out.LostTxns))
		t.row("digests equal, account proven", cell(out.DigestsEqual && out.AppliedEverywhere))
	}); err != nil {
		return err
	}
	if out.Missing > 0 || !out.DigestsEqual || !out.AppliedEverywhere {
		return admin.Errorf(admin.Findings, "amiss", "keep the directories and logs, and report this", "the demo found things amiss")
	}
	return nil
}

// rolesBench is the answer of the benchmark of roles.
type rolesBench struct {
	Switchovers       int     `json:"switchovers"`
	SwitchoverMS      float64 `json:"switchover_ms"` // median of the longest times without an acknowledged write
	SwitchoverWorstMS float64 `json:"switchover_worst_ms"`
	Failovers         int     `json:"failovers"`
	FailoverMS        float64 `json:"failover_ms"`
	FailoverWorstMS   float64 `json:"failover_worst_ms"`
	Writes            int     `json:"writes"`
	Missing           int     `json:"missing"`
}

// benchRoles measures how long programs wait when the owner changes.
func (a *app) benchRoles(ctx context.Context, switchovers, failovers int) (err error) {
	mesh, err := newDemoMesh(false, "east", "west", "north")
	if err != nil {
		return err
	}
	defer func() {
		mesh.stop()
		if e := mesh.remove(); err == nil {
			err = e
		}
	}()
	r := &roles{mesh: mesh}
	if err := r.start(ctx); err != nil {
		return err
	}
	r.write(ctx, 16)
	defer r.end()
	var over, fail []time.Duration
	p := a.progress("changes of owner", int64(switchovers+failovers))
	defer func() { p.end(int64(len(over) + len(fail))) }()
	for range switchovers {
		from, err := r.owner(ctx)
		if err != nil {
			return err
		}
		still, err := r.standstill(ctx, func() error {
			_, err := mesh.at(ctx, from, "switchover", "start", "ledger", r.after(from).name)
			return err
		})
		if err != nil {
			return err
		}
		over = append(over, still)
		p.at(int64(len(over)))
	}
	for range failovers {
		from, err := r.owner(ctx)
		if err != nil {
			return err
		}
		// After a change of owner nothing changes by itself for a while.
		select {
		case <-time.After(31 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		still, err := r.standstill(ctx, func() error { from.kill(); return nil })
		if err != nil {
			return err
		}
		fail = append(fail, still)
		if err := mesh.serve(ctx, from); err != nil {
			return err
		}
		p.at(int64(len(over) + len(fail)))
	}
	if err := r.end(); err != nil {
		return err
	}
	lacking, err := r.missing(ctx)
	if err != nil {
		return err
	}
	out := rolesBench{Switchovers: len(over), Failovers: len(fail), Writes: r.count(), Missing: len(lacking)}
	out.SwitchoverMS, out.SwitchoverWorstMS = middleAndWorst(over)
	out.FailoverMS, out.FailoverWorstMS = middleAndWorst(fail)
	if len(lacking) > 0 {
		return admin.Errorf(admin.Findings, "amiss", "report this", "%d acknowledged records are missing: %s", len(lacking), lacking[0])
	}
	return a.emit(out, func(t *table) {
		t.row("CHANGE", "TIMES", "MEDIAN MS", "WORST MS")
		t.row("switchover", out.Switchovers, out.SwitchoverMS, out.SwitchoverWorstMS)
		t.row("failover after kill -9", out.Failovers, out.FailoverMS, out.FailoverWorstMS)
		t.row("writes acknowledged", out.Writes, "", "")
	})
}

func middleAndWorst(times []time.Duration) (median, worst float64) {
	if len(times) == 0 {
		return 0, 0
	}
	return ms(percentile(times, 50)), ms(percentile(times, 100))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// splitLines gives the lines of a text.
func splitLines(b []byte) iter.Seq[string] {
	return strings.SplitSeq(strings.TrimSuffix(string(b), "\n"), "\n")
}
