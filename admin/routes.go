package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// atModule is the input of routes without any of their own. A route that looks
// can be asked of any member.
type atModule struct {
	Module string `query:"module" doc:"Have this member answer, %system#module; left out: the asked one"`
}

type fileInput struct {
	Module string `query:"module" doc:"Have this member answer; path must be of the share's form then"`
	Path   string `query:"path" required:"true" doc:"Path of the file: main:packages, or %east#d01>data>packages"`
}

type empty struct{}

// routes adds all routes. What each takes and gives are the types of its
// function; who may ask it is in its line.
func (a *API) routes() {
	e := a.engine
	get := func(id, path, summary string, least Role) route {
		return route{id: id, method: http.MethodGet, path: path, summary: summary, least: least}
	}
	change := func(id, method, path, summary string, least Role) route {
		return route{id: id, method: method, path: path, summary: summary, least: least, change: true, here: true}
	}

	register(a, get("status", "/v1/status", "The module's view of itself and the mesh", Viewer), nil,
		func(ctx context.Context, _ *atModule) (*Status, error) { return e.Status(ctx) })
	register(a, get("view", "/v1/view", "Status and links of one module, of one moment", Viewer), nil,
		func(ctx context.Context, _ *atModule) (*View, error) { return a.view(ctx) })
	mesh := get("mesh", "/v1/mesh", "The views of all members, asked from them now", Viewer)
	mesh.here = true
	register(a, mesh, nil, a.mesh)
	matrix := get("matrix", "/v1/matrix", "Each stream at each module, of the views of all members: written, sent, received, applied, acknowledged, lag", Viewer)
	matrix.here = true
	register(a, matrix, nil, func(ctx context.Context, in *meshInput) ([]MatrixRow, error) {
		v, err := a.mesh(ctx, in)
		if err != nil {
			return nil, err
		}
		return v.Matrix(), nil
	})

	register(a, get("links", "/v1/links", "The module's links, each direction by itself", Viewer), nil,
		func(ctx context.Context, _ *atModule) ([]Link, error) { return e.Links(ctx) })
	register(a, change("set-link", http.MethodPost, "/v1/links", "Pause or resume data between two modules", Operator),
		func(in *struct{ Body LinkChange }) string { return in.Body.A + " " + in.Body.B },
		func(ctx context.Context, in *struct{ Body LinkChange }) (*empty, error) {
			return &empty{}, e.SetLink(ctx, in.Body)
		})

	register(a, get("clock", "/v1/clock", "The module's clock, those of its neighbours, and what waits for the time of its stamps", Viewer), nil,
		func(ctx context.Context, _ *atModule) (*Clock, error) { return e.Clock(ctx) })
	register(a, change("release-stamps", http.MethodPost, "/v1/clock/release", "Let through, at all members, what waits of a module for the time of its stamps", Operator),
		func(in *struct{ Body StampRelease }) string { return in.Body.Module },
		func(ctx context.Context, in *struct{ Body StampRelease }) (*StampsReleased, error) {
			return e.ReleaseStamps(ctx, in.Body)
		})

	register(a, change("create-token", http.MethodPost, "/v1/tokens", "Make a token that admits one module", Admin),
		func(in *struct{ Body TokenRequest }) string { return in.Body.Role },
		func(ctx context.Context, in *struct{ Body TokenRequest }) (*Token, error) {
			return e.CreateToken(ctx, in.Body)
		})
	registerLong(a, change("leave", http.MethodPost, "/v1/leave", "Take the module out of the mesh", Admin),
		func(in *LeaveRequest) string {
			if in.AcceptLoss {
				return a.Module + " accepting loss"
			}
			return a.Module
		},
		func(ctx context.Context, in *longInput[LeaveRequest]) (*empty, error) {
			return &empty{}, e.Leave(ctx, in.Body.AcceptLoss)
		})

	register(a, change("take-over", http.MethodPost, "/v1/take-over", "Give this directory the place of another one of its module, which is gone for good", Admin),
		func(*struct{}) string { return a.Module },
		func(ctx context.Context, _ *struct{}) (*empty, error) { return &empty{}, e.TakeOver(ctx) })

	registerLong(a, change("remove-module", http.MethodPost, "/v1/modules/remove", "Put another module out of the mesh: it is not heard any more, and its streams end", Admin),
		func(in *RemoveRequest) string { return in.Module },
		func(ctx context.Context, in *longInput[RemoveRequest]) (*empty, error) {
			return &empty{}, e.Remove(ctx, in.Body.Module)
		})
	a.controlRoutes()
	a.groupRoutes()
	a.lostRoutes()
	a.recoverRoutes()

	register(a, route{id: "caught-up", method: http.MethodPost, path: "/v1/caught-up", summary: "Wait until all that the members have now is durable here", least: Viewer, here: true}, nil,
		func(ctx context.Context, in *struct{ Body CaughtUpRequest }) (*CaughtUp, error) {
			return e.CaughtUp(ctx, in.Body)
		})

	register(a, get("files", "/v1/files", "The files of the module", Viewer), nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			Under  string `query:"under" doc:"A path; left out: the whole module"`
		}) ([]File, error) {
			return e.Files(ctx, in.Under)
		})
	register(a, get("file-stats", "/v1/file-stats", "How often programs made each call on files of the module", Viewer), nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			Under  string `query:"under" doc:"A path; left out: the whole module"`
		}) (*FileStats, error) {
			return e.FileStats(ctx, in.Under)
		})
	register(a, get("queues", "/v1/queues", "The queues of the module", Viewer), nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			Under  string `query:"under" doc:"A path, of a queue or what is above it; left out: the whole module"`
		}) ([]Queue, error) {
			return e.Queues(ctx, in.Under)
		})
	register(a, get("file", "/v1/file", "One file", Viewer), nil,
		func(ctx context.Context, in *fileInput) (*File, error) { return e.File(ctx, in.Path) })
	register(a, get("file-digest", "/v1/file/digest", "The digest of a file", Viewer), nil,
		func(ctx context.Context, in *fileInput) (*Digest, error) { return e.Digest(ctx, in.Path) })
	register(a, get("file-history", "/v1/file/history", "What the journal has of one record", Viewer), nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer; path must be of the share's form then"`
			Path   string `query:"path" required:"true"`
			Key    string `query:"key" required:"true" doc:"A record number, or the bytes of the key"`
		}) ([]Change, error) {
			return e.History(ctx, in.Path, in.Key)
		})
	a.journalRoute()

	register(a, get("conflicts", "/v1/conflicts", "Open and superseded conflicts, and withheld claims", Viewer), nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			Share  string `query:"share" doc:"Those of one share"`
			Limit  int    `query:"limit" minimum:"0" doc:"So many at most; 0: all"`
		}) ([]Conflict, error) {
			l, err := e.Conflicts(ctx, in.Share)
			return first(l, in.Limit), err
		})
	register(a, get("conflict", "/v1/conflicts/{id}", "One conflict, with both images", Viewer), nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			ID     string `path:"id"`
		}) (*Conflict, error) {
			return e.Conflict(ctx, in.ID)
		})
	for _, x := range []struct {
		word, summary string
		replay        bool
	}{
		{"accept", "Let what is shown stand, and close a conflict", false},
		{"replay", "Write the loser of a conflict anew, and close it", true},
	} {
		register(a, route{id: x.word + "-conflict", method: http.MethodPost, path: "/v1/conflicts/{id}/" + x.word, summary: x.summary, least: Operator, change: true},
			func(in *conflictInput) string { return in.ID },
			func(ctx context.Context, in *conflictInput) (*Conflict, error) {
				return e.Resolve(ctx, ConflictDecision{ID: in.ID, Replay: x.replay, DryRun: in.DryRun}, CallerOf(ctx).Name)
			})
	}
	register(a, get("parked", "/v1/parked", "Versions whose effect cannot be shown at the module", Viewer), nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			Limit  int    `query:"limit" minimum:"0" doc:"So many at most; 0: all"`
		}) ([]Parked, error) {
			l, err := e.Parked(ctx)
			return first(l, in.Limit), err
		})
	register(a, get("parked-version", "/v1/parked/{id}", "One parked version, with its image and fields", Viewer), nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			ID     string `path:"id"`
		}) (*Parked, error) {
			return e.ParkedVersion(ctx, in.ID)
		})
	register(a, route{id: "retry-parked", method: http.MethodPost, path: "/v1/parked/retry", summary: "Evaluate what is parked at the module again", least: Operator, change: true, here: true},
		func(in *retryInput) string { return in.ID },
		func(ctx context.Context, in *retryInput) ([]Parked, error) {
			return e.RetryParked(ctx, in.ID)
		})

	register(a, route{id: "account", method: http.MethodGet, path: "/v1/account", summary: "Where every acknowledged operation is, at all modules and at one vector", least: Viewer, here: true}, nil, a.account)
	registerLong(a, route{id: "run-account", method: http.MethodPost, path: "/v1/account", summary: "The account, as an operation", least: Viewer, here: true}, nil,
		func(ctx context.Context, in *longInput[AccountRequest]) (*Account, error) {
			return e.Account(ctx, in.Body)
		})
	registerLong(a, route{id: "prove", method: http.MethodPost, path: "/v1/proof", summary: "Whether the modules of each share hold the same; what does not, register by register", least: Viewer, here: true},
		func(in *ProofRequest) string { return in.Share },
		func(ctx context.Context, in *longInput[ProofRequest]) (*Proof, error) {
			return e.Prove(ctx, in.Body)
		})
	register(a, route{id: "last-proof", method: http.MethodGet, path: "/v1/proof", summary: "The last proof that this module made", least: Viewer, here: true}, nil,
		func(ctx context.Context, _ *struct{}) (*Proof, error) { return e.LastProof(ctx) })
	registerLong(a, change("sync", http.MethodPost, "/v1/sync", "Have the module take the state of a share that it holds differently from another one", Admin),
		func(in *SyncRequest) string { return in.Share },
		func(ctx context.Context, in *longInput[SyncRequest]) (*Sync, error) {
			return e.Sync(ctx, in.Body)
		})
	registerLong(a, change("bench", http.MethodPost, "/v1/bench", "Run a load inside the node", Admin),
		func(in *BenchRequest) string { return in.File },
		func(ctx context.Context, in *longInput[BenchRequest]) (*BenchResult, error) {
			return e.Bench(ctx, in.Body)
		})

	a.operationRoutes()
	a.eventRoute()
	a.accessRoutes()
	a.healthRoutes()
}

