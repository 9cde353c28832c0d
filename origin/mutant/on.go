//go:build mutants

package mutant

// planted is the bug in force. It is set before what it is planted in runs.
var planted Mutant

// On reports whether a bug is planted.
func On(m Mutant) bool { return m == planted }

// Plant puts one bug in force; 0 is none.
func Plant(m Mutant) { planted = m }

// All lists the bugs.
var All = []struct {
	Mutant Mutant
	Name   string
	What   string
}{
	{SkipGate, "skip-gate", "the causal gate lets a txn in before what its writer had seen"},
	{ForgetDuplicates, "forget-duplicates", "a txn that came before takes effect again"},
	{NameOnly, "loops-by-name", "loop suppression looks at the module alone, not at stream and number"},
	{ApplyPart, "apply-part", "of a transaction from elsewhere the last operation is left out"},
	{ForgetUnseen, "forget-unseen", "an apply does not look at what the writer says that its reader was not shown"},
	{TellNoUnseen, "tell-no-unseen", "a rewrite does not say which versions its reader was not shown"},
	{TellNoHidden, "tell-no-hidden", "a write does not say which losers it covers unseen"},
	{LedgerApart, "ledger-apart", "ledger entries are written by a commit of their own, not flushed"},
	{AckEarly, "ack-early", "a batch counts as durable before it is flushed"},
	{ServeUnflushed, "serve-unflushed", "neighbours are sent what is sequenced and not flushed"},
	{ReuseSeq, "reuse-seq", "a restored module does not look whether others have more of its stream"},
	{AnyCovers, "any-covers", "what comes replaces what stands, concurrent or not"},
	{NothingCovers, "nothing-covers", "a write that has seen a version leaves it in the set"},
	{NoOrigin, "no-origin", "equal stamps are compared without their origin: what came first is shown"},
	{NoLife, "no-life", "versions of an earlier life compete with those of a later one"},
	{RankBackwards, "rank-backwards", "a rank is read from its wrong end"},
	{SameLength, "same-length", "records of one length count as the same"},
	{LoserUnlisted, "loser-unlisted", "a version that loses on arrival is not put into the ledger"},
	{WrongWinner, "wrong-winner", "an open entry keeps the winner that it had first"},
	{NeverWithdraw, "never-withdraw", "an open entry stays when its loser was replaced by one who saw it"},
	{HalfImage, "half-image", "the ledger keeps eight bytes of a loser"},
	{TombstoneEarly, "tombstone-early", "a tombstone goes as soon as one member has named it"},
	{TombstoneSilent, "tombstone-silent", "members that have said nothing yet do not keep a tombstone"},
	{TombstoneControl, "tombstone-old-members", "a tombstone goes by the members of the oldest control state that a head names"},
	{NoContextSaved, "context-not-saved", "what a stream knows is not stored with its entries"},
	{LateVector, "vector-late", "the vector of another module's stream is not in the batch of its entries"},
	{PruneAll, "prune-all", "the journal lets go of all that is durable here, whoever lacks it"},
	{NoHeads, "no-heads", "heads of others are not kept: nobody can be given their entries"},
	{ClockBack, "clock-back", "a stamp follows the wall clock back"},
	{ClockAnew, "clock-anew", "after a start stamps begin at the wall clock"},
	{ClockAlone, "clock-alone", "stamps that come do not move the clock"},
	{SkipChain, "skip-chain", "entries are not checked against the chain of their head"},
	{SkipSignature, "skip-signature", "heads are taken without a look at their signature"},
	{SourceGone, "source-gone", "a subscription stays with a neighbour that has gone"},
	{ContextLess, "context-less", "a txn names one stream less than its writer had applied"},
	{RecountNot, "recount-not", "what was applied before a start is not named after it"},
	{AccountApart, "account-apart", "the account is kept in memory until the next own txn"},
	{SnapshotNoContext, "snapshot-no-context", "a joiner takes positions without what their txns had seen"},
	{SnapshotNoTombs, "snapshot-no-tombstones", "a snapshot leaves out tombstones"},
	{TruncateAll, "truncate-all", "a truncate takes what its writer had not seen, too"},
	{CountNot, "counts-apart", "the numbers of records are not stored with the records"},
	{WireNoUnseen, "wire-no-unseen", "decoding an entry loses what its reader was not shown"},
}
