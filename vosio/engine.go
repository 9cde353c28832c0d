package vosio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/origin/clock"
	"drmesh/origin/journal"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// Decision is what the committer asks when a version meets a set with which
// it may be concurrent.
type Decision struct {
	Share    string
	File     origin.FileID
	Address  []byte
	Standing []origin.Version // visible first
	Incoming *origin.Version  // nil: a truncate
	By       origin.OpDot     // the operation
	Txn      *origin.Txn
	Covers   func(origin.OpDot) bool // what the operation's writer had seen
}

// Decided is the answer: the new set, and what goes into the same batch.
type Decided struct {
	Next   []origin.Version // visible first
	Writes []Write          // ledger entries
	Counts []Count
}

// Write is a key and value for the batch; a nil value deletes.
type Write struct{ Key, Value []byte }

// Config is what an engine is made of. The database and the journal are the
// node's; the engine writes to both and closes neither.
type Config struct {
	DB      *pebble.DB
	Journal *journal.Journal
	Clock   *clock.Clock
	Rules   Rules         // nil: Alone
	Self    origin.Module // 0: a module of no mesh
	Name    string        // %system#module
	Logger  *slog.Logger  // nil: discard
	// Decide settles a register; nil: a version replaces what stands. The
	// committer calls it; it must be a pure function.
	Decide func(Decision) Decided
	// Opened is told of each shared file that a program opens, by its full path;
	// it must not block.
	Opened func(path string)
	// Closed is told what was done on a port when it is closed. The program that
	// closes waits for it: it must not block.
	Closed func(FileCalls)
	// Durable is called after positions became durable, in order, by one
	// goroutine; it must not block.
	Durable func([]origin.StreamPosition)
	// Inline runs every commit in its caller, so that a simulator owns the
	// order of things.
	Inline bool
	// MoreNumbers is told that this module has few record numbers left that it
	// may give to new records of a file of a share; it must not block.
	MoreNumbers func(share string, f origin.FileID)
	// Floors gives a floor of each stream that may still write in a group; ok
	// is false where this module cannot say which those are. nil: it alone
	// writes.
	Floors func(origin.Group) (l []Floor, ok bool)
}

// Engine is the file system of one module. Close it before its database.
type Engine struct {
	stats *stats // what programs did
	cfg   Config
	db    *pebble.DB
	j     *journal.Journal
	rules atomic.Pointer[Rules]
	cat   *catalog
	acct  *account

	queue  chan *request // to the committer; bounded
	acks   chan *flight  // from the committer, in order; bounded
	landed chan struct{} // capacity 1: a flush ended
	closed chan struct{}
	once   sync.Once
	wg     sync.WaitGroup // committer, acknowledger, sweep

	inline    sync.Mutex // Inline: the committer's turn; guards the next
	lazy      bool
	turn      sync.Mutex // else: who has it is the committer. Held across a batch, and its waits
	c         committer  // owned under turn, or under inline
	unflushed unflushed

	full atomic.Bool  // local writes to shared files get e$disk_full
	slow atomic.Int64 // nanoseconds that each of them waits
	open atomic.Int64 // transactions
	// ownInterval is how many nanoseconds a change of a file of no share may be
	// answered before it is flushed; 0: it is flushed first.
	ownInterval atomic.Int64

	// epoch rises with what changes files otherwise than by batches of txns; see
	// kept.go.
	epoch atomic.Uint64
	keeps atomic.Int64 // scanners that ports keep

	procs struct {
		sync.Mutex
		list map[*Process]struct{}
		last uint64 // the number of the youngest
	}
	hot     hot
	locks   lockTable
	stable  stables
	queues  openQueues
	watches watches
	events  events
	writers writers
	tp      tpDefaults
	waiting atomic.Int64  // calls that wait for something to happen to a file
	ending  chan struct{} // closed when Close begins: waits end

	// Duplicates counts remote txns dropped because they were applied
	// already: the loops suppressed.
	Duplicates atomic.Int64
}

// ErrDuplicate says that a remote txn was applied already; it was dropped.
var ErrDuplicate = errors.New("applied already")

// ErrClosed says that the engine was closed under a call.
var ErrClosed = errors.New("the module's file system is closed")

