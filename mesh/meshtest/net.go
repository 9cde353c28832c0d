// Package meshtest has what tests of the mesh stand on: a network in memory
// that can be cut, blocked, slowed and throttled, and modules that write, keep
// and check txns in slices.
//
// All of it works in a testing/synctest bubble, in virtual time: a Net never
// uses a goroutine of its own but for handlers, and waits on condition
// variables only.
package meshtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// Handler takes a stream that another module opened.
type Handler = func(ctx context.Context, peer origin.Module, c net.Conn)

// Net is a network in memory. Two modules have one line between them, or as
// many as Lines says; where a method takes no line it means all of them. Every
// method may be called by any goroutine.
type Net struct {
	mu     sync.Mutex // protects everything, streams too
	rules  map[pair]*rule
	lines  map[pair]int // of the lower number to the greater; 1 if none
	hosts  map[origin.Module]map[quicnet.Kind]Handler
	open   map[*conn]bool
	closed bool
	wg     sync.WaitGroup // handlers
}

type pair struct {
	from, to origin.Module
	line     int
}

func between(a, b origin.Module) pair { return pair{from: min(a, b), to: max(a, b)} }

// rule is how bytes fare from one module to another.
type rule struct {
	cut   bool
	hole  bool
	delay time.Duration
	rate  int // bytes per second; 0: any
	bytes int64
	free  time.Time // when the line has sent what was given to it
}

// NewNet makes a network without modules, links or delays.
func NewNet() *Net {
	return &Net{rules: map[pair]*rule{}, lines: map[pair]int{}, hosts: map[origin.Module]map[quicnet.Kind]Handler{}, open: map[*conn]bool{}}
}

// Lines sets how many lines there are between two modules: pairs of addresses,
// numbered from 0.
func (n *Net) Lines(a, b origin.Module, lines int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines[between(a, b)] = lines
}

// every is all lines of two modules.
const every = -1

func (n *Net) count(a, b origin.Module) int { return max(1, n.lines[between(a, b)]) }

func (n *Net) rule(from, to origin.Module, line int) *rule {
	p := pair{from, to, line}
	if n.rules[p] == nil {
		n.rules[p] = &rule{}
	}
	return n.rules[p]
}

// change sets the rules of both directions.
func (n *Net) change(a, b origin.Module, line int, fn func(*rule)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.count(a, b) {
		if i == line || line == every {
			fn(n.rule(a, b, i))
			fn(n.rule(b, a, i))
		}
	}
	for c := range n.open {
		c.wake()
	}
}

// Cut breaks all streams between two modules, and lets none be opened.
func (n *Net) Cut(a, b origin.Module) { n.CutLine(a, b, every) }

// CutLine is Cut for one line.
func (n *Net) CutLine(a, b origin.Module, line int) {
	n.change(a, b, line, func(r *rule) { r.cut = true })
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		if c.is(a, b) && (c.line == line || line == every) {
			c.reset(errCut)
		}
	}
}

// Heal takes back Cut and Block.
func (n *Net) Heal(a, b origin.Module) { n.HealLine(a, b, every) }

// HealLine is Heal for one line.
func (n *Net) HealLine(a, b origin.Module, line int) {
	n.change(a, b, line, func(r *rule) { r.cut, r.hole = false, false })
}

// Block lets nothing through from one module to another, without a sign to
// either; what was sent comes after Heal.
func (n *Net) Block(from, to origin.Module) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.count(from, to) {
		n.rule(from, to, i).hole = true
	}
}

// BlockLine lets nothing through over one line, either way.
func (n *Net) BlockLine(a, b origin.Module, line int) {
	n.change(a, b, line, func(r *rule) { r.hole = true })
}

// Slow sets how long bytes take each way between two modules, and how many may
// pass in a second (0: any number).
func (n *Net) Slow(a, b origin.Module, delay time.Duration, rate int) {
	n.SlowLine(a, b, every, delay, rate)
}

// SlowLine is Slow for one line.
func (n *Net) SlowLine(a, b origin.Module, line int, delay time.Duration, rate int) {
	n.change(a, b, line, func(r *rule) { r.delay, r.rate = delay, rate })
}

