package vosio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"

	"drmesh/vosio/record"
)

// hot keeps the registers that keyed reads found at their identity keys, in the
// bytes that they are stored in: to find one again costs a tenth of looking for
// it in the store. The oldest make room for new ones. Whoever reads in order
// puts none in, so that a scan pushes out nothing.
//
// What it holds stands: the committer takes a register out before a batch that
// changes it can be read, and from then until the file's generation has risen
// nothing of the file is put in; what was read before goes in under an older
// generation, and so not at all. What changes files otherwise raises the
// engine's epoch, which empties it.
//
// It is made by the first read that has something to put in. Its memory is not
// the collector's, and what was never used takes none. It ends with the engine.
type hot struct {
	shards [hotShards]hotShard
	files  atomic.Uint32 // numbers files
}

const (
	hotShards = 16
	// hotBytes bounds what is kept, of all files: about 890,000 records of 100
	// bytes. The places are hotSlots times 8 bytes beside it.
	hotBytes = 112 << 20
	hotSlots = 1 << 21
	// hotWays is how many places a register may have.
	hotWays = 8
	// maxHot is the length of the longest register that is kept.
	maxHot = 4096

	hotHead = 8 // of an entry: number of the file, length
	hotTag  = 20
)

// hotShard has the registers of some hashes.
type hotShard struct {
	mu    sync.Mutex // protects what follows; held for no I/O
	epoch uint64     // of what it holds
	// ring has entries one behind the other, each from a multiple of 4. end is
	// where the next one goes, counted from the beginning of time.
	ring []byte
	end  uint64
	// slots have the place of an entry, in units of 4, plus 1, and some bits of
	// its hash. A place that the ring has come around to is empty.
	slots []uint64
}

// bucket gives the slots of a hash, and the bits by which they tell it.
func (h *hotShard) bucket(hash uint64) (slots []uint64, tag uint64) {
	n, _ := bits.Mul64(hash<<4, uint64(len(h.slots)/hotWays)) // its upper 4 bits chose the shard
	return h.slots[n*hotWays:][:hotWays], hash & (1<<hotTag - 1)
}

// entry is what a slot leads to; nil if it is not there any more.
func (h *hotShard) entry(slot uint64) []byte {
	at := slot>>hotTag*4 - 4
	if slot == 0 || h.end-at > uint64(len(h.ring)) {
		return nil
	}
	return h.ring[at%uint64(len(h.ring)):]
}

func (h *hot) shard(hash uint64) *hotShard { return &h.shards[hash>>60] }

// number names a file in entries.
func (h *hot) number(f *file) uint32 {
	n := f.stat.hot.Load()
	if n == 0 {
		f.stat.hot.CompareAndSwap(0, h.files.Add(1))
		n = f.stat.hot.Load()
	}
	return n
}

// getHot appends the register of a hash to b: most surely, and certainly one of f.
func (e *Engine) getHot(b []byte, f *file, hash uint64) ([]byte, bool) {
	number := f.stat.hot.Load()
	if number == 0 {
		return b, false
	}
	h := e.hot.shard(hash)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.slots == nil || h.epoch != e.epoch.Load() {
		return b, false
	}
	slots, tag := h.bucket(hash)
	for _, s := range slots {
		if s&(1<<hotTag-1) != tag {
			continue
		}
		if x := h.entry(s); x != nil && binary.LittleEndian.Uint32(x) == number {
			return append(b, x[hotHead:][:binary.LittleEndian.Uint32(x[4:])]...), true
		}
	}
	return b, false
}

// putHot keeps a register that was read when its file was at a moment.
func (e *Engine) putHot(f *file, hash uint64, v []byte, at moment) {
	if len(v) > maxHot {
		return
	}
	number := e.hot.number(f)
	h := e.hot.shard(hash)
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.stat.changing.Load() != 0 || e.moment(f) != at {
		return
	}
	if h.slots == nil {
		ring, slots := bareBytes(hotBytes/hotShards), bareBytes(8*hotSlots/hotShards)
		if ring == nil || slots == nil {
			freeBytes(ring)
			freeBytes(slots)
			return // it goes without
		}
		h.ring, h.slots = ring, unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(slots))), hotSlots/hotShards)
		h.epoch = at.epoch
	}
	if h.epoch != at.epoch {
		clear(h.slots)
		h.epoch = at.epoch
	}
	size := uint64(hotHead+len(v)+3) &^ 3
	whole := uint64(len(h.ring))
	if left := whole - h.end%whole; left < size {
		h.end += left
	}
	from := h.end
	h.end += size
	x := h.ring[from%whole:]
	binary.LittleEndian.PutUint32(x, number)
	binary.LittleEndian.PutUint32(x[4:], uint32(len(v)))
	copy(x[hotHead:], v)
	slots, tag := h.bucket(hash)
	oldest := 0
	for i, s := range slots {
		if h.entry(s) == nil {
			oldest = i
			break
		}
		if s>>hotTag < slots[oldest]>>hotTag {
			oldest = i
		}
	}
	slots[oldest] = (from/4+1)<<hotTag | tag
}

