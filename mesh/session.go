package mesh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"drmesh/mesh/link"
	"drmesh/mesh/quicnet"
	"drmesh/mesh/wire"
	"drmesh/origin"
	"drmesh/origin/entry"
)

// session is our side as a receiver: one at a time for each neighbour, over
// many connections, which it dials again and again.
type session struct {
	m      *Mesh
	peer   origin.Module
	ctx    context.Context
	cancel context.CancelFunc
	nudge  chan struct{} // capacity 1: the neighbour was heard, dial now
}

func newSession(ctx context.Context, m *Mesh, p origin.Module) *session {
	ctx, cancel := context.WithCancel(ctx)
	return &session{m: m, peer: p, ctx: ctx, cancel: cancel, nudge: make(chan struct{}, 1)}
}

// run keeps a connection to the neighbour until the session ends.
func (s *session) run() {
	m := s.m
	defer m.wg.Done()
	defer s.cancel()
	defer func() {
		m.mu.Lock()
		if m.sessions[s.peer] == s {
			delete(m.sessions, s.peer)
		}
		m.mu.Unlock()
		m.Refresh() // it may be wanted again meanwhile
	}()
	var backoff link.Backoff
	timer := time.NewTimer(0)
	defer timer.Stop()
	for s.ctx.Err() == nil {
		began := time.Now()
		err := s.connect()
		m.mu.Lock()
		l := m.link(s.peer)
		if l.up {
			l.up, l.since = false, time.Now()
		}
		if err != nil && s.ctx.Err() == nil {
			l.lastError = err.Error()
		}
		l.ways[0].feeds(nil, err)
		m.mu.Unlock()
		timer.Reset(backoff.Ended(time.Since(began), rand.Float64()))
		select {
		case <-s.ctx.Done():
		case <-timer.C:
		case <-s.nudge:
			backoff.Heard()
		}
	}
}

// connect makes one connection and reads from it until it ends.
func (s *session) connect() error {
	m := s.m
	dialing, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	kind := quicnet.Data
	pairs := m.cfg.Network.Pairs(s.peer)
	if pairs = pairs[:min(len(pairs), link.MaxLinks)]; len(pairs) > 1 {
		kind = quicnet.Control // the data have links of their own
	}
	stream, err := m.cfg.Network.Open(dialing, s.peer, kind)
	cancel()
	if err != nil {
		return err
	}
	defer reset(stream)
	defer context.AfterFunc(s.ctx, func() { reset(stream) })()
	l := m.linkOf(s.peer)
	conn := &paced{Conn: stream, idle: greeting, stuck: greeting, heard: func() { l.lastHeard.Store(time.Now().UnixNano()) }}
	if _, err := conn.Write(m.hello(m.cfg.Source.Durable())); err != nil {
		return fmt.Errorf("module %d: %w", s.peer, err)
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	t, body, buf, err := wire.ReadFrame(r, nil)
	if err != nil {
		return heard(s.peer, err)
	}
	hello, err := m.checkHello(s.peer, t, body)
	if err != nil {
		return err
	}
	conn.idle, conn.stuck = silence, stuck
	// What is here now, and not when we said hello: the neighbour may have got
	// txns of ours since, over its own session or from another.
	forked, err := m.compare(s.peer, m.cfg.Source.Durable(), hello)
	if err != nil {
		return err
	}
	f := &feed{m: m, peer: s.peer, link: l, conn: conn, forked: forked, subs: map[origin.Stream]*subscription{}, wake: make(chan struct{}, 1)}
	m.mu.Lock()
	m.feeds[s.peer] = f
	l.up, l.since, l.lastError = true, time.Now(), ""
	l.ways[0].feeds(stream, nil)
	m.mu.Unlock()
	m.step(link.PeerUp{Peer: s.peer, RTT: m.cfg.Network.RTT(s.peer)})
	defer func() {
		m.step(link.PeerDown{Peer: s.peer})
		m.mu.Lock()
		delete(m.feeds, s.peer)
		m.mu.Unlock()
		m.credits.gone(f)
	}()
	seqs := make([]origin.StreamSeq, 0, len(hello.Vector))
	for _, e := range hello.Vector {
		seqs = append(seqs, origin.StreamSeq{Stream: e.Stream, Seq: e.Seq})
	}
	f.announced(seqs)
	writing, stop := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { f.writer(writing) })
	defer wg.Wait()
	defer reset(stream) // a write under way ends
	defer stop()
	if len(pairs) > 1 {
		f.attach = func(session uint64) {
			for i, path := range pairs {
				wg.Go(func() { f.keepLink(writing, i+1, path, session) })
			}
		}
	}
	return f.read(r, buf)
}

