package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	// maxBody bounds a request's body: control tables are the largest.
	maxBody = 4 << 20
	// Of bodies over smallBody, maxLarge are taken in at a time.
	smallBody = 64 << 10
	maxLarge  = 16
)

// bodyTime is how long a body may take to come; tests take less.
var bodyTime = 10 * time.Second

// Options are what a door is given beside the engine. What is nil is not kept.
type Options struct {
	Module string // whose door it is
	Events *Events
	Tokens *AccessTokens
	Audit  *Audit
	Logger *slog.Logger
	// Certified tells who shows a certificate of the mesh's authority.
	Certified func(raw [][]byte) (Caller, error)
	// Pages makes what answers / and below /console/, for people. It looks at
	// the caller's role by itself.
	Pages func(*API) http.Handler
}

// API is what operators can ask, over whichever door they came. Close ends
// what it has under way.
type API struct {
	Options
	engine  Engine
	ops     *operations
	views   views
	mux     *http.ServeMux
	huma    huma.API
	metrics *metrics
	large   chan struct{}   // who has a large body
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
}

func init() {
	// huma keeps these for the process. Errors that it finds by itself are of
	// the same form as ours; lists are never null.
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return problemOf(found(status, msg, errs))
	}
	huma.DefaultArrayNullable = false
}

// found is an error that huma found in a request.
func found(status int, msg string, errs []error) *Error {
	e := Errorf(Usage, "bad_request", "docs/openapi.json says what the route takes", "%s", msg)
	switch {
	case status == http.StatusRequestEntityTooLarge:
		e.Code = "body_too_large"
	case status == http.StatusRequestTimeout:
		e.Code = "body_too_slow"
	case status >= 500:
		e.Class, e.Code, e.Hint = Failed, "failed", ""
	}
	for _, err := range errs {
		if err == nil {
			continue
		}
		p := Problem{Text: err.Error()}
		if d, ok := err.(huma.ErrorDetailer); ok {
			x := d.ErrorDetail()
			p = Problem{Field: x.Location, Text: x.Message}
		}
		e.Problems = append(e.Problems, p)
	}
	if len(e.Problems) == 1 {
		e.Message = strings.TrimPrefix(e.Problems[0].Field+": ", ": ") + e.Problems[0].Text
	}
	return e
}

// New makes the API of an engine.
func New(e Engine, o Options) *API {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Events == nil {
		o.Events = NewEvents(o.Module)
	}
	a := &API{Options: o, engine: e, ops: newOperations(o.Events), mux: http.NewServeMux(), large: make(chan struct{}, maxLarge)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	c := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "DRMesh operators' API", Version: "1",
				Description: "Every module of a mesh answers this. What nobody knows is null, never 0. Errors are problem+json with a stable code."},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"access":      {Type: "http", Scheme: "bearer", Description: "An access token of the module: drmesh user token create"},
					"certificate": {Type: "mutualTLS", Description: "A certificate of a member of the mesh"},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{func(_ huma.Context, _ string, v any) (any, error) { return v, nil }},
	}
	a.huma = humago.New(a.mux, c)
	a.huma.UseMiddleware(a.admit)
	a.metrics = newMetrics(a)
	a.routes()
	a.openAnswers()
	if o.Pages != nil {
		pages := o.Pages(a)
		a.mux.Handle("GET /{$}", pages)
		a.mux.Handle("/console/", pages)
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if l := a.methods(r); len(l) > 0 {
			allow := strings.Join(l, ", ")
			w.Header().Set("Allow", allow)
			answerProblem(w, Errorf(NotFound, "no_method", "this route takes "+allow, "no such route: %s %s", r.Method, r.URL.Path))
			return
		}
		answerProblem(w, Errorf(NotFound, "no_route", "docs/openapi.json lists the routes", "no such route: %s %s", r.Method, r.URL.Path))
	})
	return a
}

// methods are those that the path of r takes.
func (a *API) methods(r *http.Request) (l []string) {
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if _, pattern := a.mux.Handler(&http.Request{Method: m, Host: r.Host, URL: r.URL}); pattern != "/" {
			l = append(l, m)
		}
	}
	return l
}

// Close ends long operations and followers of events, and waits for them.
func (a *API) Close() {
	a.cancel()
	a.ops.close()
}

// schemaName is the type's name; that of an error is what readers look for.
func schemaName(t reflect.Type, hint string) string {
	n := huma.DefaultSchemaNamer(t, hint)
	switch n {
	case "WireProblem":
		return "Problem"
	case "Problem":
		return "ProblemDetail"
	}
	return n
}

// route is what holds for an operation of the API.
type route struct {
	id, method, path, summary string
	least                     Role // Nobody: anyone may
	change                    bool // is in the audit
	here                      bool // cannot be asked of another module
	long                      bool
}

const routeKey = "route"

func (r *route) operation() huma.Operation {
	op := huma.Operation{OperationID: r.id, Method: r.method, Path: r.path, Summary: r.summary, Metadata: map[string]any{routeKey: r},
		MaxBodyBytes: maxBody, BodyReadTimeout: -1, Errors: []int{400, 401, 403, 404, 409, 503, 504}, Extensions: map[string]any{"x-role": string(r.least)}}
	if r.least != Nobody {
		op.Security = []map[string][]string{{"access": {}}, {"certificate": {}}}
	} else {
		op.Extensions["x-role"] = "none"
		op.Security = []map[string][]string{}
	}
	if r.change {
		op.Errors = append(op.Errors, 412, 429)
	}
	return op
}

// outcome is what becomes of a request, for the audit.
type outcome struct {
	object  string
	audited bool
}

type outcomeKey struct{}

// answer is what a handler gives, as huma takes it.
type answer[T any] struct {
	Body T
}

