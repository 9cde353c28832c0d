// Package apply brings txns of other modules into effect here: whole, once, in
// the order of their streams, and after everything that their contexts name.
//
// The decision is the causal gate's (origin/causal), the effect the file
// system's one write path. Between them stands one goroutine, which owns the
// gate; it ends with Close. Txns are handed to the committer in the order in
// which the gate lets them go, and count as applied from then on, since the
// committer keeps that order.
//
// A txn that waits at the gate holds up its own stream only.
package apply

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"drmesh/origin"
	"drmesh/origin/causal"
	"drmesh/origin/entry"
)

// Engine is where txns take effect; vosio.Engine is one.
type Engine interface {
	ApplyLater(ctx context.Context, t *origin.Txn, entry []byte, carry bool, failed func(error)) error
}

// Config is what an Applier is made of.
type Config struct {
	Engine  Engine
	Applied origin.Context           // what is applied at the start, own streams too
	Comes   func(origin.Stream) bool // streams that come here
	// End tells where a stream ends, if it does; nil: none has an end. Nothing
	// beyond takes effect. Retry follows when one becomes known.
	End func(origin.Stream) (origin.Seq, bool)
	// Reported tells the furthest that members report to hold of a stream
	// whose module departs. nil: nothing.
	Reported func(origin.Stream) origin.Seq
	// Sealed are the modules that were sealed before the start; see Seal.
	Sealed map[origin.Module]origin.Context
	Carry  func(origin.Stream) bool // streams that are kept and relayed, not applied
	// Ready tells whether a policy epoch is known here. A txn of an unknown
	// one holds its stream until Retry.
	Ready func(policy uint64) bool
	// Far tells how far a txn is stamped ahead of the time here, and whether
	// that is too far to be taken. Such a txn holds its stream until Retry finds
	// that the time has come, or that somebody let it through.
	Far func(origin.Stream, origin.Stamp) (ahead time.Duration, far bool)
	// Hold tells whether a txn has to wait for a program here; if so, wake is
	// called once when it may be asked again, by any goroutine. However often
	// it says so, a txn is held for maxHold at most; its stream with it, and no
	// other. Nil: never.
	Hold   func(t *origin.Txn, wake func()) bool
	Logger *slog.Logger
	// Sick is told when a stream is held for what this module does not
	// understand; nil error: it goes on.
	Sick func(s origin.Stream, err error)
}

// Far is why a stream is held whose next txn is stamped in the future.
type Far struct {
	Dot   origin.Dot
	Stamp origin.Stamp
	Ahead time.Duration // of the time here when it came
}

func (f *Far) Error() string {
	return fmt.Sprintf("apply %v: it is stamped %v ahead of the time here: a clock is wrong, there or here", f.Dot, f.Ahead.Round(time.Millisecond))
}

// Applier is the sink of all received txns.
type Applier struct {
	cfg  Config
	wake chan struct{} // capacity 1
	stop chan struct{}
	done chan struct{}
	once sync.Once

	// Duplicates counts txns dropped because they were let through before.
	Duplicates atomic.Int64

	mu    sync.Mutex // protects what follows; never held across a send
	inbox []run
	own   []origin.Dot // of own streams, became durable
	retry bool
	woken bool // what Hold held back is to be looked at again
	reset origin.Context
	shut  []origin.Stream
	seals []seal

	gate   *causal.Gate // owned by the goroutine
	held   map[origin.Stream][]item
	since  map[origin.Stream]time.Time // of streams that Hold holds back: since when
	sicken map[origin.Stream]sickness
	broken map[origin.Stream]bool // an entry could not be read: nothing behind it is taken
	sealed map[origin.Module]origin.Context
}

// seal asks the goroutine to seal a module's streams, or to open them again.
type seal struct {
	module origin.Module
	at     chan origin.Context // capacity 1; nil: open them
}

type run struct {
	s       origin.Stream
	after   origin.Seq
	entries [][]byte
	lease   *lease
}

// lease counts the entries of a run that still hold its memory. The applier's
// goroutine owns it.
type lease struct {
	n       int
	release func()
}

func (l *lease) done(n int) {
	if l.n -= n; l.n == 0 && n > 0 && l.release != nil {
		l.release()
	}
}

type item struct {
	txn   *origin.Txn
	bytes []byte
	lease *lease
}

// New starts an applier.
func New(cfg Config) *Applier {
	a := &Applier{cfg: cfg, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		held: map[origin.Stream][]item{}, sicken: map[origin.Stream]sickness{}, broken: map[origin.Stream]bool{}, since: map[origin.Stream]time.Time{}, sealed: map[origin.Module]origin.Context{}}
	maps.Copy(a.sealed, cfg.Sealed)
	a.gate = a.newGate(cfg.Applied)
	go a.loop()
	return a
}

// Close stops the applier. What waits is forgotten: it comes again.
func (a *Applier) Close() {
	a.once.Do(func() { close(a.stop) })
	<-a.done
}

