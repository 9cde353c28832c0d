package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"drmesh/origin"
	"drmesh/origin/pack"
)

// Network is what gossip travels over: see quicnet, whose datagrams and
// streams fit.
type Network interface {
	// SendDatagram sends b, at most MaxPacket bytes, or drops it. It must not
	// block, and not keep b.
	SendDatagram(m origin.Module, b []byte) error
	// OpenStream opens a stream to m; it must fail soon when there is no way.
	OpenStream(ctx context.Context, m origin.Module) (net.Conn, error)
}

// MaxPacket is the most that a packet holds.
const MaxPacket = 1000

// maxDigest bounds Meta.Digest.
const maxDigest = 64

// Meta is what a module says of itself along with being alive.
type Meta struct {
	Control uint64 // last control index applied there
	Digest  []byte // of whatever the mesh compares cheaply; 64 bytes at most
}

// State is a hint.
type State uint8

const (
	Alive State = 1 // it answers, or somebody says so
	Dead  State = 2 // it does not answer, and nobody says otherwise
	Left  State = 3 // it said good-bye (Dead, where that was not heard)
)

func (s State) String() string {
	switch s {
	case Alive:
		return "alive"
	case Dead:
		return "dead"
	case Left:
		return "left"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// An Event is the latest hint about a module.
type Event struct {
	Module origin.Module
	State  State
	Meta   Meta
}

// Timing sets the pace; zero fields get the defaults.
type Timing struct {
	Probe    time.Duration // each asks one other per this: 1 s
	Timeout  time.Duration // for an answer, before others are asked to ask: 500 ms
	Gossip   time.Duration // between packets of news: 200 ms
	PushPull time.Duration // between full exchanges with one other: 30 s
	Rejoin   time.Duration // between attempts to find members that seem dead: 5 s
	Suspect  int           // rounds of probes before a suspect is dead, times log(n): 4
}

// Config says how to Start. Self and Network are needed.
type Config struct {
	Self origin.Module
	// Instance tells machines of one number apart: a fingerprint of the
	// directory, the same after a restart. 0 if there is none.
	Instance uint64
	Network  Network
	// Peers lists the modules that belong to the mesh; hints about others are
	// dropped. nil: anybody. It is called often, and must not block.
	Peers func() []origin.Module
	// Changed gets events, one at a time. It may block, and may call anything
	// here but Shutdown.
	Changed func(Event)
	// Conflict is told that another machine uses the number of m. It repeats
	// for as long as that is so. Called like Changed.
	Conflict func(m origin.Module)
	Logger   *slog.Logger
	Timing   Timing
}

// Members is a module's part in the gossip.
type Members struct {
	cfg       Config
	log       *slog.Logger
	list      *memberlist.Memberlist
	transport *transport
	probe     time.Duration
	done      chan struct{}
	wg        sync.WaitGroup
	update    chan struct{} // 1: our meta has changed
	wake      chan struct{} // 1: pending has grown

	mu        sync.Mutex
	closed    bool
	meta      Meta
	leaving   bool
	pending   map[origin.Module]Event
	conflicts map[origin.Module]bool
	// alive is who seems alive, ourselves included, as memberlist told us:
	// what its own list gives goes on being written without a lock of ours.
	alive map[origin.Module]Event
}

// Start begins to gossip. It finds the others by itself, among Config.Peers.
func Start(cfg Config) (*Members, error) {
	if cfg.Self == 0 || cfg.Network == nil {
		return nil, errors.New("start gossip: module number and network are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	t := &cfg.Timing
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&t.Probe, time.Second}, {&t.Timeout, 500 * time.Millisecond}, {&t.Gossip, 200 * time.Millisecond},
		{&t.PushPull, 30 * time.Second}, {&t.Rejoin, 5 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if t.Suspect == 0 {
		t.Suspect = 4
	}
	m := &Members{
		cfg: cfg, log: cfg.Logger, probe: t.Probe,
		transport: newTransport(cfg.Self, cfg.Instance, cfg.Network),
		done:      make(chan struct{}),
		update:    make(chan struct{}, 1),
		wake:      make(chan struct{}, 1),
		pending:   map[origin.Module]Event{},
		conflicts: map[origin.Module]bool{},
		alive:     map[origin.Module]Event{},
	}
	c := memberlist.DefaultLANConfig()
	c.Name = name(cfg.Self)
	c.Transport = m.transport
	c.AdvertisePort = fakePort
	c.BindPort = fakePort
	c.ProbeInterval = t.Probe
	c.ProbeTimeout = min(t.Timeout, t.Probe)
	c.GossipInterval = t.Gossip
	c.PushPullInterval = t.PushPull
	c.SuspicionMult = t.Suspect
	// A module that is itself slow probes at half the pace at most: Shutdown
	// has to wait for probes under way.
	c.AwarenessMaxMultiplier = maxAwareness
	c.TCPTimeout = 5 * time.Second
	c.UDPBufferSize = MaxPacket
	c.EnableCompression = false // a few hundred bytes, and one decoder less
	c.RequireNodeNames = true
	c.DeadNodeReclaimTime = 30 * time.Second // then a restored machine may have the number
	c.Delegate = delegate{m}
	c.Events = events{m}
	c.Conflict = conflict{m}
	c.Alive = admission{m}
	c.Logger = adapt(cfg.Logger)
	var err error
	if m.list, err = memberlist.Create(c); err != nil {
		m.transport.Shutdown()
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	m.wg.Go(m.deliver)
	m.wg.Go(m.rejoin)
	return m, nil
}

const maxAwareness = 2

// Datagram takes a packet that came from peer; b is ours from now on. It never
// blocks.
func (m *Members) Datagram(peer origin.Module, b []byte) { m.transport.packet(peer, b) }

// Stream takes a stream that peer opened; it is ours from now on. It never
// blocks.
func (m *Members) Stream(peer origin.Module, c net.Conn) { m.transport.stream(peer, c) }

// SetMeta changes what is said of us. It spreads within a second or so.
func (m *Members) SetMeta(meta Meta) error {
	if len(meta.Digest) > maxDigest {
		return fmt.Errorf("gossip: digest of %d bytes, %d are allowed", len(meta.Digest), maxDigest)
	}
	meta.Digest = slices.Clone(meta.Digest)
	m.mu.Lock()
	m.meta = meta
	m.mu.Unlock()
	signal(m.update)
	return nil
}

// Members lists who seems alive, ourselves included, by number.
func (m *Members) Members() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := make([]Event, 0, len(m.alive))
	for _, id := range sorted(m.alive) {
		l = append(l, m.alive[id])
	}
	return l
}

// Leave says good-bye, so that the others need not find out. Shutdown follows.
func (m *Members) Leave(timeout time.Duration) error {
	m.mu.Lock()
	closed := m.closed
	m.mu.Unlock()
	if closed {
		return nil
	}
	m.mu.Lock()
	m.leaving = true
	m.mu.Unlock()
	// memberlist does not tell its users a good-bye from a death, so our
	// metadata says it first, and gets a few rounds of gossip to spread: the
	// news of the end takes its place.
	if err := m.list.UpdateNode(timeout); err == nil && m.list.NumMembers() > 1 {
		t := time.NewTimer(min(timeout, 4*m.cfg.Timing.Gossip))
		defer t.Stop()
		select {
		case <-t.C:
		case <-m.done:
		}
	}
	return m.list.Leave(timeout)
}

// Shutdown ends it, without a good-bye. It returns when nothing of it runs any
// more, which takes a probe interval or two. No event comes after.
func (m *Members) Shutdown() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		<-m.done
		m.wg.Wait()
		return nil
	}
	m.closed = true
	m.mu.Unlock()
	close(m.done)
	m.transport.Shutdown() // first: wakes what waits on streams
	m.wg.Wait()
	// memberlist does not wait for a probe under way, and has no way to end
	// it; its length is bounded by the interval and our own slowness.
	wait := m.probe*time.Duration(min(m.list.GetHealthScore(), maxAwareness-1)+1) - time.Since(m.transport.lastSend())
	err := m.list.Shutdown()
	if wait > 0 {
		time.Sleep(wait + 10*time.Millisecond)
	}
	m.transport.wait()
	return err
}

// deliver hands events to the callbacks.
func (m *Members) deliver() {
	for {
		select {
		case <-m.wake:
		case <-m.done:
			return
		}
		m.mu.Lock()
		pending, conflicts := m.pending, m.conflicts
		m.pending, m.conflicts = map[origin.Module]Event{}, map[origin.Module]bool{}
		m.mu.Unlock()
		for _, id := range sorted(pending) {
			if m.cfg.Changed != nil && !m.over() {
				m.cfg.Changed(pending[id])
			}
		}
		for _, id := range sorted(conflicts) {
			if m.cfg.Conflict != nil && !m.over() {
				m.cfg.Conflict(id)
			}
		}
	}
}

func (m *Members) over() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

func sorted[V any](s map[origin.Module]V) []origin.Module {
	l := make([]origin.Module, 0, len(s))
	for id := range s {
		l = append(l, id)
	}
	slices.Sort(l)
	return l
}

func (m *Members) post(e Event) {
	m.mu.Lock()
	m.pending[e.Module] = e
	m.mu.Unlock()
	signal(m.wake)
}

// rejoin looks for members that seem dead or were never seen: after a long
// partition nobody gossips to the other side any more. It also tells about
// changes of our meta.
func (m *Members) rejoin() {
	t := time.NewTimer(0)
	defer t.Stop()
	next := 0
	for {
		select {
		case <-t.C:
			t.Reset(m.cfg.Timing.Rejoin)
			missing := m.missing()
			if len(missing) == 0 {
				continue
			}
			// One at a time, in turn: the others come with its state.
			next++
			id := missing[next%len(missing)]
			if _, err := m.list.Join([]string{name(id) + "/" + fakeAddr(id, 0)}); err != nil {
				m.log.Debug("gossip: no answer", "module", uint32(id), "error", err)
			}
		case <-m.update:
			if err := m.list.UpdateNode(time.Second); err != nil {
				m.log.Debug("gossip: update", "error", err)
			}
		case <-m.done:
			return
		}
	}
}

func (m *Members) missing() []origin.Module {
	if m.cfg.Peers == nil {
		return nil
	}
	var l []origin.Module
	peers := m.cfg.Peers()
	m.mu.Lock()
	for _, id := range peers {
		if _, ok := m.alive[id]; !ok && id != m.cfg.Self {
			l = append(l, id)
		}
	}
	m.mu.Unlock()
	slices.Sort(l)
	return l
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func name(m origin.Module) string { return strconv.FormatUint(uint64(m), 10) }

// number reads what name wrote; 0 for anything else.
func number(s string) origin.Module {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || name(origin.Module(n)) != s {
		return 0
	}
	return origin.Module(n)
}

// event gives our form of what memberlist says; false if it says nothing that
// could be so.
func event(n *memberlist.Node, s State) (Event, bool) {
	id := number(n.Name)
	meta, from, leaving, err := decodeMeta(n.Meta)
	if id == 0 || err != nil || from != id {
		return Event{}, false
	}
	if s == Dead && leaving {
		s = Left
	}
	return Event{Module: id, State: s, Meta: meta}, true
}

// Metadata is a msgpack array: form 1, module, control index, digest, whether
// the module is about to leave. Later forms add elements.
func appendMeta(b []byte, id origin.Module, m Meta, leaving bool) []byte {
	b = pack.AppendArray(b, 5)
	b = pack.AppendUint(b, 1)
	b = pack.AppendUint(b, uint64(id))
	b = pack.AppendUint(b, m.Control)
	b = pack.AppendBytes(b, m.Digest)
	return pack.AppendBool(b, leaving)
}

func decodeMeta(b []byte) (m Meta, id origin.Module, leaving bool, err error) {
	r := pack.NewReader(b)
	n := r.Array(16)
	r.Uint() // form: all so far begin alike
	id = origin.Module(r.UintMax(1<<32 - 1))
	m.Control = r.Uint()
	m.Digest = slices.Clone(r.Bytes(maxDigest))
	leaving = r.Bool()
	if err := r.Err(); err != nil {
		return Meta{}, 0, false, fmt.Errorf("gossip metadata: %w", err)
	}
	if n < 5 {
		return Meta{}, 0, false, fmt.Errorf("gossip metadata: %d fields", n)
	}
	return m, id, leaving, nil
}

// delegate is what memberlist asks for our metadata. There are no messages of
// our own: what must arrive goes by other ways.
type delegate struct{ m *Members }

func (d delegate) NodeMeta(int) []byte {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	return appendMeta(nil, d.m.cfg.Self, d.m.meta, d.m.leaving)
}

func (delegate) NotifyMsg([]byte)                {}
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (delegate) LocalState(bool) []byte          { return nil }
func (delegate) MergeRemoteState([]byte, bool)   {}

// events is called with memberlist's locks held, so it only takes note.
type events struct{ m *Members }

// note is called under memberlist's lock: n is not written meanwhile.
func (e events) note(n *memberlist.Node, s State) {
	ev, ok := event(n, s)
	e.m.mu.Lock()
	if ok && s == Alive {
		e.m.alive[ev.Module] = ev
	} else {
		delete(e.m.alive, number(n.Name))
	}
	e.m.mu.Unlock()
	if ok && ev.Module != e.m.cfg.Self {
		e.m.post(ev)
	}
}

func (e events) NotifyJoin(n *memberlist.Node)   { e.note(n, Alive) }
func (e events) NotifyUpdate(n *memberlist.Node) { e.note(n, Alive) }
func (e events) NotifyLeave(n *memberlist.Node)  { e.note(n, Dead) }

type conflict struct{ m *Members }

func (c conflict) NotifyConflict(existing, other *memberlist.Node) {
	id := number(existing.Name)
	if id == 0 {
		return
	}
	c.m.mu.Lock()
	c.m.conflicts[id] = true
	c.m.mu.Unlock()
	signal(c.m.wake)
}

// admission keeps out what names no module of the mesh.
type admission struct{ m *Members }

func (a admission) NotifyAlive(n *memberlist.Node) error {
	id := number(n.Name)
	from, _, ok := parseIP(n.Addr)
	if id == 0 || !ok || from != id || n.Port != fakePort {
		return fmt.Errorf("%.40q at %v names no module", n.Name, n.Addr)
	}
	if _, ok := event(n, Alive); !ok {
		return fmt.Errorf("module %d: bad metadata", id)
	}
	if a.m.cfg.Peers != nil && id != a.m.cfg.Self && !slices.Contains(a.m.cfg.Peers(), id) {
		return fmt.Errorf("module %d is no member", id)
	}
	return nil
}
