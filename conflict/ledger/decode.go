package ledger

import (
	"fmt"

	"drmesh/conflict"
	"drmesh/origin"
	"drmesh/origin/pack"
)

// DecodeEntry reads what AppendEntry wrote, of this format or with elements
// that a later writer appended. Address and images borrow b.
func DecodeEntry(b []byte, e *Entry) error {
	r := pack.NewReader(b)
	*e = Entry{}
	n := r.Array(maxFields)
	format := r.Uint()
	if r.Err() == nil && (format != Format || n < fields) {
		return fmt.Errorf("%w: format %d of %d elements", ErrEntry, format, n)
	}
	state := r.Uint()
	id := r.Bytes(len(e.File))
	e.Address = r.Bytes(origin.MaxAddress)
	err := decodeVersion(&r, &e.Loser)
	if !r.Nil() && err == nil {
		err = decodeVersion(&r, &e.Winner)
	}
	var err2 error
	e.By, err2 = decodeDot(&r)
	e.Facts.Rule = r.String(maxRule)
	e.Facts.Share = r.String(maxShare)
	e.Facts.Stamp = origin.Stamp(r.Uint())
	e.Facts.Policy = r.Uint()
	e.Facts.Process = r.String(maxProcess)
	e.ClosedBy = r.String(maxPerson)
	e.ClosedAt = origin.Stamp(r.Uint())
	for ; n > fields; n-- {
		r.Skip(maxDepth)
	}
	switch {
	case r.Done() != nil:
		return fmt.Errorf("%w: %w", ErrEntry, r.Err())
	case err != nil:
		return err
	case err2 != nil:
		return err2
	case len(id) != len(e.File):
		return fmt.Errorf("%w: file id of %d bytes", ErrEntry, len(id))
	case state < uint64(conflict.Open) || state > uint64(conflict.Closed):
		return fmt.Errorf("%w: state %d", ErrEntry, state)
	}
	e.State = conflict.State(state)
	e.File = origin.FileID(id)
	e.ID = conflict.EntryID(e.File, e.Address, e.Loser.Dot)
	return nil
}

// decodeDot and decodeVersion refuse a wrong count at once; other errors stick
// to r.
func decodeDot(r *pack.Reader) (d origin.OpDot, err error) {
	const u32 = 1<<32 - 1
	if n := r.Array(maxFields); r.Err() == nil && n != dotFields {
		return d, fmt.Errorf("%w: dot of %d elements", ErrEntry, n)
	}
	d.Group = origin.Group(r.UintMax(u32))
	d.Module = origin.Module(r.UintMax(u32))
	d.Incarnation = origin.Incarnation(r.UintMax(u32))
	d.Seq = origin.Seq(r.Uint())
	d.Index = uint32(r.UintMax(u32))
	return d, nil
}

func decodeVersion(r *pack.Reader, v *origin.Version) (err error) {
	if n := r.Array(maxFields); r.Err() == nil && n != versionFields {
		return fmt.Errorf("%w: version of %d elements", ErrEntry, n)
	}
	if v.Dot, err = decodeDot(r); err != nil {
		return err
	}
	v.Stamp = origin.Stamp(r.Uint())
	v.Policy = r.Uint()
	v.Life = uint32(r.UintMax(1<<32 - 1))
	v.Birth.Stamp = origin.Stamp(r.Uint())
	if v.Birth.Dot, err = decodeDot(r); err != nil {
		return err
	}
	if v.Tombstone = r.Nil(); !v.Tombstone {
		v.Data = r.Bytes(maxImage)
	}
	return nil
}
