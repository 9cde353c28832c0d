package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Readiness says whether a module can do what it is asked for.
type Readiness struct {
	Ready   bool     `json:"ready"`
	For     string   `json:"for" enum:"calls,write,failover-target"`
	Reasons []string `json:"reasons"` // why not; empty for who has no role
}

// healthRoutes are for load balancers and supervisors: health and readiness
// need no role, since they say yes or no.
func (a *API) healthRoutes() {
	register(a, route{id: "healthz", method: http.MethodGet, path: "/healthz", summary: "The process answers", least: Nobody, here: true}, nil,
		func(context.Context, *struct{}) (*Readiness, error) {
			return &Readiness{Ready: true, For: "calls"}, nil
		})
	r := route{id: "readyz", method: http.MethodGet, path: "/readyz", summary: "200 if the module is ready for what is asked, else 503 with the reasons", least: Nobody, here: true}
	op := r.operation()
	schema := a.huma.OpenAPI().Components.Schemas.Schema(typeOf[Readiness](), true, "")
	body := map[string]*huma.MediaType{"application/json": {Schema: schema}}
	op.Errors = []int{400}
	op.Responses = map[string]*huma.Response{"200": {Description: "Ready", Content: body}, "503": {Description: "Not ready", Content: body}}
	type readyAnswer struct {
		Status int
		Body   *Readiness
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *struct {
		For   string `query:"for" enum:"calls,write,failover-target" default:"calls" doc:"calls: it takes calls; write: shared files take writes; failover-target: it may become the owner"`
		Group string `query:"group" maxLength:"64" doc:"with write: whether this group takes writes here; without, whether any does"`
	}) (*readyAnswer, error) {
		x, err := a.engine.Ready(ctx, in.For, in.Group)
		if err != nil {
			return nil, problemOf(err)
		}
		out := &readyAnswer{http.StatusOK, x}
		if !x.Ready {
			out.Status = http.StatusServiceUnavailable
		}
		if CallerOf(ctx).Role == Nobody {
			out.Body = &Readiness{Ready: x.Ready, For: x.For}
		}
		return out, nil
	})
	a.metricsRoute()
}
