package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// openAnswers mends what huma says of itself where this door does otherwise:
// what is wrong in a request is status 400, and fields of answers are only
// added, so that a reader takes unknown ones.
func (a *API) openAnswers() {
	doc := a.huma.OpenAPI()
	taken := map[string]bool{}
	var walk func(s *huma.Schema)
	walk = func(s *huma.Schema) {
		if s == nil {
			return
		}
		if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
			if !taken[name] {
				taken[name] = true
				walk(doc.Components.Schemas.Map()[name])
			}
			return
		}
		for _, p := range s.Properties {
			walk(p)
		}
		walk(s.Items)
	}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Delete, item.Put, item.Patch} {
			if op == nil {
				continue
			}
			delete(op.Responses, "422")
			if op.RequestBody != nil {
				for _, m := range op.RequestBody.Content {
					walk(m.Schema)
				}
			}
		}
	}
	for name, s := range doc.Components.Schemas.Map() {
		if !taken[name] {
			s.AdditionalProperties = nil
		}
	}
	r := route{id: "openapi", method: http.MethodGet, path: "/v1/openapi.json", summary: "This document", least: Nobody, here: true}
	op := r.operation()
	op.Errors = nil
	op.Responses = map[string]*huma.Response{"200": {Description: "OpenAPI 3.1", Content: map[string]*huma.MediaType{"application/json": {}}}}
	huma.Register(a.huma, op, func(context.Context, *struct{}) (*huma.StreamResponse, error) {
		b, err := a.OpenAPI()
		if err != nil {
			return nil, problemOf(err)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			hc.SetHeader("Content-Type", "application/json")
			hc.SetStatus(http.StatusOK)
			hc.BodyWriter().Write(b)
		}}, nil
	})
}

// OpenAPI is the document of the API, as it is kept in docs/openapi.json.
func (a *API) OpenAPI() ([]byte, error) {
	raw, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		return nil, err
	}
	// Through a map, so that the order of names is one.
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}
