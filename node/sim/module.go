package sim

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/origin"
	"drmesh/origin/causal"
	"drmesh/origin/clock"
	"drmesh/origin/entry"
	"drmesh/origin/journal"
	"drmesh/origin/mutant"
	"drmesh/vosio"
	"drmesh/vosio/record"
)

// module is one machine: production cores on a disk in memory. It is driven by
// the world's one goroutine.
type module struct {
	w      *world
	n      int // index; its origin number is n+1
	name   string
	key    ed25519.PrivateKey
	skew   time.Duration // of its wall clock
	fs     *vfs.MemFS
	lazy   bool   // batches wait for the next flush
	every  uint64 // milliseconds between flushes while lazy; 0: when somebody says so
	gone   bool   // for the time being nobody counts on it
	joined bool   // it began with a snapshot
	// incarnation is that of the stream that it writes.
	incarnation origin.Incarnation
	copy        *vfs.MemFS // an older state of its disk, which had
	copyHas     origin.Vector
	// restored: it runs from that, and has not yet heard from all others
	// whether they have more of its stream; asked are those that have not.
	restored bool
	asked    map[int]bool
	// awaits has of an ended stream of this module more than is back here yet:
	// until it is, the module writes nothing.
	awaits  origin.Stream
	evicted bool // it is out of the mesh
	// local are the files that have an index of this module alone.
	local map[string]bool
	// control is the index of the control state that it knows.
	control uint64

	// Of one life, from start to crash.
	up    bool
	life  int
	db    *pebble.DB
	j     *journal.Journal
	clock *clock.Clock
	eng   *vosio.Engine
	gate  *causal.Gate
	rules *rules
	links *links
	mesh  *mesh
	prog  *program
	other *program // a second one

	shown map[string]map[register][]origin.OpDot // by file, what stood when the program read there last

	alarms  []string     // each once
	lost    []string     // txns that were not written again
	pending []origin.Dot // sequenced, and not promised yet
	ceiling origin.Stamp
	applied map[origin.Dot]bool // what took effect in this life, or before and was durable

	stats struct{ applied, duplicates, held, gaps, full int }
}

// began is the world's time 0.
var began = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func (m *module) wall() time.Time {
	return began.Add(time.Duration(m.w.now)*time.Millisecond + m.skew)
}

func (m *module) number() origin.Module { return origin.Module(m.n + 1) }

func (m *module) stream() origin.Stream {
	return origin.Stream{Group: theGroup, Module: m.number(), Incarnation: m.incarnation}
}

// keys are those of all modules that a run can have, made once.
var keys = func() (l [16]ed25519.PrivateKey) {
	for n := range l {
		var seed [ed25519.SeedSize]byte
		binary.BigEndian.PutUint64(seed[:], uint64(n)+1)
		l[n] = ed25519.NewKeyFromSeed(seed[:])
	}
	return l
}()

func keyOf(n int) ed25519.PrivateKey { return keys[n] }

func nameOf(n int) string { return fmt.Sprintf("%%site%d#m%d", n+1, n+1) }

func newModule(w *world, n int) *module {
	return &module{w: w, n: n, name: nameOf(n), key: keyOf(n), fs: vfs.NewCrashableMem(), rules: newRules(n), local: map[string]bool{}, control: 1, incarnation: 1}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic("pebble: " + fmt.Sprintf(f, a...))
}

var keyCeiling = []byte("ns")

