package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
)

// Rewind takes the end of a stream away, in the caller's batch: all beyond a
// position that is here, or is before what a snapshot brought. It is for streams that have an end, and never go on.
// The committer takes nothing of the stream meanwhile; when the batch is
// durable, the caller calls what Rewind returns, and only then the journal
// stands at the position.
func (j *Journal) Rewind(b *pebble.Batch, s origin.Stream, to origin.Position) (done func(), err error) {
	at := j.Tail(s)
	if to.Seq >= at.Seq {
		return func() {}, nil
	}
	// A stream that a snapshot brought from beyond that place has nothing of what
	// is before it.
	brought := j.Pruned(s) > to.Seq
	if h, ok, err := j.HashAt(s, to.Seq); !brought && (err != nil || !ok || h != to.Hash) {
		return nil, fmt.Errorf("rewind %v to %d: %w: that position is not here (%v)", s, to.Seq, ErrDamaged, err)
	}
	for _, k := range []byte{keyEntry, keyHead} {
		if err := b.DeleteRange(seqKey(k, s, to.Seq+1), append(key(k, s), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), nil); err != nil {
			return nil, err
		}
	}
	stamp := j.Stamp(s)
	if err := b.Set(key(keyPosition, s), binary.BigEndian.AppendUint64(appendPosition(nil, to), uint64(stamp)), nil); err != nil {
		return nil, err
	}
	if brought {
		if err := b.Set(key(keyPruned, s), appendPosition(nil, to), nil); err != nil {
			return nil, err
		}
	}
	if err := j.rewindLocal(b, s, to.Seq, at.Seq); err != nil {
		return nil, err
	}
	head, err := j.headUpto(s, to.Seq)
	if err != nil {
		return nil, err
	}
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		t := j.tails[s]
		t.Position = to
		j.tails[s] = t
		if brought {
			j.pruned[s] = to
		}
		if head == nil {
			delete(j.heads, s)
		} else {
			j.heads[s] = *head
		}
		d := j.durable.Load().Clone()
		d[s] = to
		j.durable.Store(&d)
		close(j.changed)
		j.changed = make(chan struct{})
	}, nil
}

// rewindLocal takes a stream's last entries out of local order. They are the
// last of the stream, so the search goes from the end back to the first of
// them.
func (j *Journal) rewindLocal(b *pebble.Batch, s origin.Stream, to, at origin.Seq) error {
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'j', keyLocal}, UpperBound: []byte{'j', keyLocal + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.Last(); ok && at > to; ok = it.Prev() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if len(v)%localRun != 0 {
			return fmt.Errorf("local order: %w", ErrDamaged)
		}
		var left []byte
		hit := false
		for ; len(v) > 0; v = v[localRun:] {
			first, count := origin.Seq(binary.BigEndian.Uint64(v[origin.StreamSize:])), binary.BigEndian.Uint32(v[origin.StreamSize+8:])
			if origin.DecodeStream(v) != s || first+origin.Seq(count)-1 <= to {
				left = append(left, v[:localRun]...)
				continue
			}
			hit = true
			at = min(at, max(first, to+1)-1)
			if first <= to {
				left = append(left, v[:origin.StreamSize+8]...)
				left = binary.BigEndian.AppendUint32(left, uint32(to-first+1))
			}
		}
		if !hit {
			continue
		}
		// An empty record keeps its number from being given out again.
		if err := b.Set(append([]byte(nil), it.Key()...), left, nil); err != nil {
			return err
		}
	}
	return it.Error()
}

// headUpto is the last head kept of a stream up to a seq; nil: none.
func (j *Journal) headUpto(s origin.Stream, upto origin.Seq) (*keptHead, error) {
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: seqKey(keyHead, s, 0), UpperBound: seqKey(keyHead, s, upto+1)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	if !it.Last() {
		return nil, it.Error()
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return nil, err
	}
	q := origin.Seq(binary.BigEndian.Uint64(it.Key()[2+origin.StreamSize:]))
	return &keptHead{seq: q, stored: q, bytes: append([]byte(nil), v...)}, nil
}
