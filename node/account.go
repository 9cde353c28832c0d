package node

import (
	"context"
	"fmt"
	"slices"

	"drmesh/admin"
	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/origin"
	"drmesh/vosio"
)

// Account implements admin.Engine: for each share and origin, what became of
// every operation, from the counters of the commit batches. With scan it is
// held against the registers, the ledger and the journal as they stand.
func (e engine) Account(ctx context.Context, scan bool) (*admin.Account, error) {
	n := e.n
	out := &admin.Account{Module: n.dir.Module, Scanned: scan, Lines: []admin.AccountLine{}, Findings: []string{}}
	snap, sums, tails, err := n.eng.AccountAt(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	for _, s := range sums {
		out.Lines = append(out.Lines, admin.AccountLine{Share: s.Share, Origin: n.streamName(s.Stream), Seq: uint64(tails[s.Stream].Seq),
			Written: s.Of(vosio.Written), Live: s.Of(vosio.Live), Overwritten: s.Of(vosio.Overwritten), Deleted: s.Of(vosio.Deleted), Open: s.Of(vosio.Opened),
			Superseded: s.Of(vosio.Superseded), Closed: s.Of(vosio.Closed), Parked: s.Of(vosio.Parked), Missing: s.Missing()})
		if m := s.Missing(); m != 0 {
			out.Findings = append(out.Findings, fmt.Sprintf("share %s, %s: %d operations are in no class", s.Share, n.streamName(s.Stream), m))
		}
	}
	if !scan {
		return out, nil
	}
	found, err := n.eng.ScanAccount(snap)
	if err != nil {
		return nil, err
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
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, s := range sums {
		got := vosio.Sum{}
		if m := found[s.Share][s.Stream]; m != nil {
			got = *m
		}
		got.Counts[vosio.Superseded] = super[s.Share][s.Stream]
		for _, c := range []vosio.Class{vosio.Live, vosio.Opened, vosio.Parked, vosio.Superseded} {
			if got.Of(c) != s.Of(c) {
				out.Findings = append(out.Findings, fmt.Sprintf("share %s, %s: %d %s by the counters, %d by the scan", s.Share, n.streamName(s.Stream), s.Of(c), c, got.Of(c)))
			}
		}
	}
	// Each dot stands once in local order.
	last := map[origin.Stream]origin.Seq{}
	err = n.j.Local(0, func(_ uint64, s origin.Stream, first origin.Seq, count int) bool {
		if l, ok := last[s]; ok && first != l+1 {
			if first <= l {
				out.Duplicates += int64(l - first + 1)
			}
			out.Findings = append(out.Findings, fmt.Sprintf("%s: %d follows %d in local order", n.streamName(s), first, l))
		}
		last[s] = first + origin.Seq(count) - 1
		return ctx.Err() == nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(out.Findings)
	return out, ctx.Err()
}
