package vosio

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"drmesh/vosio/call"
)

// What a file carries beside its records, by the calls that set it.

// epoch is where the date-times of VOS count seconds from.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// mayBeEmptied refuses deletes and truncates while the safety switch is on.
func (f *file) mayBeEmptied() error {
	if f.attribute(attrSafety) == "1" {
		return call.SafetySwitchOn
	}
	return nil
}

// expires is before when a file may not be deleted; the epoch if it may.
func (f *file) expires() time.Time {
	n, err := strconv.ParseInt(f.attribute(attrExpires), 10, 64)
	if err != nil {
		return epoch
	}
	return epoch.Add(time.Duration(n) * time.Second)
}

func (p *Process) setSafetySwitch(ctx context.Context, q *call.Request, _ *call.Reply) error {
	return p.setSwitch(ctx, q, attrSafety, false)
}

// setNumber sets an attribute that is a number; 0 is none.
func (p *Process) setNumber(ctx context.Context, path, name string, n, max int64) error {
	full, err := p.fullPath(path)
	if err != nil {
		return err
	}
	if n < 0 || n > max {
		return fmt.Errorf("%s of %s: %d: %w", name, full, n, call.InvalidControl)
	}
	v := ""
	if n > 0 {
		v = strconv.FormatInt(n, 10)
	}
	return p.e.setAttribute(ctx, p.name, full, name, v)
}

// maxDate is the last second of a bin(31) date-time, maxBlocks as many blocks.
const maxDate, maxBlocks = 1<<31 - 1, 1<<31 - 1

func (p *Process) setExpirationDate(ctx context.Context, q *call.Request, _ *call.Reply) error {
	return p.setNumber(ctx, q.Path, attrExpires, q.Count, maxDate)
}

// setFileAllocation keeps the number of blocks. All files share one store that
// grows and shrinks with them, so nothing is set aside or freed.
func (p *Process) setFileAllocation(ctx context.Context, q *call.Request, _ *call.Reply) error {
	return p.setNumber(ctx, q.Path, attrAllocation, q.Count, maxBlocks)
}

func (p *Process) createAllocatedFile(ctx context.Context, q *call.Request, r *call.Reply) error {
	if q.Count < 0 || q.Count > maxBlocks {
		return fmt.Errorf("create %s: %d blocks: %w", q.Path, q.Count, call.InvalidControl)
	}
	if err := p.createFile(ctx, q, r); err != nil {
		return err
	}
	return p.setNumber(ctx, q.Path, attrAllocation, q.Count, maxBlocks)
}

// cloneFile makes an empty file like another.
func (p *Process) cloneFile(ctx context.Context, q *call.Request, _ *call.Reply) error {
	from, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	to, err := p.fullPath(q.Path2)
	if err != nil {
		return err
	}
	e := p.e
	src, err := e.file(from)
	if err != nil {
		return err
	}
	if _, err := e.file(to); err == nil {
		return fmt.Errorf("clone %s as %s: %w", from, to, call.FileExists)
	}
	dst, err := e.twin(ctx, p.name, src, to)
	if err != nil {
		return err
	}
	if err := e.copyAttributes(ctx, p.name, src, dst.id, to, func(string) bool { return true }); err != nil {
		return err
	}
	return e.nameFile(ctx, p.name, dst.id, to)
}

func (p *Process) deleteIndex(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	if _, err := p.unused(full); err != nil {
		return err
	}
	return p.e.deleteIndex(ctx, p.name, full, q.Name)
}
