// Package journal keeps the txns of all streams that a module holds, its own
// and others', in the bytes in which they came, on the module's Pebble
// database.
//
// It knows two orders: local order, in which txns took effect here, and for
// each stream its seq. It also keeps what it takes to go on: each stream's
// position and the context of its last txn, signed heads to hand on, and how
// far a stream was pruned.
//
// Entries are appended in the committer's batch, through an Appender that only
// the committer uses; so an entry is there exactly if its effect is. What is
// appended counts as sequenced at once, and as durable when MarkDurable says
// so, after the batch was flushed. Readers for the network see durable entries
// only.
//
// Keys, all big endian, so that they sort:
//
//	'j''e' stream(12) seq(8)  → chain hash(32), entry
//	'j''l' local(8)           → runs of (stream(12), first seq(8), count(4)): one record a batch
//	'j''v' stream(12)         → seq(8), hash(32), stamp(8): the position
//	'j''c' stream(12)         → [stream(12) seq(8)]...: full context of the last txn
//	'j''h' stream(12) seq(8)  → signed head
//	'j''p' stream(12)         → seq(8), hash(32): pruned up to and with it
package journal
