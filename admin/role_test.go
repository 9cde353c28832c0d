package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// nothing is an engine that can do nothing, and says so.
type nothing struct{}

var errNothing = Errorf(NoQuorum, "nothing", "", "nothing can be done")

func (nothing) Status(context.Context) (*Status, error)                   { return nil, errNothing }
func (nothing) Links(context.Context) ([]Link, error)                     { return nil, errNothing }
func (nothing) SetLink(context.Context, LinkChange) error                 { return errNothing }
func (nothing) CreateToken(context.Context, TokenRequest) (*Token, error) { return nil, errNothing }
func (nothing) Leave(context.Context, bool) error                         { return errNothing }
func (nothing) FileStats(context.Context, string) (*FileStats, error)     { return nil, errNothing }
func (nothing) Clock(context.Context) (*Clock, error)                     { return nil, errNothing }
func (nothing) ReleaseStamps(context.Context, StampRelease) (*StampsReleased, error) {
	return nil, errNothing
}
func (nothing) TakeOver(context.Context) error                    { return errNothing }
func (nothing) ControlText(context.Context) (*ControlText, error) { return nil, errNothing }
func (nothing) ControlPlan(context.Context, ControlChange) (*ControlPlan, error) {
	return nil, errNothing
}
func (nothing) ControlApply(context.Context, ControlChange) (*ControlPlan, error) {
	return nil, errNothing
}
func (nothing) CaughtUp(context.Context, CaughtUpRequest) (*CaughtUp, error) { return nil, errNothing }
func (nothing) Files(context.Context, string) ([]File, error)                { return nil, errNothing }
func (nothing) Queues(context.Context, string) ([]Queue, error)              { return nil, errNothing }
func (nothing) File(context.Context, string) (*File, error)                  { return nil, errNothing }
func (nothing) Digest(context.Context, string) (*Digest, error)              { return nil, errNothing }
func (nothing) History(context.Context, string, string) ([]Change, error)    { return nil, errNothing }
func (nothing) Journal(context.Context, JournalRequest, func(*Change) error) error {
	return errNothing
}
func (nothing) Conflicts(context.Context, string) ([]Conflict, error) { return nil, errNothing }
func (nothing) Conflict(context.Context, string) (*Conflict, error)   { return nil, errNothing }
func (nothing) Resolve(context.Context, ConflictDecision, string) (*Conflict, error) {
	return nil, errNothing
}
func (nothing) Parked(context.Context) ([]Parked, error)                  { return nil, errNothing }
func (nothing) ParkedVersion(context.Context, string) (*Parked, error)    { return nil, errNothing }
func (nothing) RetryParked(context.Context, string) ([]Parked, error)     { return nil, errNothing }
func (nothing) Prove(context.Context, ProofRequest) (*Proof, error)       { return nil, errNothing }
func (nothing) Sync(context.Context, SyncRequest) (*Sync, error)          { return nil, errNothing }
func (nothing) LastProof(context.Context) (*Proof, error)                 { return nil, errNothing }
func (nothing) Account(context.Context, AccountRequest) (*Account, error) { return nil, errNothing }
func (nothing) Ready(context.Context, string, string) (*Readiness, error) { return nil, errNothing }
func (nothing) Groups(context.Context) ([]Group, error)                   { return nil, errNothing }
func (nothing) SwitchCheck(context.Context, SwitchRequest) (*SwitchCheck, error) {
	return nil, errNothing
}
func (nothing) SwitchStart(context.Context, SwitchRequest) (*SwitchReceipt, error) {
	return nil, errNothing
}
func (nothing) FailoverCheck(context.Context, SwitchRequest) (*SwitchCheck, error) {
	return nil, errNothing
}
func (nothing) FailoverStart(context.Context, SwitchRequest) (*SwitchReceipt, error) {
	return nil, errNothing
}
func (nothing) RecoverPlan(context.Context) (*ControlRecovery, error) { return nil, errNothing }
func (nothing) Recover(context.Context, RecoverRequest) (*ControlRecovery, error) {
	return nil, errNothing
}
func (nothing) FollowPlan(context.Context, string) (*ControlRecovery, error) { return nil, errNothing }
func (nothing) Follow(context.Context, RecoverRequest) (*ControlRecovery, error) {
	return nil, errNothing
}
func (nothing) LostRecords(context.Context) ([]LostFile, error)              { return nil, errNothing }
func (nothing) LostFile(context.Context, string) (*LostFile, error)          { return nil, errNothing }
func (nothing) LostReplay(context.Context, LostChange) (*LostResult, error)  { return nil, errNothing }
func (nothing) LostSalvage(context.Context, LostSalvage) ([]LostFile, error) { return nil, errNothing }
func (nothing) LostDiscard(context.Context, string) (*LostFile, error)       { return nil, errNothing }
func (nothing) Remove(context.Context, string) error                         { return errNothing }
func (nothing) ControlHistory(context.Context) ([]ControlText, error)        { return nil, errNothing }
func (nothing) SwitchHistory(context.Context, string) ([]SwitchReceipt, error) {
	return nil, errNothing
}
func (nothing) SwitchAbort(context.Context, string, string) error         { return errNothing }
func (nothing) Bench(context.Context, BenchRequest) (*BenchResult, error) { return nil, errNothing }
func (nothing) Forward(context.Context, string, Caller, string) (*Forwarded, error) {
	return nil, errNothing
}

