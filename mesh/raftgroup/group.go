package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"

	"drmesh/origin"
)

// Classes of failure, for errors.Is.
var (
	// ErrNoQuorum: no majority of voters was in reach for Timing.NoQuorum.
	ErrNoQuorum = errors.New("no quorum: a majority of the voters is not in reach")
	// ErrUncertain: the command was in the log when leadership was lost. It
	// may take effect later, or never; to repeat it must be harmless.
	ErrUncertain = errors.New("outcome unknown: leadership was lost meanwhile")
	// ErrShutdown: the group is closed.
	ErrShutdown = errors.New("group is shut down")
)

// ErrNotLeader says that another member leads, who should be asked.
type ErrNotLeader struct{ Leader origin.Module }

func (e ErrNotLeader) Error() string { return fmt.Sprintf("module %d is the leader", e.Leader) }

// FSM is the state machine. Its methods are called by one goroutine at a time,
// and must depend on nothing but their arguments.
type FSM interface {
	// Apply takes one committed command. Indexes rise; some are left out.
	// cmd must not be kept. A nil cmd stands for one that a newer version
	// wrote and this one cannot read: the machine must not go on as if there
	// had been none. What it returns is Propose's result at the
	// module that proposed.
	Apply(index uint64, cmd []byte) any
	// Snapshot gives the whole state as of the last Apply.
	Snapshot() ([]byte, error)
	// Restore replaces the whole state by one that Snapshot gave.
	Restore(state []byte) error
}

// Timing sets the pace. Zero fields get the defaults, which suit modules some
// tens of milliseconds apart.
type Timing struct {
	Heartbeat time.Duration // without word from a leader before an election: 500 ms
	Election  time.Duration // of one attempt to become leader: 500 ms
	Lease     time.Duration // a leader without a majority steps down: Heartbeat / 2
	Commit    time.Duration // idle leader tells what is committed: 50 ms
	RPC       time.Duration // one exchange: 5 s
	NoQuorum  time.Duration // Propose without a leader in sight gives up: 3 s

	SnapshotInterval  time.Duration // 2 min
	SnapshotThreshold uint64        // commands since the last one: 1024
	TrailingLogs      uint64        // kept after a snapshot: 4096
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&t.Heartbeat, 500*time.Millisecond)
	set(&t.Election, max(500*time.Millisecond, t.Heartbeat))
	set(&t.Lease, t.Heartbeat/2)
	set(&t.Commit, 50*time.Millisecond)
	set(&t.RPC, 5*time.Second)
	set(&t.NoQuorum, 3*time.Second)
	set(&t.SnapshotInterval, 2*time.Minute)
	if t.SnapshotThreshold == 0 {
		t.SnapshotThreshold = 1024
	}
	if t.TrailingLogs == 0 {
		t.TrailingLogs = 4096
	}
	return t
}

// Config says how to Start. Dir, Self, FSM and Dial are needed.
type Config struct {
	Dir  string // the group lives in Dir/raft, made if missing
	Self origin.Module
	// Bootstrap makes a new group of Self alone, if there is no state yet. To
	// be given at one module of a mesh, once; harmless later.
	Bootstrap bool
	// Recover makes a group of Self alone out of the state that is there, with
	// all that its log has, decided or not: for a majority that is lost for good.
	// The others of the group that was must not meet this one with their own
	// state; see to it with Dial and Accept.
	Recover bool
	FSM     FSM
	// Dial opens a stream to a member; it must fail soon when there is no way.
	Dial func(ctx context.Context, m origin.Module) (net.Conn, error)
	// LeaderChanged, if set, is told when the leader as seen from here
	// changes; 0 is none. One call at a time, in order.
	LeaderChanged func(leader origin.Module)
	Logger        *slog.Logger
	Timing        Timing
}

// MaxCommand bounds one command.
const MaxCommand = 8 << 20

// A Member is one entry of the group's configuration.
type Member struct {
	Module origin.Module
	Voter  bool
}

// A Group is one member's part of the replicated log.
type Group struct {
	cfg       Config
	timing    Timing
	log       *slog.Logger
	raft      *raft.Raft
	transport *raft.NetworkTransport
	layer     *layer
	wal       *wal.WAL
	meta      *metadb.BoltMetaDB
	fsm       *machine
	counters  *counters
	observer  *raft.Observer
	observed  chan raft.Observation
	done      chan struct{} // closed by Shutdown
	wg        sync.WaitGroup

	mu       sync.Mutex
	closing  bool
	inflight sync.WaitGroup // proposals; Add under mu while not closing
	changed  chan struct{}  // closed and replaced when the leader changes
	leader   origin.Module
}

