package vosio

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/origin/mutant"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// tx is one request in the committer's hands. It is reused from request to
// request.
//
// A simple tx (one record, nothing that needs a scan) reads the database and
// writes into the batch that it shares with its neighbours; any other has an
// indexed batch of its own, through which it sees what it staged.
type tx struct {
	c   *committer
	e   *Engine
	req *request
	r   pebble.Reader
	b   *pebble.Batch

	share *Share // of a local tx; nil: unshared
	txn   *origin.Txn
	own   origin.Txn // the txn of a local request
	ctx   origin.Context
	entry []byte

	standing []origin.Version
	next     [1]origin.Version
	key, val []byte
	hash     uint64 // of the register loaded last
	keys     [2][]byte
	arena    []byte
	plan     []planned
	recheck  []claimKey
	renames  map[string]struct{}
	recount  bool // numbers of a sequential file are made anew: not one by one
	loose    bool // a deferred unparking is due
}

// planned is one register change of a local request after its checks.
type planned struct {
	f  *file
	op origin.Operation
	ch int // index of the change, -1 when it is a companion
}

// claimKey is a value of a unique index whose holder must be worked out anew.
type claimKey struct {
	f   *file
	ix  *index
	key string
}

// maxScratch is how many operations a tx keeps room for from one request to the
// next.
const maxScratch = 4096

func (t *tx) reset(c *committer, r *request) {
	t.c, t.e, t.req = c, c.e, r
	t.r, t.b = c.e.db, c.b
	t.share, t.txn, t.ctx = nil, nil, nil
	if cap(t.plan) > maxScratch || cap(t.own.Ops) > maxScratch || cap(t.arena) > maxScratch<<8 || cap(t.entry) > maxScratch<<8 {
		t.plan, t.own.Ops, t.arena, t.entry = nil, nil, nil, nil
	}
	t.plan = t.plan[:0]
	t.recheck = t.recheck[:0]
	t.arena = t.arena[:0]
	t.loose, t.recount = false, false
	clear(t.renames)
}

// plain reports whether a file's records can be changed by point reads alone.
func (f *file) plain() bool {
	s := f.stat
	if f.stream() || f.deleted || s.parked.Load() != 0 || s.withheld.Load() != 0 || s.foreign.Load() != 0 {
		return false
	}
	for _, x := range f.indexes {
		if !x.Duplicates && x != f.identity {
			return false
		}
	}
	return f.identity == nil && len(f.others) == 0 || f.identity != nil && f.sequential() && len(f.others) == 0
}

// simple reports whether the request may share a batch.
func (t *tx) simple() bool {
	switch {
	case t.req.changes != nil:
		if len(t.req.changes) != 1 || t.req.expect != nil {
			return false
		}
		ch := &t.req.changes[0]
		if ch.file == nil || !ch.file.plain() {
			return false
		}
		return !ch.file.numbered() || ch.addr != nil || ch.file.stat.highest >= 0
	case t.req.remote != nil:
		x := t.req.remote.txn
		if t.req.remote.carry {
			return true
		}
		if len(x.Ops) != 1 || x.Ops[0].Kind == origin.Truncate {
			return false
		}
		f := t.e.cat.file(x.Ops[0].File)
		return f != nil && f.plain()
	}
	return false
}

func (t *tx) run() error {
	switch {
	case t.req.changes != nil:
		return t.runChanges()
	case t.req.remote != nil:
		return t.runRemote()
	case t.req.admin != nil:
		if err := t.req.admin(t); err != nil {
			return err
		}
		t.c.sync = true
		return t.settleDerived()
	default:
		return t.runBuild()
	}
}

// start opens the own txn of a local request in a share (nil: unshared).
func (t *tx) start(s *Share) error {
	t.share = s
	t.txn = &t.own
	t.own.Ops = t.own.Ops[:0]
	t.own.Context = t.own.Context[:0]
	t.own.Process = t.req.process
	t.own.Stamp = t.e.cfg.Clock.Next()
	if s == nil {
		t.own.Dot = origin.Dot{Stream: origin.Stream{Module: t.e.cfg.Self}, Seq: t.c.localSeq + 1}
		t.own.Policy = 0
		return nil
	}
	if s.Owner != "" {
		return fmt.Errorf("write share %s: %s owns it: %w", s.Name, s.Owner, call.NotOwner)
	}
	if s.Changing {
		return errChanging
	}
	if s.Waiting || t.c.installing[s.Group] {
		return errWaiting
	}
	if s.Stream.Incarnation == 0 {
		return fmt.Errorf("write share %s: %s: %w", s.Name, cmp.Or(s.Stopped, "this module has no stream for it"), call.NotCurrent)
	}
	if t.e.full.Load() {
		return fmt.Errorf("write share %s: %w", s.Name, call.DiskFull)
	}
	if s.Lease != nil && !s.Lease() {
		return errNoLease
	}
	t.own.Dot = origin.Dot{Stream: s.Stream, Seq: t.e.j.Tail(s.Stream).Seq + 1}
	t.own.Policy = s.Policy
	return nil
}

