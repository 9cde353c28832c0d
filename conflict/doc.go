// Package conflict decides what becomes of a register when a version meets
// those that stand in it. It is pure: a policy is a function of versions, and
// that is how modules agree without talking.
//
// # The set is the state
//
// A register holds a set of versions. An operation covers what its writer had
// applied when it was sequenced, but for what it lists as unseen; the covered
// leave the set, the new version enters, the rest stay. Txns are applied after
// everything in their context, so a version always arrives before those that
// cover it, and the set at a module is a function of which txns it has applied
// and not of their order: all versions that none of the applied ones covers.
//
// From the set, and from nothing else, follow
//
//   - the visible version: greatest life first, then what the policy of the
//     greatest policy epoch says that a version of the set names: by default
//     the latest, which is the greatest (stamp, module, incarnation, seq,
//     index). A policy is a total order of versions, so that no order of
//     arrival matters; a change of the tables moves nothing that stands,
//     until a version that was made under them enters the set;
//   - the open conflicts: every other version of the set, unless it says the
//     same as the visible one (equal bytes, or both are deletions).
//
// So modules of equal vectors show the same bytes and list the same open
// conflicts, under the same ids.
//
// # What becomes of the covered
//
// A writer is shown one version of a register. What it covers beside the shown
// one it replaces unread: that is kept in the ledger as superseded until a
// person closes it. The shown one is the visible one among the covered, since
// a writer's stamp and life are never below those of what it had applied. Where
// a concurrent writer has meanwhile replaced the version that was shown, this
// module cannot tell that any more; an operation may then name in Hidden what
// its writer was not shown. A loser that is covered twice, by concurrent
// writers of whom one was shown it and the other was not, is replaced by
// whoever arrives first: it is superseded at some modules and overwritten at
// others, where the writer that was shown it came first.
//
// # The account
//
// Every operation that put a version into a register is, at each module, in
// exactly one class at any time: Live, Overwritten, Deleted, Open, Superseded
// or Closed. A version that stands beside a visible one of equal bytes counts
// as Live, for what it says is what is shown; so does a visible tombstone, until
// it has settled and goes: then whoever drops it moves it to Deleted.
// Outcome.Counts holds the changes; parked versions and lost transactions are
// counted by those who know them.
package conflict
