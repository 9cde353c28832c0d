package vosio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// The calls by path, below their e$ dress: each is one txn through the
// committer. Locks that other programs hold are the caller's to check.

// Attributes of a file, registers of its catalog.
const (
	attrTransaction = "transaction"
	attrImplicit    = "implicit_locking"
	attrLayout      = "layout"
	attrSafety      = "safety_switch"   // "1": no delete, no truncate
	attrExpires     = "expiration_date" // seconds since 1980; no delete before
	attrRegions     = "enforce_region_locks"
	attrAllocation  = "allocation" // blocks; kept, and nothing is set aside
)

// commit makes record changes, all or none, as durable as their shares ask.
func (e *Engine) commit(ctx context.Context, process string, chs []change) ([]committed, error) {
	return e.commitIf(ctx, process, chs, nil)
}

// commitIf is commit on the condition that what a transaction read still
// stands; e$tp_aborted otherwise.
func (e *Engine) commitIf(ctx context.Context, process string, chs []change, expect []expectation) ([]committed, error) {
	if len(chs) == 0 {
		return nil, nil
	}
	r := &request{process: process, changes: chs, expect: expect}
	if err := e.submit(ctx, r); err != nil {
		return nil, err
	}
	return r.out, nil
}

// forbid refuses writes that the tables do not allow the program.
func (e *Engine) forbid(p *place, process string) error {
	if p.share != nil && !e.table().MayWrite(p.share, p.rel, process) {
		return fmt.Errorf("program %s, file %s: no include record names it: %w", process, p.full, call.NoAccess)
	}
	return nil
}

// on runs a call on files in the committer, in the txn of a path's share.
func (e *Engine) on(ctx context.Context, process, full string, build func(t *tx, p *place) error) error {
	return e.submit(ctx, &request{process: process, build: func(t *tx) error {
		p := e.resolve(full)
		if err := e.forbid(p, process); err != nil {
			return err
		}
		if err := t.start(p.share); err != nil {
			return err
		}
		return build(t, p)
	}})
}

// addCatalog adds a write of a catalog register to the txn.
func (t *tx) addCatalog(share string, addr []byte, value any) error {
	data, ok := value.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(value); err != nil {
			return err
		}
	}
	id := record.CatalogID(share)
	if err := t.load(nil, id, addr, false); err != nil {
		return err
	}
	op := origin.Operation{Kind: origin.Write, File: id, Address: addr, Data: data, Life: 1 + greatestLife(t.standing)}
	if v := visible(t.standing); v != nil {
		op.Life, op.Birth = v.Life, v.Birth
	}
	op.Hidden = t.hidden(&change{}, nil)
	t.own.Ops = append(t.own.Ops, op)
	return nil
}

// addRemoval adds the removal of a catalog register that stands.
func (t *tx) addRemoval(share string, addr []byte) error {
	id := record.CatalogID(share)
	if err := t.load(nil, id, addr, false); err != nil {
		return err
	}
	v := visible(t.standing)
	if v == nil {
		return fmt.Errorf("remove %s: %w", record.String(addr), call.ObjectNotFound)
	}
	t.own.Ops = append(t.own.Ops, origin.Operation{Kind: origin.Delete, File: id, Address: addr, Life: v.Life, Birth: v.Birth, Hidden: t.hidden(&change{}, nil)})
	return nil
}

// addTruncate adds a truncate of a file to the txn. It names the losers that
// stand in the file, for nobody was shown them.
func (t *tx) addTruncate(f *file) error {
	op := origin.Operation{Kind: origin.Truncate, File: f.id}
	err := scanPrefix(t.r, appendFileKey(nil, keyRegister, f.id), func(_, v []byte) error {
		set, err := record.DecodeSet(t.standing[:0], v)
		if err != nil {
			return err
		}
		if t.standing = set; len(set) > 1 && len(op.Hidden) < maxHidden {
			op.Hidden = append(op.Hidden, t.hidden(&change{}, nil)...)
		}
		return nil
	})
	op.Hidden = op.Hidden[:min(len(op.Hidden), maxHidden)]
	t.own.Ops = append(t.own.Ops, op)
	return err
}

// maxHidden is how many losers an operation names; for more, modules go by
// what stands there when it comes.
const maxHidden = 4096

