// Package vosio is the file system of a module: record files with ports,
// indexes, locks and transactions, as the s$ calls of VOS know them, on one
// Pebble database.
//
// # One write path
//
// Every change, of a local call or of a remote txn, goes through the
// committer (commit.go), which owns the order of things: one goroutine, or a
// caller that has its turn. It checks the change
// against what is sequenced, takes seq, stamp and context in
// one step, and writes record, index entries, journal entry, vector, counters
// and ledger in one batch. Batches reach the disk in order; many callers share
// one flush, and the next batch is prepared meanwhile. A caller is answered
// when its batch is durable, or at once where its share says `interval`.
// Reads may be ahead of what is durable; the journal's durable vector, and all
// that follows it (heads, shipping), never is.
//
// # Registers
//
// All data are registers: (file, address) → a set of versions, the visible one
// first. What a set becomes when a version comes is decided by the function
// that the node plugs in (Config.Decide); alone, a version replaces what
// stood. Everything else here is derived from the sets and never flows back:
// index entries, physical order, withheld entries, names, parked records,
// counts.
//
// # Keys
//
//	'v''r' file addr                          → version set (vosio/record)
//	'v''x' file index(4) key birth(28) addr   → (empty)   an index entry
//	'v''p' file birth(28) addr                → (empty)   physical order, keyed sequential files
//	'v''w' file index(4) key birth(28) addr   → (empty)   the same entry, withheld: an older record claims the key
//	'v''u' file number(8)                     → addr      a record's number, sequential files with a record index
//	'v''h' file addr                          → length(4) a hole of a sequential file with a deleted-record index
//	'v''o' file offset(8)                     → length(4) addr: a chunk of a stream file, from the end of its pages
//	'v''y' file birth(28) addr                → (empty)   the separate keys of the record of that birth
//	'v''k' file addr                          → parked: reason, dot
//	'v''n' file                               → counts
//	'v''a' stream share                       → account counters
//	'v''l' file name                          → an index of this module alone; of a catalog: a directory taken away here
//	'v''s'                                    → the last number given to a change of an unshared file
//	'v''t' stamp file addr                    → a tombstone that may go when settled
//
// # Who owns what
//
// The committer owns all writing and replaces the catalog; readers
// take immutable file snapshots and Pebble readers. Ports, locks and
// transactions belong to a Process, which one caller uses at a time.
package vosio
