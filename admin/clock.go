package admin

import "time"

// Clock is what a module knows of its clock and those of its neighbours.
type Clock struct {
	Module   string       `json:"module"`
	Wall     time.Time    `json:"wall"`
	MedianMS *float64     `json:"median_offset_ms"` // of the neighbours, less ours; null: none was asked of late
	LeadMS   float64      `json:"lead_ms"`          // more than 0: ours is so far ahead that it stamps by the neighbours' time
	LeapMS   float64      `json:"leap_ms"`          // more than 0: ours leapt, and nobody confirmed it yet
	Peers    []PeerClock  `json:"peers"`
	Held     []HeldStream `json:"held"` // streams that wait for the time of their stamps
}

// PeerClock is a neighbour's clock.
type PeerClock struct {
	Peer     string   `json:"peer"`
	OffsetMS *float64 `json:"offset_ms"` // the peer's less ours; null: not measured
	RTTMS    *float64 `json:"rtt_ms"`    // of the measurement: half of it is its error at most
	AgeS     *float64 `json:"age_s"`
}

// HeldStream is a stream whose next txn is stamped far in the future.
type HeldStream struct {
	At     string    `json:"at,omitempty"` // where it waits, if several modules were asked
	Stream string    `json:"stream"`
	Module string    `json:"module"` // whose it is
	Seq    uint64    `json:"seq"`
	Stamp  time.Time `json:"stamp"`
	AheadS float64   `json:"ahead_s"` // of the time now; it waits until this is 10
}

// StampRelease lets through what waits of a module for the time of its stamps.
type StampRelease struct {
	Module string `json:"module"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// StampsReleased tells what was let through, and where.
type StampsReleased struct {
	Module   string       `json:"module"`
	Released []HeldStream `json:"released"`
	Left     []string     `json:"left_out"` // members that could not be asked
}
