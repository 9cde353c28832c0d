package vosio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/origin/journal"
	"drmesh/origin/mutant"
	"drmesh/vosio/call"
)

// Bounds of one batch: it is cut when it holds this much, so that nobody waits
// for a batch that never ends.
const (
	batchRequests = 512
	batchBytes    = 1 << 20
)

// linger is how long after the beginning of a flush the next one may begin that
// is of other modules' txns alone.
const linger = time.Millisecond

// request is one turn of the committer.
type request struct {
	process string
	// Exactly one of these says what to do.
	changes []change        // record changes of a local call or transaction
	expect  []expectation   // with changes: what the transaction read must still stand
	build   func(*tx) error // a call on files: adds operations to the tx
	remote  *remoteTxn      // a txn of another module
	admin   func(*tx) error // writes of the engine's own: no txn
	look    func()          // a look at the committer's state, between batches

	// One of these, or none, learns the outcome when it is as durable as the
	// share asks. The functions must not block.
	done   chan error      // capacity 1
	share  *Share          // of a local change, once it has its place
	dot    origin.Dot      // its place
	takes  bool            // it takes messages off queues
	told   func(error)     // called by committer or acknowledger
	failed func(error)     // called by the committer, with an error alone
	ctx    context.Context // with line: who wants it
	line   *line           // with told: that of its process; nil: who asks does so again
	resume *line           // alone: the line to go on with
	out    []committed     // for changes: where they went
	err    error           // Inline
}

// acknowledge answers for a change that is durable here, when its share's other
// conditions are met.
func (r *request) acknowledge() {
	if r.err == nil && r.share != nil {
		ask := r.share.Acknowledge
		if r.takes && r.share.AcknowledgeTaken != nil {
			ask = r.share.AcknowledgeTaken
		}
		if ask != nil {
			ask(r.dot, r.answer)
			return
		}
	}
	r.answer(r.err)
}

// answer tells the outcome to who asked.
func (r *request) answer(err error) {
	switch {
	case r.done != nil:
		r.done <- err
	case r.told != nil:
		r.told(err)
	case r.failed != nil && err != nil:
		r.failed(err)
	}
}

// remoteTxn is a txn as it came, in the bytes that go on to others.
type remoteTxn struct {
	txn   *origin.Txn
	entry []byte
	carry bool // keep and relay it; its shares are not here
}

// change is one intended change of a record.
type change struct {
	file *file
	kind changeKind
	// addr is the record's address. An insert may leave it nil: the committer
	// takes the next number, the identity key or the birth, as the file has.
	addr []byte
	data []byte
	// seen are the dots that stood when the port read the record; hasSeen
	// says that it did. Without, the write has seen all.
	seen    []origin.OpDot
	hasSeen bool
	closes  []origin.OpDot // losers that a person deals with by it
	born    origin.Birth   // of an insert: the birth by which entries in the same request know it
	birth   origin.Birth   // of an insert, if it is not zero: the birth that it gets, of a copy
	moved   bool           // of a rewrite: another record takes this place, and brings its birth, or a new one
	limit   int64          // of an insert, if it is not 0: e$queue_full when so many stand
}

// expectation is a register that a transaction read or wrote: if other
// versions stand by the time of its commit, a remote change overtook it.
type expectation struct {
	file origin.FileID
	addr []byte
	dots []origin.OpDot
}

type changeKind uint8

const (
	insert changeKind = iota + 1
	rewrite
	remove
	resolve // what a person says is to stand; without data, nothing
)

// committed says where a change went.
type committed struct {
	addr  []byte
	birth origin.Birth
	dot   origin.OpDot
}

// flight is a batch on its way to the disk. The committer makes it, the
// acknowledger ends it.
type flight struct {
	b        *pebble.Batch // nil: a timer is to be set, and no more
	waiters  []*request
	vector   []origin.StreamPosition // durable with it: its own, and of batches before it that were not flushed
	interval time.Duration           // when what was not flushed must be
}

// unflushed are the batches that were applied, and answered, and not flushed.
type unflushed struct {
	mu    sync.Mutex // protects what follows; held for no I/O
	any   bool
	armed bool // the acknowledger has a timer for them
	to    map[origin.Stream]origin.Position
}