// Sent is how many bytes were written from one module to another.
func (n *Net) Sent(from, to origin.Module) (bytes int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.count(from, to) {
		bytes += n.rule(from, to, i).bytes
	}
	return bytes
}

// SentLine is Sent over one line.
func (n *Net) SentLine(from, to origin.Module, line int) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rule(from, to, line).bytes
}

// Crash breaks all streams of a module and forgets its handlers.
func (n *Net) Crash(m origin.Module) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.hosts, m)
	for c := range n.open {
		if c.local == m || c.remote == m {
			c.reset(errCut)
		}
	}
}

// Close breaks all streams and waits for the handlers.
func (n *Net) Close() {
	n.mu.Lock()
	n.closed = true
	for c := range n.open {
		c.reset(errCut)
	}
	n.mu.Unlock()
	n.wg.Wait()
}

// Host is a module's end of a network; it implements mesh.Network.
type Host struct {
	n  *Net
	me origin.Module
}

// Host gives a module's end.
func (n *Net) Host(m origin.Module) *Host { return &Host{n, m} }

// Handle sets who takes streams of a kind.
func (h *Host) Handle(k quicnet.Kind, fn Handler) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	if h.n.hosts[h.me] == nil {
		h.n.hosts[h.me] = map[quicnet.Kind]Handler{}
	}
	h.n.hosts[h.me][k] = fn
}

// RTT is the round trip to a module, over its first line.
func (h *Host) RTT(m origin.Module) time.Duration {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	return h.n.rule(h.me, m, 0).delay + h.n.rule(m, h.me, 0).delay
}

// Pairs lists the lines to a module.
func (h *Host) Pairs(m origin.Module) []quicnet.Path {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	var l []quicnet.Path
	for i := range h.n.count(h.me, m) {
		l = append(l, quicnet.Path{Local: i, Remote: fmt.Sprintf("%d/%d", m, i)})
	}
	return l
}

var (
	errCut    = errors.New("connection was lost")
	errReset  = errors.New("stream was reset")
	errClosed = errors.New("stream is closed here")
)

// Open opens a stream, over the first line that lets it. It fails after the
// time that a dial would take.
func (h *Host) Open(ctx context.Context, m origin.Module, k quicnet.Kind) (net.Conn, error) {
	n := h.n
	n.mu.Lock()
	line := 0
	for i := range n.count(h.me, m) {
		if a, b := n.rule(h.me, m, i), n.rule(m, h.me, i); !a.cut && !a.hole && !b.hole {
			line = i
			break
		}
	}
	n.mu.Unlock()
	return h.open(ctx, m, line, k)
}

// OpenPath opens a stream over one line.
func (h *Host) OpenPath(ctx context.Context, m origin.Module, p quicnet.Path, k quicnet.Kind) (net.Conn, error) {
	return h.open(ctx, m, p.Local, k)
}

func (h *Host) open(ctx context.Context, m origin.Module, line int, k quicnet.Kind) (net.Conn, error) {
	n := h.n
	n.mu.Lock()
	out, in := n.rule(h.me, m, line), n.rule(m, h.me, line)
	blocked := out.hole || in.hole
	n.mu.Unlock()
	if blocked {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	fn := n.hosts[m][k]
	if n.closed || out.cut || in.cut || fn == nil {
		return nil, fmt.Errorf("module %d is not reachable from %d", m, h.me)
	}
	a := &conn{n: n, local: h.me, remote: m, line: line, out: out}
	b := &conn{n: n, local: m, remote: h.me, line: line, out: in}
	a.peer, b.peer = b, a
	a.cond, b.cond = sync.NewCond(&n.mu), sync.NewCond(&n.mu)
	n.open[a], n.open[b] = true, true
	hctx, cancel := context.WithCancel(context.Background())
	a.lost, b.lost = cancel, cancel
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		defer cancel()
		fn(hctx, h.me, b)
	}()
	return a, nil
}

// window is how much may be under way in a stream.
const window = 256 << 10

