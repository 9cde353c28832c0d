package sim

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"drmesh/conflict"
	"drmesh/mesh/link"
	"drmesh/mesh/wire"
	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/origin/journal"
	"drmesh/origin/mutant"
)

// links is a module's half of its conversations: the pull protocol's driver,
// which moves real frames between the decisions of mesh/link and the network.
type links struct {
	m        *module
	puller   *link.Puller
	sessions map[int]*session
	enc      wire.Encoder
	dec      wire.Decoder
	heads    map[origin.Stream]origin.Head // newest verified one of each stream
	said     map[origin.Stream]origin.Head // newest of which all before it was applied here
	bytes    map[origin.Stream][]byte      // of heads
	// histories are what heads say of others' streams.
	histories *link.Histories
}

// session is a conversation with a neighbour since the last break.
type session struct {
	heard     bool // its hello has come
	announced map[origin.Stream]origin.Seq
	serves    map[origin.Stream]origin.Seq // subscribed streams, and what was sent
	heads     map[origin.Stream][]byte     // told to the neighbour
	forked    map[origin.Stream]bool       // it has another history of them: neither asked for nor served
}

func newLinks(m *module) *links {
	return &links{m: m, puller: link.NewPuller(m.j.Tails(), func(s origin.Stream) bool { return s != m.stream() }, nil),
		sessions: map[int]*session{}, heads: map[origin.Stream]origin.Head{}, said: map[origin.Stream]origin.Head{}, bytes: map[origin.Stream][]byte{},
		histories: link.NewHistories(m.j)}
}

func (l *links) now() time.Time { return began.Add(time.Duration(l.m.w.now) * time.Millisecond) }

func publicKey(m origin.Module) ed25519.PublicKey {
	return keyOf(int(m) - 1).Public().(ed25519.PublicKey)
}

// connect starts a conversation anew.
func (l *links) connect(peer int) error {
	if l.sessions[peer] != nil {
		if err := l.step(link.PeerDown{Peer: origin.Module(peer + 1)}); err != nil {
			return err
		}
	}
	l.sessions[peer] = &session{announced: map[origin.Stream]origin.Seq{}, serves: map[origin.Stream]origin.Seq{}, heads: map[origin.Stream][]byte{}, forked: map[origin.Stream]bool{}}
	v := l.m.j.Durable()
	for s, p := range v {
		l.sessions[peer].announced[s] = p.Seq
	}
	l.m.send(peer, controlLane, wire.AppendHello(nil, &wire.Hello{Version: wire.Protocol, Mesh: "sim", Module: l.m.number(), Vector: v.Sorted()}))
	// Heads come before anything that is asked for.
	if err := l.sign(); err != nil {
		return err
	}
	l.tell(peer)
	return nil
}

// drop ends a conversation.
func (l *links) drop(peer int) error {
	if l.sessions[peer] == nil {
		return nil
	}
	delete(l.sessions, peer)
	return l.step(link.PeerDown{Peer: origin.Module(peer + 1)})
}

// step lets the puller decide and does what it says.
func (l *links) step(ev link.Event) error {
	for _, eff := range l.puller.Step(l.now(), ev) {
		switch e := eff.(type) {
		case link.Subscribe:
			l.m.w.tracef("%s pulls %v after %d from m%d", l.m.name, e.Stream, e.After.Seq, e.Peer)
			l.m.send(int(e.Peer)-1, controlLane, wire.AppendSubscribe(nil, &wire.Subscribe{Stream: e.Stream, After: e.After, Credit: 1 << 30}))
		case link.Unsubscribe:
			l.m.send(int(e.Peer)-1, controlLane, wire.AppendUnsubscribe(nil, e.Stream))
		default:
			return fmt.Errorf("effect %T", eff)
		}
	}
	return nil
}

