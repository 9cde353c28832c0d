package quicnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"drmesh/origin"
)

// A Path is one way to a module: a socket of ours (its place in Addrs) and an
// address of the peer. The zero Path means any.
type Path struct {
	Local  int
	Remote string
}

func (p Path) String() string {
	if p.Remote == "" {
		return "any"
	}
	return fmt.Sprintf("%d>%s", p.Local, p.Remote)
}

// conn is one connection, dialed or accepted, after the hellos.
type conn struct {
	n       *Net
	quic    *quic.Conn
	peer    origin.Module
	lane    lane
	path    Path
	version uint16
	since   time.Time
	out     chan []byte // datagrams; bounded, dropped when full
}

// The hello is the first stream of a connection, opened by the dialer: twelve
// bytes there, twelve back. See docs/formats/net.md.
const (
	helloSize  = 12
	helloMagic = "DRMH"
)

func helloBytes(a, b, c uint16, d byte) []byte {
	m := make([]byte, 0, helloSize)
	m = append(m, helloMagic...)
	m = binary.BigEndian.AppendUint16(m, a)
	m = binary.BigEndian.AppendUint16(m, b)
	m = binary.BigEndian.AppendUint16(m, c)
	return append(m, d, 0)
}

func parseHello(m []byte) (a, b, c uint16, d byte, err error) {
	if string(m[:4]) != helloMagic {
		return 0, 0, 0, 0, fmt.Errorf("%w: hello begins with % x", ErrProtocol, m[:4])
	}
	return binary.BigEndian.Uint16(m[4:]), binary.BigEndian.Uint16(m[6:]), binary.BigEndian.Uint16(m[8:]), m[10], nil
}

// choose gives the greatest version that both ends speak.
func (n *Net) choose(theirMin, theirMax uint16) (uint16, error) {
	v := min(n.cfg.MaxVersion, theirMax)
	if v < n.cfg.MinVersion || v < theirMin {
		return 0, &VersionError{n.cfg.MinVersion, n.cfg.MaxVersion, theirMin, theirMax}
	}
	return v, nil
}

