package admin

import "time"

// Queue is a queue as it stands at this module.
type Queue struct {
	Path       string     `json:"path"`
	Share      string     `json:"share,omitempty"`
	Kind       string     `json:"kind"`  // message_queue, one_way_server_queue, server_queue, direct_queue
	Depth      int64      `json:"depth"` // messages
	Bytes      int64      `json:"bytes"`
	Limit      int64      `json:"limit"` // messages; 0: none
	Protected  bool       `json:"protected"`
	Servers    int        `json:"servers"` // that have it open at this module
	Requesters int        `json:"requesters"`
	Delivers   string     `json:"delivers"`        // yes; no, and why; waits for the lease
	First      *time.Time `json:"first,omitempty"` // when the message that is next was sent
}
