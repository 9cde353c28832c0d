// Package mesh moves txns between modules: every module pulls from its
// neighbours what comes to it, stream by stream, and serves what it holds.
//
// For each ordered pair of neighbours, the receiver opens one stream of kind
// Data to the source. On it the source announces what it has durable, and the
// receiver subscribes (mesh/link decides where), with credit that it renews as
// its applier takes txns over. What a source announces is also its
// acknowledgement of the receiver's own txns. The source reads its journal
// through Source from a cursor: a receiver that is slow, or reads nothing,
// costs it that cursor and a frame.
//
// A run of entries is verified against its origin's signed head before it goes
// to Sink (mesh/link.Verify). Relays need no more trust than the network.
//
// Goroutines: one puller that owns link.Puller; for each neighbour one session
// as receiver (a reader and a writer) and, for each stream that it opened to
// us, one as source (a reader and a writer). All end with Run's context.
package mesh

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"drmesh/mesh/link"
	"drmesh/mesh/quicnet"
	"drmesh/mesh/wire"
	"drmesh/origin"
)

// Network opens and takes streams; the node gives quicnet's.
type Network interface {
	Open(ctx context.Context, peer origin.Module, kind quicnet.Kind) (net.Conn, error)
	Handle(kind quicnet.Kind, fn func(ctx context.Context, peer origin.Module, c net.Conn))
	RTT(peer origin.Module) time.Duration
}

// Run is consecutive entries of a stream, and the head of the last.
type Run struct {
	Stream  origin.Stream
	After   origin.Seq
	Entries [][]byte
	Head    []byte
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

// Sink takes what was received and verified.
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
	// Wants tells which streams come here.
	Wants  func(origin.Stream) bool
	Logger *slog.Logger
}

// Credits: how many bytes of one stream may be under way to a receiver and
// wait at its applier.
const (
	credit  = 4 << 20
	maxRun  = 256 << 10 // what a source asks of its journal at a time
	maxHold = origin.MaxTxn + 64<<20
)

// LinkStatus is what is known of the link to a neighbour.
type LinkStatus struct {
	Peer      origin.Module
	Up        bool // our session to it stands
	Serving   bool // its session to us stands
	Paused    bool
	Since     time.Time
	RTT       time.Duration
	LastError string
	LastHeard time.Time
	// What was pulled from it, and served to it, in txns and bytes of entries.
	Received, ReceivedBytes, Sent, SentBytes, Dropped int64
	Has                                               map[origin.Stream]origin.Seq // durable there, as announced
}

// Mesh is a module's part in the moving of txns.
type Mesh struct {
	cfg    Config
	events chan peerEvent
	done   chan struct{}

	mu       sync.Mutex // protects what follows; never held across I/O
	sessions map[origin.Module]*session
	serving  map[origin.Module]*served // newest
	links    map[origin.Module]*linkState
	rpcs     map[string]RPCHandler
	snapshot SnapshotServer
	wg       sync.WaitGroup
	refresh  chan struct{}
}

type linkState struct {
	up, serving, paused bool
	since               time.Time
	lastError           string
	lastHeard           time.Time
	has                 map[origin.Stream]origin.Seq

	received, receivedBytes, sent, sentBytes, dropped atomic.Int64
}

type peerEvent struct {
	s  *session // nil: not of a session
	ev link.Event
}

// New makes a mesh; Run starts it.
func New(cfg Config) *Mesh {
	m := &Mesh{cfg: cfg, events: make(chan peerEvent, 256), done: make(chan struct{}),
		sessions: map[origin.Module]*session{}, serving: map[origin.Module]*served{}, links: map[origin.Module]*linkState{},
		rpcs: map[string]RPCHandler{}, refresh: make(chan struct{}, 1)}
	return m
}

// Run moves txns until ctx ends, and returns when all goroutines have ended.
func (m *Mesh) Run(ctx context.Context) {
	defer close(m.done)
	m.cfg.Network.Handle(quicnet.Data, func(c context.Context, peer origin.Module, conn net.Conn) { m.serve(c, ctx, peer, conn) })
	m.cfg.Network.Handle(quicnet.RPC, func(c context.Context, peer origin.Module, conn net.Conn) { m.serveRPC(c, peer, conn) })
	m.cfg.Network.Handle(quicnet.Snapshot, func(c context.Context, peer origin.Module, conn net.Conn) { m.serveSnapshot(c, peer, conn) })
	m.wg.Add(1)
	go m.keepSessions(ctx)
	m.pull(ctx)
	m.wg.Wait()
}

