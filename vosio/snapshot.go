package vosio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/origin/journal"
	"drmesh/origin/mutant"
	"drmesh/vosio/record"
)

// A snapshot is what a joining module takes over: the registers of some shares
// with all their versions, and the account, as one moment of the database had
// them. Everything derived is built anew by the receiver.
//
// It travels as pages: runs of (key length, key, value length, value) with
// uvarint lengths, at most pageSize bytes unless one pair is larger.
const pageSize = 256 << 10

// ErrPage says that a snapshot page is damaged.
var ErrPage = errors.New("damaged snapshot page")

// AppendPair appends one pair to a page.
func AppendPair(b, k, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(k)))
	b = append(b, k...)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// Pairs visits the pairs of a page; keys and values borrow it.
func Pairs(page []byte, fn func(k, v []byte) error) error {
	take := func() ([]byte, bool) {
		n, w := binary.Uvarint(page)
		if w <= 0 || n > uint64(len(page)-w) {
			return nil, false
		}
		p := page[w : w+int(n)]
		page = page[w+int(n):]
		return p, true
	}
	for len(page) > 0 {
		k, ok := take()
		if !ok {
			return ErrPage
		}
		v, ok := take()
		if !ok {
			return ErrPage
		}
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

// Export gives the registers and accounts of shares as r has them, page by
// page. emit must not keep the page.
func Export(r pebble.Reader, shares []string, emit func(page []byte) error) error {
	var page []byte
	add := func(k, v []byte) error {
		if mutant.On(mutant.SnapshotNoTombs) && k[1] == keyRegister {
			if set, err := record.DecodeSet(nil, v); err == nil && visible(set) == nil {
				return nil
			}
		}
		page = AppendPair(page, k, v)
		if len(page) < pageSize {
			return nil
		}
		err := emit(page)
		page = page[:0]
		return err
	}
	for _, s := range shares {
		cat := record.CatalogID(s)
		prefix := appendFileKey(nil, keyRegister, cat)
		var files []origin.FileID
		err := scanPrefix(r, prefix, func(k, v []byte) error {
			if addr := k[len(prefix):]; len(addr) > 0 && addr[0] == record.KindClaim {
				if f, _, ok := record.CatalogFile(addr); ok {
					files = append(files, f)
				}
			}
			return add(k, v)
		})
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := scanPrefix(r, appendFileKey(nil, keyRegister, f), add); err != nil {
				return err
			}
		}
		err = scanPrefix(r, []byte{'v', keyAccount}, func(k, v []byte) error {
			if string(k[2+origin.StreamSize:]) != s {
				return nil
			}
			return add(k, v)
		})
		if err != nil {
			return err
		}
	}
	if len(page) > 0 {
		return emit(page)
	}
	return nil
}

// Install takes over a snapshot of a group's shares. What this module has
// applied beyond it, its own unsent txns before all, it keeps: Replay brings
// that into effect again, out of the journal. From BeginInstall until Finish
// has returned the committer takes no txn of the group, local or remote, and
// programs' calls on its files wait, as long as for a lock; after a crash before
// that it is begun again, with the journal as it was.
type Install struct {
	e      *Engine
	group  origin.Group
	shares []string
	n      int64
	sent   map[origin.FileID]int64 // of queues: the last numbers given here
}

// errInstalling says that a remote txn came while its group is taken over; it
// comes again.
var errInstalling = errors.New("the group's state is being taken over")

// BeginInstall closes a group to writers, empties its shares and gets ready to
// take pages. prepare is told what of the group's streams stands here, which
// changes no more, and may add to the batch that empties; its error leaves all
// as it was, and the group open.
func (e *Engine) BeginInstall(group origin.Group, shares []string, prepare func(have origin.Vector, b *pebble.Batch) error) (*Install, error) {
	sent := map[origin.FileID]int64{}
	err := e.adminSync(func(t *tx) error {
		e.cat.mu.RLock()
		for id, f := range e.cat.files {
			if f.stat.queue != nil && slices.Contains(shares, f.share) {
				sent[id] = f.stat.queue.sent()
			}
		}
		e.cat.mu.RUnlock()
		have := origin.Vector{}
		for s, p := range e.j.Tails() {
			if s.Group == group {
				have[s] = p
			}
		}
		if prepare != nil {
			if err := prepare(have, t.b); err != nil {
				return err
			}
		}
		for _, s := range shares {
			if err := t.empty(s); err != nil {
				return err
			}
		}
		t.c.installing[group] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Install{e: e, group: group, shares: shares, sent: sent}, nil
}

// empty takes all of a share away: registers, what is derived, the account.
func (t *tx) empty(share string) error {
	e := t.e
	cat := record.CatalogID(share)
	prefix := appendFileKey(nil, keyRegister, cat)
	var files []origin.FileID
	err := scanPrefix(e.db, prefix, func(k, _ []byte) error {
		if f, _, ok := record.CatalogFile(k[len(prefix):]); ok {
			files = append(files, f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range append(files, cat) {
		for _, kind := range []byte{keyRegister, keyIndex, keyPhysical, keyWithheld, keyParked, keyCounts, keyNumber, keyHole, keyKeys, keyOffset} {
			p := appendFileKey(nil, kind, f)
			if err := t.b.DeleteRange(p, after(p), nil); err != nil {
				return err
			}
		}
	}
	e.acct.mu.Lock()
	for k := range e.acct.sums {
		if k.share == share {
			delete(e.acct.sums, k)
			delete(e.acct.dirty, k)
		}
	}
	e.acct.mu.Unlock()
	err = scanPrefix(e.db, []byte{'v', keyAccount}, func(k, _ []byte) error {
		if string(k[2+origin.StreamSize:]) != share {
			return nil
		}
		return t.b.Delete(slices.Clone(k), nil)
	})
	if err != nil {
		return err
	}
	e.cat.mu.Lock()
	defer e.cat.mu.Unlock()
	for id, f := range e.cat.files {
		if f.share == share {
			delete(e.cat.files, id)
		}
	}
	delete(e.cat.shares, share)
	e.cat.share(share)
	e.cat.taking[share] = true
	e.cat.some.Store(true)
	return nil
}

// taken ends what empty began: calls find the shares again.
func (c *catalog) taken(shares []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range shares {
		delete(c.taking, s)
	}
	c.some.Store(len(c.taking) > 0 || c.partial)
}

// setPartial notes whether the rules have shares that are not whole.
func (c *catalog) setPartial(r Rules) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partial = slices.ContainsFunc(r.Shares(), func(s *Share) bool { return s.Partial })
	c.some.Store(len(c.taking) > 0 || c.partial)
}

// isTaken reports whether what stands here of a share is not whole: a snapshot
// is being put into it, or is still to come.
func (e *Engine) isTaken(share string) bool {
	if share == "" {
		return false
	}
	if s := e.table().Share(share); s != nil && s.Partial {
		return true
	}
	e.cat.mu.RLock()
	defer e.cat.mu.RUnlock()
	return e.cat.taking[share]
}

// Put takes one page in. Keys outside of what Export gives are refused.
func (i *Install) Put(page []byte) error {
	defer i.e.epoch.Add(1)
	b := i.e.db.NewBatch()
	defer b.Close()
	err := Pairs(page, func(k, v []byte) error {
		if len(k) < filePrefix && !(len(k) > 2+origin.StreamSize && k[1] == keyAccount) || k[0] != 'v' || k[1] != keyRegister && k[1] != keyAccount {
			return fmt.Errorf("%w: key %x", ErrPage, k)
		}
		if k[1] == keyRegister {
			set, err := record.DecodeSet(nil, v)
			if err != nil {
				return err
			}
			if len(set) == 1 && set[0].Tombstone {
				// It is to go when it has settled, here as at the donor.
				f, addr := origin.FileID(k[2:filePrefix]), k[filePrefix:]
				if err := b.Set(appendTombstoneKey(nil, set[0].Stamp, f, addr), nil, nil); err != nil {
					return err
				}
			}
		}
		i.n++
		return b.Set(k, v, nil)
	})
	if err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}

// Build makes what is derived of the pages. It follows the last of them.
func (i *Install) Build() error {
	defer i.e.epoch.Add(1)
	e := i.e
	for _, s := range i.shares {
		tmp := newCatalog()
		if err := tmp.load(e.db, []string{s}); err != nil {
			return err
		}
		for _, f := range tmp.files {
			if f.share == s {
				if err := i.build(f); err != nil {
					return err
				}
			}
		}
		tmp.renameShare(s)
		e.cat.mu.Lock()
		e.cat.shares[s] = tmp.shares[s]
		if len(tmp.shares[s].links) > 0 {
			e.cat.linked.Store(true)
		}
		e.cat.byID[record.CatalogID(s)] = s
		for id, f := range tmp.files {
			if f.share == s {
				if f.stat.queue != nil {
					f.stat.queue.last = i.sent[id]
				}
				e.cat.files[id] = f
			}
		}
		e.cat.mu.Unlock()
	}
	return e.adminSync(func(t *tx) error {
		acct, err := loadAccount(e.db)
		if err != nil {
			return err
		}
		e.acct.mu.Lock()
		for k, s := range acct.sums {
			// What was parked at the donor is parked here only if this module
			// has a reason of its own.
			if slices.Contains(i.shares, k.share) {
				s.Counts[Live] += s.Counts[Parked]
				s.Counts[Parked] = 0
				e.acct.sums[k] = s
				e.acct.dirty[k] = s
			}
		}
		e.acct.mu.Unlock()
		return t.parkTaken(i.shares)
	})
}

// parkTaken parks the records of shares that an index of this module alone
// refuses.
func (t *tx) parkTaken(shares []string) error {
	var files []*file
	t.e.cat.mu.RLock()
	for _, f := range t.e.cat.files {
		if slices.Contains(shares, f.share) && slices.ContainsFunc(f.indexes, func(x *index) bool { return x.Local && !x.Duplicates }) {
			files = append(files, f)
		}
	}
	t.e.cat.mu.RUnlock()
	for _, f := range files {
		err := eachRecord(t.e.db, f.id, func(addr []byte, v *origin.Version) error {
			reason, err := t.refused(f, addr, v)
			if err != nil || reason == "" {
				return err
			}
			return t.park(f, addr, v, reason)
		})
		if err != nil {
			return err
		}
		t.c.stats[f] = struct{}{}
	}
	return nil
}

// Replay brings into effect what this module had applied beyond the snapshot,
// and holds in its journal: the txns of each stream after the snapshot's
// position, in the order in which they took effect here before. from has the
// snapshot's positions, contexts the contexts of its streams there; have is
// what BeginInstall told.
//
// Sets, ledger and account become those of a module that had the snapshot's
// vector and then received these txns, so they are those of both vectors
// together.
func (i *Install) Replay(have origin.Vector, from origin.Vector, contexts map[origin.Stream]origin.Context) error {
	type run struct {
		s     origin.Stream
		first origin.Seq
		count int
	}
	var runs []run
	err := i.e.j.Local(0, func(_ uint64, s origin.Stream, first origin.Seq, count int) bool {
		low, high := from[s].Seq+1, have[s].Seq
		if s.Group != i.group || first+origin.Seq(count) <= low || first > high {
			return true
		}
		last := min(first+origin.Seq(count)-1, high)
		first = max(first, low)
		runs = append(runs, run{s, first, int(last-first) + 1})
		return true
	})
	if err != nil {
		return err
	}
	at := map[origin.Stream]origin.Seq{}
	full := map[origin.Stream]origin.Context{}
	one := func(t *tx, d origin.Dot) (int, error) {
		if at[d.Stream] == 0 {
			at[d.Stream] = from[d.Stream].Seq
		}
		if d.Seq != at[d.Stream]+1 {
			return 0, fmt.Errorf("take up %v again: after %d: %w", d, at[d.Stream], journal.ErrDamaged)
		}
		at[d.Stream] = d.Seq
		e, ok, err := i.e.j.Get(d)
		if err == nil && !ok {
			err = journal.ErrPruned
		}
		if err != nil {
			return 0, fmt.Errorf("take up %v again: %w", d, err)
		}
		txn := new(origin.Txn)
		if err := entry.Decode(e.Bytes, d, txn); err != nil {
			return 0, fmt.Errorf("take up %v again: %w", d, err)
		}
		c := full[d.Stream]
		if c == nil {
			if c = contexts[d.Stream].Clone(); c == nil {
				c = origin.Context{}
			}
			full[d.Stream] = c
		}
		c.Advance(txn.Context)
		return len(e.Bytes), t.restage(txn, c)
	}
	for len(runs) > 0 {
		err := i.e.adminSync(func(t *tx) error {
			for n, size := 0, 0; len(runs) > 0 && n < batchRequests && size < batchBytes; n++ {
				r := &runs[0]
				k, err := one(t, origin.Dot{Stream: r.s, Seq: r.first})
				if err != nil {
					return err
				}
				size += k
				if r.first, r.count = r.first+1, r.count-1; r.count == 0 {
					runs = runs[1:]
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for s, p := range have {
		if p.Seq > from[s].Seq && at[s] != p.Seq {
			return fmt.Errorf("take up %v again: the journal ends at %d of %d: %w", s, at[s], p.Seq, journal.ErrPruned)
		}
	}
	return nil
}

// restage brings the operations of a txn into effect whose entry is in the
// journal already.
func (t *tx) restage(txn *origin.Txn, full origin.Context) error {
	t.txn, t.ctx = txn, full
	t.arena = t.arena[:0]
	for k := range txn.Ops {
		if err := t.stageOp(k, false); err != nil {
			return err
		}
	}
	err := t.settleDerived()
	t.recheck = t.recheck[:0]
	return err
}

// Finish writes, in one last durable batch, whatever seal adds: the positions
// of the streams that the snapshot holds. After it the group is open, and what
// is written next names those positions.
func (i *Install) Finish(seal func(b *pebble.Batch) error) error {
	defer i.e.epoch.Add(1)
	return i.e.adminSync(func(t *tx) error {
		if err := seal(t.b); err != nil {
			return err
		}
		t.c.recount()
		delete(t.c.installing, i.group)
		i.e.cat.taken(i.shares)
		return nil
	})
}

// adminSync runs a write of the engine's own and returns when it is durable.
func (e *Engine) adminSync(fn func(t *tx) error) error {
	r := &request{admin: fn, done: make(chan error, 1)}
	if e.cfg.Inline {
		return e.submitInline(r)
	}
	select {
	case e.queue <- r:
	case <-e.closed:
		return ErrClosed
	}
	select {
	case err := <-r.done:
		return err
	case <-e.closed:
		return ErrClosed
	}
}

// build makes index entries, physical order and counts of a file from its
// registers, in batches.
func (i *Install) build(f *file) error {
	defer i.e.epoch.Add(1)
	switch {
	case f.version != nil:
		return nil
	case f.stream():
		return i.buildStream(f)
	}
	b := i.e.db.NewBatch()
	defer func() { b.Close() }()
	st := f.stat
	st.records.Store(0)
	st.bytes.Store(0)
	st.foreign.Store(0)
	st.withheld.Store(0)
	st.parked.Store(0)
	st.highest = -1
	t := tx{e: i.e}
	err := eachRecord(i.e.db, f.id, func(addr []byte, v *origin.Version) error {
		st.records.Add(1)
		st.bytes.Add(int64(len(v.Data)))
		t.foreign(f, addr, v.Data, 1)
		for _, x := range f.indexes {
			t.keys[0] = x.AppendKeyOf(t.keys[0][:0], v.Data)
			if x.IsNull(t.keys[0]) {
				continue
			}
			t.key = appendEntryKey(t.key[:0], keyIndex, f.id, x.number, t.keys[0], v.Birth, addr)
			if err := b.Set(t.key, nil, nil); err != nil {
				return err
			}
		}
		if f.hasOrder() {
			t.key = appendPhysicalKey(t.key[:0], f.id, v.Birth, addr)
			if err := b.Set(t.key, nil, nil); err != nil {
				return err
			}
		}
		if b.Len() > 1<<20 {
			if err := b.Commit(pebble.NoSync); err != nil {
				return err
			}
			b.Close()
			b = i.e.db.NewBatch()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	b.Close()
	b = i.e.db.NewBatch()
	if f.records != nil && f.identity == nil {
		if err := i.number(f); err != nil {
			return err
		}
	}
	if err := i.buildEntries(f); err != nil {
		return err
	}
	// Later claims of a value stand withheld.
	for _, x := range f.all() {
		if x.Kind != "" && !x.given() {
			continue
		}
		if x.Duplicates || x.Local {
			continue
		}
		prefix := append(appendFileKey(nil, keyIndex, f.id), x.number[:]...)
		var last []byte
		err := scanPrefix(i.e.db, prefix, func(k, _ []byte) error {
			key := k[len(prefix):]
			key = key[:x.keyEnd(key)]
			if last != nil && slices.Equal(last, key) {
				st.withheld.Add(1)
				return b.Set(append([]byte{'v', keyWithheld}, k[2:]...), nil, nil)
			}
			last = append(last[:0], key...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := st.save(b, f.id); err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}

// number makes the record numbers of a sequential file from its registers.
func (i *Install) number(f *file) error {
	defer i.e.epoch.Add(1)
	b := i.e.db.NewBatch()
	defer func() { b.Close() }()
	n := uint64(0)
	err := eachPlace(i.e.db, f, func(addr []byte) error {
		n++
		if err := b.Set(appendNumberKey(nil, f.id, n), addr, nil); err != nil || b.Len() < 1<<20 {
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
	return b.Commit(pebble.NoSync)
}

// buildEntries makes the orders of separate-key and item indexes. The records
// stand in physical order.
func (i *Install) buildEntries(f *file) error {
	defer i.e.epoch.Add(1)
	if !slices.ContainsFunc(f.others, (*index).given) {
		return nil
	}
	b := i.e.db.NewBatch()
	defer func() { b.Close() }()
	err := eachVisible(i.e.db, f.id, func(addr []byte, v *origin.Version) error {
		x := f.entryIndex(addr, v)
		if x == nil {
			return nil
		}
		if _, _, of, ok := record.Entry(addr); ok && addr[0] == record.KindEntry {
			if err := b.Set(append(appendKeysKey(nil, f.id, of), addr...), nil, nil); err != nil {
				return err
			}
		}
		k, err := entryKey(i.e.db, f, x, addr, v.Birth)
		if err != nil {
			return err
		}
		if k != nil {
			if err := b.Set(k, nil, nil); err != nil {
				return err
			}
		}
		if b.Len() < 1<<20 {
			return nil
		}
		err = b.Commit(pebble.NoSync)
		b.Close()
		b = i.e.db.NewBatch()
		return err
	})
	if err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}