// hello is what either side says first.
func (m *Mesh) hello(v origin.Vector) []byte {
	return wire.AppendHello(nil, &wire.Hello{Version: wire.Protocol, Mesh: m.cfg.MeshID, Module: m.cfg.Self, Vector: v.Sorted()})
}

// checkHello reads the first frame of a neighbour's.
func (m *Mesh) checkHello(peer origin.Module, t wire.Type, body []byte) (*wire.Hello, error) {
	if t != wire.TypeHello {
		return nil, fmt.Errorf("module %d: %w: type %d instead of hello", peer, wire.ErrFrame, t)
	}
	h, err := wire.DecodeHello(body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("module %d: %w", peer, err)
	case h.Version < wire.MinProtocol:
		return nil, fmt.Errorf("module %d speaks version %d of the txn protocol, we speak %d to %d", peer, h.Version, wire.MinProtocol, wire.Protocol)
	case h.Mesh != m.cfg.MeshID || h.Module != peer:
		return nil, fmt.Errorf("module %d says it is module %d of mesh %q", peer, h.Module, h.Mesh)
	}
	return &h, nil
}

// heard is a reader's error with its object.
func heard(peer origin.Module, err error) error {
	if err == io.EOF {
		return fmt.Errorf("module %d closed the session", peer)
	}
	return fmt.Errorf("module %d: %w", peer, err)
}

// compare looks for streams of which the neighbour and we hold different
// histories, and raises the alarms.
func (m *Mesh) compare(peer origin.Module, ours origin.Vector, h *wire.Hello) (map[origin.Stream]bool, error) {
	forks, ahead, err := link.Compare(m.cfg.Self, ours, h.Vector, m.cfg.Source.HashAt)
	if err != nil {
		return nil, fmt.Errorf("compare histories with module %d: %w", peer, err)
	}
	forked := map[origin.Stream]bool{}
	for _, f := range forks {
		forked[f.Stream] = true
		m.cfg.Sink.Fork(peer, f.Stream, f.Seq, f.Ours, f.Theirs)
	}
	for _, a := range ahead {
		m.cfg.Sink.Ahead(peer, a.Stream, a.Seq)
	}
	return forked, nil
}

// feed is one connection of a session. The goroutine in read owns what stands
// before in.
type feed struct {
	m      *Mesh
	peer   origin.Module
	link   *linkState
	conn   *paced
	forked map[origin.Stream]bool // never asked for here
	warned time.Time
	looked time.Time            // for gaps
	attach func(session uint64) // makes links when they are offered; nil: there are none

	// in is held by who has something for the puller or the sink: one at a
	// time, of the session and its links. It comes before all other locks.
	in sync.Mutex

	mu   sync.Mutex // protects what follows; never held across I/O
	out  []byte     // frames to write
	subs map[origin.Stream]*subscription
	wake chan struct{} // capacity 1

	collected atomic.Int64 // bytes of runs whose heads are still to come
}

// subscription is a stream that comes over a feed. Who holds in owns its
// fields; the puller replaces it whole.
type subscription struct {
	at      origin.Position // verified up to
	ahead   link.Ahead      // came over another link than what lies before it
	waiting atomic.Int64    // bytes of ahead
	gap     time.Time       // since when it holds something, or at last moved on
}

// maxHold bounds the bytes of a feed that cannot be verified yet, of all
// streams and links: the largest txn, and what may lie before it.
const maxHold = origin.MaxTxn + 64<<20

