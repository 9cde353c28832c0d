package vosio

import (
	"context"
	"encoding/json"
	"fmt"

	"drmesh/vosio/call"
)

// The operations of s$control. They are for terminals; here a port keeps what
// they set, so that programs which talk to one run on any file.
const (
	controlTerminal = 201 // give terminal info, as JSON
	controlPrompt   = 208 // set the prompt
)

// maxPrompt bounds a prompt.
const maxPrompt = 256

// control changes no data of a file; operations that it does not know are
// refused.
func (p *Process) control(_ context.Context, q *call.Request, r *call.Reply) error {
	x, err := p.port(q.Port)
	if err != nil {
		return err
	}
	switch q.Count {
	case controlTerminal:
		r.Info, err = json.Marshal(call.TerminalInfo{Version: 1, Width: textWidth, Prompt: x.prompt})
		return err
	case controlPrompt:
		if len(q.Data) > maxPrompt {
			return fmt.Errorf("control %s: a prompt of %d bytes: %w", x.path, len(q.Data), call.RecordTooLong)
		}
		x.prompt = string(q.Data)
		return nil
	}
	return fmt.Errorf("control %s: operation %d: %w", x.path, q.Count, call.InvalidControl)
}
