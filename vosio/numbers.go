package vosio

import (
	"math"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/record"
)

// The numbers that new records of fixed and relative files get when the program
// names none. Of a file that other modules add to as well, each module takes
// numbers of its own, so that two which add records at the same time, each
// without knowing of the other, never take the same:
//
//   - the first lowRun ones that its origin number gives, if that is small;
//   - then those of the extents that control leased to it, which lie between;
//   - while it has none, since there are no leases without a quorum, those that
//     its origin number gives above all leases: of every ownCycle numbers ownRun.
const (
	lowRun     = 64
	lowModules = (record.FirstLeased - 1) / lowRun
	ownRun     = 64
	ownCycle   = 1024 * ownRun
	// maxNumber is the greatest record number: positions are signed 32-bit.
	maxNumber = math.MaxInt32
	// More numbers are asked for when fewer than these are left, or half of
	// those that a module has.
	fewInLow, fewLeased = lowRun / 2, 1 << 15
)

// NumberRange is a run of record numbers, the last one included.
type NumberRange struct{ First, Last int64 }

// numbering are the numbers that this module takes of a file.
type numbering struct {
	module origin.Module // 0: nobody else adds to the file, all are its own
	leased []NumberRange // ascending
}

// at gives the range that holds n or is the next above it.
func (x numbering) at(n int64) NumberRange {
	if x.module == 0 {
		return NumberRange{1, maxNumber}
	}
	if r, ok := x.low(); ok && n <= r.Last {
		return r
	}
	for _, r := range x.leased {
		if n <= r.Last {
			return r
		}
	}
	const high = record.LastLeased + 1
	at := high + int64((uint32(x.module)-1)%(ownCycle/ownRun))*ownRun
	r := NumberRange{at + max(n-high, 0)/ownCycle*ownCycle, 0}
	if r.Last = r.First + ownRun - 1; n > r.Last {
		r.First, r.Last = r.First+ownCycle, r.Last+ownCycle
	}
	return r
}

// low are the numbers below all leases.
func (x numbering) low() (NumberRange, bool) {
	if x.module == 0 || x.module > lowModules {
		return NumberRange{}, false
	}
	last := int64(x.module) * lowRun
	return NumberRange{last - lowRun + 1, last}, true
}

// few reports whether it is time to ask for more numbers, when n is the next
// that is taken.
func (x numbering) few(n int64) bool {
	if x.module == 0 {
		return false
	}
	var all, left int64
	for _, r := range x.leased {
		all += r.Last - r.First + 1
		left += max(r.Last-max(n, r.First)+1, 0)
	}
	if low, ok := x.low(); ok && len(x.leased) == 0 && n <= low.Last {
		return low.Last-n < fewInLow
	}
	return left < min(all/2, fewLeased) || all == 0
}

// numbering of a file: all numbers, where nobody else adds to it.
func (e *Engine) numbering(f *file) numbering {
	if s := e.table().Share(f.share); s != nil && s.Several {
		return numbering{e.cfg.Self, s.Numbers[f.id]}
	}
	return numbering{}
}

// takes has more numbers asked for, when n is about to be taken and few are left.
func (e *Engine) takes(f *file, x numbering, n int64) {
	if e.cfg.MoreNumbers != nil && x.few(n) {
		e.cfg.MoreNumbers(f.share, f.id)
	}
}

// HighestLeasable is the highest number in use of those that control leases.
func (e *Engine) HighestLeasable(id origin.FileID) (int64, error) {
	return highestIn(e.db, id, NumberRange{record.FirstLeased, record.LastLeased})
}

// Gone reports whether a file is no more, under any name.
func (e *Engine) Gone(id origin.FileID) bool {
	f := e.cat.file(id)
	return f == nil || f.deleted && f.stat.records.Load() == 0
}

