package vosio

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"sort"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/path"
	"drmesh/vosio/record"
)

// FileInfo is what operators see of a file.
type FileInfo struct {
	Path     string // full
	Share    string
	Rel      string // name in the share, as shown here
	ID       origin.FileID
	Org      int
	Size     int
	Records  int64
	Bytes    int64
	Parked   int64
	Withheld int64
	Indexes  []record.Index
	Identity string // name of the identity key's index
	Computed bool   // shown under a computed name
	Deleted  bool   // shown although deleted: records survived
	Layout   string
}

// FullPath gives the full form of a path of either form: full, or share:rel.
// A path of another system is e$object_not_found.
func (e *Engine) FullPath(p string) (string, error) {
	full, err := e.plainPath(p)
	if err != nil {
		return "", err
	}
	return e.follow(full, true)
}

// plainPath is FullPath without going through links.
func (e *Engine) plainPath(p string) (string, error) {
	if path.IsShare(p) {
		share, rel, err := path.ParseShare(p)
		if err != nil {
			return "", fmt.Errorf("%s: %w: %v", p, call.BadPathname, err)
		}
		s := e.table().Share(share)
		if s == nil {
			return "", fmt.Errorf("find %s: no share %s here: %w", p, share, call.ObjectNotFound)
		}
		if rel == "" {
			return s.Root, nil
		}
		return s.Root + ">" + rel, nil
	}
	f, err := path.Parse(p)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %v", p, call.BadPathname, err)
	}
	if e.cfg.Name != "" && f.System() != path.SystemOf(e.cfg.Name) {
		return "", fmt.Errorf("find %s: this is module %s, of system %s: %w", p, e.cfg.Name, path.SystemOf(e.cfg.Name), call.ObjectNotFound)
	}
	return string(f), nil
}

func (e *Engine) info(f *file) FileInfo {
	i := FileInfo{Share: f.share, Rel: f.shown, Path: f.shown, ID: f.id, Org: f.org, Size: f.size, Records: f.recordCount(), Bytes: f.stat.bytes.Load(),
		Parked: f.stat.parked.Load(), Withheld: f.stat.withheld.Load(), Computed: f.shown != f.rel, Deleted: f.deleted, Layout: f.attribute(attrLayout)}
	if s := e.table().Share(f.share); s != nil {
		i.Path = s.Root + ">" + f.shown
	}
	for _, x := range f.all() {
		if isQueue(f.org) {
			break // its index is no one's
		}
		i.Indexes = append(i.Indexes, x.Index)
	}
	if f.identity != nil {
		i.Identity = f.identity.Name
	}
	return i
}

// Files lists the files below a directory (at any depth), by path; ” is all. Of
// those of a share that the module has files of its own in the place of, its own.
func (e *Engine) Files(under string) []FileInfo {
	e.cat.mu.RLock()
	var l []*file
	for _, s := range e.cat.shares {
		for _, id := range s.byName {
			if f := e.cat.files[id]; f != nil {
				l = append(l, f)
			}
		}
	}
	e.cat.mu.RUnlock()
	var out []FileInfo
	for _, f := range l {
		i := e.info(f)
		if under != "" && !strings.HasPrefix(i.Path, under+">") {
			continue
		}
		if f.share != "" && e.cat.lookup("", i.Path) != nil && e.resolve(i.Path).share == nil {
			continue
		}
		out = append(out, i)
	}
	sort.Slice(out, func(a, b int) bool { return out[a].Path < out[b].Path })
	return out
}

// Info tells of one file, by full path.
func (e *Engine) Info(full string) (FileInfo, error) {
	f, err := e.readable(full)
	if err != nil {
		return FileInfo{}, err
	}
	return e.info(f), nil
}

// InfoByID tells of a file that a journal entry names.
func (e *Engine) InfoByID(id origin.FileID) (FileInfo, bool) {
	if f := e.cat.file(id); f != nil {
		i := e.info(f)
		if i.Rel == "" {
			i.Rel = f.rel
		}
		return i, true
	}
	if s, ok := e.cat.catalogShare(id); ok {
		return FileInfo{Share: s, Rel: "(catalog)", Path: "(catalog)"}, true
	}
	return FileInfo{}, false
}

// InfoAt tells of one file, and of the positions that this is of.
func (e *Engine) InfoAt(ctx context.Context, id origin.FileID) (i FileInfo, ok bool, at origin.Vector, err error) {
	err = e.submit(ctx, &request{look: func() {
		if f := e.cat.file(id); f != nil && !f.deleted {
			i, ok = e.info(f), true
		}
		at = e.j.Tails()
	}})
	return i, ok, at, err
}