func (f *feed) write(frame func(b []byte) []byte) {
	f.mu.Lock()
	f.out = frame(f.out)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// probe finds out whether the source still knows this connection. It has just
// begun a session of its own, so it may be another process by now; and while we
// have nothing to say, what keeps the connection alive is too small for the
// other end to answer with a reset. So say something that means nothing: a
// subscription ends that there never is.
func (f *feed) probe() {
	f.write(func(b []byte) []byte {
		for range 4 { // a packet is answered so from 43 bytes on
			b = wire.AppendUnsubscribe(b, origin.Stream{})
		}
		return b
	})
}

func (f *feed) subscribe(st origin.Stream, at origin.Position) {
	grant := f.m.credits.subscribe(st, f)
	f.mu.Lock()
	f.subs[st] = &subscription{at: at}
	f.mu.Unlock()
	f.write(func(b []byte) []byte {
		return wire.AppendSubscribe(b, &wire.Subscribe{Stream: st, After: at, Credit: uint64(grant)})
	})
}

func (f *feed) unsubscribe(st origin.Stream) {
	f.m.credits.unsubscribe(st, f)
	f.mu.Lock()
	delete(f.subs, st)
	f.mu.Unlock()
	f.write(func(b []byte) []byte { return wire.AppendUnsubscribe(b, st) })
}

func (f *feed) subscription(st origin.Stream) *subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.subs[st]
}

