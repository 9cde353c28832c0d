// Package mutant plants bugs, so that it can be shown that the simulator finds
// them: code that keeps a promise asks at the place where it could break it.
//
// Without the build tag mutants On is constantly false, and the compiler leaves
// nothing of the question; no binary that is given to anybody has the tag.
// With it one bug at a time is in force, for the whole process, from Plant on.
package mutant

// Mutant is a planted bug.
type Mutant int

// The planted bugs.
const (
	SkipGate          Mutant = iota + 1 // the causal gate lets a txn in before what its writer had seen
	ForgetDuplicates                    // a txn that came before takes effect again
	NameOnly                            // loop suppression looks at the module alone, not at stream and number
	ApplyPart                           // of a transaction from elsewhere the last operation is left out
	ForgetUnseen                        // an apply does not look at what the writer says that its reader was not shown
	TellNoUnseen                        // a rewrite does not say which versions its reader was not shown
	TellNoHidden                        // a write does not say which losers it covers unseen
	LedgerApart                         // ledger entries are written by a commit of their own, not flushed
	AckEarly                            // a batch counts as durable before it is flushed
	ServeUnflushed                      // neighbours are sent what is sequenced and not flushed
	ReuseSeq                            // a restored module does not look whether others have more of its stream
	AnyCovers                           // what comes replaces what stands, concurrent or not
	NothingCovers                       // a write that has seen a version leaves it in the set
	NoOrigin                            // equal stamps are compared without their origin: what came first is shown
	NoLife                              // versions of an earlier life compete with those of a later one
	RankBackwards                       // a rank is read from its wrong end
	SameLength                          // records of one length count as the same
	LoserUnlisted                       // a version that loses on arrival is not put into the ledger
	WrongWinner                         // an open entry keeps the winner that it had first
	NeverWithdraw                       // an open entry stays when its loser was replaced by one who saw it
	HalfImage                           // the ledger keeps eight bytes of a loser
	TombstoneEarly                      // a tombstone goes as soon as one member has named it
	TombstoneSilent                     // members that have said nothing yet do not keep a tombstone
	TombstoneControl                    // a tombstone goes by the members of the oldest control state that a head names
	NoContextSaved                      // what a stream knows is not stored with its entries
	LateVector                          // the vector of another module's stream is not in the batch of its entries
	PruneAll                            // the journal lets go of all that is durable here, whoever lacks it
	NoHeads                             // heads of others are not kept: nobody can be given their entries
	ClockBack                           // a stamp follows the wall clock back
	ClockAnew                           // after a start stamps begin at the wall clock
	ClockAlone                          // stamps that come do not move the clock
	SkipChain                           // entries are not checked against the chain of their head
	SkipSignature                       // heads are taken without a look at their signature
	SourceGone                          // a subscription stays with a neighbour that has gone
	ContextLess                         // a txn names one stream less than its writer had applied
	RecountNot                          // what was applied before a start is not named after it
	AccountApart                        // the account is kept in memory until the next own txn
	SnapshotNoContext                   // a joiner takes positions without what their txns had seen
	SnapshotNoTombs                     // a snapshot leaves out tombstones
	TruncateAll                         // a truncate takes what its writer had not seen, too
	CountNot                            // the numbers of records are not stored with the records
	WireNoUnseen                        // decoding an entry loses what its reader was not shown
)
