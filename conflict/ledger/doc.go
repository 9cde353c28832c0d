// Package ledger keeps the losers of conflicts: what a register does not show,
// and what was replaced by a writer that was not shown it, with full images of
// both sides, so that a person can look and put right.
//
// An entry is written in the batch of the change that made it, so the ledger
// and the registers never disagree, whatever crashes. This package turns what
// conflict.Decide says into keys and values for that batch and reads them back;
// it opens no database and commits nothing. The committer alone writes.
//
// # Keys
//
//	'c''e' stamp(8) id(16) → entry     in the order of the losers' stamps
//	'c''i' id(16)          → stamp(8)
//
// The stamp is the loser's, big endian; both keys of an entry come and go
// together. docs/formats/ledger.md describes the entry's bytes.
//
// Open entries follow the sets: they are alike, under the same ids and in the
// same order, on all modules of equal vectors. Facts and By say what brought an
// entry about at this module, which may be another txn elsewhere.
package ledger
