package vosio

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// keyIndex is the index that a keyed call names, or that of the open.
func (x *port) keyIndex(f *file, name string) (*index, error) {
	if x.access != call.Indexed {
		return nil, fmt.Errorf("keyed call on %s, not opened indexed: %w", x.path, call.InvalidAccessMode)
	}
	if name == "" {
		name = x.index
	}
	ix := f.index(name)
	if ix == nil {
		return nil, fmt.Errorf("%s, index %q: %w", x.path, name, call.IndexNotFound)
	}
	if !ix.orders() {
		return nil, fmt.Errorf("%s, index %s: no records stand in its order: %w", x.path, name, call.InvalidIndexType)
	}
	return ix, nil
}

// keyOf is the key that a call means: given, or built from the key fields of
// its buffer.
func keyOf(x *port, ix *index, key, data []byte) ([]byte, error) {
	if ix.given() {
		if len(key) > origin.MaxKey {
			return nil, fmt.Errorf("%s, index %s: key of %d bytes: %w", x.path, ix.Name, len(key), call.KeyTooLong)
		}
		return key, nil
	}
	if len(key) == 0 {
		return ix.AppendKeyOf(nil, data), nil
	}
	if len(key) > ix.keyLen {
		return nil, fmt.Errorf("%s, index %s: key of %d bytes, it has %d: %w", x.path, ix.Name, len(key), ix.keyLen, call.KeyTooLong)
	}
	return key, nil
}

// padded fills a key with blanks to the index's length.
func padded(ix *index, key []byte) []byte {
	k := append(make([]byte, 0, ix.keyLen), key...)
	for len(k) < ix.keyLen {
		k = append(k, ' ')
	}
	return k
}

// locate finds a record by key and relation.
func (p *Process) locate(x *port, f *file, ix *index, key []byte, relation int) (*rec, spot, error) {
	if relation == call.RelEqual && f.addressed(ix) && p.view(f) == pebble.Reader(p.e.db) {
		r, at, err := p.readAddressed(x, f, ix, key)
		if err == nil && r == nil {
			err = noRecord(x, ix, key)
		}
		return r, at, err
	}
	s, free, err := p.scanner(x, f, ix)
	if err != nil {
		return nil, nil, err
	}
	defer free()
	ok, err := s.find(key, relation)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", x.path, err)
	}
	if err := s.Err(); err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, noRecord(x, ix, key)
	}
	return s.room.rec(s.record()), s.spot(), nil
}

func noRecord(x *port, ix *index, key []byte) error {
	return fmt.Errorf("%s, index %s, key %q: %w", x.path, ix.Name, key, call.RecordNotFound)
}

// keyed finds the open port, file, index and key of a keyed read or position.
func (p *Process) keyed(q *call.Request) (*port, *file, *index, []byte, error) {
	x, f, err := p.toRead(q.Port)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	ix, err := x.keyIndex(f, q.Index)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	key, err := keyOf(x, ix, q.Key, q.Data)
	return x, f, ix, key, err
}

func (p *Process) keyedRead(ctx context.Context, q *call.Request, r *call.Reply) error {
	return p.keyedReadBy(ctx, q, r, call.RelEqual)
}

func (p *Process) keyedPositionRead(ctx context.Context, q *call.Request, r *call.Reply) error {
	return p.keyedReadBy(ctx, q, r, q.Relation)
}

func (p *Process) keyedReadBy(ctx context.Context, q *call.Request, r *call.Reply, relation int) error {
	x, f, ix, key, err := p.keyed(q)
	if err != nil {
		return err
	}
	got, err := p.readFound(ctx, x, f, ix, func() (*rec, spot, error) { return p.locate(x, f, ix, key, relation) })
	if err != nil {
		return err
	}
	x.order = ix.Name
	return give(q, r, got)
}

func (p *Process) keyedPosition(_ context.Context, q *call.Request, _ *call.Reply) error {
	x, f, ix, key, err := p.keyed(q)
	if err != nil {
		return err
	}
	found, at, err := p.locate(x, f, ix, key, q.Relation)
	if err != nil {
		return err
	}
	x.order = ix.Name
	x.point(found, at)
	return nil
}

