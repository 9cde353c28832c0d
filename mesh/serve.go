package mesh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

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

	mu   sync.Mutex // protects subs and its cursors; never held across I/O
	subs map[origin.Stream]*cursor
	wake chan struct{} // capacity 1: subscriptions or credit changed

	// Owned by the writer.
	enc   wire.Encoder
	out   []byte                   // frames to write
	batch wire.Batch               // being filled
	told  map[origin.Stream]uint64 // announced
	heads map[origin.Stream][]byte // sent
}

// cursor is where a subscription stands in our journal.
type cursor struct {
	at     origin.Seq
	credit int64
	forked bool        // the receiver stands in another history: ours has
	hash   origin.Hash // this at at
	dead   bool        // cannot be served; the receiver was told
}

const (
	maxRun    = 256 << 10 // what a source asks of its journal at a time
	maxOut    = 1 << 20   // what it gathers before it writes
	maxPart   = 512 << 10
	maxCredit = 64 << 20 // what a receiver may let us send ahead
)

func (v *served) end() { reset(v.conn.Conn) }

func (v *served) poke() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// serve answers a neighbour that pulls from us.
func (m *Mesh) serve(ctx context.Context, peer origin.Module, stream net.Conn) {
	defer reset(stream)
	defer context.AfterFunc(ctx, func() { reset(stream) })()
	if !slices.Contains(m.cfg.Peers(), peer) {
		return
	}
	m.mu.Lock()
	l := m.link(peer)
	v := &served{m: m, peer: peer, link: l, conn: &paced{Conn: stream, idle: greeting, stuck: stuck}, subs: map[origin.Stream]*cursor{},
		wake: make(chan struct{}, 1), told: map[origin.Stream]uint64{}, heads: map[origin.Stream][]byte{}}
	if l.paused {
		m.mu.Unlock()
		return
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
		}
		m.mu.Unlock()
	}()
	if err := v.serve(ctx); err != nil && ctx.Err() == nil {
		m.cfg.Logger.Debug("a neighbour that pulled from us is gone", "module", peer, "err", err)
	}
}

