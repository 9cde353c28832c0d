package mesh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"drmesh/mesh/link"
	"drmesh/mesh/wire"
	"drmesh/origin"
	"drmesh/origin/entry"
)

// served is our side as the source of one neighbour's session.
type served struct {
	m    *Mesh
	peer origin.Module
	link *linkState
	conn *paced
	id   uint64 // links are attached under it
	ctx  context.Context

	mu     sync.Mutex // protects what follows; never held across I/O
	spread *link.Spread
	lanes  [link.MaxLinks + 1]*lane // 0 is the session's own; nil: none is attached
	tell   []byte                   // frames for lane 0

	// Owned by the writer of lane 0.
	told  map[origin.Stream]uint64 // announced
	heads map[origin.Stream][]byte // sent
}

// lane is a link of a session as its source sees it. One goroutine writes.
type lane struct {
	v    *served
	n    int
	conn *paced
	way  *wayState
	wake chan struct{} // capacity 1: subscriptions, credit or other lanes changed

	// Owned by the writer.
	enc   wire.Encoder
	out   []byte     // frames to write
	batch wire.Batch // being filled
	ran   time.Time  // when the last run was read, if it was a small one
}

const (
	maxOut    = 1 << 20 // what a source gathers before it writes
	maxPart   = 512 << 10
	maxCredit = 64 << 20 // what a receiver may let us send ahead
)

// runPause is the least time between two small runs: while many are made,
// those of a short while go together, under one head, which costs a signature
// and its check. A run after a lull never waits.
const (
	runPause = 2 * time.Millisecond
	smallRun = 32 << 10
)

// pause waits until the next run may go. It ends early with ctx.
func (w *lane) pause(ctx context.Context) {
	if w.ran.IsZero() {
		return
	}
	d := w.v.m.runPause() - time.Since(w.ran)
	w.ran = time.Time{}
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (m *Mesh) runPause() time.Duration {
	if m.cfg.Hurry != nil && m.cfg.Hurry() {
		return 0
	}
	return runPause
}

func (v *served) end() { reset(v.conn.Conn) }

func (w *lane) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// poke wakes all lanes; the caller holds mu.
func (v *served) poke() {
	for _, w := range v.lanes {
		if w != nil {
			w.poke()
		}
	}
}

// answer takes a stream that a neighbour opened to pull from us: a session, or
// a link of one.
func (m *Mesh) answer(ctx context.Context, peer origin.Module, stream net.Conn) {
	defer reset(stream)
	defer context.AfterFunc(ctx, func() { reset(stream) })()
	if !slices.Contains(m.cfg.Peers(), peer) {
		return
	}
	conn := &paced{Conn: stream, idle: greeting, stuck: stuck}
	r := bufio.NewReaderSize(conn, 16<<10)
	t, body, buf, err := wire.ReadFrame(r, nil)
	if err == nil {
		if t == wire.TypeAttach {
			err = m.attach(ctx, peer, conn, r, body)
		} else {
			err = m.serve(ctx, peer, conn, r, t, body, buf)
		}
	}
	if errors.Is(err, wire.ErrFrame) {
		m.cfg.Logger.Warn("a neighbour sent what is no frame; its session is closed", "module", peer, "err", err)
	} else if err != nil && ctx.Err() == nil {
		m.cfg.Logger.Debug("a neighbour that pulled from us is gone", "module", peer, "err", err)
	}
}

// serve answers a session, whose first frame is in body.
func (m *Mesh) serve(ctx context.Context, peer origin.Module, conn *paced, r io.Reader, t wire.Type, body, buf []byte) error {
	hello, err := m.checkHello(peer, t, body)
	if err != nil {
		return err
	}
	// A receiver says nothing for as long as it likes.
	conn.idle = 0
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the links
	m.mu.Lock()
	l := m.link(peer)
	v := &served{m: m, peer: peer, link: l, conn: conn, id: rand.Uint64(), ctx: ctx, spread: link.NewSpread(),
		told: map[origin.Stream]uint64{}, heads: map[origin.Stream][]byte{}}
	v.lanes[0] = &lane{v: v, conn: conn, way: &l.ways[0], wake: make(chan struct{}, 1)}
	if l.paused {
		m.mu.Unlock()
		return nil
	}
	old := m.serving[peer]
	m.serving[peer] = v
	m.mu.Unlock()
	if old != nil {
		old.end() // it is of a time before
	}
	defer func() {
		m.mu.Lock()
		if m.serving[peer] == v {
			delete(m.serving, peer)
			l.serving = false
			l.ways[0].serves(nil)
		}
		m.mu.Unlock()
	}()
	return v.serve(hello, r, buf)
}

func (v *served) serve(hello *wire.Hello, r io.Reader, buf []byte) error {
	m := v.m
	ours := m.cfg.Source.Durable()
	if _, err := v.conn.Write(wire.AppendOffer(m.hello(ours), v.id)); err != nil {
		return err
	}
	for s, p := range ours {
		v.told[s] = uint64(p.Seq)
	}
	if _, err := m.compare(v.peer, ours, hello); err != nil {
		return err
	}
	m.mu.Lock()
	if m.serving[v.peer] == v {
		v.link.serving = true
		v.lanes[0].way.serves(v.conn.Conn)
	}
	if s := m.sessions[v.peer]; s != nil {
		// It is there, and we understand each other: this is the time to dial.
		select {
		case s.nudge <- struct{}{}:
		default:
		}
	}
	f := m.feeds[v.peer]
	m.mu.Unlock()
	if f != nil {
		f.probe()
	}

	writing, stop := context.WithCancel(v.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := v.writer(writing); err != nil && writing.Err() == nil {
			m.cfg.Logger.Info("a neighbour is not served any more", "module", v.peer, "err", err)
		}
		v.end()
	})
	defer wg.Wait()
	defer v.end() // a write under way ends
	defer stop()
	for {
		t, body, b, err := wire.ReadFrame(r, buf)
		if buf = b; err == nil {
			err = v.frame(t, body)
		}
		if err != nil {
			return heard(v.peer, err)
		}
	}
}

