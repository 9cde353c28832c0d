package admin

import "time"

// File is a file of this module.
type File struct {
	Path     string   `json:"path"`
	Share    string   `json:"share,omitempty"`
	ID       string   `json:"id"`
	Org      string   `json:"organization"`
	Size     int      `json:"record_size"`
	Records  int64    `json:"records"`
	Bytes    int64    `json:"bytes"`
	Indexes  []string `json:"indexes,omitempty"`
	Parked   int64    `json:"parked"`
	Withheld int64    `json:"withheld"`
	Computed bool     `json:"computed_name,omitempty"`
	Layout   bool     `json:"layout,omitempty"`
}

// Digest is the digest of a file at this module.
type Digest struct {
	Digest  string `json:"digest"` // SHA-256, hexadecimal
	Records int64  `json:"records"`
	Path    string `json:"path"` // in the share
	Parked  int64  `json:"parked"`
}

// FileStats is how often programs made each call at a module, on which files,
// since its node started.
type FileStats struct {
	Module string      `json:"module"`
	Since  time.Time   `json:"since"`
	Counts []FileCalls `json:"counts"`
}

// FileCalls is what the programs of one name did with one file.
type FileCalls struct {
	Program string      `json:"program"`
	File    string      `json:"file"` // empty: calls that are about no file
	Calls   []CallCount `json:"calls"`
}

// CallCount is how often a call was made, and how often of these it gave
// another code than 0.
type CallCount struct {
	Call   string `json:"call"`
	Made   uint64 `json:"made"`
	Failed uint64 `json:"failed"`
}
