package vosio

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// Stream files. What is appended is a register of its own, a chunk, by its
// birth: appends of several modules merge, in the order of their births. Any
// other write makes the whole file the unit: the register 'W' says which pages
// the file begins with, how many bytes of them, and which chunks are in them;
// the other chunks follow. Of two such writes at once one is shown; the other
// is kept, and found under a name that every module computes alike.
//
// Pages are registers of a generation, which is the birth of the write that
// made it. Only the stream that made a generation writes into its pages, so
// pages are never in conflict: who writes into a file whose pages are
// another's copies it into a generation of its own.
//
// Where each chunk begins is derived ('v''o').

const (
	// streamPage is the size of a page.
	streamPage = 4096
	// maxWhole bounds what one write may have to copy.
	maxWhole = 64 << 20
	// A stream file ends where positions of 31 bits do, a stream64 file at 512 GB.
	maxStream   = 1<<31 - 1
	maxStream64 = 512 << 30
)

func isStream(org int) bool { return org == call.OrgStream || org == call.OrgStream64 }

func (f *file) stream() bool { return isStream(f.org) }

// longest is where a stream file ends at the latest.
func (f *file) longest() int64 {
	if f.org == call.OrgStream64 {
		return maxStream64
	}
	return maxStream
}

// whole is what the register 'W' says.
type whole struct {
	generation []byte // a birth; its pages are what the file begins with
	length     int64  // of the pages
	folded     []foldedTo
}

// foldedTo says that the chunks of a stream up to a seq are in the pages.
type foldedTo struct {
	module, incarnation uint32
	seq                 uint64
}

func (w *whole) append(b []byte) []byte {
	b = append(b, 1)
	b = append(b, w.generation...)
	b = binary.BigEndian.AppendUint64(b, uint64(w.length))
	for _, x := range w.folded {
		b = binary.BigEndian.AppendUint32(b, x.module)
		b = binary.BigEndian.AppendUint32(b, x.incarnation)
		b = binary.BigEndian.AppendUint64(b, x.seq)
	}
	return b
}

// decodeWhole reads what append gives; w is empty for anything else.
func decodeWhole(b []byte) *whole {
	w := &whole{}
	const head = 1 + record.BirthSize + 8
	if len(b) < head || b[0] != 1 || (len(b)-head)%16 != 0 {
		return w
	}
	n := binary.BigEndian.Uint64(b[1+record.BirthSize:])
	if n > maxStream64 {
		return w
	}
	w.generation, w.length = slices.Clone(b[1:1+record.BirthSize]), int64(n)
	for b = b[head:]; len(b) > 0; b = b[16:] {
		w.folded = append(w.folded, foldedTo{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint64(b[8:])})
	}
	return w
}

// chunkOf is the stream and seq that made a chunk.
func chunkOf(addr []byte) foldedTo {
	return foldedTo{binary.BigEndian.Uint32(addr[9:]), binary.BigEndian.Uint32(addr[13:]), binary.BigEndian.Uint64(addr[17:])}
}

// has tells whether a chunk is in the pages.
func (w *whole) has(addr []byte) bool {
	c := chunkOf(addr)
	for _, x := range w.folded {
		if x.module == c.module && x.incarnation == c.incarnation {
			return c.seq <= x.seq
		}
	}
	return false
}

// fold notes that a chunk is in the pages from now on.
func (w *whole) fold(addr []byte) {
	c := chunkOf(addr)
	for i := range w.folded {
		if x := &w.folded[i]; x.module == c.module && x.incarnation == c.incarnation {
			x.seq = max(x.seq, c.seq)
			return
		}
	}
	w.folded = append(w.folded, c)
	slices.SortFunc(w.folded, func(a, b foldedTo) int {
		return slices.Compare([]uint32{a.module, a.incarnation}, []uint32{b.module, b.incarnation})
	})
}

var wholeAddress = []byte{record.KindWhole}

func appendPage(b, generation []byte, n int64) []byte {
	b = append(append(b, record.KindPage), generation...)
	return binary.BigEndian.AppendUint64(b, uint64(n))
}

