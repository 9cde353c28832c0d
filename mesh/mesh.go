// Package mesh moves txns between modules: every module pulls from its
// neighbours what comes to it, stream by stream, and serves what it holds.
//
// For each ordered pair of neighbours, the receiver opens one stream to the
// source: the session. On it the source announces what it has durable, and the
// receiver subscribes (mesh/link decides where), with credit that it renews as
// its applier takes txns over. What a source announces is also its
// acknowledgement of the receiver's own txns. The source reads its journal
// through Source from a cursor: a receiver that is slow, or reads nothing,
// costs it that cursor and a frame.
//
// Two modules that have several addresses have a link for each pair of them
// beside the session: a stream of kind Data that the receiver attaches to it.
// Then the session is of kind Control, on a connection apart from the data, and
// carries runs only while no link does. The source gives each run to the link
// that has room (mesh/link.Spread); the receiver puts them in order again
// (mesh/link.Ahead). With one pair, session and data are one stream of kind
// Data.
//
// What holds:
//
//   - Nothing reaches Sink that was not verified against its origin's signed
//     head (mesh/link.Verify). Relays need no more trust than the network.
//   - A neighbour that sends what is no frame loses its session. One whose run
//     or head cannot be verified is not asked for that stream for a while; the
//     session stands, so that other streams are unhurt.
//   - Of one stream, what is under way and what waits at the applier is bounded
//     by one credit, whatever sessions come and go (see credits). A run may
//     exceed it, since a txn is taken whole; what is not verified yet is
//     bounded for each session.
//   - A peer that does not read, or says nothing, is left after a time without
//     progress, never for being slow: deadlines follow bytes, not frames.
//
// Goroutines: Run's own; for each neighbour one session as receiver (a reader
// and a writer) and a reader for each of its links, and for each stream that it
// opened to us, session or link, two as source (a reader and a writer). All end
// with Run's context, before Run returns.
//
// Nothing here is durable. Positions are those of Source at the start, and
// follow what was handed to Sink.
package mesh

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"drmesh/mesh/link"
	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// Network opens and takes streams; the node gives quicnet's. A stream that has
// a method Reset is ended by it where another goroutine may be writing; one
// that has RTT is asked for the round trip of its connection.
type Network interface {
	Open(ctx context.Context, peer origin.Module, kind quicnet.Kind) (net.Conn, error)
	// Pairs lists the pairs of addresses that there should be links on. Both
	// ends give them in the same order. One, or none: no more than a session.
	Pairs(peer origin.Module) []quicnet.Path
	OpenPath(ctx context.Context, peer origin.Module, path quicnet.Path, kind quicnet.Kind) (net.Conn, error)
	Handle(kind quicnet.Kind, fn func(ctx context.Context, peer origin.Module, c net.Conn))
	RTT(peer origin.Module) time.Duration
}

// Run is consecutive entries of a stream, and the head of the last.
type Run struct {
	Stream  origin.Stream
	After   origin.Seq
	Entries [][]byte
	Head    []byte
	Chain   []origin.Hash // after each entry, of a run that was received and verified
}

// ErrPruned is what Source.Read gives when the entries asked for are gone.
var ErrPruned = errors.New("entries are pruned")

// Source is what a module serves. All of it is durable. Methods may read the
// disk; they are called by any goroutine.
type Source interface {
	Durable() origin.Vector   // must not be changed
	Changed() <-chan struct{} // closed at the next durable advance
	// Read gives entries after a seq up to one for which there is a head;
	// about max bytes of them, or more if no head lies nearer. An empty run:
	// nothing to send yet.
	Read(s origin.Stream, after origin.Seq, max int) (Run, error)
	HashAt(s origin.Stream, q origin.Seq) (h origin.Hash, ok bool, err error)
	// Heads gives the newest head of each stream held here.
	Heads() [][]byte
}

