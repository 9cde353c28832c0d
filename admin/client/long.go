package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"drmesh/admin"
)

// How often long work is looked at: soon at first, since most of it is short.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = 300 * time.Millisecond
)

// long asks for long work and waits for it. Where somebody watches, it is
// looked at now and then until it has ended; a caller that goes away takes it
// along, as where nobody does.
func long[T any](ctx context.Context, c *Client, route string, in any) (T, error) {
	var v T
	if c.Watch == nil {
		return tell[T](ctx, c, route, in)
	}
	type operation struct {
		admin.Operation
		Result json.RawMessage `json:"result"`
	}
	var x operation
	if err := c.do(ctx, http.MethodPost, route, nil, async{in}, &x); err != nil {
		return v, err
	}
	at := "/v1/operations/" + url.PathEscape(x.ID)
	for wait := firstLook; ; wait = min(wait*3/2, lastLook) {
		c.Watch(x.Operation)
		switch {
		case x.State == "running":
		case x.Error != nil:
			return v, x.Error
		case x.State != "done":
			return v, admin.Errorf(admin.Failed, "operation_ended", "", "the operation %s was %s", x.ID, x.State)
		case len(x.Result) == 0:
			return v, nil
		default:
			if err := json.Unmarshal(x.Result, &v); err != nil {
				return v, admin.Errorf(admin.Failed, "bad_answer", "is the node of another version?", "%s: %v", route, err)
			}
			return v, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			err := c.do(end, http.MethodDelete, at, nil, nil, nil)
			if err == nil {
				err = ctx.Err()
			}
			return v, c.lost(ctx, err)
		}
		id := x.ID
		x = operation{}
		if err := c.do(ctx, http.MethodGet, at, nil, nil, &x); err != nil {
			return v, err
		}
		x.ID = id
	}
}

// async is a body whose request is answered at once, with the operation.
type async struct{ body any }