// versions reads a register's set.
func versions(r pebble.Reader, f origin.FileID, addr []byte) ([]origin.Version, error) {
	v, closer, err := r.Get(appendRegisterKey(nil, f, addr))
	if err == pebble.ErrNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v = slices.Clone(v)
	closer.Close()
	set, err := record.DecodeSet(nil, v)
	if err != nil {
		return nil, fmt.Errorf("register %v %s: %w", f, record.String(addr), err)
	}
	return set, nil
}

// wholeOf is what a stream file begins with.
func wholeOf(r pebble.Reader, f *file) (*whole, error) {
	if f.version != nil {
		return f.version, nil
	}
	set, err := versions(r, f.id, wholeAddress)
	if v := visible(set); v != nil {
		return decodeWhole(v.Data), nil
	}
	return &whole{}, err
}

func appendOffsetKey(b []byte, f origin.FileID, n int64) []byte {
	return binary.BigEndian.AppendUint64(appendFileKey(b, keyOffset, f), uint64(n))
}

// offsets is an iterator over where a file's chunks begin, behind the pages.
func offsets(r pebble.Reader, f *file) (*pebble.Iterator, error) {
	prefix := appendFileKey(nil, keyOffset, f.id)
	return r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
}

// chunkAt reads where the chunk that an iterator stands at begins, and its
// length and address.
func chunkAt(it *pebble.Iterator) (from, n int64, addr []byte, err error) {
	v, err := it.ValueAndErr()
	if err != nil || len(v) < 4+1+record.BirthSize {
		return 0, 0, nil, err
	}
	return int64(binary.BigEndian.Uint64(it.Key()[filePrefix:])), int64(binary.BigEndian.Uint32(v)), v[4:], nil
}

// streamSize is how many bytes a file has, and how many of them are pages.
func streamSize(r pebble.Reader, f *file) (size int64, w *whole, err error) {
	if w, err = wholeOf(r, f); err != nil || f.version != nil {
		return w.length, w, err
	}
	it, err := offsets(r, f)
	if err != nil {
		return 0, w, err
	}
	defer it.Close()
	if !it.Last() {
		return w.length, w, it.Error()
	}
	from, n, _, err := chunkAt(it)
	return w.length + from + n, w, err
}

// readStream reads the bytes of a file from off on, as many as there are and
// go into buf.
func (e *Engine) readStream(r pebble.Reader, f *file, off int64, buf []byte) (int, error) {
	w, err := wholeOf(r, f)
	if err != nil {
		return 0, err
	}
	done := 0
	for off < w.length && done < len(buf) {
		page, at := off/streamPage, int(off%streamPage)
		set, err := versions(r, f.registers(), appendPage(nil, w.generation, page))
		if err != nil {
			return done, err
		}
		var data []byte
		if v := visible(set); v != nil {
			data = v.Data
		}
		// A page that a truncate took away below is zeros.
		n := int(min(streamPage-int64(at), w.length-off, int64(len(buf)-done)))
		into := buf[done : done+n]
		clear(into)
		if at < len(data) {
			copy(into, data[at:])
		}
		done += n
		off += int64(n)
	}
	if done == len(buf) || f.version != nil {
		return done, nil
	}
	it, err := offsets(r, f)
	if err != nil {
		return done, err
	}
	defer it.Close()
	for ok := it.SeekLT(appendOffsetKey(nil, f.id, off-w.length+1)); ok && done < len(buf); ok = it.Next() {
		from, n, addr, err := chunkAt(it)
		if err != nil {
			return done, err
		}
		at := off - w.length - from
		if at >= n {
			continue
		}
		set, err := versions(r, f.id, addr)
		if err != nil {
			return done, err
		}
		v := visible(set)
		if v == nil || int64(len(v.Data)) != n {
			return done, fmt.Errorf("read %s at %d: %w", f.rel, off, call.FileFormatError)
		}
		k := copy(buf[done:], v.Data[at:])
		done += k
		off += int64(k)
	}
	return done, it.Error()
}

// registers is the file whose registers have the bytes.
func (f *file) registers() origin.FileID {
	if f.version != nil {
		return f.of
	}
	return f.id
}