// first cuts a list; 0 leaves it whole.
func first[T any](l []T, most int) []T {
	if most > 0 && len(l) > most {
		return l[:most]
	}
	return l
}

// controlRoutes are those of the control tables.
func (a *API) controlRoutes() {
	e := a.engine
	r := route{id: "control", method: http.MethodGet, path: "/v1/control", summary: "The control tables in force; the ETag is for If-Match", least: Viewer}
	huma.Register(a.huma, r.operation(), func(ctx context.Context, _ *atModule) (*struct {
		ETag string `header:"ETag"`
		Body *ControlText
	}, error) {
		t, err := e.ControlText(ctx)
		if err != nil {
			return nil, problemOf(err)
		}
		return &struct {
			ETag string `header:"ETag"`
			Body *ControlText
		}{etag(t.Epoch), t}, nil
	})
	register(a, route{id: "control-history", method: http.MethodGet, path: "/v1/control/history", summary: "The tables that were in force, the oldest first; the last is in force now", least: Viewer}, nil,
		func(ctx context.Context, _ *atModule) ([]ControlText, error) { return e.ControlHistory(ctx) })
	register(a, route{id: "plan-control", method: http.MethodPost, path: "/v1/control/plan", summary: "Check control tables and tell what they would change", least: Viewer, here: true}, nil,
		func(ctx context.Context, in *struct{ Body ControlChange }) (*ControlPlan, error) {
			return e.ControlPlan(ctx, in.Body)
		})
	registerLong(a, route{id: "apply-control", method: http.MethodPost, path: "/v1/control/apply", summary: "Put control tables in force on all modules", least: Operator, change: true, here: true},
		func(in *ControlChange) string { return "control tables" },
		func(ctx context.Context, in *longInput[ControlChange]) (*ControlPlan, error) {
			base, err := ifMatch(in.IfMatch)
			if err != nil {
				return nil, err
			}
			if base != 0 {
				in.Body.Base = base
			}
			return e.ControlApply(ctx, in.Body)
		})
}

