package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Group is a group as one module sees it.
type Group struct {
	Group       string   `json:"group"`
	Mode        string   `json:"mode"` // active, owned
	Shares      []string `json:"shares"`
	CommitScope string   `json:"commit_scope"`
	OnTimeout   string   `json:"on_timeout"`
	// Of a group with mode owned: who writes it now, in which epoch and since
	// when, the number of its last txn that is durable at the module asked, and
	// the change of owner under way.
	Owner     string     `json:"owner,omitempty"`
	Epoch     uint64     `json:"epoch,omitempty"`
	Since     *time.Time `json:"since,omitempty"`
	Number    uint64     `json:"number,omitempty"`
	Switching *Switch    `json:"switching,omitempty"`
	// Supplementary are the modules that write it beside the owner.
	Supplementary []Supplementary `json:"supplementary,omitempty"`
	OnRollback    string          `json:"on_rollback,omitempty"`
}

// Supplementary is a module that writes an owned group beside its owner.
type Supplementary struct {
	Module string `json:"module"`
	// Number of its last txn that is durable at the module asked; none where its
	// txns do not go.
	Number *uint64 `json:"number,omitempty"`
}

// Switch is a change of owner under way.
type Switch struct {
	ID    string    `json:"id"`
	Group string    `json:"group"`
	From  string    `json:"from"`
	To    string    `json:"to"`
	By    string    `json:"by"`
	Begun time.Time `json:"begun"`
	Until time.Time `json:"until"` // it is rolled back if it has not ended by then
	State string    `json:"state"` // stop hook, stopping, draining
}

