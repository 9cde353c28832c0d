package admin

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// longInput is the body of a request for long work.
type longInput[T any] struct {
	Prefer  string `header:"Prefer" doc:"respond-async: answer at once with the operation, status 202" example:"respond-async"`
	IfMatch string `header:"If-Match" doc:"Of control changes: the ETag that GET /v1/control gave; another one in force is status 412"`
	Body    T
}

func (in *longInput[T]) wanted() bool {
	for s := range strings.SplitSeq(in.Prefer, ",") {
		if strings.TrimSpace(s) == "respond-async" {
			return true
		}
	}
	return false
}

// longAnswer is the result, or the operation that will have it.
type longAnswer struct {
	Status    int
	Location  string `header:"Location"`
	Operation string `header:"Drmesh-Operation" doc:"Id of the operation"`
	Body      any
}

// registerLong adds a route for long work: each request is an operation. Its
// caller waits for the result, and takes the operation along when going away;
// or prefers to be answered at once.
func registerLong[I, R any](a *API, r route, object func(*I) string, fn func(context.Context, *longInput[I]) (R, error)) {
	r.long = true
	op := r.operation()
	schemas := a.huma.OpenAPI().Components.Schemas
	op.Responses = map[string]*huma.Response{
		"200": {Description: "The result", Content: map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(reflect.TypeFor[R](), true, r.id)}}},
		"202": {Description: "The operation", Content: map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(reflect.TypeFor[Operation](), true, "")}}},
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *longInput[I]) (*longAnswer, error) {
		who, name := CallerOf(ctx), named(object, &in.Body)
		x, err := a.ops.start(who, r.id, name, func(ctx context.Context) (any, error) {
			var v R
			err := a.match(ctx, in.IfMatch)
			if err == nil {
				v, err = fn(ctx, in)
			}
			if r.change {
				a.note(who, &r, name, "", err)
			}
			return withLists(v), err
		})
		if o, _ := ctx.Value(outcomeKey{}).(*outcome); o != nil {
			o.audited = true
		}
		if err != nil {
			if r.change {
				a.note(who, &r, name, "", err)
			}
			return nil, problemOf(err)
		}
		out := &longAnswer{Status: http.StatusOK, Operation: x.op.ID}
		if in.wanted() {
			out.Status, out.Location, out.Body = http.StatusAccepted, "/v1/operations/"+x.op.ID, x.view()
			return out, nil
		}
		select {
		case <-x.done:
		case <-ctx.Done():
			x.stop()
			<-x.done
		}
		if x.err != nil {
			return nil, problemOf(x.err)
		}
		out.Body = x.result
		return out, nil
	})
}

// match refuses a change that was meant for other tables than are in force.
func (a *API) match(ctx context.Context, s string) error {
	want, err := ifMatch(s)
	if err != nil || want == 0 {
		return err
	}
	t, err := a.engine.ControlText(ctx)
	if err != nil {
		return err
	}
	if t.Epoch != want {
		return Errorf(Precondition, "epoch_moved", "look again, then ask again", "the tables have policy epoch %d, the change was meant for %d", t.Epoch, want)
	}
	return nil
}