func (v *served) serve(ctx context.Context) error {
	m := v.m
	r := bufio.NewReaderSize(v.conn, 16<<10)
	hello, buf, err := m.readHello(r, v.peer)
	if err != nil {
		return err
	}
	// A receiver says nothing for as long as it likes.
	v.conn.idle = 0
	if err := v.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	ours := m.cfg.Source.Durable()
	if _, err := v.conn.Write(m.hello(ours)); err != nil {
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

	writing, stop := context.WithCancel(ctx)
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
		var t wire.Type
		var body []byte
		if t, body, buf, err = wire.ReadFrame(r, buf); err == nil {
			err = v.frame(t, body)
		}
		if errors.Is(err, wire.ErrFrame) {
			m.cfg.Logger.Warn("a neighbour sent what is no frame; its session is closed", "module", v.peer, "err", err)
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
		if c := v.subs[x.Stream]; c != nil {
			c.credit = min(c.credit+int64(min(x.Bytes, maxCredit)), maxCredit)
		}
		v.mu.Unlock()
		v.poke()
	case wire.TypeUnsubscribe:
		s, err := wire.DecodeUnsubscribe(body)
		if err != nil {
			return err
		}
		v.mu.Lock()
		delete(v.subs, s)
		v.mu.Unlock()
	}
	return nil
}

func (v *served) subscribe(x *wire.Subscribe) error {
	m := v.m
	if m.cfg.May != nil && !m.cfg.May(v.peer, x.Stream) {
		return nil
	}
	c := &cursor{at: x.After.Seq, credit: int64(min(x.Credit, maxCredit))}
	h, ok, err := m.cfg.Source.HashAt(x.Stream, x.After.Seq)
	if err != nil {
		return fmt.Errorf("serve %v: %w", x.Stream, err)
	}
	if ok && h != x.After.Hash {
		// Two histories: neither is to be mixed into the other.
		c.forked, c.hash = true, h
		m.cfg.Sink.Fork(v.peer, x.Stream, x.After.Seq, h, x.After.Hash)
	}
	v.mu.Lock()
	if _, again := v.subs[x.Stream]; again || len(v.subs) < origin.MaxStreams {
		v.subs[x.Stream] = c
	}
	v.mu.Unlock()
	v.poke()
	return nil
}

// announcePause is the least time between two announcements: acknowledgements
// of many small batches go together.
const announcePause = 2 * time.Millisecond

// writer sends runs, announcements and heads, as the journal advances.
func (v *served) writer(ctx context.Context) error {
	m := v.m
	second := time.NewTicker(time.Second)
	defer second.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	var announced time.Time
	beat := true
	for ctx.Err() == nil {
		changed := m.cfg.Source.Changed() // before what is read
		// Runs first: what is asked for travels ahead of what is known of it.
		// One of each stream at a time, so that a long one holds up neither
		// the others nor the acknowledgements.
		more := false
		for _, s := range v.streams() {
			again, err := v.run(s)
			if err != nil {
				return err
			}
			more = more || again
		}
		wait := time.Duration(0)
		if news := v.news(); len(news) > 0 {
			if wait = announcePause - time.Since(announced); wait <= 0 {
				for _, e := range news {
					v.told[e.Stream] = uint64(e.Seq)
				}
				v.out = wire.AppendAnnounce(v.out, news)
				announced, wait = time.Now(), 0
			}
		}
		if beat {
			beat = false
			v.beat()
		}
		if err := v.flush(); err != nil {
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
		var announce <-chan time.Time
		if wait > 0 {
			due.Reset(wait)
			announce = due.C
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-v.wake:
		case <-announce:
		case <-second.C:
			beat = true
		}
	}
	return ctx.Err()
}

func (v *served) flush() error {
	if len(v.out) == 0 {
		return nil
	}
	_, err := v.conn.Write(v.out)
	if v.out = v.out[:0]; cap(v.out) > 2*maxOut {
		v.out = nil
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
	for _, b := range v.m.cfg.Source.Heads() {
		h, err := entry.DecodeHead(b)
		if err == nil && !bytes.Equal(v.heads[h.Stream], b) {
			v.heads[h.Stream] = b
			v.out = wire.AppendHead(v.out, b)
		}
	}
	if len(v.out) == 0 {
		v.out = wire.AppendAnnounce(v.out, nil)
	}
}

// streams lists what there may be something to send of. It tells the receiver
// of forks on the way.
func (v *served) streams() []origin.Stream {
	v.mu.Lock()
	defer v.mu.Unlock()
	var l []origin.Stream
	for s, c := range v.subs {
		switch {
		case c.dead:
		case c.forked:
			c.dead = true
			v.out = wire.AppendFork(v.out, wire.Place{Stream: s, Seq: c.at, Hash: c.hash})
		case c.credit > 0:
			l = append(l, s)
		}
	}
	slices.SortFunc(l, origin.Stream.Compare)
	return l
}

// run sends the next run of a subscription; more says that there may be
// another at once.
func (v *served) run(s origin.Stream) (more bool, err error) {
	m := v.m
	v.mu.Lock()
	c := v.subs[s]
	v.mu.Unlock()
	if c == nil {
		return false, nil
	}
	run, err := m.cfg.Source.Read(s, c.at, maxRun)
	if errors.Is(err, ErrPruned) {
		v.mu.Lock()
		c.dead = true
		v.mu.Unlock()
		v.out = wire.AppendPruned(v.out, s, c.at)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("serve %v: %w", s, err)
	}
	if len(run.Entries) == 0 {
		return false, nil
	}
	n, err := v.send(&run)
	if err != nil {
		return false, err
	}
	v.mu.Lock()
	c.at = run.After + origin.Seq(len(run.Entries))
	c.credit -= n
	more = c.credit > 0
	v.mu.Unlock()
	v.link.sent.Add(int64(len(run.Entries)))
	v.link.sentBytes.Add(n)
	return more, nil
}

// send puts a run into frames: as many entries to a batch as fit, those that
// are larger in parts, the head with the last.
func (v *served) send(run *Run) (n int64, err error) {
	const length = 5 // before each entry, at most
	v.batch = wire.Batch{Stream: run.Stream, After: run.After, Entries: v.batch.Entries[:0]}
	size := 0
	emit := func(head []byte) error {
		if len(v.batch.Entries) > 0 || len(head) > 0 {
			v.batch.Head = head
			v.out = v.enc.AppendBatch(v.out, &v.batch)
		}
		v.batch.After += origin.Seq(len(v.batch.Entries))
		v.batch.Entries, size = v.batch.Entries[:0], 0
		if len(v.out) >= maxOut {
			return v.flush()
		}
		return nil
	}
	defer func() {
		clear(v.batch.Entries[:cap(v.batch.Entries)]) // their memory is free
		v.batch.Head = nil
	}()
	for _, e := range run.Entries {
		n += int64(len(e))
		if size+len(e)+length > wire.MaxEntries {
			if err := emit(nil); err != nil {
				return n, err
			}
		}
		if len(e)+length <= wire.MaxEntries {
			v.batch.Entries = append(v.batch.Entries, e)
			size += len(e) + length
			continue
		}
		for off := 0; off < len(e); off += maxPart {
			v.out = wire.AppendPart(v.out, &wire.Part{Stream: run.Stream, Seq: v.batch.After + 1, Offset: uint64(off), Total: uint64(len(e)), Bytes: e[off:min(off+maxPart, len(e))]})
			if len(v.out) >= maxOut {
				if err := v.flush(); err != nil {
					return n, err
				}
			}
		}
		v.batch.After++
	}
	return n, emit(run.Head)
}
