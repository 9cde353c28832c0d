package meshtest

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"drmesh/mesh"
	"drmesh/origin"
	"drmesh/origin/entry"
)

// MeshID is the mesh of all modules here.
const MeshID = "meshtest"

// Key is a module's identity, the same in each test. Modules over 999 have
// none that others know.
func Key(m origin.Module) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0], seed[1] = byte(m), byte(m>>8)
	return ed25519.NewKeyFromSeed(seed)
}

// Public is what others know a module's heads by.
func Public(m origin.Module) ed25519.PublicKey {
	if m > 999 {
		return nil
	}
	return Key(m).Public().(ed25519.PublicKey)
}

// Stream is a module's stream in a group, of its first incarnation.
func Stream(g origin.Group, m origin.Module) origin.Stream {
	return origin.Stream{Group: g, Module: m, Incarnation: 1}
}

// Module is a source and sink over slices, and the mesh between them. What it
// writes or receives is durable at once; it survives Stop.
type Module struct {
	Number origin.Module
	// Wants says which streams come here; nil: all. Set it before Start.
	Wants func(origin.Stream) bool
	// May is that of mesh.Config. Set it before Start.
	May func(origin.Module, origin.Stream) bool
	Log *slog.Logger

	net    *Net
	mesh   *mesh.Mesh
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // protects what follows
	peers   []origin.Module
	logs    map[origin.Stream]*log
	durable origin.Vector // copied when it changes
	changed chan struct{}
	acks    map[origin.Module]origin.Context
	events  []string // forks and the like
	holding bool     // releases wait
	held    []func()
	heldNow int64
	heldMax int64
	got     int // txns delivered
	again   int // of those, that were here already
}

type log struct {
	entries [][]byte      // seq 1 is the first
	hashes  []origin.Hash // before entry i
	heads   []head        // by seq
	pruned  origin.Seq
}

type head struct {
	seq origin.Seq
	b   []byte
}

func newLog(s origin.Stream) *log { return &log{hashes: []origin.Hash{s.Genesis()}} }

func (l *log) append(e []byte) {
	l.entries = append(l.entries, e)
	l.hashes = append(l.hashes, l.hashes[len(l.hashes)-1].Next(e))
}

func (l *log) last() origin.Position {
	return origin.Position{Seq: origin.Seq(len(l.entries)), Hash: l.hashes[len(l.entries)]}
}

// NewModule makes a module that has links with peers.
func NewModule(n *Net, m origin.Module, peers ...origin.Module) *Module {
	return &Module{Number: m, net: n, peers: peers, Log: slog.New(slog.DiscardHandler), logs: map[origin.Stream]*log{},
		durable: origin.Vector{}, changed: make(chan struct{}), acks: map[origin.Module]origin.Context{}}
}

// Clone copies what a module holds, as a copy of its directory would.
func (m *Module) Clone(n *Net, peers ...origin.Module) *Module {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewModule(n, m.Number, peers...)
	for s, l := range m.logs {
		x := *l
		x.entries, x.hashes, x.heads = slices.Clone(l.entries), slices.Clone(l.hashes), slices.Clone(l.heads)
		c.logs[s] = &x
	}
	c.durable = m.durable.Clone()
	return c
}

// Source and Sink are the module to a mesh that the test makes itself.
func (m *Module) Source() mesh.Source { return (*source)(m) }
func (m *Module) Sink() mesh.Sink     { return (*sink)(m) }

// Start runs the module's mesh until Stop.
func (m *Module) Start() *mesh.Mesh {
	wants := m.Wants
	if wants == nil {
		wants = func(s origin.Stream) bool { return s.Module != m.Number }
	}
	m.mesh = mesh.New(mesh.Config{Self: m.Number, MeshID: MeshID, Network: m.net.Host(m.Number), Source: (*source)(m), Sink: (*sink)(m),
		Key: Public, Peers: m.Peers, Wants: wants, May: m.May, Logger: m.Log})
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.done = cancel, make(chan struct{})
	go func() {
		defer close(m.done)
		m.mesh.Run(ctx)
	}()
	return m.mesh
}

