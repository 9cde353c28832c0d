package admin

import "time"

// Status is one module's view of itself and the mesh.
type Status struct {
	Module      string         `json:"module"`
	Number      uint32         `json:"number"`
	Mesh        string         `json:"mesh"`
	MeshID      string         `json:"mesh_id"`
	Version     string         `json:"version"`
	State       string         `json:"state"` // serving, joining, not_current, full
	UptimeS     float64        `json:"uptime_s"`
	Leader      string         `json:"leader"` // of control; empty: unknown
	Quorum      bool           `json:"quorum"`
	Lineage     string         `json:"lineage,omitempty"` // of control, once it was recovered
	Control     uint64         `json:"control_index"`
	Epoch       uint64         `json:"policy_epoch"`
	Alarms      []string       `json:"alarms"`
	ClockMS     *float64       `json:"clock_offset_ms"` // the neighbours' clocks, by their median, less ours; null: unknown
	ClockHeld   int            `json:"clock_held"`      // streams that wait here for the time of their stamps
	Streams     []StreamStatus `json:"streams"`
	Members     []MemberStatus `json:"members"`
	Conflicts   int            `json:"open_conflicts"`
	Withheld    int            `json:"withheld"`
	Parked      int            `json:"parked"`
	Lost        *int           `json:"lost_transactions"` // open, in files of this module; null: one cannot be read
	Duplicates  int64          `json:"loops_suppressed"`
	Beyond      int64          `json:"beyond_end"` // txns that came and lie beyond their stream's end; dropped
	ResidentMB  float64        `json:"rss_mb"`
	GossipAlive int            `json:"gossip_alive"` // members that gossip believes alive; a hint
	AsOf        time.Time      `json:"as_of"`
}

// StreamStatus is what a module knows of one stream.
type StreamStatus struct {
	Stream   string     `json:"stream"` // %east#m1.1/main
	Module   string     `json:"module"`
	Own      bool       `json:"own"`
	Written  *uint64    `json:"written"`  // by its signed head, or own; null: unknown
	Received *uint64    `json:"received"` // come here, not yet all durable
	Durable  uint64     `json:"durable"`  // applied here
	Ended    bool       `json:"ended,omitempty"`
	From     string     `json:"from,omitempty"` // neighbour that it is pulled from
	HeadAge  *float64   `json:"head_age_s"`     // age of what written is known by
	Lag      *uint64    `json:"lag_records"`
	LagBytes *uint64    `json:"lag_bytes"` // by the size of what came last
	LagS     *float64   `json:"lag_s"`
	Peers    []PeerSeq  `json:"peers"` // how far neighbours are
	Last     *time.Time `json:"last_txn,omitempty"`
}

// PeerSeq is what a neighbour has of a stream, as far as this module knows.
type PeerSeq struct {
	Module string `json:"module"`
	// Sent is how far this module has sent it to the neighbour; null where the
	// neighbour pulls it elsewhere.
	Sent    *uint64 `json:"sent"`
	Durable *uint64 `json:"durable"` // applied there, as it announced
	// Acknowledged is how far the neighbour has said to this module that it is
	// durable there, since this module started.
	Acknowledged *uint64  `json:"acknowledged"`
	AgeS         *float64 `json:"age_s"` // since it was last heard
	Lag          *uint64  `json:"lag_records"`
	LagBytes     *uint64  `json:"lag_bytes"`
	LagS         *float64 `json:"lag_s"` // age of the oldest txn that it lacks
}

// MemberStatus is a member as control and links know it.
type MemberStatus struct {
	Module    string   `json:"module"`
	Number    uint32   `json:"number"`
	Role      string   `json:"role"`
	Status    string   `json:"status"`
	Voter     bool     `json:"voter"`
	Addresses []string `json:"addresses"`
	// Of a leaf: how long it may go unheard, and when somebody last heard of it
	// as far as is known here.
	Limit   time.Duration `json:"limit_ns,omitempty"`
	HeardAt *time.Time    `json:"heard_at,omitempty"`
}

// CaughtUp is the answer to: is here all that members had a moment ago?
type CaughtUp struct {
	CaughtUp bool     `json:"caught_up"`
	Behind   uint64   `json:"behind_records"`
	Asked    []string `json:"asked"`
	Left     []string `json:"left_out"` // could not be asked
}

// CaughtUpRequest asks members for their vectors, or with a target whether it
// is reached here.
type CaughtUpRequest struct {
	Timeout   time.Duration `json:"timeout_ns,omitempty"`
	Reachable bool          `json:"reachable,omitempty"`
}