// Commands in the log begin with one byte that says what they are, so that
// there can be others than the state machine's own one day.
const commandPlain = 1

// Start opens the group's directory, brings the state machine to where it was,
// and takes part from then on.
func Start(cfg Config) (_ *Group, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start control group: %w", err)
		}
	}()
	if cfg.Self == 0 || cfg.FSM == nil || cfg.Dial == nil {
		return nil, errors.New("module number, state machine and dialer are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	dir := filepath.Join(cfg.Dir, "raft")
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		return nil, err
	}
	g := &Group{
		cfg: cfg, timing: cfg.Timing.withDefaults(), log: cfg.Logger,
		counters: newCounters(), done: make(chan struct{}), changed: make(chan struct{}),
		observed: make(chan raft.Observation, 16),
	}
	logger := adapt(cfg.Logger)
	g.layer = newLayer(cfg.Self, cfg.Dial)
	// First, since it holds the lock on the directory; the log would wait for
	// another process without end.
	rec, err := openApplied(filepath.Join(dir, "applied"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			rec.close()
		}
	}()
	g.meta = &metadb.BoltMetaDB{}
	defer func() {
		if err != nil {
			g.closeLog()
		}
	}()
	if g.wal, err = wal.Open(filepath.Join(dir, "log"), wal.WithLogger(logger), wal.WithMetaStore(g.meta),
		wal.WithMetricsCollector(g.counters), wal.WithSegmentSize(4<<20)); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, logger)
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	g.fsm = newMachine(cfg.FSM, rec, cfg.Logger)

	rc := raft.DefaultConfig()
	rc.LocalID = id(cfg.Self)
	rc.HeartbeatTimeout = g.timing.Heartbeat
	rc.ElectionTimeout = g.timing.Election
	rc.LeaderLeaseTimeout = g.timing.Lease
	rc.CommitTimeout = g.timing.Commit
	rc.SnapshotInterval = g.timing.SnapshotInterval
	rc.SnapshotThreshold = g.timing.SnapshotThreshold
	rc.TrailingLogs = g.timing.TrailingLogs
	rc.ShutdownOnRemove = false
	rc.NoSnapshotRestoreOnStart = true // machine.recover has done it
	rc.NoLegacyTelemetry = true
	rc.Logger = logger

	g.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: g.layer, MaxPool: 2, Timeout: g.timing.RPC, Logger: logger,
	})
	fail := func(err error) error {
		g.transport.Close()
		g.layer.close()
		return err
	}
	if cfg.Bootstrap {
		servers := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: id(cfg.Self), Address: address(cfg.Self)}}}
		err := raft.BootstrapCluster(rc, g.wal, g.wal, snaps, g.transport, servers)
		if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			return nil, fail(fmt.Errorf("bootstrap: %w", err))
		}
	}
	if cfg.Recover {
		alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: id(cfg.Self), Address: address(cfg.Self)}}}
		if err := g.recoverAlone(rc, snaps, alone); err != nil {
			return nil, fail(fmt.Errorf("recover: %w", err))
		}
	}
	if err := g.fsm.recover(snaps, g.wal); err != nil {
		return nil, fail(err)
	}
	if g.raft, err = raft.NewRaft(rc, g.fsm, g.wal, g.wal, snaps, g.transport); err != nil {
		return nil, fail(err)
	}
	g.observer = raft.NewObserver(g.observed, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	g.raft.RegisterObserver(g.observer)
	g.wg.Go(g.watch)
	return g, nil
}

// recoverAlone writes a snapshot of the state with a configuration of its own.
// Where there never was any, there is nothing to recover: the group begins.
func (g *Group) recoverAlone(rc *raft.Config, snaps raft.SnapshotStore, alone raft.Configuration) error {
	if has, err := raft.HasExistingState(g.wal, g.wal, snaps); err != nil {
		return err
	} else if !has {
		return raft.BootstrapCluster(rc, g.wal, g.wal, snaps, g.transport, alone)
	}
	return raft.RecoverCluster(rc, g.fsm, g.wal, g.wal, snaps, g.transport, alone)
}

func id(m origin.Module) raft.ServerID           { return raft.ServerID(strconv.FormatUint(uint64(m), 10)) }
func address(m origin.Module) raft.ServerAddress { return raft.ServerAddress(id(m)) }

// module reads a number that id wrote; 0 for anything else.
func module[S ~string](s S) origin.Module {
	n, err := strconv.ParseUint(string(s), 10, 32)
	if err != nil {
		return 0
	}
	return origin.Module(n)
}

