package main

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"

	"drmesh/admin"
)

// digests shows that a file is the same at all modules, or that it is not.
func (d *demo) digests(ctx context.Context, path string) error {
	var first admin.Digest
	for i, x := range d.mesh.modules {
		var g admin.Digest
		if err := d.mesh.answer(ctx, x, &g, "file", "digest", path); err != nil {
			return err
		}
		d.tell("  %-9s %s...  %s records in %s", x.name, g.Digest[:min(16, len(g.Digest))], comma(g.Records), path)
		if i == 0 {
			first = g
		} else if g.Digest != first.Digest || g.Records != first.Records {
			d.wrong("%s differs between %s and %s", path, d.mesh.modules[0].name, x.name)
		}
	}
	return nil
}

// proof compares all files of all modules, with each other and with what was
// written, and has every module account for what was acknowledged.
func (d *demo) proof(ctx context.Context) error {
	r := &d.result
	if err := d.mesh.caughtUp(ctx); err != nil {
		return err
	}
	amiss := len(d.amiss)
	for _, path := range []string{demoFile, demoOrders, demoAudit} {
		_, err := d.mesh.at(ctx, d.west(), "vos", "compare_files", path, "--modules", "*")
		if ce, ok := err.(*commandError); ok && ce.code == int(admin.Findings) {
			d.wrong("%v", err)
		} else if err != nil {
			return err
		}
		if err := d.digests(ctx, path); err != nil {
			return err
		}
	}
	r.DigestsEqual = len(d.amiss) == amiss

	for _, x := range d.mesh.modules {
		if err := d.contents(ctx, x); err != nil {
			return err
		}
	}
	if len(d.amiss) == amiss {
		d.tell("  compare_files: equal at all three, and equal to the input with the changes made.")
	}

	amiss = len(d.amiss)
	var operations, lost int64
	var acc admin.Account
	err := d.mesh.answer(ctx, d.west(), &acc, "account", "--scan")
	if ce, ok := err.(*commandError); ok && ce.code == int(admin.Findings) {
		d.wrong("%v", err)
	} else if err != nil {
		return err
	}
	r.DuplicatesApplied += acc.Duplicates
	if len(acc.Modules) != len(d.mesh.modules) {
		d.wrong("%d modules of %d gave their account", len(acc.Modules), len(d.mesh.modules))
	}
	for _, m := range acc.Modules {
		var o, l, missing int64
		for _, line := range acc.Lines {
			if line.Module == m.Module {
				o += line.Written
				l += line.Lost
				missing += max(line.Missing, -line.Missing)
			}
		}
		if missing > 0 {
			d.wrong("%s: %d operations are unaccounted for", m.Module, missing)
		}
		if operations > 0 && o != operations {
			d.wrong("%s counts %d operations, another module %d", m.Module, o, operations)
		}
		operations, lost = max(operations, o), max(lost, l)
	}
	r.Lost = int(lost)
	if r.DuplicatesApplied > 0 {
		d.wrong("%d txns were applied twice", r.DuplicatesApplied)
	}
	r.AppliedEverywhere = len(d.amiss) == amiss
	if r.AppliedEverywhere {
		d.tell("  account --scan: all %s operations are found at each module, each in one place.", comma(operations))
	}

	n, err := d.suppressed(ctx)
	if err != nil {
		return err
	}
	r.LoopsSuppressed += n
	return d.inboxes(ctx)
}

// contents compares what a module dumps with what was written.
func (d *demo) contents(ctx context.Context, x *demoModule) error {
	for _, f := range []struct {
		path string
		data *dataset
	}{{demoFile, d.data}, {demoOrders, d.orders}} {
		out, err := d.mesh.at(ctx, x, "file", "dump", f.path, "--delimiter", string(f.data.delimiter))
		if err != nil {
			return err
		}
		if !bytes.Equal(out, f.data.dump()) {
			d.wrong("%s: %s is not what was written to it", x.name, f.path)
		}
	}
	out, err := d.mesh.at(ctx, x, "file", "dump", demoAudit)
	if err != nil {
		return err
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	slices.Sort(got)
	if !slices.Equal(got, slices.Sorted(maps.Keys(d.audit))) {
		d.wrong("%s: %s has %d lines, and not the %d that were appended", x.name, demoAudit, len(got), len(d.audit))
	}
	return nil
}

// inboxes counts what a person would have to look at, each thing once.
func (d *demo) inboxes(ctx context.Context) error {
	conflicts, parked := map[string]bool{}, map[string]bool{}
	for i, x := range d.mesh.modules {
		var cs []admin.Conflict
		if err := d.mesh.answer(ctx, x, &cs, "conflict", "ls"); err != nil {
			return err
		}
		here := map[string]bool{}
		for _, c := range cs {
			here[c.ID] = true
		}
		if i > 0 && !maps.Equal(here, conflicts) {
			d.wrong("%s lists other conflicts than %s", x.name, d.mesh.modules[0].name)
		}
		maps.Copy(conflicts, here)
		var ps []admin.Parked
		if err := d.mesh.answer(ctx, x, &ps, "parked", "ls"); err != nil {
			return err
		}
		for _, p := range ps {
			parked[p.Dot] = true
		}
	}
	d.result.Conflicts, d.result.Parked = len(conflicts), len(parked)
	return nil
}