// Open starts an engine on a database and the journal in it.
func Open(cfg Config) (*Engine, error) {
	if cfg.Rules == nil {
		cfg.Rules = Alone{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		cfg: cfg, db: cfg.DB, j: cfg.Journal, cat: newCatalog(),
		queue: make(chan *request, 1024), acks: make(chan *flight, 2), landed: make(chan struct{}, 1), closed: make(chan struct{}), ending: make(chan struct{}),
	}
	e.stats = newStats()
	e.unflushed.to = map[origin.Stream]origin.Position{}
	e.tp.p = defaultParameters
	e.queues.list = map[origin.FileID]*openQueue{}
	e.rules.Store(&cfg.Rules)
	e.cat.setPartial(cfg.Rules)
	e.procs.list = map[*Process]struct{}{}
	e.locks.init()
	var names []string
	for _, s := range cfg.Rules.Shares() {
		names = append(names, s.Name)
	}
	if err := e.cat.load(e.db, names); err != nil {
		return nil, err
	}
	acct, err := loadAccount(e.db)
	if err != nil {
		return nil, err
	}
	e.acct = acct
	e.c.init(e)
	if !cfg.Inline {
		e.wg.Add(3)
		go e.sweepLoop()
		go e.commitLoop()
		go e.ackLoop()
	}
	return e, nil
}

// Close ends all processes, answers what is queued, and stops. What was
// acknowledged is durable.
func (e *Engine) Close() error {
	e.once.Do(func() {
		close(e.ending)
		e.procs.Lock()
		var ps []*Process
		for p := range e.procs.list {
			ps = append(ps, p)
		}
		e.procs.Unlock()
		for _, p := range ps {
			p.Close()
		}
		close(e.closed)
		e.wg.Wait()
		e.endHot()
		if e.cfg.Inline {
			return
		}
	})
	return nil
}

// SetRules puts new control tables in force for all calls from now on, and
// makes their shares known.
func (e *Engine) SetRules(r Rules) error {
	for _, s := range r.Shares() {
		e.cat.mu.RLock()
		_, known := e.cat.shares[s.Name]
		e.cat.mu.RUnlock()
		if known {
			continue
		}
		// Registers of a share that was there before, and left the tables.
		tmp := newCatalog()
		if err := tmp.load(e.db, []string{s.Name}); err != nil {
			return err
		}
		e.cat.mu.Lock()
		e.cat.shares[s.Name] = tmp.shares[s.Name]
		e.cat.byID[record.CatalogID(s.Name)] = s.Name
		for id, f := range tmp.files {
			if f.share == s.Name {
				e.cat.files[id] = f
			}
		}
		e.cat.mu.Unlock()
	}
	e.rules.Store(&r)
	e.cat.setPartial(r)
	e.watches.all() // who takes messages may be another
	return nil
}

func (e *Engine) table() Rules { return *e.rules.Load() }

// SetFull makes local writes to shared files fail with e$disk_full, or lets
// them go on.
func (e *Engine) SetFull(full bool) { e.full.Store(full) }

// SetSlow has each local write of records to shared files wait before it is
// made; 0: none. Remote txns do not wait.
func (e *Engine) SetSlow(d time.Duration) { e.slow.Store(int64(d)) }

// SetOwnInterval has changes of files of no share answered at once and flushed
// so often, as a share's interval does; 0: they are flushed before their answer,
// as they are after the start.
func (e *Engine) SetOwnInterval(d time.Duration) { e.ownInterval.Store(int64(d)) }

// slowDown is the wait of SetSlow.
func (e *Engine) slowDown(ctx context.Context, r *request) error {
	d := time.Duration(e.slow.Load())
	if d <= 0 || e.cfg.Inline || !slices.ContainsFunc(r.changes, func(c change) bool { return c.file.share != "" }) {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closed:
		return ErrClosed
	}
}

// OpenTransactions is how many transactions of programs are open.
func (e *Engine) OpenTransactions() int64 { return e.open.Load() }

// place is where a full path leads.
type place struct {
	full  string
	share *Share // nil: the module's own
	name  string // share's name, '' without
	rel   string
}

func (e *Engine) resolve(full string) *place {
	s, rel := e.table().Locate(full)
	p := &place{full: full, share: s, rel: rel}
	if s != nil {
		p.name = s.Name
	}
	return p
}

// file finds a file by full path.
func (e *Engine) file(full string) (*file, error) {
	p := e.resolve(full)
	if f := e.cat.lookup(p.name, p.rel); f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("find %s: %w", full, call.ObjectNotFound)
}

// readable is file for who only reads: what the tables took out of a share that
// is still here stays where it was, until the module has a file of its own
// there. Nobody may write it, and no path leads a change to it.
func (e *Engine) readable(full string) (*file, error) {
	f, err := e.file(full)
	if err == nil || e.resolve(full).share != nil {
		return f, err
	}
	for _, s := range e.table().Shares() {
		if rel, ok := strings.CutPrefix(full, s.Root+">"); ok {
			if f := e.cat.lookup(s.Name, rel); f != nil {
				return f, nil
			}
		}
	}
	return nil, err
}

func (e *Engine) fileByID(id origin.FileID) *file { return e.cat.file(id) }

// submit hands a request to the committer and waits for its answer: nil when
// the change is as durable as its share asks. Writes to a share whose state is
// still to come wait for it, as long as for a lock, and so do those to one whose
// owner has no lease.
func (e *Engine) submit(ctx context.Context, r *request) error {
	if err := e.slowDown(ctx, r); err != nil {
		return err
	}
	err := e.submitOnce(ctx, r)
	for until := time.Now().Add(lockWait); passes(err) && !e.cfg.Inline && time.Now().Before(until); {
		select {
		case <-time.After(tryAgain):
		case <-ctx.Done():
			return err
		case <-e.ending:
			return ErrClosed
		}
		r.err = nil // of the try before
		err = e.submitOnce(ctx, r)
	}
	return err
}

// waits reports whether a write to a file has to wait at this moment: its
// share's state is still to come, or its owner has no lease.
func (e *Engine) waits(f *file) bool {
	s := e.table().Share(f.share)
	return s != nil && (s.Waiting || s.Lease != nil && !s.Lease())
}

func (e *Engine) submitOnce(ctx context.Context, r *request) error {
	if e.cfg.Inline {
		return e.submitInline(r)
	}
	select {
	case <-e.closed:
		return ErrClosed
	default:
	}
	if r.done == nil {
		r.done = make(chan error, 1)
	}
	if !e.commitHere(r) {
		if err := e.enqueue(ctx, r); err != nil {
			return err
		}
	}
	// Once queued, a change is not taken back: the caller waits for its
	// outcome, which comes within a flush.
	select {
	case err := <-r.done:
		return err
	case <-e.closed:
		select {
		case err := <-r.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// enqueue hands a request to the committer, which is to be at work.
func (e *Engine) enqueue(ctx context.Context, r *request) error {
	select {
	case e.queue <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closed:
		return ErrClosed
	}
}