// register adds a route whose handler gives one value. object names what a
// change is about; it may be nil.
func register[I, O any](a *API, r route, object func(*I) string, fn func(context.Context, *I) (O, error)) {
	huma.Register(a.huma, r.operation(), func(ctx context.Context, in *I) (*answer[O], error) {
		out, err := fn(ctx, in)
		a.settle(ctx, &r, named(object, in), err)
		if err != nil {
			return nil, problemOf(err)
		}
		return &answer[O]{out}, nil
	})
}

func named[I any](object func(*I) string, in *I) string {
	if object == nil {
		return ""
	}
	return object(in)
}

// settle notes how a request ended, before it is answered.
func (a *API) settle(ctx context.Context, r *route, object string, err error) {
	o, _ := ctx.Value(outcomeKey{}).(*outcome)
	if o == nil {
		return
	}
	o.object = object
	if !r.change {
		return
	}
	o.audited = true
	a.note(CallerOf(ctx), r, object, "", err)
}

// note writes a line of the audit; outcome is found from err if it is empty.
func (a *API) note(c Caller, r *route, object, what string, err error) {
	l := AuditLine{At: time.Now().UTC(), Who: c.Name, Role: c.Role, Via: c.Via, Route: r.id, Method: r.method, Object: object, Outcome: what, Status: http.StatusOK}
	if err != nil {
		e := AsError(err)
		l.Status, l.Code = e.status(), e.Code
	}
	if l.Outcome == "" {
		switch {
		case err == nil:
			l.Outcome = "done"
		case AsError(err).Class == NotPermitted:
			l.Outcome = "refused"
		default:
			l.Outcome = "failed"
		}
	}
	a.Events.Publish("audit", l.Route, strings.TrimSpace(l.Who+" "+l.Object+" "+l.Outcome))
	if a.Audit == nil {
		return
	}
	if err := a.Audit.write(l); err != nil {
		a.Logger.Error("a change is not in the audit", "who", l.Who, "route", l.Route, "object", l.Object, "outcome", l.Outcome, "err", err)
		a.Events.Publish("alarm", "audit", "a change is not in the audit: "+err.Error())
	}
}

// admit is before every route: it looks at the role, passes on what another
// module is to answer, reads the body, and writes down what a change came to.
func (a *API) admit(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	route := ctx.Operation().Metadata[routeKey].(*route)
	begun := time.Now()
	defer func() { a.metrics.request(route.id, ctx.Status(), time.Since(begun)) }()
	who := CallerOf(r.Context())
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Drmesh-Module", a.Module)
	h.Set("Drmesh-As-Of", begun.UTC().Format(time.RFC3339Nano))
	if !who.Role.May(route.least) {
		e := Errorf(NotPermitted, "no_role", "use a token of that role", "%s: this takes the role %s, %s has %s", route.id, route.least, who.Name, who.Role)
		if who.Role == Nobody {
			e = Errorf(NotPermitted, "no_credentials", "send an access token: Authorization: Bearer TOKEN", "%s: this takes the role %s", route.id, route.least)
		} else if route.change {
			a.note(who, route, r.URL.RequestURI(), "refused", e)
		}
		if e.status() == http.StatusUnauthorized {
			h.Set("WWW-Authenticate", "Bearer")
		}
		fail(ctx, e)
		return
	}
	if m := ctx.Query("module"); m != "" && m != a.Module {
		a.forward(ctx, route, who, m)
		return
	}
	if r.Body != nil && r.Body != http.NoBody {
		err := a.room(r)
		if err == nil {
			if r.ContentLength < 0 || r.ContentLength > smallBody {
				defer func() { <-a.large }()
			}
			err = readBody(w, r)
		}
		if err != nil {
			if route.change {
				a.note(who, route, r.URL.RequestURI(), "failed", err)
			}
			fail(ctx, err)
			return
		}
	}
	o := &outcome{}
	next(huma.WithValue(ctx, outcomeKey{}, o))
	if route.change && !o.audited && ctx.Status() >= 400 {
		// It did not come to the handler: the request itself was wrong.
		a.note(who, route, r.URL.RequestURI(), "failed", found(ctx.Status(), "", nil))
	}
}

// room waits for nobody: a body that may be large is taken in only while few
// others are.
func (a *API) room(r *http.Request) error {
	if r.ContentLength >= 0 && r.ContentLength <= smallBody {
		return nil
	}
	select {
	case a.large <- struct{}{}:
		return nil
	default:
		return Errorf(Precondition, "busy", "ask again", "%d requests with large bodies are under way", maxLarge)
	}
}

// fail answers a request with an error.
func fail(ctx huma.Context, err error) {
	p := problemOf(err)
	b, merr := marshal(p)
	if merr != nil {
		b = []byte("{}\n")
	}
	ctx.SetHeader("Content-Type", p.ContentType(""))
	ctx.SetStatus(p.Status)
	ctx.BodyWriter().Write(b)
}

func answerProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	b, merr := marshal(p)
	if merr != nil {
		b = []byte("{}\n")
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	w.Write(b)
}

// readBody takes a request's body in whole, within bounds of size and time.
func readBody(w http.ResponseWriter, r *http.Request) error {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(bodyTime)) // where there is a connection
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	// A deadline that stays would end the request's context in the midst of
	// its work.
	rc.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	var slow interface{ Timeout() bool }
	switch {
	case errors.As(err, &large):
		return Errorf(Usage, "body_too_large", "", "the body has more than %d bytes", maxBody)
	case errors.As(err, &slow) && slow.Timeout():
		return Errorf(TimedOut, "body_too_slow", "", "the body did not come within %v", bodyTime)
	case err != nil:
		return Errorf(Usage, "bad_request", "", "read the body: %v", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	return nil
}
