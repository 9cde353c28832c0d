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
	Control     uint64         `json:"control_index"`
	Epoch       uint64         `json:"policy_epoch"`
	Alarms      []string       `json:"alarms"`
	Streams     []StreamStatus `json:"streams"`
	Members     []MemberStatus `json:"members"`
	Conflicts   int            `json:"open_conflicts"`
	Withheld    int            `json:"withheld"`
	Parked      int            `json:"parked"`
	Lost        int            `json:"lost_transactions"` // open
	Duplicates  int64          `json:"loops_suppressed"`
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
}

// Link is what there is between this module and a peer: what it pulls from the
// peer, and what it serves to it, over all their pairs of addresses.
type Link struct {
	Peer          string   `json:"peer"`
	State         string   `json:"state"` // up, connecting, paused, none
	Serving       bool     `json:"serving"`
	SinceS        *float64 `json:"since_s"`
	RTTMS         *float64 `json:"rtt_ms"`
	HeardS        *float64 `json:"heard_s"`
	Received      int64    `json:"received_txns"`
	ReceivedBytes int64    `json:"received_bytes"`
	Sent          int64    `json:"sent_txns"`
	SentBytes     int64    `json:"sent_bytes"`
	WireSent      uint64   `json:"wire_sent_bytes"`
	WireReceived  uint64   `json:"wire_received_bytes"`
	ClockMS       *float64 `json:"clock_offset_ms"`
	LastError     string   `json:"last_error,omitempty"`
	// Pairs are the connections that carry it: with one pair of addresses the
	// session alone, else that, which carries no data while a link does, and
	// one link for each pair.
	Pairs []LinkPair `json:"pairs"`
}

// LinkPair is the part of a Link on one pair of addresses. Link 0 is the
// session.
type LinkPair struct {
	Link          int      `json:"link"`
	Local         string   `json:"local"` // empty while it does not stand
	Remote        string   `json:"remote"`
	State         string   `json:"state"` // of pulling: up, connecting, paused
	Serving       bool     `json:"serving"`
	SinceS        *float64 `json:"since_s"`
	RTTMS         *float64 `json:"rtt_ms"`
	Received      int64    `json:"received_txns"`
	ReceivedBytes int64    `json:"received_bytes"`
	Sent          int64    `json:"sent_txns"`
	SentBytes     int64    `json:"sent_bytes"`
	LastError     string   `json:"last_error,omitempty"`
}

// LinkChange pauses or resumes the link between two modules.
type LinkChange struct {
	A      string `json:"a"`
	B      string `json:"b"`
	Paused bool   `json:"paused"`
}

// TokenRequest asks for a token.
type TokenRequest struct {
	Role string        `json:"role,omitempty"`
	TTL  time.Duration `json:"ttl_ns,omitempty"`
}

// LeaveRequest takes a module out of the mesh.
type LeaveRequest struct {
	AcceptLoss bool `json:"accept_loss,omitempty"`
}

// Token is a new token; its text is a secret.
type Token struct {
	Token   string    `json:"token"`
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
}

// ControlText is a version of the control tables.
type ControlText struct {
	Epoch  uint64    `json:"policy_epoch"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Format string    `json:"format"`
	Text   string    `json:"text"`
}

// ControlChange asks for a plan of new tables, or for their application.
type ControlChange struct {
	Text    string        `json:"text"`
	Base    uint64        `json:"base_epoch,omitempty"` // of the plan; 0: whatever is in force
	Timeout time.Duration `json:"timeout_ns,omitempty"`
}

// ControlPlan is what new tables would change, or changed.
type ControlPlan struct {
	Epoch    uint64    `json:"policy_epoch"`
	Lines    []string  `json:"plan"`
	Warnings []Problem `json:"warnings,omitempty"`
	// After apply: members that do not have the epoch yet.
	Lacking []string `json:"lacking,omitempty"`
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
}

// JournalRequest says what of the journal is wanted.
type JournalRequest struct {
	From   string `json:"from,omitempty"` // dot or time
	Share  string `json:"share,omitempty"`
	Follow bool   `json:"follow,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}

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
	// Bare writes the same keys and bytes into a bare store of its own beside
	// the node's instead: what the disk and the library give.
	Bare       bool `json:"bare,omitempty"`
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
