package admin

import "time"

// Conflict is an open or superseded conflict, or a claim whose index entry is
// withheld.
type Conflict struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"` // version, claim
	State     string     `json:"state"`
	Share     string     `json:"share"`
	File      string     `json:"file"`
	Address   string     `json:"address"`
	Loser     string     `json:"loser,omitempty"`
	LoserAt   *time.Time `json:"loser_at,omitempty"`
	LoserBy   string     `json:"loser_by,omitempty"`
	LoserData []byte     `json:"loser_data,omitempty"`
	Winner    string     `json:"winner,omitempty"`
	WinnerBy  string     `json:"winner_by,omitempty"`
	WinnerAt  *time.Time `json:"winner_at,omitempty"`
	Data      []byte     `json:"winner_data,omitempty"`
	Policy    string     `json:"policy,omitempty"`
	Deleted   bool       `json:"loser_is_delete,omitempty"`
	Uncertain bool       `json:"order_uncertain"`
	Index     string     `json:"index,omitempty"`
	Key       string     `json:"key,omitempty"`
	// Shown is what the register shows now, of one conflict; left out: no record.
	Shown []byte `json:"shown,omitempty"`
	// Standing are the versions that stand in the register, the shown one
	// first; of one conflict only.
	Standing []StandingVersion `json:"standing,omitempty"`
	// Would says which of them each policy would show; of one open conflict.
	Would map[string]string `json:"would_show,omitempty"`
	// Layout is the dd text of the file, if it has one; of one conflict.
	Layout string `json:"layout,omitempty"`
	// Txn is the transaction that the loser is a part of. Those that lost
	// several parts are seen by it.
	Txn string `json:"txn,omitempty"`
	// Parts are all that the transaction did, if it did more than this; of one
	// conflict. Where the journal has let go of it, they are those that lost.
	Parts     []ConflictPart `json:"parts,omitempty"`
	PartsOnly string         `json:"parts_only,omitempty"` // "first 1000", "lost", "1000 lost"; left out: all
	// Closed is who dealt with it, and when; of one that is closed.
	ClosedBy string     `json:"closed_by,omitempty"`
	ClosedAt *time.Time `json:"closed_at,omitempty"`
}

// StandingVersion is one of the versions of a register.
type StandingVersion struct {
	Dot     string    `json:"dot"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Deleted bool      `json:"is_delete,omitempty"`
	Data    []byte    `json:"data,omitempty"`
}

// ConflictPart is an operation of a transaction that lost a part.
type ConflictPart struct {
	Kind    string `json:"kind"` // write, delete, truncate
	File    string `json:"file"`
	Address string `json:"address"`
	Data    []byte `json:"data,omitempty"`
	// Conflict and State are those of the conflict that it lost; left out: it
	// is shown, or was replaced by a writer that was shown it.
	Conflict string `json:"conflict,omitempty"`
	State    string `json:"state,omitempty"`
}

// ConflictDecision is what a person decides of a conflict.
type ConflictDecision struct {
	ID     string
	Replay bool // the loser's image is to stand; else what is shown stays
	DryRun bool
}

// Parked is a version whose effect cannot be shown at this module.
type Parked struct {
	ID      string `json:"id"`
	Share   string `json:"share"`
	File    string `json:"file"`
	Address string `json:"address"`
	Dot     string `json:"dot"`
	Reason  string `json:"reason"`
	// Shown says of a retry that the version shows now.
	Shown bool `json:"shown,omitempty"`
	// By, At and Data are who wrote it, when, and what; of one only. A file
	// without a place has no data.
	By   string     `json:"by,omitempty"`
	At   *time.Time `json:"at,omitempty"`
	Data []byte     `json:"data,omitempty"`
	// Fields is the data taken apart by the layout of the file, if it has one
	// that fits; of one only.
	Fields []RecordField `json:"fields,omitempty"`
}

// RecordField is a field of a record as text.
type RecordField struct {
	Field string `json:"field"`
	Text  string `json:"text"`
}
