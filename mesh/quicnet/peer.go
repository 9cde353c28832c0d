package quicnet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"drmesh/origin"
)

// Times of dialing.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
	// dialTimeout bounds one round over all addresses of a peer.
	dialTimeout = 6 * time.Second
	// stagger is how long an address may be silent before the next one is
	// tried beside it.
	stagger = 250 * time.Millisecond
	// roundEvery starts all addresses again within one dial: QUIC's own
	// retransmissions soon come seconds apart, and a peer that has just
	// started should not wait for them.
	roundEvery = 1500 * time.Millisecond
	// A connection that lived shorter than this is a failed attempt: peers
	// that accept and drop us are not called in a tight loop.
	shortLife = time.Second
)

// poolKey is what connections to one peer are told apart by.
type poolKey struct {
	lane lane
	path Path // zero: any
}

// peer is what we keep of one module; entries stay until Close (there are few
// modules).
type peer struct {
	n  *Net
	id origin.Module

	mu      sync.Mutex // protects the fields below; never held across I/O
	conns   []*conn    // oldest first
	dials   map[poolKey]*dialCall
	backoff map[poolKey]*backoff
	lastErr error
	errAt   time.Time
	since   time.Time // of the present or last connectedness
	sent    uint64    // bytes of connections that are gone
	recv    uint64

	tellMu sync.Mutex // held during Config.Changed
	told   bool
}

// A dialCall is one attempt that many callers may wait for.
type dialCall struct {
	done chan struct{}
	once sync.Once
	c    *conn
	err  error
}

func (d *dialCall) finish(c *conn, err error) {
	d.once.Do(func() {
		d.c, d.err = c, err
		close(d.done)
	})
}

type backoff struct {
	fails int
	until time.Time
	err   error
}

func (n *Net) peer(m origin.Module) *peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[m]
	if p == nil {
		p = &peer{n: n, id: m, dials: map[poolKey]*dialCall{}, backoff: map[poolKey]*backoff{}}
		n.peers[m] = p
	}
	return p
}

func (p *peer) all() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.conns)
}

// pick gives the newest living connection that fits.
func (p *peer) pick(k poolKey) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pickLocked(k)
}

func (p *peer) pickLocked(k poolKey) *conn {
	for _, c := range slices.Backward(p.conns) {
		if c.lane == k.lane && (k.path == Path{} || k.path == c.path) && c.quic.Context().Err() == nil {
			return c
		}
	}
	return nil
}

// add takes a new connection into the pool. Whoever waits for one that it
// serves gets it, even if their own dialing goes nowhere.
func (p *peer) add(c *conn) {
	p.mu.Lock()
	if len(p.conns) == 0 {
		p.since = c.since
	}
	p.conns = append(p.conns, c)
	var old *conn
	if len(p.conns) > maxConnsPerPeer {
		old = p.conns[0]
	}
	for k, d := range p.dials {
		if k.lane == c.lane && (k.path == Path{} || k.path == c.path) {
			d.finish(c, nil)
		}
	}
	for k, b := range p.backoff {
		if k.lane == c.lane && (k.path == Path{} || k.path == c.path) {
			b.until = time.Time{} // fails stays until the connection has lived
		}
	}
	p.mu.Unlock()
	if old != nil {
		old.quic.CloseWithError(codeReplaced, "too many connections")
	}
	p.tell()
}

// remove takes c out of the pool, once; it has ended or is about to.
func (c *conn) remove() {
	p := c.n.peer(c.peer)
	p.mu.Lock()
	i := slices.Index(p.conns, c)
	if i < 0 {
		p.mu.Unlock()
		return
	}
	p.conns = slices.Delete(p.conns, i, i+1)
	st := c.quic.ConnectionStats()
	p.sent += st.BytesSent
	p.recv += st.BytesReceived
	cause := translate(context.Cause(c.quic.Context()))
	if c.n.ctx.Err() == nil && cause != nil {
		p.lastErr, p.errAt = cause, time.Now()
	}
	for _, k := range []poolKey{{c.lane, Path{}}, {c.lane, c.path}} {
		if time.Since(c.since) >= shortLife {
			delete(p.backoff, k)
		} else if p.pickLocked(k) == nil {
			p.failed(k, cause)
		}
	}
	p.mu.Unlock()
	p.tell()
}