// take gives the positions of all of them, in order of stream; they are the
// caller's to flush. any is false if there are none.
func (u *unflushed) take() (l []origin.StreamPosition, any bool) {
	for s, p := range u.to {
		l = append(l, origin.StreamPosition{Stream: s, Position: p})
	}
	clear(u.to)
	any, u.any = u.any, false
	slices.SortFunc(l, func(a, b origin.StreamPosition) int { return a.Stream.Compare(b.Stream) })
	return l, any
}

// committer is the state of the one write path. It belongs to who has the
// engine's turn: the committer's goroutine, or a caller whose change waits for
// nothing.
type committer struct {
	e *Engine

	// The batch being built.
	b        *pebble.Batch
	app      *journal.Appender
	began    bool
	sync     bool
	interval time.Duration
	bytes    int
	n        int       // requests in b
	remote   int       // those of them that are other modules' txns
	cutAt    time.Time // when a batch was last handed on to be flushed
	flying   bool      // a flush is under way, as far as the committer knows
	waiters  []*request
	coming   []uint64            // hashes of the registers that b changes
	touched  map[uint64]struct{} // registers changed in b: hashes, a false hit only cuts the batch
	streams  map[origin.Stream]struct{}
	stats    map[*file]struct{}
	notices  []notice // of s$notify_path in b, in order

	// What a new entry names.
	contexts map[origin.Stream]origin.Context              // full context of each remote stream's last txn
	pending  map[origin.Group]map[origin.Stream]origin.Seq // applied since our own last txn of the group
	localSeq origin.Seq                                    // numbers changes of unshared files
	// Groups that a snapshot is being put into: no txn of theirs is taken.
	installing map[origin.Group]bool

	lines map[*line]struct{} // that stand still

	late      lateKeys
	apart     []Write // of a planted bug: what is written after the batch
	presences presences

	t tx // reused
}

func (c *committer) init(e *Engine) {
	c.e = e
	c.touched = map[uint64]struct{}{}
	c.streams = map[origin.Stream]struct{}{}
	c.stats = map[*file]struct{}{}
	c.contexts = map[origin.Stream]origin.Context{}
	c.pending = map[origin.Group]map[origin.Stream]origin.Seq{}
	c.installing = map[origin.Group]bool{}
	c.lines = map[*line]struct{}{}
	c.b = e.db.NewBatch()
	c.recount()
}

// recount sets what a new entry must name after start, or after a snapshot was
// adopted: all that is applied, less what our own last txn named. Naming a
// stream twice is harmless.
func (c *committer) recount() {
	c.pending = map[origin.Group]map[origin.Stream]origin.Seq{}
	for s, p := range c.e.j.Tails() {
		if s.Group == 0 {
			c.localSeq = max(c.localSeq, p.Seq)
			continue
		}
		if mutant.On(mutant.RecountNot) {
			continue
		}
		c.noteApplied(s, p.Seq)
	}
	clear(c.contexts)
}

func (c *committer) noteApplied(s origin.Stream, q origin.Seq) {
	m := c.pending[s.Group]
	if m == nil {
		m = map[origin.Stream]origin.Seq{}
		c.pending[s.Group] = m
	}
	m[s] = q
}

// takeContext lists what was applied in a group since the own stream's last
// txn, in order, and forgets it.
func (c *committer) takeContext(dst []origin.StreamSeq, own origin.Stream) []origin.StreamSeq {
	m := c.pending[own.Group]
	if len(m) == 0 {
		return dst
	}
	for s, q := range m {
		if s != own {
			dst = append(dst, origin.StreamSeq{Stream: s, Seq: q})
		}
	}
	clear(m)
	if mutant.On(mutant.ContextLess) && len(dst) > 1 {
		slices.SortFunc(dst, func(a, b origin.StreamSeq) int { return a.Stream.Compare(b.Stream) })
		dst = dst[:len(dst)-1]
	}
	slices.SortFunc(dst, func(a, b origin.StreamSeq) int { return a.Stream.Compare(b.Stream) })
	return dst
}