// Digest is the digest of a file's visible content: SHA-256 over organization,
// record size and index definitions, then each live record in register order
// as address length, address, length, bytes. It holds nothing that differs
// between modules with equal content: no dots, stamps or local paths. Records
// parked here are left out and counted.
func (e *Engine) Digest(full string) (digest string, records, parked int64, err error) {
	snap := e.db.NewSnapshot()
	defer snap.Close()
	f, err := e.readable(full)
	if err != nil {
		return "", 0, 0, err
	}
	if f.version != nil {
		digest, err = e.streamDigest(snap, f)
		return digest, f.recordCount(), 0, err
	}
	h := sha256.New()
	number(h, uint64(f.org))
	number(h, uint64(f.size))
	for _, x := range f.all() {
		if x.Local {
			continue
		}
		bytesOf(h, []byte(x.Name))
		if x.Kind != "" || x.NullKeys || x.Collation > 0 && x.Collation != 4 {
			bytesOf(h, fmt.Appendf(nil, "%s %v %d", x.Kind, x.NullKeys, x.Collation))
		}
		number(h, uint64(len(x.Components)))
		for _, c := range x.Components {
			number(h, uint64(c.Position))
			number(h, uint64(c.Length))
		}
		if x.Duplicates {
			number(h, 1)
		} else {
			number(h, 0)
		}
	}
	err = eachVisible(snap, f.id, func(addr []byte, v *origin.Version) error {
		if f.stat.parked.Load() > 0 {
			if p, err := e.isParked(snap, f.id, addr); err != nil {
				return err
			} else if p {
				parked++
				return nil
			}
		}
		if isRecord(addr) && !f.stream() {
			records++
		}
		bytesOf(h, addr)
		bytesOf(h, v.Data)
		return nil
	})
	if f.stream() {
		records = f.recordCount()
	}
	return hex.EncodeToString(h.Sum(nil)), records, parked, err
}

func number(h hash.Hash, n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	h.Write(b[:])
}

func bytesOf(h hash.Hash, b []byte) {
	number(h, uint64(len(b)))
	h.Write(b)
}

// AddressOf gives the address of a record by what a person calls it: a number,
// or the key of the file's identity.
func (e *Engine) AddressOf(full, key string) (origin.FileID, []byte, error) {
	f, err := e.readable(full)
	if err != nil {
		return origin.FileID{}, nil, err
	}
	switch {
	case f.numbered():
		var n uint64
		if _, err := fmt.Sscan(key, &n); err != nil || n == 0 {
			return f.id, nil, fmt.Errorf("record number %q of %s: %w", key, full, call.InvalidRecordNumber)
		}
		return f.id, record.AppendNumber(nil, n), nil
	case f.identity != nil:
		k := []byte(key)
		if len(k) > f.identity.keyLen {
			return f.id, nil, fmt.Errorf("key %q of %s: %w", key, full, call.KeyTooLong)
		}
		for len(k) < f.identity.keyLen {
			k = append(k, ' ')
		}
		return f.id, record.AppendKey(nil, f.identity.number, k), nil
	}
	var n int
	if _, err := fmt.Sscan(key, &n); err != nil || n < 1 {
		return f.id, nil, fmt.Errorf("record %q of %s: a sequential file's records are named by their place, from 1: %w", key, full, call.InvalidRecordNumber)
	}
	var addr []byte
	s, err := e.scan(e.db, f, nil)
	if err != nil {
		return f.id, nil, err
	}
	defer s.Close()
	for ok := s.First(); ok; ok = s.Next() {
		if n--; n == 0 {
			addr = s.record().addr
			break
		}
	}
	if addr == nil {
		return f.id, nil, fmt.Errorf("record %s of %s: %w", key, full, call.RecordNotFound)
	}
	return f.id, addr, s.Err()
}

// ScanAccount counts, from the registers of a moment, how many versions of
// each stream and share stand and are visible, stand and are not, or are
// parked.
func (e *Engine) ScanAccount(r pebble.Reader) (map[string]map[origin.Stream]*Sum, error) {
	out := map[string]map[origin.Stream]*Sum{}
	sum := func(share string, s origin.Stream) *Sum {
		m := out[share]
		if m == nil {
			m = map[origin.Stream]*Sum{}
			out[share] = m
		}
		if m[s] == nil {
			m[s] = &Sum{Share: share, Stream: s}
		}
		return m[s]
	}
	prefix := []byte{'v', keyRegister}
	var set []origin.Version
	err := scanPrefix(r, prefix, func(k, v []byte) error {
		id := origin.FileID(k[2:filePrefix])
		share, ok := e.cat.catalogShare(id)
		if f := e.cat.file(id); f != nil {
			share, ok = f.share, true
		}
		if !ok || share == "" {
			return nil
		}
		var err error
		if set, err = record.DecodeSet(set[:0], v); err != nil {
			return fmt.Errorf("register %v %s: %w", id, record.String(k[filePrefix:]), err)
		}
		for i := range set {
			c := Live
			if i > 0 && !sameContent(&set[i], &set[0]) {
				c = Opened
			}
			if i == 0 {
				if p, err := e.isParked(r, id, k[filePrefix:]); err != nil {
					return err
				} else if p {
					c = Parked
				}
			}
			sum(share, set[i].Dot.Stream).Counts[c]++
		}
		return nil
	})
	return out, err
}

// Standing gives the versions that stand in a register, the visible one first.
func (e *Engine) Standing(r pebble.Reader, file origin.FileID, addr []byte) ([]origin.Version, error) {
	v, closer, err := r.Get(appendRegisterKey(nil, file, addr))
	if err == pebble.ErrNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	set, err := record.DecodeSet(nil, slices.Clone(v))
	if err != nil {
		return nil, fmt.Errorf("register %v %s: %w", file, record.String(addr), err)
	}
	return set, nil
}

func sameContent(a, b *origin.Version) bool {
	if a.Tombstone || b.Tombstone {
		return a.Tombstone && b.Tombstone
	}
	return string(a.Data) == string(b.Data)
}