// watch follows the leader. Observations may be dropped when they come fast;
// so it looks for itself, now and then too.
func (g *Group) watch() {
	tick := time.NewTicker(max(20*time.Millisecond, g.timing.Heartbeat/4))
	defer tick.Stop()
	for {
		_, sid := g.raft.LeaderWithID()
		m := module(sid)
		g.mu.Lock()
		was := g.leader
		if m != was {
			g.leader = m
			close(g.changed)
			g.changed = make(chan struct{})
		}
		g.mu.Unlock()
		if m != was && g.cfg.LeaderChanged != nil {
			g.cfg.LeaderChanged(m)
		}
		select {
		case <-g.observed:
		case <-tick.C:
		case <-g.done:
			return
		}
	}
}

// Accept takes a stream that a member opened to us. It never blocks; the group
// owns conn from now on.
func (g *Group) Accept(peer origin.Module, conn net.Conn) { g.layer.accept(peer, conn) }

// Leader is who leads, as seen from here. False: nobody, as far as we know.
func (g *Group) Leader() (origin.Module, bool) {
	_, sid := g.raft.LeaderWithID()
	m := module(sid)
	return m, m != 0
}

// IsLeader reports whether we lead, or did until a moment ago; see Verify.
func (g *Group) IsLeader() bool { return g.raft.State() == raft.Leader }

// Term counts elections: a leader that lost its place and has it again is in
// another term.
func (g *Group) Term() uint64 { return g.raft.CurrentTerm() }

// LastContact is when this member last heard of a leader other than itself;
// zero: never since its start.
func (g *Group) LastContact() time.Time { return g.raft.LastContact() }

// Applied is the index of the last command applied here.
func (g *Group) Applied() uint64 { return g.fsm.applied() }

// Members lists the latest configuration known here, by number.
func (g *Group) Members() ([]Member, error) {
	f := g.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, g.explain(err)
	}
	var l []Member
	for _, s := range f.Configuration().Servers {
		l = append(l, Member{module(s.ID), s.Suffrage == raft.Voter})
	}
	sortMembers(l)
	return l, nil
}

// enter counts a caller in, unless it is too late.
func (g *Group) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return ErrShutdown
	}
	g.inflight.Add(1)
	return nil
}

// lead waits until there is a leader. nil: it is us.
func (g *Group) lead(ctx context.Context) error {
	timer := time.NewTimer(g.timing.NoQuorum)
	defer timer.Stop()
	for {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		if g.IsLeader() {
			return nil
		}
		if m, ok := g.Leader(); ok && m != g.cfg.Self {
			return ErrNotLeader{m}
		}
		// Being elected and knowing oneself as leader are two moments.
		poll := time.NewTimer(20 * time.Millisecond)
		select {
		case <-changed:
		case <-poll.C:
		case <-timer.C:
			poll.Stop()
			return ErrNoQuorum
		case <-ctx.Done():
			poll.Stop()
			return fmt.Errorf("%w: %w", ErrNoQuorum, ctx.Err())
		case <-g.done:
			poll.Stop()
			return ErrShutdown
		}
		poll.Stop()
	}
}

// await waits for a future of raft's; it keeps the caller counted until raft
// is done with it.
func (g *Group) await(ctx context.Context, f raft.Future) error {
	errc := make(chan error, 1)
	go func() {
		defer g.inflight.Done()
		errc <- f.Error()
	}()
	select {
	case err := <-errc:
		return g.explain(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUncertain, ctx.Err())
	case <-g.done:
		return fmt.Errorf("%w: %w", ErrUncertain, ErrShutdown)
	}
}

// explain gives raft's errors our names.
func (g *Group) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		if m, ok := g.Leader(); ok && m != g.cfg.Self {
			return ErrNotLeader{m}
		}
		return ErrNoQuorum
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return fmt.Errorf("%w: %w", ErrUncertain, ErrNoQuorum)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrNoQuorum
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrShutdown
	}
	return err
}

// Propose puts cmd into the log and waits until it has been applied here. Only
// the leader can: others get ErrNotLeader, and ErrNoQuorum when there is none
// for Timing.NoQuorum or until ctx ends. An error that is ErrUncertain leaves
// open whether cmd takes effect. The result is what FSM.Apply returned.
func (g *Group) Propose(ctx context.Context, cmd []byte) (result any, index uint64, err error) {
	if len(cmd) > MaxCommand {
		return nil, 0, fmt.Errorf("propose: command of %d bytes, %d are allowed", len(cmd), MaxCommand)
	}
	if err := g.lead(ctx); err != nil {
		return nil, 0, err
	}
	if err := g.enter(); err != nil {
		return nil, 0, err
	}
	b := make([]byte, 0, 1+len(cmd))
	f := g.raft.Apply(append(append(b, commandPlain), cmd...), g.timing.NoQuorum)
	if err := g.await(ctx, f); err != nil {
		return nil, 0, err
	}
	return f.Response(), f.Index(), nil
}