// failed notes a failed attempt. p.mu is held.
func (p *peer) failed(k poolKey, err error) {
	b := p.backoff[k]
	if b == nil {
		if len(p.backoff) >= 64 {
			clear(p.backoff) // paths that nobody uses any more
		}
		b = &backoff{}
		p.backoff[k] = b
	}
	d := min(minBackoff<<min(b.fails, 10), maxBackoff)
	d = max(minBackoff, d/2+rand.N(d/2+1))
	b.fails++
	b.until = time.Now().Add(d)
	b.err = err
	p.lastErr, p.errAt = err, time.Now()
}

// tell reports a change of connectedness to Config.Changed.
func (p *peer) tell() {
	if p.n.cfg.Changed == nil {
		return
	}
	p.tellMu.Lock()
	defer p.tellMu.Unlock()
	p.mu.Lock()
	now := len(p.conns) > 0
	p.mu.Unlock()
	if now != p.told {
		p.told = now
		p.n.cfg.Changed(p.id, now)
	}
}

// connect gives a living connection, dialing when needed.
func (n *Net) connect(ctx context.Context, m origin.Module, k poolKey) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c := n.peer(m).pick(k); c != nil {
		return c, nil
	}
	d, err := n.startDial(m, k)
	if err != nil {
		return nil, err
	}
	select {
	case <-d.done:
		return d.c, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.ctx.Done():
		return nil, &DialError{Peer: m, Cause: ErrClosed}
	}
}

// startDial joins the attempt under way or begins one.
func (n *Net) startDial(m origin.Module, k poolKey) (*dialCall, error) {
	if m == 0 || m == n.Self() {
		return nil, &DialError{Peer: m, Cause: fmt.Errorf("%w: module %d is not a peer", ErrWrongPeer, m)}
	}
	p := n.peer(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.dials[k]; d != nil {
		return d, nil
	}
	d := &dialCall{done: make(chan struct{})}
	if c := p.pickLocked(k); c != nil {
		d.finish(c, nil)
		return d, nil
	}
	if b := p.backoff[k]; b != nil {
		if wait := time.Until(b.until); wait > 0 {
			return nil, &DialError{Peer: m, Retry: wait, Cause: b.err}
		}
	}
	if !n.spawn(func() { n.dial(p, k, d) }) {
		return nil, &DialError{Peer: m, Cause: ErrClosed}
	}
	p.dials[k] = d
	return d, nil
}

// dial makes a connection, and then works for it until it ends.
func (n *Net) dial(p *peer, k poolKey, d *dialCall) {
	ctx, cancel := context.WithTimeout(n.ctx, dialTimeout)
	c, err := n.race(ctx, p.id, k)
	cancel()
	if c != nil {
		c.add() // finishes d, too
	}
	p.mu.Lock()
	delete(p.dials, k)
	if c == nil {
		if n.ctx.Err() != nil {
			err = ErrClosed
		}
		if p.pickLocked(k) == nil {
			p.failed(k, err)
		}
		err = &DialError{Peer: p.id, Cause: err}
	}
	p.mu.Unlock()
	d.finish(c, err)
	if c != nil {
		c.work()
	}
}

// race tries the addresses of m, each a little after the one before, and gives
// the first connection that answers with a hello.
func (n *Net) race(ctx context.Context, m origin.Module, k poolKey) (*conn, error) {
	paths := []Path{k.path}
	if (k.path == Path{}) {
		paths = n.Paths(m)
	}
	if len(paths) == 0 {
		return nil, ErrNoAddress
	}
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		c   *conn
		err error
	}
	results := make(chan result)
	var racers sync.WaitGroup
	start := func(path Path) {
		racers.Go(func() {
			c, err := n.dialPath(ctx, m, k.lane, path)
			if err != nil {
				err = fmt.Errorf("%s: %w", path.Remote, translate(err))
			}
			select {
			case results <- result{c, err}:
			case <-ctx.Done():
				if c != nil {
					c.quic.CloseWithError(codeClosed, "not needed")
				}
			}
		})
	}
	defer racers.Wait()
	defer cancel()

	var last error
	next, running := 0, 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			start(paths[next%len(paths)])
			running++
			next++
			wait := stagger
			if next%len(paths) == 0 {
				wait = max(stagger, roundEvery-stagger*time.Duration(len(paths)-1))
			}
			timer.Reset(wait)
		case r := <-results:
			if r.err == nil {
				return r.c, nil
			}
			running--
			last = r.err
			if running == 0 && next >= len(paths) {
				return nil, last // all have answered, with a refusal
			}
			if next < len(paths) {
				timer.Reset(0)
			}
		case <-ctx.Done():
			if last == nil {
				last = errors.New("no answer")
			}
			return nil, last
		}
	}
}

