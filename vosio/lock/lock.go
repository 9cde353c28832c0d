// Package lock decides who may lock what: files and records, shared and
// exclusive, who is served next, and which wait closes a circle.
//
// It is a pure table, stepped by its caller: Try grants at once or not at all,
// Wait also queues, and whatever frees something gives those who were waiting
// and are served by it. Waking them, and time, are the caller's. The same steps
// in the same order give the same answers.
//
// # Who waits first is served first
//
// A lock is granted if it goes together with all that others hold, and with
// nobody before it in the object's queue whom it would keep waiting. So a
// stream of readers does not starve a writer: those that come after it stand
// behind it, also those that would not wait. Two go before the queue, since
// those in it wait for them anyway: who makes a lock of its own stronger, and a
// process that holds the object already under another owner.
//
// # Circles
//
// A process makes one call at a time, so it stands still while any of its
// owners waits: who waits for one of them waits for that wait.
package lock

import (
	"cmp"
	"slices"
)

// Owner holds locks: a port, or a transaction, of a process.
type Owner struct{ Process, N uint64 }

// Compare orders owners.
func (o Owner) Compare(p Owner) int {
	return cmp.Or(cmp.Compare(o.Process, p.Process), cmp.Compare(o.N, p.N))
}

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

// Table holds all locks of a module, and those who wait. It is not safe for
// concurrent use.
type Table struct {
	objects map[string]*object
	owned   map[Owner]map[string]struct{}
	waits   map[Owner]wait
	waiting map[uint64][]Owner // of a process, those of its owners that wait
}

type object struct {
	holders []claim // in the order of grants
	queue   []claim // in the order of service
}

type claim struct {
	o Owner
	m Mode
}

type wait struct {
	object string
	mode   Mode
}

// New makes an empty table.
func New() *Table {
	return &Table{objects: map[string]*object{}, owned: map[Owner]map[string]struct{}{}, waits: map[Owner]wait{}, waiting: map[uint64][]Owner{}}
}

// join is the least mode that an owner needs to have both: Exclusive, unless
// they are one.
func join(old, m Mode) Mode {
	if old == 0 || old == m {
		return m
	}
	return Exclusive
}

func (x *object) of(o Owner) Mode {
	for i := range x.holders {
		if x.holders[i].o == o {
			return x.holders[i].m
		}
	}
	return 0
}

// fits reports whether a claim goes together with all that others hold.
func (x *object) fits(c claim) bool {
	for i := range x.holders {
		if h := &x.holders[i]; h.o != c.o && !compatible(h.m, c.m) {
			return false
		}
	}
	return true
}

// first reports whether a claim goes before the queue.
func (x *object) first(c claim) bool {
	for i := range x.holders {
		if x.holders[i].o.Process == c.o.Process {
			return true
		}
	}
	return false
}

// Try locks an object, or leaves all as it is. A lock that the owner has is
// kept, and made stronger if asked.
func (t *Table) Try(o Owner, name string, m Mode) bool {
	x, c := t.objects[name], claim{o, m}
	if x == nil {
		x = new(object)
		t.objects[name] = x
	} else if old := x.of(o); old == join(old, m) {
		return true
	} else if c.m = join(old, m); !x.fits(c) || len(x.queue) > 0 && !x.first(c) {
		return false
	}
	t.grant(name, x, c)
	return true
}

func (t *Table) grant(name string, x *object, c claim) {
	for i := range x.holders {
		if x.holders[i].o == c.o {
			x.holders[i].m = c.m
			return
		}
	}
	x.holders = append(x.holders, c)
	own := t.owned[c.o]
	if own == nil {
		own = map[string]struct{}{}
		t.owned[c.o] = own
	}
	own[name] = struct{}{}
}

// Wait locks an object, or queues for it; an owner waits for one object at a
// time. Who is queued is served by a later step, or stops waiting by Stop.
func (t *Table) Wait(o Owner, name string, m Mode) (granted bool) {
	if t.Try(o, name, m) {
		return true
	}
	x := t.objects[name]
	c := claim{o, join(x.of(o), m)}
	at := len(x.queue)
	if x.first(c) {
		at = 0
		for at < len(x.queue) && x.first(x.queue[at]) {
			at++
		}
	}
	x.queue = slices.Insert(x.queue, at, c)
	t.waits[o] = wait{name, c.m}
	t.waiting[o.Process] = append(t.waiting[o.Process], o)
	return false
}

// unwait takes an owner's wait out; its object's queue is the caller's to serve.
func (t *Table) unwait(o Owner) (name string, ok bool) {
	w, ok := t.waits[o]
	if !ok {
		return "", false
	}
	delete(t.waits, o)
	l := t.waiting[o.Process]
	if l = slices.DeleteFunc(l, func(x Owner) bool { return x == o }); len(l) == 0 {
		delete(t.waiting, o.Process)
	} else {
		t.waiting[o.Process] = l
	}
	x := t.objects[w.object]
	x.queue = slices.DeleteFunc(x.queue, func(c claim) bool { return c.o == o })
	return w.object, true
}