// errWaiting says that a share's state is still to come.
var errWaiting = fmt.Errorf("write: the share's state has not come here yet: %w", call.CallerMustWait)

// errChanging says that the share's group is about to get another owner.
var errChanging = fmt.Errorf("write: the owner of the share's group is being changed: %w", call.CallerMustWait)

// errNoLease says that the owner may not write at this moment.
var errNoLease = fmt.Errorf("write: the lease has run out, and the control group does not renew it: %w", call.NotOwner)

// current finds the newest snapshot of a file that a caller holds.
func (t *tx) current(f *file) (*file, error) {
	g := t.e.cat.file(f.id)
	if g == nil || g.deleted && g.shown == "" {
		return nil, fmt.Errorf("write %s: %w", f.rel, call.ObjectNotFound)
	}
	return g, nil
}

// runChanges checks and stages the record changes of a local call.
func (t *tx) runChanges() error {
	chs := t.req.changes
	var share *Share
	var group origin.Group
	for i := range chs {
		f, err := t.current(chs[i].file)
		if err != nil {
			return err
		}
		chs[i].file = f
		s := t.e.table().Share(f.share)
		if f.share != "" && s == nil {
			return fmt.Errorf("write %s: share %s is not here any more: %w", f.rel, f.share, call.NoAccess)
		}
		if s != nil && group != 0 && s.Group != group {
			return fmt.Errorf("commit: %w", call.TwoGroups)
		}
		if s != nil && chs[i].kind == remove && isQueue(f.org) {
			// The owner is asked again in the committer's turn: whatever is
			// taken from here on is taken under the rules in force.
			switch ok, err := t.e.deliver(f); {
			case err != nil:
				return err
			case !ok:
				return errNoLease
			}
			t.req.takes = true
		}
		if s != nil {
			group = s.Group
			if share == nil || s.Interval == 0 {
				share = s
			}
		}
	}
	for _, x := range t.req.expect {
		if err := t.load(nil, x.file, x.addr, false); err != nil {
			return err
		}
		n := 0
		for i := range t.standing {
			if t.standing[i].Tombstone {
				continue
			}
			n++
			if !slices.Contains(x.dots, t.standing[i].Dot) {
				n = -1
				break
			}
		}
		if n != len(x.dots) {
			return fmt.Errorf("commit: %s was changed meanwhile at another module: %w", record.String(x.addr), call.TPAborted)
		}
	}
	if err := t.start(share); err != nil {
		return err
	}
	if cap(t.req.out) < len(chs) {
		t.req.out = make([]committed, len(chs))
	}
	t.req.out = t.req.out[:len(chs)]
	t.plan = slices.Grow(t.plan, len(chs))
	t.own.Ops = slices.Grow(t.own.Ops, len(chs))
	// Changes of shared files come first: they alone go into the entry, and
	// an operation's index is part of its dot.
	shared := 0
	for _, mine := range []bool{false, true} {
		for i := range chs {
			if (chs[i].file.share == "") == mine {
				if err := t.planChange(i, &chs[i]); err != nil {
					return err
				}
			}
		}
		if !mine {
			shared = len(t.plan)
		}
	}
	if err := t.checkUnique(); err != nil {
		return err
	}
	for i := range t.plan[:shared] {
		t.own.Ops = append(t.own.Ops, t.plan[i].op)
	}
	if share == nil {
		t.own.Ops = append(t.own.Ops, origin.Operation{}) // replaced below
	}
	if err := t.finish(); err != nil {
		return err
	}
	t.own.Ops = t.own.Ops[:shared]
	for i := range t.plan[shared:] {
		t.own.Ops = append(t.own.Ops, t.plan[shared+i].op)
	}
	return t.stageLocal()
}

