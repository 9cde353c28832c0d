package journal

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/origin/mutant"
)

// Entry is a txn in the journal.
type Entry struct {
	Seq   origin.Seq
	Hash  origin.Hash // the chain value after it
	Bytes []byte
}

// Read gives the durable entries of a stream after a seq, in order: at least
// one if there is one, and as many as maxBytes hold.
func (j *Journal) Read(s origin.Stream, after origin.Seq, maxBytes int) ([]Entry, error) {
	last := j.Durable()[s].Seq
	if mutant.On(mutant.ServeUnflushed) {
		last = j.Tail(s).Seq
	}
	if after >= last {
		return nil, nil
	}
	if p := j.Pruned(s); after < p {
		return nil, fmt.Errorf("read %v after %d: %w up to %d", s, after, ErrPruned, p)
	}
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: seqKey(keyEntry, s, after+1), UpperBound: seqKey(keyEntry, s, last+1)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var l []Entry
	n := 0
	want := after + 1
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		q := origin.Seq(binary.BigEndian.Uint64(it.Key()[2+origin.StreamSize:]))
		if q != want || len(v) < 32 {
			return nil, fmt.Errorf("read %v:%d: %w: found %d", s, want, ErrDamaged, q)
		}
		if n += len(v) - 32; n > maxBytes && len(l) > 0 {
			break
		}
		l = append(l, Entry{q, origin.Hash(v[:32]), append([]byte(nil), v[32:]...)})
		want++
	}
	return l, it.Error()
}

// HashAt is the chain value at a seq; ok is false when it is not known here
// any more, or not yet.
func (j *Journal) HashAt(s origin.Stream, q origin.Seq) (h origin.Hash, ok bool, err error) {
	if q == 0 {
		return s.Genesis(), true, nil
	}
	j.mu.RLock()
	t, p := j.tails[s], j.pruned[s]
	j.mu.RUnlock()
	switch {
	case t.Seq == q:
		return t.Hash, true, nil
	case p.Seq == q:
		return p.Hash, true, nil
	case q > t.Seq || q < p.Seq:
		return h, false, nil
	}
	v, closer, err := j.db.Get(seqKey(keyEntry, s, q))
	if err == pebble.ErrNotFound {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	defer closer.Close()
	if len(v) < 32 {
		return h, false, fmt.Errorf("read %v:%d: %w", s, q, ErrDamaged)
	}
	return origin.Hash(v[:32]), true, nil
}

// Pruned is the seq up to which entries of a stream are gone.
func (j *Journal) Pruned(s origin.Stream) origin.Seq {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.pruned[s].Seq
}

// Prune lets go of a stream's entries up to and with a durable seq.
func (j *Journal) Prune(s origin.Stream, upto origin.Seq) error {
	if mutant.On(mutant.PruneAll) && upto > 0 {
		upto = j.Durable()[s].Seq
	}
	if upto > j.Durable()[s].Seq || upto <= j.Pruned(s) {
		return nil
	}
	h, ok, err := j.HashAt(s, upto)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("prune %v:%d: %w", s, upto, ErrDamaged)
	}
	p := origin.Position{Seq: upto, Hash: h}
	b := j.db.NewBatch()
	defer b.Close()
	for _, k := range []byte{keyEntry, keyHead} {
		end := upto + 1
		if k == keyHead {
			end = upto // a head at the boundary still serves
		}
		if err := b.DeleteRange(seqKey(k, s, 0), seqKey(k, s, end), nil); err != nil {
			return err
		}
	}
	if err := b.Set(key(keyPruned, s), appendPosition(nil, p), nil); err != nil {
		return err
	}
	// Readers learn first, so that none meets a hole.
	j.mu.Lock()
	j.pruned[s] = p
	j.mu.Unlock()
	if err := j.pruneLocal(b); err != nil {
		return fmt.Errorf("prune %v:%d: %w", s, upto, err)
	}
	return b.Commit(pebble.NoSync)
}

