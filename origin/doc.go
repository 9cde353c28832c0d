// Package origin is the vocabulary of DRMesh: who made a change, in which
// order, and what it had seen.
//
// Words and their relations:
//
//   - A Module is one machine's node; its number is given out once by control.
//   - A Stream is what one incarnation of one module writes in one group: its
//     txns are numbered from 1 without gaps, and chained by hash, so that a
//     (Seq, Hash) position names a whole history.
//   - A Dot is one txn: (Stream, Seq). An OpDot is one operation of it.
//   - A Stamp is a hybrid logical clock reading.
//   - A Vector says, for each stream, the last position applied at a module; a
//     Context is a vector without hashes: what the writer of a txn had applied
//     when the txn was sequenced.
//   - A Head is an origin's signed statement of its stream's last position.
//   - A Txn is the unit of replication: all of its Operations take effect, or
//     none. An Operation writes or deletes one register, or truncates a file.
//   - A Version is what a register's set holds of one operation.
//
// Everything here is a value: nothing in this package has a goroutine, a
// clock, a lock or I/O, and nothing of ours is imported from outside origin.
// Maps are compared and emitted in sorted order only (see Vector.Sorted), so
// that map order reaches neither disk nor wire nor a decision.
package origin