// inputs are what routes need to be asked properly.
var inputs = map[string]string{
	"set-link":            `{"a":"%east#m1","b":"%west#m1","paused":true}`,
	"release-stamps":      `{"module":"%west#m1"}`,
	"create-token":        `{}`,
	"leave":               `{}`,
	"plan-control":        `{"text":""}`,
	"apply-control":       `{"text":""}`,
	"caught-up":           `{}`,
	"run-account":         `{}`,
	"prove":               `{}`,
	"sync":                `{"share":"main"}`,
	"bench":               `{"file":"f","callers":1,"bytes":1,"keys":"ascending","warmup_ns":0,"duration_ns":1,"rate":0,"count":1,"peer":""}`,
	"start-switchover":    `{"group":"g","to":"%west#m1"}`,
	"remove-module":       `{"module":"%west#m1"}`,
	"start-failover":      `{"group":"g","to":"%west#m1"}`,
	"replay-lost":         `{"name":"g.1.1"}`,
	"salvage-lost":        `{"from":"/d"}`,
	"discard-lost":        `{"name":"g.1.1"}`,
	"recover-control":     `{}`,
	"follow-control":      `{}`,
	"create-access-token": `{"role":"viewer"}`,
}

// open are the routes that anybody may ask.
var open = []string{"healthz", "readyz", "openapi"}

