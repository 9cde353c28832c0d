package quicnet

import (
	"context"
	"net"
	"time"

	"github.com/quic-go/quic-go"

	"drmesh/origin"
)

// A Stream is one ordered, reliable, flow-controlled conversation with a peer.
// It is a net.Conn; one goroutine may read while another writes.
type Stream interface {
	net.Conn // Close ends both directions; what was written still arrives
	// CloseWrite tells the peer that nothing more comes; reading goes on.
	CloseWrite() error
	// CancelRead tells the peer that we read no more.
	CancelRead()
	// Reset gives up both directions at once; what was written may be lost.
	Reset()
	Peer() origin.Module
	Kind() Kind
	// Path is the pair of addresses that the stream runs on.
	Path() Path
	// Version is the protocol version agreed on for the connection.
	Version() uint16
	// RTT is the smoothed round trip of the connection.
	RTT() time.Duration
	// Done ends with the connection under the stream.
	Done() <-chan struct{}
}

type stream struct {
	q    *quic.Stream
	c    *conn
	kind Kind
}

func (s *stream) Read(b []byte) (int, error)         { return s.q.Read(b) }
func (s *stream) Write(b []byte) (int, error)        { return s.q.Write(b) }
func (s *stream) CloseWrite() error                  { return s.q.Close() }
func (s *stream) CancelRead()                        { s.q.CancelRead(codeClosed) }
func (s *stream) SetDeadline(t time.Time) error      { return s.q.SetDeadline(t) }
func (s *stream) SetReadDeadline(t time.Time) error  { return s.q.SetReadDeadline(t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.q.SetWriteDeadline(t) }
func (s *stream) LocalAddr() net.Addr                { return s.c.quic.LocalAddr() }
func (s *stream) RemoteAddr() net.Addr               { return s.c.quic.RemoteAddr() }
func (s *stream) Peer() origin.Module                { return s.c.peer }
func (s *stream) Kind() Kind                         { return s.kind }
func (s *stream) Path() Path                         { return s.c.path }
func (s *stream) Version() uint16                    { return s.c.version }
func (s *stream) RTT() time.Duration                 { return s.c.quic.ConnectionStats().SmoothedRTT }
func (s *stream) Done() <-chan struct{}              { return s.c.quic.Context().Done() }

func (s *stream) Close() error {
	s.q.CancelRead(codeClosed)
	return s.q.Close()
}

func (s *stream) Reset() {
	s.q.CancelRead(codeClosed)
	s.q.CancelWrite(codeClosed)
}

// Open opens a stream to a peer over a pooled connection, which is made first
// when there is none. While a peer that could not be reached is left alone for
// a while (50 ms to 5 s, growing), Open fails at once with a DialError.
func (n *Net) Open(ctx context.Context, peer origin.Module, kind Kind) (Stream, error) {
	return n.OpenPath(ctx, peer, Path{}, kind)
}

// OpenPath is Open on one certain pair of addresses; see Paths.
func (n *Net) OpenPath(ctx context.Context, peer origin.Module, path Path, kind Kind) (Stream, error) {
	for again := false; ; again = true {
		c, err := n.connect(ctx, peer, poolKey{kind.lane(), path})
		if err != nil {
			return nil, err
		}
		s, err := c.open(ctx, kind)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// The connection may have died unnoticed since the last use: that is
		// worth one fresh one.
		if again || c.quic.Context().Err() == nil {
			return nil, &DialError{Peer: peer, Cause: translate(err)}
		}
		c.remove()
	}
}