// frame takes what a neighbour sent.
func (l *links) frame(peer int, frame []byte) error {
	t, body, _, err := wire.ReadFrame(bytes.NewReader(frame), nil)
	if err != nil {
		return err
	}
	ss := l.sessions[peer]
	if ss == nil || !ss.heard && t != wire.TypeHello {
		return nil // of a conversation that has ended
	}
	from := origin.Module(peer + 1)
	switch t {
	case wire.TypeHello:
		h, err := wire.DecodeHello(body)
		if err != nil {
			return err
		}
		ss.heard = true
		ev := link.Announced{Peer: from}
		forks, ahead, err := link.Compare(l.m.number(), l.m.j.Durable(), h.Vector, l.m.j.HashAt)
		if err != nil {
			return err
		}
		for _, f := range forks {
			ss.forked[f.Stream] = true
			l.m.forked(from, f)
		}
		for _, a := range ahead {
			l.m.behind(from, a)
		}
		l.m.answered(peer)
		for _, e := range h.Vector {
			if !ss.forked[e.Stream] {
				ev.Seqs = append(ev.Seqs, origin.StreamSeq{Stream: e.Stream, Seq: e.Seq})
			}
		}
		if err := l.step(link.PeerUp{Peer: from, RTT: 4 * time.Millisecond}); err != nil {
			return err
		}
		return l.step(ev)
	case wire.TypeAnnounce:
		a, err := wire.DecodeAnnounce(body)
		if err != nil {
			return err
		}
		return l.step(link.Announced{Peer: from, Seqs: slices.DeleteFunc(a.Seqs, func(e origin.StreamSeq) bool { return ss.forked[e.Stream] })})
	case wire.TypeSubscribe:
		s, err := wire.DecodeSubscribe(body)
		if err != nil {
			return err
		}
		h, ok, err := l.m.j.HashAt(s.Stream, s.After.Seq)
		if err != nil {
			return err
		}
		if ok && h != s.After.Hash {
			l.m.forked(from, link.Fork{Stream: s.Stream, Seq: s.After.Seq, Ours: h, Theirs: s.After.Hash})
			l.m.send(peer, controlLane, wire.AppendFork(nil, wire.Place{Stream: s.Stream, Seq: s.After.Seq, Hash: h}))
			return nil
		}
		ss.serves[s.Stream] = s.After.Seq
		return l.serve(peer, s.Stream)
	case wire.TypeUnsubscribe:
		s, err := wire.DecodeUnsubscribe(body)
		if err != nil {
			return err
		}
		delete(ss.serves, s)
		return nil
	case wire.TypeBatch:
		b, err := l.dec.DecodeBatch(body)
		if err != nil {
			return err
		}
		return l.batch(peer, &b)
	case wire.TypeFork:
		p, err := wire.DecodeFork(body)
		if err != nil {
			return err
		}
		ss.forked[p.Stream] = true
		if h, ok, err := l.m.j.HashAt(p.Stream, p.Seq); err != nil {
			return err
		} else if ok && h != p.Hash {
			l.m.forked(from, link.Fork{Stream: p.Stream, Seq: p.Seq, Ours: h, Theirs: p.Hash})
		}
		return l.step(link.Failed{Peer: from, Stream: p.Stream})
	case wire.TypePruned:
		p, err := wire.DecodePruned(body)
		if err != nil {
			return err
		}
		at := l.puller.At(p.Stream)
		if at.Seq < p.Seq {
			return l.step(link.Failed{Peer: from, Stream: p.Stream}) // somebody else has it
		}
		// The question was older than what has come since.
		if l.puller.Source(p.Stream) == from {
			l.m.send(peer, controlLane, wire.AppendSubscribe(nil, &wire.Subscribe{Stream: p.Stream, After: at, Credit: 1 << 30}))
		}
		return nil
	case wire.TypeHead:
		b, err := wire.DecodeHead(body)
		if err != nil {
			return err
		}
		h, err := entry.DecodeHead(b)
		if err == nil && bytes.Equal(b, l.bytes[h.Stream]) {
			ss.heads[h.Stream] = l.bytes[h.Stream]
			return nil // verified before
		}
		h, err = l.m.mesh.verify(b)
		if err != nil {
			return err
		}
		if ok, err := l.agrees(from, &h); err != nil || !ok {
			return err
		}
		ours, ok, err := l.m.j.HashAt(h.Stream, h.Position.Seq)
		if err != nil {
			return err
		}
		if ok && ours != h.Position.Hash {
			l.m.forked(from, link.Fork{Stream: h.Stream, Seq: h.Position.Seq, Ours: ours, Theirs: h.Position.Hash})
			return nil
		}
		l.learn(h, slices.Clone(b))
		return nil
	}
	return fmt.Errorf("frame of type %d", t)
}