// localStep bounds the work of one pruneLocal; what is left goes with the next.
const localStep = 1 << 16

// pruneLocal lets go of the first batches of local order, as far as all of
// their entries are gone.
func (j *Journal) pruneLocal(b *pebble.Batch) error {
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'j', keyLocal}, UpperBound: []byte{'j', keyLocal + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	var end []byte
	n := 0
	for it.First(); it.Valid() && n < localStep; it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		gone, err := j.runsGone(v)
		if err != nil {
			return err
		}
		if !gone {
			break
		}
		end = append(end[:0], it.Key()...)
		n++
	}
	if err := it.Error(); err != nil || n == 0 {
		return err
	}
	if it.Valid() {
		end = append(end, 0)
	} // else the last record stays, so that numbers go on from it after a start
	return b.DeleteRange([]byte{'j', keyLocal}, end, nil)
}

// localRun is the size of one run in a record of local order.
const localRun = origin.StreamSize + 12

// runsGone reports whether all entries of a record of local order are pruned.
func (j *Journal) runsGone(v []byte) (bool, error) {
	if len(v)%localRun != 0 {
		return false, fmt.Errorf("local order: %w", ErrDamaged)
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	for ; len(v) > 0; v = v[localRun:] {
		first, count := binary.BigEndian.Uint64(v[origin.StreamSize:]), binary.BigEndian.Uint32(v[origin.StreamSize+8:])
		if origin.Seq(first)+origin.Seq(count)-1 > j.pruned[origin.DecodeStream(v)].Seq {
			return false, nil
		}
	}
	return true, nil
}

// Local visits the runs of local order from a local number on: which entries
// took effect here, batch by batch. The first batches go with their entries. fn returning false ends it.
func (j *Journal) Local(from uint64, fn func(local uint64, s origin.Stream, first origin.Seq, count int) bool) error {
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: binary.BigEndian.AppendUint64([]byte{'j', keyLocal}, from), UpperBound: []byte{'j', keyLocal + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if len(v)%localRun != 0 {
			return fmt.Errorf("local order: %w", ErrDamaged)
		}
		local := binary.BigEndian.Uint64(it.Key()[2:])
		for ; len(v) > 0; v = v[localRun:] {
			if !fn(local, origin.DecodeStream(v), origin.Seq(binary.BigEndian.Uint64(v[origin.StreamSize:])), int(binary.BigEndian.Uint32(v[origin.StreamSize+8:]))) {
				return nil
			}
		}
	}
	return it.Error()
}

// LocalEnd is the local number that the next batch will have, as far as it is
// known: what Local visits from it on is new.
func (j *Journal) LocalEnd() (uint64, error) {
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'j', keyLocal}, UpperBound: []byte{'j', keyLocal + 1}})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.Last() {
		return 0, it.Error()
	}
	return binary.BigEndian.Uint64(it.Key()[2:]) + 1, nil
}

