package quicnet

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// Limits for machines that have no certificate.
const (
	maxJoins     = 8 // at a time
	joinTimeout  = 10 * time.Second
	maxJoinFirst = 4 << 10 // bytes of the first message
	// MaxJoinMessage bounds every later message.
	MaxJoinMessage = 1 << 20
)

type joins struct {
	handler atomic.Pointer[func(context.Context, *JoinStream)]
	slots   chan struct{}
}

// A JoinStream is the one conversation of a machine that has no certificate
// yet with a member. It carries messages: a length in four bytes, then so many
// bytes. One goroutine at a time may use it.
type JoinStream struct {
	q         *quic.Conn
	s         *quic.Stream
	deadline  time.Time
	authority *x509.Certificate // at the dialer: the verified one
	meshID    string
	end       func() // what else Close must undo; nil at the server
	first     bool   // no message was read yet, and we are the server
}

// ServeJoin sets who answers machines without a certificate, nil for nobody
// (then such connections are refused in the handshake). At most 8 are served
// at a time. All of it must be over in 10 s unless fn calls Extend. Returning
// ends the conversation after what was sent has arrived.
func (n *Net) ServeJoin(fn func(ctx context.Context, s *JoinStream)) {
	if fn == nil {
		n.joins.handler.Store(nil)
		return
	}
	n.joins.handler.Store(&fn)
}

func (n *Net) serveJoin(q *quic.Conn, addr string) {
	fn := n.joins.handler.Load()
	if fn == nil {
		q.CloseWithError(codeRefused, "joins are not served here")
		return
	}
	select {
	case n.joins.slots <- struct{}{}:
		defer func() { <-n.joins.slots }()
	default:
		n.refuse(fmt.Errorf("%w: %d joins under way", ErrBusy, maxJoins), addr)
		q.CloseWithError(codeBusy, "too many joins at a time")
		return
	}
	deadline := time.Now().Add(joinTimeout)
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	defer context.AfterFunc(n.ctx, func() { q.CloseWithError(codeClosed, "closing") })()
	accept, stop := context.WithDeadline(ctx, deadline)
	s, err := q.AcceptStream(accept)
	stop()
	if err != nil {
		if q.Context().Err() == nil {
			n.refuse(fmt.Errorf("%w: join without a stream: %v", ErrProtocol, err), addr)
		}
		q.CloseWithError(codeProtocol, "no stream")
		return
	}
	js := &JoinStream{q: q, s: s, deadline: deadline, first: true}
	s.SetDeadline(deadline)
	(*fn)(ctx, js)
	// The other end closes the connection when it has read all.
	s.Close()
	t := time.NewTimer(min(2*time.Second, max(0, time.Until(js.deadline))))
	defer t.Stop()
	select {
	case <-q.Context().Done():
	case <-t.C:
	}
	q.CloseWithError(codeClosed, "done")
}

// ReadMessage reads one message of at most max bytes. The server's first one
// is held to 4 KiB whatever max says, since nobody has proven anything yet.
func (s *JoinStream) ReadMessage(max int) ([]byte, error) {
	max = min(max, MaxJoinMessage)
	if s.first {
		max = min(max, maxJoinFirst)
	}
	var head [4]byte
	if _, err := io.ReadFull(s.s, head[:]); err != nil {
		return nil, s.explain(err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if uint64(size) > uint64(max) {
		s.s.CancelRead(codeProtocol)
		return nil, fmt.Errorf("join message: %w: %d bytes of %d", ErrTooLarge, size, max)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(s.s, b); err != nil {
		return nil, s.explain(err)
	}
	s.first = false
	return b, nil
}

// WriteMessage sends one message.
func (s *JoinStream) WriteMessage(b []byte) error {
	if len(b) > MaxJoinMessage {
		return fmt.Errorf("join message: %w: %d bytes of %d", ErrTooLarge, len(b), MaxJoinMessage)
	}
	m := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b)))
	_, err := s.s.Write(append(m, b...))
	return s.explain(err)
}

// explain prefers the reason why the connection ended, if it has.
func (s *JoinStream) explain(err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(s.q.Context()); cause != nil {
		err = cause
	}
	return translate(err)
}

// Extend gives the conversation d more from now on: for a server that has seen
// the proof and must wait for control.
func (s *JoinStream) Extend(d time.Duration) {
	s.deadline = time.Now().Add(d)
	s.s.SetDeadline(s.deadline)
}

