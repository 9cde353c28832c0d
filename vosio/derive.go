package vosio

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/record"
)

// derive brings index entries, physical order, counts and parking in line with
// a register whose visible version changed from old to now; either may be nil.
func (t *tx) derive(f *file, addr []byte, old, now *origin.Version) error {
	t.c.stats[f] = struct{}{} // also where another version than the visible one came or went
	if old != nil && now != nil && old.Dot == now.Dot || old == nil && now == nil {
		return nil
	}
	if f.stream() {
		return t.deriveStream(f, addr, now)
	}
	if !isRecord(addr) {
		if isEntry(addr) {
			return t.deriveEntry(f, addr, old, now)
		}
		return nil
	}
	wasParked := false
	if old != nil && f.stat.parked.Load() > 0 {
		var err error
		if wasParked, err = t.e.isParked(t.r, f.id, addr); err != nil {
			return err
		}
	}
	sameBirth := old != nil && now != nil && old.Birth == now.Birth
	for _, ix := range f.indexes {
		var oldKey, newKey []byte
		if old != nil {
			t.keys[0] = ix.AppendKeyOf(t.keys[0][:0], old.Data)
			oldKey = t.keys[0]
		}
		if now != nil {
			t.keys[1] = ix.AppendKeyOf(t.keys[1][:0], now.Data)
			newKey = t.keys[1]
		}
		if sameBirth && string(oldKey) == string(newKey) {
			continue
		}
		if old != nil && !ix.IsNull(oldKey) {
			t.key = appendEntryKey(t.key[:0], keyIndex, f.id, ix.number, oldKey, old.Birth, addr)
			if err := t.b.Delete(t.key, nil); err != nil {
				return err
			}
			t.claimChanged(f, ix, oldKey)
			if ix.Local {
				t.loose = true
			}
		}
		if now != nil && !ix.IsNull(newKey) {
			t.key = appendEntryKey(t.key[:0], keyIndex, f.id, ix.number, newKey, now.Birth, addr)
			if err := t.setLater(t.key); err != nil {
				return err
			}
			if f.stat.queue != nil {
				f.stat.queue.arrives(t.key[filePrefix+4:])
			}
			t.claimChanged(f, ix, newKey)
		}
	}
	if f.hasOrder() && !sameBirth {
		if old != nil && f.separate {
			if err := t.enterKeys(f, old.Birth, addr, false); err != nil {
				return err
			}
		}
		if old != nil {
			t.key = appendPhysicalKey(t.key[:0], f.id, old.Birth, addr)
			if err := t.b.Delete(t.key, nil); err != nil {
				return err
			}
		}
		if now != nil {
			t.key = appendPhysicalKey(t.key[:0], f.id, now.Birth, addr)
			if err := t.setLater(t.key); err != nil {
				return err
			}
			if f.separate {
				if err := t.enterKeys(f, now.Birth, addr, true); err != nil {
					return err
				}
			}
		}
	}
	if err := t.count(f, addr, old, now, wasParked); err != nil {
		return err
	}
	return nil
}

// setLater writes a key without value, in a shared batch at its end.
func (t *tx) setLater(key []byte) error {
	if t.b.Indexed() {
		return t.b.Set(key, nil, nil)
	}
	t.c.late.add(key)
	return nil
}

// lateKeys are the derived keys of a shared batch, which nobody reads through
// it. Written in order they cost less: each is looked for from the place of
// the one before.
type lateKeys struct {
	buf  []byte
	keys []lateKey
}

type lateKey struct{ from, to int }

func (l *lateKeys) add(key []byte) {
	from := len(l.buf)
	l.buf = append(l.buf, key...)
	l.keys = append(l.keys, lateKey{from, len(l.buf)})
}

func (l *lateKeys) write(b *pebble.Batch) error {
	slices.SortFunc(l.keys, func(x, y lateKey) int { return bytes.Compare(l.buf[x.from:x.to], l.buf[y.from:y.to]) })
	for _, k := range l.keys {
		if err := b.Set(l.buf[k.from:k.to], nil, nil); err != nil {
			return err
		}
	}
	l.buf, l.keys = l.buf[:0], l.keys[:0]
	return nil
}

