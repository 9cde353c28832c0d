package node

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"drmesh/admin"
	"drmesh/conflict"
	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/vosio"
	"drmesh/vosio/record"
)

const (
	equalTime = 2 * time.Minute
	// equalFiles bounds the files of a share that a proof looks into, and
	// equalList the registers that it lists.
	equalFiles = 256
	equalList  = 1000
	// equalLooks is how often totals that differ are asked for again before it
	// is looked where: what is on its way arrives meanwhile.
	equalLooks = 3
	// partsRun is how many parts of a file are asked for at once.
	partsRun = 256
)

// Prove implements admin.Engine: whether the modules of each share hold the
// same. Nothing is changed by it, and nobody waits for it.
func (e engine) Prove(ctx context.Context, r admin.ProofRequest) (*admin.Proof, error) {
	n := e.n
	if r.Timeout <= 0 {
		r.Timeout = equalTime
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	st := n.ctl.state()
	n.mu.Lock()
	shares := n.rules.shares
	n.mu.Unlock()
	out := &admin.Proof{Module: n.dir.Module, Scan: r.Scan, Shares: []admin.ShareProof{}}
	progress := admin.ProgressOf(ctx)
	for i, s := range shares {
		if r.Share != "" && s.Name != r.Share {
			continue
		}
		progress.Step("share " + s.Name)
		p := &prover{n: n, st: st, share: s, scan: r.Scan, limit: equalList}
		x := p.prove(ctx)
		n.tellProof(x)
		out.Shares = append(out.Shares, *x)
		progress.Percent(100 * float64(i+1) / float64(len(shares)))
	}
	if r.Share != "" && len(out.Shares) == 0 {
		return nil, failure(admin.NotFound, "no_share", "\"drmesh control show\" lists them", "there is no share %s here", r.Share)
	}
	out.At = time.Now()
	n.proved.Store(out)
	return out, nil
}

// tellProof raises an alarm for a share that differs, until a proof shows that
// it does not.
func (n *Node) tellProof(x *admin.ShareProof) {
	key := "share " + x.Share + " is not the same at all modules"
	switch x.State {
	case admin.ProofDiffers:
		n.alarm(key, fmt.Sprintf("%d records differ: \"drmesh proof last\" lists them, \"drmesh sync %s\" mends a module that is wrong", len(x.Differences), x.Share))
	case admin.ProofEqual:
		n.clearAlarm(key)
	}
}

// LastProof implements admin.Engine.
func (e engine) LastProof(context.Context) (*admin.Proof, error) {
	if p := e.n.proved.Load(); p != nil {
		return p, nil
	}
	return nil, failure(admin.NotFound, "no_proof", "ask for one: \"drmesh proof now\"", "no proof was made by %s since it started", e.n.dir.Module)
}

// prover proves one share. It belongs to one goroutine.
type prover struct {
	n     *Node
	st    *control.State
	share *vosio.Share
	scan  bool
	limit int // registers that are listed
	// answer, if it is not 0, is how many registers an answer may have.
	answer int

	modules []origin.Module // that answer
	out     admin.ShareProof
}

// totals is what one module says of a share's files.
type totals struct {
	at        origin.Context
	files     map[origin.FileID]fileTotal
	changed   map[string]origin.FileID
	registers int64
}

func (p *prover) prove(ctx context.Context) *admin.ShareProof {
	p.out = admin.ShareProof{Share: p.share.Name, Group: p.st.GroupName(p.share.Group), Modules: []admin.ProofModule{}, Differences: []admin.Difference{}}
	p.modules = p.st.Tables().Holders(p.share.Group)
	var paths map[origin.FileID]string
	var differ []origin.FileID
	for look := 0; ; look++ {
		all, missed := p.totals(ctx)
		p.report(all, missed)
		if len(missed) > 0 {
			p.out.State = admin.ProofUnknown
			p.out.Reason = fmt.Sprintf("%d of %d modules did not answer", len(missed), len(p.modules))
			return &p.out
		}
		if differ, paths = differing(all); len(differ) == 0 {
			p.out.State = admin.ProofEqual
			return &p.out
		}
		p.scan = false
		if look+1 >= equalLooks || sameVectors(all) {
			break
		}
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			p.unknown(err)
			return &p.out
		}
	}
	if len(differ) > equalFiles {
		differ, p.out.More = differ[:equalFiles], true
	}
	p.out.State = admin.ProofEqual
	defer func() {
		// Of what was not looked at nothing is said.
		if p.out.More && p.out.State == admin.ProofEqual {
			p.out.State, p.out.Reason = admin.ProofUnknown, fmt.Sprintf("more than %d files differ at the moment: ask again", equalFiles)
		}
	}()
	for _, f := range differ {
		if err := p.file(ctx, f, paths[f]); err != nil {
			p.unknown(err)
			return &p.out
		}
	}
	return &p.out
}

