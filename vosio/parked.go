package vosio

import (
	"context"
	"encoding/json"

	"drmesh/origin"
)

// RetryParked evaluates again what is parked of a file here: its records, and
// its place. What stays parked has the reason that holds now. Records of one
// file may stand in each other's way, so they are evaluated together, in the
// order of their addresses. A file that nothing is parked of stays as it is.
func (e *Engine) RetryParked(ctx context.Context, file origin.FileID) error {
	return e.submit(ctx, &request{admin: func(t *tx) error {
		f := e.cat.file(file)
		if f == nil {
			return nil // dropped meanwhile, and what was parked of it too
		}
		if f.share != "" {
			e.cat.renameShare(f.share)
		}
		if f.stat.parked.Load() == 0 {
			return nil
		}
		t.c.stats[f] = struct{}{}
		return t.retryParked(f)
	}})
}

// parkedFor notes another reason for what is parked already.
func (t *tx) parkedFor(f *file, addr []byte, p parked, reason string) error {
	p.Reason = reason
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return t.b.Set(append(appendFileKey(nil, keyParked, f.id), addr...), b, nil)
}