// count keeps the counts of a file, and parks a record that an index of this
// module alone refuses.
func (t *tx) count(f *file, addr []byte, old, now *origin.Version, wasParked bool) error {
	st := f.stat
	before := st.records.Load()
	if old != nil {
		if wasParked {
			if err := t.unpark(f, addr, old.Dot.Stream); err != nil {
				return err
			}
		}
		st.records.Add(-1)
		st.bytes.Add(-int64(len(old.Data)))
		t.foreign(f, addr, old.Data, -1)
	}
	if now != nil {
		st.records.Add(1)
		st.bytes.Add(int64(len(now.Data)))
		t.foreign(f, addr, now.Data, 1)
		if reason, err := t.refused(f, addr, now); err != nil {
			return err
		} else if reason != "" {
			if err := t.park(f, addr, now, reason); err != nil {
				return err
			}
		}
	}
	if n, ok := record.Number(addr); ok && st.highest >= 0 {
		switch {
		case now != nil:
			st.highest = max(st.highest, int64(n))
		case int64(n) == st.highest:
			st.highest = -1
		}
	}
	if f.deleted && (before == 0) != (st.records.Load() == 0) {
		t.renameLater(f.share)
	}
	return nil
}

func (t *tx) foreign(f *file, addr, data []byte, d int64) {
	if f.identity == nil {
		return
	}
	if key, ok := f.identityKey(addr); ok {
		t.keys[0] = f.identity.AppendKeyOf(t.keys[0][:0], data)
		if bytes.Equal(key, t.keys[0]) {
			return
		}
	}
	f.stat.foreign.Add(d)
}

// identityKey is the key of an address by the identity key; ok is false of any
// other.
func (f *file) identityKey(addr []byte) (key []byte, ok bool) {
	if len(addr) > 5 && addr[0] == record.KindKey && [4]byte(addr[1:5]) == f.identity.number {
		return addr[5:], true
	}
	return nil, false
}

func (t *tx) renameLater(share string) {
	if t.renames == nil {
		t.renames = map[string]struct{}{}
	}
	t.renames[share] = struct{}{}
}

// claimChanged notes that the claims of a value changed. In a file whose
// records are changed by point reads alone there is nothing to work out.
func (t *tx) claimChanged(f *file, ix *index, key []byte) {
	if ix.Duplicates || ix.Local || f.plain() {
		return
	}
	t.recheck = append(t.recheck, claimKey{f, ix, string(key)})
}