// stageLocal writes the planned or added operations of the own txn. Nothing
// in it fails but the disk.
func (t *tx) stageLocal() error {
	if len(t.own.Ops) == 0 {
		return nil
	}
	for i := range t.own.Ops {
		if err := t.stageOp(i, true); err != nil {
			t.e.fatal("stage", err)
		}
	}
	if t.share != nil {
		if err := t.append(t.entry); err != nil {
			t.e.fatal("journal", err)
		}
	}
	if t.share != nil {
		t.c.durability(t.share.Interval)
	}
	if err := t.settleDerived(); err != nil {
		t.e.fatal("stage", err)
	}
	return nil
}

// runBuild lets a call on files add its operations.
func (t *tx) runBuild() error {
	t.own.Ops = t.own.Ops[:0]
	if err := t.req.build(t); err != nil {
		return err
	}
	if len(t.own.Ops) == 0 {
		return nil
	}
	if err := t.finish(); err != nil {
		return err
	}
	return t.stageLocal()
}

// runRemote applies a txn of another module, in the bytes that came. The
// caller has passed it through the causal gate.
func (t *tx) runRemote() error {
	rt := t.req.remote
	t.txn = rt.txn
	s, seq := rt.txn.Dot.Stream, rt.txn.Dot.Seq
	if t.c.installing[s.Group] {
		return errInstalling
	}
	switch tail := t.e.j.Tail(s).Seq; {
	case mutant.On(mutant.NameOnly) && t.e.knowsModule(s, seq):
		return ErrDuplicate
	case mutant.On(mutant.ForgetDuplicates) && seq <= tail:
	case seq <= tail:
		t.e.Duplicates.Add(1)
		return ErrDuplicate
	case seq != tail+1:
		return fmt.Errorf("apply %v: the stream stands at %d here", rt.txn.Dot, tail)
	}
	if t.c.e.blocked(t) {
		return errCut
	}
	ctx := t.c.contexts[s]
	if ctx == nil {
		ctx = t.e.j.Context(s).Clone()
		if ctx == nil {
			ctx = origin.Context{}
		}
		t.c.contexts[s] = ctx
	}
	ctx.Advance(rt.txn.Context)
	t.ctx = ctx
	interval := time.Duration(-1)
	if !rt.carry {
		for i := range rt.txn.Ops {
			if mutant.On(mutant.ApplyPart) && i > 0 && i == len(rt.txn.Ops)-1 {
				break
			}
			if err := t.stageOp(i, false); err != nil {
				t.e.fatal("apply", err)
			}
		}
	}
	for _, sh := range t.e.table().Shares() {
		if sh.Group == s.Group && (interval < 0 || sh.Interval < interval) {
			interval = sh.Interval
		}
	}
	if mutant.On(mutant.ForgetDuplicates) && seq <= t.e.j.Tail(s).Seq {
		t.c.durability(0)
		return t.settleDerived()
	}
	if err := t.append(rt.entry); err != nil {
		t.e.fatal("journal", err)
	}
	t.c.durability(max(interval, 0))
	t.c.noteApplied(s, seq)
	t.e.cfg.Clock.Observe(rt.txn.Stamp)
	if err := t.settleDerived(); err != nil {
		t.e.fatal("apply", err)
	}
	return nil
}

// knowsModule reports whether a txn of that number of the module is here, of
// whatever stream: a planted bug.
func (e *Engine) knowsModule(s origin.Stream, q origin.Seq) bool {
	for o, p := range e.j.Tails() {
		if o != s && o.Module == s.Module && o.Group == s.Group && q <= p.Seq {
			return true
		}
	}
	return false
}

// blocked reports whether a simple remote tx meets a register that the open
// batch has changed.
func (e *Engine) blocked(t *tx) bool {
	if t.b.Indexed() || len(t.txn.Ops) != 1 {
		return false
	}
	op := &t.txn.Ops[0]
	t.key = appendRegisterKey(t.key[:0], op.File, op.Address)
	return t.c.isTouched(xxhash.Sum64(t.key))
}