// writer sends what the puller and the applier ask for.
func (f *feed) writer(ctx context.Context) {
	var spare []byte
	for {
		f.mu.Lock()
		out := f.out
		f.out = spare[:0]
		f.mu.Unlock()
		if len(out) > 0 {
			if _, err := f.conn.Write(out); err != nil {
				reset(f.conn.Conn) // the reader tells
				return
			}
		}
		spare = out
		if cap(spare) > 64<<10 {
			spare = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
	}
}

// read takes frames until the connection ends, or one is none.
func (f *feed) read(r io.Reader, buf []byte) error {
	in := &intake{f: f, way: &f.link.ways[0]}
	for {
		var t wire.Type
		var body []byte
		var err error
		if t, body, buf, err = wire.ReadFrame(r, buf); err != nil {
			if errors.Is(err, wire.ErrFrame) {
				f.m.cfg.Logger.Warn("a neighbour sent what is no frame; its session is closed", "module", f.peer, "err", err)
			}
			return heard(f.peer, err)
		}
		if err := f.frame(in, t, body); err != nil {
			f.m.cfg.Logger.Warn("a neighbour sent what was refused; its session is closed", "module", f.peer, "err", err)
			return fmt.Errorf("module %d: %w", f.peer, err)
		}
	}
}

// frame takes one frame of the source. An error closes the session.
func (f *feed) frame(in *intake, t wire.Type, body []byte) error {
	m := f.m
	switch t {
	case wire.TypeBatch, wire.TypePart:
		return in.frame(t, body)
	case wire.TypeOffer:
		session, err := wire.DecodeNumber(body)
		if err == nil && f.attach != nil {
			f.attach(session)
			f.attach = nil
		}
		return err
	}
	f.in.Lock()
	defer f.in.Unlock()
	f.gaps(time.Now())
	switch t {
	case wire.TypeAnnounce:
		a, err := wire.DecodeAnnounce(body)
		if err != nil {
			return err
		}
		for _, e := range a.Seqs {
			if e.Stream.Module == m.cfg.Self && e.Seq > m.cfg.Source.Durable()[e.Stream].Seq {
				m.cfg.Sink.Ahead(f.peer, e.Stream, e.Seq)
			}
		}
		f.announced(a.Seqs)
	case wire.TypeHead:
		raw, err := wire.DecodeHead(body)
		if err != nil {
			return err
		}
		return f.head(raw)
	case wire.TypePruned:
		p, err := wire.DecodePruned(body)
		if err != nil {
			return err
		}
		if f.subscription(p.Stream) != nil {
			m.step(link.Failed{Peer: f.peer, Stream: p.Stream})
			m.cfg.Sink.Pruned(f.peer, p.Stream, p.Seq)
		}
	case wire.TypeFork:
		p, err := wire.DecodeFork(body)
		if err != nil {
			return err
		}
		f.fork(p)
	}
	// Others are a newer neighbour's: it knows from our version that we may
	// not understand, so they are of no consequence.
	return nil
}

// announced hands what the neighbour has to sink and puller.
func (f *feed) announced(seqs []origin.StreamSeq) {
	m := f.m
	if len(f.forked) > 0 {
		seqs = slices.DeleteFunc(seqs, func(e origin.StreamSeq) bool { return f.forked[e.Stream] })
	}
	if len(seqs) == 0 {
		return
	}
	m.mu.Lock()
	for _, e := range seqs {
		if old, known := f.link.has[e.Stream]; e.Seq > old && (known || len(f.link.has) < origin.MaxStreams) {
			f.link.has[e.Stream] = e.Seq
		}
	}
	m.mu.Unlock()
	m.step(link.Announced{Peer: f.peer, Seqs: seqs})
	m.cfg.Sink.Vector(f.peer, seqs)
}

func (f *feed) head(raw []byte) error {
	h, err := f.m.verifyHead(raw)
	switch {
	case err == nil:
		f.m.cfg.Sink.Head(f.peer, h, slices.Clone(raw))
	case errors.Is(err, link.ErrNobody): // control has not told us of it yet
	case errors.Is(err, entry.ErrDamaged):
		return err
	default:
		f.refuse(err)
	}
	return nil
}

// verifyHead is link.VerifyHead, which for the same bytes is done once: each
// head comes from every neighbour.
func (m *Mesh) verifyHead(raw []byte) (origin.Head, error) {
	if h, err := entry.DecodeHead(raw); err == nil {
		m.heads.Lock()
		same := bytes.Equal(raw, m.heads.m[h.Stream])
		m.heads.Unlock()
		if same {
			return h, nil
		}
	}
	h, err := link.VerifyHead(raw, m.cfg.Key)
	if err == nil {
		m.keepHead(h.Stream, slices.Clone(raw))
	}
	return h, err
}

// keepHead remembers a head that was verified.
func (m *Mesh) keepHead(s origin.Stream, raw []byte) {
	m.heads.Lock()
	defer m.heads.Unlock()
	if m.heads.m[s] != nil || len(m.heads.m) < origin.MaxStreams {
		m.heads.m[s] = raw
	}
}

// refuse counts what could not be verified; it is logged now and then.
func (f *feed) refuse(err error) {
	f.link.refused.Add(1)
	f.m.mu.Lock()
	f.link.lastError = err.Error()
	f.m.mu.Unlock()
	if now := time.Now(); now.Sub(f.warned) > time.Minute {
		f.warned = now
		f.m.cfg.Logger.Warn("a neighbour sent what could not be verified", "module", f.peer, "err", err, "refused", f.link.refused.Load())
	}
}

// fork hears that the source has another history than we at the position that
// we subscribed from.
func (f *feed) fork(p wire.Place) {
	if f.subscription(p.Stream) == nil {
		return
	}
	f.forked[p.Stream] = true
	f.m.step(link.Failed{Peer: f.peer, Stream: p.Stream})
	if h, ok, err := f.m.cfg.Source.HashAt(p.Stream, p.Seq); err == nil && ok && h != p.Hash {
		f.m.cfg.Sink.Fork(f.peer, p.Stream, p.Seq, h, p.Hash)
	}
}

// release renews the credit of a stream, wherever it is subscribed now.
func (m *Mesh) release(generation int, st origin.Stream, n int64) {
	f, grant, room := m.credits.release(generation, st, n)
	if f != nil {
		f.write(func(b []byte) []byte { return wire.AppendCredit(b, wire.Credit{Stream: st, Bytes: uint64(grant)}) })
	}
	if room {
		m.step(link.Full{Stream: st})
	}
}
