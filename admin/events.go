package admin

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxEvents is how many events can be had again.
	maxEvents = 1024
	// maxFollowers bounds how many follow the events at a time.
	maxFollowers = 64
)

// Event is something that happened at a module.
type Event struct {
	ID     string    `json:"id"` // of the module's run, and a number
	At     time.Time `json:"at"`
	Type   string    `json:"type" enum:"hello,gap,alarm,over,link,member,group,control,inbox,audit,operation,state"`
	Module string    `json:"module"`           // whose event
	Object string    `json:"object,omitempty"` // what it is about
	Text   string    `json:"text,omitempty"`
}

// Events keeps the last events of this run of a module. Whoever is too slow, or
// comes back too late, is told that there is a gap, and looks at the state
// itself. Nothing of it is durable.
type Events struct {
	module string
	run    string // tells this run's numbers from those of another

	mu        sync.Mutex // protects what follows; never held across I/O
	next      uint64     // number of the next event; the first is 1
	ring      [maxEvents]Event
	wake      chan struct{} // closed at the next event
	followers int
}

// NewEvents begins the events of a run of a module.
func NewEvents(module string) *Events {
	var b [6]byte
	rand.Read(b[:])
	return &Events{module: module, run: hex.EncodeToString(b[:]), next: 1, wake: make(chan struct{})}
}

// Publish adds an event. A nil Events takes none.
func (e *Events) Publish(typ, object, text string) {
	if e == nil {
		return
	}
	e.mu.Lock()
	e.ring[e.next%maxEvents] = Event{ID: e.id(e.next), At: time.Now(), Type: typ, Module: e.module, Object: object, Text: text}
	e.next++
	close(e.wake)
	e.wake = make(chan struct{})
	e.mu.Unlock()
}

// Followed tells whether anybody follows.
func (e *Events) Followed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.followers > 0
}

func (e *Events) id(n uint64) string { return e.run + "-" + strconv.FormatUint(n, 10) }

// from finds where a follower goes on that had the event with an id; lost says
// that there may be events that it cannot have any more.
func (e *Events) from(id string) (next uint64, lost bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	run, number, ok := strings.Cut(id, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || run != e.run || n >= e.next {
		return e.next, true
	}
	return n + 1, false
}

// since gives the events from a number on, and what tells of the next one.
// lost says that some are gone.
func (e *Events) since(next uint64) (l []Event, after uint64, lost bool, wake <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if first := max(e.next, maxEvents+1) - maxEvents; next < first {
		next, lost = first, true
	}
	for ; next < e.next; next++ {
		l = append(l, e.ring[next%maxEvents])
	}
	return l, next, lost, e.wake
}

// last is the id of the newest event.
func (e *Events) last() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.id(e.next - 1)
}

// follow admits one more follower; done lets it go.
func (e *Events) follow() (done func(), ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.followers >= maxFollowers {
		return nil, false
	}
	e.followers++
	return func() {
		e.mu.Lock()
		e.followers--
		e.mu.Unlock()
	}, true
}

// own makes an event of the door itself, which is kept nowhere.
func (e *Events) own(typ, text string) Event {
	return Event{ID: e.last(), At: time.Now(), Type: typ, Module: e.module, Text: text}
}
