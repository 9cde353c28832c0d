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
}

// Parked is a version whose effect cannot be shown at this module.
type Parked struct {
	Share   string `json:"share"`
	File    string `json:"file"`
	Address string `json:"address"`
	Dot     string `json:"dot"`
	Reason  string `json:"reason"`
}
