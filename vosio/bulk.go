package vosio

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// Bulk work fills a file that has no name yet in many txns, and names it in
// the last: nobody finds half of it, here or elsewhere.

// fillRun is how many records of a bulk fill go into one txn.
const fillRun = 500

// twin makes an empty, nameless file in the share of path to, with the
// organization and indexes of src.
func (e *Engine) twin(ctx context.Context, process string, src *file, to string) (*file, error) {
	var id origin.FileID
	err := e.on(ctx, process, to, func(t *tx, p *place) error {
		if !e.cat.dirExists(p.name, parent(p.rel)) {
			return fmt.Errorf("create %s: no directory %s: %w", to, parent(to), call.ObjectNotFound)
		}
		// The stamp makes the id one of its own.
		id = record.NewFileID(p.name, fmt.Sprintf("\x00%d.%d", t.own.Stamp, t.own.Dot.Module), 1, src.org, src.size)
		return t.addCatalog(p.name, record.CatalogAddress(record.KindClaim, id, ""), claim{Life: 1, Org: src.org, Size: src.size})
	})
	if err != nil {
		return nil, err
	}
	find := func(*place) (*file, error) { return e.cat.file(id), nil }
	// Those of places first: beside them no index becomes the identity key.
	for _, ix := range append(slices.Clip(src.others), src.indexes...) {
		if ix.Local || ix.Name == deliveryIndex && isQueue(src.org) {
			continue
		}
		var birth origin.Birth
		if ix.given() {
			birth = ix.birth // its entries keep theirs, and so their order
		}
		if _, err := e.createIndexOn(ctx, process, to, ix.Index, birth, find); err != nil {
			return nil, err
		}
	}
	return e.cat.file(id), nil
}

