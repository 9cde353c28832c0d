package vosio

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// file is what a call needs to know of a file: a snapshot that never changes;
// the catalog replaces it. Counts live in stat, shared by all snapshots.
type file struct {
	id         origin.FileID
	share      string // '' for a file of this module alone
	rel        string // name that it claims, below the share's root
	shown      string // name that it is found under; '' when it has none here
	life       uint32
	birth      origin.Birth
	org        int
	size       int
	deleted    bool
	indexes    []*index // of embedded keys, in order of name
	others     []*index // all other ones, in order of name
	separate   bool     // some of those have separate keys
	records    *index   // the record index, which numbers a sequential file's records
	holes      *index   // the deleted-record index
	identity   *index   // of a keyed sequential file
	attributes map[string]string
	stat       *fileStat
	// A kept version of a stream file: what it is a version of, what it has, and
	// its address there.
	of      origin.FileID
	version *whole
	at      []byte
}

// fileStat are the counts of a file. They are changed by the committer only
// and read by anybody.
type fileStat struct {
	records  atomic.Int64 // visible, the parked among them
	bytes    atomic.Int64
	foreign  atomic.Int64 // of a keyed sequential file: records whose address is not their identity key
	withheld atomic.Int64
	parked   atomic.Int64
	// generation rises with each batch that changes the file; see kept.go.
	generation atomic.Uint64
	changing   atomic.Int32  // a batch that changes it is about to be read; see hot.go
	hot        atomic.Uint32 // its number there; 0: nothing of it was put in
	queue      *queueStat    // of a queue of registers; nil of others
	// lowest is a relative file's record number below which all are in use, as
	// far as is known. Owned by the committer.
	lowest int64
	leases int // how many extents lowest reckons with
	// highest is the highest record number; -1: unknown, look it up. Owned
	// by the committer.
	highest int64
	summary *summary  // owned by the committer; nil: none is kept
	present *presence // owned by the committer; nil: nothing is known
}

type index struct {
	record.Index
	number [4]byte
	keyLen int
	birth  origin.Birth
}

func newIndex(def record.Index, birth origin.Birth) *index {
	return &index{Index: def, number: record.IndexNumber(def.Name), keyLen: def.KeyLen(), birth: birth}
}

func (f *file) index(name string) *index {
	for _, l := range [2][]*index{f.indexes, f.others} {
		for _, x := range l {
			if x.Name == name {
				return x
			}
		}
	}
	return nil
}

// all are the indexes of every kind.
func (f *file) all() []*index { return append(slices.Clip(f.indexes), f.others...) }

// sequential reports whether records stand in the order of their births, or of
// their identity keys.
func (f *file) sequential() bool { return isSequential(f.org) }

func isSequential(org int) bool { return org == call.OrgSequential || org == call.OrgExtended }

func (f *file) numbered() bool { return f.org == call.OrgFixed || f.org == call.OrgRelative }

func (f *file) attribute(name string) string { return f.attributes[name] }

// A claim is the stored form of a catalog claim register.
type claim struct {
	Path    string `json:"path"`
	Life    uint32 `json:"life"`
	Org     int    `json:"org"`
	Size    int    `json:"size"`
	Deleted bool   `json:"deleted,omitempty"`
}

// A name is the stored form of a catalog name register.
type nameRecord struct {
	Path string `json:"path"`
	Life uint32 `json:"life"`
}

// shareCatalog holds the registers of one share's catalog, decoded.
type shareCatalog struct {
	name    string
	claims  map[origin.FileID]claim
	births  map[origin.FileID]origin.Birth // of the claims: the least of the set
	names   map[origin.FileID]nameRecord
	nbirths map[origin.FileID]origin.Birth
	attrs   map[origin.FileID]map[string]string
	defs    map[origin.FileID]map[string]*index
	dirs    map[string]bool
	links   map[string]string // what each leads to
	removed map[string]bool   // directories taken away at this module alone
	lives   map[string]uint32
	byName  map[string]origin.FileID
	kept    map[origin.FileID][]kept // versions of stream files that lost
	summary *summary                 // of its own registers; owned by the committer
	parked  map[origin.FileID]string // files without a place here: the reason
}

