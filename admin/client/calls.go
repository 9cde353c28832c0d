package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"drmesh/admin"
)

func ask[T any](ctx context.Context, c *Client, route string, q url.Values) (T, error) {
	var v T
	err := c.do(ctx, http.MethodGet, route, q, nil, &v)
	return v, err
}

func tell[T any](ctx context.Context, c *Client, route string, in any) (T, error) {
	var v T
	err := c.do(ctx, http.MethodPost, route, nil, in, &v)
	return v, err
}

// Status gives the module's view of itself and the mesh.
func (c *Client) Status(ctx context.Context) (*admin.Status, error) { return c.StatusOf(ctx, "") }

// Links lists the module's links.
func (c *Client) Links(ctx context.Context) ([]admin.Link, error) { return c.LinksOf(ctx, "") }

// SetLink pauses or resumes the link between two modules.
func (c *Client) SetLink(ctx context.Context, l admin.LinkChange) error {
	return c.do(ctx, http.MethodPost, "/v1/links", nil, l, nil)
}

// ClockOf gives a module's clock, and those of its neighbours.
func (c *Client) ClockOf(ctx context.Context, module string) (*admin.Clock, error) {
	return ask[*admin.Clock](ctx, c, "/v1/clock", at(module))
}

// ReleaseStamps lets through what waits of a module for the time of its stamps.
func (c *Client) ReleaseStamps(ctx context.Context, r admin.StampRelease) (*admin.StampsReleased, error) {
	return tell[*admin.StampsReleased](ctx, c, "/v1/clock/release", r)
}

// CreateToken makes a token that admits one module.
func (c *Client) CreateToken(ctx context.Context, r admin.TokenRequest) (*admin.Token, error) {
	return tell[*admin.Token](ctx, c, "/v1/tokens", r)
}

// Leave takes the module out of the mesh.
func (c *Client) Leave(ctx context.Context, acceptLoss bool) error {
	_, err := long[struct{}](ctx, c, "/v1/leave", map[string]bool{"accept_loss": acceptLoss})
	return err
}

// TakeOver gives the module's directory there the place of another one.
func (c *Client) TakeOver(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/v1/take-over", nil, nil, nil)
}

// Control gives the control tables in force.
func (c *Client) Control(ctx context.Context) (*admin.ControlText, error) {
	return ask[*admin.ControlText](ctx, c, "/v1/control", nil)
}

// Plan tells what new tables would change.
func (c *Client) Plan(ctx context.Context, r admin.ControlChange) (*admin.ControlPlan, error) {
	return tell[*admin.ControlPlan](ctx, c, "/v1/control/plan", r)
}

// Apply puts new tables in force.
func (c *Client) Apply(ctx context.Context, r admin.ControlChange) (*admin.ControlPlan, error) {
	return long[*admin.ControlPlan](ctx, c, "/v1/control/apply", r)
}

// CaughtUp asks whether all that members had is applied here, and waits for it
// as long as the request says.
func (c *Client) CaughtUp(ctx context.Context, r admin.CaughtUpRequest) (*admin.CaughtUp, error) {
	return tell[*admin.CaughtUp](ctx, c, "/v1/caught-up", r)
}

// FileStats counts the calls on files of the module, or of another one.
func (c *Client) FileStats(ctx context.Context, module, under string) (*admin.FileStats, error) {
	q := url.Values{}
	for name, v := range map[string]string{"module": module, "under": under} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return ask[*admin.FileStats](ctx, c, "/v1/file-stats", q)
}

// Files lists the files below a path; of the whole module if it is empty.
func (c *Client) Files(ctx context.Context, under string) ([]admin.File, error) {
	return ask[[]admin.File](ctx, c, "/v1/files", url.Values{"under": {under}})
}

// Queues lists the queues below a path, or at it; of the whole module if it is
// empty.
func (c *Client) Queues(ctx context.Context, under string) ([]admin.Queue, error) {
	return ask[[]admin.Queue](ctx, c, "/v1/queues", url.Values{"under": {under}})
}

// File describes one file.
func (c *Client) File(ctx context.Context, path string) (*admin.File, error) {
	return ask[*admin.File](ctx, c, "/v1/file", url.Values{"path": {path}})
}

