package mesh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"drmesh/mesh/wire"
	"drmesh/origin"
)

// served is our side as the source of one neighbour's session.
type served struct {
	m    *Mesh
	peer origin.Module
	conn net.Conn

	mu    sync.Mutex // protects subs; never held across I/O
	subs  map[origin.Stream]*cursor
	wake  chan struct{} // capacity 1: subscriptions or credit changed
	close sync.Once
}

// cursor is where a subscription stands in our journal.
type cursor struct {
	at     origin.Seq
	credit int64
	dead   bool // cannot be served; the receiver knows
}

func (v *served) end() { v.close.Do(func() { v.conn.Close() }) }

func (v *served) poke() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// serve answers a neighbour that pulls from us. ctx is the connection's, run
// that of Run.
func (m *Mesh) serve(ctx, run context.Context, peer origin.Module, conn net.Conn) {
	v := &served{m: m, peer: peer, conn: conn, subs: map[origin.Stream]*cursor{}, wake: make(chan struct{}, 1)}
	defer v.end()
	stop := context.AfterFunc(run, v.end)
	defer stop()
	m.mu.Lock()
	l := m.link(peer)
	paused := l.paused
	if !paused {
		if old := m.serving[peer]; old != nil {
			defer old.end()
		}
		m.serving[peer] = v
	}
	m.mu.Unlock()
	if paused || !slices.Contains(m.cfg.Peers(), peer) {
		return
	}
	defer func() {
		m.mu.Lock()
		if m.serving[peer] == v {
			delete(m.serving, peer)
			l.serving = false
		}
		m.mu.Unlock()
	}()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReaderSize(conn, 16<<10)
	t, body, buf, err := wire.ReadFrame(r, nil)
	if err != nil {
		return
	}
	hello, err := m.checkHello(peer, t, body)
	if err != nil {
		m.cfg.Logger.Warn("a neighbour's session was refused", "module", peer, "err", err)
		return
	}
	ours := m.cfg.Source.Durable()
	if _, err := conn.Write(wire.AppendHello(nil, &wire.Hello{Version: wire.Protocol, Mesh: m.cfg.MeshID, Module: m.cfg.Self, Vector: ours.Sorted()})); err != nil {
		return
	}
	conn.SetDeadline(time.Time{})
	m.mu.Lock()
	l.serving = true
	m.mu.Unlock()
	m.compare(peer, ours, hello)

	wctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer v.end()
		if err := v.writer(wctx, ours); err != nil && wctx.Err() == nil {
			m.cfg.Logger.Debug("a neighbour's session ended", "module", peer, "err", err)
		}
	}()
	defer wg.Wait()
	defer cancel()
	for {
		if t, body, buf, err = wire.ReadFrame(r, buf); err != nil {
			return
		}
		if err := v.frame(t, body); err != nil {
			m.cfg.Logger.Warn("a neighbour sent what was refused; its session is closed", "module", peer, "err", err)
			return
		}
	}
}

