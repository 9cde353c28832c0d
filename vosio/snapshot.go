package vosio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
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

// Install takes over a snapshot of shares that this module holds nothing of.
// Until Finish returns, nobody may write the shares and no txn of theirs may
// be applied; after a crash before that it is begun again.
type Install struct {
	e      *Engine
	shares []string
	n      int64
}

// BeginInstall empties the shares and gets ready to take pages.
func (e *Engine) BeginInstall(shares []string) (*Install, error) {
	i := &Install{e: e, shares: shares}
	b := e.db.NewBatch()
	defer b.Close()
	for _, s := range shares {
		cat := record.CatalogID(s)
		prefix := appendFileKey(nil, keyRegister, cat)
		var files []origin.FileID
		err := scanPrefix(e.db, prefix, func(k, _ []byte) error {
			if f, _, ok := record.CatalogFile(k[len(prefix):]); ok {
				files = append(files, f)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, f := range append(files, cat) {
			for _, kind := range []byte{keyRegister, keyIndex, keyPhysical, keyWithheld, keyParked, keyCounts} {
				p := appendFileKey(nil, kind, f)
				if err := b.DeleteRange(p, after(p), nil); err != nil {
					return nil, err
				}
			}
		}
		e.cat.mu.Lock()
		for id, f := range e.cat.files {
			if f.share == s {
				delete(e.cat.files, id)
			}
		}
		delete(e.cat.shares, s)
		e.cat.share(s)
		e.cat.mu.Unlock()
	}
	return i, b.Commit(pebble.NoSync)
}

// Put takes one page in. Keys outside of what Export gives are refused.
func (i *Install) Put(page []byte) error {
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

// Finish builds what is derived and, in one last durable batch, whatever seal
// adds: the positions of the streams that the snapshot holds. After it the
// shares are open.
func (i *Install) Finish(seal func(b *pebble.Batch) error) error {
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
		e.cat.byID[record.CatalogID(s)] = s
		for id, f := range tmp.files {
			if f.share == s {
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
			// has a reason of its own, which build found out.
			if slices.Contains(i.shares, k.share) {
				s.Counts[Live] += s.Counts[Parked]
				s.Counts[Parked] = 0
				e.acct.sums[k] = s
				e.acct.dirty[k] = s
			}
		}
		e.acct.mu.Unlock()
		if err := seal(t.b); err != nil {
			return err
		}
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
	err := eachVisible(i.e.db, f.id, func(addr []byte, v *origin.Version) error {
		st.records.Add(1)
		st.bytes.Add(int64(len(v.Data)))
		t.foreign(f, addr, 1)
		for _, x := range f.indexes {
			t.keys[0] = x.AppendKeyOf(t.keys[0][:0], v.Data)
			t.key = appendEntryKey(t.key[:0], keyIndex, f.id, x.number, t.keys[0], v.Birth, addr)
			if err := b.Set(t.key, nil, nil); err != nil {
				return err
			}
		}
		if f.identity != nil {
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
	// Later claims of a value stand withheld.
	for _, x := range f.indexes {
		if x.Duplicates || x.Local {
			continue
		}
		prefix := append(appendFileKey(nil, keyIndex, f.id), x.number[:]...)
		var last []byte
		err := scanPrefix(i.e.db, prefix, func(k, _ []byte) error {
			key := k[len(prefix):][:x.keyLen]
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

// Resume tells the committer that positions changed under it: a snapshot was
// installed.
func (e *Engine) Resume() error {
	return e.adminSync(func(t *tx) error { t.c.recount(); return nil })
}
