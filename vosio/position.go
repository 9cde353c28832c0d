package vosio

import (
	"bytes"
	"context"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/lock"
	"drmesh/vosio/record"
)

// orderOf is the index in force at a port; nil is physical order.
func (x *port) orderOf(f *file) (*index, error) {
	if x.order == "" {
		return nil, nil
	}
	ix := f.index(x.order)
	if ix == nil || !ix.orders() {
		return nil, fmt.Errorf("read %s: index %s: %w", x.path, x.order, call.IndexNotFound)
	}
	return ix, nil
}

// spotOf is the place of a record in an order.
func spotOf(f *file, ix *index, r *rec) spot {
	if ix != nil {
		return f.indexSpot(ix, r)
	}
	return f.physicalSpot(r)
}

// scan opens a scanner that shows what the port may see.
func (p *Process) scan(x *port, r pebble.Reader, f *file, ix *index) (*scanner, error) {
	s, err := p.e.scan(r, f, ix)
	if err == nil {
		s.stable, s.below = x.stable, x.below
	}
	return s, err
}

// seek finds the record at a place in an order.
func (p *Process) seek(x *port, f *file, ix *index, n nextPlace) (*rec, spot, error) {
	if n.kind == atEnd {
		return nil, nil, nil
	}
	s, free, err := p.scanner(x, f, ix)
	if err != nil {
		return nil, nil, err
	}
	defer free()
	ok := false
	switch n.kind {
	case atFirst:
		ok = s.First()
	case atSpot:
		ok = s.SeekGE(n.at)
	case afterSpot:
		ok = s.After(n.at)
	}
	if !ok {
		return nil, nil, s.Err()
	}
	return s.room.rec(s.record()), s.spot(), nil
}

// take makes a record the current one, as a read does: the next is its
// follower in the order in force.
func (x *port) take(r *rec, at spot) {
	x.cur, x.positioned, x.next = r, false, nextPlace{afterSpot, at}
}

// point makes a record the one that s$seq_read gives next.
func (x *port) point(r *rec, at spot) {
	x.cur, x.positioned, x.next = r, true, nextPlace{atSpot, at}
}

// noteRead remembers what a transaction has read.
func (p *Process) noteRead(f *file, r *rec) {
	if p.txn != nil && f.attribute(attrTransaction) == "1" && !provisional(r.addr) {
		p.txn.noteRead(p, f, r)
	}
}

// give puts a record into a reply.
func give(q *call.Request, r *call.Reply, x *rec) error {
	r.Length = len(x.data)
	r.Data = append(r.Room[:0], x.data...) // the caller's; the port keeps its own
	if r.Data == nil {
		r.Data = []byte{}
	}
	if r.Room != nil {
		r.Room = r.Data
	}
	if n, ok := record.Number(x.addr); ok {
		r.Number = int64(n)
	}
	if q.Max > 0 && len(x.data) > q.Max {
		r.Data = r.Data[:q.Max]
		return fmt.Errorf("record of %d bytes, buffer of %d: %w", len(x.data), q.Max, call.LongRecord)
	}
	return nil
}

// readAt reads the record at a place under its lock, and makes it current.
func (p *Process) readAt(ctx context.Context, x *port, f *file, n nextPlace, end call.Code) (*rec, error) {
	if err := p.refresh(ctx, x, f); err != nil {
		return nil, err
	}
	ix, err := x.orderOf(f)
	if err != nil {
		return nil, err
	}
	return p.readFound(ctx, x, f, ix, func() (*rec, spot, error) {
		r, at, err := p.seek(x, f, ix, n)
		if err == nil && r == nil {
			err = fmt.Errorf("read %s: %w", x.path, end)
		}
		return r, at, err
	})
}

// readFound reads what find finds under its lock, and makes it current. When
// the record was moved or deleted before its lock came, it finds anew.
func (p *Process) readFound(ctx context.Context, x *port, f *file, ix *index, find func() (*rec, spot, error)) (*rec, error) {
	if err := p.mayTouch(x, f, lock.Shared); err != nil {
		return nil, err
	}
	for {
		// What was found need not be read again under the lock if the file has
		// not changed meanwhile.
		was, again := p.e.moment(f), p.view(f) != pebble.Reader(p.e.db)
		r, at, err := find()
		if err != nil {
			return nil, err
		}
		if !again && r.data != nil && x.implicit && f.attribute(attrRegions) != "1" && p.e.locks.isFree(f.id, r.addr) && was == p.e.moment(f) {
			// Nobody has it, and it is as it was found: its lock would be given
			// and freed here.
			x.take(r, at)
			x.show(r)
			return r, nil
		}
		free, err := p.lockRecord(ctx, x, f, r.addr, lock.Shared)
		if err != nil {
			return nil, err
		}
		now, ok := r, true
		if again || was != p.e.moment(f) || r.data == nil {
			now = new(rec)
			*now, ok, err = p.e.record(p.view(f), f, r.addr)
			if ok && err == nil {
				ok, err = p.e.stillAt(p.view(f), f, ix, now, at)
			}
		}
		free()
		if err != nil {
			return nil, err
		}
		if !ok {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			continue
		}
		x.take(now, at)
		x.show(now)
		p.noteRead(f, now)
		return now, nil
	}
}