// Digest gives the digest of a file here, or, if module is not empty, at that
// module, where path must be of the share's form.
func (c *Client) Digest(ctx context.Context, module, path string) (*admin.Digest, error) {
	q := url.Values{"path": {path}}
	if module != "" {
		q.Set("module", module)
	}
	return ask[*admin.Digest](ctx, c, "/v1/file/digest", q)
}

// History lists the versions of one record.
func (c *Client) History(ctx context.Context, path, key string) ([]admin.Change, error) {
	return ask[[]admin.Change](ctx, c, "/v1/file/history", url.Values{"path": {path}, "key": {key}})
}

// Journal hands the changes of the journal to fn, in local order.
func (c *Client) Journal(ctx context.Context, r admin.JournalRequest, fn func(*admin.Change) error) error {
	q := url.Values{}
	if r.From != "" {
		q.Set("from", r.From)
	}
	if r.Share != "" {
		q.Set("share", r.Share)
	}
	if r.Follow {
		q.Set("follow", "1")
	}
	if r.Limit > 0 {
		q.Set("limit", strconv.Itoa(r.Limit))
	}
	return c.lines(ctx, "/v1/journal", q, func(b []byte) error {
		var l struct {
			admin.Change
			Error *admin.Error `json:"error"`
		}
		if err := json.Unmarshal(b, &l); err != nil {
			return admin.Errorf(admin.Failed, "bad_answer", "is the node of another version?", "journal: %v", err)
		}
		if l.Error != nil {
			return l.Error
		}
		return fn(&l.Change)
	})
}

// Conflicts lists open and superseded conflicts and withheld claims.
func (c *Client) Conflicts(ctx context.Context, share string) ([]admin.Conflict, error) {
	return ask[[]admin.Conflict](ctx, c, "/v1/conflicts", url.Values{"share": {share}})
}

// Conflict gives one conflict with both images.
func (c *Client) Conflict(ctx context.Context, id string) (*admin.Conflict, error) {
	return ask[*admin.Conflict](ctx, c, "/v1/conflicts/"+url.PathEscape(id), nil)
}

// Resolve carries out what a person decided of a conflict.
func (c *Client) Resolve(ctx context.Context, d admin.ConflictDecision) (*admin.Conflict, error) {
	word := "accept"
	if d.Replay {
		word = "replay"
	}
	q := url.Values{}
	if d.DryRun {
		q.Set("dry_run", "true")
	}
	x := new(admin.Conflict)
	return x, c.do(ctx, http.MethodPost, "/v1/conflicts/"+url.PathEscape(d.ID)+"/"+word, q, nil, x)
}

// Parked lists what cannot be shown at this module.
func (c *Client) Parked(ctx context.Context) ([]admin.Parked, error) {
	return ask[[]admin.Parked](ctx, c, "/v1/parked", nil)
}

// ParkedVersion gives one of them with its image.
func (c *Client) ParkedVersion(ctx context.Context, id string) (*admin.Parked, error) {
	return ask[*admin.Parked](ctx, c, "/v1/parked/"+url.PathEscape(id), nil)
}

// RetryParked has one of them evaluated again, or all for no id.
func (c *Client) RetryParked(ctx context.Context, id string) (l []admin.Parked, err error) {
	q := url.Values{}
	if id != "" {
		q.Set("id", id)
	}
	return l, c.do(ctx, http.MethodPost, "/v1/parked/retry", q, nil, &l)
}

// Account sums up where every operation is, at one vector of all members, or
// at the module alone.
func (c *Client) Account(ctx context.Context, r admin.AccountRequest) (*admin.Account, error) {
	if c.Watch != nil {
		return long[*admin.Account](ctx, c, "/v1/account", r)
	}
	q := url.Values{}
	for name, set := range map[string]bool{"scan": r.Scan, "local": r.Local, "reachable": r.Reachable} {
		if set {
			q.Set(name, "1")
		}
	}
	if r.Timeout > 0 {
		q.Set("timeout_ns", strconv.FormatInt(int64(r.Timeout), 10))
	}
	return ask[*admin.Account](ctx, c, "/v1/account", q)
}

// Prove asks whether the modules of each share hold the same.
func (c *Client) Prove(ctx context.Context, r admin.ProofRequest) (*admin.Proof, error) {
	return long[*admin.Proof](ctx, c, "/v1/proof", r)
}