func (p *prover) unknown(err error) {
	if p.out.State != admin.ProofDiffers {
		p.out.State, p.out.Reason = admin.ProofUnknown, err.Error()
	}
}

// each asks all modules at once.
func each[T any](p *prover, ask func(origin.Module) (T, error)) ([]T, error) {
	l, errs := make([]T, len(p.modules)), make([]error, len(p.modules))
	var wg sync.WaitGroup
	for i, m := range p.modules {
		wg.Go(func() { l[i], errs[i] = ask(m) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return l, fmt.Errorf("%s: %w", p.n.moduleName(p.modules[i]), err)
		}
	}
	return l, nil
}

// totals asks all modules for the totals of the files.
func (p *prover) totals(ctx context.Context) (all []*totals, missed map[int]error) {
	missed = map[int]error{}
	var mu sync.Mutex // protects missed
	all, _ = each(p, func(m origin.Module) (*totals, error) {
		t, err := p.totalsOf(ctx, m)
		if err != nil {
			mu.Lock()
			missed[slices.Index(p.modules, m)] = err
			mu.Unlock()
		}
		return t, nil
	})
	return all, missed
}

func (p *prover) totalsOf(ctx context.Context, m origin.Module) (*totals, error) {
	t := &totals{files: map[origin.FileID]fileTotal{}}
	for q := (summaryQuestion{Share: p.share.Name, Scan: p.scan}); ; q.Scan = false {
		a, err := p.n.askSummary(ctx, m, q)
		if err != nil {
			return nil, err
		}
		if t.at == nil {
			t.at = origin.Context{}
			t.at.Advance(a.At)
		}
		if t.changed == nil {
			t.changed = a.Changed
		}
		for _, f := range a.Files {
			t.files[f.ID] = f
			t.registers += f.Registers
		}
		if !a.More || len(a.Files) == 0 {
			return t, nil
		}
		q.After = a.Files[len(a.Files)-1].ID
	}
}

// report puts down what the modules answered.
func (p *prover) report(all []*totals, missed map[int]error) {
	p.out.Modules = p.out.Modules[:0]
	for i, m := range p.modules {
		x := admin.ProofModule{Module: p.n.moduleName(m), Vector: []admin.StreamPosition{}}
		if t := all[i]; t != nil && missed[i] == nil {
			files := len(t.files) - 1 // the catalog is none
			x.Files, x.Registers = &files, &t.registers
			for _, s := range slices.SortedFunc(maps.Keys(t.at), origin.Stream.Compare) {
				x.Vector = append(x.Vector, admin.StreamPosition{Stream: p.n.streamName(s), Seq: uint64(t.at[s])})
			}
			x.Changed = slices.Sorted(maps.Keys(t.changed))
		} else {
			text := missed[i].Error()
			x.Problem = &text
		}
		p.out.Modules = append(p.out.Modules, x)
	}
}

// differing lists the files whose totals are not alike everywhere.
func differing(all []*totals) (l []origin.FileID, paths map[origin.FileID]string) {
	paths = map[origin.FileID]string{}
	none := (&vosio.FileSummary{}).Total()
	total := func(t *totals, id origin.FileID) uint64 {
		if f, ok := t.files[id]; ok {
			return f.Total
		}
		return none // a file of which nothing is here
	}
	for _, t := range all {
		for id, f := range t.files {
			paths[id] = f.Path
		}
	}
	for id := range paths {
		if slices.ContainsFunc(all, func(t *totals) bool { return total(t, id) != total(all[0], id) }) {
			l = append(l, id)
		}
	}
	slices.SortFunc(l, func(a, b origin.FileID) int {
		return cmp.Or(cmp.Compare(paths[a], paths[b]), slices.Compare(a[:], b[:]))
	})
	return l, paths
}

func sameVectors(all []*totals) bool {
	return !slices.ContainsFunc(all, func(t *totals) bool { return !maps.Equal(t.at, all[0].at) })
}

// file looks where one file differs, and lists the registers that do so also
// when each module had what the others had at the first look.
func (p *prover) file(ctx context.Context, id origin.FileID, path string) error {
	ask := func(q summaryQuestion) ([]*summaryAnswer, error) {
		q.Share, q.Files = p.share.Name, []origin.FileID{id}
		return each(p, func(m origin.Module) (*summaryAnswer, error) { return p.n.askSummary(ctx, m, q) })
	}
	answers, err := ask(summaryQuestion{})
	if err != nil {
		return err
	}
	sums := make([][]uint64, len(answers))
	for i, a := range answers {
		sums[i] = a.Buckets[id.String()]
	}
	var buckets []byte
	for _, b := range unequal(sums, vosio.SummaryBuckets) {
		buckets = append(buckets, byte(b))
	}
	if len(buckets) == 0 {
		return nil
	}
	if answers, err = ask(summaryQuestion{Buckets: buckets}); err != nil {
		return err
	}
	var parts []uint16
	for _, b := range buckets {
		for i, a := range answers {
			sums[i] = a.Parts[fmt.Sprint(b)]
		}
		for _, x := range unequal(sums, vosio.SummaryParts) {
			parts = append(parts, uint16(int(b)*vosio.SummaryParts+x))
		}
	}
	for run := range slices.Chunk(parts, partsRun) {
		if err := p.parts(ctx, ask, id, path, run); err != nil {
			return err
		}
	}
	return nil
}

// parts looks into some parts of a file. What does not fit in one answer is
// asked for by halves.
func (p *prover) parts(ctx context.Context, ask func(summaryQuestion) ([]*summaryAnswer, error), id origin.FileID, path string, run []uint16) error {
	if len(p.out.Differences) >= p.limit {
		p.out.More = true
		return nil
	}
	first, err := ask(summaryQuestion{Parts: run, Most: p.answer})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(first, func(a *summaryAnswer) bool { return a.More }) {
		if len(run) == 1 {
			return fmt.Errorf("a part of %s differs, and has more than %d registers", path, summaryRegisters)
		}
		if err := p.parts(ctx, ask, id, path, run[:len(run)/2]); err != nil {
			return err
		}
		return p.parts(ctx, ask, id, path, run[len(run)/2:])
	}
	suspect := p.suspects(first)
	if len(suspect) == 0 {
		return nil
	}
	if err := p.catchUp(ctx, first); err != nil {
		return err
	}
	second, err := ask(summaryQuestion{Parts: run, Most: p.answer})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(second, func(a *summaryAnswer) bool { return a.More }) {
		return fmt.Errorf("%s grows faster than it can be looked into", path)
	}
	again := p.suspects(second)
	for _, addr := range slices.Sorted(maps.Keys(again)) {
		if suspect[addr] == nil {
			continue
		}
		if len(p.out.Differences) == p.limit {
			p.out.More = true
			break
		}
		p.out.State = admin.ProofDiffers
		p.out.Differences = append(p.out.Differences, p.difference(id, path, addr, again[addr]))
	}
	return nil
}

// unequal lists the places in which the rows are not all alike; a row that is
// missing has zeros.
func unequal(rows [][]uint64, size int) (l []int) {
	at := func(row []uint64, i int) uint64 {
		if i < len(row) {
			return row[i]
		}
		return 0
	}
	for i := range size {
		for _, row := range rows[1:] {
			if at(row, i) != at(rows[0], i) {
				l = append(l, i)
				break
			}
		}
	}
	return l
}

// suspects are the registers in which two modules differ for another reason than
// what is on its way; each with what stands at every module.
func (p *prover) suspects(answers []*summaryAnswer) map[string][]*conflict.Held {
	held := map[string][]*conflict.Held{}
	ats := make([]origin.Context, len(answers))
	for i, a := range answers {
		ats[i] = origin.Context{}
		ats[i].Advance(a.At)
	}
	for i, a := range answers {
		for _, r := range a.Registers {
			l := held[string(r.Address)]
			if l == nil {
				l = make([]*conflict.Held, len(answers))
				for j := range l {
					l[j] = &conflict.Held{At: ats[j]}
				}
				held[string(r.Address)] = l
			}
			for _, v := range r.Versions {
				l[i].Versions = append(l[i].Versions, conflict.HeldVersion{Dot: v.Dot, Tombstone: v.Tombstone, Content: v.Content})
			}
		}
	}
	maps.DeleteFunc(held, func(addr string, l []*conflict.Held) bool {
		for i := range l {
			for j := range i {
				if conflict.Differ(l[i], l[j]) {
					return false
				}
			}
		}
		return true
	})
	return held
}

// catchUp waits until each module has applied what the others had.
func (p *prover) catchUp(ctx context.Context, answers []*summaryAnswer) error {
	join := origin.Context{}
	for _, a := range answers {
		join.Advance(atEnds(p.st, a.At))
	}
	for {
		now, err := each(p, func(m origin.Module) (*summaryAnswer, error) {
			return p.n.askSummary(ctx, m, summaryQuestion{Share: p.share.Name, Positions: true})
		})
		if err != nil {
			return err
		}
		behind := ""
		for i, a := range now {
			at := origin.Context{}
			at.Advance(a.At)
			for s, seq := range join {
				if p.st.Tables().AppliesHere(s, p.modules[i]) && at[s] < seq {
					behind = fmt.Sprintf("%s has %d of the %d txns of %s", p.n.moduleName(p.modules[i]), at[s], seq, p.n.streamName(s))
				}
			}
		}
		if behind == "" {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("something differs, and it does not come out whether that is on its way: %s", behind)
		}
	}
}

func (p *prover) difference(id origin.FileID, path, addr string, held []*conflict.Held) admin.Difference {
	d := admin.Difference{Path: path, File: id.String(), Register: record.String([]byte(addr)), Address: hex.EncodeToString([]byte(addr)), Held: []admin.HeldVersion{}}
	for i, h := range held {
		name := p.n.moduleName(p.modules[i])
		if len(h.Versions) == 0 {
			d.Held = append(d.Held, admin.HeldVersion{Module: name})
		}
		for _, v := range h.Versions {
			x := admin.HeldVersion{Module: name, Version: fmt.Sprintf("%s:%d.%d", p.n.streamName(v.Dot.Stream), v.Dot.Seq, v.Dot.Index), Deleted: v.Tombstone}
			if v.Dot.Stream == (origin.Stream{}) {
				x.Version = "(unreadable)"
			}
			if !v.Tombstone {
				x.Content = fmt.Sprintf("%016x", v.Content)
			}
			d.Held = append(d.Held, x)
		}
	}
	return d
}

// pause waits, or says that ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