func (v *served) frame(t wire.Type, body []byte) error {
	switch t {
	case wire.TypeSubscribe:
		x, err := wire.DecodeSubscribe(body)
		if err != nil {
			return err
		}
		c := &cursor{at: x.After.Seq, credit: int64(min(x.Credit, 64<<20))}
		h, ok, err := v.m.cfg.Source.HashAt(x.Stream, x.After.Seq)
		if err == nil && ok && h != x.After.Hash {
			// Two histories: neither is to be mixed into the other.
			c.dead = true
			v.m.cfg.Sink.Fork(v.peer, x.Stream, x.After.Seq, h, x.After.Hash)
			v.mu.Lock()
			v.subs[x.Stream] = c
			v.mu.Unlock()
			return nil
		}
		v.mu.Lock()
		if len(v.subs) < origin.MaxStreams {
			v.subs[x.Stream] = c
		}
		v.mu.Unlock()
		v.poke()
	case wire.TypeCredit:
		x, err := wire.DecodeCredit(body)
		if err != nil {
			return err
		}
		v.mu.Lock()
		if c := v.subs[x.Stream]; c != nil {
			c.credit = min(c.credit+int64(min(x.Bytes, 1<<30)), 64<<20)
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

// announcePause is the least time between two announcements: acknowledgements
// of many small batches go together.
const announcePause = 2 * time.Millisecond

// writer sends announcements, heads and runs, as the journal advances.
func (v *served) writer(ctx context.Context, told origin.Vector) error {
	m := v.m
	told = told.Clone()
	if told == nil {
		told = origin.Vector{}
	}
	heads := map[origin.Stream][]byte{}
	var enc wire.Encoder
	var out []byte
	flush := func() error {
		if len(out) == 0 {
			return nil
		}
		// A receiver that reads nothing costs us its connection in the end.
		v.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
		_, err := v.conn.Write(out)
		out = out[:0]
		if cap(out) > 4<<20 {
			out = nil
		}
		return err
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	var lastAnnounce time.Time
	beat := true
	for {
		changed := m.cfg.Source.Changed()
		// Runs first: what is asked for travels ahead of what is known of it.
		for more := true; more; {
			more = false
			for _, s := range v.sorted() {
				n, err := v.runs(s, &enc, &out)
				if err != nil {
					return err
				}
				more = more || n
				if len(out) > 256<<10 {
					if err := flush(); err != nil {
						return err
					}
				}
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		now := m.cfg.Source.Durable()
		var news []origin.StreamSeq
		for s, p := range now {
			if p.Seq > told[s].Seq {
				news = append(news, origin.StreamSeq{Stream: s, Seq: p.Seq})
			}
		}
		wait := time.Duration(0)
		if len(news) > 0 {
			if wait = announcePause - time.Since(lastAnnounce); wait <= 0 {
				slices.SortFunc(news, func(a, b origin.StreamSeq) int { return a.Stream.Compare(b.Stream) })
				for _, e := range news {
					told[e.Stream] = origin.Position{Seq: e.Seq}
				}
				out = wire.AppendAnnounce(out, news)
				lastAnnounce, wait = time.Now(), 0
			}
		}
		if beat {
			beat = false
			for _, h := range m.cfg.Source.Heads() {
				s, ok := headStream(h)
				if ok && !bytes.Equal(heads[s], h) {
					heads[s] = h
					out = wire.AppendHead(out, h)
				}
			}
			if len(out) == 0 {
				out = wire.AppendAnnounce(out, nil) // a sign of life
			}
		}
		if err := flush(); err != nil {
			return err
		}
		var announce <-chan time.Time
		if wait > 0 {
			due.Reset(wait)
			announce = due.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-v.wake:
		case <-announce:
		case <-second.C:
			beat = true
		}
	}
}

func (v *served) sorted() []origin.Stream {
	v.mu.Lock()
	defer v.mu.Unlock()
	l := make([]origin.Stream, 0, len(v.subs))
	for s, c := range v.subs {
		if !c.dead && c.credit > 0 {
			l = append(l, s)
		}
	}
	slices.SortFunc(l, origin.Stream.Compare)
	return l
}

// runs appends the next run of a subscription to out; more says that there may
// be another at once.
func (v *served) runs(s origin.Stream, enc *wire.Encoder, out *[]byte) (more bool, err error) {
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
		*out = wire.AppendPruned(*out, s, c.at)
		return false, nil
	}
	if err != nil || len(run.Entries) == 0 {
		return false, err
	}
	n := 0
	at := run.After
	var frame wire.Batch
	size := 0
	emit := func(head []byte) {
		if len(frame.Entries) > 0 || len(head) > 0 {
			frame.Stream, frame.After, frame.Head = s, at-origin.Seq(len(frame.Entries)), head
			*out = enc.AppendBatch(*out, &frame)
		}
		frame.Entries, size = frame.Entries[:0], 0
	}
	const lengthBytes = 5
	for _, e := range run.Entries {
		n += len(e)
		if len(e)+lengthBytes > wire.MaxEntries {
			emit(nil)
			for off := 0; off < len(e); off += 512 << 10 {
				p := e[off:min(off+512<<10, len(e))]
				*out = wire.AppendPart(*out, &wire.Part{Stream: s, Seq: at + 1, Total: uint64(len(e)), Bytes: p})
				if len(*out) > 4<<20 {
					v.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
					if _, err := v.conn.Write(*out); err != nil {
						return false, err
					}
					*out = (*out)[:0]
				}
			}
			at++
			continue
		}
		if size+len(e)+lengthBytes > wire.MaxEntries {
			emit(nil)
		}
		frame.Entries = append(frame.Entries, e)
		size += len(e) + lengthBytes
		at++
	}
	emit(run.Head)
	v.mu.Lock()
	c.at = at
	c.credit -= int64(n)
	more = c.credit > 0
	v.mu.Unlock()
	m.mu.Lock()
	l := m.link(v.peer)
	m.mu.Unlock()
	l.sent.Add(int64(len(run.Entries)))
	l.sentBytes.Add(int64(n))
	return more, nil
}
