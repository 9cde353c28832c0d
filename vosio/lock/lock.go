// Package lock decides who may lock what: files and records, shared and
// exclusive, and which wait closes a circle.
//
// It is a pure table: Acquire grants or tells who stands in the way, and
// Release frees. Waiting, waking and time are the caller's: when something is
// freed, all who wait call Acquire again. The same calls in the same order give
// the same answers.
package lock

import (
	"cmp"
	"slices"
)

// Owner holds locks: a port, or a transaction.
type Owner uint64

// Mode is how an object is locked.
type Mode uint8

const (
	// Shared locks go together.
	Shared Mode = 1
	// Exclusive locks go with nothing of another owner.
	Exclusive Mode = 2
	// Implicit marks a file as open for record-by-record locking: it goes
	// with other implicit opens only.
	Implicit Mode = 3
)

func compatible(a, b Mode) bool {
	return a == Shared && b == Shared || a == Implicit && b == Implicit
}

// Table holds all locks of a module. It is not safe for concurrent use.
type Table struct {
	objects map[string]map[Owner]Mode
	owned   map[Owner]map[string]struct{}
	waits   map[Owner][]Owner // whom an owner waits for
}

// New makes an empty table.
func New() *Table {
	return &Table{objects: map[string]map[Owner]Mode{}, owned: map[Owner]map[string]struct{}{}, waits: map[Owner][]Owner{}}
}

// Acquire locks an object for an owner, or tells the holders in the way, in
// order. A lock that the owner has is kept, and made stronger if asked.
func (t *Table) Acquire(o Owner, object string, m Mode) (ok bool, blockers []Owner) {
	holders := t.objects[object]
	for h, hm := range holders {
		if h != o && !compatible(hm, m) {
			blockers = append(blockers, h)
		}
	}
	if len(blockers) > 0 {
		slices.SortFunc(blockers, func(a, b Owner) int { return cmp.Compare(a, b) })
		return false, blockers
	}
	if holders == nil {
		holders = map[Owner]Mode{}
		t.objects[object] = holders
	}
	if old, had := holders[o]; !had || old == Shared && m == Exclusive {
		holders[o] = m
	}
	own := t.owned[o]
	if own == nil {
		own = map[string]struct{}{}
		t.owned[o] = own
	}
	own[object] = struct{}{}
	delete(t.waits, o)
	return true, nil
}

// Holds tells how an owner has locked an object; 0: not.
func (t *Table) Holds(o Owner, object string) Mode { return t.objects[object][o] }

// Locked reports whether anybody but o has locked an object.
func (t *Table) Locked(o Owner, object string) bool {
	h := t.objects[object]
	_, mine := h[o]
	return len(h) > 1 || len(h) == 1 && !mine
}

// Release frees one object.
func (t *Table) Release(o Owner, object string) {
	if h := t.objects[object]; h != nil {
		delete(h, o)
		if len(h) == 0 {
			delete(t.objects, object)
		}
	}
	if own := t.owned[o]; own != nil {
		delete(own, object)
		if len(own) == 0 {
			delete(t.owned, o)
		}
	}
	t.unwait(o)
}

// unwait forgets who waits for an owner that freed something: they ask again,
// and until then what they are known to wait for may be history.
func (t *Table) unwait(o Owner) {
	for w, blockers := range t.waits {
		if slices.Contains(blockers, o) {
			delete(t.waits, w)
		}
	}
}

// ReleaseAll frees all that an owner has.
func (t *Table) ReleaseAll(o Owner) {
	for object := range t.owned[o] {
		if h := t.objects[object]; h != nil {
			delete(h, o)
			if len(h) == 0 {
				delete(t.objects, object)
			}
		}
	}
	delete(t.owned, o)
	delete(t.waits, o)
	t.unwait(o)
}

// Wait notes that an owner waits for others, and gives the circle that this
// closes: o first, then whom it waits for, and so on; nil if none.
func (t *Table) Wait(o Owner, blockers []Owner) (circle []Owner) {
	t.waits[o] = blockers
	path := []Owner{o}
	seen := map[Owner]bool{}
	var visit func(Owner) bool
	visit = func(x Owner) bool {
		for _, b := range t.waits[x] {
			if b == o {
				return true
			}
			if seen[b] {
				continue
			}
			seen[b] = true
			path = append(path, b)
			if visit(b) {
				return true
			}
			path = path[:len(path)-1]
		}
		return false
	}
	if visit(o) {
		return path
	}
	return nil
}

// Stop notes that an owner waits no more.
func (t *Table) Stop(o Owner) { delete(t.waits, o) }

// Len is how many objects are locked.
func (t *Table) Len() int { return len(t.objects) }