// stands tells whether next is the place of the current record, or behind it.
func (x *port) stands() bool {
	return (x.next.kind == atSpot || x.next.kind == afterSpot) && (x.order != "" || x.cur == nil || !isPlace(x.cur.addr))
}

// move carries out a position of the s$seq_ family.
func (p *Process) move(x *port, f *file, typ int, count int64) error {
	switch typ {
	case call.PosBeginning, call.PosEnd:
		x.order = ""
		if x.access == call.Indexed {
			x.order = x.index
		}
		x.cur, x.positioned = nil, false
		x.next = nextPlace{kind: atFirst}
		ix, err := x.orderOf(f)
		if err != nil {
			return err
		}
		s, err := p.scan(x, p.view(f), f, ix)
		if err != nil {
			return err
		}
		defer s.Close()
		switch {
		case typ == call.PosBeginning && s.First():
			r := *s.record()
			x.point(&r, s.spot())
		case typ == call.PosEnd && s.Last():
			x.next = nextPlace{afterSpot, s.spot()}
		}
		return s.Err()
	case call.PosForward, call.PosBackward:
	default:
		return fmt.Errorf("position %s: type %d: %w", x.path, typ, call.InvalidControl)
	}
	if count < 0 {
		count = -count
		typ = call.PosForward + call.PosBackward - typ
	}
	ix, err := x.orderOf(f)
	if err != nil {
		return err
	}
	s, err := p.scan(x, p.view(f), f, ix)
	if err != nil {
		return err
	}
	defer s.Close()
	fail := func(c call.Code) error {
		if err := s.Err(); err != nil {
			return err
		}
		return fmt.Errorf("position %s: %w", x.path, c)
	}
	if typ == call.PosForward {
		ok := false
		if x.cur != nil {
			at := spotOf(f, ix, x.cur)
			if x.stands() {
				at = x.next.at
			}
			if count == 0 {
				ok = s.SeekGE(at)
			} else {
				ok = s.After(at)
				count--
			}
		} else {
			switch x.next.kind {
			case atFirst:
				ok = s.First()
			case atSpot:
				ok = s.SeekGE(x.next.at)
			case afterSpot:
				ok = s.After(x.next.at)
			}
		}
		for ; ok && count > 0; count-- {
			ok = s.Next()
		}
		if !ok {
			return fail(call.EndOfFile)
		}
		r := *s.record()
		x.point(&r, s.spot())
		return nil
	}
	// Backward: from the current record, or from what would be read next.
	ok := false
	switch {
	case x.cur != nil:
		at := spotOf(f, ix, x.cur)
		if x.stands() {
			at = x.next.at
		}
		if count == 0 {
			// The same record, wherever a rewrite has put it.
			at = spotOf(f, ix, x.cur)
			if !s.SeekGE(at) || !bytes.Equal(s.spot(), at) {
				return fail(call.RecordNotFound)
			}
			ok = true
		} else {
			ok = s.SeekLT(at)
			count--
		}
	case x.next.kind == afterSpot:
		if count == 0 {
			return fail(call.NoCurrentRecord)
		}
		ok = s.SeekGE(x.next.at)
		if ok && bytes.Equal(s.spot(), x.next.at) {
			count--
		} else {
			ok = s.SeekLT(x.next.at)
			count--
		}
	case x.next.kind == atSpot:
		ok = s.SeekLT(x.next.at)
		count--
	case x.next.kind == atEnd:
		ok = s.Last()
		count--
	default:
		return fail(call.BeginningOfFile)
	}
	for ; ok && count > 0; count-- {
		ok = s.Prev()
	}
	if !ok {
		return fail(call.BeginningOfFile)
	}
	r := *s.record()
	x.point(&r, s.spot())
	return nil
}

// write puts one change of a port through: into the transaction's overlay, or
// through the committer.
func (p *Process) write(ctx context.Context, x *port, f *file, ch change) (committed, error) {
	out, err := p.writeWith(ctx, x, f, ch, nil)
	if err != nil {
		return committed{}, err
	}
	return out[0], nil
}