// conn is one end of a stream.
type conn struct {
	n             *Net
	local, remote origin.Module
	line          int
	peer          *conn
	out           *rule
	cond          *sync.Cond // of n.mu
	lost          func()     // the connection under the stream is gone

	queue           []segment // to be read here
	queued          int
	err             error // reset
	eof, shut       bool  // the other will write, we will write no more
	readBy, writeBy time.Time
}

type segment struct {
	at time.Time
	b  []byte
}

func (c *conn) is(a, b origin.Module) bool {
	return c.local == a && c.remote == b || c.local == b && c.remote == a
}

func (c *conn) wake() { c.cond.Broadcast() }

// until wakes those who wait here at a time.
func (c *conn) until(t time.Time) {
	time.AfterFunc(time.Until(t), func() {
		c.n.mu.Lock()
		c.wake()
		c.n.mu.Unlock()
	})
}

func (c *conn) reset(err error) {
	for _, x := range []*conn{c, c.peer} {
		if x.err == nil {
			x.err = err
		}
		x.queue, x.queued = nil, 0
		delete(c.n.open, x)
		x.wake()
	}
	if err == errCut {
		c.lost()
	}
}

func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (c *conn) Read(b []byte) (int, error) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	for {
		switch {
		case c.err != nil:
			return 0, c.err
		case past(c.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(c.queue) > 0 && !c.peer.out.hole && !time.Now().Before(c.queue[0].at):
			n := copy(b, c.queue[0].b)
			if c.queue[0].b = c.queue[0].b[n:]; len(c.queue[0].b) == 0 {
				c.queue = c.queue[1:]
			}
			c.queued -= n
			c.peer.wake()
			return n, nil
		case len(c.queue) == 0 && c.eof:
			return 0, io.EOF
		}
		c.cond.Wait()
	}
}

func (c *conn) Write(b []byte) (int, error) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	n := 0
	for {
		switch {
		case c.err != nil:
			return n, c.err
		case c.shut:
			return n, errClosed
		case past(c.writeBy):
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			return n, nil
		case c.peer.queued < window:
			k := min(len(b), window-c.peer.queued)
			if c.out.rate > 0 {
				k = min(k, 4096)
			}
			now := time.Now()
			at := now
			if c.out.rate > 0 {
				if c.out.free.Before(now) {
					c.out.free = now
				}
				c.out.free = c.out.free.Add(time.Duration(k) * time.Second / time.Duration(c.out.rate))
				at = c.out.free
			}
			if at = at.Add(c.out.delay); at.After(now) {
				c.peer.until(at)
			}
			c.peer.queue = append(c.peer.queue, segment{at, append([]byte(nil), b[:k]...)})
			c.peer.queued += k
			c.out.bytes += int64(k)
			b, n = b[k:], n+k
			c.peer.wake()
			continue
		}
		c.cond.Wait()
	}
}

// Close ends both directions; what was written still arrives.
func (c *conn) Close() error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.shut, c.peer.eof = true, true
	if c.peer.shut {
		delete(c.n.open, c)
		delete(c.n.open, c.peer)
	}
	if c.err == nil {
		c.err = errClosed
	}
	c.wake()
	c.peer.wake()
	return nil
}

// RTT is the round trip of the line.
func (c *conn) RTT() time.Duration {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	return c.out.delay + c.peer.out.delay
}

// Reset gives up both directions at once.
func (c *conn) Reset() {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.reset(errReset)
}

func (c *conn) set(t time.Time, where ...*time.Time) error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	for _, w := range where {
		*w = t
	}
	if !t.IsZero() && t.After(time.Now()) {
		c.until(t)
	}
	c.wake()
	return nil
}

func (c *conn) SetDeadline(t time.Time) error      { return c.set(t, &c.readBy, &c.writeBy) }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.set(t, &c.readBy) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.set(t, &c.writeBy) }
func (c *conn) LocalAddr() net.Addr                { return addr(c.local) }
func (c *conn) RemoteAddr() net.Addr               { return addr(c.remote) }

type addr origin.Module

func (a addr) Network() string { return "memory" }
func (a addr) String() string  { return fmt.Sprint(origin.Module(a)) }