// load reads a register's set into t.standing; file is nil when it is not
// known here, born says that the address cannot have been used before. Data is
// copied into the arena.
func (t *tx) load(file *file, f origin.FileID, addr []byte, born bool) error {
	t.key = appendRegisterKey(t.key[:0], f, addr)
	t.hash = xxhash.Sum64(t.key)
	t.standing = t.standing[:0]
	if born || file != nil && file.stat.present.absent(t.hash) {
		return nil
	}
	v, closer, err := t.r.Get(t.key)
	if err == pebble.ErrNotFound {
		if file != nil {
			t.c.presences.missed(file)
		}
		return nil
	}
	if err != nil {
		return err
	}
	from := len(t.arena)
	t.arena = append(t.arena, v...)
	closer.Close()
	t.standing, err = record.DecodeSet(t.standing, t.arena[from:])
	if err != nil {
		return fmt.Errorf("register %v %s: %w", f, record.String(addr), err)
	}
	return nil
}

func visible(set []origin.Version) *origin.Version {
	if len(set) == 0 || set[0].Tombstone {
		return nil
	}
	return &set[0]
}

func greatestLife(set []origin.Version) uint32 {
	var l uint32
	for i := range set {
		l = max(l, set[i].Life)
	}
	return l
}

// planChange checks one change against what stands, and plans its operations.
func (t *tx) planChange(i int, ch *change) error {
	f := ch.file
	addr := t.bornHere(ch.addr)
	born := false // the address is new with this very operation
	out := &t.req.out[i]
	if ch.kind == insert && addr == nil {
		birth := origin.Birth{Stamp: t.own.Stamp, Dot: origin.OpDot{Dot: t.own.Dot, Index: uint32(len(t.plan))}}
		switch {
		case f.numbered():
			n, err := t.nextNumber(f)
			if err != nil {
				return err
			}
			addr = record.AppendNumber(nil, uint64(n))
		case f.identity != nil:
			addr = record.AppendKey(nil, f.identity.number, f.identity.AppendKeyOf(nil, ch.data))
		default:
			hole, err := t.hole(f, len(ch.data))
			if err != nil {
				return err
			}
			if addr = hole; addr == nil {
				addr, born = record.AppendBorn(nil, birth), true
			}
		}
	}
	if err := t.load(f, f.id, addr, born); err != nil {
		return err
	}
	if !t.b.Indexed() && t.c.isTouched(t.hash) {
		return errCut
	}
	cur := visible(t.standing)
	if cur != nil && f.stat.parked.Load() > 0 {
		if p, err := t.e.isParked(t.r, f.id, addr); err != nil {
			return err
		} else if p && ch.kind != insert {
			cur = nil
		}
	}
	erase := ch.kind == remove || ch.kind == resolve && ch.data == nil
	if isEntry(addr) {
		x := f.entryIndex(addr, nil)
		if x == nil {
			return fmt.Errorf("write %s %s: %w", f.rel, record.String(addr), call.IndexNotFound)
		}
		if cur != nil && cur.Birth.Stamp < x.birth.Stamp {
			cur = nil // of another index of that name
		}
		if ch.kind == remove && t.planned(f, addr) {
			out.addr = addr
			return nil // with its record
		}
	}
	if ch.data == nil {
		ch.data = []byte{}
	}
	op := origin.Operation{Kind: origin.Write, File: f.id, Address: addr, Data: ch.data, Life: 1 + greatestLife(t.standing)}
	switch ch.kind {
	case insert:
		if ch.limit > 0 && f.stat.records.Load() >= ch.limit {
			return fmt.Errorf("write %s: %d messages: %w", f.rel, ch.limit, call.QueueFull)
		}
		if cur != nil {
			if f.numbered() && !isEntry(addr) {
				return fmt.Errorf("write %s record %s: %w", f.rel, record.String(addr), call.RecordAlreadyExists)
			}
			return fmt.Errorf("write %s %s: %w", f.rel, record.String(addr), call.InvalidDuplicateKey)
		}
		op.Birth = ch.birth
	case rewrite, remove:
		if cur == nil {
			return fmt.Errorf("rewrite %s %s: %w", f.rel, record.String(addr), call.RecordNotFound)
		}
		op.Life, op.Birth = cur.Life, cur.Birth
		if ch.moved {
			op.Birth = ch.birth
		}
		if ch.hasSeen {
			op.Unseen = t.unseen(ch.seen)
		}
	}
	if ch.kind == resolve {
		op.Closes = ch.closes
		if len(t.standing) > 0 && (erase || cur != nil) {
			op.Life, op.Birth = t.standing[0].Life, t.standing[0].Birth
		}
	}
	op.Hidden = t.hidden(ch, op.Unseen)
	if erase {
		op.Kind, op.Data = origin.Delete, nil
	}
	// A rewrite that changes the identity key deletes the old key with the
	// next life, and creates the new one.
	if ch.kind == rewrite && f.identity != nil && len(addr) > 5 && addr[0] == record.KindKey && [4]byte(addr[1:5]) == f.identity.number {
		key := f.identity.AppendKeyOf(nil, ch.data)
		if string(key) != string(addr[5:]) {
			gone := op
			gone.Kind, gone.Data, gone.Life = origin.Delete, nil, op.Life+1
			birth := cur.Birth
			t.plan = append(t.plan, planned{f, gone, -1})
			addr = record.AppendKey(nil, f.identity.number, key)
			if err := t.load(f, f.id, addr, false); err != nil {
				return err
			}
			if !t.b.Indexed() {
				// Two registers: they share no batch with others' changes of them.
				if t.c.isTouched(t.hash) {
					return errCut
				}
			}
			if visible(t.standing) != nil {
				return fmt.Errorf("rewrite %s %s: %w", f.rel, record.String(addr), call.InvalidDuplicateKey)
			}
			op = origin.Operation{Kind: origin.Write, File: f.id, Address: addr, Data: ch.data, Life: 1 + greatestLife(t.standing), Birth: birth}
			op.Hidden = t.hidden(&change{}, nil)
		}
	}
	dot := origin.OpDot{Dot: t.own.Dot, Index: uint32(len(t.plan))}
	out.addr, out.dot, out.birth = addr, dot, op.Birth
	if op.Birth.IsZero() {
		out.birth = origin.Birth{Stamp: t.own.Stamp, Dot: dot}
	}
	t.plan = append(t.plan, planned{f, op, i})
	if erase && isRecord(addr) {
		return t.planKeys(f, op.Birth)
	}
	return nil
}

