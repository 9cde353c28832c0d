package admin

import "time"

// BenchRequest asks the node to write by itself. The file is there, with a
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
	Bare       int  `json:"bare,omitempty"`
	Repeatable bool `json:"-"`
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
}
