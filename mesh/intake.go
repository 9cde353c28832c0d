package mesh

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"drmesh/mesh/link"
	"drmesh/mesh/quicnet"
	"drmesh/mesh/wire"
	"drmesh/origin"
)

// intake is one way by which a feed's runs come: the session's conversation or
// a link. The frames of a run follow each other on it. Who reads it owns it.
type intake struct {
	f   *feed
	way *wayState
	dec wire.Decoder

	// The run that is being collected.
	sub    *subscription
	stream origin.Stream
	run    link.Chunk
	part   []byte // of the next entry, which comes in pieces

	runs uint64 // that came whole
}

func (in *intake) frame(t wire.Type, body []byte) error {
	if t == wire.TypeBatch {
		b, err := in.dec.DecodeBatch(body)
		if err != nil {
			return err
		}
		return in.batch(&b)
	}
	p, err := wire.DecodePart(body)
	if err != nil {
		return err
	}
	return in.piece(&p)
}

// begin starts to collect a run, unless the frame at hand goes on with the one
// that is being collected.
func (in *intake) begin(s origin.Stream, after origin.Seq) {
	sub := in.f.subscription(s)
	if sub == in.sub && s == in.stream && after == in.run.After+origin.Seq(len(in.run.Entries)) {
		return
	}
	in.drop()
	in.sub, in.stream = sub, s
	in.run.After = after
}

// drop lets go of what is being collected.
func (in *intake) drop() {
	in.f.collected.Add(-in.run.Bytes)
	in.sub, in.run, in.part = nil, link.Chunk{}, nil
}

// hold counts what is about to be held.
func (in *intake) hold(n int) error {
	f := in.f
	in.run.Bytes += int64(n)
	if in.run.Bytes < 1<<20 {
		f.collected.Add(int64(n))
		return nil // so few of it that others need not be looked at each time
	}
	return f.within(f.collected.Add(int64(n)))
}

func (f *feed) within(n int64) error {
	f.mu.Lock()
	for _, x := range f.subs {
		n += x.waiting.Load()
	}
	f.mu.Unlock()
	if n > maxHold {
		return fmt.Errorf("%w: %d bytes without a head", wire.ErrFrame, n)
	}
	return nil
}

// coming tells the puller that something of a stream comes.
func (f *feed) coming(s origin.Stream) { f.m.step(link.Received{Stream: s}) }

// piece collects an entry that is larger than a frame.
func (in *intake) piece(p *wire.Part) error {
	in.begin(p.Stream, p.Seq-1)
	if in.sub == nil {
		return nil
	}
	switch p.Offset {
	case uint64(len(in.part)):
	case 0: // it begins again
		in.f.collected.Add(-int64(len(in.part)))
		in.run.Bytes -= int64(len(in.part))
		in.part = in.part[:0]
	default:
		return nil // its beginning was of an earlier subscription
	}
	if err := in.hold(len(p.Bytes)); err != nil {
		return err
	}
	in.part = append(in.part, p.Bytes...)
	if uint64(len(in.part)) == p.Total {
		in.run.Entries, in.part = append(in.run.Entries, in.part), nil
	}
	in.f.coming(p.Stream) // something comes
	return nil
}

// batch takes entries; with a head the run is whole.
func (in *intake) batch(b *wire.Batch) error {
	f := in.f
	whole := len(b.Head) > 0
	if whole {
		in.runs++
	}
	in.begin(b.Stream, b.After)
	if in.sub == nil {
		f.link.dropped.Add(int64(len(b.Entries)))
		return nil
	}
	n := 0
	for _, e := range b.Entries {
		n += len(e)
	}
	if err := in.hold(n); err != nil {
		return err
	}
	if in.run.Entries == nil {
		in.run.Entries = b.Entries
	} else {
		in.run.Entries = append(in.run.Entries, b.Entries...)
	}
	if !whole {
		f.coming(b.Stream)
		return nil
	}
	sub, run := in.sub, in.run
	in.drop()
	if len(run.Entries) == 0 {
		return nil
	}
	run.Head = b.Head
	in.way.received.Add(int64(len(run.Entries)))
	in.way.receivedBytes.Add(run.Bytes)
	return f.take(b.Stream, sub, run)
}

// take has a run that came whole: it is delivered in its turn.
func (f *feed) take(s origin.Stream, sub *subscription, run link.Chunk) error {
	f.in.Lock()
	defer f.in.Unlock()
	if run.After > sub.at.Seq {
		if f.subscription(s) != sub {
			f.link.dropped.Add(int64(len(run.Entries)))
			return nil // of an earlier subscription
		}
		if sub.ahead.Bytes == 0 {
			sub.gap = time.Now()
		}
		sub.ahead.Add(run)
		sub.waiting.Store(sub.ahead.Bytes)
		f.coming(s)
		return f.within(f.collected.Load())
	}
	for ok := true; ok && f.subscription(s) == sub; run, ok = sub.ahead.Next(sub.at.Seq) {
		f.link.dropped.Add(int64(run.From(sub.at.Seq)))
		if len(run.Entries) > 0 && !f.deliver(s, sub, run) {
			return nil
		}
	}
	if sub.ahead.Dropped > 0 {
		f.link.dropped.Add(sub.ahead.Dropped)
		sub.ahead.Dropped = 0
	}
	if sub.waiting.Load() > 0 {
		sub.waiting.Store(sub.ahead.Bytes)
		sub.gap = time.Now()
	}
	return nil
}