// start opens what the disk has.
func (m *module) start() error {
	db, err := pebble.Open("db", &pebble.Options{FS: m.fs, Logger: quiet{}, DisableAutomaticCompactions: true})
	if err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.db = db
	if m.j, err = journal.Open(db); err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.ceiling = 0
	if v, closer, err := db.Get(keyCeiling); err == nil {
		m.ceiling = origin.Stamp(binary.BigEndian.Uint64(v))
		closer.Close()
	}
	own, foreign := m.j.Stamps(m.number())
	m.clock = clock.New(m.wall, clock.Last(m.wall(), m.ceiling, own, foreign))
	m.eng, err = vosio.Open(vosio.Config{DB: db, Journal: m.j, Clock: m.clock, Rules: m.rules, Self: m.number(), Name: m.name,
		Decide: m.decide, Inline: true})
	if err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.setLazy(m.lazy)
	m.gate = causal.New(m.j.Tails().Context())
	m.gate.Subscribe(func(s origin.Stream) bool { return s != m.stream() }) // nobody pulls his own
	m.applied = map[origin.Dot]bool{}
	for _, p := range m.j.Tails().Sorted() {
		for q := origin.Seq(1); q <= p.Seq; q++ {
			m.applied[origin.Dot{Stream: p.Stream, Seq: q}] = true
		}
	}
	m.shown = map[string]map[register][]origin.OpDot{}
	m.prog, m.other = newProgram(m, "work"), newProgram(m, "other")
	m.up = true
	m.life++
	return nil
}

// setLazy makes batches wait for a flush, as where a share says interval or a
// disk takes its time; or not.
func (m *module) setLazy(lazy bool) {
	m.lazy = lazy
	m.rules.interval(0)
	if lazy {
		m.rules.interval(10 * time.Millisecond)
	}
	m.eng.SetLazy(lazy)
}

func (m *module) send(peer int, lane string, frame []byte) { m.mesh.net.send(m.n, peer, lane, frame) }

// stop closes the module as a machine that is shut down.
func (m *module) stop() error {
	m.up = false
	return errors.Join(m.eng.Close(), m.db.Close())
}

// crash cuts the power: of what was not flushed, all or nothing survives. (A
// part would be another one each time, since the database writes its log by a
// goroutine of its own.)
func (m *module) crash(keep bool) error {
	if keep {
		if err := m.db.LogData(nil, pebble.Sync); err != nil {
			return err
		}
	}
	after := m.fs.CrashClone(vfs.CrashCloneCfg{})
	if err := m.stop(); err != nil {
		return err
	}
	m.fs = after
	return nil
}

// decide joins the file system's question with the policy.
func (m *module) decide(d vosio.Decision) vosio.Decided {
	var out conflict.Outcome
	in := conflict.Input{File: d.File, Address: d.Address, Standing: d.Standing, Incoming: d.Incoming, By: d.By, Covers: d.Covers}
	if m.mesh.policy != nil && d.File != record.CatalogID(d.Share) {
		in.Policies = func(epoch uint64) conflict.Policy {
			p := m.mesh.policy(d.Share, epoch)
			k, _ := conflict.KindNamed(p.Policy)
			return conflict.Policy{Kind: k, Rank: p.Rank}
		}
	}
	if int(d.By.Index) < len(d.Txn.Ops) {
		in.Hidden, in.Closes = d.Txn.Ops[d.By.Index].Hidden, d.Txn.Ops[d.By.Index].Closes
	}
	conflict.Decide(&in, &out)
	r := vosio.Decided{Next: out.Next}
	for _, c := range out.Counts {
		r.Counts = append(r.Counts, vosio.Count{Stream: c.Stream, Class: classes[c.Class], Delta: c.Delta})
	}
	for _, w := range ledger.Writes(nil, d.File, d.Address, out.Entries, ledger.Facts{Share: d.Share, Stamp: d.Txn.Stamp, Policy: d.Txn.Policy, Process: d.Txn.Process, Rule: out.Policy.String()}) {
		r.Writes = append(r.Writes, vosio.Write{Key: w.Key, Value: w.Value})
	}
	return r
}

var classes = [conflict.Classes]vosio.Class{
	conflict.ClassLive: vosio.Live, conflict.ClassOverwritten: vosio.Overwritten, conflict.ClassDeleted: vosio.Deleted,
	conflict.ClassOpen: vosio.Opened, conflict.ClassSuperseded: vosio.Superseded, conflict.ClassClosed: vosio.Closed,
}