// Refresh looks again at Peers, Wants and what is paused.
func (m *Mesh) Refresh() {
	select {
	case m.refresh <- struct{}{}:
	default:
	}
}

func (m *Mesh) link(p origin.Module) *linkState {
	l := m.links[p]
	if l == nil {
		l = &linkState{has: map[origin.Stream]origin.Seq{}}
		m.links[p] = l
	}
	return l
}

// SetPaused stops or starts the flow of data with a neighbour, both ways.
func (m *Mesh) SetPaused(p origin.Module, paused bool) {
	m.mu.Lock()
	m.link(p).paused = paused
	s, v := m.sessions[p], m.serving[p]
	m.mu.Unlock()
	if paused {
		if s != nil {
			s.end(errors.New("link is paused"))
		}
		if v != nil {
			v.end()
		}
	}
	m.Refresh()
}

// Links tells the state of all links that there are or were, by number.
func (m *Mesh) Links() []LinkStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := make([]LinkStatus, 0, len(m.links))
	for p, x := range m.links {
		has := make(map[origin.Stream]origin.Seq, len(x.has))
		for s, q := range x.has {
			has[s] = q
		}
		l = append(l, LinkStatus{Peer: p, Up: x.up, Serving: x.serving, Paused: x.paused, Since: x.since, RTT: m.cfg.Network.RTT(p),
			LastError: x.lastError, LastHeard: x.lastHeard, Received: x.received.Load(), ReceivedBytes: x.receivedBytes.Load(),
			Sent: x.sent.Load(), SentBytes: x.sentBytes.Load(), Dropped: x.dropped.Load(), Has: has})
	}
	slices.SortFunc(l, func(a, b LinkStatus) int { return int(a.Peer) - int(b.Peer) })
	return l
}

// Restart starts pulling anew from what Source has: after a snapshot.
func (m *Mesh) Restart(ctx context.Context) {
	select {
	case m.events <- peerEvent{nil, link.Restart{Vector: m.cfg.Source.Durable()}}:
	case <-ctx.Done():
	case <-m.done:
	}
}

// keepSessions sees to it that a session stands with each neighbour that there
// should be one with.
func (m *Mesh) keepSessions(ctx context.Context) {
	defer m.wg.Done()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		want := map[origin.Module]bool{}
		for _, p := range m.cfg.Peers() {
			want[p] = true
		}
		m.mu.Lock()
		for p := range want {
			l := m.link(p)
			if m.sessions[p] == nil && !l.paused {
				s := newSession(m, p)
				m.sessions[p] = s
				m.wg.Add(1)
				go s.run(ctx)
			}
		}
		var gone []*session
		for p, s := range m.sessions {
			if !want[p] || m.links[p].paused {
				gone = append(gone, s)
			}
		}
		m.mu.Unlock()
		for _, s := range gone {
			s.stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-m.refresh:
			m.event(ctx, peerEvent{nil, link.Tick{}})
		}
	}
}

