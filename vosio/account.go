package vosio

import (
	"context"
	"encoding/binary"
	"fmt"
	"sort"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
)

// Class says what became of an operation at this module. Each operation that
// put a version into a register is in exactly one.
type Class uint8

// The classes of the account, in the order in which they are stored.
const (
	Written     Class = iota // not a class: how many operations there were
	Live                     // the visible version of its register
	Overwritten              // replaced by a writer that was shown it
	Deleted                  // removed by a delete or truncate that was shown it
	Opened                   // a loser that waits for a decision
	Superseded               // a loser replaced by a writer that was not shown it
	Closed                   // a loser that a person closed
	Parked                   // visible, but its effect cannot be shown here
	classes
)

// String names the class.
func (c Class) String() string {
	return [...]string{"written", "live", "overwritten", "deleted", "open", "superseded", "closed", "parked"}[c]
}

// Count is a change of one counter.
type Count struct {
	Stream origin.Stream
	Class  Class
	Delta  int64
}

// Sum is the account of one stream in one share.
type Sum struct {
	Share  string
	Stream origin.Stream
	Counts [classes]int64
}

// Missing is how many operations are in no class; 0 says that the sum holds.
func (s *Sum) Missing() int64 {
	n := s.Counts[Written]
	for c := Live; c < classes; c++ {
		n -= s.Counts[c]
	}
	return n
}

// Of gives one counter.
func (s *Sum) Of(c Class) int64 { return s.Counts[c] }

type accountKey struct {
	stream origin.Stream
	share  string
}

// account keeps the counters. The committer alone changes them; mu is for
// readers, and never held across I/O.
type account struct {
	mu    sync.Mutex
	sums  map[accountKey]*Sum
	dirty map[accountKey]*Sum // changed since the last batch
}

func loadAccount(r pebble.Reader) (*account, error) {
	a := &account{sums: map[accountKey]*Sum{}, dirty: map[accountKey]*Sum{}}
	prefix := []byte{'v', keyAccount}
	err := scanPrefix(r, prefix, func(k, v []byte) error {
		k = k[len(prefix):]
		if len(k) < origin.StreamSize {
			return fmt.Errorf("open account: damaged key")
		}
		s := &Sum{Stream: origin.DecodeStream(k), Share: string(k[origin.StreamSize:])}
		for i := range s.Counts {
			n, w := binary.Varint(v)
			if w <= 0 {
				return fmt.Errorf("open account of %v: damaged counters", s.Stream)
			}
			s.Counts[i], v = n, v[w:]
		}
		a.sums[accountKey{s.Stream, s.Share}] = s
		return nil
	})
	return a, err
}

func (a *account) add(share string, c Count) {
	if c.Stream.Group == 0 || share == "" {
		return
	}
	k := accountKey{c.Stream, share}
	a.mu.Lock()
	s := a.sums[k]
	if s == nil {
		s = &Sum{Share: share, Stream: c.Stream}
		a.sums[k] = s
	}
	s.Counts[c.Class] += c.Delta
	a.mu.Unlock()
	a.dirty[k] = s
}

// flush writes the changed counters into the batch.
func (a *account) flush(b *pebble.Batch) error {
	for k, s := range a.dirty {
		key := origin.AppendStream([]byte{'v', keyAccount}, k.stream)
		key = append(key, k.share...)
		var v []byte
		for _, n := range s.Counts {
			v = binary.AppendVarint(v, n)
		}
		if err := b.Set(key, v, nil); err != nil {
			return err
		}
		delete(a.dirty, k)
	}
	return nil
}

// Account lists the counters of all streams and shares, in order. They are of
// what is sequenced; Barrier first makes them match the durable vector.
func (e *Engine) Account() []Sum {
	e.acct.mu.Lock()
	defer e.acct.mu.Unlock()
	l := make([]Sum, 0, len(e.acct.sums))
	for _, s := range e.acct.sums {
		l = append(l, *s)
	}
	sort.Slice(l, func(i, j int) bool {
		if l[i].Share != l[j].Share {
			return l[i].Share < l[j].Share
		}
		return l[i].Stream.Compare(l[j].Stream) < 0
	})
	return l
}

func (s *fileStat) load(r pebble.Reader, id origin.FileID) error {
	v, closer, err := r.Get(appendFileKey(nil, keyCounts, id))
	if err == pebble.ErrNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	var n [5]int64
	for i := range n {
		x, w := binary.Varint(v)
		if w <= 0 {
			return fmt.Errorf("open counts of file %v: damaged", id)
		}
		n[i], v = x, v[w:]
	}
	s.records.Store(n[0])
	s.bytes.Store(n[1])
	s.foreign.Store(n[2])
	s.withheld.Store(n[3])
	s.parked.Store(n[4])
	s.highest = -1
	if s.queue != nil && len(v) > 0 {
		x, w := binary.Varint(v)
		if w <= 0 {
			return fmt.Errorf("open counts of file %v: damaged", id)
		}
		s.queue.last = x
	}
	return nil
}

func (s *fileStat) save(b *pebble.Batch, id origin.FileID) error {
	var v []byte
	for _, n := range []int64{s.records.Load(), s.bytes.Load(), s.foreign.Load(), s.withheld.Load(), s.parked.Load()} {
		v = binary.AppendVarint(v, n)
	}
	if s.queue != nil {
		v = binary.AppendVarint(v, s.queue.sent())
	}
	return b.Set(appendFileKey(nil, keyCounts, id), v, nil)
}

// AccountAt gives the counters together with a snapshot of the database of the
// same moment, and the positions that they are of. The caller closes the
// snapshot.
func (e *Engine) AccountAt(ctx context.Context) (snap *pebble.Snapshot, sums []Sum, tails origin.Vector, err error) {
	err = e.submit(ctx, &request{look: func() {
		snap, sums, tails = e.db.NewSnapshot(), e.Account(), e.j.Tails()
	}})
	return snap, sums, tails, err
}
