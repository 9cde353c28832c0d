package vosio

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"drmesh/origin"
	"drmesh/vosio/call"
)

// Pipes: sequential files of this module alone of which what is read is gone,
// and whose readers wait at the end while another program has it open for
// writing. All of their opens go together.

const attrPipe = "pipe"

func (f *file) isPipe() bool { return f.attribute(attrPipe) == "1" }

// writers are the ports that have files open for writing.
type writers struct {
	mu   sync.Mutex // protects list
	list map[origin.FileID]map[*port]struct{}
}

func (w *writers) came(f origin.FileID, x *port) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list = map[origin.FileID]map[*port]struct{}{}
	}
	if w.list[f] == nil {
		w.list[f] = map[*port]struct{}{}
	}
	w.list[f][x] = struct{}{}
}

// went tells whether x was the last.
func (w *writers) went(f origin.FileID, x *port) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.list[f], x)
	if len(w.list[f]) > 0 {
		return false
	}
	delete(w.list, f)
	return true
}

// others reports whether a program other than the port's writes the file.
func (w *writers) others(f origin.FileID, x *port) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for y := range w.list[f] {
		if y.owner.Process != x.owner.Process {
			return true
		}
	}
	return false
}

func (p *Process) setPipeFile(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	f, err := p.e.file(full)
	if err != nil {
		return err
	}
	switch {
	case f.org != call.OrgSequential && f.org != call.OrgExtended:
		return fmt.Errorf("make %s a pipe, %s: %w", full, call.OrgName(f.org), call.InvalidFileType)
	case len(f.all()) > 0:
		return fmt.Errorf("make %s a pipe: %w", full, call.InvalidIfIndexed)
	case q.Switches != 0 && f.share != "":
		return fmt.Errorf("make %s a pipe: what is shared cannot be one: %w", full, call.InvalidPipeOperation)
	case f.attribute(attrTransaction) == "1":
		return fmt.Errorf("make %s a pipe: it is a transaction file: %w", full, call.InvalidPipeOperation)
	}
	return p.setSwitch(ctx, q, attrPipe, true)
}

// noPipe refuses what does not go with a pipe.
func (x *port) noPipe(f *file, op string) error {
	if f.isPipe() {
		return fmt.Errorf("%s %s: %w", op, x.path, call.InvalidPipeOperation)
	}
	return nil
}

// readPipe takes the first record of a pipe.
func (p *Process) readPipe(ctx context.Context, x *port, f *file, q *call.Request, r *call.Reply) error {
	var got *rec
	err := p.await(ctx, x, f.id, q, func() (bool, error) {
		for {
			// Before the look: who writes the last record and closes is not missed.
			more := p.e.writers.others(f.id, x)
			c, _, err := p.seek(x, f, nil, nextPlace{kind: atFirst})
			switch {
			case err != nil:
				return false, err
			case c == nil && more:
				return false, nil
			case c == nil:
				return false, fmt.Errorf("read %s: %w", x.path, call.EndOfFile)
			}
			if q.Max > 0 && len(c.data) > q.Max {
				got = c // it stays, and the program asks again
				return true, nil
			}
			_, err = p.e.commit(ctx, p.name, []change{{file: f, kind: remove, addr: c.addr}})
			if errors.Is(err, call.RecordNotFound) {
				continue // another reader had it
			}
			got = c
			return err == nil, err
		}
	})
	if err != nil {
		return err
	}
	return give(q, r, got)
}