func (m *Mesh) event(ctx context.Context, e peerEvent) bool {
	select {
	case m.events <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// pull owns the puller.
func (m *Mesh) pull(ctx context.Context) {
	p := link.NewPuller(m.cfg.Self, m.cfg.Source.Durable().Clone(), m.cfg.Wants)
	t := time.NewTicker(link.Patience)
	defer t.Stop()
	for {
		var e peerEvent
		select {
		case <-ctx.Done():
			return
		case e = <-m.events:
		case <-t.C:
			e.ev = link.Tick{}
		}
		if e.s != nil {
			// Events of a session that was replaced meanwhile mean nothing.
			m.mu.Lock()
			current := m.sessions[e.s.peer] == e.s
			m.mu.Unlock()
			if _, down := e.ev.(link.PeerDown); !current && !down {
				continue
			}
		}
		for _, eff := range p.Step(time.Now(), e.ev) {
			switch x := eff.(type) {
			case link.Subscribe:
				m.to(x.Peer, func(s *session) { s.subscribe(x.Stream, x.After) })
			case link.Unsubscribe:
				m.to(x.Peer, func(s *session) { s.unsubscribe(x.Stream) })
			}
		}
	}
}

func (m *Mesh) to(p origin.Module, fn func(*session)) {
	m.mu.Lock()
	s := m.sessions[p]
	m.mu.Unlock()
	if s != nil {
		fn(s)
	}
}

// session is our side as a receiver: one at a time for each neighbour, over
// many connections. Its goroutine ends when stop is called or Run ends.
type session struct {
	m      *Mesh
	peer   origin.Module
	cancel context.CancelFunc // of the whole session
	ended  chan struct{}

	mu   sync.Mutex // protects what follows; never held across I/O
	conn net.Conn   // nil while there is none
	out  []byte     // frames to write
	subs map[origin.Stream]*subscription
	wake chan struct{}
}

// subscription is a stream that comes over the session. It belongs to the
// reader, but for epoch.
type subscription struct {
	at      origin.Position // verified up to
	entries [][]byte        // of a run whose head is still to come
	bytes   int
	part    []byte // of an entry that comes in pieces
	total   uint64
}

func newSession(m *Mesh, p origin.Module) *session {
	return &session{m: m, peer: p, ended: make(chan struct{}), subs: map[origin.Stream]*subscription{}, wake: make(chan struct{}, 1)}
}

func (s *session) stop() {
	s.m.mu.Lock()
	c := s.cancel
	s.m.mu.Unlock()
	if c != nil {
		c()
	}
	s.end(errors.New("link is closed"))
}

// end closes the connection that stands; the session dials again.
func (s *session) end(err error) {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c != nil {
		c.Close()
	}
}

func (s *session) write(frame func(b []byte) []byte) {
	s.mu.Lock()
	if s.conn != nil {
		s.out = frame(s.out)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *session) subscribe(st origin.Stream, at origin.Position) {
	s.mu.Lock()
	s.subs[st] = &subscription{at: at}
	s.mu.Unlock()
	s.write(func(b []byte) []byte {
		return wire.AppendSubscribe(b, &wire.Subscribe{Stream: st, After: at, Credit: credit})
	})
}

func (s *session) unsubscribe(st origin.Stream) {
	s.mu.Lock()
	delete(s.subs, st)
	s.mu.Unlock()
	s.write(func(b []byte) []byte { return wire.AppendUnsubscribe(b, st) })
}

// run keeps a connection to the neighbour until the session ends.
func (s *session) run(ctx context.Context) {
	m := s.m
	ctx, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	s.cancel = cancel
	m.mu.Unlock()
	defer m.wg.Done()
	defer close(s.ended)
	defer cancel()
	defer func() {
		m.mu.Lock()
		if m.sessions[s.peer] == s {
			delete(m.sessions, s.peer)
		}
		m.mu.Unlock()
	}()
	wait := 20 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := s.connect(ctx)
		m.mu.Lock()
		l := m.link(s.peer)
		if l.up {
			l.up, l.since = false, time.Now()
		}
		if err != nil && ctx.Err() == nil {
			l.lastError = err.Error()
		}
		m.mu.Unlock()
		if time.Since(began) > 5*time.Second {
			wait = 20 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, 2*time.Second)
	}
}

// connect makes one connection and reads from it until it ends.
func (s *session) connect(ctx context.Context) error {
	m := s.m
	dctx, dcancel := context.WithTimeout(ctx, 5*time.Second)
	conn, err := m.cfg.Network.Open(dctx, s.peer, quicnet.Data)
	dcancel()
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	ours := m.cfg.Source.Durable()
	if _, err := conn.Write(wire.AppendHello(nil, &wire.Hello{Version: wire.Protocol, Mesh: m.cfg.MeshID, Module: m.cfg.Self, Vector: ours.Sorted()})); err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	t, body, buf, err := wire.ReadFrame(r, nil)
	if err != nil {
		return fmt.Errorf("module %d: %w", s.peer, err)
	}
	hello, err := m.checkHello(s.peer, t, body)
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Time{})
	s.mu.Lock()
	s.conn, s.out = conn, nil
	clear(s.subs)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.conn = nil
		s.mu.Unlock()
	}()
	m.mu.Lock()
	l := m.link(s.peer)
	l.up, l.since, l.lastError, l.lastHeard = true, time.Now(), "", time.Now()
	m.mu.Unlock()
	if !m.event(ctx, peerEvent{s, link.PeerUp{Peer: s.peer, RTT: m.cfg.Network.RTT(s.peer)}}) {
		return ctx.Err()
	}
	defer m.event(ctx, peerEvent{s, link.PeerDown{Peer: s.peer}})
	forked := m.compare(s.peer, ours, hello)
	var seqs []origin.StreamSeq
	for _, e := range hello.Vector {
		if !forked[e.Stream] {
			seqs = append(seqs, origin.StreamSeq{Stream: e.Stream, Seq: e.Seq})
		}
	}
	s.announced(ctx, seqs, forked)
	wctx, wcancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		s.writer(wctx, conn)
	}()
	defer wg.Wait()
	defer wcancel()
	var dec wire.Decoder
	for {
		// A source tells its heads every second: silence means that it is
		// gone, or answers nothing.
		conn.SetReadDeadline(time.Now().Add(15 * time.Second))
		if t, body, buf, err = wire.ReadFrame(r, buf); err != nil {
			return fmt.Errorf("module %d: %w", s.peer, err)
		}
		if err := s.frame(ctx, t, body, &dec, forked); err != nil {
			m.cfg.Logger.Warn("a neighbour sent what was refused; its session is closed", "module", s.peer, "err", err)
			return err
		}
		if cap(buf) > 1<<20 {
			buf = nil
		}
	}
}

