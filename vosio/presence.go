package vosio

import (
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
)

// presence knows of one file which registers are certainly not there, so that
// a new record costs no read. Pebble's own filters cannot say it as cheaply:
// a Get searches every memtable, opens a table for each level, and reads none
// of the filters of the last level.
//
// It is a row of Bloom filters, each twice as large as the one before, over
// the hashes of register keys; it forgets none, so a register that went costs
// a read in vain. It belongs to the committer, and is not kept on disk: a
// file's first new records after a start are looked up, until a scan of the
// file in the background is done.
type presence struct {
	layers []layer
	misses int   // reads that found nothing, before the scan was begun
	ready  bool  // the scan is over; until then layers has what came meanwhile
	off    bool  // there was no room; it is not tried again
	scan   int   // tells the scans of one file apart
	used   int64 // batch in which it was last of use
}

// layer is a Bloom filter in lines of 64 bytes; a key's bits are in one line.
type layer struct {
	lines [][8]uint64
	n     int
}

const (
	// presenceMisses reads in vain make the file one to scan.
	presenceMisses = 64
	// presenceKeys is how many keys the first layer of a new row holds.
	presenceKeys = 1 << 12
	// lineKeys is how many keys a line of 512 bits takes: one in about 1,000
	// absent ones is then thought present.
	lineKeys = 32
	// presenceIdle batches without use let others have a file's room.
	presenceIdle = 1 << 14
	// presenceLines bounds all files' layers: 32 MiB, about 16 million
	// records. A file that would go over it is looked up as without.
	presenceLines = 32 << 20 / 64
)

func newLayer(keys int) layer { return layer{lines: make([][8]uint64, max(1, keys/lineKeys))} }

// spread gives the line of a hash and the six bits of it that stand for it.
func (l *layer) spread(h uint64) (line *[8]uint64, bit [6]uint16) {
	hi, _ := bits.Mul64(h, uint64(len(l.lines)))
	g := h * 0x9e3779b97f4a7c15
	for i := range bit {
		bit[i] = uint16(g>>(9*i)) & 511
	}
	return &l.lines[hi], bit
}

func (l *layer) add(h uint64) {
	line, bit := l.spread(h)
	for _, b := range bit {
		line[b>>6] |= 1 << (b & 63)
	}
	l.n++
}

func (l *layer) has(h uint64) bool {
	line, bit := l.spread(h)
	for _, b := range bit {
		if line[b>>6]&(1<<(b&63)) == 0 {
			return false
		}
	}
	return true
}

// absent reports whether no register of this hash can be there.
func (p *presence) absent(h uint64) bool {
	if p == nil || !p.ready {
		return false
	}
	for i := len(p.layers) - 1; i >= 0; i-- {
		if p.layers[i].has(h) {
			return false
		}
	}
	return true
}

// add notes a register. room is how many lines may still be made; false: it
// does not do.
func (p *presence) add(h uint64, room int) bool {
	n := len(p.layers)
	if n == 0 || p.layers[n-1].n >= len(p.layers[n-1].lines)*lineKeys {
		keys := presenceKeys
		if n > 0 {
			keys = 2 * len(p.layers[n-1].lines) * lineKeys
		}
		if keys/lineKeys > room {
			return false
		}
		p.layers = append(p.layers, newLayer(keys))
		n++
	}
	p.layers[n-1].add(h)
	return true
}

func (p *presence) lines() (n int) {
	for i := range p.layers {
		n += len(p.layers[i].lines)
	}
	return n
}

// presences are those of all files, within one bound. They belong to the
// committer.
type presences struct {
	lines int // of all
	list  []*presence
	due   []*file // to be scanned after the open batch
	batch int64
}

// drop forgets what is known of a file; it may begin again.
func (s *presences) drop(p *presence) {
	s.lines -= p.lines()
	*p = presence{scan: p.scan + 1}
	s.list = slices.DeleteFunc(s.list, func(q *presence) bool { return q == p })
}

// makeRoom drops what has been of no use for long, the oldest first: files
// that are gone among them. false: all are in use.
func (s *presences) makeRoom(lines int) bool {
	for s.lines+lines > presenceLines {
		var old *presence
		for _, p := range s.list {
			if p.ready && p.used < s.batch-presenceIdle && (old == nil || p.used < old.used) {
				old = p
			}
		}
		if old == nil {
			return false
		}
		s.drop(old)
	}
	return true
}

// missed notes that a register of f was looked for in vain; after some the
// file is worth a scan.
func (s *presences) missed(f *file) {
	p := f.stat.present
	if p == nil {
		p = &presence{}
		f.stat.present = p
	}
	if p.ready || p.off || p.misses >= presenceMisses {
		return
	}
	if p.misses++; p.misses == presenceMisses {
		s.list = append(s.list, p)
		s.due = append(s.due, f)
	}
}

// came notes that a register of f is there from now on.
func (s *presences) came(f *file, h uint64) {
	p := f.stat.present
	if p == nil || p.misses < presenceMisses {
		return
	}
	p.used = s.batch
	before := p.lines()
	if !p.add(h, presenceLines-s.lines) && !(s.makeRoom(2*before+presenceKeys/lineKeys) && p.add(h, presenceLines-s.lines)) {
		s.drop(p)
		return
	}
	s.lines += p.lines() - before
}

// scanDue begins the scans that are due. The open batch has been applied: what
// it held is in the database, and what comes later adds itself.
func (c *committer) scanDue() {
	e, s := c.e, &c.presences
	s.batch++
	for _, f := range s.due {
		p := f.stat.present
		prefix := appendFileKey(nil, keyRegister, f.id)
		it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
		if err != nil {
			s.drop(p)
			continue
		}
		records, scan := int(f.stat.records.Load()), p.scan
		if e.cfg.Inline {
			s.scanned(p, scan, scanPresence(e, it, records))
			continue
		}
		e.wg.Add(1)
		go func() { // ends with the scan, or with the engine
			defer e.wg.Done()
			found := scanPresence(e, it, records)
			select {
			case e.queue <- &request{look: func() { s.scanned(p, scan, found) }}:
			case <-e.closed:
			}
		}()
	}
	s.due = s.due[:0]
}

// scanPresence reads a file's registers and closes the iterator; nil: it could
// not, or there are too many.
func scanPresence(e *Engine, it *pebble.Iterator, records int) *presence {
	p := &presence{}
	if records > 0 && records/lineKeys < presenceLines {
		p.layers = append(p.layers, newLayer(records+records/8+lineKeys))
	}
	ok, whole := it.First(), true
	for n := 0; ok && whole; ok = it.Next() {
		whole = p.add(xxhash.Sum64(it.Key()), presenceLines-p.lines())
		if n++; n%4096 == 0 && e.closing() {
			whole = false
		}
	}
	if it.Close() != nil || !whole {
		return nil
	}
	return p
}

// scanned takes over what a scan found. If the row was dropped meanwhile, so is
// this: it lacks what came between.
func (s *presences) scanned(p *presence, scan int, found *presence) {
	if p.scan != scan {
		return
	}
	if found == nil || !s.makeRoom(found.lines()) {
		s.drop(p)
		p.off = true
		return
	}
	s.lines += found.lines()
	p.layers = append(found.layers, p.layers...) // the last layer is the one that grows
	p.ready = true
}

// closing reports whether the engine is being closed.
func (e *Engine) closing() bool {
	select {
	case <-e.closed:
		return true
	default:
		return false
	}
}
