package admin

import "context"

// Engine is what the door leads to: the node. Methods may be called by many
// goroutines; each honours its context. Errors that are *Error keep their
// class and hint.
type Engine interface {
	Status(ctx context.Context) (*Status, error)
	Links(ctx context.Context) ([]Link, error)
	SetLink(ctx context.Context, c LinkChange) error
	Clock(ctx context.Context) (*Clock, error)
	// ReleaseStamps lets through what waits of a module for the time of its
	// stamps, at all members in reach: a Precondition error if nothing does.
	ReleaseStamps(ctx context.Context, r StampRelease) (*StampsReleased, error)
	CreateToken(ctx context.Context, r TokenRequest) (*Token, error)
	// Leave takes this module out of the mesh. Undelivered changes are a
	// Precondition error unless acceptLoss.
	Leave(ctx context.Context, acceptLoss bool) error
	// TakeOver gives this directory the place of another one of its module: a
	// Precondition error unless another has it.
	TakeOver(ctx context.Context) error
	// Remove puts another module out of the mesh.
	Remove(ctx context.Context, module string) error
	ControlHistory(ctx context.Context) ([]ControlText, error)
	ControlText(ctx context.Context) (*ControlText, error)
	ControlPlan(ctx context.Context, c ControlChange) (*ControlPlan, error)
	ControlApply(ctx context.Context, c ControlChange) (*ControlPlan, error)
	CaughtUp(ctx context.Context, r CaughtUpRequest) (*CaughtUp, error)
	Files(ctx context.Context, under string) ([]File, error)
	File(ctx context.Context, path string) (*File, error)
	// FileStats counts the calls on the files under a path; all if it is empty.
	FileStats(ctx context.Context, under string) (*FileStats, error)
	Digest(ctx context.Context, path string) (*Digest, error)
	Queues(ctx context.Context, under string) ([]Queue, error)
	History(ctx context.Context, path, key string) ([]Change, error)
	// Journal gives changes to emit in local order until it ends, or with
	// Follow until ctx does.
	Journal(ctx context.Context, r JournalRequest, emit func(*Change) error) error
	Conflicts(ctx context.Context, share string) ([]Conflict, error)
	Conflict(ctx context.Context, id string) (*Conflict, error)
	// Resolve writes what a person decided as a new version by his identity,
	// and closes the conflict at all modules. It gives the conflict as it
	// stands then; with DryRun, as it would.
	Resolve(ctx context.Context, d ConflictDecision, by string) (*Conflict, error)
	Parked(ctx context.Context) ([]Parked, error)
	// ParkedVersion gives one with its image, by its id or the beginning of it.
	ParkedVersion(ctx context.Context, id string) (*Parked, error)
	// RetryParked evaluates again the one with this id and what is parked in
	// the same file, or all for no id, and tells of each what became of it.
	RetryParked(ctx context.Context, id string) ([]Parked, error)
	// Account counts at one vector of all members, or here alone.
	Account(ctx context.Context, r AccountRequest) (*Account, error)
	// Prove says of each share whether the modules hold the same; it changes
	// nothing. LastProof is what the last one at this module said.
	Prove(ctx context.Context, r ProofRequest) (*Proof, error)
	LastProof(ctx context.Context) (*Proof, error)
	// Sync has this module take what it holds differently from another one.
	Sync(ctx context.Context, r SyncRequest) (*Sync, error)
	// Ready tells whether the module is ready for calls, write or
	// failover-target, and why not.
	Ready(ctx context.Context, what, group string) (*Readiness, error)
	// Forward has another member answer GET uri, for a caller that was let in
	// here.
	Forward(ctx context.Context, module string, who Caller, uri string) (*Forwarded, error)
	Groups(ctx context.Context) ([]Group, error)
	// SwitchCheck looks at what a change of owner needs, and changes nothing.
	SwitchCheck(ctx context.Context, r SwitchRequest) (*SwitchCheck, error)
	// SwitchStart changes the owner. What the check finds unsafe is a
	// Precondition error; what does not end in time is rolled back.
	SwitchStart(ctx context.Context, r SwitchRequest) (*SwitchReceipt, error)
	// FailoverCheck and FailoverStart are the same for an owner that is gone.
	// What would be lost is a WouldLose error, unless it is accepted.
	FailoverCheck(ctx context.Context, r SwitchRequest) (*SwitchCheck, error)
	FailoverStart(ctx context.Context, r SwitchRequest) (*SwitchReceipt, error)
	// RecoverPlan and FollowPlan say what it takes to have control go on without
	// a majority, and to follow where it did. Recover and Follow do it; what the
	// plan finds unsafe is a Precondition, what is not accepted WouldLose. The
	// node begins anew.
	RecoverPlan(ctx context.Context) (*ControlRecovery, error)
	Recover(ctx context.Context, r RecoverRequest) (*ControlRecovery, error)
	FollowPlan(ctx context.Context, module string) (*ControlRecovery, error)
	Follow(ctx context.Context, r RecoverRequest) (*ControlRecovery, error)
	// LostRecords lists the lost-transaction files of all modules, LostFile gives
	// one of this module.
	LostRecords(ctx context.Context) ([]LostFile, error)
	LostFile(ctx context.Context, name string) (*LostFile, error)
	LostReplay(ctx context.Context, r LostChange) (*LostResult, error)
	LostDiscard(ctx context.Context, name string) (*LostFile, error)
	// LostSalvage keeps what the directory of a module that is out of the mesh has
	// beyond the ends of its streams.
	LostSalvage(ctx context.Context, r LostSalvage) ([]LostFile, error)
	SwitchHistory(ctx context.Context, group string) ([]SwitchReceipt, error)
	SwitchAbort(ctx context.Context, group, by string) error
	Bench(ctx context.Context, r BenchRequest) (*BenchResult, error)
}
