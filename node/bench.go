package node

import (
	"context"

	"drmesh/admin"
)

// Bench implements admin.Engine.
func (e engine) Bench(context.Context, admin.BenchRequest) (*admin.BenchResult, error) {
	return nil, failure(admin.Failed, "not_built", "", "bench is not built yet")
}
