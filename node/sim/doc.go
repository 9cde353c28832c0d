// Package sim runs a mesh of modules from a seed: one thread, virtual time, a
// network that delays, reorders, doubles and loses, disks in memory that forget
// what was not flushed, clocks that disagree.
//
// It decides nothing. What runs is the production code: the file system
// (vosio, inline), conflict and its ledger, the causal gate, the journal, the
// clock, the pull protocol's decisions and checks (mesh/link) over real frames
// (mesh/wire), and where a scenario has control tables, those of mesh/control.
// The package is the world around them, a plan of work and faults, and checks
// of the promises:
//
//  1. what was acknowledged as durable survives a crash, and registers match
//     the journal after it;
//  2. each txn takes effect once, with one content everywhere;
//  3. equal vectors, equal bytes: sets, orders, index entries, open conflicts,
//     and what programs see;
//  4. each version stands, was replaced by a writer that was shown it, or is
//     in the ledger; and the account sums;
//  5. what one module cannot show is parked there and stops nothing.
//
// The expected state comes from a small model (model.go) that knows the txns
// and none of the code.
//
// The same seed gives the same run: every choice is drawn from generators that
// are keyed by the seed and a purpose, and nothing else is random.
package sim
