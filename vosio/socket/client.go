package socket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"drmesh/vosio/call"
)

// ErrLost says that the connection ended before a call's answer came: whether
// the call was carried out is not known.
var ErrLost = errors.New("connection to the node lost, the outcome of the call is not known")

// Client is a program's side of a connection. It implements call.Caller. Many
// calls may be under way; the node carries them out in the order in which they
// were given to Go or Do.
type Client struct {
	conn net.Conn
	out  *sender
	wg   sync.WaitGroup

	mu      sync.Mutex // protects what follows, and the order of requests
	last    uint64
	waiting map[uint64]*pending
	err     error
}

type pending struct {
	rep  *call.Reply
	done func(error)
}

// Dial connects to a node's app.sock as a process of that name.
func Dial(ctx context.Context, path, name string) (*Client, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return NewClient(ctx, c, name)
}

// NewClient says hello on a connection, which it then owns; on an error it is
// closed. An empty name stands for the executable's.
func NewClient(ctx context.Context, conn net.Conn, name string) (*Client, error) {
	if len(name) > maxName {
		conn.Close()
		return nil, fmt.Errorf("process name %.40q...: at most %d bytes", name, maxName)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	r := bufio.NewReaderSize(conn, 64<<10)
	a, err := greet(conn, r, name)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil && a.text != "" {
		err = errors.New(a.text)
	}
	if err == nil && a.version != Version {
		err = fmt.Errorf("the node speaks version %d of its door, this program version %d", a.version, Version)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("hello: %w", err)
	}
	c := &Client{conn: conn, out: newSender(conn), waiting: map[uint64]*pending{}}
	c.wg.Add(2)
	go func() {
		defer c.wg.Done()
		c.out.loop()
	}()
	go func() {
		defer c.wg.Done()
		c.read(r)
	}()
	return c, nil
}

func greet(conn net.Conn, r *bufio.Reader, name string) (hello, error) {
	if _, err := conn.Write(appendHello(nil, hello{version: Version, name: name})); err != nil {
		return hello{}, err
	}
	_, body, _, err := readFrame(r, nil, maxHello)
	if err != nil {
		return hello{}, unexpected(err)
	}
	return decodeHello(body)
}

// Do implements call.Caller. When ctx ends first the call goes on at the node,
// and its outcome is not known.
func (c *Client) Do(ctx context.Context, req *call.Request, rep *call.Reply) error {
	w := waiters.Get().(*waiter)
	if err := c.send(req, &w.rep, w.done); err != nil {
		return err
	}
	if err := c.out.flush(); err != nil {
		c.end(err)
	}
	select {
	case err := <-w.ch:
		*rep = w.rep
		w.rep = call.Reply{}
		waiters.Put(w)
		return err
	case <-ctx.Done():
		return ctx.Err() // the waiter is not used again: its answer may yet come
	}
}

type waiter struct {
	rep  call.Reply
	ch   chan error
	done func(error)
}

var waiters = sync.Pool{New: func() any {
	w := &waiter{ch: make(chan error, 1)}
	w.done = func(err error) { w.ch <- err }
	return w
}}

// Go sends a call and returns; done is told once, by the goroutine that reads
// answers, and must not block. Requests go in the order of Go. It waits while
// too much is on its way to the node.
func (c *Client) Go(ctx context.Context, req *call.Request, rep *call.Reply, done func(error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.out.wait(); err != nil {
		return fmt.Errorf("%s: %w: %w", req.Call, ErrLost, err)
	}
	if err := c.send(req, rep, done); err != nil {
		return err
	}
	c.out.later()
	return nil
}

func (c *Client) send(req *call.Request, rep *call.Reply, done func(error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.last++
	id := c.last
	err := c.out.add(func(b []byte) ([]byte, error) {
		from := len(b)
		b = call.AppendRequest(beginFrame(b, id), req)
		return b, endFrame(b, from)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", req.Call, err)
	}
	c.waiting[id] = &pending{rep, done}
	return nil
}

// read hands out answers until the connection ends.
func (c *Client) read(r *bufio.Reader) {
	var buf []byte
	for {
		id, body, next, err := readFrame(r, buf, MaxFrame)
		if err != nil {
			c.end(err)
			return
		}
		buf = next
		c.mu.Lock()
		w := c.waiting[id]
		delete(c.waiting, id)
		c.mu.Unlock()
		if w == nil {
			c.end(fmt.Errorf("%w: answer to request %d, which was not asked", ErrFrame, id))
			return
		}
		if err := call.DecodeReply(body, w.rep); err != nil {
			w.done(fmt.Errorf("%w: %w", ErrLost, err))
			c.end(err)
			return
		}
		w.done(nil)
	}
}

// end tells all who wait that the connection is lost.
func (c *Client) end(cause error) {
	err := fmt.Errorf("%w: %w", ErrLost, cause)
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	l := c.waiting
	c.waiting = map[uint64]*pending{}
	c.mu.Unlock()
	c.out.fail(err)
	c.conn.Close()
	for _, w := range l {
		w.done(err)
	}
}

// Close ends the connection; the node releases what the program held.
func (c *Client) Close() error {
	c.end(net.ErrClosed)
	c.mu.Lock()
	select {
	case <-c.out.stop:
	default:
		close(c.out.stop)
	}
	c.mu.Unlock()
	c.wg.Wait()
	return nil
}
