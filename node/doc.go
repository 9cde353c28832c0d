// Package node is the peer daemon of a module: the only place that knows both
// files and network.
//
// A node owns its directory D (dir.go): identity, the Pebble database, the
// raft log, the last known control state, the two sockets. It opens the
// database once and hands it to journal, file system and ledger.
//
// What a node wires together:
//
//	programs ── D/app.sock ── vosio ── committer ──┬─ registers, indexes, ledger
//	                            ↑ decide            └─ journal ── durable vector
//	                         conflict                     │            │
//	operators ─ D/admin.sock ─ admin ─ node            mesh ← heads ───┘
//	                            │                         │ runs of txns
//	                         control ← raft            applier: causal gate → vosio.ApplyLater
//
// What is durable when: a call is answered after its batch was flushed (or at
// once where its share says interval); heads, acknowledgements and shipping
// name flushed positions only; control state is kept in D/control before an
// epoch made of it is used, so that a module works without quorum from the
// last state it knew.
//
// Goroutines end with Node.Close, in the reverse order of their start.
package node
