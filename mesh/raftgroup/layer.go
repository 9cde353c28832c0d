package raftgroup

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"drmesh/origin"
)

// layer is what raft's transport dials and accepts with. It keeps account of
// all streams, since raft leaves accepted ones to themselves when it ends.
type layer struct {
	self   origin.Module
	dial   func(context.Context, origin.Module) (net.Conn, error)
	queue  chan net.Conn
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	open   map[*tracked]bool
	served sync.WaitGroup // accepted streams that raft still works on
}

// acceptQueue bounds streams that raft has not taken yet; it takes them at
// once, as a rule.
const acceptQueue = 16

func newLayer(self origin.Module, dial func(context.Context, origin.Module) (net.Conn, error)) *layer {
	l := &layer{self: self, dial: dial, queue: make(chan net.Conn, acceptQueue), open: map[*tracked]bool{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// tracked is a stream that takes itself off the list when closed.
type tracked struct {
	net.Conn
	l        *layer
	accepted bool
	once     sync.Once
	peer     origin.Module
}

func (t *tracked) RemoteAddr() net.Addr { return moduleAddr(t.peer) }

func (t *tracked) Close() error {
	err := t.Conn.Close()
	t.once.Do(func() {
		t.l.mu.Lock()
		delete(t.l.open, t)
		t.l.mu.Unlock()
		if t.accepted {
			t.l.served.Done()
		}
	})
	return err
}

// track puts a stream on the list; nil if it is too late.
func (l *layer) track(c net.Conn, peer origin.Module, accepted bool) *tracked {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	t := &tracked{Conn: c, l: l, accepted: accepted, peer: peer}
	l.open[t] = true
	if accepted {
		l.served.Add(1)
	}
	return t
}

func (l *layer) accept(peer origin.Module, c net.Conn) {
	t := l.track(c, peer, true)
	if t == nil {
		c.Close()
		return
	}
	select {
	case l.queue <- t:
	default:
		t.Close()
	}
}

// Accept implements raft.StreamLayer.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial implements raft.StreamLayer.
func (l *layer) Dial(a raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	m := module(a)
	if m == 0 {
		return nil, fmt.Errorf("dial member %q: not a module number", a)
	}
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	c, err := l.dial(ctx, m)
	if err != nil {
		return nil, err
	}
	t := l.track(c, m, false)
	if t == nil {
		c.Close()
		return nil, net.ErrClosed
	}
	return t, nil
}

// Addr implements raft.StreamLayer.
func (l *layer) Addr() net.Addr { return moduleAddr(l.self) }

// Close implements raft.StreamLayer.
func (l *layer) Close() error {
	l.close()
	return nil
}

func (l *layer) close() {
	l.cancel()
	l.mu.Lock()
	l.closed = true
	open := make([]*tracked, 0, len(l.open))
	for t := range l.open {
		open = append(open, t)
	}
	l.mu.Unlock()
	for _, t := range open {
		t.SetDeadline(time.Unix(1, 0)) // wakes who reads or writes
		if !t.accepted {
			t.Close()
			continue
		}
		// raft's handler closes it, which is how wait knows that it is gone.
		t.Conn.Close()
	}
}

// wait returns when raft has let go of every accepted stream.
func (l *layer) wait() {
	for {
		select {
		case c := <-l.queue: // accepted, but raft never took it
			c.Close()
			continue
		default:
		}
		break
	}
	l.served.Wait()
}

type moduleAddr origin.Module

func (moduleAddr) Network() string  { return "mesh" }
func (a moduleAddr) String() string { return string(id(origin.Module(a))) }