// frame takes one frame of the receiver. An error closes the session.
func (v *served) frame(t wire.Type, body []byte) error {
	switch t {
	case wire.TypeSubscribe:
		x, err := wire.DecodeSubscribe(body)
		if err != nil {
			return err
		}
		return v.subscribe(&x)
	case wire.TypeCredit:
		x, err := wire.DecodeCredit(body)
		if err != nil {
			return err
		}
		v.mu.Lock()
		v.spread.Credit(x.Stream, int64(min(x.Bytes, maxCredit)), maxCredit)
		v.poke()
		v.mu.Unlock()
	case wire.TypeUnsubscribe:
		s, err := wire.DecodeUnsubscribe(body)
		if err != nil {
			return err
		}
		v.mu.Lock()
		v.spread.Unsubscribe(s)
		v.mu.Unlock()
	}
	return nil
}

func (v *served) subscribe(x *wire.Subscribe) error {
	m := v.m
	if m.cfg.May != nil && !m.cfg.May(v.peer, x.Stream) {
		return nil
	}
	h, ok, err := m.cfg.Source.HashAt(x.Stream, x.After.Seq)
	if err != nil {
		return fmt.Errorf("serve %v: %w", x.Stream, err)
	}
	forked := ok && h != x.After.Hash
	v.mu.Lock()
	if forked {
		// Two histories: neither is to be mixed into the other.
		v.spread.Unsubscribe(x.Stream)
		if len(v.tell) < maxOut {
			v.tell = wire.AppendFork(v.tell, wire.Place{Stream: x.Stream, Seq: x.After.Seq, Hash: h})
		}
	} else {
		v.spread.Subscribe(x.Stream, x.After.Seq, int64(min(x.Credit, maxCredit)))
	}
	v.poke()
	v.mu.Unlock()
	if forked {
		m.cfg.Sink.Fork(v.peer, x.Stream, x.After.Seq, h, x.After.Hash)
	}
	return nil
}

// attach adds a link to the session that it names.
func (m *Mesh) attach(ctx context.Context, peer origin.Module, conn *paced, r io.Reader, body []byte) error {
	a, err := wire.DecodeAttach(body)
	switch {
	case err != nil:
		return fmt.Errorf("module %d: %w", peer, err)
	case a.Version < wire.MinProtocol, a.Mesh != m.cfg.MeshID, a.Module != peer:
		return fmt.Errorf("module %d attaches a link as module %d of mesh %q, version %d", peer, a.Module, a.Mesh, a.Version)
	case a.Link < 1 || a.Link > link.MaxLinks:
		return fmt.Errorf("module %d attaches link %d", peer, a.Link)
	}
	m.mu.Lock()
	v := m.serving[peer]
	m.mu.Unlock()
	if v == nil || v.id != a.Session {
		return fmt.Errorf("module %d attaches a link to a session that is over", peer)
	}
	defer context.AfterFunc(v.ctx, func() { reset(conn.Conn) })()
	conn.idle = 0 // as of a session
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	w := &lane{v: v, n: int(a.Link), conn: conn, way: &v.link.ways[a.Link], wake: make(chan struct{}, 1)}
	v.mu.Lock()
	old := v.lanes[w.n]
	v.lanes[w.n] = w
	v.spread.Up(time.Now(), w.n, roundTrip(conn.Conn))
	v.poke()
	v.mu.Unlock()
	if old != nil {
		reset(old.conn.Conn)
	}
	m.mu.Lock()
	w.way.serves(conn.Conn)
	m.mu.Unlock()
	defer func() {
		v.mu.Lock()
		mine := v.lanes[w.n] == w
		if mine {
			v.lanes[w.n] = nil
			v.spread.Down(time.Now(), w.n)
			v.poke()
		}
		v.mu.Unlock()
		m.mu.Lock()
		if mine && w.way.serving == conn.Conn {
			w.way.serving = nil
		}
		m.mu.Unlock()
	}()
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		w.writer(ctx)
		reset(conn.Conn) // the reader tells
	})
	defer wg.Wait()
	defer reset(conn.Conn) // a write under way ends
	defer stop()
	var buf []byte
	for {
		t, body, b, err := wire.ReadFrame(r, buf)
		if err != nil {
			return heard(peer, err)
		}
		if buf = b; t != wire.TypeTaken {
			continue
		}
		runs, err := wire.DecodeNumber(body)
		if err != nil {
			return heard(peer, err)
		}
		v.mu.Lock()
		ok := v.lanes[w.n] != w || v.spread.Taken(time.Now(), w.n, runs)
		w.poke() // there is room in its window
		v.mu.Unlock()
		if !ok {
			return fmt.Errorf("module %d took %d runs from link %d, so many were not sent", peer, runs, w.n)
		}
	}
}