// Sync has the module take what it holds differently from another one.
func (c *Client) Sync(ctx context.Context, r admin.SyncRequest) (*admin.Sync, error) {
	return long[*admin.Sync](ctx, c, "/v1/sync", r)
}

// LastProof is the last proof that the module made.
func (c *Client) LastProof(ctx context.Context) (*admin.Proof, error) {
	return ask[*admin.Proof](ctx, c, "/v1/proof", nil)
}

// Groups lists the groups and their owners.
func (c *Client) Groups(ctx context.Context) ([]admin.Group, error) {
	return ask[[]admin.Group](ctx, c, "/v1/groups", nil)
}

// SwitchCheck says what a change of owner needs, and changes nothing.
func (c *Client) SwitchCheck(ctx context.Context, group, to string) (*admin.SwitchCheck, error) {
	return ask[*admin.SwitchCheck](ctx, c, "/v1/switchover/check", url.Values{"group": {group}, "to": {to}})
}

// SwitchStart gives a group to another module.
func (c *Client) SwitchStart(ctx context.Context, r admin.SwitchRequest) (*admin.SwitchReceipt, error) {
	return long[*admin.SwitchReceipt](ctx, c, "/v1/switchover", r)
}

// FailoverCheck says what giving a group to another needs when its owner is
// gone, and what would be lost.
func (c *Client) FailoverCheck(ctx context.Context, group, to string) (*admin.SwitchCheck, error) {
	return ask[*admin.SwitchCheck](ctx, c, "/v1/failover/check", url.Values{"group": {group}, "to": {to}})
}

// FailoverStart gives a group to another module while its owner is gone.
func (c *Client) FailoverStart(ctx context.Context, r admin.SwitchRequest) (*admin.SwitchReceipt, error) {
	return long[*admin.SwitchReceipt](ctx, c, "/v1/failover", r)
}

// RecoverPlan says what it takes to have control go on from the module.
func (c *Client) RecoverPlan(ctx context.Context) (*admin.ControlRecovery, error) {
	return ask[*admin.ControlRecovery](ctx, c, "/v1/control/recover", nil)
}

// Recover has control go on from the module, whose node begins anew.
func (c *Client) Recover(ctx context.Context, r admin.RecoverRequest) (*admin.ControlRecovery, error) {
	return tell[*admin.ControlRecovery](ctx, c, "/v1/control/recover", r)
}

// FollowPlan says what it takes to follow the lineage of control that went on
// without the module, or that of a module that is named.
func (c *Client) FollowPlan(ctx context.Context, whose string) (*admin.ControlRecovery, error) {
	return ask[*admin.ControlRecovery](ctx, c, "/v1/control/follow", url.Values{"whose": {whose}})
}

// Follow does it; the node begins anew.
func (c *Client) Follow(ctx context.Context, r admin.RecoverRequest) (*admin.ControlRecovery, error) {
	return tell[*admin.ControlRecovery](ctx, c, "/v1/control/follow", r)
}

// LostFiles lists the lost-transaction files of all modules.
func (c *Client) LostFiles(ctx context.Context) ([]admin.LostFile, error) {
	return ask[[]admin.LostFile](ctx, c, "/v1/lost", nil)
}

// LostFile gives one of them, with its transactions.
func (c *Client) LostFile(ctx context.Context, name string) (*admin.LostFile, error) {
	return ask[*admin.LostFile](ctx, c, "/v1/lost/"+url.PathEscape(name), nil)
}

// LostReplay has the owner commit lost transactions again.
func (c *Client) LostReplay(ctx context.Context, r admin.LostChange) (*admin.LostResult, error) {
	return tell[*admin.LostResult](ctx, c, "/v1/lost/replay", r)
}

// LostSalvage keeps what a directory has that nobody else has.
func (c *Client) LostSalvage(ctx context.Context, r admin.LostSalvage) ([]admin.LostFile, error) {
	return tell[[]admin.LostFile](ctx, c, "/v1/lost/salvage", r)
}

// LostDiscard closes a lost-transaction file.
func (c *Client) LostDiscard(ctx context.Context, name string) (*admin.LostFile, error) {
	return tell[*admin.LostFile](ctx, c, "/v1/lost/discard", admin.LostChange{Name: name})
}

// Remove puts another module out of the mesh.
func (c *Client) Remove(ctx context.Context, module string) error {
	_, err := long[struct{}](ctx, c, "/v1/modules/remove", admin.RemoveRequest{Module: module})
	return err
}

