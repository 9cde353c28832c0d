package admin

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// maxForwarded bounds the answer of another module: in base64 it must fit a
// message of the mesh.
const maxForwarded = 5 << 20

// forward has another module answer, and says whose answer it is.
func (a *API) forward(ctx huma.Context, route *route, who Caller, module string) {
	r, w := humago.Unwrap(ctx)
	err := func() error {
		switch {
		case route.here || r.Method != http.MethodGet:
			return Errorf(Usage, "not_forwarded", "ask that module itself", "%s cannot be asked of another module", route.id)
		case who.Via == "mesh":
			return Errorf(NotFound, "no_module", "", "this is %s, not %s", a.Module, module)
		}
		f, err := a.engine.Forward(r.Context(), module, who, r.URL.RequestURI())
		if err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", f.ContentType)
		h.Set("Drmesh-Module", module)
		h.Set("Drmesh-As-Of", f.AsOf.UTC().Format(time.RFC3339Nano))
		h.Set("Drmesh-Asked", a.Module)
		ctx.SetStatus(f.Status)
		ctx.BodyWriter().Write(f.Body)
		return nil
	}()
	if err != nil {
		fail(ctx, err)
	}
}

// Forwarded is the answer of another module.
type Forwarded struct {
	Status      int       `json:"status"`
	ContentType string    `json:"type"`
	AsOf        time.Time `json:"as_of"`
	Body        []byte    `json:"body"`
}

// Answer answers a question that came through another module, for a caller
// that was let in there.
func (a *API) Answer(ctx context.Context, who Caller, uri string) *Forwarded {
	who.Via = "mesh"
	w := &memory{header: http.Header{}, status: http.StatusOK}
	out := &Forwarded{AsOf: time.Now()}
	r, err := http.NewRequestWithContext(WithCaller(ctx, who), http.MethodGet, uri, nil)
	if err != nil {
		answerProblem(w, Errorf(Usage, "bad_request", "", "%v", err))
	} else {
		a.mux.ServeHTTP(w, r)
	}
	if w.over {
		w = &memory{header: http.Header{}, status: http.StatusOK}
		answerProblem(w, Errorf(Failed, "answer_too_large", "ask that module itself", "the answer has more than %d bytes", maxForwarded))
	}
	out.Status, out.ContentType, out.Body = w.status, w.header.Get("Content-Type"), w.body.Bytes()
	return out
}

// memory holds an answer that goes on over the mesh.
type memory struct {
	header http.Header
	status int
	body   bytes.Buffer
	over   bool
}

func (m *memory) Header() http.Header    { return m.header }
func (m *memory) WriteHeader(status int) { m.status = status }

func (m *memory) Write(b []byte) (int, error) {
	if m.body.Len()+len(b) > maxForwarded {
		m.over = true
		return 0, errors.New("the answer is too large")
	}
	return m.body.Write(b)
}