// catalog is all that is known of files and names. mu protects the maps; it is
// never held across I/O. Only the committer writes.
type catalog struct {
	mu     sync.RWMutex
	files  map[origin.FileID]*file
	shares map[string]*shareCatalog
	byID   map[origin.FileID]string // catalog file id → share
	taking map[string]bool          // shares that a snapshot is being put into
	// partial says that the rules have shares that are not whole; some, that
	// there is any such share, or one in taking.
	partial bool
	some    atomic.Bool
	linked  atomic.Bool // there was a link since the start: paths are looked at
}

func newCatalog() *catalog {
	c := &catalog{files: map[origin.FileID]*file{}, shares: map[string]*shareCatalog{}, byID: map[origin.FileID]string{}, taking: map[string]bool{}}
	c.share("")
	return c
}

// share finds or makes the catalog of a share. Callers hold mu for writing.
func (c *catalog) share(name string) *shareCatalog {
	s := c.shares[name]
	if s == nil {
		s = &shareCatalog{
			name: name, claims: map[origin.FileID]claim{}, births: map[origin.FileID]origin.Birth{},
			names: map[origin.FileID]nameRecord{}, nbirths: map[origin.FileID]origin.Birth{},
			attrs: map[origin.FileID]map[string]string{}, defs: map[origin.FileID]map[string]*index{},
			dirs: map[string]bool{}, links: map[string]string{}, removed: map[string]bool{}, lives: map[string]uint32{},
			byName: map[string]origin.FileID{}, parked: map[origin.FileID]string{}, kept: map[origin.FileID][]kept{},
		}
		c.shares[name] = s
		c.byID[record.CatalogID(name)] = name
	}
	return s
}

// parent is the directory of a path below a share's root, or of a full path.
func parent(rel string) string {
	if i := strings.LastIndexByte(rel, '>'); i >= 0 {
		return rel[:i]
	}
	return ""
}

// hasDir tells whether a directory stands here. For the module's own files the
// path is full, and the disks themselves always stand.
func (s *shareCatalog) hasDir(dir string) bool {
	if dir == "" || s.name == "" && !strings.Contains(dir, ">") {
		return true
	}
	return s.dirs[dir] && !s.removed[dir]
}

// nameClaim is a file's claim of a name.
type nameClaim struct {
	file      origin.FileID
	path      string
	life      uint32
	birth     origin.Birth
	deleted   bool
	survivors bool // live records in a deleted file
}

// computedName is the name under which a file is found whose own name belongs
// to another: alike at every module.
func computedName(path string, f origin.FileID) string {
	return path + "." + f.String()[:8]
}

// assignNames says under which name each file is found. A name belongs to the
// claim of greatest life, then least birth, deleted or not; another file, and
// a deleted one with live records, is found under a computed name. It depends
// on the claims alone, so that all modules agree.
func assignNames(claims []nameClaim) map[origin.FileID]string {
	slices.SortFunc(claims, func(a, b nameClaim) int {
		if c := strings.Compare(a.path, b.path); c != 0 {
			return c
		}
		if a.life != b.life {
			return int(b.life) - int(a.life)
		}
		return a.birth.Compare(b.birth)
	})
	shown := make(map[origin.FileID]string, len(claims))
	for i, c := range claims {
		holder := i == 0 || claims[i-1].path != c.path
		switch {
		case c.path == "" || c.deleted && !c.survivors:
		case holder && !c.deleted:
			shown[c.file] = c.path
		default:
			shown[c.file] = computedName(c.path, c.file)
		}
	}
	return shown
}

// rename recomputes names, and the file snapshots whose name changed. Callers
// hold mu for writing.
func (c *catalog) rename(s *shareCatalog) {
	list := make([]nameClaim, 0, len(s.claims))
	for id, cl := range s.claims {
		n := nameClaim{file: id, path: cl.Path, life: cl.Life, birth: s.births[id], deleted: cl.Deleted}
		if r, ok := s.names[id]; ok {
			n.path, n.life, n.birth = r.Path, r.Life, s.nbirths[id]
		}
		if f := c.files[id]; f != nil {
			n.survivors = f.stat.records.Load() > 0
		}
		list = append(list, n)
	}
	shown := assignNames(list)
	s.byName = make(map[string]origin.FileID, len(shown))
	clear(s.parked)
	for id := range s.claims {
		name := shown[id]
		if name != "" && !s.hasDir(parent(name)) {
			s.parked[id] = fmt.Sprintf("directory %s does not stand here", parent(name))
			name = ""
		}
		if name != "" {
			s.byName[name] = id
		}
		if f := c.files[id]; f != nil && f.shown != name {
			g := *f
			g.shown = name
			c.files[id] = &g
		}
		for _, k := range s.kept[id] {
			f := c.files[k.id]
			if f == nil {
				continue
			}
			g := *f
			if g.shown, g.rel = "", c.files[id].rel; name != "" {
				g.shown = computedName(name, k.id)
				s.byName[g.shown] = k.id
			}
			c.files[k.id] = &g
		}
	}
}

