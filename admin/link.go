package admin

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