// SwitchRequest asks for a change of owner.
type SwitchRequest struct {
	Group   string        `json:"group"`
	To      string        `json:"to"`
	By      string        `json:"by,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // default 30 s
	// AcceptLoss lets a failover go on that leaves txns behind.
	AcceptLoss bool `json:"accept_loss,omitempty"`
}

// RemoveRequest names a module that is to be put out of the mesh.
type RemoveRequest struct {
	Module string `json:"module"`
}

// Levels of a CheckLine.
const (
	Pass = "PASS"
	Warn = "WARN"
	Fail = "FAIL"
)

// CheckLine is one thing that was looked at before a change of owner.
type CheckLine struct {
	Level  string `json:"level"`
	Check  string `json:"check"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// SwitchCheck is all of them.
type SwitchCheck struct {
	Group  string      `json:"group"`
	From   string      `json:"from"`
	To     string      `json:"to"`
	Epoch  uint64      `json:"epoch"`
	Level  string      `json:"level"` // the worst
	Checks []CheckLine `json:"checks"`
	// Of a failover: how many txns are known of that no survivor in reach has,
	// and the first thousand of them.
	Missing     uint64   `json:"missing,omitempty"`
	MissingDots []string `json:"missing_dots,omitempty"`
}

// Add adds a line.
func (c *SwitchCheck) Add(level, check, remedy, format string, args ...any) {
	c.Checks = append(c.Checks, CheckLine{Level: level, Check: check, Text: fmt.Sprintf(format, args...), Remedy: remedy})
	if level == Fail || level == Warn && c.Level == Pass {
		c.Level = level
	}
}

// First is the first line of a level; nil: there is none.
func (c *SwitchCheck) First(level string) *CheckLine {
	for i := range c.Checks {
		if c.Checks[i].Level == level {
			return &c.Checks[i]
		}
	}
	return nil
}

// SwitchReceipt says what became of a change of owner.
type SwitchReceipt struct {
	ID     string    `json:"id"`
	Group  string    `json:"group"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	By     string    `json:"by"`
	Epoch  uint64    `json:"epoch"`            // of the owner that follows
	Number uint64    `json:"number"`           // of the last txn before it
	Begun  time.Time `json:"begun"`            // writes stopped, at the latest a moment after
	Ended  time.Time `json:"ended"`            // and could go on
	Still  float64   `json:"still_ms"`         // how long that was
	Failed string    `json:"failed,omitempty"` // why it was rolled back
	// Failover says that the owner before was gone.
	Failover bool `json:"failover,omitempty"`
	// Lineage is the control log that decided it, once control was recovered.
	Lineage string `json:"lineage,omitempty"`
	// Hooks are the programs that it called for, and what became of them.
	Hooks []HookRun `json:"hooks,omitempty"`
}

// HookRun is a hook of a group that a change of owner called for.
type HookRun struct {
	Level   string     `json:"level"` // PASS; WARN: it did not succeed, or has not been heard of
	Hook    string     `json:"hook"`  // stop, start, notify
	Module  string     `json:"module"`
	Command string     `json:"command"`
	State   string     `json:"state"` // due, ok, failed, timeout, skipped
	Text    string     `json:"text,omitempty"`
	Output  string     `json:"output,omitempty"` // the end of what it printed
	At      *time.Time `json:"at"`               // when its module told; null: it has not
	Took    float64    `json:"took_ms"`
}

// groupRoutes are those of groups and their owners.
func (a *API) groupRoutes() {
	e := a.engine
	register(a, route{id: "groups", method: http.MethodGet, path: "/v1/groups", summary: "The groups, and who owns those that have an owner", least: Viewer}, nil,
		func(ctx context.Context, _ *atModule) ([]Group, error) { return e.Groups(ctx) })
	register(a, route{id: "check-switchover", method: http.MethodGet, path: "/v1/switchover/check", summary: "What a change of owner needs; nothing is changed", least: Viewer, here: true}, nil,
		func(ctx context.Context, in *struct {
			Group string `query:"group" required:"true"`
			To    string `query:"to" required:"true" doc:"The module that is to own it, %system#module"`
		}) (*SwitchCheck, error) {
			return e.SwitchCheck(ctx, SwitchRequest{Group: in.Group, To: in.To})
		})
	registerLong(a, route{id: "start-switchover", method: http.MethodPost, path: "/v1/switchover", summary: "Give a group to another module; what does not end in time is rolled back", least: Operator, change: true, here: true},
		func(in *SwitchRequest) string { return in.Group + " to " + in.To },
		func(ctx context.Context, in *longInput[SwitchRequest]) (*SwitchReceipt, error) {
			in.Body.By = CallerOf(ctx).Name
			return e.SwitchStart(ctx, in.Body)
		})
	register(a, route{id: "check-failover", method: http.MethodGet, path: "/v1/failover/check", summary: "What giving a group to another owner needs when its own is gone, and what would be lost", least: Viewer, here: true}, nil,
		func(ctx context.Context, in *struct {
			Group string `query:"group" required:"true"`
			To    string `query:"to" required:"true" doc:"The module that is to own it, %system#module"`
		}) (*SwitchCheck, error) {
			return e.FailoverCheck(ctx, SwitchRequest{Group: in.Group, To: in.To})
		})
	registerLong(a, route{id: "start-failover", method: http.MethodPost, path: "/v1/failover", summary: "Give a group to another module while its owner is gone", least: Operator, change: true, here: true},
		func(in *SwitchRequest) string {
			if in.AcceptLoss {
				return in.Group + " to " + in.To + " accepting loss"
			}
			return in.Group + " to " + in.To
		},
		func(ctx context.Context, in *longInput[SwitchRequest]) (*SwitchReceipt, error) {
			in.Body.By = CallerOf(ctx).Name
			return e.FailoverStart(ctx, in.Body)
		})
	register(a, route{id: "switchovers", method: http.MethodGet, path: "/v1/switchover", summary: "Receipts of changes of owner, the oldest first", least: Viewer}, nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			Group  string `query:"group" doc:"Those of one group"`
		}) ([]SwitchReceipt, error) {
			return e.SwitchHistory(ctx, in.Group)
		})
	register(a, route{id: "abort-switchover", method: http.MethodDelete, path: "/v1/switchover/{group}", summary: "Roll a change of owner back that is under way", least: Operator, change: true, here: true},
		func(in *struct {
			Group string `path:"group"`
		}) string {
			return in.Group
		},
		func(ctx context.Context, in *struct {
			Group string `path:"group"`
		}) (*empty, error) {
			return &empty{}, e.SwitchAbort(ctx, in.Group, CallerOf(ctx).Name)
		})
}
