package member

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"drmesh/origin"
)

// fakePort stands where memberlist wants a port.
const fakePort = 1

// fakeIP is what memberlist takes for a module's address: an address of the
// private range fd00::/8 that holds instance and number. It is on no network.
func fakeIP(m origin.Module, instance uint64) net.IP {
	ip := make(net.IP, 16)
	copy(ip, "\xfddrm")
	binary.BigEndian.PutUint64(ip[4:], instance)
	binary.BigEndian.PutUint32(ip[12:], uint32(m))
	return ip
}

func fakeAddr(m origin.Module, instance uint64) string {
	return net.JoinHostPort(fakeIP(m, instance).String(), strconv.Itoa(fakePort))
}

func parseIP(ip net.IP) (m origin.Module, instance uint64, ok bool) {
	if len(ip) != 16 || string(ip[:4]) != "\xfddrm" {
		return 0, 0, false
	}
	return origin.Module(binary.BigEndian.Uint32(ip[12:])), binary.BigEndian.Uint64(ip[4:]), true
}

// parseAddr finds the module in what memberlist wants to send to.
func parseAddr(a memberlist.Address) (origin.Module, error) {
	if m := number(a.Name); m != 0 {
		return m, nil
	}
	host, _, err := net.SplitHostPort(a.Addr)
	if err == nil {
		if m, _, ok := parseIP(net.ParseIP(host)); ok && m != 0 {
			return m, nil
		}
	}
	return 0, fmt.Errorf("%q names no module", a.Addr)
}

// transport gives memberlist our network. Both queues are bounded, and what
// does not fit is dropped.
type transport struct {
	self     origin.Module
	instance uint64
	network  Network
	packets  chan *memberlist.Packet
	streams  chan net.Conn
	ctx      context.Context
	cancel   context.CancelFunc

	mu     sync.Mutex
	closed bool
	open   map[*conn]bool
	served sync.WaitGroup
	sent   time.Time
}

func newTransport(self origin.Module, instance uint64, n Network) *transport {
	t := &transport{
		self: self, instance: instance, network: n,
		packets: make(chan *memberlist.Packet, 256),
		streams: make(chan net.Conn, 8),
		open:    map[*conn]bool{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return fakeIP(t.self, t.instance), fakePort, nil
}

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress reports no failure of sending: to memberlist a loss is a
// packet without an answer, which it is there to judge.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	m, err := parseAddr(a)
	if err != nil {
		return time.Time{}, err
	}
	now := time.Now()
	t.mu.Lock()
	t.sent = now
	closed := t.closed
	t.mu.Unlock()
	if closed {
		return time.Time{}, net.ErrClosed
	}
	_ = t.network.SendDatagram(m, b)
	return now, nil
}

func (t *transport) lastSend() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streams }

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	m, err := parseAddr(a)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	c, err := t.network.OpenStream(ctx, m)
	if err != nil {
		return nil, err
	}
	if w := t.track(m, c); w != nil {
		return w, nil
	}
	c.Close()
	return nil, net.ErrClosed
}

// Messages that begin so are compressed, encrypted or labelled: nobody here
// sends them, and nobody's decoder should meet them.
func foreign(first byte) bool { return first == 9 || first == 10 || first == 244 }

func (t *transport) packet(peer origin.Module, b []byte) {
	if len(b) == 0 || len(b) > MaxPacket+100 || foreign(b[0]) {
		return
	}
	t.mu.Lock()
	closed := t.closed
	t.mu.Unlock()
	if closed {
		return
	}
	select {
	case t.packets <- &memberlist.Packet{Buf: b, From: addr(peer), Timestamp: time.Now()}:
	default:
	}
}

func (t *transport) stream(peer origin.Module, c net.Conn) {
	w := t.track(peer, c)
	if w == nil {
		c.Close()
		return
	}
	select {
	case t.streams <- w:
	default:
		w.Close()
	}
}

// track puts a stream on the list of open ones; nil: it is too late.
func (t *transport) track(peer origin.Module, c net.Conn) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	w := &conn{Conn: c, t: t, peer: peer, first: true}
	t.open[w] = true
	t.served.Add(1)
	return w
}

// Shutdown implements memberlist.Transport. Streams are ended here, and closed
// by whoever works on them.
func (t *transport) Shutdown() error {
	t.cancel()
	t.mu.Lock()
	t.closed = true
	open := make([]*conn, 0, len(t.open))
	for c := range t.open {
		open = append(open, c)
	}
	t.mu.Unlock()
	for _, c := range open {
		c.Conn.SetDeadline(time.Unix(1, 0))
		c.Conn.Close()
	}
	return nil
}

// wait returns when memberlist has let go of all streams.
func (t *transport) wait() {
	for {
		select {
		case c := <-t.streams: // never taken
			c.Close()
			continue
		default:
		}
		break
	}
	t.served.Wait()
}

type conn struct {
	net.Conn
	t     *transport
	peer  origin.Module
	once  sync.Once
	first bool // nothing was read yet; used by the one reader
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.first {
		c.first = false
		if foreign(b[0]) {
			c.Conn.Close()
			return 0, fmt.Errorf("gossip from module %d: message of kind %d", c.peer, b[0])
		}
	}
	return n, err
}

func (c *conn) RemoteAddr() net.Addr { return addr(c.peer) }

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.t.mu.Lock()
		delete(c.t.open, c)
		c.t.mu.Unlock()
		c.t.served.Done()
	})
	return err
}

// addr is a peer as memberlist sees it in a packet: it parses it again when it
// answers.
type addr origin.Module

func (addr) Network() string  { return "mesh" }
func (a addr) String() string { return fakeAddr(origin.Module(a), 0) }