// Stop ends the module's mesh; Start may follow.
func (m *Module) Stop() {
	m.net.Crash(m.Number)
	m.cancel()
	<-m.done
}

// Mesh is the one that runs.
func (m *Module) Mesh() *mesh.Mesh { return m.mesh }

// Peers lists the modules that there are links with.
func (m *Module) Peers() []origin.Module {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.peers)
}

// SetPeers changes them.
func (m *Module) SetPeers(peers ...origin.Module) {
	m.mu.Lock()
	m.peers = peers
	m.mu.Unlock()
	m.mesh.Refresh()
}

// Write adds txns to the module's stream in a group.
func (m *Module) Write(g origin.Group, txns ...[]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Stream(g, m.Number)
	l := m.log(s)
	for _, e := range txns {
		l.append(e)
	}
	m.advance(s)
}

func (m *Module) log(s origin.Stream) *log {
	if m.logs[s] == nil {
		m.logs[s] = newLog(s)
	}
	return m.logs[s]
}

func (m *Module) advance(s origin.Stream) {
	v := m.durable.Clone()
	v[s] = m.logs[s].last()
	m.durable = v
	close(m.changed)
	m.changed = make(chan struct{})
}

// Prune lets go of a stream's entries up to a seq.
func (m *Module) Prune(s origin.Stream, upto origin.Seq) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log(s).pruned = upto
}

// Adopt takes over another's state of a stream, as from a snapshot.
func (m *Module) Adopt(from *Module, s origin.Stream) {
	from.mu.Lock()
	x := *from.log(s)
	from.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	x.entries, x.hashes, x.heads, x.pruned = slices.Clone(x.entries), slices.Clone(x.hashes), nil, origin.Seq(len(x.entries))
	m.logs[s] = &x
	m.advance(s)
}

// At is how many txns of a stream are here.
func (m *Module) At(s origin.Stream) origin.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.durable.At(s)
}

// Vector is what is here.
func (m *Module) Vector() origin.Vector {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.durable.Clone()
}

// Acked is what a neighbour told to have durable of a stream.
func (m *Module) Acked(peer origin.Module, s origin.Stream) origin.Seq {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.acks[peer][s]
}

// Got is how many txns were delivered here, and how many of those again.
func (m *Module) Got() (n, again int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.got, m.again
}

// Events lists the alarms, in order.
func (m *Module) Events() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// Hold lets delivered runs wait unreleased, as behind a slow applier; or
// releases all that wait.
func (m *Module) Hold(on bool) {
	m.mu.Lock()
	m.holding = on
	held := m.held
	if !on {
		m.held = nil
	} else {
		held = nil
	}
	m.mu.Unlock()
	for _, fn := range held {
		fn()
	}
}

// Held is how many bytes were delivered and not released at most.
func (m *Module) Held() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heldMax
}

// source is the module as its mesh's Source.
type source Module

func (m *source) Durable() origin.Vector {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.durable
}

func (m *source) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *source) head(s origin.Stream, l *log, q origin.Seq, floor origin.Stamp) []byte {
	h := origin.Head{Stream: s, Position: origin.Position{Seq: q, Hash: l.hashes[q]}, Floor: floor}
	entry.SignHead(&h, Key(m.Number))
	return entry.AppendHead(nil, &h)
}