// batch takes a run of entries.
func (l *links) batch(peer int, b *wire.Batch) error {
	at := l.puller.At(b.Stream)
	end := b.After + origin.Seq(len(b.Entries))
	switch {
	case end <= at.Seq:
		l.m.stats.duplicates += len(b.Entries)
		if mutant.On(mutant.ForgetDuplicates) {
			return l.m.receive(b.Stream, b.After, cloneAll(b.Entries))
		}
		return nil
	case b.After != at.Seq:
		// Out of order: what stands before it is missing, or was taken. The
		// subscription starts again where we are.
		l.m.stats.gaps++
		if l.puller.Source(b.Stream) == origin.Module(peer+1) {
			l.m.send(peer, controlLane, wire.AppendSubscribe(nil, &wire.Subscribe{Stream: b.Stream, After: at, Credit: 1 << 30}))
		}
		return nil
	}
	h, err := l.m.mesh.verify(b.Head)
	var chain []origin.Hash
	if err == nil {
		chain, err = link.VerifyChain(b.Stream, at, b.Entries, &h)
	}
	if err != nil {
		// What a receiver must do with it: believe nothing of it, and speak
		// with that neighbour anew.
		if errors.Is(err, link.ErrChain) || errors.Is(err, link.ErrForged) {
			l.m.mesh.net.refused++
			l.m.w.tracef("%s refuses what m%d sent: %v", l.m.name, peer+1, err)
			l.m.mesh.net.breakConnection(l.m.n, peer)
			return nil
		}
		return err
	}
	entries := cloneAll(b.Entries)
	ok, err := l.agrees(origin.Module(peer+1), &h)
	if err != nil || !ok {
		return err
	}
	l.learn(h, slices.Clone(b.Head))
	against, err := l.histories.Run(b.Stream, b.After, chain)
	if err != nil {
		return err
	}
	for _, c := range against {
		l.shutOut(origin.Module(peer+1), c)
	}
	if err := l.m.j.KeepHead(b.Stream, h.Position.Seq, slices.Clone(b.Head)); err != nil {
		return err
	}
	if err := l.m.receive(b.Stream, b.After, entries); err != nil {
		return err
	}
	return l.step(link.Received{Stream: b.Stream, At: h.Position})
}

// verify checks a head. Each module would do so for itself, of the same bytes
// with the same outcome: in a run that is known after the first time.
func (e *mesh) verify(b []byte) (origin.Head, error) {
	if e.verified[string(b)] {
		return entry.DecodeHead(b)
	}
	h, err := link.VerifyHead(b, publicKey)
	if err == nil {
		if len(e.verified) > 10_000 {
			clear(e.verified)
		}
		e.verified[string(b)] = true
	}
	return h, err
}

func cloneAll(l [][]byte) [][]byte {
	out := make([][]byte, len(l))
	for i, e := range l {
		out[i] = slices.Clone(e)
	}
	return out
}

// agrees compares the histories that a head names with ours. Of a writer who
// worked on another nothing is taken.
func (l *links) agrees(from origin.Module, h *origin.Head) (bool, error) {
	c, ok, err := l.histories.Head(h)
	if err == nil && !ok {
		l.shutOut(from, c)
	}
	return ok, err
}

func (l *links) shutOut(from origin.Module, c link.Contradiction) {
	l.m.gate.Shut(c.By)
	l.m.forked(from, c.Fork)
}

// learn remembers a verified head.
func (l *links) learn(h origin.Head, b []byte) {
	old, ok := l.heads[h.Stream]
	if ok && (h.Position.Seq < old.Position.Seq || h.Position.Seq == old.Position.Seq && h.Floor <= old.Floor) {
		return
	}
	if h.Floor == 0 {
		return // of the past: it says nothing of what its stream knows
	}
	l.heads[h.Stream], l.bytes[h.Stream] = h, b
}

