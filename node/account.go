package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/admin"
	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio"
)

const (
	// maxNamed bounds how many dots a finding names.
	maxNamed = 20
	// maxEmpty bounds how many registers that hold nothing are looked into.
	maxEmpty = 100000
	// maxBeyond bounds how many txns after the vector are read.
	maxBeyond = 1 << 20
)

// accountAt is this module's account: for each share and origin, what became of
// every operation, from the counters of the commit batches, once all of at is
// applied here. With scan it is held against the registers, the ledger and the
// journal as they stood at that moment.
func (n *Node) accountAt(ctx context.Context, at origin.Context, scan bool) (*admin.Account, error) {
	if err := n.awaitVector(ctx, at); err != nil {
		return nil, err
	}
	out := &admin.Account{Module: n.dir.Module, Scanned: scan, Lines: []admin.AccountLine{}, Findings: []string{}}
	snap, sums, tails, err := n.eng.AccountAt(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	asOf := time.Now()
	beyond, err := n.opsBeyond(ctx, at, tails)
	if err != nil {
		return nil, err
	}
	for _, s := range sums {
		l := admin.AccountLine{Share: s.Share, Origin: n.streamName(s.Stream), Module: n.dir.Module, Seq: uint64(tails[s.Stream].Seq),
			Written: s.Of(vosio.Written), Live: s.Of(vosio.Live), Overwritten: s.Of(vosio.Overwritten), Deleted: s.Of(vosio.Deleted), Open: s.Of(vosio.Opened),
			Superseded: s.Of(vosio.Superseded), Closed: s.Of(vosio.Closed), Parked: s.Of(vosio.Parked), Missing: s.Missing()}
		if b := beyond[s.Stream]; b != nil {
			l.Beyond = ptr(b[s.Share])
		}
		out.Lines = append(out.Lines, l)
		if m := s.Missing(); m != 0 {
			out.Findings = append(out.Findings, fmt.Sprintf("share %s, %s at %s: %d operations are in no class", s.Share, l.Origin, n.dir.Module, m))
		}
	}
	if scan {
		if err := n.scanAccount(ctx, out, snap, sums, tails); err != nil {
			return nil, err
		}
	}
	out.Modules = []admin.AccountModule{{Module: n.dir.Module, AsOf: asOf, Scanned: scan, Duplicates: out.Duplicates}}
	return out, ctx.Err()
}

// opsBeyond counts the operations between a vector and the tails, by stream and
// share. A stream that could not be counted is left out.
func (n *Node) opsBeyond(ctx context.Context, at origin.Context, tails origin.Vector) (map[origin.Stream]map[string]int64, error) {
	out := map[origin.Stream]map[string]int64{}
	var t origin.Txn
	for s, tail := range tails {
		if s.Group == 0 {
			continue // not shared, and in no account
		}
		counts := map[string]int64{}
		if tail.Seq > at[s]+maxBeyond {
			continue
		}
		whole := true
		for q := at[s] + 1; q <= tail.Seq && whole; q++ {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			d := origin.Dot{Stream: s, Seq: q}
			e, ok, err := n.j.Get(d)
			if err != nil {
				return nil, err
			}
			if !ok {
				whole = false
				break
			}
			if err := entry.Decode(e.Bytes, d, &t); err != nil {
				return nil, err
			}
			for i := range t.Ops {
				if t.Ops[i].Kind == origin.Truncate {
					continue
				}
				f, ok := n.eng.InfoByID(t.Ops[i].File)
				if !ok {
					whole = false // of a file that is gone: which share it was is not known
					break
				}
				counts[f.Share]++
			}
		}
		if whole {
			out[s] = counts
		}
	}
	return out, nil
}

// scanAccount holds the counters against what stands.
func (n *Node) scanAccount(ctx context.Context, out *admin.Account, snap pebble.Reader, sums []vosio.Sum, tails origin.Vector) error {
	found, err := n.eng.ScanAccount(snap)
	if err != nil {
		return err
	}
	// The ledger's side of the sum.
	super := map[string]map[origin.Stream]int64{}
	err = ledger.Ls(snap, ledger.Filter{}, func(x *ledger.Entry) bool {
		if x.State == conflict.Superseded {
			m := super[x.Facts.Share]
			if m == nil {
				m = map[origin.Stream]int64{}
				super[x.Facts.Share] = m
			}
			m[x.Loser.Dot.Stream]++
		}
		return ctx.Err() == nil
	})
	if err != nil {
		return err
	}
	differ := map[origin.Stream]bool{}
	for _, s := range sums {
		got := vosio.Sum{}
		if m := found[s.Share][s.Stream]; m != nil {
			got = *m
		}
		got.Counts[vosio.Superseded] = super[s.Share][s.Stream]
		for _, c := range []vosio.Class{vosio.Live, vosio.Opened, vosio.Parked, vosio.Superseded} {
			if got.Of(c) != s.Of(c) {
				differ[s.Stream] = true
				out.Findings = append(out.Findings, fmt.Sprintf("share %s, %s at %s: %d %s by the counters, %d by the scan",
					s.Share, n.streamName(s.Stream), n.dir.Module, s.Of(c), c, got.Of(c)))
			}
		}
		if s.Missing() != 0 {
			differ[s.Stream] = true
		}
	}
	// Each dot stands once in local order. What came with a snapshot has no
	// place there.
	last := map[origin.Stream]origin.Seq{}
	err = n.j.Local(0, func(_ uint64, s origin.Stream, first origin.Seq, count int) bool {
		// (A snapshot leaves out what it has instead.)
		if l, ok := last[s]; ok && first != l+1 && (first <= l || first-1 > n.j.Pruned(s)) {
			if first <= l {
				out.Duplicates += int64(l - first + 1)
			} else if first <= n.j.Pruned(s)+1 {
				last[s] = first + origin.Seq(count) - 1
				return ctx.Err() == nil
			}
			out.Findings = append(out.Findings, fmt.Sprintf("%s at %s: %d follows %d in local order", n.streamName(s), n.dir.Module, first, l))
		}
		last[s] = first + origin.Seq(count) - 1
		return ctx.Err() == nil
	})
	if err != nil {
		return err
	}
	if len(differ) > 0 {
		if err := n.nameMissing(ctx, out, snap, differ, tails); err != nil {
			return err
		}
	}
	slices.Sort(out.Findings)
	return nil
}

// nameMissing names the operations of streams that differ whose effect is
// nowhere: nothing stands in the register, and nothing in the journal took it
// away.
func (n *Node) nameMissing(ctx context.Context, out *admin.Account, snap pebble.Reader, differ map[origin.Stream]bool, tails origin.Vector) error {
	type place struct {
		file    origin.FileID
		address string
	}
	last := map[place]origin.OpDot{} // registers that hold nothing, and the write that came there last
	emptied := map[origin.FileID]bool{}
	_, err := n.eachTxn(ctx, 0, func(_ uint64, t *origin.Txn) error {
		if t.Dot.Seq > tails[t.Dot.Stream].Seq {
			return nil
		}
		for i := range t.Ops {
			op := &t.Ops[i]
			at := place{op.File, string(op.Address)}
			switch op.Kind {
			case origin.Truncate:
				emptied[op.File] = true
			case origin.Delete:
				delete(last, at)
			default:
				if len(last) >= maxEmpty {
					continue
				}
				set, err := n.eng.Standing(snap, op.File, op.Address)
				if err != nil {
					return err
				}
				if len(set) == 0 {
					last[at] = origin.OpDot{Dot: t.Dot, Index: uint32(i)}
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var names []string
	for at, d := range last {
		if differ[d.Stream] && !emptied[at.file] {
			names = append(names, n.dotName(d))
		}
	}
	slices.Sort(names)
	for i, name := range names {
		if i == maxNamed {
			out.Findings = append(out.Findings, fmt.Sprintf("%d more at %s are nowhere", len(names)-i, n.dir.Module))
			break
		}
		out.Findings = append(out.Findings, fmt.Sprintf("%s at %s: its effect is nowhere", name, n.dir.Module))
	}
	return nil
}