// commitLoop is the committer. It ends when the engine closes, after it
// answered what was queued.
func (e *Engine) commitLoop() {
	defer e.wg.Done()
	defer func() {
		e.turn.Lock() // a caller that is at it hands on what it made; later ones see the end
		close(e.acks)
		e.turn.Unlock()
	}()
	c := &e.c
	wait := time.NewTimer(time.Hour)
	defer wait.Stop()
	for {
		var r *request
		select {
		case r = <-e.queue:
		case <-e.closed:
			for {
				select {
				case r := <-e.queue:
					r.answer(ErrClosed)
				default:
					c.dropLines()
					return
				}
			}
		}
		e.turn.Lock()
		c.handle(r)
	drain:
		for c.n < batchRequests && c.bytes < batchBytes {
			select {
			case r = <-e.queue:
				c.handle(r)
				continue
			default:
			}
			if c.n > 0 && c.sync && !c.flying && c.remote == c.n {
				// Nobody here waits for other modules' txns. While many come
				// they share a flush, which leaves the disk to others' flushes.
				if d := time.Until(c.cutAt.Add(linger)); d > 0 {
					wait.Reset(d)
					select {
					case r = <-e.queue:
						c.handle(r)
						continue
					case <-wait.C:
					}
				}
			}
			if c.n == 0 || !c.sync || !c.flying {
				break drain
			}
			// A flush is under way: whoever comes before it ends shares the
			// next one. Alone, nobody waits here.
			select {
			case r = <-e.queue:
				c.handle(r)
			case <-e.landed:
				c.flying = false
			}
		}
		c.cut()
		e.turn.Unlock()
	}
}

// commitHere carries a request out in its caller, if nobody else is at it and
// its changes are answered without a flush: to wake the committer and to be
// woken costs more than the change. false: it is for the queue.
func (e *Engine) commitHere(r *request) bool {
	if r.changes == nil || r.line != nil || len(e.queue) > 0 {
		return false
	}
	for i := range r.changes {
		f := r.changes[i].file
		if f.share == "" {
			if e.ownInterval.Load() == 0 {
				return false
			}
		} else if s := e.table().Share(f.share); s == nil || s.Interval == 0 {
			return false
		}
	}
	if !e.turn.TryLock() {
		return false
	}
	defer e.turn.Unlock()
	if e.closing() {
		return false
	}
	e.c.handle(r)
	e.c.cut()
	return true
}

// ackLoop waits for batches in order, marks what is durable, and answers.
func (e *Engine) ackLoop() {
	defer e.wg.Done()
	var timer *time.Timer
	var due <-chan time.Time
	flushed := func(v []origin.StreamPosition) {
		if len(v) > 0 {
			e.j.MarkDurable(v)
			if e.cfg.Durable != nil {
				e.cfg.Durable(v)
			}
		}
	}
	flush := func() {
		e.unflushed.mu.Lock()
		v, any := e.unflushed.take()
		e.unflushed.armed = false
		e.unflushed.mu.Unlock()
		if !any {
			return // another batch took them with it
		}
		if err := e.db.LogData(nil, pebble.Sync); err != nil {
			e.fatal("flush", err)
		}
		flushed(v)
	}
	for {
		select {
		case f, ok := <-e.acks:
			if !ok {
				flush()
				return
			}
			if f.b == nil {
				if timer == nil {
					timer = time.NewTimer(f.interval)
				} else {
					timer.Reset(f.interval)
				}
				due = timer.C
				continue
			}
			if err := f.b.SyncWait(); err != nil {
				e.fatal("flush", err)
			}
			f.b.Close()
			select {
			case e.landed <- struct{}{}:
			default:
			}
			flushed(f.vector)
			for _, w := range f.waiters {
				w.acknowledge()
			}
		case <-due:
			due = nil
			flush()
		}
	}
}

// fatal ends the process: after a failed write or flush nobody can say what is
// durable, so nothing may be answered or sent any more.
func (e *Engine) fatal(op string, err error) {
	e.cfg.Logger.Error("storage failed; the node stops so that nothing is acknowledged that may be lost", "op", op, "err", err)
	panic(fmt.Sprintf("vosio: %s: %v: start the node again when the disk works", op, err))
}

// errCut says that a request needs what the open batch holds: cut it, then try
// again.
var errCut = errors.New("cut the batch")

// handle takes one request into the open batch, or answers it with its error.
func (c *committer) handle(r *request) {
	if r.look != nil {
		c.cut()
		r.look()
		r.answer(nil)
		return
	}
	if r.resume != nil {
		c.goOn(r.resume)
		return
	}
	if r.line != nil && c.queued(r) {
		return
	}
	err := c.try(r)
	if err == errCut {
		c.cut()
		err = c.try(r)
	}
	if err != nil && r.line != nil && passes(err) && c.hold(r) {
		return
	}
	if err != nil {
		r.err = err
		r.answer(err)
		return
	}
	c.n++
	if r.remote != nil {
		c.remote++
	}
	if r.done != nil || r.told != nil {
		c.waiters = append(c.waiters, r)
	}
	if c.b.Indexed() {
		c.cut()
	}
}