// etag is the entity tag of a policy epoch.
func etag(epoch uint64) string { return `"` + strconv.FormatUint(epoch, 10) + `"` }

// ifMatch reads the epoch that a change must find in force; 0: any.
func ifMatch(s string) (uint64, error) {
	if s == "" || s == "*" {
		return 0, nil
	}
	q := strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)
	n, err := strconv.ParseUint(q, 10, 64)
	if err != nil || s != `"`+q+`"` {
		return 0, Errorf(Usage, "bad_if_match", "give the ETag of GET /v1/control", "If-Match %s", s)
	}
	if n == 0 {
		return 0, Errorf(Precondition, "epoch_moved", "take the tables anew, and leave If-Match out for the first", "no tables have policy epoch 0")
	}
	return n, nil
}

func (a *API) account(ctx context.Context, in *struct {
	Scan      bool  `query:"scan" doc:"Count by reading everything, and hold the counters against it"`
	Local     bool  `query:"local" doc:"Of the asked module alone"`
	Reachable bool  `query:"reachable" doc:"Leave out members that cannot be asked"`
	Timeout   int64 `query:"timeout_ns" minimum:"0"`
}) (*Account, error) {
	return a.engine.Account(ctx, AccountRequest{Scan: in.Scan, Local: in.Local, Reachable: in.Reachable, Timeout: time.Duration(in.Timeout)})
}

