package call

import (
	"context"
	"encoding/json"
)

// TPParameters is what s$set_tp_parameters gives, in JSON. Times are in ticks of
// 1/1024 s.
type TPParameters struct {
	Priority  int    `json:"priority"`
	LockWait  int64  `json:"lock_wait"` // -1: for as long as it takes
	Limit     int64  `json:"limit"`     // of a transaction; 0: none
	LastAbort string `json:"last_abort,omitempty"`
}

// What SetTPParameter sets.
const (
	TPNothing  = 0 // it tells how they are
	TPPriority = 1
	TPLockWait = 2
	TPLimit    = 3
)

// SetTPParameter sets one parameter of the transactions that the program starts
// from now on, and gives all of them.
func (c Client) SetTPParameter(ctx context.Context, which int, value int64) (t TPParameters, err error) {
	r, err := c.do(ctx, &Request{Call: "s$set_tp_parameters", Position: which, Count: value})
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(r.Info, &t)
}