// writer sends runs over a link that is attached.
func (w *lane) writer(ctx context.Context) {
	m := w.v.m
	second := time.NewTicker(time.Second)
	defer second.Stop()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	w.out = wire.AppendAnnounce(w.out, nil) // the link stands
	for ctx.Err() == nil {
		w.pause(ctx)
		changed := m.cfg.Source.Changed() // before what is read
		due, more, err := w.next()
		if err == nil {
			err = w.flush()
		}
		if err != nil {
			if ctx.Err() == nil {
				m.cfg.Logger.Debug("a link ended", "module", w.v.peer, "link", w.n, "err", err)
			}
			return
		}
		if more {
			continue
		}
		var wait <-chan time.Time
		if !due.IsZero() {
			again.Reset(time.Until(due))
			wait = again.C
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-w.wake:
		case <-wait:
		case <-second.C:
			w.out = wire.AppendAnnounce(w.out, nil) // a sign of life
			w.v.mu.Lock()
			if w.v.lanes[w.n] == w {
				w.v.spread.Measured(w.n, roundTrip(w.conn.Conn))
			}
			w.v.mu.Unlock()
		}
	}
}

// announcePause is the least time between two announcements: acknowledgements
// of many small batches go together.
const announcePause = 2 * time.Millisecond

// writer sends runs, announcements and heads, as the journal advances.
func (v *served) writer(ctx context.Context) error {
	m, w := v.m, v.lanes[0]
	second := time.NewTicker(time.Second)
	defer second.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	var announced time.Time
	beat := true
	for ctx.Err() == nil {
		w.pause(ctx)
		changed := m.cfg.Source.Changed() // before what is read
		// Runs first: what is asked for travels ahead of what is known of it.
		// One of each stream at a time, so that a long one holds up neither
		// the others nor the acknowledgements.
		v.mu.Lock()
		standing := v.spread.Standing()
		w.out, v.tell = append(w.out, v.tell...), v.tell[:0]
		v.mu.Unlock()
		more := standing > 0
		var at time.Time
		for ; more && standing > 0; standing-- {
			var err error
			if at, more, err = w.next(); err != nil {
				return err
			}
		}
		wait := time.Duration(0)
		if news := v.news(); len(news) > 0 {
			if wait = announcePause - time.Since(announced); wait <= 0 {
				for _, e := range news {
					v.told[e.Stream] = uint64(e.Seq)
				}
				w.out = wire.AppendAnnounce(w.out, news)
				announced, wait = time.Now(), 0
			}
		}
		if beat {
			beat = false
			v.beat()
		}
		if err := w.flush(); err != nil {
			return err
		}
		if more {
			select {
			case <-second.C:
				beat = true
			default:
			}
			continue
		}
		if !at.IsZero() {
			if d := max(time.Until(at), 1); wait <= 0 || d < wait {
				wait = d
			}
		}
		var announce <-chan time.Time
		if wait > 0 {
			due.Reset(wait)
			announce = due.C
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-w.wake:
		case <-announce:
		case <-second.C:
			beat = true
		}
		if beat {
			v.mu.Lock()
			v.spread.Tick()
			v.mu.Unlock()
		}
	}
	return ctx.Err()
}

func (w *lane) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.conn.Write(w.out)
	if w.out = w.out[:0]; cap(w.out) > 2*maxOut {
		w.out = nil
	}
	return err
}

// news is what became durable since it was told.
func (v *served) news() []origin.StreamSeq {
	var news []origin.StreamSeq
	for s, p := range v.m.cfg.Source.Durable() {
		if uint64(p.Seq) > v.told[s] {
			news = append(news, origin.StreamSeq{Stream: s, Seq: p.Seq})
		}
	}
	slices.SortFunc(news, func(a, b origin.StreamSeq) int { return a.Stream.Compare(b.Stream) })
	return news
}