// serve sends a subscriber what it lacks and we have durable.
func (l *links) serve(peer int, s origin.Stream) error {
	ss := l.sessions[peer]
	after, ok := ss.serves[s]
	if !ok {
		return nil
	}
	durable := l.m.j.Durable().At(s)
	for after < durable.Seq {
		limit := 1 + l.m.w.rand("batch").IntN(2000)
		upto := durable.Seq
		var head []byte
		if s.Module != l.m.number() {
			seq, b, ok, err := l.m.j.HeadAfter(s, after)
			if err != nil {
				return err
			}
			if !ok || seq > durable.Seq {
				return nil // no head so far that a receiver could check it by
			}
			upto, head, limit = seq, b, 1<<30
		}
		list, err := l.m.j.Read(s, after, limit)
		if errors.Is(err, journal.ErrPruned) {
			delete(ss.serves, s)
			l.m.send(peer, controlLane, wire.AppendPruned(nil, s, l.m.j.Pruned(s)))
			return nil
		}
		if err != nil {
			return err
		}
		x := wire.Batch{Stream: s, After: after, Head: head}
		for _, e := range list {
			if e.Seq <= upto {
				x.Entries = append(x.Entries, e.Bytes)
				if head == nil {
					h := origin.Head{Stream: s, Position: origin.Position{Seq: e.Seq, Hash: e.Hash}}
					if e.Seq == durable.Seq && s == l.m.stream() {
						h = l.m.headHere(l.m.j.Stamp(s))
					}
					entry.SignHead(&h, l.m.key)
					x.Head = entry.AppendHead(nil, &h)
				}
			}
		}
		if err := l.tamper(&x); err != nil {
			return err
		}
		after += origin.Seq(len(x.Entries))
		ss.serves[s] = after
		l.m.send(peer, s.String(), l.enc.AppendBatch(nil, &x))
	}
	return nil
}

// publish tells the neighbours what became durable, and serves them.
func (l *links) publish() error {
	v := l.m.j.Durable()
	for _, peer := range slices.Sorted(maps.Keys(l.sessions)) {
		ss := l.sessions[peer]
		var news []origin.StreamSeq
		for _, p := range v.Sorted() {
			if p.Stream.Group == theGroup && p.Seq > ss.announced[p.Stream] {
				ss.announced[p.Stream] = p.Seq
				news = append(news, origin.StreamSeq{Stream: p.Stream, Seq: p.Seq})
			}
		}
		if len(news) > 0 {
			l.m.send(peer, controlLane, wire.AppendAnnounce(nil, news))
		}
		for _, s := range slices.SortedFunc(maps.Keys(ss.serves), origin.Stream.Compare) {
			if err := l.serve(peer, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// tick lets the puller look at the time, and now and then signs a head and
// tells the neighbours what heads are known here.
func (l *links) tick(heads bool) error {
	if err := l.step(link.Tick{}); err != nil || !heads {
		return err
	}
	if err := l.sign(); err != nil {
		return err
	}
	for _, peer := range slices.Sorted(maps.Keys(l.sessions)) {
		l.tell(peer)
	}
	return nil
}

// sign makes a new head of the own stream, if there can be one now.
func (l *links) sign() error {
	h, ok, err := l.m.head()
	if err == nil && ok {
		l.learn(h, entry.AppendHead(nil, &h))
	}
	return err
}

// tell gives a neighbour the heads that it was not told.
func (l *links) tell(peer int) {
	told := l.sessions[peer].heads
	for _, s := range slices.SortedFunc(maps.Keys(l.bytes), origin.Stream.Compare) {
		if !bytes.Equal(told[s], l.bytes[s]) {
			told[s] = l.bytes[s]
			l.m.send(peer, controlLane, wire.AppendHead(nil, l.bytes[s]))
		}
	}
}

// settled tells which tombstones may go: by the newest heads of which all
// before them was applied here.
func (l *links) settled() func(origin.Dot) bool {
	for s, h := range l.heads {
		if h.Position.Seq <= l.m.j.Tail(s).Seq {
			l.said[s] = h
		}
	}
	var said []conflict.Said
	for s, h := range l.said {
		x := conflict.Said{Stream: s, Seq: h.Position.Seq, Control: h.Control, Context: origin.Context{}}
		for _, e := range h.Context {
			x.Context[e.Stream] = e.Seq
		}
		said = append(said, x)
	}
	return func(d origin.Dot) bool {
		return conflict.Settled(d, said, func(control uint64) ([]origin.Stream, bool) {
			for s, end := range l.m.mesh.ends {
				if l.m.j.Tail(s).Seq < end {
					return nil, false // what it says to its end can still come
				}
			}
			return l.m.mesh.members[control], control <= l.m.control
		})
	}
}
