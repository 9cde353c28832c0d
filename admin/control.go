package admin

import "time"

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
