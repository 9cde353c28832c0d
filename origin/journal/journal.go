package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/origin/mutant"
)

const (
	keyEntry    = 'e'
	keyLocal    = 'l'
	keyPosition = 'v'
	keyContext  = 'c'
	keyHead     = 'h'
	keyPruned   = 'p'
)

var (
	// ErrPruned says that entries asked for have been let go.
	ErrPruned = errors.New("the journal has let go of these entries")
	// ErrGap says that an entry does not follow its stream's last one.
	ErrGap = errors.New("entry does not follow its stream's last")
	// ErrDamaged says that stored bytes are not what was written.
	ErrDamaged = errors.New("damaged journal")
)

type tail struct {
	origin.Position
	stamp origin.Stamp
	size  int64 // bytes of entries appended since Open
}

// Journal is a module's journal. Its methods may be called by any goroutine,
// but for Begin and what comes of it.
type Journal struct {
	db *pebble.DB

	mu       sync.RWMutex // protects the maps; never held across I/O
	tails    map[origin.Stream]tail
	contexts map[origin.Stream]origin.Context
	pruned   map[origin.Stream]origin.Position
	heads    map[origin.Stream]keptHead // the latest of each stream
	changed  chan struct{}              // closed at the next durable advance

	durable atomic.Pointer[origin.Vector] // replaced, never changed

	local uint64 // last local number; owned by the Appender
	app   Appender
}

// keptHead is the latest head of a stream, and which others are on disk.
type keptHead struct {
	seq    origin.Seq
	bytes  []byte
	stored origin.Seq   // of the last one kept for good
	size   int64        // tail.size when that came
	recent []origin.Seq // those not for good, rising: about the last durable one, and what follows
}

func key(kind byte, s origin.Stream) []byte {
	return origin.AppendStream(append(make([]byte, 0, 22), 'j', kind), s)
}

func seqKey(kind byte, s origin.Stream, q origin.Seq) []byte {
	return binary.BigEndian.AppendUint64(key(kind, s), uint64(q))
}

// Open loads positions, contexts and heads. What it finds is durable.
func Open(db *pebble.DB) (*Journal, error) {
	j := &Journal{
		db: db, tails: map[origin.Stream]tail{}, contexts: map[origin.Stream]origin.Context{},
		pruned: map[origin.Stream]origin.Position{}, heads: map[origin.Stream]keptHead{}, changed: make(chan struct{}),
	}
	j.app.j = j
	err := j.each(keyPosition, func(k, v []byte) error {
		if len(k) != origin.StreamSize || len(v) != 48 {
			return fmt.Errorf("position: %w", ErrDamaged)
		}
		j.tails[origin.DecodeStream(k)] = tail{Position: decodePosition(v), stamp: origin.Stamp(binary.BigEndian.Uint64(v[40:]))}
		return nil
	})
	if err == nil {
		err = j.each(keyContext, func(k, v []byte) error {
			c, err := decodeContext(v)
			if err != nil || len(k) != origin.StreamSize {
				return fmt.Errorf("context: %w", ErrDamaged)
			}
			j.contexts[origin.DecodeStream(k)] = c
			return nil
		})
	}
	if err == nil {
		err = j.each(keyPruned, func(k, v []byte) error {
			if len(k) != origin.StreamSize || len(v) != 40 {
				return fmt.Errorf("pruned: %w", ErrDamaged)
			}
			j.pruned[origin.DecodeStream(k)] = decodePosition(v)
			return nil
		})
	}
	if err == nil {
		err = j.each(keyHead, func(k, v []byte) error {
			if len(k) != origin.StreamSize+8 {
				return fmt.Errorf("head: %w", ErrDamaged)
			}
			q := origin.Seq(binary.BigEndian.Uint64(k[origin.StreamSize:]))
			j.heads[origin.DecodeStream(k)] = keptHead{seq: q, stored: q, bytes: append([]byte(nil), v...)}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'j', keyLocal}, UpperBound: []byte{'j', keyLocal + 1}})
	if err != nil {
		return nil, err
	}
	if it.Last() {
		j.local = binary.BigEndian.Uint64(it.Key()[2:])
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	v := j.tailsLocked()
	j.durable.Store(&v)
	return j, nil
}

func (j *Journal) each(kind byte, fn func(k, v []byte) error) error {
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'j', kind}, UpperBound: []byte{'j', kind + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := fn(it.Key()[2:], v); err != nil {
			return err
		}
	}
	return it.Error()
}

