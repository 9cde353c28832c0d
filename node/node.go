package node

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/admin"
	"drmesh/mesh"
	"drmesh/mesh/control"
	"drmesh/mesh/link"
	"drmesh/mesh/quicnet"
	"drmesh/mesh/raftgroup"
	"drmesh/node/apply"
	"drmesh/origin"
	"drmesh/origin/clock"
	"drmesh/origin/journal"
	"drmesh/vosio"
	"drmesh/vosio/socket"
)

// Version is the release, set by the build.
var Version = "0.1.0"

// Node is a module's peer daemon.
type Node struct {
	dir       *dir
	log       *slog.Logger
	db        *pebble.DB
	j         *journal.Journal
	wall      func() time.Time
	agreed    bool // some neighbour has shown the time; owned by housekeep
	clock     *clock.Clock
	heads     *heads
	ctl       *plane
	eng       *vosio.Engine
	applier   *apply.Applier
	histories histories
	past      past
	net       *quicnet.Net
	mesh      *mesh.Mesh
	raft      *raftgroup.Group
	gossip    gossip
	app       *socket.Server
	events    *admin.Events
	// operators are the doors for operators.
	operators operators
	inboxes   inboxes
	acks      acks
	// accounts are what this module counts for others.
	accounts accounts
	started  time.Time
	version  string
	disk     func(path string) (total, free uint64, err error)

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	closing sync.Once
	closed  error // what close gave; set in closing
	wants   atomic.Pointer[func(origin.Stream) bool]
	leases  leases
	scopes  scopes
	absence absence
	hooks   hooks
	leaves  leaves // owned by controlLoop
	// lineages are those of control that this module follows, from the first on;
	// they do not change while the node runs.
	lineages []uint32
	fenced   atomic.Pointer[fence] // set: control went on without this module
	newer    chan struct{}         // capacity 1: fenced was set
	restart  chan struct{}         // closed when the node is to be served anew
	again    sync.Once             // closes restart
	giving   chan struct{}         // capacity 1, full: a control state is given to who may be of another lineage
	losing   sync.Mutex            // one change of lost-transaction files at a time
	lost     chan struct{}         // capacity 1: lost-transaction files changed
	beyond   atomic.Int64          // txns that came and lie beyond their stream's end
	behindOn chan struct{}         // capacity 1: a txn names tables that are not known here
	owner    chan struct{}         // capacity 1: the owner's duties are to be looked at
	unproven atomic.Bool           // the directory may be a copy: see fingerprint.go
	away     atomic.Bool           // it was, and has not asked the neighbours since: see comeback.go
	reload   chan struct{}         // capacity 1: rules must be made anew

	summing    summing
	proved     atomic.Pointer[admin.Proof] // the last proof that this module made
	numbers    askedNumbers                // record numbers that this module runs short of
	checks     chan string                 // files to be held against those of other modules
	daily      chan dailyLine              // ports that were closed, to the daily log
	dailyLost  atomic.Int64                // of these, those that found no room
	renewal    renewal                     // of the control loop
	lacksOwn   atomic.Bool                 // of a stream of ours that has ended some is still to come back
	placeAsked chan chan error             // an operator gives this directory its module's place; taken by the control loop

	mu          sync.Mutex // protects what follows; never held across I/O
	alarms      map[string]alarm
	notCurrent  map[origin.Stream]string
	claims      map[claimOf]*claim             // of neighbours; one goroutine for each that is being asked
	ready       map[origin.Group]bool          // this module holds the group whole
	prefer      map[origin.Group]origin.Module // whom a needed snapshot is to come from
	need        map[origin.Group]string        // groups that need a snapshot, and why
	idle        map[origin.Stream][]byte
	paused      map[origin.Module]bool
	sealed      map[origin.Module]bool // of departures under way; owned by controlLoop
	rules       *rules
	offsets     map[origin.Module]offset
	far         map[origin.Stream]*apply.Far   // streams that wait for their stamps' time
	released    map[origin.Stream]origin.Stamp // that an operator let through, up to here
	seen        seenSwitch
	others      map[origin.Module]control.Relation // modules of another lineage that were met
	lacksTables uint64                             // the greatest policy epoch that a received txn named and that was not known
	led         uint64                             // the term of raft in which this module has applied, as leader, what was decided before
	parting     map[origin.Module]time.Time        // modules that left a moment ago, and until when they are heard
}