// greet is the dialer's side of the hellos.
func (n *Net) greet(ctx context.Context, q *quic.Conn, l lane) (uint16, error) {
	s, err := q.OpenStreamSync(ctx)
	if err != nil {
		return 0, err
	}
	deadline := time.Now().Add(helloTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	s.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := s.Write(helloBytes(n.cfg.MinVersion, n.cfg.MaxVersion, 0, byte(l))); err != nil {
		return 0, err
	}
	s.Close()
	var m [helloSize]byte
	if _, err := io.ReadFull(s, m[:]); err != nil {
		return 0, err
	}
	theirMin, theirMax, chosen, _, err := parseHello(m[:])
	if err != nil {
		return 0, err
	}
	if chosen == 0 || chosen < n.cfg.MinVersion || chosen > n.cfg.MaxVersion {
		return 0, &VersionError{n.cfg.MinVersion, n.cfg.MaxVersion, theirMin, theirMax}
	}
	return chosen, nil
}

// answer is the other side of the hellos.
func (n *Net) answer(q *quic.Conn) (version uint16, l lane, err error) {
	ctx, cancel := context.WithTimeout(n.ctx, helloTimeout)
	defer cancel()
	s, err := q.AcceptStream(ctx)
	if err != nil {
		return 0, 0, err
	}
	s.SetDeadline(time.Now().Add(helloTimeout))
	var m [helloSize]byte
	if _, err := io.ReadFull(s, m[:]); err != nil {
		return 0, 0, err
	}
	s.CancelRead(codeClosed)
	theirMin, theirMax, _, b, err := parseHello(m[:])
	if err != nil {
		return 0, 0, err
	}
	version, verr := n.choose(theirMin, theirMax)
	if _, err := s.Write(helloBytes(n.cfg.MinVersion, n.cfg.MaxVersion, version, 0)); err != nil {
		return 0, 0, err
	}
	s.Close()
	if verr != nil {
		// Let the dialer read why, and close.
		select {
		case <-q.Context().Done():
		case <-ctx.Done():
		}
		return 0, 0, verr
	}
	if lane(b) != laneBulk {
		b = byte(laneControl)
	}
	return version, lane(b), nil
}

// serve runs an accepted connection until it ends.
func (n *Net) serve(t *transport, q *quic.Conn) {
	state := q.ConnectionState().TLS
	addr := q.RemoteAddr().String()
	if state.NegotiatedProtocol == alpnJoin {
		n.serveJoin(q, addr)
		return
	}
	// TLS has verified this already; once more, because what Admit says may
	// have changed since, and because the number must come from here alone.
	m, err := n.check(n.identity.Load(), state.PeerCertificates)
	if err == nil && m == n.Self() {
		err = fmt.Errorf("%w: module %d is this one", ErrNotAdmitted, m)
	}
	if err != nil {
		n.refuse(err, addr)
		q.CloseWithError(codeRefused, err.Error())
		return
	}
	version, l, err := n.answer(q)
	if err != nil {
		code := quic.ApplicationErrorCode(codeProtocol)
		if errors.Is(err, ErrVersion) {
			code = codeVersion
		}
		if q.Context().Err() == nil || errors.Is(err, ErrVersion) {
			n.refuse(protocolError(err), addr)
		}
		q.CloseWithError(code, err.Error())
		return
	}
	c := &conn{n: n, quic: q, peer: m, lane: l, path: Path{t.index, addr}, version: version}
	c.run()
}

func protocolError(err error) error {
	if errors.Is(err, ErrVersion) || errors.Is(err, ErrProtocol) {
		return err
	}
	return fmt.Errorf("%w: no hello: %v", ErrProtocol, err)
}

// run adds c to the pool and works for it until the connection ends.
func (c *conn) run() {
	c.add()
	c.work()
}

// add makes c usable by Open.
func (c *conn) add() {
	c.since = time.Now()
	c.out = make(chan []byte, datagramQueue)
	c.n.peer(c.peer).add(c)
}

func (c *conn) work() {
	if c.n.ctx.Err() != nil {
		c.quic.CloseWithError(codeClosed, "closing") // Close may have missed it
	}
	sent := make(chan struct{})
	received := make(chan struct{})
	go func() {
		defer close(sent)
		c.sendDatagrams()
	}()
	go func() {
		defer close(received)
		c.receiveDatagrams()
	}()
	for {
		s, err := c.quic.AcceptStream(c.quic.Context())
		if err != nil {
			break
		}
		if !c.n.spawn(func() { c.dispatch(s) }) {
			s.CancelRead(codeClosed)
			s.CancelWrite(codeClosed)
		}
	}
	c.quic.CloseWithError(codeClosed, "closing")
	c.remove()
	<-sent
	<-received
}

// The preface is what every stream after the hello begins with.
const (
	prefaceSize  = 4
	prefaceMagic = 'd'
)

func (c *conn) open(ctx context.Context, kind Kind) (Stream, error) {
	q, err := c.quic.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := q.Write([]byte{prefaceMagic, byte(c.version), byte(kind), 0}); err != nil {
		q.CancelRead(codeClosed)
		q.CancelWrite(codeClosed)
		return nil, err
	}
	return &stream{q, c, kind}, nil
}

// dispatch reads the preface of a stream that the peer opened, and hands it on.
func (c *conn) dispatch(q *quic.Stream) {
	var p [prefaceSize]byte
	q.SetReadDeadline(time.Now().Add(prefaceTimeout))
	_, err := io.ReadFull(q, p[:])
	q.SetReadDeadline(time.Time{})
	kind := Kind(p[2])
	var code quic.StreamErrorCode = codeProtocol
	switch {
	case err != nil:
		if c.quic.Context().Err() != nil {
			return
		}
		var gone *quic.StreamError
		if errors.As(err, &gone) && gone.Remote && gone.ErrorCode == codeClosed {
			// It was not wanted any more before its preface came: a reset lets
			// what is under way go.
			q.CancelRead(codeClosed)
			q.CancelWrite(codeClosed)
			return
		}
		err = fmt.Errorf("%w: stream without preface: %v", ErrProtocol, err)
	case p[0] != prefaceMagic || uint16(p[1]) != c.version:
		err = fmt.Errorf("%w: stream begins with % x", ErrProtocol, p[:])
	default:
		h := c.n.handlers[kind].Load()
		if h != nil {
			(*h)(c.quic.Context(), c.peer, &stream{q, c, kind})
			return
		}
		code = codeKind
		err = fmt.Errorf("%w: %v, from module %d", ErrKind, kind, c.peer)
	}
	c.n.refuse(err, c.quic.RemoteAddr().String())
	q.CancelRead(code)
	q.CancelWrite(code)
}

// ErrNotConnected is what SendDatagram says when it dropped b; a connection is
// being made.
var ErrNotConnected = errors.New("not connected")

// SendDatagram sends b, at most MaxDatagram bytes, to a peer: at most once, in
// no order, and not at all unless connected with room to spare. It never
// blocks. b may be reused at once.
func (n *Net) SendDatagram(peer origin.Module, b []byte) error {
	if len(b) > MaxDatagram {
		return fmt.Errorf("datagram to module %d: %w: %d bytes of %d", peer, ErrTooLarge, len(b), MaxDatagram)
	}
	c := n.peer(peer).pick(poolKey{lane: laneControl})
	if c == nil {
		if _, err := n.startDial(peer, poolKey{lane: laneControl}); err != nil {
			return err
		}
		return ErrNotConnected
	}
	select {
	case c.out <- append([]byte(nil), b...):
		return nil
	default:
		return fmt.Errorf("datagram to module %d: %w", peer, ErrBusy)
	}
}

func (c *conn) sendDatagrams() {
	done := c.quic.Context().Done()
	for {
		select {
		case b := <-c.out:
			// QUIC's own queue blocks when the path is full, and a failure
			// means too large or closed: both are a loss like any other.
			_ = c.quic.SendDatagram(b)
		case <-done:
			return
		}
	}
}

func (c *conn) receiveDatagrams() {
	for {
		b, err := c.quic.ReceiveDatagram(c.quic.Context())
		if err != nil {
			return
		}
		if fn := c.n.datagrams.Load(); fn != nil {
			(*fn)(c.peer, b)
		}
	}
}

// resolve turns host:port into an address; literals need no name service.
func resolve(ctx context.Context, addr string) (net.Addr, error) {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return net.UDPAddrFromAddrPort(ap), nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	p, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		if ip.Unmap().Is4() {
			return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), uint16(p))), nil
		}
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("no address for %s", host)
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ips[0], uint16(p))), nil
}