func (a *Applier) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Deliver takes over a verified run of a stream's entries. It does not block:
// release is called once all of them were let through or dropped, and only
// then the network grants credit for more; so what waits is bounded by the
// credit of each stream. Of a stream that does not go on here it is not called.
// Nothing says yet that the run took effect.
func (a *Applier) Deliver(s origin.Stream, after origin.Seq, entries [][]byte, release func()) {
	a.mu.Lock()
	a.inbox = append(a.inbox, run{s, after, entries, &lease{n: len(entries), release: release}})
	a.mu.Unlock()
	a.poke()
}

// Own tells that txns of our own streams became durable: others' contexts may
// name them. It never blocks.
func (a *Applier) Own(p []origin.StreamPosition) {
	a.mu.Lock()
	for _, e := range p {
		a.own = append(a.own, origin.Dot{Stream: e.Stream, Seq: e.Seq})
	}
	a.mu.Unlock()
	a.poke()
}

// Retry looks again at streams that were held for an unknown policy epoch.
func (a *Applier) Retry() {
	a.mu.Lock()
	a.retry = true
	a.mu.Unlock()
	a.poke()
}

// Shut lets nothing more of a stream through, from the runs on that are
// delivered after it: its writer worked on a history that is not the one here.
// Its memory stays charged, so that no more comes.
func (a *Applier) Shut(s origin.Stream) {
	a.mu.Lock()
	a.shut = append(a.shut, s)
	a.mu.Unlock()
	a.poke()
}

// Seal lets nothing more of a module's streams take effect than did, but for
// what other members report to hold. It gives the seqs that were handed to the
// engine; a second time, the same. So a report of them stays true: a module
// that departs, or whose departure somebody else asked for, may go on sending.
func (a *Applier) Seal(ctx context.Context, m origin.Module) (origin.Context, error) {
	at := make(chan origin.Context, 1)
	a.mu.Lock()
	a.seals = append(a.seals, seal{m, at})
	a.mu.Unlock()
	a.poke()
	select {
	case c := <-at:
		return c, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("seal the streams of module %d: %w", m, ctx.Err())
	case <-a.done:
		return nil, fmt.Errorf("seal the streams of module %d: the applier is closed", m)
	}
}

// Unseal ends Seal, where the departure is over.
func (a *Applier) Unseal(m origin.Module) {
	a.mu.Lock()
	a.seals = append(a.seals, seal{module: m})
	a.mu.Unlock()
	a.poke()
}

// seal runs on the goroutine.
func (a *Applier) seal(x seal) {
	if x.at == nil {
		delete(a.sealed, x.module)
		return
	}
	c, ok := a.sealed[x.module]
	if !ok {
		c = origin.Context{}
		for s, q := range a.gate.At() {
			if s.Module == x.module {
				c[s] = q
			}
		}
		a.sealed[x.module] = c
	}
	x.at <- c.Clone()
}

// limit is the gate's: of streams that are sealed.
func (a *Applier) limit(s origin.Stream) (origin.Seq, bool) {
	c, ok := a.sealed[s.Module]
	if !ok {
		return 0, false
	}
	q := c[s]
	if a.cfg.Reported != nil {
		q = max(q, a.cfg.Reported(s))
	}
	return q, true
}

// cut drops what waits beyond ends.
func (a *Applier) cut() {
	for _, it := range a.gate.Cut() {
		it.Opaque.(item).lease.done(1)
	}
	if a.cfg.End == nil {
		return
	}
	for s, l := range a.held {
		end, ok := a.cfg.End(s)
		if !ok {
			continue
		}
		i := slices.IndexFunc(l, func(it item) bool { return it.txn.Dot.Seq > end })
		if i < 0 {
			continue
		}
		for _, it := range l[i:] {
			it.lease.done(1)
		}
		if a.held[s] = l[:i:i]; i == 0 {
			delete(a.held, s)
		}
	}
}

// maxHold bounds how long a txn is held back for a program.
const maxHold = 200 * time.Millisecond

func (a *Applier) wakeHeld() {
	a.mu.Lock()
	a.woken = true
	a.mu.Unlock()
	a.poke()
}

// waits reports whether a txn is to be held back now.
func (a *Applier) waits(t *origin.Txn) bool {
	if a.cfg.Hold == nil {
		return false
	}
	s := t.Dot.Stream
	since, held := a.since[s]
	if held && time.Since(since) >= maxHold || !a.cfg.Hold(t, a.wakeHeld) {
		if held {
			delete(a.since, s)
		}
		return false
	}
	if !held {
		a.since[s] = time.Now()
		time.AfterFunc(maxHold, a.wakeHeld)
	}
	return true
}

// Reset starts again from what is applied now, after a snapshot was taken
// over. What waits is forgotten.
func (a *Applier) Reset(applied origin.Context) {
	a.mu.Lock()
	a.reset = applied
	a.mu.Unlock()
	a.poke()
}