// beat sends the heads that changed, or another sign of life.
func (v *served) beat() {
	w := v.lanes[0]
	for _, b := range v.m.cfg.Source.Heads() {
		h, err := entry.DecodeHead(b)
		if err == nil && !bytes.Equal(v.heads[h.Stream], b) {
			v.heads[h.Stream] = b
			w.out = wire.AppendHead(w.out, b)
		}
	}
	if len(w.out) == 0 {
		w.out = wire.AppendAnnounce(w.out, nil)
	}
}

// errReplaced says that the receiver attached a link anew.
var errReplaced = errors.New("the link was attached again")

// next sends the run that it is this lane's turn to send. more says that there
// may be another at once; due, when to ask again although nothing happened.
func (w *lane) next() (due time.Time, more bool, err error) {
	v := w.v
	durable := v.m.cfg.Source.Durable()
	now := time.Now()
	v.mu.Lock()
	if v.lanes[w.n] != w {
		v.mu.Unlock()
		return due, false, errReplaced
	}
	o, ok := v.spread.Next(now, w.n, durable)
	if !ok {
		due = v.spread.Due(now, w.n)
	}
	v.mu.Unlock()
	for ok {
		if o, ok, err = w.run(o); err != nil {
			return due, false, err
		}
		more = true
	}
	return due, more, nil
}

// run reads and sends what was ordered; again is the rest of it.
func (w *lane) run(o link.Order) (rest link.Order, again bool, err error) {
	v := w.v
	run, err := v.m.cfg.Source.Read(o.Stream, o.After, o.Max)
	pruned := errors.Is(err, ErrPruned)
	if err != nil && !pruned {
		return rest, false, fmt.Errorf("serve %v: %w", o.Stream, err)
	}
	n := int64(0)
	for _, e := range run.Entries {
		n += int64(len(e))
	}
	v.mu.Lock()
	if v.lanes[w.n] != w {
		v.mu.Unlock()
		return rest, false, errReplaced
	}
	if pruned {
		if o, ends := v.spread.Fail(w.n); ends && len(v.tell) < maxOut {
			v.tell = wire.AppendPruned(v.tell, o.Stream, o.After)
		}
		v.poke()
		v.mu.Unlock()
		return rest, false, nil
	}
	rest, again = v.spread.Sent(time.Now(), w.n, o.After+origin.Seq(len(run.Entries)), n)
	for _, x := range v.lanes[1:] { // lane 0 waits for the others to fail
		if x != nil && x != w {
			x.poke() // the stream is free for it
		}
	}
	v.mu.Unlock()
	if len(run.Entries) == 0 {
		return rest, false, nil
	}
	if err := w.send(&run); err != nil {
		return rest, false, err
	}
	if n < smallRun {
		w.ran = time.Now()
	}
	v.link.sent.Add(int64(len(run.Entries)))
	v.link.sentBytes.Add(n)
	w.way.sent.Add(int64(len(run.Entries)))
	w.way.sentBytes.Add(n)
	return rest, again, nil
}

// send puts a run into frames: as many entries to a batch as fit, those that
// are larger in parts, the head with the last.
func (w *lane) send(run *Run) error {
	const length = 5 // before each entry, at most
	w.batch = wire.Batch{Stream: run.Stream, After: run.After, Entries: w.batch.Entries[:0]}
	size := 0
	emit := func(head []byte) error {
		if len(w.batch.Entries) > 0 || len(head) > 0 {
			w.batch.Head = head
			w.out = w.enc.AppendBatch(w.out, &w.batch)
		}
		w.batch.After += origin.Seq(len(w.batch.Entries))
		clear(w.batch.Entries) // their memory is free
		w.batch.Entries, w.batch.Head, size = w.batch.Entries[:0], nil, 0
		if len(w.out) >= maxOut {
			return w.flush()
		}
		return nil
	}
	for _, e := range run.Entries {
		if size+len(e)+length > wire.MaxEntries {
			if err := emit(nil); err != nil {
				return err
			}
		}
		if len(e)+length <= wire.MaxEntries {
			w.batch.Entries = append(w.batch.Entries, e)
			size += len(e) + length
			continue
		}
		for off := 0; off < len(e); off += maxPart {
			w.out = wire.AppendPart(w.out, &wire.Part{Stream: run.Stream, Seq: w.batch.After + 1, Offset: uint64(off), Total: uint64(len(e)), Bytes: e[off:min(off+maxPart, len(e))]})
			if len(w.out) >= maxOut {
				if err := w.flush(); err != nil {
					return err
				}
			}
		}
		w.batch.After++
	}
	return emit(run.Head)
}
