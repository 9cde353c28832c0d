package admin

import "time"

// BenchRequest asks the node to write, or read, by itself. The file is there, with a
// unique index on the first 16 bytes of its records.
type BenchRequest struct {
	File     string        `json:"file"`
	Callers  int           `json:"callers"`
	Bytes    int           `json:"bytes"`
	Keys     string        `json:"keys"` // scattered, ascending
	Warmup   time.Duration `json:"warmup_ns"`
	Duration time.Duration `json:"duration_ns"`
	Rate     float64       `json:"rate"` // writes a second in all; 0: as fast as it goes
	Count    int64         `json:"count"`
	Peer     string        `json:"peer"` // measure until durable there
	// Bare, if not 0, writes into a bare store of its own beside the module's:
	// so many keys a write, 1 (the record by its key) or 4 (what a keyed write
	// of a mirrored file puts: register, index entry, physical order, journal
	// entry, each of the size that it has there).
	Bare int `json:"bare,omitempty"`
	// Call is what is called: keyed_write if it is empty, keyed_read of any of
	// the Records that are there with ascending keys, or of one after the other, or seq_read, from the
	// beginning again at the end.
	Call    string `json:"call,omitempty"`
	Index   string `json:"index,omitempty"` // of the reads; empty: the first 16 bytes, and physical order
	Records int64  `json:"records,omitempty"`
	First   int64  `json:"first,omitempty"` // the first record that is written has the number after it
	// OwnInterval, while it runs, has changes of files that no share has flushed
	// so often, as the interval of a share does; 0: before they are answered.
	OwnInterval time.Duration `json:"own_interval_ns,omitempty"`
	Repeatable  bool          `json:"-"`
}

// BenchResult is what came of it.
type BenchResult struct {
	Acked          int64   `json:"acked"`
	AckedPerS      float64 `json:"acked_per_s"`
	DurableBothPer float64 `json:"durable_both_per_s"`
	LagP50MS       float64 `json:"lag_p50_ms"`
	LagP99MS       float64 `json:"lag_p99_ms"`
	WireBytes      float64 `json:"wire_bytes_per_change"`
	Seconds        float64 `json:"seconds"`
	RSSMB          float64 `json:"rss_mb"`
	Last           int64   `json:"last"`        // number of the last record written
	CPU            float64 `json:"cpu_us"`      // processor time of the node by the calls: user, system, and what goes on in the background
	Allocs         float64 `json:"allocs"`      // allocations in the node by the calls
	AllocBytes     float64 `json:"alloc_bytes"` // and their bytes
}