// createFile makes an empty file.
func (e *Engine) createFile(ctx context.Context, process, full string, org, size int) (*file, error) {
	var id origin.FileID
	err := e.on(ctx, process, full, func(t *tx, p *place) error {
		if e.cat.occupied(p.name, p.rel) {
			return fmt.Errorf("create %s: %w", full, call.FileExists)
		}
		if err := t.needParent(p); err != nil {
			return fmt.Errorf("create %s: %w", full, err)
		}
		life := e.cat.nextLife(p.name, p.rel)
		id = record.NewFileID(p.name, p.rel, life, org, size)
		return t.addCatalog(p.name, record.CatalogAddress(record.KindClaim, id, ""), claim{Path: p.rel, Life: life, Org: org, Size: size})
	})
	if err != nil {
		return nil, err
	}
	return e.cat.file(id), nil
}

func (e *Engine) here(p *place) (*file, error) {
	if f := e.cat.lookup(p.name, p.rel); f != nil {
		if f.version != nil {
			return nil, fmt.Errorf("change %s, a version that is kept: %w", p.full, call.NoAccess)
		}
		return f, nil
	}
	return nil, fmt.Errorf("find %s: %w", p.full, call.ObjectNotFound)
}

// deleteFile removes a file with its records. What other modules write to it
// meanwhile survives, under a computed name.
func (e *Engine) deleteFile(ctx context.Context, process, full string) error {
	return e.on(ctx, process, full, func(t *tx, p *place) error {
		if k := e.cat.lookup(p.name, p.rel); k != nil && k.version != nil {
			return t.dropKept(k)
		}
		f, err := e.here(p)
		if err != nil {
			return err
		}
		if err := f.mayBeEmptied(); err != nil {
			return fmt.Errorf("delete %s: %w", full, err)
		}
		if until := f.expires(); until.After(t.own.Stamp.Time()) {
			return fmt.Errorf("delete %s before %s: %w", full, until.Format(time.DateTime), call.FileNotExpired)
		}
		e.cat.mu.RLock()
		cl := e.cat.shares[p.name].claims[f.id]
		e.cat.mu.RUnlock()
		if !cl.Deleted {
			cl.Deleted = true
			if err := t.addCatalog(p.name, record.CatalogAddress(record.KindClaim, f.id, ""), cl); err != nil {
				return err
			}
		}
		return t.addTruncate(f)
	})
}

// truncateFile removes all records of a file.
func (e *Engine) truncateFile(ctx context.Context, process, full string) error {
	return e.on(ctx, process, full, func(t *tx, p *place) error {
		f, err := e.here(p)
		if err != nil {
			return err
		}
		if err := f.mayBeEmptied(); err != nil {
			return fmt.Errorf("truncate %s: %w", full, err)
		}
		if isQueue(f.org) {
			return fmt.Errorf("truncate %s, a queue: %w", full, call.InvalidFileType)
		}
		return t.addTruncate(f)
	})
}

// renameFile gives a file another name in its directory.
func (e *Engine) renameFile(ctx context.Context, process, full, to string) error {
	return e.on(ctx, process, full, func(t *tx, p *place) error {
		f, err := e.here(p)
		if err != nil {
			return err
		}
		q := e.resolve(to)
		if q.name != p.name || parent(full) != parent(to) {
			return fmt.Errorf("rename %s to %s: %w", full, to, call.DifferentDirectory)
		}
		if e.cat.occupied(q.name, q.rel) {
			return fmt.Errorf("rename %s to %s: %w", full, to, call.FileExists)
		}
		return t.addCatalog(p.name, record.CatalogAddress(record.KindName, f.id, ""), nameRecord{Path: q.rel, Life: e.cat.nextLife(q.name, q.rel)})
	})
}

// createIndex defines an index and builds it over the present records. A value
// that two records share is returned, and no index made.
func (e *Engine) createIndex(ctx context.Context, process, full string, def record.Index) (duplicate []byte, err error) {
	return e.createIndexOn(ctx, process, full, def, origin.Birth{}, e.here)
}