// settleDerived works out, after the whole txn, who holds the values that it
// claimed, which parked records may show, and which names changed.
func (t *tx) settleDerived() error {
	for _, k := range t.recheck {
		if err := t.settleClaim(k); err != nil {
			return err
		}
	}
	for s := range t.renames {
		t.e.cat.renameShare(s)
	}
	clear(t.renames)
	if t.loose {
		t.loose = false
		for f := range t.c.stats {
			if f.stat.parked.Load() > 0 {
				if err := t.retryParked(f); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// settleClaim marks all entries of a value but the first as withheld: the
// entry belongs to the record of least birth.
func (t *tx) settleClaim(k claimKey) error {
	tail := append(append([]byte(nil), k.ix.number[:]...), k.key...)
	marks := append(appendFileKey(nil, keyWithheld, k.f.id), tail...)
	entries := append(appendFileKey(nil, keyIndex, k.f.id), tail...)
	stale := map[string]bool{}
	err := scanPrefix(t.r, marks, func(m, _ []byte) error {
		stale[string(m[len(marks):])] = true
		return nil
	})
	if err != nil {
		return err
	}
	first := true
	var add []string
	err = scanPrefix(t.r, entries, func(x, _ []byte) error {
		rest := string(x[len(entries):])
		if first {
			first = false
		} else if stale[rest] {
			delete(stale, rest)
		} else {
			add = append(add, rest)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, rest := range add {
		if err := t.b.Set(append(slices.Clone(marks), rest...), nil, nil); err != nil {
			return err
		}
		k.f.stat.withheld.Add(1)
	}
	gone := make([]string, 0, len(stale))
	for rest := range stale {
		gone = append(gone, rest)
	}
	slices.Sort(gone)
	for _, rest := range gone {
		if err := t.b.Delete(append(slices.Clone(marks), rest...), nil); err != nil {
			return err
		}
		k.f.stat.withheld.Add(-1)
	}
	if len(add)+len(gone) > 0 {
		t.c.stats[k.f] = struct{}{}
	}
	return nil
}

// truncate removes from every register of a file what the operation's writer
// had seen. What it had not seen survives.
func (t *tx) truncate(f *file, share string, op *origin.Operation, by origin.OpDot, local bool) error {
	covers := t.covers(op, local)
	prefix := appendFileKey(nil, keyRegister, op.File)
	type reg struct {
		addr []byte
		set  []origin.Version
	}
	it, err := t.r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	t.recount = f != nil && (f.records != nil || f.stream())
	defer func() { t.recount = false }()
	// One register at a time, and no more in memory than a page of them.
	var page []reg
	flush := func() error {
		for _, r := range page {
			t.standing = append(t.standing[:0], r.set...)
			if err := t.put(f, share, false, r.addr, nil, by, covers); err != nil {
				return err
			}
		}
		page = page[:0]
		return nil
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			it.Close()
			return err
		}
		set, err := record.DecodeSet(nil, slices.Clone(v))
		if err != nil {
			it.Close()
			return err
		}
		hit := false
		for i := range set {
			hit = hit || covers(set[i].Dot)
		}
		if !hit {
			continue
		}
		page = append(page, reg{slices.Clone(it.Key()[len(prefix):]), set})
		if len(page) == 1024 {
			if err := flush(); err != nil {
				it.Close()
				return err
			}
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	if f != nil {
		f.stat.highest, f.stat.lowest = -1, 0
	}
	if err := flush(); err != nil || !t.recount {
		return err
	}
	if f.stream() {
		if err := t.buildOffsets(f); err != nil {
			return err
		}
		t.c.stats[f] = struct{}{}
		return t.measure(f)
	}
	return t.buildPlaces(f, f.records)
}

// catalogChanged takes a catalog register that changed into memory, and builds
// or drops the index that came or went.
func (t *tx) catalogChanged(share string, addr []byte, next []origin.Version) error {
	set := make([]origin.Version, len(next))
	for i, v := range next {
		v.Data = slices.Clone(v.Data)
		set[i] = v
	}
	before, now := t.e.cat.set(share, addr, set)
	if now == nil {
		return nil
	}
	t.c.stats[now] = struct{}{}
	if addr[0] != record.KindIndex {
		return nil
	}
	if now.separate && (before == nil || !before.hasOrder()) {
		if err := t.buildPhysical(now); err != nil {
			return err
		}
	}
	for _, x := range now.all() {
		was := (*index)(nil)
		if before != nil {
			was = before.index(x.Name)
		}
		if was == nil || !slices.Equal(was.Components, x.Components) || was.Kind != x.Kind || was.Collation != x.Collation || was.NullKeys != x.NullKeys ||
			was.Duplicates != x.Duplicates || was.Local != x.Local || // who holds a value, where two modules made it differently
			was.birth != x.birth && x.Kind != "" {
			if err := t.buildIndex(now, x); err != nil {
				return err
			}
		}
	}
	if before != nil {
		for _, x := range before.all() {
			if y := now.index(x.Name); y == nil || y.Kind != x.Kind {
				if err := t.dropEntries(now, x); err != nil {
					return err
				}
			}
		}
	}
	if now.identity != nil && (before == nil || !sameKeys(before.identity, now.identity)) {
		return t.buildPhysical(now)
	}
	return nil
}

// sameKeys reports whether two indexes, or none, give a record the same key
// under the same name.
func sameKeys(a, b *index) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Name == b.Name && slices.Equal(a.Components, b.Components) && a.Collation == b.Collation
}

// eachVisible visits the visible versions of a file's registers.
func eachVisible(r pebble.Reader, f origin.FileID, fn func(addr []byte, v *origin.Version) error) error {
	prefix := appendFileKey(nil, keyRegister, f)
	var set []origin.Version
	return scanPrefix(r, prefix, func(k, v []byte) error {
		var err error
		if set, err = record.DecodeSet(set[:0], v); err != nil {
			return fmt.Errorf("register %v %s: %w", f, record.String(k[len(prefix):]), err)
		}
		if vis := visible(set); vis != nil {
			return fn(k[len(prefix):], vis)
		}
		return nil
	})
}

// eachRecord is eachVisible for the records of a file.
func eachRecord(r pebble.Reader, f origin.FileID, fn func(addr []byte, v *origin.Version) error) error {
	return eachVisible(r, f, func(addr []byte, v *origin.Version) error {
		if !isRecord(addr) {
			return nil
		}
		return fn(addr, v)
	})
}

// hasOrder tells whether the physical order of a file is kept beside its
// registers, by birth.
func (f *file) hasOrder() bool { return f.identity != nil || f.separate }

func (t *tx) buildIndex(f *file, x *index) error {
	if x.Kind == record.IndexRecord || x.Kind == record.IndexDeleted {
		return t.buildPlaces(f, x)
	}
	if err := t.dropEntries(f, x); err != nil {
		return err
	}
	if x.given() {
		return t.buildEntries(f, x)
	}
	last := ""
	err := eachRecord(t.r, f.id, func(addr []byte, v *origin.Version) error {
		key := x.AppendKeyOf(nil, v.Data)
		if x.IsNull(key) {
			return nil
		}
		if !x.Duplicates && !x.Local && string(key) != last {
			last = string(key)
			t.recheck = append(t.recheck, claimKey{f, x, last})
		}
		return t.b.Set(appendEntryKey(nil, keyIndex, f.id, x.number, key, v.Birth, addr), nil, nil)
	})
	return err
}

// dropEntries removes all entries of an index, and their withheld marks.
func (t *tx) dropEntries(f *file, x *index) error {
	if x.Kind == record.IndexRecord || x.Kind == record.IndexDeleted {
		return t.dropPlaces(f, x)
	}
	marks := append(appendFileKey(nil, keyWithheld, f.id), x.number[:]...)
	n := int64(0)
	if err := scanPrefix(t.r, marks, func(_, _ []byte) error { n++; return nil }); err != nil {
		return err
	}
	f.stat.withheld.Add(-n)
	entries := append(appendFileKey(nil, keyIndex, f.id), x.number[:]...)
	if err := t.b.DeleteRange(marks, after(marks), nil); err != nil {
		return err
	}
	return t.b.DeleteRange(entries, after(entries), nil)
}

func (t *tx) buildPhysical(f *file) error {
	prefix := appendFileKey(nil, keyPhysical, f.id)
	if err := t.b.DeleteRange(prefix, after(prefix), nil); err != nil {
		return err
	}
	f.stat.foreign.Store(0)
	return eachRecord(t.r, f.id, func(addr []byte, v *origin.Version) error {
		t.foreign(f, addr, v.Data, 1)
		return t.b.Set(appendPhysicalKey(nil, f.id, v.Birth, addr), nil, nil)
	})
}

// parked is the stored form of a parked register.
type parked struct {
	Reason string       `json:"reason"`
	Dot    origin.OpDot `json:"dot"`
	Share  string       `json:"share"`
}

func (e *Engine) isParked(r pebble.Reader, f origin.FileID, addr []byte) (bool, error) {
	_, closer, err := r.Get(append(appendFileKey(nil, keyParked, f), addr...))
	if err == pebble.ErrNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, closer.Close()
}

// refused says why this module cannot show a record; ” if it can.
func (t *tx) refused(f *file, addr []byte, v *origin.Version) (string, error) {
	for _, x := range f.indexes {
		if !x.Local || x.Duplicates {
			continue
		}
		key := x.AppendKeyOf(nil, v.Data)
		if x.IsNull(key) {
			continue
		}
		prefix := append(append(appendFileKey(nil, keyIndex, f.id), x.number[:]...), key...)
		reason := ""
		err := scanPrefix(t.r, prefix, func(k, _ []byte) error {
			a := k[len(prefix)+record.BirthSize:]
			if string(a) == string(addr) {
				return nil
			}
			if p, err := t.e.isParked(t.r, f.id, a); err != nil || p {
				return err
			}
			reason = fmt.Sprintf("index %s of this module alone has the key %q already", x.Name, key)
			return nil
		})
		if err != nil || reason != "" {
			return reason, err
		}
	}
	return "", nil
}

func (t *tx) park(f *file, addr []byte, v *origin.Version, reason string) error {
	b, err := json.Marshal(parked{reason, v.Dot, f.share})
	if err != nil {
		return err
	}
	f.stat.parked.Add(1)
	t.e.acct.add(f.share, Count{v.Dot.Stream, Live, -1})
	t.e.acct.add(f.share, Count{v.Dot.Stream, Parked, 1})
	return t.b.Set(append(appendFileKey(nil, keyParked, f.id), addr...), b, nil)
}

func (t *tx) unpark(f *file, addr []byte, s origin.Stream) error {
	f.stat.parked.Add(-1)
	t.e.acct.add(f.share, Count{s, Parked, -1})
	t.e.acct.add(f.share, Count{s, Live, 1})
	return t.b.Delete(append(appendFileKey(nil, keyParked, f.id), addr...), nil)
}

// retryParked evaluates the parked records of a file again.
func (t *tx) retryParked(f *file) error {
	if g := t.e.cat.file(f.id); g != nil {
		f = g
	}
	prefix := appendFileKey(nil, keyParked, f.id)
	var addrs [][]byte
	var marks []parked
	err := scanPrefix(t.r, prefix, func(k, v []byte) error {
		var p parked
		if err := json.Unmarshal(v, &p); err != nil {
			return err
		}
		addrs, marks = append(addrs, slices.Clone(k[len(prefix):])), append(marks, p)
		return nil
	})
	if err != nil {
		return err
	}
	for i, addr := range addrs {
		if err := t.load(f, f.id, addr, false); err != nil {
			return err
		}
		v := visible(t.standing)
		if v == nil {
			continue
		}
		switch reason, err := t.refused(f, addr, v); {
		case err != nil:
			return err
		case reason == "":
			if err := t.unpark(f, addr, v.Dot.Stream); err != nil {
				return err
			}
		case reason != marks[i].Reason:
			if err := t.parkedFor(f, addr, marks[i], reason); err != nil {
				return err
			}
		}
	}
	return nil
}

// ParkedRegister is a version whose effect cannot be shown at this module.
type ParkedRegister struct {
	Share, Path string
	File        origin.FileID
	Address     []byte
	Dot         origin.OpDot
	Reason      string
}

// ParkedList lists what is parked here: records, then files without a place.
func (e *Engine) ParkedList() ([]ParkedRegister, error) {
	var l []ParkedRegister
	prefix := []byte{'v', keyParked}
	err := scanPrefix(e.db, prefix, func(k, v []byte) error {
		var p parked
		if err := json.Unmarshal(v, &p); err != nil {
			return err
		}
		r := ParkedRegister{Share: p.Share, File: origin.FileID(k[2:filePrefix]), Address: slices.Clone(k[filePrefix:]), Dot: p.Dot, Reason: p.Reason}
		if f := e.cat.file(r.File); f != nil {
			r.Path = f.rel
		}
		l = append(l, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.cat.mu.RLock()
	defer e.cat.mu.RUnlock()
	var files []ParkedRegister
	for name, s := range e.cat.shares {
		for id, reason := range s.parked {
			f := e.cat.files[id]
			files = append(files, ParkedRegister{Share: name, Path: f.rel, File: id, Dot: f.birth.Dot, Reason: reason,
				Address: record.CatalogAddress(record.KindClaim, id, "")})
		}
	}
	slices.SortFunc(files, func(a, b ParkedRegister) int { return slices.Compare(a.File[:], b.File[:]) })
	return append(l, files...), nil
}

// WithheldEntry is an index entry that an older record's claim keeps back.
type WithheldEntry struct {
	Share, Path, Index string
	Key, Address       []byte
	Birth              origin.Birth
}

// WithheldList lists the withheld entries, alike at all modules that hold the
// same registers.
func (e *Engine) WithheldList() ([]WithheldEntry, error) {
	var l []WithheldEntry
	prefix := []byte{'v', keyWithheld}
	err := scanPrefix(e.db, prefix, func(k, _ []byte) error {
		f := e.cat.file(origin.FileID(k[2:filePrefix]))
		if f == nil {
			return nil
		}
		for _, x := range f.all() {
			if x.number == [4]byte(k[filePrefix:filePrefix+4]) {
				at := filePrefix + 4 + x.keyEnd(k[filePrefix+4:])
				w := WithheldEntry{f.share, f.rel, x.Name, x.shown(k[filePrefix+4 : at]), slices.Clone(k[at+record.BirthSize:]), origin.Birth{}}
				if x.Kind == record.IndexItem {
					w.Address = record.AppendItem(nil, x.number, w.Key, int32(binary.BigEndian.Uint32(w.Address)))
				}
				l = append(l, w)
			}
		}
		return nil
	})
	return l, err
}