func (n *Net) dialPath(ctx context.Context, m origin.Module, l lane, path Path) (*conn, error) {
	addr, err := resolve(ctx, path.Remote)
	if err != nil {
		return nil, err
	}
	if path.Local < 0 || path.Local >= len(n.transports) {
		return nil, fmt.Errorf("no local socket %d", path.Local)
	}
	id := n.identity.Load()
	q, err := n.transports[path.Local].quic.Dial(ctx, addr, n.clientTLS(id, m), n.quic)
	if err != nil {
		return nil, err
	}
	version, err := n.greet(ctx, q, l)
	if err != nil {
		// The peer's refusal may be on its way: it says more than our end
		// of the stream does.
		if cause := context.Cause(q.Context()); cause != nil {
			err = cause
		}
		code := quic.ApplicationErrorCode(codeProtocol)
		if errors.Is(err, ErrVersion) {
			code = codeVersion
		}
		q.CloseWithError(code, err.Error())
		return nil, err
	}
	return &conn{n: n, quic: q, peer: m, lane: l, path: path, version: version}, nil
}

// Paths lists the pairs of our sockets and m's addresses that could work:
// both of one address family.
func (n *Net) Paths(m origin.Module) []Path {
	if n.cfg.Addresses == nil {
		return nil
	}
	var l []Path
	for _, a := range n.cfg.Addresses(m) {
		for i, t := range n.transports {
			if fits(t.conn.LocalAddr(), a) {
				l = append(l, Path{i, a})
			}
		}
	}
	return l
}

// Pairs lists the pairs of addresses that links to m should stand on: of one
// address family the i-th of ours with the i-th of m's, the shorter list over
// again. So both ends give the same pairs in the same order.
func (n *Net) Pairs(m origin.Module) []Path {
	if n.cfg.Addresses == nil {
		return nil
	}
	var l []Path
	theirs := n.cfg.Addresses(m)
	for _, v6 := range []bool{false, true} {
		var a []int
		var b []string
		for i, t := range n.transports {
			if isV6(t.conn.LocalAddr().String()) == v6 {
				a = append(a, i)
			}
		}
		for _, x := range theirs {
			if isV6(x) == v6 {
				b = append(b, x)
			}
		}
		if len(a) == 0 || len(b) == 0 {
			continue
		}
		for i := range max(len(a), len(b)) {
			l = append(l, Path{a[i%len(a)], b[i%len(b)]})
		}
	}
	return l
}

func isV6(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.To4() == nil
}

func fits(local net.Addr, remote string) bool {
	u, ok := local.(*net.UDPAddr)
	if !ok || u.IP == nil || u.IP.IsUnspecified() {
		return true
	}
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || (ip.To4() == nil) == (u.IP.To4() == nil)
}

// Drop ends all connections with a module; it may call again at once unless
// Config.Admit refuses it.
func (n *Net) Drop(m origin.Module, reason string) {
	for _, c := range n.peer(m).all() {
		c.quic.CloseWithError(codeRefused, reason)
		c.remove()
	}
}

// Recheck asks Config.Admit again about every connection, and ends those that
// it no longer admits. To be called when members or revocations have changed.
func (n *Net) Recheck() {
	n.mu.Lock()
	peers := make([]*peer, 0, len(n.peers))
	for _, p := range n.peers {
		peers = append(peers, p)
	}
	n.mu.Unlock()
	for _, p := range peers {
		for _, c := range p.all() {
			_, err := n.check(n.identity.Load(), c.quic.ConnectionState().TLS.PeerCertificates)
			if err != nil {
				n.refuse(err, c.quic.RemoteAddr().String())
				c.quic.CloseWithError(codeRefused, strings.TrimPrefix(err.Error(), ErrNotAdmitted.Error()+": "))
				c.remove()
			}
		}
	}
}