type alarm struct {
	text string
	at   time.Time
}

// walls has wall clocks of modules, by name, that are not the machine's: of
// tests.
var walls sync.Map

// controlPace is that of the control group. It is never written but by tests,
// before any node runs: the race detector starves a machine of few cores so
// that leaders lose their followers for longer than the defaults allow.
var controlPace raftgroup.Timing

// ServeOptions say which directory to serve.
type ServeOptions struct {
	Dir     string
	Ready   func() // called once the node takes calls and listens
	Logger  *slog.Logger
	Recover bool
	Admin   string                                            // TCP address for operators, for this run; empty: that of the directory
	disk    func(path string) (total, free uint64, err error) // nil: diskOf
	version string                                            // empty: Version
}

// Serve runs a module's node until ctx ends.
func Serve(ctx context.Context, o ServeOptions) error {
	for first := true; ; first = false {
		n, err := Open(ctx, o)
		if err != nil {
			return err
		}
		if first && o.Ready != nil {
			o.Ready()
		}
		select {
		case <-ctx.Done():
			return n.Close()
		case <-n.restart:
		}
		if err := n.Close(); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// Open starts a node. Close it, or end ctx and close it.
func Open(ctx context.Context, o ServeOptions) (_ *Node, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d, err := openDir(ctx, o.Dir)
	if err != nil {
		return nil, err
	}
	if o.Admin != "" {
		if err := checkAdmin(o.Admin); err != nil {
			d.close()
			return nil, err
		}
		d.Admin = o.Admin
	}
	n := &Node{dir: d, log: o.Logger, started: time.Now(), reload: make(chan struct{}, 1), owner: make(chan struct{}, 1), lost: make(chan struct{}, 1), newer: make(chan struct{}, 1), restart: make(chan struct{}), giving: make(chan struct{}, 1), others: map[origin.Module]control.Relation{}, behindOn: make(chan struct{}, 1),
		placeAsked: make(chan chan error), numbers: askedNumbers{asked: map[origin.FileID]bool{}, short: make(chan fileNumbers, numbersAsked)}, checks: make(chan string, checkQueue), daily: make(chan dailyLine, dailyQueue),
		alarms: map[string]alarm{}, notCurrent: map[origin.Stream]string{}, claims: map[claimOf]*claim{}, ready: map[origin.Group]bool{}, need: map[origin.Group]string{},
		idle: map[origin.Stream][]byte{}, paused: map[origin.Module]bool{}, sealed: map[origin.Module]bool{}, parting: map[origin.Module]time.Time{}}
	if n.version = o.version; n.version == "" {
		n.version = Version
	}
	if n.disk = o.disk; n.disk == nil {
		n.disk = diskOf
	}
	n.acks.init()
	n.events = admin.NewEvents(d.Module)
	n.leases.init()
	n.scopes.init()
	n.hooks.init()
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if n.db, err = pebble.Open(d.file("db"), pebbleOptions(n.log, waitForRoom(ctx, n.ctx, n.log))); err != nil {
		return nil, fmt.Errorf("open %s: %w", d.file("db"), err)
	}
	if n.j, err = journal.Open(n.db); err != nil {
		return nil, err
	}
	ceiling, err := loadCeiling(n.db)
	if err != nil {
		return nil, err
	}
	own, foreign := n.j.Stamps(d.Number)
	n.wall = time.Now
	if w, ok := walls.Load(d.Module); ok {
		n.wall = w.(func() time.Time)
	}
	n.clock = clock.New(n.wall, clock.Last(n.wall(), ceiling, own, foreign))
	if err := n.loadClock(); err != nil {
		return nil, err
	}
	if ceiling > 0 {
		n.clock.Doubt(ceiling) // until a neighbour has shown the time
	}
	n.heads = newHeads(n.db, n.j, n.clock, d.key, ceiling)
	if err := d.takeFollow(); err != nil {
		return nil, err
	}
	if n.ctl, err = openPlane(d.file("control"), n.log); err != nil {
		return nil, err
	}
	if err := n.loadGroups(); err != nil {
		return nil, err
	}
	if err := n.loadInstance(); err != nil {
		return nil, err
	}
	if err := n.loadNotCurrent(); err != nil {
		return nil, err
	}
	if err := n.checkFingerprint(); err != nil {
		return nil, err
	}
	if err := n.openNetwork(); err != nil {
		return nil, err
	}
	if err := n.openControl(ctx); err != nil {
		return nil, err
	}
	st := n.ctl.state()
	if m, ok := st.Member(d.Number); ok && !m.Standing() {
		return nil, failure(admin.Precondition, "left", "join again with a token and a new directory", "module %s has left mesh %s", d.Module, d.Mesh)
	}
	n.setWants(st)
	n.rules = n.newRules(st)
	for _, s := range n.rules.shares {
		s.Stream = origin.Stream{} // applyControl, below, opens them
	}
	if n.eng, err = vosio.Open(vosio.Config{DB: n.db, Journal: n.j, Clock: n.clock, Rules: n.rules, Self: d.Number, Name: d.Module,
		Logger: n.log, Decide: newDecider(n.db, n.policy).decide, Durable: n.durable, Opened: n.openedFile, Closed: n.closedPort, Floors: n.floors, MoreNumbers: n.moreNumbers}); err != nil {
		return nil, err
	}
	n.histories.h = link.NewHistories(n.j)
	sealed, err := seals(n.db)
	if err != nil {
		return nil, err
	}
	for m := range sealed {
		n.sealed[m] = true
	}
	n.applier = apply.New(apply.Config{Engine: n.eng, Applied: n.j.Tails().Context(),
		Comes: func(s origin.Stream) bool { return (*n.wants.Load())(s) },
		Carry: func(origin.Stream) bool { return false },
		Far:   n.tooFar,
		End: func(s origin.Stream) (origin.Seq, bool) {
			p, ok := n.ctl.state().End(s)
			return p.Seq, ok
		},
		Reported: n.reported, Sealed: sealed,
		Ready: n.knowsTables, Hold: n.eng.Hold, Logger: n.log, Sick: n.sick})
	n.away.Store(n.returns())
	if err := n.applyControl(nil, st, n.away.Load()); err != nil {
		return nil, err
	}
	n.openMesh()
	n.openGossip()
	n.wg.Add(13)
	go n.comeBack()
	go n.checkFiles()
	go n.leaseNumbers()
	go n.dailyLog()
	go n.newerLoop()
	go n.lostLoop()
	go n.controlFromNeighbours()
	go n.ownerLoop()
	go n.watch()
	go n.publishLoop()
	go n.controlLoop(st)
	go n.housekeep()
	go n.snapshots()
	if n.app, err = socket.Serve(d.file("app.sock"), n.newProcess, n.log); err != nil {
		return nil, err
	}
	if err := n.openOperators(); err != nil {
		return nil, err
	}
	return n, nil
}

// newProcess makes the file system's side of a program at the socket.
func (n *Node) newProcess(name string, cred socket.Cred) socket.Process {
	return n.eng.NewProcess(name)
}

// Close stops a node: doors first, then network, then storage. What was
// acknowledged is durable. A second Close gives what the first gave.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closed = n.close() })
	return n.closed
}

func (n *Node) close() error {
	n.cancel()
	n.scopes.end()
	var errs []error
	errs = append(errs, n.operators.close())
	if n.app != nil {
		errs = append(errs, n.app.Close())
	}
	n.closeGossip()
	if n.raft != nil {
		errs = append(errs, n.raft.Shutdown())
	}
	if n.net != nil {
		errs = append(errs, n.net.Close())
	}
	n.wg.Wait()
	if n.applier != nil {
		n.applier.Close()
	}
	if n.eng != nil {
		errs = append(errs, n.eng.Close())
	}
	if n.db != nil {
		errs = append(errs, n.db.Close())
	}
	n.dir.close()
	return errors.Join(errs...)
}

// durable is told by the file system what became durable.
func (n *Node) durable(v []origin.StreamPosition) {
	var own []origin.StreamPosition
	for _, e := range v {
		if e.Stream.Module == n.dir.Number {
			own = append(own, e)
		}
	}
	if len(own) > 0 && n.applier != nil {
		n.applier.Own(own)
		if n.lacksOwn.Load() {
			n.poke()
		}
	}
	n.acks.self(v)
}

// sick is told by the applier that a stream is held, or goes on.
func (n *Node) sick(s origin.Stream, err error) {
	key := "stream " + n.streamName(s) + " is held"
	n.noteFar(s, err)
	if err == nil {
		n.clearAlarm(key)
		return
	}
	n.alarm(key, err.Error())
}

// alarm raises an alarm once, until it is cleared, and logs it.
func (n *Node) alarm(key, text string, args ...any) {
	n.mu.Lock()
	_, had := n.alarms[key]
	if !had && len(n.alarms) < 1000 {
		n.alarms[key] = alarm{text, time.Now()}
	}
	n.mu.Unlock()
	if !had {
		n.log.Warn(key, append([]any{"what", text}, args...)...)
		n.events.Publish("alarm", key, text)
	}
}

func (n *Node) clearAlarm(key string) {
	n.mu.Lock()
	_, had := n.alarms[key]
	delete(n.alarms, key)
	n.mu.Unlock()
	if had {
		n.log.Info("over: " + key)
		n.events.Publish("over", key, "")
	}
}

func (n *Node) alarmList() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := make([]string, 0, len(n.alarms))
	for k, a := range n.alarms {
		l = append(l, k+": "+a.text)
	}
	sort.Strings(l)
	return l
}

