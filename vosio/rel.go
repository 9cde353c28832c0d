package vosio

import (
	"context"
	"fmt"

	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// numbered finds an open port on a file of numbered records: fixed, relative, or
// sequential with a record index.
func (p *Process) numbered(q *call.Request) (*port, *file, error) {
	x, f, err := p.opened(q.Port)
	if err != nil {
		return nil, nil, err
	}
	if f.records != nil && f.identity == nil {
		return x, f, nil
	}
	return x, f, x.needsNumbers(f)
}

func (x *port) needsNumbers(f *file) error {
	if !f.numbered() {
		return fmt.Errorf("%s is %s: %w", x.path, call.OrgName(f.org), call.InvalidFileType)
	}
	return nil
}

func checkNumber(x *port, n int64) error {
	if n < 1 {
		return fmt.Errorf("%s, record %d: %w", x.path, n, call.InvalidRecordNumber)
	}
	return nil
}

func numberAt(n int64) spot { return record.AppendNumber(nil, uint64(n)) }

func (p *Process) numberedForRead(q *call.Request) (*port, *file, error) {
	x, f, err := p.numbered(q)
	if err != nil {
		return nil, nil, err
	}
	if err := x.mayRead(); err != nil {
		return nil, nil, err
	}
	return x, f, checkNumber(x, q.Number)
}

// ofNumber finds the record of a number.
func (p *Process) ofNumber(x *port, f *file, n int64) (*rec, spot, error) {
	addr, ok, err := f.addressOf(p.view(f), n)
	if err != nil {
		return nil, nil, err
	}
	if ok {
		r, ok, err := p.e.record(p.view(f), f, addr)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			return &r, addr, nil
		}
	}
	last, err := f.lastNumber(p.view(f))
	if err != nil {
		return nil, nil, err
	}
	if n > last {
		return nil, nil, fmt.Errorf("%s, record %d of %d: %w", x.path, n, last, call.EndOfFile)
	}
	return nil, nil, fmt.Errorf("%s, record %d: %w", x.path, n, call.RecordNotFound)
}

func (p *Process) relRead(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.numberedForRead(q)
	if err != nil {
		return err
	}
	got, err := p.readFound(ctx, x, f, nil, func() (*rec, spot, error) { return p.ofNumber(x, f, q.Number) })
	if err != nil {
		return err
	}
	x.order = ""
	r.Number = q.Number
	return give(q, r, got)
}

func (p *Process) relPosition(_ context.Context, q *call.Request, _ *call.Reply) error {
	if q.Number == 0 {
		x, _, err := p.numbered(q)
		if err != nil {
			return err
		}
		x.order, x.cur, x.positioned, x.next = "", nil, false, nextPlace{kind: atFirst}
		return nil
	}
	x, f, err := p.numberedForRead(q)
	if err != nil {
		return err
	}
	r, at, err := p.ofNumber(x, f, q.Number)
	if err != nil {
		return err
	}
	x.order = ""
	x.point(r, at)
	return nil
}

// relPointFrom finds the first record of a number or above.
func (p *Process) relPointFrom(q *call.Request) error {
	x, f, err := p.numberedForRead(q)
	if err != nil {
		return err
	}
	addr, ok, err := f.addressOf(p.view(f), q.Number)
	if err != nil {
		return err
	}
	var r *rec
	var at spot
	if ok {
		if r, at, err = p.seek(x, f, nil, nextPlace{atSpot, addr}); err != nil {
			return err
		}
	}
	if r == nil {
		return fmt.Errorf("%s, record %d and above: %w", x.path, q.Number, call.EndOfFile)
	}
	x.order = ""
	x.point(r, at)
	return nil
}

func (p *Process) relPositionRead(ctx context.Context, q *call.Request, r *call.Reply) error {
	return p.both(q, func() error { return p.relPointFrom(q) }, func() error {
		err := p.seqRead(ctx, q, r)
		if x, f, e := p.opened(q.Port); e == nil && r.Number == 0 && x.cur != nil && (err == nil || call.CodeOf(err) == call.LongRecord) {
			n, e := f.numberOf(p.view(f), x.cur.addr)
			if r.Number = n; e != nil {
				return e
			}
		}
		return err
	})
}

func (p *Process) relWrite(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.numbered(q)
	if err != nil {
		return err
	}
	if err := x.mayWrite(); err != nil {
		return err
	}
	if err := x.needsNumbers(f); err != nil {
		return err
	}
	if x.access == call.Sequential {
		return fmt.Errorf("rel_write on %s, opened sequential: %w", x.path, call.InvalidAccessMode)
	}
	if q.Number == 0 {
		return p.insert(ctx, x, f, nil, q.Data, r)
	}
	if err := checkNumber(x, q.Number); err != nil {
		return err
	}
	if f.org == call.OrgFixed {
		last, err := highestNumber(p.view(f), f.id)
		if err != nil {
			return err
		}
		if q.Number > last+1 {
			return fmt.Errorf("%s, record %d: a fixed file of %d records takes %d next: %w", x.path, q.Number, last, last+1, call.InvalidRecordNumber)
		}
	}
	return p.insert(ctx, x, f, numberAt(q.Number), q.Data, r)
}

// relExisting finds the record of a number for a change.
func (p *Process) relExisting(q *call.Request) (*port, *file, *rec, error) {
	x, f, err := p.numbered(q)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := x.mayUpdate(); err != nil {
		return nil, nil, nil, err
	}
	if err := checkNumber(x, q.Number); err != nil {
		return nil, nil, nil, err
	}
	addr, ok, err := f.addressOf(p.view(f), q.Number)
	if err != nil {
		return nil, nil, nil, err
	}
	var r rec
	if ok {
		r, ok, err = p.e.record(p.view(f), f, addr)
	}
	if err == nil && !ok {
		err = fmt.Errorf("%s, record %d: %w", x.path, q.Number, call.RecordNotFound)
	}
	return x, f, &r, err
}

func (p *Process) relRewrite(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, r, err := p.relExisting(q)
	if err != nil {
		return err
	}
	if err := p.replace(ctx, x, f, r, q.Data); err != nil {
		return err
	}
	x.order, x.positioned, x.next = "", false, nextPlace{afterSpot, r.addr}
	return nil
}

func (p *Process) relDelete(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, r, err := p.relExisting(q)
	if err != nil {
		return err
	}
	order, next := x.order, x.next
	x.order, x.next = "", nextPlace{atSpot, r.addr}
	if err := p.erase(ctx, x, f, r); err != nil {
		x.order, x.next = order, next
		return err
	}
	return nil
}

func (p *Process) relPositionRewrite(ctx context.Context, q *call.Request, r *call.Reply) error {
	return p.both(q, func() error { return p.relPointFrom(q) }, func() error { return p.rewritePointed(ctx, q, r) })
}

func (p *Process) relPositionDelete(ctx context.Context, q *call.Request, r *call.Reply) error {
	return p.both(q, func() error { return p.relPointFrom(q) }, func() error { return p.seqDelete(ctx, q, r) })
}