// journalRoute is a run of values, one a line, each sent as soon as it is
// there. A run that breaks off says so in its last line.
func (a *API) journalRoute() {
	r := route{id: "journal", method: http.MethodGet, path: "/v1/journal", summary: "Changes in the order in which they were applied here: application/jsonl, one Change a line", least: Viewer, here: true}
	op := r.operation()
	change := a.huma.OpenAPI().Components.Schemas.Schema(typeOf[Change](), true, "")
	op.Responses = map[string]*huma.Response{"200": {Description: "A run of changes", Content: map[string]*huma.MediaType{"application/jsonl": {Schema: change}}}}
	huma.Register(a.huma, op, func(ctx context.Context, in *struct {
		From   string `query:"from" doc:"A dot like %east#m1.1/main:907, or a time"`
		Share  string `query:"share"`
		Limit  int    `query:"limit" minimum:"0"`
		Follow bool   `query:"follow" doc:"Go on with what is to come"`
	}) (*huma.StreamResponse, error) {
		q := JournalRequest{From: in.From, Share: in.Share, Limit: in.Limit, Follow: in.Follow}
		return &huma.StreamResponse{Body: func(hc huma.Context) { a.journal(hc, q) }}, nil
	})
}

func (a *API) journal(hc huma.Context, q JournalRequest) {
	_, w := humago.Unwrap(hc)
	ctx, cancel := context.WithCancel(hc.Context())
	defer cancel()
	defer context.AfterFunc(a.ctx, cancel)()
	begun := false
	flush := http.NewResponseController(w)
	last := time.Now()
	err := a.engine.Journal(ctx, q, func(c *Change) error {
		if !begun {
			w.Header().Set("Content-Type", "application/jsonl")
			begun = true
		}
		b, err := marshal(c)
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		if q.Follow || time.Since(last) > 100*time.Millisecond {
			last = time.Now()
			return flush.Flush()
		}
		return nil
	})
	switch {
	case err == nil && !begun:
		w.Header().Set("Content-Type", "application/jsonl")
		hc.SetStatus(http.StatusOK)
	case err == nil || ctx.Err() != nil:
	case begun:
		if b, merr := json.Marshal(map[string]any{"error": AsError(err)}); merr == nil {
			w.Write(append(b, '\n'))
		}
	default:
		fail(hc, err)
	}
}