// Sink takes what was received and verified. Its methods are called by any
// goroutine, but for one neighbour by one at a time.
type Sink interface {
	// Deliver takes over a run. It must not block for long; release is called
	// once when the run's memory is free again, and renews the credit.
	Deliver(from origin.Module, run Run, head origin.Head, release func())
	Head(from origin.Module, head origin.Head, raw []byte)
	// Vector tells what a neighbour has durable.
	Vector(from origin.Module, seqs []origin.StreamSeq)
	// Fork tells that a stream has two histories: ours and the neighbour's
	// differ at seq.
	Fork(from origin.Module, s origin.Stream, seq origin.Seq, ours, theirs origin.Hash)
	// Ahead tells that a neighbour has more of one of our own streams than
	// we: our directory was restored from a copy.
	Ahead(from origin.Module, s origin.Stream, theirs origin.Seq)
	// Pruned tells that a neighbour cannot serve us a stream from where we
	// stand: we need a snapshot.
	Pruned(from origin.Module, s origin.Stream, upto origin.Seq)
}

// Config is what a Mesh is made of.
type Config struct {
	Self    origin.Module
	MeshID  string
	Network Network
	Source  Source
	Sink    Sink
	Key     func(origin.Module) ed25519.PublicKey // nil when not known
	// Peers lists the neighbours that there should be links with now.
	Peers func() []origin.Module
	// Wants tells which streams come here: none that is written here. It is called with a lock held: it
	// must not block, nor call the Mesh.
	Wants func(origin.Stream) bool
	// Carries tells whether a neighbour is asked for a stream; as Wants. nil:
	// each is for all that it announces.
	Carries func(peer origin.Module, s origin.Stream) bool
	// May tells which streams a neighbour may be served; nil: all.
	May func(peer origin.Module, s origin.Stream) bool
	// Hurry tells that somebody here waits for a neighbour to have what he
	// wrote: runs go at once then. nil: nobody ever does.
	Hurry  func() bool
	Logger *slog.Logger
}

// Mesh is a module's part in the moving of txns.
type Mesh struct {
	cfg     Config
	credits credits
	refresh chan struct{} // capacity 1

	pull struct { // who is asked for what
		sync.Mutex              // before mu; never held across I/O
		puller     *link.Puller // nil while Run does not run
		timer      *time.Timer  // not nil while a tick is due
	}

	heads struct { // the last verified of each stream: neighbours tell the same
		sync.Mutex // after all others
		m          map[origin.Stream][]byte
	}

	mu        sync.Mutex // protects what follows; never held across I/O
	ctx       context.Context
	ended     bool // Run is ending: nothing begins any more
	sessions  map[origin.Module]*session
	feeds     map[origin.Module]*feed
	serving   map[origin.Module]*served // newest
	links     map[origin.Module]*linkState
	questions map[origin.Module]int // being answered
	snapshots int                   // being served
	rpcs      map[string]RPCHandler
	snapshot  SnapshotServer
	wg        sync.WaitGroup // sessions and handlers
}

// New makes a mesh; Run starts it.
func New(cfg Config) *Mesh {
	m := &Mesh{cfg: cfg, refresh: make(chan struct{}, 1), credits: credits{m: map[origin.Stream]*account{}},
		sessions: map[origin.Module]*session{}, feeds: map[origin.Module]*feed{}, serving: map[origin.Module]*served{},
		links: map[origin.Module]*linkState{}, questions: map[origin.Module]int{}, rpcs: map[string]RPCHandler{}}
	m.heads.m = map[origin.Stream][]byte{}
	return m
}

// Run moves txns until ctx ends, and returns when all goroutines have ended.
// It is called once.
func (m *Mesh) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	m.ctx = ctx
	m.mu.Unlock()
	m.pull.Lock()
	m.pull.puller = link.NewPuller(m.cfg.Source.Durable().Clone(), m.cfg.Wants, m.cfg.Carries)
	m.pull.Unlock()
	m.cfg.Network.Handle(quicnet.Data, m.handler(m.answer))
	m.cfg.Network.Handle(quicnet.Control, m.handler(m.answer))
	m.cfg.Network.Handle(quicnet.RPC, m.handler(m.serveRPC))
	m.cfg.Network.Handle(quicnet.Snapshot, m.handler(m.serveSnapshot))
	m.keep(ctx)
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	m.pull.Lock()
	m.pull.puller = nil
	if m.pull.timer != nil {
		m.pull.timer.Stop()
	}
	m.pull.Unlock()
	m.wg.Wait()
}

