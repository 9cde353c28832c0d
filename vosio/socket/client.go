package socket

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"drmesh/vosio/call"
)

// ErrClosed says that the connection to the node ended: the outcome of calls
// under way is not known.
var ErrClosed = errors.New("connection to the node ended")

// Client is one program's connection. It implements call.Caller; many calls
// may be under way, and are carried out in the order in which Do was called.
type Client struct {
	conn net.Conn
	w    *bufio.Writer

	mu      sync.Mutex // protects what follows, and the order of writing
	next    uint64
	waiting map[uint64]chan answer
	err     error
	flush   chan struct{} // capacity 1
	done    chan struct{} // closed when the reader ended
}

type answer struct {
	rep *call.Reply
	err error
}

// Dial connects to the node's socket under a process name.
func Dial(ctx context.Context, path, name string) (*Client, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return NewClient(ctx, conn, name)
}

// NewClient greets the node over a connection made elsewhere, which it owns.
func NewClient(ctx context.Context, conn net.Conn, name string) (*Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(appendHello(nil, Version, name)); err != nil {
		conn.Close()
		return nil, err
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	_, body, err := readMessage(r, nil)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %v", ErrClosed, err)
	}
	if v, _, err := decodeHello(body); err != nil || v != Version {
		conn.Close()
		return nil, fmt.Errorf("the node speaks version %d of the socket's protocol, this program %d", v, Version)
	}
	conn.SetDeadline(time.Time{})
	c := &Client{conn: conn, w: bufio.NewWriterSize(conn, 64<<10), waiting: map[uint64]chan answer{}, flush: make(chan struct{}, 1), done: make(chan struct{})}
	go c.read(r)
	go c.write()
	return c, nil
}

// Close ends the connection; the node releases what the program had.
func (c *Client) Close() error {
	err := c.conn.Close()
	<-c.done
	return err
}

func (c *Client) read(r *bufio.Reader) {
	defer close(c.done)
	for {
		id, body, err := readMessage(r, nil)
		var a answer
		if err == nil {
			a.rep = new(call.Reply)
			err = call.DecodeReply(body, a.rep)
		}
		c.mu.Lock()
		if err != nil {
			c.err = fmt.Errorf("%w: %v", ErrClosed, err)
			for _, ch := range c.waiting {
				ch <- answer{err: c.err}
			}
			c.waiting = nil
			c.mu.Unlock()
			c.conn.Close()
			return
		}
		ch := c.waiting[id]
		delete(c.waiting, id)
		c.mu.Unlock()
		if ch != nil {
			ch <- a
		}
	}
}

// write flushes what callers wrote: many calls go in one system call.
func (c *Client) write() {
	for {
		select {
		case <-c.flush:
			c.mu.Lock()
			err := c.w.Flush()
			c.mu.Unlock()
			if err != nil {
				c.conn.Close()
				return
			}
		case <-c.done:
			return
		}
	}
}

// Do implements call.Caller. When ctx ends before the answer, the call goes on
// in the node.
func (c *Client) Do(ctx context.Context, q *call.Request, rep *call.Reply) error {
	ch := make(chan answer, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return c.err
	}
	c.next++
	id := c.next
	b := binary.BigEndian.AppendUint64(make([]byte, 4, 64+len(q.Data)), id)
	b = call.AppendRequest(b, q)
	if len(b)-4 > MaxMessage {
		c.mu.Unlock()
		return fmt.Errorf("call %s: %d bytes, a message has %d at most", q.Call, len(b), MaxMessage)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	c.waiting[id] = ch
	_, err := c.w.Write(b)
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%w: %v", ErrClosed, err)
	}
	select {
	case c.flush <- struct{}{}:
	default:
	}
	select {
	case a := <-ch:
		if a.err != nil {
			return a.err
		}
		*rep = *a.rep
		return nil
	case <-ctx.Done():
		c.mu.Lock()
		if c.waiting != nil {
			delete(c.waiting, id)
		}
		c.mu.Unlock()
		return ctx.Err()
	}
}