// rebuild makes a new snapshot of a file from the registers of its share.
// Callers hold mu for writing.
func (c *catalog) rebuild(s *shareCatalog, id origin.FileID) *file {
	cl, ok := s.claims[id]
	if !ok {
		return nil
	}
	old := c.files[id]
	f := &file{id: id, share: s.name, rel: cl.Path, life: cl.Life, birth: s.births[id], org: cl.Org, size: cl.Size, deleted: cl.Deleted, attributes: s.attrs[id]}
	if r, ok := s.names[id]; ok {
		f.rel = r.Path
	}
	if old != nil {
		f.stat, f.shown = old.stat, old.shown
	} else {
		f.stat = &fileStat{highest: -1}
	}
	for _, x := range s.defs[id] {
		if x.Kind == "" {
			f.indexes = append(f.indexes, x)
		} else {
			f.others = append(f.others, x)
		}
	}
	if isStoredQueue(f.org) {
		f.indexes = append(f.indexes, newDelivery())
		if f.stat.queue == nil {
			f.stat.queue = &queueStat{}
		}
	}
	slices.SortFunc(f.indexes, func(a, b *index) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(f.others, func(a, b *index) int { return strings.Compare(a.Name, b.Name) })
	for _, x := range f.others {
		switch x.Kind {
		case record.IndexSeparate:
			f.separate = true
		case record.IndexRecord:
			f.records = x
		case record.IndexDeleted:
			f.holes = x
		}
	}
	if f.sequential() {
		for _, x := range f.indexes {
			if !x.Duplicates && x.Empty && !x.Local && !x.NullKeys && (f.identity == nil || x.birth.Compare(f.identity.birth) < 0) {
				f.identity = x
			}
		}
	}
	c.files[id] = f
	return f
}

// set takes a changed catalog register into the maps and returns the file that
// it concerns, before and after. next is the register's new set, visible
// first; empty when the register is gone.
func (c *catalog) set(share string, addr []byte, next []origin.Version) (before, now *file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.share(share)
	live := len(next) > 0 && !next[0].Tombstone
	if len(addr) > 0 && addr[0] == record.KindDirectory {
		c.setDirectory(s, string(addr[1:]), next)
		c.rename(s)
		return nil, nil
	}
	id, name, ok := record.CatalogFile(addr)
	if !ok {
		return nil, nil
	}
	before = c.files[id]
	switch addr[0] {
	case record.KindClaim:
		var cl claim
		if !live || json.Unmarshal(next[0].Data, &cl) != nil {
			break
		}
		s.claims[id] = cl
		birth := next[0].Birth
		for _, v := range next[1:] {
			if v.Birth.Compare(birth) < 0 {
				birth = v.Birth
			}
		}
		s.births[id] = birth
		s.lives[cl.Path] = max(s.lives[cl.Path], cl.Life)
	case record.KindName:
		var r nameRecord
		if !live || json.Unmarshal(next[0].Data, &r) != nil {
			break
		}
		s.names[id] = r
		s.nbirths[id] = origin.Birth{Stamp: next[0].Stamp, Dot: next[0].Dot}
		s.lives[r.Path] = max(s.lives[r.Path], r.Life)
	case record.KindAttribute:
		m := make(map[string]string, len(s.attrs[id])+1)
		for k, v := range s.attrs[id] {
			m[k] = v
		}
		delete(m, name)
		if live {
			m[name] = string(next[0].Data)
		}
		s.attrs[id] = m
	case record.KindIndex:
		m := make(map[string]*index, len(s.defs[id])+1)
		for k, v := range s.defs[id] {
			m[k] = v
		}
		delete(m, name)
		if live {
			var def record.Index
			if json.Unmarshal(next[0].Data, &def) == nil && def.Check() == nil {
				// Made at two modules at once, it is there since the first.
				birth := next[0].Birth
				for _, v := range next[1:] {
					if !v.Tombstone && v.Life == next[0].Life && v.Birth.Compare(birth) < 0 {
						birth = v.Birth
					}
				}
				m[name] = newIndex(def, birth)
			}
		}
		s.defs[id] = m
	}
	now = c.rebuild(s, id)
	if addr[0] == record.KindClaim || addr[0] == record.KindName {
		c.rename(s)
		now = c.files[id]
	}
	return before, now
}

// renameShare recomputes the names of a share, after a deleted file gained its
// first live record or lost its last.
func (c *catalog) renameShare(share string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rename(c.share(share))
}

func (c *catalog) file(id origin.FileID) *file {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.files[id]
}

func (c *catalog) lookup(share, rel string) *file {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.shares[share]
	if s == nil {
		return nil
	}
	id, ok := s.byName[rel]
	if !ok {
		return nil
	}
	return c.files[id]
}

func (c *catalog) nextLife(share, rel string) uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if s := c.shares[share]; s != nil {
		return s.lives[rel] + 1
	}
	return 1
}

