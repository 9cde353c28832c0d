package node

import (
	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/vosio"
	"drmesh/vosio/record"
)

// decider settles registers for the committer: conflict decides, the ledger's
// entries go into the same batch. It belongs to the committer's goroutine.
type decider struct {
	out    conflict.Outcome
	kvs    []ledger.KV
	writes []vosio.Write
	counts []vosio.Count

	// policy answers from the control tables, by share and policy epoch; nil:
	// latest.
	policy func(share string, epoch uint64) conflict.Policy
	share  string            // of the register under way
	of     conflict.Policies // policy for share
}

func newDecider(policy func(share string, epoch uint64) conflict.Policy) *decider {
	d := &decider{policy: policy}
	d.of = func(epoch uint64) conflict.Policy { return d.policy(d.share, epoch) }
	return d
}

// classes maps the classes of conflict to those of the account.
var classes = [conflict.Classes]vosio.Class{
	conflict.ClassLive:        vosio.Live,
	conflict.ClassOverwritten: vosio.Overwritten,
	conflict.ClassDeleted:     vosio.Deleted,
	conflict.ClassOpen:        vosio.Opened,
	conflict.ClassSuperseded:  vosio.Superseded,
	conflict.ClassClosed:      vosio.Closed,
}

func (d *decider) decide(q vosio.Decision) vosio.Decided {
	in := conflict.Input{File: q.File, Address: q.Address, Standing: q.Standing, Incoming: q.Incoming, By: q.By, Covers: q.Covers}
	// Names, lives and attributes follow one rule everywhere.
	if d.share = q.Share; d.policy != nil && q.File != record.CatalogID(q.Share) {
		in.Policies = d.of
	}
	if int(q.By.Index) < len(q.Txn.Ops) {
		in.Hidden = q.Txn.Ops[q.By.Index].Hidden
	}
	conflict.Decide(&in, &d.out)
	d.kvs, d.writes, d.counts = d.kvs[:0], d.writes[:0], d.counts[:0]
	if len(d.out.Entries) > 0 {
		f := ledger.Facts{Share: q.Share, Stamp: q.Txn.Stamp, Policy: q.Txn.Policy, Process: q.Txn.Process, Rule: d.out.Policy.String()}
		d.kvs = ledger.Writes(d.kvs, q.File, q.Address, d.out.Entries, f)
		for _, kv := range d.kvs {
			d.writes = append(d.writes, vosio.Write{Key: kv.Key, Value: kv.Value})
		}
	}
	for _, c := range d.out.Counts {
		d.counts = append(d.counts, vosio.Count{Stream: c.Stream, Class: classes[c.Class], Delta: c.Delta})
	}
	return vosio.Decided{Next: d.out.Next, Writes: d.writes, Counts: d.counts}
}