// Verify makes sure, by asking a majority, that we still lead: what was
// applied here before the call is then the latest there is.
func (g *Group) Verify(ctx context.Context) error {
	if err := g.lead(ctx); err != nil {
		return err
	}
	if err := g.enter(); err != nil {
		return err
	}
	return g.await(ctx, g.raft.VerifyLeader())
}

// Barrier returns when all that was committed before the call has been applied
// here. Only the leader can.
func (g *Group) Barrier(ctx context.Context) error {
	if err := g.lead(ctx); err != nil {
		return err
	}
	if err := g.enter(); err != nil {
		return err
	}
	return g.await(ctx, g.raft.Barrier(g.timing.NoQuorum))
}

// WaitApplied returns when the command at index, as Propose gave it at any
// member, has been applied here.
func (g *Group) WaitApplied(ctx context.Context, index uint64) error {
	return g.fsm.wait(ctx, g.done, index)
}

// AddVoter makes m a voter, adding it if need be. Only the leader can.
func (g *Group) AddVoter(ctx context.Context, m origin.Module) error {
	return g.change(ctx, func() raft.Future { return g.raft.AddVoter(id(m), address(m), 0, g.timing.NoQuorum) })
}

// AddNonvoter adds m as one who follows. A voter stays a voter: see Demote.
func (g *Group) AddNonvoter(ctx context.Context, m origin.Module) error {
	return g.change(ctx, func() raft.Future { return g.raft.AddNonvoter(id(m), address(m), 0, g.timing.NoQuorum) })
}

// Demote makes a voter a nonvoter.
func (g *Group) Demote(ctx context.Context, m origin.Module) error {
	return g.change(ctx, func() raft.Future { return g.raft.DemoteVoter(id(m), 0, g.timing.NoQuorum) })
}

// Remove takes m out of the group. A leader may remove itself, and steps down.
func (g *Group) Remove(ctx context.Context, m origin.Module) error {
	return g.change(ctx, func() raft.Future { return g.raft.RemoveServer(id(m), 0, g.timing.NoQuorum) })
}

func (g *Group) change(ctx context.Context, start func() raft.Future) error {
	if err := g.lead(ctx); err != nil {
		return err
	}
	if err := g.enter(); err != nil {
		return err
	}
	return g.await(ctx, start())
}

// StepDown hands leadership to another voter, for a shutdown that nobody
// notices. It does nothing unless we lead.
func (g *Group) StepDown(ctx context.Context) error {
	if !g.IsLeader() {
		return nil
	}
	if err := g.enter(); err != nil {
		return err
	}
	return g.await(ctx, g.raft.LeadershipTransfer())
}

// Snapshot writes one now, and shortens the log.
func (g *Group) Snapshot() error {
	err := g.raft.Snapshot().Error()
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return g.explain(err)
}

// Counters gives what the log counts (bytes and entries written, and so on).
func (g *Group) Counters() map[string]uint64 { return g.counters.all() }

// Shutdown ends the group's part: streams, goroutines, files. What was
// committed stays. Callers in waiting get ErrShutdown.
func (g *Group) Shutdown() error {
	g.mu.Lock()
	if g.closing {
		g.mu.Unlock()
		<-g.done
		g.wg.Wait()
		return nil
	}
	g.closing = true
	g.mu.Unlock()

	// Commands that are committed but not applied yet would never be answered
	// by raft after its end; they need a moment only.
	settled := make(chan struct{})
	go func() {
		g.inflight.Wait()
		close(settled)
	}()
	t := time.NewTimer(500 * time.Millisecond)
	select {
	case <-settled:
	case <-t.C:
	}
	t.Stop()

	g.raft.DeregisterObserver(g.observer)
	stop := g.raft.Shutdown()
	g.transport.CloseStreams()
	g.layer.close()
	err := stop.Error()
	close(g.done)
	g.wg.Wait()
	g.layer.wait()
	return errors.Join(err, g.closeLog(), g.fsm.close())
}

// closeLog closes the log and its metadata, which the log leaves open.
func (g *Group) closeLog() error {
	var err error
	if g.wal != nil {
		err = g.wal.Close()
	}
	return errors.Join(err, g.meta.Close())
}
