package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// ControlRecovery is what it takes to have control go on without a majority of
// those who vote, or to follow where it did.
type ControlRecovery struct {
	Module string `json:"module"`
	// Lineage is, of a plan to recover, the one that stands (empty: the mesh's
	// first); otherwise the one that goes on: where, by whom and when it began.
	Lineage string      `json:"lineage"`
	Began   string      `json:"began,omitempty"`
	By      string      `json:"by,omitempty"`
	At      time.Time   `json:"at,omitzero"`
	Level   string      `json:"level"` // the worst
	Checks  []CheckLine `json:"checks"`
	With    []string    `json:"with,omitempty"` // members that come along by themselves
	Left    []string    `json:"left,omitempty"` // members that are left behind
	Loss    bool        `json:"loss"`           // it needs to be accepted that something may be lost
	// Invited says that this module follows by itself if it loses nothing.
	Invited bool `json:"invited,omitempty"`
}

// Add adds a line.
func (c *ControlRecovery) Add(level, check, remedy, format string, args ...any) {
	c.Checks = append(c.Checks, CheckLine{Level: level, Check: check, Text: fmt.Sprintf(format, args...), Remedy: remedy})
	if level == Fail || level == Warn && c.Level == Pass {
		c.Level = level
	}
}

// First is the first line of a level; nil: there is none.
func (c *ControlRecovery) First(level string) *CheckLine {
	for i := range c.Checks {
		if c.Checks[i].Level == level {
			return &c.Checks[i]
		}
	}
	return nil
}

// RecoverRequest asks for either.
type RecoverRequest struct {
	AcceptLoss bool   `json:"accept_loss,omitempty"`
	By         string `json:"by,omitempty"`
	// Module is, of a request to follow, whose lineage; empty: the one that went
	// on from this module's.
	Module string `json:"module,omitempty"`
}

// recoverRoutes are those of lineages of control.
func (a *API) recoverRoutes() {
	e := a.engine
	object := func(*struct{ Body RecoverRequest }) string { return a.Module }
	register(a, route{id: "plan-recover", method: http.MethodGet, path: "/v1/control/recover", summary: "What it takes, and may lose, to have control go on from this module without a majority; nothing is changed", least: Viewer, here: true}, nil,
		func(ctx context.Context, _ *struct{}) (*ControlRecovery, error) { return e.RecoverPlan(ctx) })
	register(a, route{id: "recover-control", method: http.MethodPost, path: "/v1/control/recover", summary: "Have control go on from this module in a new lineage; its node begins anew", least: Admin, change: true, here: true}, object,
		func(ctx context.Context, in *struct{ Body RecoverRequest }) (*ControlRecovery, error) {
			in.Body.By = CallerOf(ctx).Name
			return e.Recover(ctx, in.Body)
		})
	register(a, route{id: "plan-follow", method: http.MethodGet, path: "/v1/control/follow", summary: "What it takes, and may lose, to follow the lineage of control that went on without this module; nothing is changed", least: Viewer, here: true}, nil,
		func(ctx context.Context, in *struct {
			Whose string `query:"whose" doc:"Follow the lineage of this module; left out: the one that went on from this module's"`
		}) (*ControlRecovery, error) {
			return e.FollowPlan(ctx, in.Whose)
		})
	register(a, route{id: "follow-control", method: http.MethodPost, path: "/v1/control/follow", summary: "Follow the lineage of control that went on without this module; its node begins anew", least: Admin, change: true, here: true}, object,
		func(ctx context.Context, in *struct{ Body RecoverRequest }) (*ControlRecovery, error) {
			in.Body.By = CallerOf(ctx).Name
			return e.Follow(ctx, in.Body)
		})
}