// handler lets fn take streams while Run runs. The context that it gets ends
// with the stream's connection and with Run.
func (m *Mesh) handler(fn func(context.Context, origin.Module, net.Conn)) func(context.Context, origin.Module, net.Conn) {
	return func(ctx context.Context, peer origin.Module, conn net.Conn) {
		m.mu.Lock()
		if m.ended {
			m.mu.Unlock()
			reset(conn)
			return
		}
		run := m.ctx
		m.wg.Add(1)
		m.mu.Unlock()
		defer m.wg.Done()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(run, cancel)()
		fn(ctx, peer, conn)
	}
}

// Refresh looks again at Peers, Wants and what is paused.
func (m *Mesh) Refresh() {
	select {
	case m.refresh <- struct{}{}:
	default:
	}
}

// SetPaused stops or starts the flow of data with a neighbour, both ways. It
// lasts while this Mesh does. RPC and snapshots go on.
func (m *Mesh) SetPaused(p origin.Module, paused bool) {
	m.mu.Lock()
	m.link(p).paused = paused
	s, v := m.sessions[p], m.serving[p]
	m.mu.Unlock()
	if paused {
		if s != nil {
			s.cancel()
		}
		if v != nil {
			v.end()
		}
	}
	m.Refresh()
}

// Restart starts pulling anew from what Source has: after a snapshot. Runs
// that were delivered and not released are forgotten.
func (m *Mesh) Restart(context.Context) {
	m.credits.reset()
	m.step(link.Restart{Vector: m.cfg.Source.Durable().Clone()})
}

// keep sees to it that a session stands with each neighbour that there should
// be one with, and with no other.
func (m *Mesh) keep(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		m.review(ctx)
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			m.measure()
			m.step(link.Tick{})
		case <-m.refresh:
			m.step(link.Tick{})
		}
	}
}

func (m *Mesh) review(ctx context.Context) {
	want := map[origin.Module]bool{}
	for _, p := range m.cfg.Peers() {
		want[p] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range want {
		l := m.link(p)
		if m.sessions[p] == nil && !l.paused {
			s := newSession(ctx, m, p)
			m.sessions[p] = s
			m.wg.Add(1)
			go s.run()
		}
	}
	for p, s := range m.sessions {
		if !want[p] || m.links[p].paused {
			s.cancel()
		}
	}
	for p, v := range m.serving {
		if !want[p] {
			v.end()
		}
	}
}

// step lets the puller decide, and tells the sessions what it decided.
func (m *Mesh) step(ev link.Event) {
	m.pull.Lock()
	defer m.pull.Unlock()
	p := m.pull.puller
	if p == nil {
		return
	}
	for _, eff := range p.Step(time.Now(), ev) {
		switch x := eff.(type) {
		case link.Subscribe:
			if f := m.feed(x.Peer); f != nil {
				f.subscribe(x.Stream, x.After)
			}
		case link.Unsubscribe:
			if f := m.feed(x.Peer); f != nil {
				f.unsubscribe(x.Stream)
			}
		}
	}
	if m.pull.timer == nil && p.Restless() {
		m.pull.timer = time.AfterFunc(link.Patience+time.Millisecond, func() {
			m.pull.Lock()
			m.pull.timer = nil
			m.pull.Unlock()
			m.step(link.Tick{})
		})
	}
}

// feed is the connection that we receive on from a neighbour, nil if there is
// none. One that is gone stays until the puller has been told.
func (m *Mesh) feed(p origin.Module) *feed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.feeds[p]
}

// reset ends a stream, whoever reads or writes it.
func reset(c net.Conn) {
	if r, ok := c.(interface{ Reset() }); ok {
		r.Reset()
		return
	}
	c.Close()
}