func (m *Mesh) checkHello(peer origin.Module, t wire.Type, body []byte) (*wire.Hello, error) {
	if t != wire.TypeHello {
		return nil, fmt.Errorf("module %d: %w: type %d instead of hello", peer, wire.ErrFrame, t)
	}
	h, err := wire.DecodeHello(body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("module %d: %w", peer, err)
	case h.Version != wire.Protocol:
		return nil, fmt.Errorf("module %d speaks version %d of the txn protocol, we speak %d", peer, h.Version, wire.Protocol)
	case h.Mesh != m.cfg.MeshID || h.Module != peer:
		return nil, fmt.Errorf("module %d says it is module %d of mesh %s", peer, h.Module, h.Mesh)
	}
	return &h, nil
}

// compare looks for streams of which the neighbour and we hold different
// histories. The end that holds more does so, since it has both hashes.
func (m *Mesh) compare(peer origin.Module, ours origin.Vector, h *wire.Hello) map[origin.Stream]bool {
	forked := map[origin.Stream]bool{}
	for _, e := range h.Vector {
		o := ours.At(e.Stream)
		if e.Stream.Module == m.cfg.Self && e.Seq > o.Seq {
			m.cfg.Sink.Ahead(peer, e.Stream, e.Seq)
		}
		if e.Seq > o.Seq || e.Seq == 0 {
			continue
		}
		hash, ok, err := m.cfg.Source.HashAt(e.Stream, e.Seq)
		if err == nil && ok && hash != e.Hash {
			forked[e.Stream] = true
			m.cfg.Sink.Fork(peer, e.Stream, e.Seq, hash, e.Hash)
		}
	}
	return forked
}

// announced hands what the neighbour has to sink and puller.
func (s *session) announced(ctx context.Context, seqs []origin.StreamSeq, forked map[origin.Stream]bool) {
	m := s.m
	seqs = slices.DeleteFunc(seqs, func(e origin.StreamSeq) bool { return forked[e.Stream] })
	m.mu.Lock()
	l := m.link(s.peer)
	l.lastHeard = time.Now()
	for _, e := range seqs {
		if e.Seq > l.has[e.Stream] && len(l.has) < origin.MaxStreams {
			l.has[e.Stream] = e.Seq
		}
	}
	m.mu.Unlock()
	m.cfg.Sink.Vector(s.peer, seqs)
	m.event(ctx, peerEvent{s, link.Announced{Peer: s.peer, Seqs: seqs}})
}