func (a *API) operationRoutes() {
	register(a, route{id: "operations", method: http.MethodGet, path: "/v1/operations", summary: "Long operations, under way and ended, the oldest first; without results", least: Viewer}, nil,
		func(context.Context, *atModule) ([]Operation, error) { return a.ops.list(), nil })
	register(a, route{id: "operation", method: http.MethodGet, path: "/v1/operations/{id}", summary: "One operation: its state, steps, and result", least: Viewer}, nil,
		func(ctx context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			ID     string `path:"id"`
			Wait   int    `query:"wait_s" minimum:"0" maximum:"25" doc:"Wait so many seconds for its end"`
		}) (*Operation, error) {
			r, err := a.ops.get(in.ID)
			if err != nil {
				return nil, err
			}
			if in.Wait > 0 {
				t := time.NewTimer(time.Duration(in.Wait) * time.Second)
				defer t.Stop()
				select {
				case <-r.done:
				case <-t.C:
				case <-ctx.Done():
				}
			}
			return r.view(), nil
		})
	register(a, route{id: "cancel-operation", method: http.MethodDelete, path: "/v1/operations/{id}", summary: "Cancel an operation that is under way", least: Operator, change: true, here: true},
		func(in *struct {
			ID string `path:"id"`
		}) string {
			return in.ID
		},
		func(_ context.Context, in *struct {
			ID string `path:"id"`
		}) (*Operation, error) {
			r, err := a.ops.get(in.ID)
			if err != nil {
				return nil, err
			}
			if err := r.stop(); err != nil {
				return nil, err
			}
			return r.view(), nil
		})
}

// accessRoutes are those of access tokens and of the audit.
func (a *API) accessRoutes() {
	tokens := func() (*AccessTokens, error) {
		if a.Tokens == nil {
			return nil, Errorf(Precondition, "no_tokens", "", "this module keeps no access tokens")
		}
		return a.Tokens, nil
	}
	register(a, route{id: "access-tokens", method: http.MethodGet, path: "/v1/access-tokens", summary: "Access tokens of this module, without their secrets", least: Admin}, nil,
		func(context.Context, *atModule) ([]AccessToken, error) {
			t, err := tokens()
			if err != nil {
				return nil, err
			}
			return t.list(), nil
		})
	register(a, route{id: "create-access-token", method: http.MethodPost, path: "/v1/access-tokens", summary: "Make an access token for a person or a program", least: Admin, change: true, here: true},
		func(in *struct{ Body AccessRequest }) string { return string(in.Body.Role) + " " + in.Body.Name },
		func(ctx context.Context, in *struct{ Body AccessRequest }) (*NewAccess, error) {
			t, err := tokens()
			if err != nil {
				return nil, err
			}
			return t.create(in.Body, CallerOf(ctx).Name)
		})
	register(a, route{id: "revoke-access-token", method: http.MethodDelete, path: "/v1/access-tokens/{id}", summary: "Revoke an access token", least: Admin, change: true, here: true},
		func(in *struct {
			ID string `path:"id"`
		}) string {
			return in.ID
		},
		func(_ context.Context, in *struct {
			ID string `path:"id"`
		}) (*AccessToken, error) {
			t, err := tokens()
			if err != nil {
				return nil, err
			}
			return t.revoke(in.ID)
		})
	register(a, route{id: "audit", method: http.MethodGet, path: "/v1/audit", summary: "Who changed what, the newest last", least: Admin}, nil,
		func(_ context.Context, in *struct {
			Module string `query:"module" doc:"Have this member answer"`
			Limit  int    `query:"limit" minimum:"1" maximum:"10000" default:"100"`
		}) ([]AuditLine, error) {
			if a.Audit == nil {
				return nil, nil
			}
			return a.Audit.last(in.Limit)
		})
	register(a, route{id: "whoami", method: http.MethodGet, path: "/v1/whoami", summary: "Who the module takes the caller for", least: Viewer, here: true}, nil,
		func(ctx context.Context, _ *struct{}) (Caller, error) { return CallerOf(ctx), nil })
}

type retryInput struct {
	ID string `query:"id" doc:"This one, and what else is parked in its file; left out: all"`
}

type conflictInput struct {
	ID     string `path:"id"`
	DryRun bool   `query:"dry_run" doc:"Say what would stand, and write nothing"`
}