// createIndexOn is createIndex on the file that find gives for the path. birth,
// if it is not zero, is that of the index it is a copy of.
func (e *Engine) createIndexOn(ctx context.Context, process, full string, def record.Index, birth origin.Birth, find func(*place) (*file, error)) (duplicate []byte, err error) {
	if err := def.Check(); err != nil {
		return nil, fmt.Errorf("create_index %s: %w: %v", full, call.KeyTooLong, err)
	}
	build := func(t *tx, p *place) error {
		f, err := find(p)
		if err != nil {
			return err
		}
		if isQueue(f.org) {
			return fmt.Errorf("create_index %s, a queue: %w", full, call.InvalidFileType)
		}
		if f.isPipe() {
			return fmt.Errorf("create_index %s: %w", full, call.InvalidPipeOperation)
		}
		if f.index(def.Name) != nil {
			return fmt.Errorf("create_index %s %s: %w", full, def.Name, call.IndexExists)
		}
		if err := f.takesIndex(&def); err != nil {
			return fmt.Errorf("create_index %s %s: %w", full, def.Name, err)
		}
		if len(f.indexes)+len(f.others) >= 32 {
			return fmt.Errorf("create_index %s %s: %w", full, def.Name, call.TooManyIndexes)
		}
		empty := true
		keys := map[string]struct{}{}
		err = eachRecord(t.r, f.id, func(_ []byte, v *origin.Version) error {
			empty = false
			if def.Duplicates || def.Kind != "" {
				return nil
			}
			k := string(def.AppendKeyOf(nil, v.Data))
			if def.IsNull([]byte(k)) {
				return nil
			}
			if _, ok := keys[k]; ok {
				duplicate = []byte(k)
				return fmt.Errorf("create_index %s %s: key %q twice: %w", full, def.Name, k, call.InvalidDuplicateKey)
			}
			keys[k] = struct{}{}
			return nil
		})
		if err != nil {
			return err
		}
		def.Empty = empty && def.Kind == "" && f.records == nil && f.holes == nil
		if def.Local {
			return t.addLocalIndex(f, def)
		}
		err = t.addCatalog(p.name, record.CatalogAddress(record.KindIndex, f.id, def.Name), def)
		if err == nil && !birth.IsZero() {
			t.own.Ops[len(t.own.Ops)-1].Birth = birth
		}
		return err
	}
	if !def.Local {
		return duplicate, e.on(ctx, process, full, build)
	}
	err = e.submit(ctx, &request{admin: func(t *tx) error { return build(t, e.resolve(full)) }})
	return duplicate, err
}

// deleteIndex removes an index. Not that which identifies the file's records:
// where they are kept follows from it.
func (e *Engine) deleteIndex(ctx context.Context, process, full, name string) error {
	if f, err := e.here(e.resolve(full)); err == nil && f.index(name) != nil && f.index(name).Local {
		return e.DropLocalIndex(ctx, full, name)
	}
	return e.on(ctx, process, full, func(t *tx, p *place) error {
		f, err := e.here(p)
		if err != nil {
			return err
		}
		x := f.index(name)
		if isQueue(f.org) {
			return fmt.Errorf("delete_index %s, a queue: %w", full, call.InvalidFileType)
		}
		switch {
		case x == nil:
			return fmt.Errorf("delete_index %s %s: %w", full, name, call.IndexNotFound)
		case x == f.identity:
			return fmt.Errorf("delete_index %s %s: the file's records are addressed by it; copy them to a file without: %w", full, name, call.InvalidIndexType)
		}
		return t.addRemoval(p.name, record.CatalogAddress(record.KindIndex, f.id, name))
	})
}

// addLocalIndex makes an index of this module alone.
func (t *tx) addLocalIndex(f *file, def record.Index) error {
	b, err := json.Marshal(def)
	if err != nil {
		return err
	}
	if err := t.b.Set(append(appendFileKey(nil, keyLocal, f.id), def.Name...), b, nil); err != nil {
		return err
	}
	now := t.e.cat.setLocalIndex(f.id, &def)
	t.c.stats[now] = struct{}{}
	return t.buildIndex(now, now.index(def.Name))
}

// DropLocalIndex removes an index of this module alone; what it had refused is
// shown.
func (e *Engine) DropLocalIndex(ctx context.Context, full, name string) error {
	return e.submit(ctx, &request{admin: func(t *tx) error {
		f, err := e.here(e.resolve(full))
		if err != nil {
			return err
		}
		x := f.index(name)
		if x == nil || !x.Local {
			return fmt.Errorf("delete_index %s %s: %w", full, name, call.IndexNotFound)
		}
		if err := t.b.Delete(append(appendFileKey(nil, keyLocal, f.id), name...), nil); err != nil {
			return err
		}
		if err := t.dropEntries(f, x); err != nil {
			return err
		}
		now := e.cat.dropLocalIndex(f.id, name)
		t.c.stats[now] = struct{}{}
		return t.retryParked(now)
	}})
}