// try stages a request. An error leaves nothing behind: all that can fail is
// checked before the first write.
func (c *committer) try(r *request) error {
	t := &c.t
	t.reset(c, r)
	simple := t.simple()
	if !simple {
		if c.n > 0 {
			return errCut
		}
		c.b.Close()
		c.b = c.e.db.NewIndexedBatch()
		t.r, t.b = c.b, c.b
	}
	err := t.run()
	if err != nil && !simple {
		c.b.Close()
		c.b = c.e.db.NewBatch()
		c.began = false
	}
	return err
}

// begin makes the journal ready to append to the open batch.
func (c *committer) begin() {
	if !c.began {
		c.app = c.e.j.Begin(c.b)
		c.began = true
	}
}

// cut applies the open batch and hands it to the acknowledger.
func (c *committer) cut() {
	if c.n == 0 {
		return
	}
	e := c.e
	if err := c.late.write(c.b); err != nil {
		e.fatal("index entries", err)
	}
	if c.began {
		if err := c.app.Finish(); err != nil {
			e.fatal("journal", err)
		}
	}
	for fl := range c.stats {
		if mutant.On(mutant.CountNot) {
			break
		}
		if err := fl.stat.save(c.b, fl.id); err != nil {
			e.fatal("counts", err)
		}
	}
	if mutant.On(mutant.AccountApart) && c.remote > 0 {
		// with the next own txn
	} else if err := e.acct.flush(c.b); err != nil {
		e.fatal("account", err)
	}
	if c.localSeq > 0 {
		if err := c.b.Set(keyLocalSeq, binary.BigEndian.AppendUint64(nil, uint64(c.localSeq)), nil); err != nil {
			e.fatal("local numbers", err)
		}
	}
	c.forgetHot()
	if e.cfg.Inline {
		c.sync = c.sync || !e.lazy
		opt := pebble.NoSync
		if c.sync && !mutant.On(mutant.AckEarly) {
			opt = pebble.Sync
		}
		if err := e.db.Apply(c.b, opt); err != nil {
			e.fatal("commit", err)
		}
		if mutant.On(mutant.LedgerApart) {
			c.writeApart()
		}
		c.changed()
		c.passOn()
		if c.sync {
			e.markInline()
		}
		c.b.Close()
	} else if c.sync {
		if c.flying {
			// Cut for another reason while a flush is under way.
			select {
			case <-e.landed:
			default:
			}
		}
		if err := e.db.ApplyNoSyncWait(c.b, pebble.Sync); err != nil {
			e.fatal("commit", err)
		}
		c.changed()
		c.flying, c.cutAt = true, time.Now()
		c.passOn()
		f := &flight{b: c.b, waiters: c.waiters}
		c.waiters = nil
		e.unflushed.mu.Lock()
		f.vector, _ = e.unflushed.take()
		e.unflushed.mu.Unlock()
		e.acks <- f
	} else {
		if err := e.db.Apply(c.b, pebble.NoSync); err != nil {
			e.fatal("commit", err)
		}
		c.changed()
		if c.passOn() {
			e.acks <- &flight{interval: c.interval}
		}
		c.b.Close()
		for _, w := range c.waiters {
			w.acknowledge()
		}
	}
	c.b = e.db.NewBatch()
	c.began, c.sync, c.interval, c.bytes, c.n, c.remote = false, false, 0, 0, 0, 0
	clear(c.waiters)
	c.waiters = c.waiters[:0]
	clear(c.touched)
	clear(c.streams)
	clear(c.stats)
	c.scanDue()
}

// passOn notes that the open batch was applied and is not flushed; true: nobody
// will flush it yet.
func (c *committer) passOn() bool {
	u := &c.e.unflushed
	u.mu.Lock()
	defer u.mu.Unlock()
	if c.began {
		for s := range c.streams {
			u.to[s] = c.e.j.Tail(s)
		}
	}
	u.any = true
	if c.sync || u.armed {
		return false
	}
	u.armed = true
	return true
}