// nextNumber is the number of the committer's next new record of a file.
func (t *tx) nextNumber(f *file) (int64, error) {
	x := t.e.numbering(f)
	var n int64
	var err error
	switch {
	case f.holes != nil:
		// Leases that come later may lie lower than what is taken now.
		if g := len(x.leased); f.stat.leases != g {
			f.stat.leases, f.stat.lowest = g, 0
		}
		n, err = lowestFree(t.r, f, x, max(f.stat.lowest, 1))
	case x.module == 0:
		n, err = t.highest(f)
		n++
	default:
		n, err = nextOwn(t.r, f, x)
	}
	// What this very request takes is in use.
	for i := 0; err == nil && i < len(t.plan); i++ {
		p := &t.plan[i]
		k, ok := record.Number(p.op.Address)
		if !ok || p.f.id != f.id || p.op.Kind != origin.Write || int64(k) < n || f.holes != nil && int64(k) > n {
			continue
		}
		i = -1 // from the beginning, with the number behind it
		if n = max(int64(k)+1, x.at(int64(k)+1).First); f.holes != nil {
			n, err = lowestFree(t.r, f, x, n)
		}
	}
	if err == nil && f.holes != nil && len(t.plan) == 0 {
		f.stat.lowest = n
	}
	t.e.takes(f, x, n)
	return n, err
}

// freeNumber is nextNumber for a transaction, which takes it in its overlay.
func (e *Engine) freeNumber(r pebble.Reader, f *file) (n int64, err error) {
	x := e.numbering(f)
	switch {
	case f.holes != nil:
		n, err = lowestFree(r, f, x, 1)
	case x.module == 0:
		n, err = highestNumber(r, f.id)
		n++
	default:
		n, err = nextOwn(r, f, x)
	}
	e.takes(f, x, n)
	return n, err
}

// nextOwn is the number behind the highest that is in use of a module's own:
// of its leases, or of what comes before them, and when they are used up of
// what lies above.
func nextOwn(r pebble.Reader, f *file, x numbering) (int64, error) {
	last, err := highestNumber(r, f.id)
	if err != nil {
		return 0, err
	}
	behind := func(n int64) int64 { return max(n+1, x.at(n+1).First) }
	runs := x.leased
	if low, ok := x.low(); ok {
		runs = append([]NumberRange{low}, runs...)
	}
	for i := len(runs) - 1; i >= 0; i-- {
		n := int64(0)
		if runs[i].First <= last {
			if n, err = highestIn(r, f.id, runs[i]); err != nil {
				return 0, err
			}
		}
		switch {
		case n == 0 && i > 0:
		case n == 0:
			return runs[0].First, nil
		case n < runs[i].Last || i < len(runs)-1:
			return behind(n), nil
		default: // all of them are used up
			i = 0
		}
	}
	const high = record.LastLeased + 1
	for y := x.at(max(last+1, high)); y.First >= high; y = (NumberRange{y.First - ownCycle, y.Last - ownCycle}) {
		n, err := highestIn(r, f.id, y)
		if err != nil {
			return 0, err
		}
		if n > 0 {
			return behind(n), nil
		}
	}
	return x.at(high).First, nil
}

// highestIn is the highest number in use of a range; 0: none is.
func highestIn(r pebble.Reader, id origin.FileID, x NumberRange) (int64, error) {
	it, err := r.NewIter(&pebble.IterOptions{
		LowerBound: appendRegisterKey(nil, id, record.AppendNumber(nil, uint64(x.First))),
		UpperBound: appendRegisterKey(nil, id, record.AppendNumber(nil, uint64(x.Last)+1)),
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
func lowestFree(r pebble.Reader, f *file, own numbering, from int64) (int64, error) {
	x := own.at(from)
	n := max(from, x.First)
	for {
		it, err := r.NewIter(&pebble.IterOptions{
			LowerBound: appendRegisterKey(nil, f.id, record.AppendNumber(nil, uint64(n))),
			UpperBound: appendRegisterKey(nil, f.id, record.AppendNumber(nil, uint64(x.Last)+1)),
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
		if err != nil || n <= x.Last || own.module == 0 {
			return n, err
		}
		x = own.at(x.Last + 1)
		n = x.First
	}
}