// receive takes verified entries of a stream to the gate, and lets in what may
// come.
func (m *module) receive(s origin.Stream, after origin.Seq, entries [][]byte) error {
	for i, b := range entries {
		d := origin.Dot{Stream: s, Seq: after + 1 + origin.Seq(i)}
		t := new(origin.Txn)
		if err := entry.Decode(b, d, t); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		switch m.gate.Offer(causal.Item{Dot: d, Context: t.Context, Bytes: len(b), Opaque: arrived{t, b}}) {
		case causal.Held:
			m.stats.held++
		case causal.Duplicate:
			m.stats.duplicates++
			if mutant.On(mutant.ForgetDuplicates) {
				if err := m.eng.Apply(context.Background(), t, b, false); err != nil && !errors.Is(err, vosio.ErrDuplicate) {
					return fmt.Errorf("%s: apply %v: %w", m.name, d, err)
				}
			}
		case causal.Gap:
			m.stats.gaps++
		case causal.Full:
			m.stats.full++
		case causal.Shut:
		}
	}
	return m.drain()
}

type arrived struct {
	txn   *origin.Txn
	bytes []byte
}

func (m *module) drain() error {
	for {
		it, ok := m.gate.Ready()
		if !ok {
			return nil
		}
		a := it.Opaque.(arrived)
		err := m.eng.Apply(context.Background(), a.txn, a.bytes, false)
		switch {
		case errors.Is(err, vosio.ErrDuplicate):
			m.stats.duplicates++
		case err != nil:
			return fmt.Errorf("%s: apply %v: %w", m.name, it.Dot, err)
		case m.applied[it.Dot]:
			return fmt.Errorf("%s: %v took effect twice", m.name, it.Dot)
		default:
			m.applied[it.Dot] = true
			m.stats.applied++
		}
		m.gate.Applied(it.Dot)
	}
}

// wrote tells the gate of what the module itself has written.
func (m *module) wrote() {
	s := m.stream()
	tail := m.j.Tail(s).Seq
	for q := tail; q > 0 && !m.applied[origin.Dot{Stream: s, Seq: q}]; q-- {
		m.applied[origin.Dot{Stream: s, Seq: q}] = true
	}
	if tail > 0 {
		m.gate.Applied(origin.Dot{Stream: s, Seq: tail})
	}
}

// head signs where the module's own stream stands on its disk; ok is false
// while more is sequenced than durable, for then no floor can be promised.
func (m *module) head() (h origin.Head, ok bool, err error) {
	v := m.j.Durable()
	s := m.stream()
	floor, at, err := m.eng.Floor(context.Background(), s)
	if err != nil || at != v.At(s).Seq {
		return h, false, err
	}
	if floor > m.ceiling {
		// Not floor+5 s: a start begins at the ceiling, and one start after the
		// other would drive the clock away.
		c := max(origin.MakeStamp(uint64(m.wall().UnixMilli())+5000, 0), origin.MakeStamp(floor.Millis()+100, 0))
		if err := m.db.Set(keyCeiling, binary.BigEndian.AppendUint64(nil, uint64(c)), pebble.Sync); err != nil {
			return h, false, err
		}
		m.ceiling = c
	}
	h = m.headHere(floor)
	entry.SignHead(&h, m.key)
	return h, true, nil
}

// headHere says where the module's own stream stands on its disk, and what of
// others it has applied there.
func (m *module) headHere(floor origin.Stamp) origin.Head {
	v := m.j.Durable()
	s := m.stream()
	h := origin.Head{Stream: s, Position: v.At(s), Floor: floor, Control: m.control}
	for _, e := range v.Sorted() {
		if e.Stream.Group == s.Group && e.Stream != s {
			h.Context = append(h.Context, e)
		}
	}
	return h
}