func appendPosition(b []byte, p origin.Position) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(p.Seq))
	return append(b, p.Hash[:]...)
}

func decodePosition(b []byte) origin.Position {
	return origin.Position{Seq: origin.Seq(binary.BigEndian.Uint64(b)), Hash: origin.Hash(b[8:40])}
}

func appendContext(b []byte, c origin.Context) []byte {
	for _, e := range c.Sorted() {
		b = origin.AppendStream(b, e.Stream)
		b = binary.BigEndian.AppendUint64(b, uint64(e.Seq))
	}
	return b
}

func decodeContext(b []byte) (origin.Context, error) {
	const n = origin.StreamSize + 8
	if len(b)%n != 0 {
		return nil, ErrDamaged
	}
	c := make(origin.Context, len(b)/n)
	for ; len(b) > 0; b = b[n:] {
		c[origin.DecodeStream(b)] = origin.Seq(binary.BigEndian.Uint64(b[origin.StreamSize:]))
	}
	return c, nil
}

// Tail is the last position sequenced in a stream; it may not be durable.
func (j *Journal) Tail(s origin.Stream) origin.Position {
	j.mu.RLock()
	t, ok := j.tails[s]
	j.mu.RUnlock()
	if !ok {
		return origin.Position{Hash: s.Genesis()}
	}
	return t.Position
}

// Tails is the position of every stream, as sequenced.
func (j *Journal) Tails() origin.Vector {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.tailsLocked()
}

func (j *Journal) tailsLocked() origin.Vector {
	v := make(origin.Vector, len(j.tails))
	for s, t := range j.tails {
		v[s] = t.Position
	}
	return v
}

// LastStamp is the greatest stamp of any stream's last txn.
func (j *Journal) LastStamp() origin.Stamp {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var m origin.Stamp
	for _, t := range j.tails {
		m = max(m, t.stamp)
	}
	return m
}

// Stamps gives the greatest stamp of a module's own streams, and those of the
// last txns of all others.
func (j *Journal) Stamps(self origin.Module) (own origin.Stamp, others []origin.Stamp) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for s, t := range j.tails {
		if s.Module == self {
			own = max(own, t.stamp)
		} else {
			others = append(others, t.stamp)
		}
	}
	slices.Sort(others)
	return own, others
}

// Stamp is the stamp of a stream's last txn.
func (j *Journal) Stamp(s origin.Stream) origin.Stamp {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.tails[s].stamp
}

// Context is the full context of a stream's last sequenced txn, as a copy.
func (j *Journal) Context(s origin.Stream) origin.Context {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return maps.Clone(j.contexts[s])
}

// Durable is what is flushed of every stream. The caller must not change it.
func (j *Journal) Durable() origin.Vector { return *j.durable.Load() }

// Changed is closed at the next durable advance, or new head.
func (j *Journal) Changed() <-chan struct{} {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.changed
}

// MarkDurable says that positions, and all before them, are flushed.
func (j *Journal) MarkDurable(v []origin.StreamPosition) {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := j.durable.Load().Clone()
	if d == nil {
		d = origin.Vector{}
	}
	for _, e := range v {
		if e.Seq >= d[e.Stream].Seq {
			d[e.Stream] = e.Position
		}
	}
	j.durable.Store(&d)
	close(j.changed)
	j.changed = make(chan struct{})
}

// An Appender puts txns into one batch. There is one, and only the committer
// uses it: Begin, Add for each txn, Finish.
type Appender struct {
	j     *Journal
	b     *pebble.Batch
	runs  []runRecord
	held  []byte                 // entries of the batch, with their hashes before them
	ends  []int                  // where each ends in held
	dirty map[origin.Stream]bool // true: its context changed too
	buf   []byte
}

// heldBytes is how much memory an appender keeps from batch to batch.
const heldBytes = 4 << 20

type runRecord struct {
	stream origin.Stream
	first  origin.Seq
	count  uint32
}

// Begin makes the appender ready to add to b.
func (j *Journal) Begin(b *pebble.Batch) *Appender {
	a := &j.app
	a.b = b
	a.runs, a.held, a.ends = a.runs[:0], a.held[:0], a.ends[:0]
	if a.dirty == nil {
		a.dirty = map[origin.Stream]bool{}
	}
	clear(a.dirty)
	return a
}