// deriveStream brings what is derived of a stream file in line with a register
// that changed.
func (t *tx) deriveStream(f *file, addr []byte, now *origin.Version) error {
	t.c.stats[f] = struct{}{}
	switch {
	case t.recount:
		return nil // at its end
	case isPlace(addr):
		w, err := wholeOf(t.r, f)
		if err != nil {
			return err
		}
		n := 0
		if now != nil && !w.has(addr) {
			n = len(now.Data)
		}
		if err := t.moveOffsets(f, addr, n); err != nil {
			return err
		}
	case addr[0] == record.KindWhole:
		if err := t.buildOffsets(f); err != nil {
			return err
		}
	}
	return t.measure(f)
}

// measure keeps the counts of a stream file: its bytes, and one record if there
// are any.
func (t *tx) measure(f *file) error {
	size, _, err := streamSize(t.r, f)
	if err != nil {
		return err
	}
	before := f.stat.records.Load()
	f.stat.bytes.Store(size)
	f.stat.records.Store(min(size, 1))
	if f.deleted && before != min(size, 1) {
		t.renameLater(f.share)
	}
	return nil
}

// moveOffsets gives a chunk of n bytes its place; 0: it has none any more. Those
// behind it move. Chunks come at the end, but for what other modules append
// meanwhile.
func (t *tx) moveOffsets(f *file, addr []byte, n int) error {
	it, err := offsets(t.r, f)
	if err != nil {
		return err
	}
	type chunk struct {
		addr []byte
		n    int64
	}
	var tail []chunk // from the end
	at := int64(0)
	for ok := it.Last(); ok; ok = it.Prev() {
		from, n, a, err := chunkAt(it)
		if err != nil {
			it.Close()
			return err
		}
		if string(a) < string(addr) {
			at = from + n
			break
		}
		if err := t.b.Delete(slices.Clone(it.Key()), nil); err != nil {
			it.Close()
			return err
		}
		if string(a) != string(addr) {
			tail = append(tail, chunk{slices.Clone(a), n})
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	if n > 0 {
		tail = append(tail, chunk{addr, int64(n)})
	}
	for i := len(tail) - 1; i >= 0; i-- {
		if err := t.b.Set(appendOffsetKey(nil, f.id, at), appendChunk(tail[i].addr, tail[i].n), nil); err != nil {
			return err
		}
		at += tail[i].n
	}
	return nil
}

func appendChunk(addr []byte, n int64) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(n)), addr...)
}

// eachChunk visits the chunks that follow the pages, in order, with where they
// begin.
func eachChunk(r pebble.Reader, f *file, w *whole, fn func(at int64, addr []byte, n int64) error) (end int64, err error) {
	prefix := append(appendFileKey(nil, keyRegister, f.id), record.KindBirth)
	err = scanPrefix(r, prefix, func(k, v []byte) error {
		set, err := record.DecodeSet(nil, v)
		if err != nil {
			return fmt.Errorf("register %v %s: %w", f.id, record.String(k[filePrefix:]), err)
		}
		vis, addr := visible(set), k[filePrefix:]
		if vis == nil || !isPlace(addr) || w.has(addr) || len(vis.Data) == 0 {
			return nil
		}
		at := end
		end += int64(len(vis.Data))
		return fn(at, addr, int64(len(vis.Data)))
	})
	return end, err
}

// buildOffsets works out anew where chunks begin.
func (t *tx) buildOffsets(f *file) error {
	prefix := appendFileKey(nil, keyOffset, f.id)
	if err := t.b.DeleteRange(prefix, after(prefix), nil); err != nil {
		return err
	}
	w, err := wholeOf(t.r, f)
	if err != nil {
		return err
	}
	_, err = eachChunk(t.r, f, w, func(at int64, addr []byte, n int64) error {
		return t.b.Set(appendOffsetKey(nil, f.id, at), appendChunk(addr, n), nil)
	})
	return err
}

// buildStream is buildOffsets for a file that was taken over.
func (i *Install) buildStream(f *file) error {
	b := i.e.db.NewBatch()
	defer func() { b.Close() }()
	w, err := wholeOf(i.e.db, f)
	if err != nil {
		return err
	}
	end, err := eachChunk(i.e.db, f, w, func(at int64, addr []byte, n int64) error {
		if err := b.Set(appendOffsetKey(nil, f.id, at), appendChunk(addr, n), nil); err != nil || b.Len() < 1<<20 {
			return err
		}
		err := b.Commit(pebble.NoSync)
		b.Close()
		b = i.e.db.NewBatch()
		return err
	})
	if err != nil {
		return err
	}
	f.stat.bytes.Store(w.length + end)
	f.stat.records.Store(min(w.length+end, 1))
	if err := f.stat.save(b, f.id); err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}

