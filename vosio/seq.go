package vosio

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/lock"
	"drmesh/vosio/record"
)

func oneDot(c committed) []origin.OpDot { return []origin.OpDot{c.dot} }

func (p *Process) seqRead(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.toRead(q.Port)
	if err != nil {
		return err
	}
	if f.isPipe() {
		return p.readPipe(ctx, x, f, q, r)
	}
	if f.stream() {
		return p.streamLine(x, f, q, r)
	}
	got, err := p.readAt(ctx, x, f, x.next, call.EndOfFile)
	if err != nil {
		return err
	}
	return give(q, r, got)
}

func (p *Process) seqPosition(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.toRead(q.Port)
	if err != nil {
		return err
	}
	if err := x.noPipe(f, "position"); err != nil {
		return err
	}
	if f.stream() {
		return p.moveBytes(x, f, q.Position, q.Count)
	}
	if err := p.refresh(ctx, x, f); err != nil {
		return err
	}
	return p.move(x, f, q.Position, q.Count)
}

func (p *Process) seqPositionRead(ctx context.Context, q *call.Request, r *call.Reply) error {
	return p.both(q, func() error { return p.seqPosition(ctx, q, r) }, func() error { return p.seqRead(ctx, q, r) })
}

// both carries out a position and what follows as one step: if either fails,
// the port stands where it stood.
func (p *Process) both(q *call.Request, first, then func() error) error {
	x, _, err := p.opened(q.Port)
	if err != nil {
		return err
	}
	cur, positioned, next, order, pos := x.cur, x.positioned, x.next, x.order, x.pos
	err = first()
	if err == nil {
		err = then()
	}
	if err != nil && call.CodeOf(err) != call.LongRecord {
		x.cur, x.positioned, x.next, x.order, x.pos = cur, positioned, next, order, pos
	}
	return err
}

func (p *Process) seqWrite(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.toWrite(q.Port)
	if err != nil {
		return err
	}
	if err := p.insert(ctx, x, f, nil, x.whole(q.Data), r); err != nil {
		return err
	}
	x.partial = nil
	return nil
}

// whole is a record with what s$seq_write_partial has given of it.
func (x *port) whole(data []byte) []byte {
	if len(x.partial) == 0 {
		return data
	}
	return append(slices.Clip(x.partial), data...)
}

// seqWritePartial keeps the beginning of a record for the next s$seq_write, or
// the close.
func (p *Process) seqWritePartial(_ context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.toWrite(q.Port)
	if err != nil {
		return err
	}
	return p.addPartial(x, f, q.Data)
}

func (p *Process) addPartial(x *port, f *file, data []byte) error {
	if f.numbered() {
		return fmt.Errorf("write a part of a record of %s, which is %s: %w", x.path, call.OrgName(f.org), call.InvalidFileType)
	}
	if err := p.mayTouch(x, f, lock.Exclusive); err != nil {
		return err
	}
	if n := len(x.partial) + len(data); n > maxRecord {
		return fmt.Errorf("write %s: %d bytes, a record has %d at most: %w", x.path, n, maxRecord, call.RecordTooLong)
	}
	x.partial = append(x.partial, data...)
	return nil
}

// complete writes what a port holds of an unfinished record, as its close does.
func (p *Process) complete(ctx context.Context, x *port) error {
	if !x.isOpen || len(x.partial) == 0 {
		return nil
	}
	_, f, err := p.opened(x.id)
	if err != nil {
		return err
	}
	var r call.Reply
	err = p.insert(ctx, x, f, nil, x.partial, &r)
	x.partial = nil
	return err
}

// insert adds a record and makes it current.
func (p *Process) insert(ctx context.Context, x *port, f *file, addr, data []byte, r *call.Reply) error {
	if f.stream() {
		return p.appendBytes(ctx, x, f, append(slices.Clip(data), '\n'))
	}
	c, err := p.write(ctx, x, f, change{kind: insert, addr: addr, data: data})
	if err != nil {
		return err
	}
	x.added(f, c, data)
	if n, ok := record.Number(c.addr); ok {
		r.Number = int64(n)
	}
	return nil
}

// current is the record that s$seq_rewrite and s$seq_delete work on.
func (x *port) current() (*rec, error) {
	if x.cur == nil {
		return nil, fmt.Errorf("port %d on %s: %w", x.id, x.path, call.NoCurrentRecord)
	}
	return x.cur, nil
}

func (p *Process) seqRewrite(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.toUpdate(q.Port)
	if err != nil {
		return err
	}
	cur, err := x.current()
	if err != nil {
		return err
	}
	return p.replace(ctx, x, f, cur, q.Data)
}

// replace rewrites a record; position stays, and the record stays current.
func (p *Process) replace(ctx context.Context, x *port, f *file, cur *rec, data []byte) error {
	c, err := p.write(ctx, x, f, change{kind: rewrite, addr: cur.addr, data: data})
	if err != nil {
		return err
	}
	now := &rec{addr: c.addr, birth: c.birth, data: slices.Clone(data), life: cur.life, dots: oneDot(c)}
	if n := len(cur.entry) - len(cur.addr); n > 0 {
		now.entry, now.via = append(slices.Clone(cur.entry[:n]), c.addr...), cur.via
	}
	if ix, err := x.orderOf(f); err == nil {
		x.next.at = follow(f, ix, cur, now, x.next.at)
	}
	x.cur = now
	return nil
}