// openNetwork opens the UDP port and answers joiners.
func (n *Node) openNetwork() (err error) {
	n.net, err = quicnet.Listen(quicnet.Config{
		Identity:  quicnet.Identity{Cert: n.dir.cert, Key: n.dir.key, Authorities: []*x509.Certificate{n.dir.authority.Certificate()}},
		Listen:    n.dir.Listen,
		Addresses: n.addresses,
		Admit: func(m origin.Module, cert *x509.Certificate) error {
			x, ok := n.ctl.state().Member(m)
			switch {
			case !ok:
				// A member whose admission has not come here yet: it has a
				// certificate of the authority, which is given out for no
				// less. What it may say, control decides.
				return nil
			case !x.Standing() && !n.partingWith(m):
				return fmt.Errorf("module %s has left or was removed", x.Name)
			case len(x.Key) > 0 && !ed25519.PublicKey(x.Key).Equal(cert.PublicKey):
				return fmt.Errorf("module %s has another key", x.Name)
			}
			return nil
		},
		Logger: n.log,
	})
	if err != nil {
		return failure(admin.Precondition, "cannot_listen", "another process has the address, or it is not this machine's", "%v", err)
	}
	return nil
}

func (n *Node) addresses(m origin.Module) []string {
	x, _ := n.ctl.state().Member(m)
	return x.Addresses
}