// addRegister adds a write of a file's register to the txn of a call on files.
func (t *tx) addRegister(f *file, addr, data []byte) error {
	if err := t.load(nil, f.id, addr, false); err != nil {
		return err
	}
	op := origin.Operation{Kind: origin.Write, File: f.id, Address: addr, Data: data, Life: 1 + greatestLife(t.standing)}
	if v := visible(t.standing); v != nil {
		op.Life, op.Birth = v.Life, v.Birth
	}
	op.Hidden = t.hidden(&change{}, nil)
	t.own.Ops = append(t.own.Ops, op)
	return nil
}

// overwrite writes data over what stands at off, or behind it; with cut the
// file ends at off. The whole file is the unit.
func (t *tx) overwrite(f *file, off int64, data []byte, cut bool) error {
	size, w, err := streamSize(t.r, f)
	if err != nil {
		return err
	}
	if off > size {
		return fmt.Errorf("write %s at %d of %d: %w", f.rel, off, size, call.EndOfFile)
	}
	end := max(size, off+int64(len(data)))
	if cut {
		end = off
	}
	if end > f.longest() {
		return fmt.Errorf("write %s up to %d: %w", f.rel, end, call.DiskFull)
	}
	// What must go into pages: what is written and, if they are not in pages of
	// this stream's yet, the chunks, or all.
	now := whole{generation: w.generation, length: end, folded: slices.Clone(w.folded)}
	from, to := off, off+int64(len(data))
	mine := len(w.generation) > 0 && binary.BigEndian.Uint32(w.generation[8:]) == uint32(t.own.Dot.Module) &&
		binary.BigEndian.Uint32(w.generation[12:]) == uint32(t.own.Dot.Incarnation)
	switch {
	case !mine:
		now.generation = record.AppendBirth(nil, origin.Birth{Stamp: t.own.Stamp, Dot: origin.OpDot{Dot: t.own.Dot}})
		from, to = 0, end
	case size > w.length:
		from, to = min(off, w.length), end
	}
	to = min(to, end)
	if to-from > maxWhole {
		return fmt.Errorf("write %s at %d: %d bytes would have to be copied, at most %d: %w", f.rel, off, to-from, maxWhole, call.TxnTooLarge)
	}
	if _, err := eachChunk(t.r, f, w, func(_ int64, addr []byte, _ int64) error { now.fold(addr); return nil }); err != nil {
		return err
	}
	for page := from / streamPage; page*streamPage < to; page++ {
		start := page * streamPage
		buf := make([]byte, min(streamPage, end-start))
		if _, err := t.e.readStream(t.r, f, start, buf); err != nil {
			return err
		}
		if a, b := max(start, off), min(start+int64(len(buf)), off+int64(len(data))); a < b {
			copy(buf[a-start:b-start], data[a-off:])
		}
		if err := t.addRegister(f, appendPage(nil, now.generation, page), buf); err != nil {
			return err
		}
	}
	if err := t.putAside(f, nil); err != nil {
		return err
	}
	return t.addRegister(f, wholeAddress, now.append(nil))
}

// putAside keeps what other modules wrote at the same time and is not shown,
// before a write of the whole file covers it; but for the one at address not.
func (t *tx) putAside(f *file, not []byte) error {
	set, err := versions(t.r, f.id, wholeAddress)
	if err != nil {
		return err
	}
	for i := range set {
		at := appendKept(nil, set[i].Dot)
		if i == 0 || set[i].Tombstone || sameVersion(&set[i], &set[0]) || string(at) == string(not) {
			continue
		}
		if err := t.addRegister(f, at, set[i].Data); err != nil {
			return err
		}
	}
	return nil
}

