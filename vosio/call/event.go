package call

import (
	"context"
	"encoding/json"
)

// Event is what s$wait_event gives, in JSON.
type Event struct {
	Event   int64 `json:"event"`
	Count   int64 `json:"count"`  // notifications since the last wait
	Status  int64 `json:"status"` // of the last
	Changed bool  `json:"changed,omitempty"`
}

// TerminalInfo is what operation 201 of s$control gives, in JSON.
type TerminalInfo struct {
	Version int    `json:"version"`
	Width   int    `json:"width"`
	Prompt  string `json:"prompt"`
}

// Notify notifies the event of a file, at every module that has it.
func (c Client) Notify(ctx context.Context, path string, status int64) error {
	_, err := c.do(ctx, &Request{Call: "s$notify_path", Path: path, Count: status})
	return err
}

// AttachEvent attaches the event of a file; changes asks for changes of the
// file, too.
func (c Client) AttachEvent(ctx context.Context, path string, changes bool) (int64, error) {
	q := &Request{Call: "s$attach_event", Path: path}
	if changes {
		q.Switches = 1
	}
	r, err := c.do(ctx, q)
	if err != nil {
		return 0, err
	}
	return r.Number, nil
}

// DetachEvent ends that.
func (c Client) DetachEvent(ctx context.Context, event int64) error {
	_, err := c.do(ctx, &Request{Call: "s$detach_event", Number: event})
	return err
}

// WaitEvent waits for an attached event, 0 is any, for so many ticks of 1/1024 s
// at most; 0: as long as it takes.
func (c Client) WaitEvent(ctx context.Context, event, ticks int64) (e Event, err error) {
	r, err := c.do(ctx, &Request{Call: "s$wait_event", Number: event, Count: ticks})
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(r.Info, &e)
}
