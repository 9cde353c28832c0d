package node

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/origin/clock"
	"drmesh/origin/entry"
	"drmesh/origin/journal"
	"drmesh/vosio"
)

// heads signs our own streams' heads and remembers those of others.
//
// A head names durable positions only, so that no crash takes it back. Its
// floor promises that nothing we write later is stamped at or below it; since
// the clock may stand earlier after a crash, a ceiling above every floor that
// was promised is kept on disk, and a start begins there.
type heads struct {
	key   ed25519.PrivateKey
	db    *pebble.DB
	j     *journal.Journal
	clock *clock.Clock

	mu      sync.Mutex // protects what follows; held across one small write when the ceiling is raised
	ceiling origin.Stamp
	own     map[origin.Stream]signed
	known   map[origin.Stream]origin.Head // greatest verified head of each stream, its context the union of all heard
	control uint64
}

// signed is the newest head of an own stream.
type signed struct {
	seq   origin.Seq
	at    time.Time
	bytes []byte
}

var keyCeiling = []byte("ns")

// ceilingStep is how far ahead of a promised floor the ceiling is written.
const ceilingStep = 5 * time.Second

// loadCeiling is the stamp above which this module's clock must start.
func loadCeiling(db *pebble.DB) (origin.Stamp, error) {
	v, closer, err := db.Get(keyCeiling)
	if err == pebble.ErrNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	if len(v) != 8 {
		return 0, fmt.Errorf("open clock ceiling: %d bytes", len(v))
	}
	return origin.Stamp(binary.BigEndian.Uint64(v)), nil
}

func newHeads(db *pebble.DB, j *journal.Journal, c *clock.Clock, key ed25519.PrivateKey, ceiling origin.Stamp) *heads {
	return &heads{key: key, db: db, j: j, clock: c, ceiling: ceiling,
		own: map[origin.Stream]signed{}, known: map[origin.Stream]origin.Head{}}
}

func (h *heads) setControl(index uint64) {
	h.mu.Lock()
	h.control = index
	h.mu.Unlock()
}

// current gives the head of an own stream at its durable position. A head that
// is younger than maxAge and stands there already is given again. floor is a
// stamp below which the stream's writer gives out none any more; 0 for the
// stamp of the last entry.
func (h *heads) current(s origin.Stream, floor origin.Stamp, maxAge time.Duration) ([]byte, origin.Seq, error) {
	v := h.j.Durable()
	pos := v.At(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.own[s]; ok && old.seq == pos.Seq && time.Since(old.at) < maxAge {
		return old.bytes, old.seq, nil
	}
	if floor > 0 {
		if err := h.promise(floor); err != nil {
			return nil, 0, err
		}
	}
	head := origin.Head{Stream: s, Position: pos, Floor: floor, Control: h.control}
	for _, e := range v.Sorted() {
		if e.Stream.Group == s.Group && e.Stream != s {
			head.Context = append(head.Context, e)
		}
	}
	entry.SignHead(&head, h.key)
	b := entry.AppendHead(nil, &head)
	h.own[s] = signed{pos.Seq, time.Now(), b}
	h.note(head)
	return b, pos.Seq, nil
}

// promise makes sure that no start of this module stamps at or below floor.
func (h *heads) promise(floor origin.Stamp) error {
	if floor <= h.ceiling {
		return nil
	}
	// Of the wall clock and not of the floor: a start begins at the ceiling, and
	// a loop of crashes would drive the stamps 5 s ahead each time. A floor
	// ahead of the wall clock gets the little that it needs.
	c := max(origin.MakeStamp(uint64(time.Now().Add(ceilingStep).UnixMilli()), 0), origin.MakeStamp(floor.Millis()+100, 0))
	if err := h.db.Set(keyCeiling, binary.BigEndian.AppendUint64(nil, uint64(c)), pebble.Sync); err != nil {
		return err
	}
	h.ceiling = c
	return nil
}

// at signs an own stream's position in the past, for a receiver that catches
// up. It makes no promise: it has no floor and no control index, and its context
// is a part of what was applied then.
func (h *heads) at(s origin.Stream, pos origin.Position, context []origin.StreamPosition) []byte {
	head := origin.Head{Stream: s, Position: pos, Context: context}
	entry.SignHead(&head, h.key)
	return entry.AppendHead(nil, &head)
}

// learn remembers a verified head of another module.
func (h *heads) learn(head origin.Head) {
	h.mu.Lock()
	h.note(head)
	h.mu.Unlock()
}

func (h *heads) note(head origin.Head) {
	if head.Control == 0 {
		head.Context = nil // of the past, and not all of it
	}
	old, ok := h.known[head.Stream]
	if !ok {
		h.known[head.Stream] = head
		return
	}
	if head.Position.Seq < old.Position.Seq {
		return
	}
	if len(head.Context) == 0 {
		head.Context = old.Context
	}
	head.Floor = max(head.Floor, old.Floor)
	head.Control = max(head.Control, old.Control)
	h.known[head.Stream] = head
}

// floors implements vosio.Config.Floors, from what heads promise. A head that
// was signed by who knew more of control than this module may be of a group
// with writers that are not known here yet: then nothing can be said.
func (n *Node) floors(g origin.Group) ([]vosio.Floor, bool) {
	st, heads := n.ctl.state(), n.heads.all()
	t := st.Tables()
	var l []vosio.Floor
	add := func(s origin.Stream) {
		h := heads[s]
		l = append(l, vosio.Floor{Stream: s, Seq: h.Position.Seq, Stamp: h.Floor})
	}
	for s, h := range heads {
		if s.Group == g && h.Control > st.Index {
			return nil, false
		}
	}
	for _, m := range t.Holders(g) {
		if s := ownStream(st, g, m); s.Incarnation != 0 && (m == n.dir.Number || t.MayOriginate(g, m) && t.AppliesHere(s, n.dir.Number)) {
			add(s)
		}
	}
	// Of streams that are not written any more all must have come.
	tails := n.j.Tails()
	for _, p := range st.Ends {
		if s := p.Stream(); s.Group == g && tails[s].Seq < p.Position().Seq && t.AppliesHere(s, n.dir.Number) {
			add(s)
		}
	}
	return l, true
}

// all copies the greatest heads known.
func (h *heads) all() map[origin.Stream]origin.Head {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := make(map[origin.Stream]origin.Head, len(h.known))
	for s, x := range h.known {
		m[s] = x
	}
	return m
}
