package vosio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// Before-images say what a register showed before an operation changed it. They
// are kept for shares that ask for it, in the batch of the change, for as long
// as the journal has its entry.

// Image is the before-image of one register.
type Image struct {
	Index   uint32 // of the operation in its txn
	File    origin.FileID
	Address []byte
	Before  *origin.Version // nil: nothing was shown
}

func appendImageKey(b []byte, s origin.Stream, q origin.Seq) []byte {
	b = origin.AppendStream(append(b, 'v', keyImage), s)
	return binary.BigEndian.AppendUint64(b, uint64(q))
}

// image keeps what a register shows before operation by changes it.
func (t *tx) image(share string, by origin.OpDot, file origin.FileID, addr []byte, old *origin.Version) error {
	if s := t.e.table().Share(share); s == nil || !s.Images {
		return nil
	}
	k := appendImageKey(nil, by.Stream, by.Seq)
	k = binary.BigEndian.AppendUint32(k, by.Index)
	k = append(append(k, file[:]...), addr...)
	var v []byte
	if old != nil {
		v = record.AppendSet(nil, []origin.Version{*old})
	}
	return t.b.Set(k, v, nil)
}

// Images gives the before-images of a txn, in the order of its operations.
func (e *Engine) Images(d origin.Dot) ([]Image, error) {
	prefix := appendImageKey(nil, d.Stream, d.Seq)
	return e.images(d, prefix, prefix, 0)
}

// ImagesOf gives the first before-images of one operation, limit at most: a
// truncation has one for each record that there was.
func (e *Engine) ImagesOf(d origin.OpDot, limit int) ([]Image, error) {
	txn := appendImageKey(nil, d.Stream, d.Seq)
	return e.images(d.Dot, txn, binary.BigEndian.AppendUint32(slices.Clip(txn), d.Index), limit)
}

// images reads what stands below prefix, which begins with txn's; limit 0: all.
func (e *Engine) images(d origin.Dot, txn, prefix []byte, limit int) ([]Image, error) {
	var l []Image
	enough := errors.New("enough")
	err := scanPrefix(e.db, prefix, func(k, v []byte) error {
		if limit > 0 && len(l) == limit {
			return enough
		}
		rest := k[len(txn):]
		if len(rest) < 4+len(origin.FileID{}) {
			return fmt.Errorf("before-image of %v: key %x", d, k)
		}
		x := Image{Index: binary.BigEndian.Uint32(rest), File: origin.FileID(rest[4:]), Address: slices.Clone(rest[4+len(origin.FileID{}):])}
		if len(v) > 0 {
			set, err := record.DecodeSet(nil, slices.Clone(v))
			if err != nil {
				return fmt.Errorf("before-image of %v: %w", d, err)
			}
			x.Before = &set[0]
		}
		l = append(l, x)
		return nil
	})
	if err == enough {
		err = nil
	}
	return l, err
}

// PruneImages lets the before-images go of a stream's txns up to a seq.
func (e *Engine) PruneImages(s origin.Stream, upto origin.Seq) error {
	return e.db.DeleteRange(appendImageKey(nil, s, 0), appendImageKey(nil, s, upto+1), pebble.NoSync)
}

// DropImages adds to a batch that the before-images go of a stream's txns after
// a seq: these were undone, and do not come back.
func DropImages(b *pebble.Batch, s origin.Stream, upto origin.Seq) error {
	prefix := appendImageKey(nil, s, 0)
	return b.DeleteRange(appendImageKey(nil, s, upto+1), after(prefix[:len(prefix)-8]), nil)
}

// Shown is what a register shows; nil: nothing.
func (e *Engine) Shown(f origin.FileID, addr []byte) (*origin.Version, error) {
	v, closer, err := e.db.Get(appendRegisterKey(nil, f, addr))
	if err == pebble.ErrNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v = slices.Clone(v)
	closer.Close()
	set, err := record.DecodeSet(nil, v)
	if err != nil {
		return nil, err
	}
	return visible(set), nil
}

// Redo is one register of a lost txn that is to be made good: After takes the
// place of Before, if the register shows the same bytes still. A nil version is
// no record.
type Redo struct {
	File          origin.FileID
	Address       []byte
	Before, After *origin.Version
}

// ErrMoved says that what a lost txn replaced does not stand any more.
var ErrMoved = errors.New("what it replaced does not stand any more")

// Redo makes the registers of a lost txn good in a txn of this module, all or
// none. ErrMoved: one shows something else by now.
func (e *Engine) Redo(ctx context.Context, process string, l []Redo) error {
	var chs []change
	var expect []expectation
	for _, r := range l {
		f := e.fileByID(r.File)
		if f == nil || f.deleted {
			return fmt.Errorf("redo file %v: %w", r.File, call.ObjectNotFound)
		}
		now, err := e.Shown(r.File, r.Address)
		if err != nil {
			return err
		}
		if (now == nil) != (r.Before == nil) || now != nil && !sameVersion(now, r.Before) {
			return fmt.Errorf("redo %s %s: %w", f.rel, record.String(r.Address), ErrMoved)
		}
		ch := change{file: f, addr: r.Address}
		switch {
		case r.Before == nil && r.After == nil:
			continue
		case r.Before == nil:
			ch.kind, ch.data = insert, r.After.Data
			if r.Address[0] == record.KindBirth {
				ch.addr = nil // it is born again
			}
		case r.After == nil:
			ch.kind = remove
		default:
			ch.kind, ch.data = rewrite, r.After.Data
		}
		if now != nil {
			expect = append(expect, expectation{file: r.File, addr: r.Address, dots: []origin.OpDot{now.Dot}})
		}
		chs = append(chs, ch)
	}
	_, err := e.commitIf(ctx, process, chs, expect)
	if call.CodeOf(err) == call.TPAborted {
		return fmt.Errorf("redo: %w", ErrMoved)
	}
	return err
}
