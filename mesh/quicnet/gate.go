package quicnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// Limits on handshakes of peers that have proven nothing yet. A whole mesh
// that comes back at once stays far below them.
const (
	maxHandshakes        = 256 // under way on all sockets
	maxHandshakesAddress = 32  // under way from one address
	// validateAbove is the number under way from which an address must prove
	// that it receives (QUIC's Retry) before any state is kept for it.
	validateAbove = 32
)

// A gate counts handshakes under way.
type gate struct {
	mu     sync.Mutex
	total  int
	byAddr map[string]int
}

type ticket struct {
	g    *gate
	host string
	once sync.Once
}

type ticketKey struct{}

func (g *gate) enter(host string) (*ticket, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= maxHandshakes {
		return nil, fmt.Errorf("%w: %d handshakes under way", errFlood, g.total)
	}
	if g.byAddr[host] >= maxHandshakesAddress {
		return nil, fmt.Errorf("%w: %d handshakes under way from one address", errFlood, g.byAddr[host])
	}
	g.total++
	g.byAddr[host]++
	return &ticket{g: g, host: host}, nil
}

func (t *ticket) leave() {
	t.once.Do(func() {
		t.g.mu.Lock()
		defer t.g.mu.Unlock()
		t.g.total--
		if t.g.byAddr[t.host]--; t.g.byAddr[t.host] == 0 {
			delete(t.g.byAddr, t.host)
		}
	})
}

// loaded tells quic-go to validate addresses.
func (g *gate) loaded(net.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total >= validateAbove
}

var errFlood = errors.New("too many handshakes")

// connContext is called for each new connection before any cryptography.
func (n *Net) connContext(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	t, err := n.gate.enter(hostOf(info.RemoteAddr.String()))
	if err != nil {
		n.refuse(err, info.RemoteAddr.String())
		return nil, err
	}
	context.AfterFunc(ctx, t.leave)
	return context.WithValue(ctx, ticketKey{}, t), nil
}

// reasons are the keys of Refused, in the order in which they are tried.
var reasons = []struct {
	err  error
	name string
}{
	{ErrNoCertificate, "no certificate"},
	{ErrExpired, "expired"},
	{ErrWrongAuthority, "wrong authority"},
	{ErrWrongMesh, "wrong mesh"},
	{ErrBadCertificate, "bad certificate"},
	{ErrWrongPeer, "wrong peer"},
	{ErrNotAdmitted, "not admitted"},
	{ErrVersion, "version"},
	{ErrBusy, "busy"},
	{ErrKind, "kind"},
	{errFlood, "flood"},
	{ErrTooLarge, "too large"},
	{ErrProtocol, "protocol"},
}

// refusals counts what was turned away, and logs each (reason, address) once a
// minute at most, and no more than some lines a minute in all, since addresses
// are cheap. It remembers a bounded number of addresses.
type refusals struct {
	mu     sync.Mutex
	counts map[string]uint64
	logged map[string]time.Time
	lines  int       // logged since minute
	minute time.Time // when lines was last 0
}

const (
	relogAfter    = time.Minute
	maxRemembered = 1024
	maxLines      = 60
)

func (n *Net) refuse(err error, addr string) {
	reason := "other"
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			reason = r.name
			break
		}
	}
	key := reason + " " + hostOf(addr)
	now := time.Now()
	r := &n.refusals
	r.mu.Lock()
	r.counts[reason]++
	count := r.counts[reason]
	last, seen := r.logged[key]
	if now.Sub(r.minute) >= time.Minute {
		r.lines, r.minute = 0, now
	}
	quiet := seen && now.Sub(last) < relogAfter || r.lines >= maxLines
	if !quiet {
		r.lines++
		if len(r.logged) >= maxRemembered {
			// Forgetting all costs some repeated lines; keeping all would
			// let strangers fill memory.
			clear(r.logged)
		}
		r.logged[key] = now
	}
	r.mu.Unlock()
	if !quiet {
		n.log.LogAttrs(n.ctx, slog.LevelWarn, "connection refused",
			slog.String("reason", reason), slog.String("from", addr),
			slog.String("cause", err.Error()), slog.Uint64("count", count))
	}
}

// Refused counts connections and streams that were turned away, by reason.
func (n *Net) Refused() map[string]uint64 {
	n.refusals.mu.Lock()
	defer n.refusals.mu.Unlock()
	m := make(map[string]uint64, len(n.refusals.counts))
	for k, v := range n.refusals.counts {
		m[k] = v
	}
	return m
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}