// serve grants what an object's queue may have now, from its head on.
func (t *Table) serve(dst []Owner, name string) []Owner {
	x := t.objects[name]
	if x == nil {
		return dst
	}
	for len(x.queue) > 0 {
		c := x.queue[0]
		if !x.fits(c) {
			break
		}
		t.unwait(c.o)
		t.grant(name, x, c)
		dst = append(dst, c.o)
	}
	if len(x.holders) == 0 && len(x.queue) == 0 {
		delete(t.objects, name)
	}
	return dst
}

// Stop ends an owner's wait, and gives those that are served by it.
func (t *Table) Stop(o Owner) (served []Owner) {
	if name, ok := t.unwait(o); ok {
		served = t.serve(nil, name)
	}
	return served
}

// Release frees one object, and gives those that are served by it.
func (t *Table) Release(o Owner, name string) (served []Owner) {
	if own := t.owned[o]; own != nil {
		if delete(own, name); len(own) == 0 {
			delete(t.owned, o)
		}
	}
	return t.free(nil, o, name)
}

func (t *Table) free(dst []Owner, o Owner, name string) []Owner {
	x := t.objects[name]
	if x == nil {
		return dst
	}
	x.holders = slices.DeleteFunc(x.holders, func(c claim) bool { return c.o == o })
	return t.serve(dst, name)
}

// Weaken makes an owner's Exclusive lock one of another mode, and gives those
// that are served by it.
func (t *Table) Weaken(o Owner, name string, m Mode) (served []Owner) {
	x := t.objects[name]
	if x == nil {
		return nil
	}
	for i := range x.holders {
		if h := &x.holders[i]; h.o == o && h.m == Exclusive {
			h.m = m
		}
	}
	return t.serve(nil, name)
}

// ReleaseAll frees all that an owner has and ends its wait, and gives those
// that are served by it.
func (t *Table) ReleaseAll(o Owner) (served []Owner) {
	served = t.Stop(o)
	var queued []string // in order, so that those are served in order
	for name := range t.owned[o] {
		if len(t.objects[name].queue) > 0 {
			queued = append(queued, name)
		} else {
			t.free(nil, o, name)
		}
	}
	delete(t.owned, o)
	slices.Sort(queued)
	for _, name := range queued {
		served = t.free(served, o, name)
	}
	return served
}

// Holds tells how an owner has locked an object; 0: not.
func (t *Table) Holds(o Owner, name string) Mode {
	if x := t.objects[name]; x != nil {
		return x.of(o)
	}
	return 0
}

// Held lists what an owner has locked, in order.
func (t *Table) Held(o Owner) []string {
	l := make([]string, 0, len(t.owned[o]))
	for name := range t.owned[o] {
		l = append(l, name)
	}
	slices.Sort(l)
	return l
}

// Free reports whether nobody has an object locked, nor waits for it.
func (t *Table) Free(name []byte) bool {
	_, ok := t.objects[string(name)]
	return !ok
}

// Locked reports whether anybody but o has locked an object.
func (t *Table) Locked(o Owner, name string) bool {
	x := t.objects[name]
	return x != nil && slices.ContainsFunc(x.holders, func(c claim) bool { return c.o != o })
}

// Circle gives the circle that an owner's wait closes: o, then the owner that
// it waits for, then the one that that one's process waits for, and so on, to
// one of o's own process; nil if there is none.
func (t *Table) Circle(o Owner) []Owner {
	path := []Owner{o}
	seen := map[uint64]bool{}
	var visit func(w Owner) bool
	visit = func(w Owner) bool {
		for _, b := range t.blockers(w) {
			path = append(path, b)
			if b.Process == o.Process {
				return true
			}
			if !seen[b.Process] {
				seen[b.Process] = true
				for _, next := range t.waiting[b.Process] {
					if visit(next) {
						return true
					}
				}
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

// blockers lists whom an owner waits for: holders, then those before it in the
// queue, as far as its lock does not go together with theirs.
func (t *Table) blockers(o Owner) (l []Owner) {
	w, ok := t.waits[o]
	if !ok {
		return nil
	}
	x := t.objects[w.object]
	for _, c := range x.holders {
		if c.o != o && !compatible(c.m, w.mode) {
			l = append(l, c.o)
		}
	}
	for _, c := range x.queue {
		if c.o == o {
			break
		}
		if !compatible(c.m, w.mode) && !slices.Contains(l, c.o) {
			l = append(l, c.o)
		}
	}
	return l
}

// Waiting is how many owners wait.
func (t *Table) Waiting() int { return len(t.waits) }

// Len is how many objects are locked.
func (t *Table) Len() int { return len(t.objects) }