// follow gives the place of a rewritten record for a port that stood at it.
// Where its key in the order is as before, and only its address is another (its
// identity key changed), the place is the new one: else the record would be met
// again, or be taken for its own neighbour.
func follow(f *file, ix *index, old, now *rec, at spot) spot {
	was, is := spotOf(f, ix, old), spotOf(f, ix, now)
	if len(was) > 0 && bytes.Equal(at, was) && bytes.Equal(was[:len(was)-len(old.addr)], is[:len(is)-len(now.addr)]) {
		return is
	}
	return at
}

// erase deletes a record: there is no current one then, and its follower is
// next.
func (p *Process) erase(ctx context.Context, x *port, f *file, cur *rec) error {
	if f.org == call.OrgFixed {
		return fmt.Errorf("delete from %s, a fixed file: %w", x.path, call.InvalidFileType)
	}
	ix, err := x.orderOf(f)
	if err != nil {
		return err
	}
	at := spotOf(f, ix, cur)
	if x.stands() {
		at = x.next.at
	}
	if _, err := p.write(ctx, x, f, change{kind: remove, addr: cur.addr}); err != nil {
		return err
	}
	x.cur, x.positioned, x.next = nil, false, nextPlace{afterSpot, at}
	return nil
}

func (p *Process) seqDelete(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.toUpdate(q.Port)
	if err != nil {
		return err
	}
	cur, err := x.current()
	if err != nil {
		return err
	}
	return p.erase(ctx, x, f, cur)
}

func (p *Process) seqPositionRewrite(ctx context.Context, q *call.Request, r *call.Reply) error {
	return p.both(q, func() error { return p.seqPosition(ctx, q, r) }, func() error { return p.rewritePointed(ctx, q, r) })
}

// rewritePointed rewrites the record positioned to, as one step with the
// position: what is next afterwards is its follower.
func (p *Process) rewritePointed(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, _, err := p.opened(q.Port)
	if err != nil {
		return err
	}
	if err := p.seqRewrite(ctx, q, r); err != nil {
		return err
	}
	x.positioned = false
	if x.next.kind == atSpot {
		x.next.kind = afterSpot
	}
	return nil
}

func (p *Process) seqPositionDelete(ctx context.Context, q *call.Request, r *call.Reply) error {
	return p.both(q, func() error { return p.seqPosition(ctx, q, r) }, func() error { return p.seqDelete(ctx, q, r) })
}

// truncateOpenFile removes the records from the next one to the end; all of
// them right after an open, which is one operation.
func (p *Process) truncateOpenFile(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.toWrite(q.Port)
	if err != nil {
		return err
	}
	if err := p.mayTouch(x, f, lock.Exclusive); err != nil {
		return err
	}
	if err := f.mayBeEmptied(); err != nil {
		return fmt.Errorf("truncate %s: %w", x.path, err)
	}
	if p.e.locks.inUse(x.owner, f.id) {
		return fmt.Errorf("truncate %s: %w", x.path, call.FileInUse)
	}
	if f.stream() {
		return p.truncateStream(ctx, x, f)
	}
	ix, err := x.orderOf(f)
	if err != nil {
		return err
	}
	if f.attribute(attrTransaction) == "1" {
		return p.truncateInTransaction(ctx, x, f, ix)
	}
	n := x.next
	whole := n.kind == atFirst
	if n.kind == atSpot {
		r, at, err := p.seek(x, f, ix, nextPlace{kind: atFirst})
		if err != nil {
			return err
		}
		whole = r == nil || bytes.Equal(at, n.at)
	}
	if whole {
		if err := p.e.truncateFile(ctx, p.name, x.path); err != nil {
			return err
		}
		x.cur, x.positioned, x.next = nil, false, nextPlace{kind: atFirst}
		return nil
	}
	rest, err := p.rest(p.e.db, x, f, ix)
	if err != nil {
		return err
	}
	var chs []change
	for _, r := range rest {
		chs = append(chs, change{file: f, kind: remove, addr: r.addr})
	}
	if err := p.e.forbidFileOf(f, p.name); err != nil {
		return err
	}
	if _, err := p.e.commit(ctx, p.name, chs); err != nil {
		return err
	}
	x.cur, x.positioned = nil, false
	return nil
}

// rest lists the records from the next one to the end.
func (p *Process) rest(v pebble.Reader, x *port, f *file, ix *index) ([]*rec, error) {
	s, err := p.e.scan(v, f, ix)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	ok := false
	switch x.next.kind {
	case atFirst:
		ok = s.First()
	case atSpot:
		ok = s.SeekGE(x.next.at)
	case afterSpot:
		ok = s.After(x.next.at)
	}
	var l []*rec
	for ; ok; ok = s.Next() {
		if len(l) >= maxTransaction {
			return nil, fmt.Errorf("truncate %s: more than %d records: %w", x.path, maxTransaction, call.TxnTooLarge)
		}
		r := *s.record()
		r.data = nil
		l = append(l, &r)
	}
	return l, s.Err()
}

// truncateInTransaction removes the rest record by record, so that an abort
// brings it back.
func (p *Process) truncateInTransaction(ctx context.Context, x *port, f *file, ix *index) error {
	if p.txn == nil {
		return fmt.Errorf("truncate %s: %w", x.path, call.NoTransaction)
	}
	rest, err := p.rest(p.view(f), x, f, ix)
	if err != nil {
		return err
	}
	for _, r := range rest {
		if _, err := p.write(ctx, x, f, change{kind: remove, addr: r.addr}); err != nil {
			return err
		}
	}
	x.cur, x.positioned = nil, false
	return nil
}

func (e *Engine) forbidFileOf(f *file, process string) error {
	if f.share == "" {
		return nil
	}
	return e.forbidFile(f, process)
}
