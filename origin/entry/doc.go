// Package entry is the byte form of a txn: one form for disk and wire, so that
// what is relayed is what was made. It also holds the form of heads.
//
// An entry is one msgpack array:
//
//	[version, stamp, policy, process, context, ops]
//	context = [[group, module, incarnation, seq], ...]    what changed since the stream's previous txn
//	ops     = [[kind, file(16), address, life, data, birth, unseen, hidden, closes, ...], ...]
//	birth   = nil | [stamp, group, module, incarnation, seq, index]
//	unseen  = [[group, module, incarnation, seq, index], ...]
//	hidden  = the same
//	closes  = the same
//
// Trailing fields of an operation that hold nothing are left out: data when
// nil, birth when the operation is the birth, unseen, hidden and closes when empty. An entry does
// not hold its stream and seq: its place in the hash chain says them.
//
// A reader skips fields after those that it knows: they are optional by
// definition. An unknown version or kind of operation is ErrUnknown: the
// stream is held until this module is new enough, since a guess would make
// modules differ.
package entry