// gapPause is how long a gap may stay open: a source sends again what a link
// lost well before, when it hears that the link is dead.
const gapPause = 20 * time.Second

// gaps looks once a second for streams that do not move although more of them
// came.
func (f *feed) gaps(now time.Time) {
	if now.Sub(f.looked) < time.Second {
		return
	}
	f.looked = now
	var open []origin.Stream
	f.mu.Lock()
	for s, sub := range f.subs {
		if sub.waiting.Load() > 0 && now.Sub(sub.gap) >= gapPause {
			open = append(open, s)
		}
	}
	f.mu.Unlock()
	slices.SortFunc(open, origin.Stream.Compare)
	for _, s := range open {
		f.m.cfg.Logger.Info("of a stream a neighbour sent what lies ahead, and not what lies before it; it is asked for again", "module", f.peer, "stream", s.String())
		f.m.step(link.Gap{Peer: f.peer, Stream: s})
	}
}

// deliver verifies a run that follows what is here, and hands it on. False:
// nothing more of the subscription is wanted.
func (f *feed) deliver(s origin.Stream, sub *subscription, c link.Chunk) bool {
	m := f.m
	h, chain, err := link.Verify(s, sub.at, c.Entries, c.Head, m.cfg.Key)
	if err != nil {
		// Not a byte of it is kept. The session stands: other streams that
		// come over it may be in order.
		m.step(link.Failed{Peer: f.peer, Stream: s})
		f.refuse(err)
		return false
	}
	m.keepHead(s, c.Head)
	sub.at = h.Position
	f.link.received.Add(int64(len(c.Entries)))
	f.link.receivedBytes.Add(c.Bytes)
	generation, full := m.credits.deliver(s, c.Bytes)
	if full {
		m.step(link.Full{Stream: s, Full: true})
	}
	var once sync.Once
	m.cfg.Sink.Deliver(f.peer, Run{Stream: s, After: c.After, Entries: c.Entries, Head: c.Head, Chain: chain}, h, func() {
		once.Do(func() { m.release(generation, s, c.Bytes) })
	})
	m.step(link.Received{Stream: s, At: h.Position})
	return true
}

// keepLink keeps a link of the session up until ctx ends.
func (f *feed) keepLink(ctx context.Context, n int, path quicnet.Path, session uint64) {
	m, way := f.m, &f.link.ways[n]
	m.mu.Lock()
	way.path = path
	m.mu.Unlock()
	var backoff link.Backoff
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		err := f.runLink(ctx, n, path, session)
		if ctx.Err() != nil {
			err = nil
		}
		m.mu.Lock()
		way.feeds(nil, err)
		m.mu.Unlock()
		timer.Reset(backoff.Ended(time.Since(began), rand.Float64()))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// ackEvery is how many runs are acknowledged together when more lie ready.
const ackEvery = 16

// runLink makes a link and reads from it until it ends.
func (f *feed) runLink(ctx context.Context, n int, path quicnet.Path, session uint64) error {
	m, way := f.m, &f.link.ways[n]
	dialing, cancel := context.WithTimeout(ctx, 5*time.Second)
	stream, err := m.cfg.Network.OpenPath(dialing, f.peer, path, quicnet.Data)
	cancel()
	if err != nil {
		return err
	}
	defer reset(stream)
	defer context.AfterFunc(ctx, func() { reset(stream) })()
	conn := &paced{Conn: stream, idle: silence, stuck: stuck, heard: f.conn.heard}
	out := wire.AppendAttach(nil, &wire.Attach{Version: wire.Protocol, Mesh: m.cfg.MeshID, Module: m.cfg.Self, Session: session, Link: uint64(n)})
	if _, err := conn.Write(out); err != nil {
		return fmt.Errorf("module %d: %w", f.peer, err)
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	in := &intake{f: f, way: way}
	defer in.drop()
	var buf []byte
	var told uint64
	for up := false; ; {
		t, body, b, err := wire.ReadFrame(r, buf)
		if err != nil {
			return heard(f.peer, err)
		}
		if buf = b; !up {
			up = true
			m.mu.Lock()
			way.feeds(stream, nil)
			m.mu.Unlock()
		}
		if t == wire.TypeBatch || t == wire.TypePart {
			if err := in.frame(t, body); err != nil {
				if errors.Is(err, wire.ErrFrame) {
					m.cfg.Logger.Warn("a neighbour sent what is no frame; its link is closed", "module", f.peer, "link", n, "err", err)
				}
				return fmt.Errorf("module %d: %w", f.peer, err)
			}
		}
		if in.runs-told >= ackEvery || in.runs > told && r.Buffered() == 0 {
			told = in.runs
			out = wire.AppendTaken(out[:0], told)
			if _, err := conn.Write(out); err != nil {
				return fmt.Errorf("module %d: %w", f.peer, err)
			}
		}
	}
}