// writeWith is write of a record and, if with is not nil, of an entry of it,
// which it gives the address by the record's birth.
func (p *Process) writeWith(ctx context.Context, x *port, f *file, ch change, with func(birth origin.Birth) []byte) ([]committed, error) {
	e := p.e
	if f.share != "" {
		if err := e.forbidFile(f, p.name); err != nil {
			return nil, err
		}
	}
	ch.file = f
	if ch.kind != remove && !isEntry(ch.addr) {
		if err := checkLength(f, len(ch.data)); err != nil {
			return nil, err
		}
	}
	if f.attribute(attrTransaction) == "1" {
		if p.txn == nil {
			return nil, fmt.Errorf("write %s: %w", x.path, call.NoTransaction)
		}
		c, err := p.txn.write(ctx, p, x, ch)
		if err != nil || with == nil {
			return []committed{c}, err
		}
		k, err := p.txn.write(ctx, p, x, change{file: f, kind: insert, addr: with(c.birth)})
		if err != nil {
			if _, undo := p.txn.write(ctx, p, x, change{file: f, kind: remove, addr: c.addr}); undo != nil {
				return nil, undo
			}
			return nil, err
		}
		return []committed{c, k}, nil
	}
	if err := p.mayTouch(x, f, lock.Exclusive); err != nil {
		return nil, err
	}
	if ch.kind != insert {
		if dots, ok := x.seen(ch.addr); ok {
			ch.seen, ch.hasSeen = dots, true
		}
	}
	addr := ch.addr
	if addr == nil && f.identity != nil {
		addr = record.AppendKey(nil, f.identity.number, f.identity.AppendKeyOf(nil, ch.data))
	}
	free, err := p.lockRecord(ctx, x, f, addr, lock.Exclusive)
	if err != nil {
		return nil, err
	}
	chs := []change{ch}
	if with != nil {
		chs[0].born = madeHere
		chs = append(chs, change{file: f, kind: insert, addr: with(madeHere)})
	}
	out, err := e.commit(ctx, p.name, chs)
	free()
	if err != nil {
		return nil, err
	}
	x.forget(ch.addr)
	x.forget(out[0].addr)
	if ch.kind == rewrite {
		x.show(&rec{addr: out[0].addr, dots: oneDot(out[0])})
	}
	return out, nil
}

// madeHere stands for the birth of the one record that a request makes.
var madeHere = origin.Birth{Stamp: math.MaxUint64, Dot: origin.OpDot{Index: 1}}

// maxRecord is the length of the longest record.
const maxRecord = 32767

func checkLength(f *file, n int) error {
	switch {
	case f.org == call.OrgFixed && n != f.size:
		return fmt.Errorf("write %s: %d bytes, its records have %d: %w", f.rel, n, f.size, call.RecordTooLong)
	case f.org == call.OrgRelative && n > f.size:
		return fmt.Errorf("write %s: %d bytes, its records have %d at most: %w", f.rel, n, f.size, call.RecordTooLong)
	case n > maxRecord+1 || n > maxRecord && !f.stream(): // a line has an end
		return fmt.Errorf("write %s: %d bytes, a record has %d at most: %w", f.rel, n, maxRecord, call.RecordTooLong)
	}
	return nil
}

// forbidFile refuses writes that the tables do not allow the program.
func (e *Engine) forbidFile(f *file, process string) error {
	s := e.table().Share(f.share)
	if s == nil {
		return fmt.Errorf("write %s: share %s is not here any more: %w", f.rel, f.share, call.NoAccess)
	}
	if !e.table().MayWrite(s, f.rel, process) {
		return fmt.Errorf("program %s, file %s:%s: no include record names it: %w", process, f.share, f.rel, call.NoAccess)
	}
	return nil
}

// added makes a new record current: what follows is the end in physical order,
// the entry after it in an index.
func (x *port) added(f *file, c committed, data []byte) {
	x.room.many = true
	r := x.room.rec(&rec{addr: c.addr, birth: c.birth, data: x.room.bytes(data), life: 1, dots: append(x.room.dots(1), c.dot)})
	x.cur, x.positioned = r, false
	if x.order != "" {
		if ix := f.index(x.order); ix != nil && ix.given() {
			return // it has no key there, and next stays
		} else if ix != nil {
			x.next = nextPlace{afterSpot, f.indexSpot(ix, r)}
			return
		}
	}
	x.next = nextPlace{afterSpot, f.physicalSpot(r)}
	if isPlace(c.addr) {
		x.next.at = record.AppendBorn(nil, c.birth) // the end, also of what went into a hole
	}
}
