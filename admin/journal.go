package admin

import "time"

// Change is one version of a record, or one operation of a txn, in the
// journal.
type Change struct {
	Dot     string    `json:"dot"`
	At      time.Time `json:"at"`
	Stamp   uint64    `json:"stamp"`
	Module  string    `json:"module"`
	Process string    `json:"process"`
	Kind    string    `json:"kind"`
	Share   string    `json:"share,omitempty"`
	File    string    `json:"file"`
	Address string    `json:"address"`
	Life    uint32    `json:"life,omitempty"`
	Data    []byte    `json:"data,omitempty"`
	Before  []Before  `json:"before,omitempty"`
}

// Before is what a record showed before a change, where the share or its group
// keeps that. A change of several at once, a truncation, has several, of which
// the first 1000 are told.
type Before struct {
	Address string `json:"address"`
	Shown   bool   `json:"shown"` // false: there was no record
	Data    []byte `json:"data,omitempty"`
}

// JournalRequest says what of the journal is wanted.
type JournalRequest struct {
	From   string `json:"from,omitempty"` // dot or time; left out: the beginning, with Follow the end
	Share  string `json:"share,omitempty"`
	Follow bool   `json:"follow,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}