func (p *Process) keyedWrite(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.toWrite(q.Port)
	if err != nil {
		return err
	}
	if x.access != call.Indexed {
		return fmt.Errorf("keyed call on %s, not opened indexed: %w", x.path, call.InvalidAccessMode)
	}
	ix := f.index(x.index)
	if ix == nil || !ix.given() || len(q.Key) == 0 {
		return p.insert(ctx, x, f, nil, q.Data, r)
	}
	key, err := givenKey(x, ix, q.Key)
	if err != nil {
		return err
	}
	if ix.IsNull(key) {
		return p.insert(ctx, x, f, nil, q.Data, r)
	}
	out, err := p.writeWith(ctx, x, f, change{kind: insert, data: q.Data}, func(birth origin.Birth) []byte {
		return record.AppendEntry(nil, ix.number, key, birth)
	})
	if err != nil {
		return err
	}
	x.added(f, out[0], q.Data)
	x.cur.entry = append(record.AppendBirth(record.AppendSorted(nil, key, true), out[1].birth), out[0].addr...)
	x.cur.via = ix.number
	if x.order == ix.Name {
		x.next = nextPlace{afterSpot, x.cur.entry}
	}
	if n, ok := record.Number(out[0].addr); ok {
		r.Number = int64(n)
	}
	return nil
}

// ofKey finds the record that a keyed rewrite or delete means: the current one
// if it has the key, else the first that has.
func (p *Process) ofKey(q *call.Request) (*port, *file, *rec, spot, *index, error) {
	x, f, err := p.toUpdate(q.Port)
	if err != nil {
		return nil, nil, nil, nil, nil, err
	}
	ix, err := x.keyIndex(f, "")
	if err != nil {
		return nil, nil, nil, nil, nil, err
	}
	key, err := keyOf(x, ix, q.Key, q.Data)
	if err != nil {
		return nil, nil, nil, nil, nil, err
	}
	if whole, _ := ix.sought(key); x.cur != nil && ix.given() {
		at, err := p.e.findEntry(p.view(f), f, ix, whole, x.cur.addr)
		if err != nil {
			return nil, nil, nil, nil, nil, err
		}
		if at != nil {
			cur := *x.cur
			cur.entry, cur.via = at, ix.number
			return x, f, &cur, at, ix, nil
		}
	} else if x.cur != nil && bytes.Equal(ix.AppendKeyOf(nil, x.cur.data), whole) {
		return x, f, x.cur, f.indexSpot(ix, x.cur), ix, nil
	}
	r, at, err := p.locate(x, f, ix, key, call.RelEqual)
	return x, f, r, at, ix, err
}

func (p *Process) keyedRewrite(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, found, at, ix, err := p.ofKey(q)
	if err != nil {
		return err
	}
	if err := p.replace(ctx, x, f, found, q.Data); err != nil {
		return err
	}
	x.order = ix.Name
	x.positioned, x.next = false, nextPlace{afterSpot, follow(f, ix, found, x.cur, at)}
	return nil
}

func (p *Process) keyedDelete(ctx context.Context, q *call.Request, _ *call.Reply) error {
	x, f, found, at, ix, err := p.ofKey(q)
	if err != nil {
		return err
	}
	order, next := x.order, x.next
	x.order, x.next = ix.Name, nextPlace{atSpot, at}
	if err := p.erase(ctx, x, f, found); err != nil {
		x.order, x.next = order, next
		return err
	}
	return nil
}

func (p *Process) keyedPositionRewrite(ctx context.Context, q *call.Request, r *call.Reply) error {
	data := q.Data
	return p.both(q, func() error { return p.keyedPosition(ctx, q, r) }, func() error {
		q.Data = data
		return p.rewritePointed(ctx, q, r)
	})
}

func (p *Process) keyedPositionDelete(ctx context.Context, q *call.Request, r *call.Reply) error {
	return p.both(q, func() error { return p.keyedPosition(ctx, q, r) }, func() error { return p.seqDelete(ctx, q, r) })
}
