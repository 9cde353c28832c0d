package lock

import "slices"

// Regions holds locks of ranges of numbers, of records or bytes of a file. An
// owner's locks of one file do not conflict with each other: a later one takes
// the place of an earlier one where they meet, which splits or joins it. Nobody
// waits for a region. It is a pure table, not safe for concurrent use.
type Regions struct {
	files map[string][]region
}

// region is [from, to) of one owner. The list of a file is in order of owner
// and from; regions of one owner do not overlap, and where two of one mode meet
// they are one.
type region struct {
	o        Owner
	from, to uint64
	m        Mode
}

// Infinity is behind every number.
const Infinity = ^uint64(0)

// NewRegions makes an empty table.
func NewRegions() *Regions { return &Regions{files: map[string][]region{}} }

// Free reports whether nobody but o has a lock in [from, to) that m does not go
// together with.
func (t *Regions) Free(o Owner, file string, from, to uint64, m Mode) bool {
	for _, r := range t.files[file] {
		if r.o != o && r.from < to && from < r.to && !compatible(r.m, m) {
			return false
		}
	}
	return true
}

// Lock locks [from, to), or leaves all as it is.
func (t *Regions) Lock(o Owner, file string, from, to uint64, m Mode) bool {
	if !t.Free(o, file, from, to, m) {
		return false
	}
	t.Unlock(o, file, from, to)
	r := region{o, from, to, m}
	l := slices.DeleteFunc(t.files[file], func(x region) bool {
		joins := x.o == o && x.m == m && x.from <= r.to && r.from <= x.to
		if joins {
			r.from, r.to = min(r.from, x.from), max(r.to, x.to)
		}
		return joins
	})
	t.set(file, append(l, r))
	return true
}

// Unlock frees what an owner has in [from, to).
func (t *Regions) Unlock(o Owner, file string, from, to uint64) {
	var l []region
	for _, r := range t.files[file] {
		if r.o != o || r.to <= from || to <= r.from {
			l = append(l, r)
			continue
		}
		if r.from < from {
			l = append(l, region{o, r.from, from, r.m})
		}
		if to < r.to {
			l = append(l, region{o, to, r.to, r.m})
		}
	}
	t.set(file, l)
}

func (t *Regions) set(file string, l []region) {
	if len(l) == 0 {
		delete(t.files, file)
		return
	}
	slices.SortFunc(l, func(a, b region) int {
		if c := a.o.Compare(b.o); c != 0 {
			return c
		}
		if a.from < b.from {
			return -1
		}
		return 1
	})
	t.files[file] = l
}

// Count is how many regions an owner has in a file.
func (t *Regions) Count(o Owner, file string) (n int) {
	for _, r := range t.files[file] {
		if r.o == o {
			n++
		}
	}
	return n
}