// setAttribute sets an attribute of a file; an empty value removes it.
func (e *Engine) setAttribute(ctx context.Context, process, full, name, value string) error {
	return e.on(ctx, process, full, func(t *tx, p *place) error {
		f, err := e.here(p)
		if err != nil {
			return err
		}
		return t.addCatalog(p.name, record.CatalogAddress(record.KindAttribute, f.id, name), []byte(value))
	})
}

// createDir makes a directory; its parent must stand.
func (e *Engine) createDir(ctx context.Context, process, full string) error {
	return e.on(ctx, process, full, func(t *tx, p *place) error {
		if p.rel == "" || e.cat.occupied(p.name, p.rel) {
			return fmt.Errorf("create_dir %s: %w", full, call.FileExists)
		}
		if err := t.needParent(p); err != nil {
			return fmt.Errorf("create_dir %s: %w", full, err)
		}
		return t.addCatalog(p.name, record.DirectoryAddress(p.rel), []byte("{}"))
	})
}

// needParent sees to it that the directory stands in which something is made.
// What a share's tables exclude lies in directories of the share, and yet is
// this module's own: there the module gets directories of its own, too.
// Where a share has files in any directory below its own, a directory that no
// include names is the module's own, until a file of the share is made in it:
// with that the share gets it.
func (t *tx) needParent(p *place) error {
	e, dir := t.e, parent(p.rel)
	if e.cat.dirExists(p.name, dir) {
		return nil
	}
	if p.share == nil && e.isSharedDir(dir) {
		parts := strings.Split(dir, ">")
		for i := 2; i <= len(parts); i++ {
			if d := strings.Join(parts[:i], ">"); !e.cat.isDir("", d) {
				if err := t.addCatalog("", record.DirectoryAddress(d), []byte("{}")); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if p.share != nil && e.cat.isDir("", parent(p.full)) {
		parts := strings.Split(dir, ">")
		for i := range parts {
			if d := strings.Join(parts[:i+1], ">"); !e.cat.isDir(p.name, d) {
				if err := t.addCatalog(p.name, record.DirectoryAddress(d), []byte("{}")); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return fmt.Errorf("no directory %s: %w", parent(p.full), call.ObjectNotFound)
}

// isSharedDir reports whether a full path is that of a directory in a share.
func (e *Engine) isSharedDir(full string) bool {
	for _, s := range e.table().Shares() {
		if rel, ok := strings.CutPrefix(full, s.Root+">"); ok && e.cat.isDir(s.Name, rel) {
			return true
		}
	}
	return false
}

func (c *catalog) isDir(share, rel string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.shares[share]
	return s != nil && s.dirs[rel] && !s.removed[rel]
}

// MakeDirs makes a full path and what leads to it, as directories of this
// module alone: the root of a share.
func (e *Engine) MakeDirs(ctx context.Context, full string) error {
	parts := strings.Split(full, ">")
	return e.submit(ctx, &request{process: "drmesh", build: func(t *tx) error {
		if err := t.start(nil); err != nil {
			return err
		}
		for i := 2; i <= len(parts); i++ {
			d := strings.Join(parts[:i], ">")
			if !e.cat.isDir("", d) {
				if err := t.addCatalog("", record.DirectoryAddress(d), []byte("{}")); err != nil {
					return err
				}
			}
		}
		return nil
	}})
}

// RemoveDirHere takes a directory of a share away at this module alone: files
// in it are parked until RestoreDirHere.
func (e *Engine) RemoveDirHere(ctx context.Context, full string) error {
	return e.markDir(ctx, full, true)
}

// RestoreDirHere brings back a directory that RemoveDirHere took away.
func (e *Engine) RestoreDirHere(ctx context.Context, full string) error {
	return e.markDir(ctx, full, false)
}

func (e *Engine) markDir(ctx context.Context, full string, gone bool) error {
	return e.submit(ctx, &request{admin: func(t *tx) error {
		p := e.resolve(full)
		e.cat.mu.RLock()
		s := e.cat.shares[p.name]
		known := s != nil && s.dirs[p.rel] && s.removed[p.rel] != gone
		e.cat.mu.RUnlock()
		if !known {
			return fmt.Errorf("find directory %s: %w", full, call.ObjectNotFound)
		}
		key := append(appendFileKey(nil, keyLocal, record.CatalogID(p.name)), p.rel...)
		e.cat.mu.Lock()
		defer e.cat.mu.Unlock()
		if gone {
			s.removed[p.rel] = true
		} else {
			delete(s.removed, p.rel)
		}
		e.cat.rename(s)
		if gone {
			return t.b.Set(key, nil, nil)
		}
		return t.b.Delete(key, nil)
	}})
}

// Apply applies a txn of another module; entry is its bytes as they came. The
// caller has passed it through the causal gate and calls in that order. It
// returns when the txn is sequenced and its effect can be read; what is durable
// the journal says. ErrDuplicate: it was applied already.
func (e *Engine) Apply(ctx context.Context, txn *origin.Txn, entry []byte, carry bool) error {
	return e.submit(ctx, &request{remote: &remoteTxn{txn, entry, carry}})
}

// ApplyLater is Apply without waiting: txns take effect in the order of the
// calls. It blocks while the committer's queue is full. failed is called by
// the committer when the txn could not be applied, ErrDuplicate included. The
// txn and its bytes belong to the engine from here on.
func (e *Engine) ApplyLater(ctx context.Context, txn *origin.Txn, entry []byte, carry bool, failed func(error)) error {
	r := &request{remote: &remoteTxn{txn, entry, carry}, failed: failed}
	if e.cfg.Inline {
		if err := e.submitInline(r); err != nil {
			return err
		}
		return nil
	}
	select {
	case e.queue <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closed:
		return ErrClosed
	}
}

// Floor gives a stamp at or below which the stream, which is our own, never
// stamps again, and where the stream stood when it was taken.
func (e *Engine) Floor(ctx context.Context, s origin.Stream) (floor origin.Stamp, at origin.Seq, err error) {
	err = e.submit(ctx, &request{look: func() {
		floor, at = e.cfg.Clock.Next(), e.j.Tail(s).Seq
	}})
	return floor, at, err
}

// Barrier waits until what the write path had taken up has its place.
func (e *Engine) Barrier(ctx context.Context) error {
	return e.submit(ctx, &request{look: func() {}})
}

var errStop = errors.New("stop")

// DropTombstones removes up to limit tombstones that settled allows, oldest
// first: nothing concurrent with them can still come.
func (e *Engine) DropTombstones(ctx context.Context, settled func(origin.Dot) bool, limit int) (dropped int, err error) {
	// Mostly there is none, and nothing to flush for.
	some := false
	if err := scanPrefix(e.db, []byte{'v', keyTombstone}, func(_, _ []byte) error { some = true; return errStop }); err != nil && err != errStop {
		return 0, err
	}
	if !some {
		return 0, nil
	}
	err = e.submit(ctx, &request{admin: func(t *tx) error {
		if len(t.c.installing) > 0 {
			return nil // registers and account are not of one moment
		}
		prefix := []byte{'v', keyTombstone}
		var keys [][]byte
		err := scanPrefix(t.r, prefix, func(k, _ []byte) error {
			if len(keys) < limit {
				keys = append(keys, slices.Clone(k))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, k := range keys {
			f, addr := origin.FileID(k[10:26]), k[26:]
			if err := t.load(nil, f, addr, false); err != nil {
				return err
			}
			if len(t.standing) == 1 && t.standing[0].Tombstone {
				v := t.standing[0]
				if !settled(v.Dot.Dot) {
					continue
				}
				if fl := e.cat.file(f); fl != nil && fl.keepsTombstone(addr, &v) {
					if err := t.b.Delete(k, nil); err != nil { // until its index goes
						return err
					}
					continue
				}
				share, ok := e.cat.catalogShare(f)
				if fl := e.cat.file(f); fl != nil {
					share, ok = fl.share, true
				}
				if ok {
					e.acct.add(share, Count{v.Dot.Stream, Live, -1})
					e.acct.add(share, Count{v.Dot.Stream, Deleted, 1})
				}
				if err := t.b.Delete(appendRegisterKey(nil, f, addr), nil); err != nil {
					return err
				}
				dropped++
			}
			if err := t.b.Delete(k, nil); err != nil {
				return err
			}
		}
		return nil
	}})
	return dropped, err
}

var _ pebble.Reader = (*pebble.Batch)(nil)