func (a *Applier) loop() {
	defer close(a.done)
	for {
		select {
		case <-a.stop:
			return
		case <-a.wake:
		}
		a.mu.Lock()
		inbox, own, retry, reset, shut, woken, seals := a.inbox, a.own, a.retry, a.reset, a.shut, a.woken, a.seals
		a.inbox, a.own, a.retry, a.reset, a.shut, a.woken, a.seals = nil, nil, false, nil, nil, false, nil
		a.mu.Unlock()
		if reset != nil {
			for s := range a.held {
				a.forget(s)
			}
			clear(a.broken)
			clear(a.since)
			a.gate = a.newGate(reset)
		}
		for _, x := range seals {
			a.seal(x)
		}
		if woken {
			a.gate.Resume()
		}
		for _, s := range shut {
			a.gate.Shut(s)
		}
		for _, d := range own {
			a.gate.Applied(d)
		}
		if retry {
			a.cut()
			for _, s := range a.heldStreams() {
				l := a.held[s]
				delete(a.held, s)
				for i := range l {
					a.offer(l[i])
				}
			}
		}
		for _, r := range inbox {
			a.take(r)
			if !a.drain() {
				return
			}
		}
		if !a.drain() {
			return
		}
	}
}

func (a *Applier) heldStreams() []origin.Stream {
	var l []origin.Stream
	for s := range a.held {
		l = append(l, s)
	}
	slices.SortFunc(l, origin.Stream.Compare)
	return l
}

func (a *Applier) forget(s origin.Stream) {
	for _, it := range a.held[s] {
		it.lease.done(1)
	}
	delete(a.held, s)
}

func (a *Applier) take(r run) {
	if a.broken[r.s] {
		return
	}
	for i, b := range r.entries {
		t := new(origin.Txn)
		d := origin.Dot{Stream: r.s, Seq: r.after + 1 + origin.Seq(i)}
		if err := entry.Decode(b, d, t); err != nil {
			// The bytes are what their origin signed: this module is too old
			// for them. Its own intake of the stream stops, loudly; the run
			// stays charged to it, so that no more comes.
			a.broken[r.s] = true
			a.sick(r.s, fmt.Errorf("apply %v: %w", d, err))
			return
		}
		a.offer(item{t, b, r.lease})
	}
}

// sickness is why a stream is held.
type sickness uint8

const (
	well    sickness = iota
	unknown          // what it brings is not understood here, or not yet
	early            // it is stamped in the future
)

// sick tells once of each kind.
func (a *Applier) sick(s origin.Stream, err error) {
	kind := unknown
	if _, ok := err.(*Far); ok {
		kind = early
	}
	if a.sicken[s] == kind {
		return
	}
	a.well(s)
	a.sicken[s] = kind
	if a.cfg.Sick != nil {
		a.cfg.Sick(s, err)
	}
}

// well tells that a stream goes on.
func (a *Applier) well(s origin.Stream) {
	if a.sicken[s] == well {
		return
	}
	delete(a.sicken, s)
	if a.cfg.Sick != nil {
		a.cfg.Sick(s, nil)
	}
}

func (a *Applier) offer(it item) {
	s := it.txn.Dot.Stream
	ahead, far := time.Duration(0), false
	if a.cfg.Far != nil {
		ahead, far = a.cfg.Far(s, it.txn.Stamp)
	}
	if len(a.held[s]) > 0 || far || !a.cfg.Ready(it.txn.Policy) {
		switch {
		case len(a.held[s]) > 0:
		case far:
			a.sick(s, &Far{it.txn.Dot, it.txn.Stamp, ahead})
		default:
			a.sick(s, fmt.Errorf("apply %v: policy epoch %d is not known here yet", it.txn.Dot, it.txn.Policy))
		}
		a.held[s] = append(a.held[s], it)
		return
	}
	switch a.gate.Offer(causal.Item{Dot: it.txn.Dot, Context: it.txn.Context, Bytes: len(it.bytes), Opaque: it}) {
	case causal.Held:
		a.well(s)
	case causal.Duplicate:
		a.Duplicates.Add(1)
		it.lease.done(1)
	case causal.Shut:
	default: // behind a gap that a fresh subscription closes
		it.lease.done(1)
	}
}

// drain hands on what the gate lets go; false: the engine is closed.
func (a *Applier) drain() bool {
	for {
		g, ok := a.gate.Ready()
		if !ok {
			return true
		}
		it := g.Opaque.(item)
		if a.waits(it.txn) {
			a.gate.Back(g)
			continue
		}
		d := it.txn.Dot
		err := a.cfg.Engine.ApplyLater(context.Background(), it.txn, it.bytes, a.cfg.Carry(d.Stream), func(err error) {
			a.cfg.Logger.Warn("a received txn was dropped", "dot", d.String(), "err", err)
		})
		it.lease.done(1)
		if err != nil {
			return false
		}
		a.gate.Applied(d)
	}
}

func (a *Applier) newGate(applied origin.Context) *causal.Gate {
	g := causal.New(applied)
	g.Subscribe(a.cfg.Comes)
	g.Ends(a.cfg.End)
	g.Limits(a.limit)
	return g
}
