package admin

import (
	"context"
	"net/http"
	"time"
)

// Verdicts on a lost transaction: what it replaced still stands; it stands
// already, or was made good; something else stands there now.
const (
	LostSafe       = "safe"
	LostSuperseded = "superseded"
	LostConflicts  = "conflicts"
)

// LostFile is a lost-transaction file: what an owner had committed beyond the
// place at which its term was ended without it. It was undone at the module
// that has the file.
type LostFile struct {
	Format string `json:"format"`
	Name   string `json:"name"` // of the file, for lost show and the like
	Mesh   string `json:"mesh"`
	Group  string `json:"group"`
	Epoch  uint64 `json:"epoch"` // that ended
	Owner  string `json:"owner"` // in that epoch
	End    uint64 `json:"end"`   // number of its last txn that counts
	// Origin is the supplementary module that wrote them; its numbers count what
	// it wrote. Empty: the owner did.
	Origin string `json:"origin,omitempty"`
	Module string `json:"module"` // where they were undone
	// Salvaged says that they were taken from the directory of a module that is
	// out of the mesh: they were never here.
	Salvaged bool      `json:"salvaged,omitempty"`
	Made     time.Time `json:"made"`
	Open     bool      `json:"open"` // some are neither made good nor discarded
	// Offer says that what is safe is still to be offered to the group's owner, by
	// the module itself.
	Offer   bool `json:"offer,omitempty"`
	Txns    int  `json:"txns"`
	Replays int  `json:"replayed"`
	Given   int  `json:"discarded"`
	// Digest is the SHA-256 of what does not change in it, in hex; control has
	// it too.
	Digest string `json:"digest,omitempty"`
	// Transactions are left out of lists.
	Transactions []LostTxn `json:"transactions,omitempty"`
}

// LostTxn is one transaction of it.
type LostTxn struct {
	Number  uint64    `json:"number"`
	Dot     string    `json:"dot"`
	At      time.Time `json:"at"`
	Process string    `json:"process"`
	Verdict string    `json:"verdict"`
	State   string    `json:"state"` // open, replayed, discarded
	Ops     []LostOp  `json:"ops"`
}

// LostOp is one record of it: what it showed before, what the transaction made
// of it, and what it shows now. A nil image is no record.
type LostOp struct {
	Kind    string `json:"kind"`
	File    string `json:"file"`    // share:path
	FileID  string `json:"file_id"` // hex
	Address string `json:"address"` // for people
	Key     []byte `json:"key"`     // the register's address
	Before  []byte `json:"before"`
	Unknown bool   `json:"before_unknown,omitempty"` // others changed it since, or it is no record
	After   []byte `json:"after"`
	Now     []byte `json:"now"`
	Verdict string `json:"verdict"`
	Why     string `json:"why,omitempty"`
}

// LostChange says what to do with a lost-transaction file.
type LostChange struct {
	Name string `json:"name"`
	// Safe replays those whose verdict is safe, and leaves the rest; without,
	// one that conflicts is an error, and nothing after it is replayed.
	Safe bool `json:"safe,omitempty"`
}

// LostResult says what a replay did.
type LostResult struct {
	Name       string `json:"name"`
	Replayed   int    `json:"replayed"`
	Superseded int    `json:"superseded"`
	Left       int    `json:"left"`
}

// LostSalvage says where the directory is of a module that is out of the mesh.
type LostSalvage struct {
	From string `json:"from"` // at the module that is asked
}

// lostRoutes are those of lost-transaction files.
func (a *API) lostRoutes() {
	e := a.engine
	register(a, route{id: "lost-files", method: http.MethodGet, path: "/v1/lost", summary: "Lost-transaction files of all modules, as control has them, without the transactions", least: Viewer}, nil,
		func(ctx context.Context, _ *atModule) ([]LostFile, error) { return e.LostRecords(ctx) })
	register(a, route{id: "lost-file", method: http.MethodGet, path: "/v1/lost/{name}", summary: "One lost-transaction file, judged by what stands now", least: Viewer}, nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			Name   string `path:"name"`
		}) (*LostFile, error) {
			return e.LostFile(ctx, in.Name)
		})
	register(a, route{id: "replay-lost", method: http.MethodPost, path: "/v1/lost/replay", summary: "Have the group's owner commit lost transactions again, as its own", least: Operator, change: true, here: true},
		func(in *struct{ Body LostChange }) string { return in.Body.Name },
		func(ctx context.Context, in *struct{ Body LostChange }) (*LostResult, error) {
			return e.LostReplay(ctx, in.Body)
		})
	register(a, route{id: "discard-lost", method: http.MethodPost, path: "/v1/lost/discard", summary: "Close a lost-transaction file: what is open in it is given up. The file stays", least: Operator, change: true, here: true},
		func(in *struct{ Body LostChange }) string { return in.Body.Name },
		func(ctx context.Context, in *struct{ Body LostChange }) (*LostFile, error) {
			return e.LostDiscard(ctx, in.Body.Name)
		})
	register(a, route{id: "salvage-lost", method: http.MethodPost, path: "/v1/lost/salvage", summary: "Keep in lost-transaction files what the directory of a module that is out of the mesh has and nobody else", least: Admin, change: true, here: true},
		func(in *struct{ Body LostSalvage }) string { return in.Body.From },
		func(ctx context.Context, in *struct{ Body LostSalvage }) ([]LostFile, error) {
			return e.LostSalvage(ctx, in.Body)
		})
}