// openControl starts raft, and makes the mesh on its founder's first start.
func (n *Node) openControl(ctx context.Context) (err error) {
	pending, err := n.pendingRecovery()
	if err != nil {
		return err
	}
	if n.lineages = n.ctl.state().Numbers(); pending != nil {
		n.lineages = append(n.lineages, pending.Lineage)
	}
	if err := n.loadFence(); err != nil {
		return err
	}
	streams := kinded{n}
	if n.raft, err = raftgroup.Start(raftgroup.Config{Dir: n.dir.path, Self: n.dir.Number, Bootstrap: n.dir.Founder && n.ctl.state().Mesh == "", Recover: pending != nil, FSM: n.ctl,
		Dial: func(ctx context.Context, m origin.Module) (net.Conn, error) {
			return streams.Open(ctx, m, quicnet.Raft)
		},
		Timing: controlPace, LeaderChanged: n.leaderChanged, Logger: n.log}); err != nil {
		return err
	}
	streams.Handle(quicnet.Raft, func(_ context.Context, peer origin.Module, s net.Conn) { n.raft.Accept(peer, s) })
	if pending != nil {
		return n.beginLineage(ctx, pending)
	}
	if !n.dir.Founder || n.ctl.state().Mesh != "" {
		return nil
	}
	key, err := n.dir.authority.KeyPEM()
	if err != nil {
		return err
	}
	_, err = n.propose(ctx, &control.Command{Kind: control.KindInit, Init: &control.Init{
		Mesh: n.dir.MeshID, Name: n.dir.Mesh, Authority: n.dir.authority.CertPEM(), AuthorityKey: key,
		Module: n.dir.Module, Addresses: n.dir.Listen, Key: n.dir.key.Public().(ed25519.PublicKey)}})
	if errors.Is(err, control.ErrMeshExists) {
		return nil
	}
	return err
}