// Every route with every role and none: exactly those that have the role get
// through to the engine. A change that was let in, or refused to somebody, is
// in the audit.
func TestEveryRouteWithEveryRole(t *testing.T) {
	audit, err := OpenAudit(filepath.Join(t.TempDir(), "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer audit.Close()
	tokens, err := OpenAccessTokens(filepath.Join(t.TempDir(), "access.json"), [32]byte{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := New(nothing{}, Options{Module: "%east#m1", Audit: audit, Tokens: tokens})
	defer a.Close()
	seen, changes := 0, 0
	for path, item := range a.huma.OpenAPI().Paths {
		for _, op := range []*operationOf{{"GET", item.Get}, {"POST", item.Post}, {"DELETE", item.Delete}, {"PUT", item.Put}, {"PATCH", item.Patch}} {
			if op.op == nil {
				continue
			}
			seen++
			r := op.op.Metadata[routeKey].(*route)
			if r.id != op.op.OperationID || r.least == Nobody != slices.Contains(open, r.id) {
				t.Errorf("%s %s: operation %s, role %q", op.method, path, r.id, r.least)
			}
			if op.method != "GET" && !r.change && !slices.Contains([]string{"plan-control", "caught-up", "run-account", "prove"}, r.id) {
				t.Errorf("%s is no GET, and is not in the audit", r.id)
			}
			if r.change && !r.least.May(Operator) {
				t.Errorf("%s changes something, and takes only the role %q", r.id, r.least)
			}
			for _, role := range []Role{Nobody, Viewer, Operator, Admin} {
				before, _ := audit.last(1000)
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // what would go on ends at once
				target := strings.NewReplacer("{id}", "0", "{group}", "g", "{name}", "g.1.1").Replace(path)
				if strings.HasPrefix(r.id, "file") && r.id != "files" && r.id != "file-stats" {
					target += "?path=main:f&key=k"
				}
				if r.id == "file" || r.id == "file-digest" {
					target = path + "?path=main:f"
				}
				if r.id == "check-switchover" || r.id == "check-failover" {
					target += "?group=g&to=%25west%23m1"
				}
				q := httptest.NewRequestWithContext(ctx, op.method, target, strings.NewReader(inputs[r.id]))
				w := httptest.NewRecorder()
				a.guard(as(role)).ServeHTTP(w, q)
				want := "let in"
				switch {
				case role == Nobody && r.least != Nobody:
					want = "401"
				case !role.May(r.least):
					want = "403"
				}
				got := "let in"
				switch w.Code {
				case 400:
					got = w.Body.String()
				case 401, 403:
					got = strconv.Itoa(w.Code)
				}
				if got != want {
					t.Errorf("%s as %q: %s, want %s", r.id, role, got, want)
				}
				after, err := audit.last(1000)
				if err != nil {
					t.Fatal(err)
				}
				lines := after[len(before):]
				switch {
				case r.change && role != Nobody:
					changes++
					if len(lines) != 1 || lines[0].Route != r.id || lines[0].Role != role || lines[0].Who == "" {
						t.Errorf("%s as %q: the audit has %+v", r.id, role, lines)
					} else if refused := lines[0].Outcome == "refused"; refused != (want == "403") {
						t.Errorf("%s as %q: outcome %s", r.id, role, lines[0].Outcome)
					}
				case len(lines) != 0:
					t.Errorf("%s as %q: the audit has %+v", r.id, role, lines)
				}
			}
		}
	}
	if seen < 30 || changes < 15 {
		t.Errorf("%d routes, %d changes: too few to be all", seen, changes)
	}
}

func TestAccessTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.json")
	tokens, err := OpenAccessTokens(path, [32]byte{7}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := New(nothing{}, Options{Module: "%east#m1", Tokens: tokens})
	defer a.Close()
	h := a.guard(func(r *http.Request) (Caller, error) { return a.remote(r, "tls") })
	ask := func(auth string) (int, string) {
		q := httptest.NewRequest("GET", "/v1/whoami", nil)
		q.Host = "192.0.2.1:7201"
		if auth != "" {
			q.Header.Set("Authorization", auth)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		var x struct{ Code, Role string }
		json.Unmarshal(w.Body.Bytes(), &x)
		return w.Code, x.Code + x.Role
	}
	made := map[Role]*NewAccess{}
	for _, r := range []Role{Viewer, Operator, Admin} {
		n, err := tokens.create(AccessRequest{Name: "ann", Role: r}, "uid 0")
		if err != nil {
			t.Fatal(err)
		}
		made[r] = n
	}
	old, err := tokens.create(AccessRequest{Role: Admin, TTL: time.Nanosecond}, "uid 0")
	if err != nil {
		t.Fatal(err)
	}
	gone := made[Operator]
	if _, err := tokens.revoke(gone.ID); err != nil {
		t.Fatal(err)
	}
	forged := []byte(made[Admin].Token)
	forged[40] ^= 1
	// What is kept holds no secret, and is what a new start reads.
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(kept, []byte(made[Viewer].Token[30:60])) {
		t.Error("the file holds the secret")
	}
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
		t.Error("mode", i.Mode(), err)
	}
	for range 2 {
		for _, c := range []struct {
			name, auth string
			status     int
			what       string
		}{
			{"none", "", 401, "no_credentials"},
			{"viewer", "Bearer " + made[Viewer].Token, 200, "viewer"},
			{"admin", "Bearer " + made[Admin].Token, 200, "admin"},
			{"revoked", "Bearer " + gone.Token, 401, "token_revoked"},
			{"expired", "Bearer " + old.Token, 401, "token_expired"},
			{"forged", "Bearer " + string(forged), 401, "bad_credentials"},
			{"cut", "Bearer " + made[Admin].Token[:60], 401, "bad_credentials"},
			{"a token to join with", "Bearer drmesh1-abc", 401, "bad_credentials"},
			{"another kind", "Basic YTpi", 401, "bad_credentials"},
		} {
			if status, what := ask(c.auth); status != c.status || what != c.what {
				t.Errorf("%s: %d %s, want %d %s", c.name, status, what, c.status, c.what)
			}
		}
		if a.Tokens, err = OpenAccessTokens(path, [32]byte{7}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if b, ok := AccessAuthority(made[Viewer].Token); !ok || b[0] != 7 {
		t.Error("the token does not tell its authority")
	}
	for _, r := range []AccessRequest{{Role: "god"}, {}, {Role: Viewer, TTL: -1}, {Role: Viewer, TTL: 1000 * 24 * time.Hour}} {
		if _, err := tokens.create(r, ""); AsError(err).Class != Usage {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// A page from elsewhere that a browser shows gets nothing, whatever name it
// found for our address.
func TestForeignPagesAreRefused(t *testing.T) {
	a := New(nothing{}, Options{Module: "%east#m1"})
	defer a.Close()
	for _, c := range []struct {
		via, host, origin, site string
		code                    string
	}{
		{"tcp", "127.0.0.1:7201", "", "", ""},
		{"tcp", "localhost:7201", "http://localhost:7201", "same-origin", ""},
		{"tcp", "[::1]:7201", "", "none", ""},
		{"tcp", "evil.example:7201", "", "", "foreign_host"},
		{"tcp", "192.0.2.1:7201", "", "", "foreign_host"},
		{"tcp", "", "", "", "foreign_host"},
		{"tcp", "127.0.0.1:7201", "http://evil.example", "", "foreign_origin"},
		{"tcp", "127.0.0.1:7201", "http://127.0.0.1:80", "", "foreign_origin"},
		{"tcp", "127.0.0.1:7201", "null", "", "foreign_origin"},
		{"tcp", "127.0.0.1:7201", "", "cross-site", "foreign_origin"},
		{"tls", "192.0.2.1:7201", "https://192.0.2.1:7201", "", ""},
		{"tls", "192.0.2.1:7201", "http://192.0.2.1:7201", "", "foreign_origin"},
		{"tls", "evil.example", "", "", "foreign_host"},
	} {
		q := httptest.NewRequest("GET", "/v1/healthz", nil)
		q.Host = c.host
		for h, v := range map[string]string{"Origin": c.origin, "Sec-Fetch-Site": c.site} {
			if v != "" {
				q.Header.Set(h, v)
			}
		}
		_, err := a.remote(q, c.via)
		code := ""
		if err != nil {
			code = AsError(err).Code
		}
		if code != c.code {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestAuditIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a, err := OpenAudit(path)
	if err != nil {
		t.Fatal(err)
	}
	a.max = 1000
	for i := range 100 {
		if err := a.write(AuditLine{Route: "x", Status: i}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := a.last(20)
	if err != nil || len(l) != 20 || l[19].Status != 99 || l[0].Status != 80 {
		t.Errorf("%d lines, %v", len(l), err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != auditFiles {
		t.Errorf("files %v, %v", files, err)
	}
	if a, err = OpenAudit(path); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if l, _ := a.last(1000); l[len(l)-1].Status != 99 {
		t.Error("a new start does not go on with the file")
	}
}

type operationOf struct {
	method string
	op     *huma.Operation
}