// unseen lists the standing versions of other modules that a reader was not
// shown.
func (t *tx) unseen(seen []origin.OpDot) []origin.OpDot {
	var l []origin.OpDot
	if mutant.On(mutant.TellNoUnseen) {
		return nil
	}
	for i := range t.standing {
		v := &t.standing[i]
		if !v.Tombstone && v.Dot.Module != t.e.cfg.Self && !slices.Contains(seen, v.Dot) {
			l = append(l, v.Dot)
		}
	}
	return l
}

// hidden lists what a change covers though its writer was not shown it: the
// losers that stood beside the shown version, with other bytes.
func (t *tx) hidden(ch *change, unseen []origin.OpDot) []origin.OpDot {
	if mutant.On(mutant.TellNoHidden) {
		return nil
	}
	if len(t.standing) == 0 || len(t.standing) == 1 && (!ch.hasSeen || len(ch.seen) < 2) {
		return nil
	}
	var shown *origin.Version
	for i := range t.standing {
		v := &t.standing[i]
		if slices.Contains(unseen, v.Dot) {
			continue
		}
		// What the port showed, or, behind its back, another program of this
		// module wrote; without a read, what stands first.
		at := slices.Index(ch.seen, v.Dot)
		if i == 0 && at <= 0 || ch.hasSeen && at == 0 {
			shown = v
			break
		}
	}
	var l []origin.OpDot
	for i := range t.standing {
		v := &t.standing[i]
		if v == shown || slices.Contains(unseen, v.Dot) || shown != nil && sameVersion(v, shown) {
			continue
		}
		l = append(l, v.Dot)
	}
	return l
}

// sameVersion reports whether two versions say the same of a record.
func sameVersion(a, b *origin.Version) bool {
	return a.Tombstone == b.Tombstone && (a.Tombstone || bytes.Equal(a.Data, b.Data))
}

// highest is the highest record number in use.
func (t *tx) highest(f *file) (int64, error) {
	if f.stat.highest >= 0 && !t.b.Indexed() {
		return f.stat.highest, nil
	}
	n, err := highestNumber(t.r, f.id)
	if err == nil {
		f.stat.highest = n
	}
	return n, err
}

