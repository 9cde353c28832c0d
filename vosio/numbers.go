package vosio

import (
	"math"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/record"
)

// The numbers that new records of fixed and relative files get when the program
// names none. Of a file that other modules add to as well, each module takes
// numbers of its own: of every ownCycle numbers, the ownRun that its origin
// number gives. So two modules that add records at the same time, each without
// knowing of the other, never take the same number.
const (
	ownRun   = 64
	ownCycle = 1024 * ownRun
	// maxNumber is the greatest record number: positions are signed 32-bit.
	maxNumber = math.MaxInt32
)

// numberRange are the numbers of one module in a cycle.
type numberRange struct{ first, last int64 }

// numbersOf gives the range of a module that holds n or is the next above it.
// With m 0, a file that nobody else adds to, all numbers are one range.
func numbersOf(m origin.Module, n int64) numberRange {
	if m == 0 {
		return numberRange{1, maxNumber}
	}
	at := int64((uint32(m)-1)%(ownCycle/ownRun)) * ownRun
	r := numberRange{at + 1 + max(n-1, 0)/ownCycle*ownCycle, 0}
	if r.last = r.first + ownRun - 1; n > r.last {
		r.first, r.last = r.first+ownCycle, r.last+ownCycle
	}
	return r
}

// numberer is the module by whose origin number a file's numbers are taken; 0
// where nobody else adds to it.
func (e *Engine) numberer(f *file) origin.Module {
	if s := e.table().Share(f.share); s != nil && s.Several {
		return e.cfg.Self
	}
	return 0
}

// nextNumber is the number of the committer's next new record of a file.
func (t *tx) nextNumber(f *file) (int64, error) {
	m := t.e.numberer(f)
	var n int64
	var err error
	switch {
	case f.holes != nil:
		n, err = lowestFree(t.r, f, m, max(f.stat.lowest, 1))
	case m == 0:
		n, err = t.highest(f)
		n++
	default:
		n, err = nextOwn(t.r, f, m)
	}
	// What this very request takes is in use.
	for i := 0; err == nil && i < len(t.plan); i++ {
		p := &t.plan[i]
		k, ok := record.Number(p.op.Address)
		if !ok || p.f.id != f.id || p.op.Kind != origin.Write || int64(k) < n || f.holes != nil && int64(k) > n {
			continue
		}
		i = -1 // from the beginning, with the number behind it
		if n = max(int64(k)+1, numbersOf(m, int64(k)+1).first); f.holes != nil {
			n, err = lowestFree(t.r, f, m, n)
		}
	}
	if err == nil && f.holes != nil && len(t.plan) == 0 {
		f.stat.lowest = n
	}
	return n, err
}

// freeNumber is nextNumber for a transaction, which takes it in its overlay.
func (e *Engine) freeNumber(r pebble.Reader, f *file) (int64, error) {
	m := e.numberer(f)
	switch {
	case f.holes != nil:
		return lowestFree(r, f, m, 1)
	case m == 0:
		n, err := highestNumber(r, f.id)
		return n + 1, err
	}
	return nextOwn(r, f, m)
}

// nextOwn is the number behind the highest that is in use of a module's own.
func nextOwn(r pebble.Reader, f *file, m origin.Module) (int64, error) {
	last, err := highestNumber(r, f.id)
	if err != nil {
		return 0, err
	}
	for x := numbersOf(m, last+1); x.first > 0; x = (numberRange{x.first - ownCycle, x.last - ownCycle}) {
		n, err := highestIn(r, f.id, x)
		if err != nil {
			return 0, err
		}
		if n > 0 {
			return max(n+1, numbersOf(m, n+1).first), nil
		}
	}
	return numbersOf(m, 1).first, nil
}

// highestIn is the highest number in use of a range; 0: none is.
func highestIn(r pebble.Reader, id origin.FileID, x numberRange) (int64, error) {
	it, err := r.NewIter(&pebble.IterOptions{
		LowerBound: appendRegisterKey(nil, id, record.AppendNumber(nil, uint64(x.first))),
		UpperBound: appendRegisterKey(nil, id, record.AppendNumber(nil, uint64(x.last)+1)),
	})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	var set []origin.Version
	for it.Last(); it.Valid(); it.Prev() {
		v, err := it.ValueAndErr()
		if err != nil {
			return 0, err
		}
		if set, err = record.DecodeSet(set[:0], v); err != nil {
			return 0, err
		}
		if visible(set) != nil {
			n, _ := record.Number(it.Key()[filePrefix:])
			return int64(n), nil
		}
	}
	return 0, it.Error()
}

// lowestFree is the lowest number from from on, of a module's own, that is not
// in use.
func lowestFree(r pebble.Reader, f *file, m origin.Module, from int64) (int64, error) {
	x := numbersOf(m, from)
	n := max(from, x.first)
	for {
		it, err := r.NewIter(&pebble.IterOptions{
			LowerBound: appendRegisterKey(nil, f.id, record.AppendNumber(nil, uint64(n))),
			UpperBound: appendRegisterKey(nil, f.id, record.AppendNumber(nil, uint64(x.last)+1)),
		})
		if err != nil {
			return 0, err
		}
		var set []origin.Version
		for it.First(); it.Valid(); it.Next() {
			var v []byte
			if v, err = it.ValueAndErr(); err != nil {
				break
			}
			if set, err = record.DecodeSet(set[:0], v); err != nil {
				break
			}
			if k, _ := record.Number(it.Key()[filePrefix:]); int64(k) > n || visible(set) == nil {
				break
			}
			n++
		}
		if err == nil {
			err = it.Error()
		}
		it.Close()
		if err != nil || n <= x.last || m == 0 {
			return n, err
		}
		x = numberRange{x.first + ownCycle, x.last + ownCycle}
		n = x.first
	}
}