// dropHot takes a register out; with it go others of the same bits.
func (e *Engine) dropHot(hash uint64) {
	h := e.hot.shard(hash)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.slots == nil {
		return
	}
	slots, tag := h.bucket(hash)
	for i, s := range slots {
		if s&(1<<hotTag-1) == tag {
			slots[i] = 0
		}
	}
}

// endHot gives the memory back. Nobody reads any more.
func (e *Engine) endHot() {
	for i := range e.hot.shards {
		h := &e.hot.shards[i]
		h.mu.Lock()
		if h.slots != nil {
			freeBytes(h.ring)
			freeBytes(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(h.slots))), 8*len(h.slots)))
		}
		h.ring, h.slots = nil, nil
		h.mu.Unlock()
	}
}

// forgetHot takes out what the open batch changes, before it can be read.
func (c *committer) forgetHot() {
	for f := range c.stats {
		f.stat.changing.Add(1)
	}
	if c.e.hot.files.Load() > 0 {
		for _, hash := range c.coming {
			c.e.dropHot(hash)
		}
	}
	c.coming = c.coming[:0]
}

// sought is scratch of a port for reads by key.
type sought struct {
	key, value, own []byte
	at              moment // of the file, when the store was asked last
}

// getAddressed looks for a register in the store, and has use look at it, if it
// is there. Of a file that does not change it is the port's scanner that looks:
// one is more work to make than a look is, and less to use again.
func (p *Process) getAddressed(x *port, f *file, ix *index, key []byte, at moment, use func(v []byte) error) error {
	if x.sought.at == at && !p.e.cfg.Inline {
		s, free, err := p.scanner(x, f, ix)
		if err != nil {
			return err
		}
		if s.walk {
			if !s.lookUp(key[filePrefix:]) {
				return errors.Join(s.Err(), free())
			}
			v, err := s.registers.ValueAndErr()
			if err == nil {
				err = use(v)
			}
			return errors.Join(err, free())
		}
		if err := free(); err != nil {
			return err
		}
	}
	x.sought.at = at
	v, closer, err := p.e.db.Get(key)
	if err == pebble.ErrNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(use(v), closer.Close())
}

// readAddressed reads the record of an identity key, as a program gave it, and
// its place in the index; nil: there is none.
func (p *Process) readAddressed(x *port, f *file, ix *index, key []byte) (*rec, spot, error) {
	e, s := p.e, &x.sought
	x.room.many = true
	at := e.moment(f)
	s.key = record.AppendKey(appendFileKey(s.key[:0], keyRegister, f.id), ix.number, key)
	for n := len(key); n < ix.keyLen; n++ {
		s.key = append(s.key, ' ')
	}
	addr := s.key[filePrefix:]
	ix.Collate(addr[5:])
	hash := xxhash.Sum64(s.key)
	var r rec
	ok := false
	if f.stat.parked.Load() == 0 {
		if s.value, ok = e.getHot(s.value[:0], f, hash); ok {
			var err error
			if ok, err = e.decodeRecord(&r, &x.room, e.db, f, addr, s.value); err != nil {
				return nil, nil, err
			}
			s.own = ix.AppendKeyOf(s.own[:0], r.data)
			ok = ok && bytes.Equal(s.own, addr[5:])
		}
	}
	if !ok {
		err := p.getAddressed(x, f, ix, s.key, at, func(v []byte) (err error) {
			if ok, err = e.decodeRecord(&r, &x.room, e.db, f, addr, v); ok && !e.cfg.Inline && f.stat.parked.Load() == 0 {
				e.putHot(f, hash, v, at)
			}
			return err
		})
		if err != nil || !ok {
			return nil, nil, err
		}
	}
	if x.stable && r.birth.Stamp > x.below {
		return nil, nil, nil
	}
	s.own = record.AppendBirth(append(s.own[:0], addr[5:]...), r.birth)
	s.own = append(s.own, addr...)
	return x.room.rec(&r), x.room.bytes(s.own), nil
}
