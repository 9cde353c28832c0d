package vosio

import (
	"context"
	"fmt"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// Resolution is what a person says of a register about which versions
// disagree.
type Resolution struct {
	File    origin.FileID
	Address []byte
	// Saw are the versions that stood when he was asked, but deletes. If others
	// stand by now, nothing is written.
	Saw []origin.OpDot
	// Data is what the record is to be; nil: there is to be none.
	Data []byte
	// Closes are the losers that are dealt with by it.
	Closes []origin.OpDot
}

// Resolve writes what a person decided as a txn of this module: a version that
// covers all that stands. ErrMoved: something else stands by now.
func (e *Engine) Resolve(ctx context.Context, process string, r *Resolution) error {
	f := e.fileByID(r.File)
	if f == nil || f.deleted {
		return fmt.Errorf("resolve in file %v: %w", r.File, call.ObjectNotFound)
	}
	_, err := e.commitIf(ctx, process, []change{{file: f, kind: resolve, addr: r.Address, data: r.Data, closes: r.Closes}},
		[]expectation{{file: r.File, addr: r.Address, dots: r.Saw}})
	if call.CodeOf(err) == call.TPAborted {
		return fmt.Errorf("resolve %s %s: %w", f.rel, record.String(r.Address), ErrMoved)
	}
	return err
}