// copyAttributes gives a nameless file the attributes of another that takes
// allows.
func (e *Engine) copyAttributes(ctx context.Context, process string, src *file, id origin.FileID, to string, takes func(name string) bool) error {
	for _, name := range slices.Sorted(maps.Keys(src.attributes)) {
		v := src.attributes[name]
		if v == "" || name == attrEvent || !takes(name) {
			continue
		}
		err := e.on(ctx, process, to, func(t *tx, p *place) error {
			return t.addCatalog(p.name, record.CatalogAddress(record.KindAttribute, id, name), []byte(v))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fill copies the records of src as they stand at one moment.
func (e *Engine) fill(ctx context.Context, process string, src, dst *file) error {
	snap := e.db.NewSnapshot()
	defer snap.Close()
	if src.stream() {
		return e.eachPiece(snap, src, func(b []byte) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			_, err := e.commit(ctx, process, []change{{file: dst, kind: insert, data: slices.Clone(b)}})
			return err
		})
	}
	s, err := e.scan(snap, src, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	var chs []change
	var births []origin.Birth // of what chs copies
	copied := func(addr []byte, v *origin.Version) change {
		return change{file: dst, kind: insert, addr: addr, birth: v.Birth} // duplicates keep their order
	}
	commit := func(chs []change) ([]committed, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return e.commit(ctx, process, chs)
	}
	flush := func() error {
		out, err := commit(chs)
		if err != nil {
			return err
		}
		chs = nil
		for i := range out {
			if !src.separate {
				break
			}
			err := eachKey(snap, src, births[i], func(addr []byte, v *origin.Version) error {
				if src.entryIndex(addr, v) == nil {
					return nil
				}
				number, key, _, _ := record.Entry(addr)
				chs = append(chs, copied(record.AppendEntry(nil, number, key, out[i].birth), v))
				if len(chs) < fillRun {
					return nil
				}
				_, err := commit(chs)
				chs = nil
				return err
			})
			if err != nil {
				return err
			}
		}
		_, err = commit(chs)
		chs, births = nil, births[:0]
		return err
	}
	for ok := s.First(); ok; ok = s.Next() {
		ch := change{file: dst, kind: insert, data: s.record().data}
		if src.numbered() {
			ch.addr = s.record().addr
		}
		births = append(births, s.record().birth)
		if chs = append(chs, ch); len(chs) == fillRun {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	if !slices.ContainsFunc(src.others, func(x *index) bool { return x.Kind == record.IndexItem }) {
		return nil
	}
	err = eachVisible(snap, src.id, func(addr []byte, v *origin.Version) error {
		if addr[0] != record.KindItem || src.entryIndex(addr, v) == nil {
			return nil
		}
		if chs = append(chs, copied(slices.Clone(addr), v)); len(chs) < fillRun {
			return nil
		}
		_, err := commit(chs)
		chs = nil
		return err
	})
	if err == nil {
		_, err = commit(chs)
	}
	return err
}

// nameFile gives a nameless file its name.
func (e *Engine) nameFile(ctx context.Context, process string, id origin.FileID, full string) error {
	return e.on(ctx, process, full, func(t *tx, p *place) error {
		if e.cat.occupied(p.name, p.rel) {
			return fmt.Errorf("name %s: %w", full, call.FileExists)
		}
		return t.addCatalog(p.name, record.CatalogAddress(record.KindName, id, ""), nameRecord{Path: p.rel, Life: e.cat.nextLife(p.name, p.rel)})
	})
}

// Covered lists the files of this module alone that lie where a share is now,
// and cannot be reached by their paths any more.
func (e *Engine) Covered(share string) []FileInfo {
	e.cat.mu.RLock()
	var l []*file
	for _, id := range e.cat.shares[""].byName {
		l = append(l, e.cat.files[id])
	}
	e.cat.mu.RUnlock()
	var out []FileInfo
	for _, f := range l {
		if s, _ := e.table().Locate(f.shown); s != nil && s.Name == share {
			out = append(out, e.info(f))
		}
	}
	slices.SortFunc(out, func(a, b FileInfo) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// Brought is what became of a covered file.
type Brought uint8

const (
	Published Brought = iota // it is the share's now
	Adopted                  // the share had the same already
	Aside                    // the share's says otherwise: ours is at another path
)

// Bring makes a covered file its share's: it is adopted where the share has
// the same, set aside in the directory aside where the share has another, and
// else published. at is where it is found now.
func (e *Engine) Bring(ctx context.Context, process string, id origin.FileID, aside string) (how Brought, at string, err error) {
	f := e.cat.file(id)
	if f == nil || f.share != "" || f.shown == "" {
		return 0, "", fmt.Errorf("bring file %v into its share: %w", id, call.ObjectNotFound)
	}
	same, exists, err := e.sameContent(id)
	switch {
	case err != nil:
		return 0, "", err
	case exists && same:
		return Adopted, f.shown, e.dropCovered(ctx, process, id)
	case exists:
		at, err := e.setAside(ctx, process, id, aside)
		return Aside, at, err
	}
	// Directories that stood here alone become the share's first.
	if s, _ := e.table().Locate(f.shown); s != nil {
		for i := len(s.Root) + 1; i < len(f.shown); i++ {
			if f.shown[i] != '>' {
				continue
			}
			if err := e.createDir(ctx, process, f.shown[:i]); err != nil && call.CodeOf(err) != call.FileExists {
				return 0, "", err
			}
		}
	}
	return Published, f.shown, e.publishFile(ctx, process, id)
}

// publishFile makes a covered file one of its share, by ordinary txns; the
// module's own is gone afterwards.
func (e *Engine) publishFile(ctx context.Context, process string, id origin.FileID) error {
	f := e.cat.file(id)
	if f == nil || f.share != "" || f.shown == "" {
		return fmt.Errorf("publish file %v: %w", id, call.ObjectNotFound)
	}
	dst, err := e.twin(ctx, process, f, f.shown)
	if err != nil {
		return err
	}
	if err := e.fill(ctx, process, f, dst); err != nil {
		return err
	}
	if err := e.copyAttributes(ctx, process, f, dst.id, f.shown, func(string) bool { return true }); err != nil {
		return err
	}
	if err := e.nameFile(ctx, process, dst.id, f.shown); err != nil {
		return err
	}
	return e.dropOwn(ctx, process, f)
}

// sameContent reports whether a covered file says the same as the shared file
// at its path; exists is false when there is none.
func (e *Engine) sameContent(id origin.FileID) (same, exists bool, err error) {
	f := e.cat.file(id)
	if f == nil {
		return false, false, fmt.Errorf("compare file %v: %w", id, call.ObjectNotFound)
	}
	g, err := e.file(f.shown)
	if err != nil {
		return false, false, nil
	}
	a, err := e.contentHash(f)
	if err != nil {
		return false, true, err
	}
	b, err := e.contentHash(g)
	return a == b, true, err
}

// contentHash is a digest that two files of different birth share when they
// say the same: records by address where addresses mean something, else in
// order.
func (e *Engine) contentHash(f *file) (string, error) {
	snap := e.db.NewSnapshot()
	defer snap.Close()
	h := sha256.New()
	number(h, uint64(f.org))
	number(h, uint64(f.size))
	for _, x := range f.indexes {
		bytesOf(h, []byte(x.Name))
		for _, c := range x.Components {
			number(h, uint64(c.Position))
			number(h, uint64(c.Length))
		}
	}
	if f.stream() {
		return e.streamDigest(snap, f)
	}
	ix := f.identity
	s, err := e.scan(snap, f, ix)
	if err != nil {
		return "", err
	}
	defer s.Close()
	for ok := s.First(); ok; ok = s.Next() {
		if f.numbered() {
			bytesOf(h, s.record().addr)
		}
		bytesOf(h, s.record().data)
	}
	for _, x := range f.others {
		if !x.given() {
			continue
		}
		s, err := e.scan(snap, f, x)
		if err != nil {
			return "", err
		}
		for ok := s.First(); ok; ok = s.Next() {
			bytesOf(h, s.indexKey())
			if x.Kind == record.IndexItem {
				bytesOf(h, s.cur.addr)
			} else {
				bytesOf(h, s.record().data)
			}
		}
		if err := s.Close(); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), s.Err()
}

// dropCovered removes a covered file of this module alone, since the share
// has the same.
func (e *Engine) dropCovered(ctx context.Context, process string, id origin.FileID) error {
	f := e.cat.file(id)
	if f == nil || f.share != "" {
		return fmt.Errorf("drop file %v: %w", id, call.ObjectNotFound)
	}
	return e.dropOwn(ctx, process, f)
}

func (e *Engine) dropOwn(ctx context.Context, process string, f *file) error {
	return e.submit(ctx, &request{process: process, build: func(t *tx) error {
		if err := t.start(nil); err != nil {
			return err
		}
		e.cat.mu.RLock()
		cl := e.cat.shares[""].claims[f.id]
		e.cat.mu.RUnlock()
		cl.Deleted = true
		if err := t.addCatalog("", record.CatalogAddress(record.KindClaim, f.id, ""), cl); err != nil {
			return err
		}
		t.own.Ops = append(t.own.Ops, origin.Operation{Kind: origin.Truncate, File: f.id})
		return nil
	}})
}

// setAside moves a covered file of this module alone to another full path of
// its own, where no share is; it gives the path.
func (e *Engine) setAside(ctx context.Context, process string, id origin.FileID, dir string) (string, error) {
	f := e.cat.file(id)
	if f == nil || f.share != "" {
		return "", fmt.Errorf("set file %v aside: %w", id, call.ObjectNotFound)
	}
	if err := e.MakeDirs(ctx, dir); err != nil {
		return "", err
	}
	base := dir + ">" + f.shown[strings.LastIndexByte(f.shown, '>')+1:]
	to := base
	for i := 2; e.cat.lookup("", to) != nil; i++ {
		to = fmt.Sprintf("%s.%d", base, i)
	}
	err := e.submit(ctx, &request{process: process, build: func(t *tx) error {
		if err := t.start(nil); err != nil {
			return err
		}
		return t.addCatalog("", record.CatalogAddress(record.KindName, id, ""), nameRecord{Path: to, Life: e.cat.nextLife("", to)})
	}})
	return to, err
}