func highestNumber(r pebble.Reader, id origin.FileID) (int64, error) {
	prefix := append(appendFileKey(nil, keyRegister, id), record.KindNumber)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	var set []origin.Version
	for it.Last(); it.Valid(); it.Prev() {
		v, err := it.ValueAndErr()
		if err != nil {
			return 0, err
		}
		if set, err = record.DecodeSet(set[:0], v); err != nil {
			return 0, err
		}
		if visible(set) != nil {
			n, _ := record.Number(it.Key()[filePrefix:])
			return int64(n), nil
		}
	}
	return 0, it.Error()
}

// checkUnique refuses a value of a unique index that another record has, or
// that two records of this request would have.
func (t *tx) checkUnique() error {
	if len(t.plan) == 1 && t.plan[0].f.plain() {
		return nil // the register itself is the identity key's only place
	}
	gone := map[string]bool{} // entries that this request removes
	type taken struct {
		f   *file
		ix  *index
		key []byte
		e   string
	}
	var take []taken
	for i := range t.plan {
		p := &t.plan[i]
		if p.f.deleted {
			continue
		}
		if err := t.load(p.f, p.f.id, p.op.Address, false); err != nil {
			return err
		}
		old := visible(t.standing)
		if isEntry(p.op.Address) {
			x := p.f.entryIndex(p.op.Address, nil)
			if x == nil || x.Duplicates {
				continue
			}
			if old != nil {
				if k, err := entryKey(t.r, p.f, x, p.op.Address, old.Birth); err != nil {
					return err
				} else if k != nil {
					gone[string(k)] = true
				}
			}
			if p.op.Kind == origin.Write {
				_, key, _, _ := record.Entry(p.op.Address)
				take = append(take, taken{p.f, x, record.AppendSorted(nil, key, true), string(p.op.Address)})
			}
			continue
		}
		for _, ix := range p.f.indexes {
			if ix.Duplicates {
				continue
			}
			if old != nil {
				gone[string(appendEntryKey(nil, keyIndex, p.f.id, ix.number, ix.AppendKeyOf(nil, old.Data), old.Birth, p.op.Address))] = true
			}
			if p.op.Kind == origin.Write {
				key := ix.AppendKeyOf(nil, p.op.Data)
				if ix.IsNull(key) {
					continue
				}
				if old != nil && string(key) == string(ix.AppendKeyOf(nil, old.Data)) {
					continue // keeps what it has, or what it is withheld from
				}
				take = append(take, taken{p.f, ix, key, string(p.op.Address)})
			}
		}
	}
	seen := map[string]string{}
	for _, w := range take {
		prefix := append(append(appendFileKey(nil, keyIndex, w.f.id), w.ix.number[:]...), w.key...)
		if a, ok := seen[string(prefix)]; ok && a != w.e {
			return fmt.Errorf("write %s index %s key %q: %w", w.f.rel, w.ix.Name, w.key, call.InvalidDuplicateKey)
		}
		seen[string(prefix)] = w.e
		err := scanPrefix(t.r, prefix, func(k, _ []byte) error {
			if !gone[string(k)] {
				return fmt.Errorf("write %s index %s key %q: %w", w.f.rel, w.ix.Name, w.key, call.InvalidDuplicateKey)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// covers tells whether the writer of operation i had seen a version.
func (t *tx) covers(op *origin.Operation, local bool) func(origin.OpDot) bool {
	return func(d origin.OpDot) bool {
		if mutant.On(mutant.TruncateAll) && op.Kind == origin.Truncate {
			return true
		}
		if mutant.On(mutant.ForgetUnseen) && !local {
			return d.Stream == t.txn.Dot.Stream || t.ctx.Has(d.Dot)
		}
		if !local && d.Stream != t.txn.Dot.Stream && !t.ctx.Has(d.Dot) {
			return false
		}
		return !slices.Contains(op.Unseen, d)
	}
}

// stageOp writes operation i of t.txn: the register's new set, all that is
// derived from it, ledger entries and counters.
func (t *tx) stageOp(i int, local bool) error {
	op := &t.txn.Ops[i]
	share, isCatalog := t.e.cat.catalogShare(op.File)
	f := t.e.cat.file(op.File)
	if f != nil {
		share = f.share
	}
	by := origin.OpDot{Dot: t.txn.Dot, Index: uint32(i)}
	if op.Kind == origin.Truncate {
		return t.truncate(f, share, op, by, local)
	}
	t.e.acct.add(share, Count{t.txn.Dot.Stream, Written, 1})
	v := t.txn.Version(i)
	// What planChange loaded for the one change of a simple tx still stands.
	if !(local && len(t.plan) == 1 && !t.b.Indexed()) {
		t.key = record.AppendBorn(t.key[:0], v.Birth)
		born := v.Birth.Dot == by && bytes.Equal(op.Address, t.key)
		if err := t.load(f, op.File, op.Address, born); err != nil {
			return err
		}
	}
	if isCatalog {
		t.notice(op)
	}
	return t.put(f, share, isCatalog, op.Address, &v, by, t.covers(op, local))
}

// put lets a version (nil: a truncate) meet the set in t.standing.
func (t *tx) put(f *file, share string, isCatalog bool, addr []byte, v *origin.Version, by origin.OpDot, covers func(origin.OpDot) bool) error {
	file := origin.FileID{}
	if f != nil {
		file = f.id
	} else if isCatalog {
		file = record.CatalogID(share)
	} else {
		file = t.txn.Ops[by.Index].File
	}
	var old *origin.Version
	if o := visible(t.standing); o != nil {
		c := *o
		old = &c
	}
	if err := t.image(share, by, file, addr, old); err != nil {
		return err
	}
	var next []origin.Version
	switch {
	case v != nil && len(t.standing) == 0 && (t.e.cfg.Decide == nil || len(t.txn.Ops[by.Index].Closes) == 0):
		t.next[0] = *v
		next = t.next[:1]
		t.e.acct.add(share, Count{v.Dot.Stream, Live, 1})
	case len(t.standing) == 1 && (covers(t.standing[0].Dot) && len(t.txn.Ops[by.Index].Hidden) == 0 && len(t.txn.Ops[by.Index].Closes) == 0 || t.e.cfg.Decide == nil && v != nil):
		gone := &t.standing[0]
		t.e.acct.add(share, Count{gone.Dot.Stream, Live, -1})
		fate := Overwritten
		if v == nil || v.Tombstone {
			fate = Deleted
		}
		t.e.acct.add(share, Count{gone.Dot.Stream, fate, 1})
		if v != nil {
			t.next[0] = *v
			next = t.next[:1]
			t.e.acct.add(share, Count{v.Dot.Stream, Live, 1})
		}
	case t.e.cfg.Decide == nil:
		if v != nil {
			next = []origin.Version{*v}
		}
	default:
		d := t.e.cfg.Decide(Decision{Share: share, File: file, Address: addr, Standing: t.standing, Incoming: v, By: by, Txn: t.txn, Covers: covers})
		next = d.Next
		for _, w := range d.Writes {
			var err error
			if mutant.On(mutant.LedgerApart) {
				t.c.apart = append(t.c.apart, w)
				continue
			}
			if w.Value == nil {
				err = t.b.Delete(w.Key, nil)
			} else {
				err = t.b.Set(w.Key, w.Value, nil)
			}
			if err != nil {
				return err
			}
		}
		for _, c := range d.Counts {
			t.e.acct.add(share, c)
		}
	}
	if f != nil && (f.records != nil || f.holes != nil) {
		if err := t.places(f, addr, t.standing, next); err != nil {
			return err
		}
	}
	t.key = appendRegisterKey(t.key[:0], file, addr)
	hash := xxhash.Sum64(t.key)
	if !t.b.Indexed() {
		t.c.touch(hash)
	}
	if f != nil {
		t.c.coming = append(t.c.coming, hash)
	}
	if f != nil && len(next) > 0 {
		t.c.presences.came(f, hash)
	}
	if s := t.summaryOf(f, share, isCatalog); s != nil {
		s.changed(hash, t.standing, next)
	}
	if len(next) == 0 {
		if err := t.b.Delete(t.key, nil); err != nil {
			return err
		}
	} else {
		t.val = record.AppendSet(t.val[:0], next)
		if err := t.b.Set(t.key, t.val, nil); err != nil {
			return err
		}
		if next[0].Tombstone && len(next) == 1 {
			t.key = appendTombstoneKey(t.key[:0], next[0].Stamp, file, addr)
			if err := t.b.Set(t.key, nil, nil); err != nil {
				return err
			}
		}
	}
	if isCatalog {
		return t.catalogChanged(share, addr, next)
	}
	if f == nil {
		return nil
	}
	if f.stream() && (addr[0] == record.KindWhole || addr[0] == record.KindKept) {
		if err := t.keptChanged(f); err != nil {
			return err
		}
	}
	return t.derive(f, addr, old, visible(next))
}