func (c *catalog) dirExists(share, rel string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.shares[share]
	return s == nil && rel == "" || s != nil && s.hasDir(rel)
}

func (c *catalog) catalogShare(id origin.FileID) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, ok := c.byID[id]
	return s, ok
}

// load reads all catalogs from disk. It runs before the committer starts.
func (c *catalog) load(r pebble.Reader, shares []string) error {
	for _, name := range append([]string{""}, shares...) {
		c.mu.Lock()
		c.share(name)
		c.mu.Unlock()
		prefix := appendFileKey(nil, keyRegister, record.CatalogID(name))
		var set []origin.Version
		err := scanPrefix(r, prefix, func(k, v []byte) error {
			var err error
			set, err = record.DecodeSet(set[:0], slices.Clone(v))
			if err != nil {
				return fmt.Errorf("open catalog of share %q: %w", name, err)
			}
			c.set(name, slices.Clone(k[len(prefix):]), set)
			return nil
		})
		if err != nil {
			return err
		}
		prefix = appendFileKey(nil, keyLocal, record.CatalogID(name))
		err = scanPrefix(r, prefix, func(k, _ []byte) error {
			c.mu.Lock()
			c.share(name).removed[string(k[len(prefix):])] = true
			c.mu.Unlock()
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, f := range c.files {
		if err := c.loadFile(r, f); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.shares {
		c.rename(s)
	}
	return nil
}

func (c *catalog) loadFile(r pebble.Reader, f *file) error {
	if f.version != nil {
		return nil
	}
	if f.stream() {
		l, err := keptOf(r, f)
		if err != nil {
			return err
		}
		c.setKept(f.share, f.id, l)
	}
	if err := f.stat.load(r, f.id); err != nil {
		return err
	}
	prefix := appendFileKey(nil, keyLocal, f.id)
	return scanPrefix(r, prefix, func(k, v []byte) error {
		var def record.Index
		if err := json.Unmarshal(v, &def); err != nil {
			return fmt.Errorf("open file %s: index %s: %w", f.rel, k[len(prefix):], err)
		}
		c.setLocalIndex(f.id, &def)
		return nil
	})
}

// setLocalIndex adds an index of this module alone; a nil definition is not
// allowed.
func (c *catalog) setLocalIndex(id origin.FileID, def *record.Index) *file {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[id]
	s := c.share(f.share)
	m := make(map[string]*index, len(s.defs[id])+1)
	for k, v := range s.defs[id] {
		m[k] = v
	}
	m[def.Name] = newIndex(*def, origin.Birth{})
	s.defs[id] = m
	return c.rebuild(s, id)
}

func (c *catalog) dropLocalIndex(id origin.FileID, name string) *file {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[id]
	s := c.share(f.share)
	m := make(map[string]*index, len(s.defs[id]))
	for k, v := range s.defs[id] {
		if k != name {
			m[k] = v
		}
	}
	s.defs[id] = m
	return c.rebuild(s, id)
}

func scanPrefix(r pebble.Reader, prefix []byte, fn func(k, v []byte) error) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := fn(it.Key(), v); err != nil {
			return err
		}
	}
	return it.Error()
}
