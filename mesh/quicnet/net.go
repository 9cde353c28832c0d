package quicnet

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"drmesh/origin"
)

// A Kind says what a stream carries, and so which handler it goes to. Numbers
// are on the wire: never reused.
type Kind uint8

const (
	Data     Kind = 1 // runs of txns
	Raft     Kind = 2 // the control group's own protocol
	Gossip   Kind = 3 // full exchanges of membership hints
	RPC      Kind = 4 // one question, one answer: proposals and the like
	Snapshot Kind = 5 // registers for a joiner
	Control  Kind = 6 // vectors, subscriptions, acknowledgements, heads
	Admin    Kind = 7 // operators' requests that another module answers
)

func (k Kind) String() string {
	switch k {
	case Data:
		return "data"
	case Raft:
		return "raft"
	case Gossip:
		return "gossip"
	case RPC:
		return "rpc"
	case Snapshot:
		return "snapshot"
	case Control:
		return "control"
	case Admin:
		return "admin"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// lane says which of the connections between two modules a stream goes on:
// bulk has its own, so that control never queues behind it.
type lane uint8

const (
	laneControl lane = 0
	laneBulk    lane = 1
)

func (k Kind) lane() lane {
	if k == Data || k == Snapshot {
		return laneBulk
	}
	return laneControl
}

// Versions of the protocol above QUIC that this build speaks.
const (
	MinVersion = 1
	MaxVersion = 1
)

// MaxDatagram is the most that SendDatagram takes: it fits the smallest packet
// that QUIC allows a path to have.
const MaxDatagram = 1100

// Limits of one connection. A peer is a member of the mesh, so they bound
// accidents more than malice. A stream's window is a fraction of the
// connection's, so that a few streams that nobody reads do not stop the rest;
// users who write much without reading what comes back still can.
const (
	maxStreams       = 1024 // that a peer may have open on one connection
	streamWindow     = 512 << 10
	maxStreamWindow  = 4 << 20
	connWindow       = 4 << 20
	maxConnWindow    = 16 << 20
	maxConnsPerPeer  = 16
	datagramQueue    = 64
	handshakeTimeout = 5 * time.Second // without any packet
	helloTimeout     = 5 * time.Second
	prefaceTimeout   = 10 * time.Second
)

// Config says how to Listen. Identity and one of Listen or Conns are needed.
type Config struct {
	Identity Identity
	// Listen lists UDP addresses (host:port), one socket each. Conns gives
	// sockets made elsewhere (a fault proxy, a simulated network); the Net
	// owns them and closes them.
	Listen []string
	Conns  []net.PacketConn
	// Addresses tells where a module listens, best first; nil or empty when
	// not known. Called at each attempt to connect.
	Addresses func(origin.Module) []string
	// Admit says whether a module with a valid certificate may talk to us,
	// by an error why not. Called during handshakes, at both ends, and by
	// Recheck; it must not block.
	Admit func(m origin.Module, cert *x509.Certificate) error
	// Changed, if set, is told when the first connection to a module comes
	// and when the last goes. Calls for one module come in order, one at a
	// time; it must not block for long.
	Changed func(m origin.Module, connected bool)
	Logger  *slog.Logger

	IdleTimeout time.Duration // a silent connection is dead after it; 10 s if 0
	KeepAlive   time.Duration // 2 s if 0
	// MinVersion and MaxVersion narrow or shift what is offered; 0 means
	// this build's own. For tests of mixed versions.
	MinVersion, MaxVersion uint16
}

// A Net is a module's presence on the network.
type Net struct {
	cfg        Config
	log        *slog.Logger
	quic       *quic.Config
	identity   atomic.Pointer[identity]
	transports []*transport
	gate       gate
	refusals   refusals
	joins      joins
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc

	handlers  [256]atomic.Pointer[handler]
	datagrams atomic.Pointer[func(origin.Module, []byte)]

	mu     sync.Mutex // protects the fields below; never held across I/O
	closed bool
	peers  map[origin.Module]*peer
	wg     sync.WaitGroup // Add under mu while not closed
}

type handler func(context.Context, origin.Module, Stream)

type transport struct {
	index    int
	conn     net.PacketConn
	quic     *quic.Transport
	listener *quic.Listener
}

// Listen opens the sockets and starts to serve. Streams of a kind that has no
// handler yet are refused, so set handlers at once.
func Listen(cfg Config) (*Net, error) {
	id, err := cfg.Identity.check()
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 10 * time.Second
	}
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = 2 * time.Second
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = MinVersion
	}
	if cfg.MaxVersion == 0 {
		cfg.MaxVersion = MaxVersion
	}
	n := &Net{
		cfg:      cfg,
		log:      cfg.Logger,
		quic:     quicConfig(cfg),
		gate:     gate{byAddr: map[string]int{}},
		refusals: refusals{counts: map[string]uint64{}, logged: map[string]time.Time{}},
		joins:    joins{slots: make(chan struct{}, maxJoins)},
		peers:    map[origin.Module]*peer{},
	}
	n.identity.Store(id)
	n.ctx, n.cancel = context.WithCancel(context.Background())

	conns := append([]net.PacketConn(nil), cfg.Conns...)
	for _, addr := range cfg.Listen {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			n.cancel()
			return nil, fmt.Errorf("listen: %w", err)
		}
		conns = append(conns, c)
	}
	if len(conns) == 0 {
		n.cancel()
		return nil, errors.New("listen: no address")
	}
	for i, c := range conns {
		// The same key after a restart lets connections of before be
		// recognized, and ended at once instead of by timeout.
		reset := quic.StatelessResetKey(id.derive(fmt.Sprintf("quic stateless reset %d", i)))
		t := &transport{index: i, conn: c, quic: &quic.Transport{
			Conn:                             c,
			ConnectionIDLength:               8,
			StatelessResetKey:                &reset,
			DisableVersionNegotiationPackets: true,
			VerifySourceAddress:              n.gate.loaded,
			ConnContext:                      n.connContext,
		}}
		n.transports = append(n.transports, t)
		t.listener, err = t.quic.Listen(n.serverTLS(), n.quic)
		if err != nil {
			for _, c := range conns[i+1:] {
				c.Close()
			}
			n.Close()
			return nil, fmt.Errorf("listen on %v: %w", c.LocalAddr(), err)
		}
		n.spawn(func() { n.accept(t) })
	}
	return n, nil
}