// dropKept deletes a kept version.
func (t *tx) dropKept(k *file) error {
	f := t.e.cat.file(k.of)
	if f == nil {
		return fmt.Errorf("delete %s: %w", k.shown, call.ObjectNotFound)
	}
	if err := t.load(nil, f.id, k.at, false); err != nil {
		return err
	}
	if v := visible(t.standing); v != nil {
		t.own.Ops = append(t.own.Ops, origin.Operation{Kind: origin.Delete, File: f.id, Address: k.at, Life: v.Life, Birth: v.Birth, Hidden: t.hidden(&change{}, nil)})
	}
	set, err := versions(t.r, f.id, wholeAddress)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(set, func(v origin.Version) bool { return string(appendKept(nil, v.Dot)) == string(k.at) }) || visible(set) == nil {
		return nil
	}
	if err := t.putAside(f, k.at); err != nil {
		return err
	}
	return t.addRegister(f, wholeAddress, set[0].Data)
}

// appendKept appends the address of a version that is kept.
func appendKept(b []byte, d origin.OpDot) []byte {
	return record.AppendBirth(append(b, record.KindKept), origin.Birth{Dot: d})
}

// kept is a version of a stream file that lost against another.
type kept struct {
	id origin.FileID // under which it is found
	w  *whole
	at []byte // its address, when a later write has put it aside
}

func keptID(f origin.FileID, addr []byte) origin.FileID {
	s := sha256.Sum256(append(append([]byte("kept"), f[:]...), addr...))
	return origin.FileID(s[:16])
}

// keptOf lists the versions of a stream file that are kept: those that stand
// beside the shown one, and those that a later write has put aside.
func keptOf(r pebble.Reader, f *file) ([]kept, error) {
	var l []kept
	set, err := versions(r, f.id, wholeAddress)
	if err != nil {
		return nil, err
	}
	add := func(addr, data []byte) {
		id := keptID(f.id, addr)
		if !slices.ContainsFunc(l, func(k kept) bool { return k.id == id }) {
			l = append(l, kept{id, decodeWhole(data), slices.Clone(addr)})
		}
	}
	for i := range set {
		if i > 0 && !set[i].Tombstone && !sameVersion(&set[i], &set[0]) {
			add(appendKept(nil, set[i].Dot), set[i].Data)
		}
	}
	prefix := append(appendFileKey(nil, keyRegister, f.id), record.KindKept)
	err = scanPrefix(r, prefix, func(k, v []byte) error {
		set, err := record.DecodeSet(nil, slices.Clone(v))
		if vis := visible(set); err == nil && vis != nil {
			add(k[filePrefix:], vis.Data)
		}
		return err
	})
	return l, err
}

// keptChanged makes the kept versions of a file known.
func (t *tx) keptChanged(f *file) error {
	l, err := keptOf(t.r, f)
	if err != nil {
		return err
	}
	t.e.cat.setKept(f.share, f.id, l)
	return nil
}

// setKept notes the kept versions of a stream file, each a file that can be
// read.
func (c *catalog) setKept(share string, id origin.FileID, l []kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.share(share)
	if len(l) == 0 && len(s.kept[id]) == 0 {
		return
	}
	f := c.files[id]
	if f == nil {
		return
	}
	for _, k := range s.kept[id] {
		delete(c.files, k.id)
	}
	s.kept[id] = l
	for _, k := range l {
		g := &file{id: k.id, of: id, version: k.w, at: k.at, share: share, org: f.org, birth: f.birth, life: f.life, stat: &fileStat{highest: -1}}
		g.stat.bytes.Store(k.w.length)
		g.stat.records.Store(min(k.w.length, 1))
		c.files[k.id] = g
	}
	c.rename(s)
}

// streamDigest is a digest of a stream file's bytes.
func (e *Engine) streamDigest(r pebble.Reader, f *file) (string, error) {
	h := sha256.New()
	err := e.eachPiece(r, f, func(b []byte) error { h.Write(b); return nil })
	return hex.EncodeToString(h.Sum(nil)), err
}

// eachPiece reads a stream file in pieces, which fn must not keep.
func (e *Engine) eachPiece(r pebble.Reader, f *file, fn func([]byte) error) error {
	buf := make([]byte, 32<<10)
	for off := int64(0); ; {
		n, err := e.readStream(r, f, off, buf)
		if err != nil || n == 0 {
			return err
		}
		if err := fn(buf[:n]); err != nil {
			return err
		}
		off += int64(n)
	}
}