// writer sends what the puller and the applier ask for.
func (s *session) writer(ctx context.Context, conn net.Conn) {
	for {
		s.mu.Lock()
		out := s.out
		s.out = nil
		s.mu.Unlock()
		if len(out) > 0 {
			conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
			if _, err := conn.Write(out); err != nil {
				conn.Close()
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
	}
}

// frame takes one frame of the source.
func (s *session) frame(ctx context.Context, t wire.Type, body []byte, dec *wire.Decoder, forked map[origin.Stream]bool) error {
	m := s.m
	switch t {
	case wire.TypeAnnounce:
		a, err := wire.DecodeAnnounce(body)
		if err != nil {
			return err
		}
		for _, e := range a.Seqs {
			if e.Stream.Module == m.cfg.Self && e.Seq > m.cfg.Source.Durable()[e.Stream].Seq {
				m.cfg.Sink.Ahead(s.peer, e.Stream, e.Seq)
			}
		}
		s.announced(ctx, a.Seqs, forked)
	case wire.TypeHead:
		raw, err := wire.DecodeHead(body)
		if err != nil {
			return err
		}
		h, err := link.VerifyHead(raw, m.cfg.Key)
		if errors.Is(err, link.ErrForged) && m.cfg.Key(h.Stream.Module) == nil {
			return nil // of a module that control has not told us of yet
		}
		if err != nil {
			return err
		}
		m.cfg.Sink.Head(s.peer, h, slices.Clone(raw))
	case wire.TypePruned:
		p, err := wire.DecodePruned(body)
		if err != nil {
			return err
		}
		m.cfg.Sink.Pruned(s.peer, p.Stream, p.Seq)
		m.event(ctx, peerEvent{s, link.Failed{Peer: s.peer, Stream: p.Stream}})
	case wire.TypeFork:
		p, err := wire.DecodeFork(body)
		if err != nil {
			return err
		}
		h, ok, err := m.cfg.Source.HashAt(p.Stream, p.Seq)
		if err == nil && ok && h != p.Hash {
			forked[p.Stream] = true
			m.cfg.Sink.Fork(s.peer, p.Stream, p.Seq, h, p.Hash)
		}
		m.event(ctx, peerEvent{s, link.Failed{Peer: s.peer, Stream: p.Stream}})
	case wire.TypeBatch:
		b, err := dec.DecodeBatch(body)
		if err != nil {
			return err
		}
		return s.batch(ctx, &b)
	case wire.TypePart:
		p, err := wire.DecodePart(body)
		if err != nil {
			return err
		}
		return s.part(&p)
	default:
		// A newer neighbour's: it knows from the version that we may not
		// understand, so it is of no consequence.
	}
	return nil
}

func (s *session) subscription(st origin.Stream) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subs[st]
}

// part collects an entry that is larger than a frame.
func (s *session) part(p *wire.Part) error {
	sub := s.subscription(p.Stream)
	if sub == nil {
		return nil
	}
	if next := sub.at.Seq + 1 + origin.Seq(len(sub.entries)); p.Seq != next {
		return nil // of an earlier subscription
	}
	if sub.part == nil {
		sub.total = p.Total
	}
	if p.Total != sub.total || uint64(len(sub.part)+len(p.Bytes)) > p.Total || sub.bytes+int(p.Total) > maxHold {
		return fmt.Errorf("%w: parts of %v:%d run over", wire.ErrFrame, p.Stream, p.Seq)
	}
	sub.part = append(sub.part, p.Bytes...)
	if uint64(len(sub.part)) == sub.total {
		sub.entries = append(sub.entries, sub.part)
		sub.bytes += len(sub.part)
		sub.part = nil
	}
	return nil
}

// batch takes entries; with a head they are verified and delivered.
func (s *session) batch(ctx context.Context, b *wire.Batch) error {
	m := s.m
	sub := s.subscription(b.Stream)
	if sub == nil {
		return nil
	}
	m.mu.Lock()
	l := m.link(s.peer)
	l.lastHeard = time.Now()
	m.mu.Unlock()
	if next := sub.at.Seq + origin.Seq(len(sub.entries)); b.After != next {
		if b.After < next {
			l.dropped.Add(int64(len(b.Entries)))
		}
		return nil // of an earlier subscription
	}
	for _, e := range b.Entries {
		sub.bytes += len(e)
	}
	sub.entries = append(sub.entries, b.Entries...)
	if sub.bytes > maxHold {
		return fmt.Errorf("module %d: %v: %d bytes without a head", s.peer, b.Stream, sub.bytes)
	}
	if len(b.Head) == 0 {
		return nil
	}
	run := Run{Stream: b.Stream, After: sub.at.Seq, Entries: sub.entries, Head: b.Head}
	n := sub.bytes
	sub.entries, sub.bytes = nil, 0
	h, err := link.Verify(b.Stream, sub.at, run.Entries, run.Head, m.cfg.Key)
	if err != nil {
		m.event(ctx, peerEvent{s, link.Failed{Peer: s.peer, Stream: b.Stream}})
		return err
	}
	sub.at = h.Position
	l.received.Add(int64(len(run.Entries)))
	l.receivedBytes.Add(int64(n))
	m.cfg.Sink.Deliver(s.peer, run, h, func() {
		s.write(func(out []byte) []byte {
			return wire.AppendCredit(out, wire.Credit{Stream: b.Stream, Bytes: uint64(n)})
		})
	})
	m.event(ctx, peerEvent{s, link.Received{Stream: b.Stream, At: h.Position}})
	return nil
}
