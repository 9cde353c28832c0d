package admin

import "time"

// AccountRequest asks where every acknowledged operation is.
type AccountRequest struct {
	Scan  bool `json:"scan,omitempty"`  // count by reading everything, and hold the counters against it
	Local bool `json:"local,omitempty"` // of the asked module alone
	// Reachable leaves members out that cannot be asked.
	Reachable bool          `json:"reachable,omitempty"`
	Timeout   time.Duration `json:"timeout_ns,omitempty"` // 0: one minute, ten with Scan
}

// AccountLine is the sum of one origin's operations in one share at one
// module.
type AccountLine struct {
	Share       string `json:"share"`
	Origin      string `json:"origin"`
	Module      string `json:"module"`
	Seq         uint64 `json:"seq"` // applied there
	Written     int64  `json:"operations"`
	Live        int64  `json:"live"`
	Overwritten int64  `json:"overwritten"`
	Deleted     int64  `json:"deleted"`
	Open        int64  `json:"open"`
	Superseded  int64  `json:"superseded"`
	Closed      int64  `json:"closed"`
	Parked      int64  `json:"parked"`
	Lost        int64  `json:"lost"`
	Missing     int64  `json:"missing"`
	// Beyond is how many of the operations follow the vector of the account:
	// they were applied while the modules were asked. Null: unknown.
	Beyond *int64 `json:"beyond"`
}

// AccountModule is a module's part of an account.
type AccountModule struct {
	Module     string    `json:"module"`
	AsOf       time.Time `json:"as_of"`
	Scanned    bool      `json:"scanned"`
	Duplicates int64     `json:"duplicates_applied"` // dots found twice in its journal, by the scan
}

// StreamPosition is a place in a stream.
type StreamPosition struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
}

// Account is the account of a module, or of all, at one vector: each module
// has applied it all when it counts.
type Account struct {
	Module     string           `json:"module"` // that was asked
	Modules    []AccountModule  `json:"modules"`
	Vector     []StreamPosition `json:"vector"`
	Lines      []AccountLine    `json:"lines"`
	Scanned    bool             `json:"scanned"`
	Duplicates int64            `json:"duplicates_applied"` // at all modules
	Left       []string         `json:"left_out,omitempty"`
	Findings   []string         `json:"findings"`
}