func (m *source) Read(s origin.Stream, after origin.Seq, max int) (mesh.Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	run := mesh.Run{Stream: s, After: after}
	l := m.logs[s]
	if l == nil || after >= origin.Seq(len(l.entries)) {
		return run, nil
	}
	if after < l.pruned {
		return run, mesh.ErrPruned
	}
	upto, n := after, 0
	for upto < origin.Seq(len(l.entries)) && (upto == after || n+len(l.entries[upto]) <= max) {
		n += len(l.entries[upto])
		upto++
	}
	if s.Module == m.Number {
		run.Head = m.head(s, l, upto, 0)
	} else {
		// Up to the furthest head within, else the next one.
		i, exact := slices.BinarySearchFunc(l.heads, upto, func(h head, q origin.Seq) int { return int(h.seq) - int(q) })
		if !exact && i > 0 && l.heads[i-1].seq > after {
			i--
		}
		if i == len(l.heads) {
			return run, nil
		}
		upto, run.Head = l.heads[i].seq, l.heads[i].b
	}
	run.Entries = slices.Clone(l.entries[after:upto])
	return run, nil
}

func (m *source) HashAt(s origin.Stream, q origin.Seq) (origin.Hash, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.logs[s]
	if l == nil {
		l = newLog(s)
	}
	if q > origin.Seq(len(l.entries)) || q < l.pruned {
		return origin.Hash{}, false, nil
	}
	return l.hashes[q], true, nil
}

func (m *source) Heads() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out [][]byte
	for _, e := range m.durable.Sorted() {
		if e.Stream.Module == m.Number {
			out = append(out, m.head(e.Stream, m.logs[e.Stream], e.Seq, origin.MakeStamp(uint64(time.Now().UnixMilli()), 0)))
		} else if l := m.logs[e.Stream]; len(l.heads) > 0 {
			out = append(out, l.heads[len(l.heads)-1].b)
		}
	}
	return out
}

// sink is the module as its mesh's Sink.
type sink Module

func (m *sink) Deliver(from origin.Module, run mesh.Run, h origin.Head, release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := (*Module)(m).log(run.Stream)
	n := 0
	for i, e := range run.Entries {
		n += len(e)
		switch q := run.After + 1 + origin.Seq(i); {
		case q <= origin.Seq(len(l.entries)):
			m.again++
		case q == origin.Seq(len(l.entries))+1:
			l.append(e)
		default:
			m.note("gap in %v: %d after %d", run.Stream, q, len(l.entries))
		}
		m.got++
	}
	if l.last() == h.Position {
		l.heads = append(l.heads, head{h.Position.Seq, run.Head})
	}
	m.heldNow += int64(n)
	m.heldMax = max(m.heldMax, m.heldNow)
	free := func() {
		m.mu.Lock()
		m.heldNow -= int64(n)
		m.mu.Unlock()
		release()
	}
	if m.holding {
		m.held = append(m.held, free)
	} else {
		go free()
	}
	(*Module)(m).advance(run.Stream)
}

func (m *sink) Head(from origin.Module, h origin.Head, raw []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if strings.HasPrefix(e, fmt.Sprintf("fork of %v ", h.Stream)) {
			return
		}
	}
	l := (*Module)(m).log(h.Stream)
	if q := h.Position.Seq; q <= origin.Seq(len(l.entries)) && l.hashes[q] != h.Position.Hash {
		m.note("head of %v:%d from %d is of another history", h.Stream, q, from)
	}
}

func (m *sink) Vector(from origin.Module, seqs []origin.StreamSeq) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.acks[from] == nil {
		m.acks[from] = origin.Context{}
	}
	m.acks[from].Advance(seqs)
}

func (m *sink) note(format string, args ...any) {
	if e := fmt.Sprintf(format, args...); !slices.Contains(m.events, e) {
		m.events = append(m.events, e)
	}
}

func (m *sink) Fork(from origin.Module, s origin.Stream, q origin.Seq, ours, theirs origin.Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("fork of %v at %d against %d", s, q, from)
}

func (m *sink) Ahead(from origin.Module, s origin.Stream, theirs origin.Seq) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("%d has %v up to %d", from, s, theirs)
}

func (m *sink) Pruned(from origin.Module, s origin.Stream, upto origin.Seq) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("%d let go of %v after %d", from, s, upto)
}

// Same reports whether two modules hold the same of all streams of a group.
func Same(a, b *Module) bool { return maps.Equal(a.Vector(), b.Vector()) }