// ControlHistory lists the tables that were in force, the oldest first.
func (c *Client) ControlHistory(ctx context.Context) ([]admin.ControlText, error) {
	return ask[[]admin.ControlText](ctx, c, "/v1/control/history", nil)
}

// SwitchHistory lists the receipts of a group; of all, if it is empty.
func (c *Client) SwitchHistory(ctx context.Context, group string) ([]admin.SwitchReceipt, error) {
	return ask[[]admin.SwitchReceipt](ctx, c, "/v1/switchover", url.Values{"group": {group}})
}

// SwitchAbort rolls a change of owner back that is under way.
func (c *Client) SwitchAbort(ctx context.Context, group string) error {
	return c.do(ctx, http.MethodDelete, "/v1/switchover/"+url.PathEscape(group), nil, nil, nil)
}

// Bench has the node write by itself.
func (c *Client) Bench(ctx context.Context, r admin.BenchRequest) (*admin.BenchResult, error) {
	return tell[*admin.BenchResult](ctx, c, "/v1/bench", r)
}

// Mesh gives the views of all members, asked by the module now.
func (c *Client) Mesh(ctx context.Context) (*admin.MeshView, error) {
	return ask[*admin.MeshView](ctx, c, "/v1/mesh", nil)
}

// Matrix gives each stream at each module.
func (c *Client) Matrix(ctx context.Context) ([]admin.MatrixRow, error) {
	return ask[[]admin.MatrixRow](ctx, c, "/v1/matrix", nil)
}

// StatusOf gives a member's view, asked through this one; of this one if module
// is empty.
func (c *Client) StatusOf(ctx context.Context, module string) (*admin.Status, error) {
	return ask[*admin.Status](ctx, c, "/v1/status", at(module))
}

// LinksOf lists the links of a member; of this one if module is empty.
func (c *Client) LinksOf(ctx context.Context, module string) ([]admin.Link, error) {
	return ask[[]admin.Link](ctx, c, "/v1/links", at(module))
}

func at(module string) url.Values {
	if module == "" {
		return nil
	}
	return url.Values{"module": {module}}
}

// CreateAccess makes an access token.
func (c *Client) CreateAccess(ctx context.Context, r admin.AccessRequest) (*admin.NewAccess, error) {
	return tell[*admin.NewAccess](ctx, c, "/v1/access-tokens", r)
}

// AccessTokens lists the access tokens of the module.
func (c *Client) AccessTokens(ctx context.Context) ([]admin.AccessToken, error) {
	return ask[[]admin.AccessToken](ctx, c, "/v1/access-tokens", nil)
}

// RevokeAccess revokes an access token.
func (c *Client) RevokeAccess(ctx context.Context, id string) (*admin.AccessToken, error) {
	var v *admin.AccessToken
	err := c.do(ctx, http.MethodDelete, "/v1/access-tokens/"+url.PathEscape(id), nil, nil, &v)
	return v, err
}

// Audit gives the newest lines of the audit.
func (c *Client) Audit(ctx context.Context, limit int) ([]admin.AuditLine, error) {
	return ask[[]admin.AuditLine](ctx, c, "/v1/audit", url.Values{"limit": {strconv.Itoa(limit)}})
}

// Operations lists the module's long operations.
func (c *Client) Operations(ctx context.Context) ([]admin.Operation, error) {
	return ask[[]admin.Operation](ctx, c, "/v1/operations", nil)
}

// Operation gives one long operation.
func (c *Client) Operation(ctx context.Context, id string) (*admin.Operation, error) {
	return ask[*admin.Operation](ctx, c, "/v1/operations/"+url.PathEscape(id), nil)
}

// Cancel cancels a long operation.
func (c *Client) Cancel(ctx context.Context, id string) (*admin.Operation, error) {
	var v *admin.Operation
	err := c.do(ctx, http.MethodDelete, "/v1/operations/"+url.PathEscape(id), nil, nil, &v)
	return v, err
}

// Ready tells whether the module is ready for something; with "write" a group
// may be named.
func (c *Client) Ready(ctx context.Context, what, group string) (*admin.Readiness, error) {
	q := url.Values{"for": {what}}
	if group != "" {
		q.Set("group", group)
	}
	return ask[*admin.Readiness](ctx, c, "/readyz", q)
}
