package control

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"drmesh/origin"
	"drmesh/vosio/record"
)

// Extent is a run of record numbers of one fixed or relative file, leased to
// one module: only its new records take numbers of it, so that two modules
// which add to the file at once never take the same. A lease has no time: it
// lasts as long as what the module writes the group under, and ends with the
// file. Of a module whose incarnation ended they stay taken, by nobody.
type Extent struct {
	File        []byte             `msgpack:"f" json:"file"`
	First       int64              `msgpack:"a" json:"first"`
	Count       int64              `msgpack:"c" json:"count"`
	Group       origin.Group       `msgpack:"g" json:"group"`
	Module      origin.Module      `msgpack:"m" json:"module"` // 0: nobody
	Incarnation origin.Incarnation `msgpack:"i" json:"incarnation"`
}

const (
	firstExtent = 1 << 10 // what a module gets first of a file
	lastExtent  = 1 << 16 // what it gets at most at once
	maxExtents  = 1 << 14 // of all files
)

// LeaseNumbers asks for a further extent of a file, or, with Release, gives back
// all that the module has of a file that is no more.
type LeaseNumbers struct {
	File        []byte             `msgpack:"f"`
	Group       origin.Group       `msgpack:"g"`
	Module      origin.Module      `msgpack:"m"`
	Incarnation origin.Incarnation `msgpack:"i"`
	// Above is the highest number of a leased kind that is in use, as far as
	// the module knows: records may be older than leases. 0: none is.
	Above   int64 `msgpack:"a,omitempty"`
	Release bool  `msgpack:"r,omitempty"`
}

func (x *Extent) end() int64 { return x.First + x.Count }

func compareExtents(a, b Extent) int {
	return cmp.Or(bytes.Compare(a.File, b.File), cmp.Compare(a.First, b.First))
}

// ExtentsOf lists what a file's numbers are leased as, lowest first.
func (s *State) ExtentsOf(file origin.FileID) []Extent {
	lo, hi := s.extents(file[:])
	return s.Extents[lo:hi]
}

func (s *State) extents(file []byte) (lo, hi int) {
	lo, _ = slices.BinarySearchFunc(s.Extents, file, func(x Extent, f []byte) int { return bytes.Compare(x.File, f) })
	for hi = lo; hi < len(s.Extents) && bytes.Equal(s.Extents[hi].File, file); hi++ {
	}
	return lo, hi
}

// Leased reports whether an extent is that of a module under what it writes the
// group under now.
func (s *State) Leased(x *Extent, m origin.Module) bool {
	return x.Module == m && m != 0 && s.Incarnation(x.Group, m) == x.Incarnation
}

func (s *State) leaseNumbers(c *LeaseNumbers) error {
	m, ok := s.Member(c.Module)
	if !ok || !m.HoldsData() || m.Status == Leaving {
		return refuse(ErrNoMember, fmt.Sprintf("module %d", c.Module), "")
	}
	if len(c.File) != len(origin.FileID{}) || c.Above < 0 || s.group(c.Group) < 0 {
		return refuse(ErrMalformed, m.Name, "a lease of numbers that names no file or group")
	}
	if s.Incarnation(c.Group, c.Module) != c.Incarnation || c.Incarnation == 0 {
		return refuse(ErrEnded, m.Name, "it writes the group %s under another incarnation", s.GroupName(c.Group))
	}
	lo, hi := s.extents(c.File)
	if c.Release {
		left := slices.DeleteFunc(slices.Clone(s.Extents[lo:hi]), func(x Extent) bool { return x.Module == c.Module })
		if !slices.ContainsFunc(left, func(x Extent) bool { return x.Module != 0 }) {
			left = nil
		}
		s.Extents = slices.Replace(slices.Clone(s.Extents), lo, hi, left...)
		return nil
	}
	x := Extent{File: slices.Clone(c.File), First: record.FirstLeased, Group: c.Group, Module: c.Module, Incarnation: c.Incarnation}
	var own int64
	for i := lo; i < hi; i++ {
		if e := &s.Extents[i]; e.Module == c.Module && e.Incarnation == c.Incarnation {
			own += e.Count
		}
	}
	// Whoever takes many gets more at once: the extents of a file remain few.
	x.Count = min(max(own/2, firstExtent), lastExtent)
	if hi > lo {
		x.First = s.Extents[hi-1].end()
	}
	x.First = max(x.First, c.Above+1)
	if x.Count = min(x.Count, record.LastLeased-x.First+1); x.Count <= 0 {
		return refuse(ErrTooMany, m.Name, "the file's numbers up to %d are leased", record.LastLeased)
	}
	if hi > lo && x.First == s.Extents[hi-1].end() && s.Extents[hi-1].Module == x.Module && s.Extents[hi-1].Incarnation == x.Incarnation && s.Extents[hi-1].Group == x.Group {
		s.Extents = slices.Clone(s.Extents)
		s.Extents[hi-1].Count += x.Count
		return nil
	}
	if len(s.Extents) >= maxExtents {
		return refuse(ErrTooMany, m.Name, "%d extents of record numbers are allowed", maxExtents)
	}
	s.Extents = slices.Insert(slices.Clone(s.Extents), hi, x)
	return nil
}

// disown leaves to nobody what a module had that left, or whose incarnations
// ended: its records stand there. A file of whose numbers nobody has any more
// has no list: who asks next says what is in use.
func (s *State) disown(m origin.Module, left bool) {
	if !slices.ContainsFunc(s.Extents, func(x Extent) bool { return x.Module == m }) {
		return
	}
	all := slices.Clone(s.Extents)
	kept := all[:0]
	for lo := 0; lo < len(all); {
		hi, leased := lo, false
		for ; hi < len(all) && bytes.Equal(all[hi].File, all[lo].File); hi++ {
			if x := &all[hi]; x.Module == m && (left || !s.Leased(x, m)) {
				x.Module, x.Incarnation = 0, 0
			}
			leased = leased || all[hi].Module != 0
		}
		if leased {
			kept = append(kept, all[lo:hi]...)
		}
		lo = hi
	}
	s.Extents = kept
}

func (s *State) checkExtents() error {
	if len(s.Extents) > maxExtents || !slices.IsSortedFunc(s.Extents, compareExtents) {
		return fmt.Errorf("%d extents of record numbers, or not in order", len(s.Extents))
	}
	for i := range s.Extents {
		x := &s.Extents[i]
		if len(x.File) != len(origin.FileID{}) || x.First < record.FirstLeased || x.Count < 1 || x.Count > record.LastLeased || x.end() > record.LastLeased+1 ||
			i > 0 && bytes.Equal(s.Extents[i-1].File, x.File) && s.Extents[i-1].end() > x.First {
			return fmt.Errorf("an extent of record numbers from %d, %d long, is out of bounds", x.First, x.Count)
		}
	}
	return nil
}
