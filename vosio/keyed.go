package vosio

import (
	"bytes"
	"context"
	"fmt"

	"drmesh/vosio/call"
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
	return ix, nil
}

// keyOf is the key that a call means: given, or built from the key fields of
// its buffer.
func keyOf(x *port, ix *index, key, data []byte) ([]byte, error) {
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
	s, err := p.e.scan(p.view(f), f, ix)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	ok := false
	whole := padded(ix, key)
	switch relation {
	case call.RelPrefix:
		ok = s.SeekGE(key) && bytes.HasPrefix(s.indexKey(), key)
	case call.RelLess:
		ok = s.SeekLT(whole)
	case call.RelLessOrEqual:
		ok = s.SeekLastKey(whole)
	case call.RelEqual:
		ok = s.SeekGE(whole) && bytes.Equal(s.indexKey(), whole)
	case call.RelGreater:
		ok = s.SeekAfterKey(whole)
	case call.RelGreaterEqual:
		ok = s.SeekGE(whole)
	case call.RelPrefixGreater:
		ok = s.SeekGE(key)
	case call.RelFirst:
		ok = s.First()
	case call.RelLast:
		ok = s.Last()
	default:
		return nil, nil, fmt.Errorf("%s: key relation %d: %w", x.path, relation, call.InvalidControl)
	}
	if err := s.Err(); err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, fmt.Errorf("%s, index %s, key %q: %w", x.path, ix.Name, key, call.RecordNotFound)
	}
	r := *s.record()
	return &r, s.spot(), nil
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
	return p.insert(ctx, x, f, nil, q.Data, r)
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
	if x.cur != nil && bytes.Equal(ix.AppendKeyOf(nil, x.cur.data), padded(ix, key)) {
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
