package vosio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// Queues. A message of a message queue or a one-way server queue is a register
// whose address is its birth, so sending is an insert and taking a delete, in
// transactions too, mirrored like any other. An index that every such file has
// from its creation gives the order in which messages are delivered: the higher
// priority first, and of equal ones the older.
//
// Server queues and direct queues, whose requesters wait for replies, are of
// this module alone and in memory: see queue_memory.go.

// Bounds of messages.
const (
	maxPriority  = 19
	maxSubject   = 32
	messageHead  = 7 // bytes before the subject
	defaultDepth = 32767
)

// attrDepth is how many messages a queue holds at most.
const attrDepth = "max_queue_depth"

// deliveryIndex is the index of a queue that orders delivery. Nobody makes or
// deletes it, and no definition of it is stored.
const deliveryIndex = "$priority"

func isQueue(org int) bool { return isStoredQueue(org) || isMemoryQueue(org) }

func isStoredQueue(org int) bool { return org == call.OrgMsgQueue || org == call.OrgOneWayQueue }

func isMemoryQueue(org int) bool { return org == call.OrgServerQueue || org == call.OrgDirectQueue }

// delivery is the index that orders a queue's messages.
func (f *file) delivery() *index { return f.index(deliveryIndex) }

func newDelivery() *index {
	return newIndex(record.Index{Name: deliveryIndex, Components: []record.Component{{Position: 1, Length: 1}}, Duplicates: true, Collation: 4, Empty: true}, origin.Birth{})
}

// depthLimit is how many messages a queue takes; 0: as many as the disk.
func (f *file) depthLimit() int64 {
	if n, err := strconv.ParseInt(f.attribute(attrDepth), 10, 64); err == nil && n > 0 {
		return n
	}
	if f.org == call.OrgMsgQueue {
		return 0
	}
	return defaultDepth
}

// message is what a message's register holds, docs/formats.md has its bytes.
type message struct {
	priority int
	id       int64 // as its sender's module counts
	subject  string
	body     []byte
}

// appendMessage appends the bytes of a message; they sort by falling priority.
func appendMessage(b []byte, m *message) []byte {
	b = append(b, byte(maxPriority-m.priority), 1)
	b = binary.BigEndian.AppendUint32(b, uint32(m.id))
	b = append(b, byte(len(m.subject)))
	b = append(b, m.subject...)
	return append(b, m.body...)
}

// parseMessage reads the bytes of a message, which it borrows.
func parseMessage(b []byte) (m message, err error) {
	if len(b) < messageHead || b[0] > maxPriority || b[1] != 1 || len(b) < messageHead+int(b[6]) {
		return m, fmt.Errorf("message of %d bytes: %w", len(b), call.FileFormatError)
	}
	n := messageHead + int(b[6])
	return message{maxPriority - int(b[0]), int64(binary.BigEndian.Uint32(b[2:])), string(b[messageHead:n]), b[n:]}, nil
}

// queueStat is what a module knows of a queue of registers beside its counts.
type queueStat struct {
	mu sync.Mutex // protects what follows; never held across I/O
	// low is a place in the order of delivery below which no message stands:
	// those that were taken leave a trail that a search need not walk again.
	// came counts what may have changed that.
	low  []byte
	came uint64

	last int64 // number of the last message sent here

	fresh []byte // least place that came in the open batch; the committer's
}

// next gives a message its number.
func (s *queueStat) next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last++; s.last >= 1<<31 {
		s.last = 1
	}
	return s.last
}

// sent is the number of the last message, for the disk.
func (s *queueStat) sent() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// from is where a search begins; began goes to passed after it.
func (s *queueStat) from() (low []byte, began uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.low, s.came
}

// passed notes that a search from the beginning, or from low, met nothing below
// a place.
func (s *queueStat) passed(place []byte, began uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.came == began {
		s.low = place
	}
}

// arrives notes that a batch to come has a message at a place. The committer
// calls it, and arrived when the batch can be read.
func (s *queueStat) arrives(place []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came++
	if s.fresh == nil || bytes.Compare(place, s.fresh) < 0 {
		s.fresh = bytes.Clone(place)
	}
}

func (s *queueStat) arrived() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh == nil {
		return
	}
	s.came++
	if s.low != nil && bytes.Compare(s.fresh, s.low) < 0 {
		s.low = s.fresh
	}
	s.fresh = nil
}

// openQueues are the queues that are open here, with those of memory kinds.
type openQueues struct {
	mu   sync.Mutex // protects list and what is in it; never held across I/O
	list map[origin.FileID]*openQueue
}

// openQueue is a queue that ports of this module have open.
type openQueue struct {
	servers, requesters int
	// Of a server queue or a direct queue:
	last int64
	all  map[int64]*exchange // by message number
}

// opened counts a port in.
func (q *openQueues) opened(f origin.FileID, server bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o := q.list[f]
	if o == nil {
		o = &openQueue{all: map[int64]*exchange{}}
		q.list[f] = o
	}
	if server {
		o.servers++
	} else {
		o.requesters++
	}
}

// closed counts a port out; what it had under way in memory ends.
func (q *openQueues) closed(f origin.FileID, x *port) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o := q.list[f]
	if o == nil {
		return
	}
	for id, m := range o.all {
		switch {
		case m.by == x:
			delete(o.all, id)
		case m.with == x && !m.replied:
			m.with = nil
		}
	}
	if x.serves() {
		o.servers--
	} else {
		o.requesters--
	}
	if o.servers+o.requesters == 0 {
		delete(q.list, f)
	}
}

// served reports whether a server has the queue open.
func (q *openQueues) served(f origin.FileID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	o := q.list[f]
	return o != nil && o.servers > 0
}

func (x *port) serves() bool { return x.io == call.Server || x.io == call.ReceiveOnlyServer }

func (x *port) requests() bool { return x.io == call.Requester || x.io == call.SendOnlyRequester }