// openMesh starts the moving of txns.
func (n *Node) openMesh() {
	n.mesh = mesh.New(mesh.Config{Self: n.dir.Number, MeshID: n.dir.MeshID, Network: kinded{n}, Source: source{n}, Sink: sink{n},
		Key: n.key, Peers: n.peers, Wants: func(s origin.Stream) bool { return (*n.wants.Load())(s) }, May: n.mayPull,
		Carries: func(m origin.Module, s origin.Stream) bool { return n.ctl.state().Carries(m, s) },
		Hurry:   n.scopes.some, Logger: n.log})
	n.mesh.HandleRPC("propose", n.servePropose)
	n.mesh.HandleRPC("lease", n.serveLease)
	n.mesh.HandleRPC("standing", n.serveStanding)
	n.mesh.HandleRPC("redo", n.serveRedo)
	n.mesh.HandleRPC("control view", n.serveControlView)
	n.mesh.HandleRPC("vector", n.serveVector)
	n.mesh.HandleRPC("account", n.serveAccount)
	n.mesh.HandleRPC("summary", n.serveSummary)
	n.mesh.HandleRPC("pause", n.servePause)
	n.mesh.HandleRPC("clock", n.serveClock)
	n.mesh.HandleRPC("release stamps", n.serveRelease)
	n.mesh.HandleRPC("control", n.serveControl)
	n.mesh.HandleRPC("published", n.servePublished)
	n.mesh.HandleRPC("own head", n.serveOwnHead)
	n.mesh.HandleSnapshot(n.serveSnapshot)
	n.net.ServeJoin(n.serveJoin)
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		n.mesh.Run(n.ctx)
	}()
}

func (n *Node) key(m origin.Module) ed25519.PublicKey {
	x, ok := n.ctl.state().Member(m)
	if !ok {
		return nil
	}
	return x.Key
}

// peers lists the neighbours that this module has data links with.
func (n *Node) peers() []origin.Module {
	st := n.ctl.state()
	t := st.Tables()
	var l []origin.Module
	for _, m := range st.Members {
		if m.Standing() && m.Number != n.dir.Number && t.Linked(n.dir.Number, m.Number) {
			l = append(l, m.Number)
		}
	}
	return l
}

// moduleName is %system#module, or the number where control does not know it.
func (n *Node) moduleName(m origin.Module) string {
	if x, ok := n.ctl.state().Member(m); ok {
		return x.Name
	}
	return fmt.Sprintf("module %d", m)
}

// streamName is %system#module.incarnation/group. A module that left, and whose
// name another has by now, has its number behind the name: (3).
func (n *Node) streamName(s origin.Stream) string {
	g := n.ctl.state().GroupName(s.Group)
	if g == "" {
		g = fmt.Sprint(s.Group)
	}
	name := n.moduleName(s.Module)
	st := n.ctl.state()
	if m, ok := st.Member(s.Module); ok && !m.Standing() && slices.ContainsFunc(st.Members, func(o control.Member) bool { return o.Name == m.Name && o.Number > m.Number }) {
		name += fmt.Sprintf("(%d)", m.Number)
	}
	return fmt.Sprintf("%s.%d/%s", name, s.Incarnation, g)
}

// dotName is stream:seq, with .N for an operation that is not the first.
func (n *Node) dotName(d origin.OpDot) string {
	s := fmt.Sprintf("%s:%d", n.streamName(d.Stream), d.Seq)
	if d.Index > 0 {
		s += fmt.Sprintf(".%d", d.Index)
	}
	return s
}

// mayPull tells whether a neighbour may be served a stream: it holds the
// stream's group.
func (n *Node) mayPull(peer origin.Module, s origin.Stream) bool {
	st := n.ctl.state()
	return slices.Contains(st.Tables().Holders(s.Group), peer) && st.Carries(n.dir.Number, s)
}
