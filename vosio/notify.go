package vosio

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// Events. A file has an event that programs attach and wait for. s$notify_path
// is a txn like any other, a write of the file's attribute of this name, so it
// reaches every module that has the file, after all that was done to the file
// before it, and there the event's count goes up by one. A program may also ask
// to be told of each batch of changes of the file, local or from elsewhere.
// Counts are in memory: they are of what happened while somebody had the event
// attached here.

// attrEvent holds the status of the last s$notify_path.
const attrEvent = "event"

// maxEvents bounds the events of one process.
const maxEvents = 1024

// notice is one s$notify_path in a batch.
type notice struct {
	file   origin.FileID
	status int64
}

// notice takes note of an operation that notifies.
func (t *tx) notice(op *origin.Operation) {
	if op.Kind != origin.Write || len(op.Address) == 0 || op.Address[0] != record.KindAttribute {
		return
	}
	id, name, ok := record.CatalogFile(op.Address)
	if !ok || name != attrEvent {
		return
	}
	status, err := strconv.ParseInt(string(op.Data), 10, 64)
	if err != nil {
		status = 0 // another release's: it is an event all the same
	}
	t.c.notices = append(t.c.notices, notice{id, status})
}

// events are those that programs have attached.
type events struct {
	mu   sync.Mutex // protects what follows; never held across I/O
	list map[origin.FileID]*event
}

type event struct {
	users   int
	count   int64
	status  int64
	changes int64
}

func (l *events) attach(f origin.FileID) event {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.list == nil {
		l.list = map[origin.FileID]*event{}
	}
	e := l.list[f]
	if e == nil {
		e = &event{}
		l.list[f] = e
	}
	e.users++
	return *e
}

func (l *events) detach(f origin.FileID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.list[f]; e != nil {
		if e.users--; e.users == 0 {
			delete(l.list, f)
		}
	}
}

func (l *events) notified(n notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.list[n.file]; e != nil {
		e.count++
		e.status = n.status
	}
}

func (l *events) changed(f origin.FileID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.list[f]; e != nil {
		e.changes++
	}
}

// of is how an event stands; ok is false when nobody has it attached.
func (l *events) of(f origin.FileID) (event, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.list[f]
	if e == nil {
		return event{}, false
	}
	return *e, true
}

// attached is an event of a process, with what the process was told of it.
type attached struct {
	file    origin.FileID
	path    string
	count   int64
	changes int64
	data    bool // it wants to know of changes, too
}

// EventChanges has an attached event tell of changes of the file, too.
const eventChanges = 1

func (p *Process) notifyPath(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	f, err := p.e.file(full)
	if err != nil {
		return err
	}
	// Of a file of this module alone nobody else could have it attached.
	if _, ok := p.e.events.of(f.id); !ok && f.share == "" {
		return fmt.Errorf("notify %s: nobody has its event attached: %w", full, call.InvalidEventID)
	}
	if q.Count > 1<<31-1 || q.Count < -1<<31 {
		return fmt.Errorf("notify %s: status %d: %w", full, q.Count, call.InvalidControl)
	}
	return p.e.setAttribute(ctx, p.name, full, attrEvent, strconv.FormatInt(q.Count, 10))
}

// attachEvent gives the number of a file's event in this process.
func (p *Process) attachEvent(_ context.Context, q *call.Request, r *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	f, err := p.e.readable(full)
	if err != nil {
		return err
	}
	switch {
	case q.Switches < 0 || q.Switches > eventChanges:
		return fmt.Errorf("attach the event of %s: switches %d: %w", full, q.Switches, call.InvalidControl)
	case len(p.events) >= maxEvents:
		return fmt.Errorf("attach the event of %s: more than %d events: %w", full, maxEvents, call.NoAlloc)
	}
	if p.events == nil {
		p.events = map[int64]*attached{}
	}
	id := int64(1)
	for p.events[id] != nil {
		id++
	}
	e := p.e.events.attach(f.id)
	p.events[id] = &attached{file: f.id, path: full, count: e.count, changes: e.changes, data: q.Switches == eventChanges}
	r.Number = id
	return nil
}

func (p *Process) detachEvent(_ context.Context, q *call.Request, _ *call.Reply) error {
	a := p.events[q.Number]
	if a == nil {
		return fmt.Errorf("detach event %d: %w", q.Number, call.InvalidEventID)
	}
	delete(p.events, q.Number)
	p.e.events.detach(a.file)
	return nil
}

func (p *Process) detachEvents() {
	for _, a := range p.events {
		p.e.events.detach(a.file)
	}
	p.events = nil
}

// waitEvent waits until an event, or with number 0 any of those attached, has
// happened that the process has not been told of; for Count ticks at most, if
// that is not 0.
func (p *Process) waitEvent(ctx context.Context, q *call.Request, r *call.Reply) error {
	ids := []int64{q.Number}
	if q.Number == 0 {
		ids = slices.Sorted(maps.Keys(p.events))
	}
	w := wait{what: q.Call, noWait: q.NoWait}
	switch {
	case q.Count < 0 || q.Count > 1<<31-1:
		return fmt.Errorf("wait for an event: limit %d: %w", q.Count, call.InvalidControl)
	case q.Count > 0:
		w.limit = time.Duration(q.Count) * tick
	}
	for _, id := range ids {
		a := p.events[id]
		if a == nil {
			return fmt.Errorf("wait for event %d: %w", id, call.InvalidEventID)
		}
		w.files = append(w.files, a.file)
	}
	if len(ids) == 0 {
		return fmt.Errorf("wait for an event: none is attached: %w", call.InvalidEventID)
	}
	return p.awaitAny(ctx, w, func() (bool, error) {
		for _, id := range ids {
			a := p.events[id]
			e, _ := p.e.events.of(a.file)
			if e.count == a.count && (!a.data || e.changes == a.changes) {
				continue
			}
			i := call.Event{Event: id, Count: e.count - a.count, Status: e.status}
			if a.data {
				i.Changed = e.changes != a.changes
			}
			a.count, a.changes = e.count, e.changes
			var err error
			r.Info, err = json.Marshal(i)
			return true, err
		}
		return false, nil
	})
}
