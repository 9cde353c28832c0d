package node

import (
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/origin"
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
	ledger pebble.Reader
	share  string            // of the register under way
	of     conflict.Policies // policy for share
}

func newDecider(r pebble.Reader, policy func(share string, epoch uint64) conflict.Policy) *decider {
	d := &decider{policy: policy, ledger: r}
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

// close closes the entries of losers that a person dealt with and that do not
// stand any more. Where a loser was replaced by a writer that was shown it,
// there is none.
func (d *decider) close(q *vosio.Decision, losers []origin.OpDot) {
	for _, l := range losers {
		if slices.ContainsFunc(q.Standing, func(v origin.Version) bool { return v.Dot == l }) {
			continue // it was in the set: the decision has told
		}
		kvs, counts, err := ledger.Close(d.ledger, conflict.EntryID(q.File, q.Address, l), q.Txn.Process, q.Txn.Stamp)
		if err != nil {
			continue // not superseded here, or closed already
		}
		for _, kv := range kvs {
			d.writes = append(d.writes, vosio.Write{Key: kv.Key, Value: kv.Value})
		}
		d.out.Counts = append(d.out.Counts, counts...)
	}
}

func (d *decider) decide(q vosio.Decision) vosio.Decided {
	in := conflict.Input{File: q.File, Address: q.Address, Standing: q.Standing, Incoming: q.Incoming, By: q.By, Covers: q.Covers}
	// Names, lives and attributes follow one rule everywhere.
	if d.share = q.Share; d.policy != nil && q.File != record.CatalogID(q.Share) {
		in.Policies = d.of
	}
	if int(q.By.Index) < len(q.Txn.Ops) {
		in.Hidden, in.Closes = q.Txn.Ops[q.By.Index].Hidden, q.Txn.Ops[q.By.Index].Closes
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
	if len(in.Closes) > 0 {
		d.close(&q, in.Closes)
	}
	for _, c := range d.out.Counts {
		d.counts = append(d.counts, vosio.Count{Stream: c.Stream, Class: classes[c.Class], Delta: c.Delta})
	}
	return vosio.Decided{Next: d.out.Next, Writes: d.writes, Counts: d.counts}
}