// Get reads one entry; ok is false when it is not here.
func (j *Journal) Get(d origin.Dot) (e Entry, ok bool, err error) {
	v, closer, err := j.db.Get(seqKey(keyEntry, d.Stream, d.Seq))
	if err == pebble.ErrNotFound {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	defer closer.Close()
	if len(v) < 32 {
		return e, false, fmt.Errorf("read %v: %w", d, ErrDamaged)
	}
	return Entry{d.Seq, origin.Hash(v[:32]), append([]byte(nil), v[32:]...)}, true, nil
}

// Between two heads that are kept for good lie at most about so many txns, or
// bytes of entries, and the run that ends at the second: a receiver that
// catches up takes runs from head to head, and holds one in memory.
const (
	headSpacing = 512
	headBytes   = 256 << 10
	// recentHeads bounds those that are kept for a while.
	recentHeads = 128
)

// KeepHead stores a verified head of another module's stream, to be handed on
// with the entries up to it. It may come before the entries do. The latest is
// kept, the last at or below what is durable (nobody else may have the entries
// up to it, if the origin is gone), those between, and older ones at a distance
// from each other.
func (j *Journal) KeepHead(s origin.Stream, seq origin.Seq, head []byte) error {
	if mutant.On(mutant.NoHeads) {
		return nil
	}
	j.mu.Lock()
	k, had := j.heads[s]
	if had && seq < k.seq {
		j.mu.Unlock()
		return nil
	}
	size := j.tails[s].size
	switch {
	case had && seq == k.seq: // in its place
	case !had || seq >= k.stored+headSpacing || size >= k.size+headBytes:
		k.stored, k.size = seq, size
	default:
		k.recent = append(slices.Clip(k.recent), seq)
	}
	k.seq, k.bytes = seq, head
	durable, last := j.Durable()[s].Seq, origin.Seq(0)
	if k.stored <= durable {
		last = k.stored
	}
	for _, q := range k.recent {
		if q <= durable {
			last = max(last, q)
		}
	}
	n := 0
	for n < len(k.recent) && k.recent[n] < last {
		n++
	}
	drop := k.recent[:n:n]
	if k.recent = k.recent[n:]; len(k.recent) > recentHeads {
		drop = append(drop, k.recent[1])
		k.recent = append([]origin.Seq{k.recent[0]}, k.recent[2:]...)
	}
	j.heads[s] = k
	close(j.changed)
	j.changed = make(chan struct{})
	j.mu.Unlock()
	b := j.db.NewBatch()
	defer b.Close()
	for _, q := range drop {
		if err := b.Delete(seqKey(keyHead, s, q), nil); err != nil {
			return err
		}
	}
	if err := b.Set(seqKey(keyHead, s, seq), head, nil); err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}

// LatestHead is the newest head kept of a stream.
func (j *Journal) LatestHead(s origin.Stream) (seq origin.Seq, head []byte, ok bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	k, ok := j.heads[s]
	return k.seq, k.bytes, ok
}

// HeadAfter is the first head kept of a stream beyond a seq: as far as a
// receiver that stands there can be served at once.
func (j *Journal) HeadAfter(s origin.Stream, after origin.Seq) (seq origin.Seq, head []byte, ok bool, err error) {
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: seqKey(keyHead, s, after+1), UpperBound: append(key(keyHead, s), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)})
	if err != nil {
		return 0, nil, false, err
	}
	defer it.Close()
	if !it.First() {
		return 0, nil, false, it.Error()
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return 0, nil, false, err
	}
	return origin.Seq(binary.BigEndian.Uint64(it.Key()[2+origin.StreamSize:])), append([]byte(nil), v...), true, nil
}

// Saved is a stream's state as a snapshot of the database has it.
type Saved struct {
	Stream   origin.Stream
	Position origin.Position
	Stamp    origin.Stamp
	Context  origin.Context
}

// SavedIn reads the states of all streams of a group from a snapshot.
func SavedIn(r pebble.Reader, g origin.Group) ([]Saved, error) {
	low := binary.BigEndian.AppendUint32([]byte{'j', keyPosition}, uint32(g))
	high := binary.BigEndian.AppendUint32([]byte{'j', keyPosition}, uint32(g)+1)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var l []Saved
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		if len(it.Key()) != 2+origin.StreamSize || len(v) != 48 {
			return nil, fmt.Errorf("position: %w", ErrDamaged)
		}
		s := Saved{Stream: origin.DecodeStream(it.Key()[2:]), Position: decodePosition(v), Stamp: origin.Stamp(binary.BigEndian.Uint64(v[40:]))}
		c, closer, err := r.Get(key(keyContext, s.Stream))
		if err == nil {
			s.Context, err = decodeContext(c)
			closer.Close()
		}
		if err != nil && err != pebble.ErrNotFound {
			return nil, err
		}
		l = append(l, s)
	}
	return l, it.Error()
}

// Size is about how many bytes of entries are kept.
func (j *Journal) Size() (uint64, error) {
	return j.db.EstimateDiskUsage([]byte{'j', keyEntry}, []byte{'j', keyEntry + 1})
}