// Add appends the next txn of a stream. delta is what its context changed.
func (a *Appender) Add(s origin.Stream, seq origin.Seq, stamp origin.Stamp, delta []origin.StreamSeq, entry []byte) (origin.Hash, error) {
	j := a.j
	j.mu.Lock()
	t, ok := j.tails[s]
	if !ok {
		t.Hash = s.Genesis()
	}
	if seq != t.Seq+1 {
		j.mu.Unlock()
		return origin.Hash{}, fmt.Errorf("append %v:%d after %d: %w", s, seq, t.Seq, ErrGap)
	}
	t.Seq, t.Hash, t.stamp = seq, t.Hash.Next(entry), max(t.stamp, stamp)
	t.size += int64(len(entry))
	j.tails[s] = t
	if len(delta) > 0 {
		c := j.contexts[s]
		if c == nil {
			c = make(origin.Context, len(delta))
			j.contexts[s] = c
		}
		c.Advance(delta)
		a.dirty[s] = true
	} else if !a.dirty[s] {
		a.dirty[s] = false
	}
	j.mu.Unlock()
	if n := len(a.runs); n > 0 && a.runs[n-1].stream == s {
		a.runs[n-1].count++
	} else {
		a.runs = append(a.runs, runRecord{s, seq, 1})
	}
	a.held = append(append(a.held, t.Hash[:]...), entry...)
	a.ends = append(a.ends, len(a.held))
	return t.Hash, nil
}

// Finish writes entries, local order, positions and contexts. Entries of one
// stream come one after the other, each next to the one before in the
// memtable, which then need not be searched for its place.
func (a *Appender) Finish() error {
	if len(a.runs) == 0 {
		return nil
	}
	j := a.j
	at, n := 0, 0
	for _, r := range a.runs {
		for i := range r.count {
			v := a.held[at:a.ends[n]]
			at = a.ends[n]
			n++
			d := a.b.SetDeferred(2+origin.StreamSize+8, len(v))
			k := append(d.Key[:0], 'j', keyEntry)
			k = origin.AppendStream(k, r.stream)
			binary.BigEndian.AppendUint64(k, uint64(r.first)+uint64(i))
			copy(d.Value, v)
			if err := d.Finish(); err != nil {
				return err
			}
		}
	}
	if cap(a.held) > heldBytes {
		a.held = nil // one of a large txn
	}
	j.local++
	k := binary.BigEndian.AppendUint64([]byte{'j', keyLocal}, j.local)
	v := a.buf[:0]
	for _, r := range a.runs {
		v = origin.AppendStream(v, r.stream)
		v = binary.BigEndian.AppendUint64(v, uint64(r.first))
		v = binary.BigEndian.AppendUint32(v, r.count)
	}
	a.buf = v
	if err := a.b.Set(k, v, nil); err != nil {
		return err
	}
	for s, context := range a.dirty {
		j.mu.RLock()
		t := j.tails[s]
		var c origin.Context
		if context {
			c = maps.Clone(j.contexts[s])
		}
		j.mu.RUnlock()
		if mutant.On(mutant.LateVector) && t.Seq%4 == 3 {
			continue
		}
		if err := a.b.Set(key(keyPosition, s), binary.BigEndian.AppendUint64(appendPosition(nil, t.Position), uint64(t.stamp)), nil); err != nil {
			return err
		}
		if context && !mutant.On(mutant.NoContextSaved) {
			if err := a.b.Set(key(keyContext, s), appendContext(nil, c), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// Adopt puts a stream at a position that a snapshot has, in the snapshot's
// last batch; the entries before it are not here. After the batch is durable
// the caller calls Adopted.
func (j *Journal) Adopt(b *pebble.Batch, s origin.Stream, p origin.Position, stamp origin.Stamp, c origin.Context) error {
	if err := b.Set(key(keyPosition, s), binary.BigEndian.AppendUint64(appendPosition(nil, p), uint64(stamp)), nil); err != nil {
		return err
	}
	if mutant.On(mutant.SnapshotNoContext) {
		c = nil
	}
	if err := b.Set(key(keyContext, s), appendContext(nil, c), nil); err != nil {
		return err
	}
	if err := b.Set(key(keyPruned, s), appendPosition(nil, p), nil); err != nil {
		return err
	}
	j.mu.Lock()
	j.tails[s] = tail{Position: p, stamp: stamp}
	j.contexts[s] = maps.Clone(c)
	j.pruned[s] = p
	j.mu.Unlock()
	return nil
}