// ExportKeyingMaterial gives bytes that the two ends of this connection share
// and nobody else can know (RFC 8446 section 7.5). A secret proven by a MAC
// over them cannot be relayed by a machine in the middle.
func (s *JoinStream) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	st := s.q.ConnectionState().TLS
	return st.ExportKeyingMaterial(label, context, length)
}

// Authority is, at the joiner, the verified certificate of the authority that
// was pinned, to be kept; nil at the server.
func (s *JoinStream) Authority() *x509.Certificate { return s.authority }

// MeshID is, at the joiner, the mesh of that authority.
func (s *JoinStream) MeshID() string { return s.meshID }

// RemoteAddr is the other end's address.
func (s *JoinStream) RemoteAddr() net.Addr { return s.q.RemoteAddr() }

// Close ends the conversation. Unread bytes that we sent may be lost, so the
// joiner closes after the answer; the server just returns.
func (s *JoinStream) Close() error {
	s.s.Close()
	err := s.q.CloseWithError(codeClosed, "done")
	if s.end != nil {
		s.end()
	}
	return err
}

// DialJoin connects to a member at addr, as a machine without a certificate.
// fingerprint is the SHA-256 of the authority's certificate, as Fingerprint
// gives it: any other authority is ErrWrongAuthority. conn is the socket to
// use, and is closed with the stream; nil for a new one.
func DialJoin(ctx context.Context, addr, fingerprint string, conn net.PacketConn) (*JoinStream, error) {
	s, err := dialJoin(ctx, addr, fingerprint, conn)
	if err != nil {
		return nil, fmt.Errorf("join at %s: %w", addr, err)
	}
	return s, nil
}

func dialJoin(ctx context.Context, addr, fingerprint string, conn net.PacketConn) (_ *JoinStream, err error) {
	pin, err := hex.DecodeString(strings.ToLower(strings.ReplaceAll(fingerprint, ":", "")))
	if err == nil && len(pin) != sha256.Size {
		err = errors.New("it is not 64 hexadecimal digits")
	}
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, fmt.Errorf("authority fingerprint %.80q: %w", fingerprint, err)
	}
	if conn == nil {
		if conn, err = net.ListenPacket("udp", ":0"); err != nil {
			return nil, err
		}
	}
	tr := &quic.Transport{Conn: conn}
	end := func() {
		tr.Close()
		conn.Close()
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	to, err := resolve(ctx, addr)
	if err != nil {
		return nil, err
	}
	js := &JoinStream{end: end}
	tc := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpnJoin},
		SessionTicketsDisabled: true,
		InsecureSkipVerify:     true, // VerifyConnection does it, by the pin
		VerifyConnection: func(s tls.ConnectionState) error {
			var err error
			js.authority, js.meshID, err = verifyPinned(s.PeerCertificates, [32]byte(pin))
			return err
		},
	}
	cfg := quicConfig(Config{IdleTimeout: 10 * time.Second, KeepAlive: 2 * time.Second})
	cfg.MaxIncomingStreams = -1
	cfg.EnableDatagrams = false
	if js.q, err = tr.Dial(ctx, to, tc, cfg); err != nil {
		return nil, translate(err)
	}
	if js.s, err = js.q.OpenStreamSync(ctx); err != nil {
		js.q.CloseWithError(codeClosed, "")
		return nil, translate(err)
	}
	if d, ok := ctx.Deadline(); ok {
		js.s.SetDeadline(d)
	}
	return js, nil
}

// verifyPinned finds the pinned authority in the chain that the server sent,
// and verifies the server's certificate by it alone.
func verifyPinned(certs []*x509.Certificate, pin [32]byte) (*x509.Certificate, string, error) {
	if len(certs) == 0 {
		return nil, "", ErrNoCertificate
	}
	for _, c := range certs[1:] {
		if sha256.Sum256(c.Raw) != pin {
			continue
		}
		meshID, err := AuthorityMesh(c)
		if err != nil {
			return nil, "", err
		}
		id := &identity{meshID: meshID, roots: x509.NewCertPool()}
		id.roots.AddCert(c)
		if _, err := id.verify(certs[:1]); err != nil {
			return nil, "", err
		}
		return c, meshID, nil
	}
	return nil, "", fmt.Errorf("%w: the member at this address has another authority than the token names", ErrWrongAuthority)
}