// writeApart writes ledger entries after their batch: a planted bug.
func (c *committer) writeApart() {
	b := c.e.db.NewBatch()
	defer b.Close()
	for _, w := range c.apart {
		err := b.Set(w.Key, w.Value, nil)
		if w.Value == nil {
			err = b.Delete(w.Key, nil)
		}
		if err != nil {
			c.e.fatal("ledger", err)
		}
	}
	c.apart = nil
	if err := b.Commit(pebble.NoSync); err != nil {
		c.e.fatal("ledger", err)
	}
}

// changed tells the readers of the batch's files: it can be read now.
func (c *committer) changed() {
	for f := range c.stats {
		f.stat.generation.Add(1)
		f.stat.changing.Add(-1)
		if f.stat.queue != nil {
			f.stat.queue.arrived()
		}
	}
	for f := range c.stats {
		c.e.events.changed(f.id)
		c.e.watches.happened(f.id)
	}
	for _, n := range c.notices {
		c.e.events.notified(n)
		c.e.watches.happened(n.file)
	}
	c.notices = c.notices[:0]
}

// keyLocalSeq holds the last number given to a change of an unshared file.
var keyLocalSeq = []byte("vs")

// submitInline runs a request in its caller.
func (e *Engine) submitInline(r *request) error {
	e.inline.Lock()
	defer e.inline.Unlock()
	e.c.handle(r)
	e.c.cut()
	return r.err
}

// Flush makes all that is sequenced durable. It is for Inline engines.
func (e *Engine) Flush() error {
	e.inline.Lock()
	defer e.inline.Unlock()
	if err := e.db.LogData(nil, pebble.Sync); err != nil {
		return err
	}
	e.markInline()
	return nil
}

// SetLazy makes an Inline engine leave its batches unflushed until Flush.
func (e *Engine) SetLazy(lazy bool) {
	e.inline.Lock()
	defer e.inline.Unlock()
	e.lazy = lazy
}

func (e *Engine) markInline() {
	v, _ := e.unflushed.take()
	if len(v) == 0 {
		return
	}
	e.j.MarkDurable(v)
	if e.cfg.Durable != nil {
		e.cfg.Durable(v)
	}
}

// touch notes a register as changed in the open batch.
func (c *committer) touch(hash uint64) { c.touched[hash] = struct{}{} }

func (c *committer) isTouched(hash uint64) bool {
	_, ok := c.touched[hash]
	return ok
}

// finish gives the operations of a local tx their place in the stream: stamp,
// context and bytes, then the journal. It is the last thing that can fail.
func (t *tx) finish() error {
	c := t.c
	if len(t.txn.Ops) == 0 {
		return nil
	}
	if t.share == nil {
		c.localSeq = t.txn.Dot.Seq
		c.bytes += 64
		c.durability(time.Duration(c.e.ownInterval.Load()))
		return nil
	}
	if own := t.txn.Dot.Stream; t.txn.Dot.Seq == 1 {
		// What the module wrote under earlier incarnations is behind it.
		for s, p := range c.e.j.Tails() {
			if s.Group == own.Group && s.Module == own.Module && s != own && p.Seq > 0 {
				c.noteApplied(s, p.Seq)
			}
		}
	}
	t.txn.Context = c.takeContext(t.txn.Context[:0], t.txn.Dot.Stream)
	b, err := entry.Append(t.entry[:0], t.txn)
	t.entry = b
	if err != nil {
		for _, e := range t.txn.Context {
			c.noteApplied(e.Stream, e.Seq)
		}
		return fmt.Errorf("commit %v: %w: %v", t.txn.Dot, call.TxnTooLarge, err)
	}
	return nil
}

// append writes the journal entry of a staged tx.
func (t *tx) append(entry []byte) error {
	c := t.c
	c.begin()
	if _, err := c.app.Add(t.txn.Dot.Stream, t.txn.Dot.Seq, t.txn.Stamp, t.txn.Context, entry); err != nil {
		return err
	}
	c.streams[t.txn.Dot.Stream] = struct{}{}
	c.bytes += len(entry)
	if t.share != nil {
		t.req.share, t.req.dot = t.share, t.txn.Dot
	}
	return nil
}

// durability notes how the share wants its changes flushed: one that wants an
// answer to mean flushed makes the whole batch so.
func (c *committer) durability(interval time.Duration) {
	if interval == 0 {
		c.sync = true
	} else if c.interval == 0 || interval < c.interval {
		c.interval = interval
	}
}