func quicConfig(cfg Config) *quic.Config {
	return &quic.Config{
		Versions:                       []quic.Version{quic.Version1},
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 cfg.IdleTimeout,
		KeepAlivePeriod:                cfg.KeepAlive,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         maxStreamWindow,
		InitialConnectionReceiveWindow: connWindow,
		MaxConnectionReceiveWindow:     maxConnWindow,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          -1,
		EnableDatagrams:                true,
	}
}

// Self is our own number, from our certificate.
func (n *Net) Self() origin.Module { return n.identity.Load().module }

// MeshID is the mesh of our certificate.
func (n *Net) MeshID() string { return n.identity.Load().meshID }

// Addrs lists the addresses of our sockets.
func (n *Net) Addrs() []net.Addr {
	l := make([]net.Addr, len(n.transports))
	for i, t := range n.transports {
		l[i] = t.conn.LocalAddr()
	}
	return l
}

// SetIdentity replaces certificate and authorities for the connections made
// from now on. The module must stay the same.
func (n *Net) SetIdentity(id Identity) error {
	c, err := id.check()
	if err != nil {
		return err
	}
	if old := n.identity.Load(); c.module != old.module || c.meshID != old.meshID {
		return fmt.Errorf("identity: certificate of module %d of %s cannot stand for module %d of %s",
			c.module, c.meshID, old.module, old.meshID)
	}
	n.identity.Store(c)
	return nil
}

// Handle sets who gets the streams of one kind that peers open. fn runs in a
// goroutine of its own for each stream; its context ends with the connection.
// The stream is fn's, also after it returned: fn, or whom it gave the stream
// to, closes it. Close waits until fn has returned.
func (n *Net) Handle(kind Kind, fn func(ctx context.Context, peer origin.Module, s Stream)) {
	h := handler(fn)
	n.handlers[kind].Store(&h)
}

// HandleDatagram sets who gets datagrams. fn is called by one goroutine for
// each connection, owns b, and must not block: meanwhile datagrams are lost.
func (n *Net) HandleDatagram(fn func(peer origin.Module, b []byte)) { n.datagrams.Store(&fn) }

// spawn runs fn in a goroutine that Close waits for. False: it is too late.
func (n *Net) spawn(fn func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.wg.Go(fn)
	return true
}

// accept takes connections whose handshake is done.
func (n *Net) accept(t *transport) {
	for {
		q, err := t.listener.Accept(n.ctx)
		if err != nil {
			return // closed, or the socket failed and all is lost on it
		}
		if t, ok := q.Context().Value(ticketKey{}).(*ticket); ok {
			t.leave()
		}
		if !n.spawn(func() { n.serve(t, q) }) {
			q.CloseWithError(codeClosed, "closing")
		}
	}
}

// Close ends all connections, sockets and goroutines, and waits for handlers.
func (n *Net) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		n.wg.Wait()
		return nil
	}
	n.closed = true
	peers := make([]*peer, 0, len(n.peers))
	for _, p := range n.peers {
		peers = append(peers, p)
	}
	n.mu.Unlock()
	n.cancel()
	var ending sync.WaitGroup
	for _, p := range peers {
		for _, c := range p.all() {
			ending.Go(func() { c.quic.CloseWithError(codeClosed, "closing") })
		}
	}
	ending.Wait()
	var errs []error
	for _, t := range n.transports {
		if t.listener != nil {
			t.listener.Close()
		}
		if err := t.quic.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
		if err := t.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	n.wg.Wait()
	return errors.Join(errs...)
}
