package socket

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"drmesh/vosio/call"
)

// ErrLost says that the connection ended before a call's answer came: whether
// the call was carried out is not known.
var ErrLost = errors.New("connection to the node lost, the outcome of the call is not known")

// Client is a program's side of a connection. It implements call.Caller. Many
// calls may be under way; the node carries them out in the order in which they
// were given to Go or Do.
//
// Answers are read by one goroutine at a time: by a caller of Do who finds
// nobody reading, until he has his own, which saves him being woken by another;
// else by the client's own, for as long as anybody waits.
type Client struct {
	conn net.Conn
	out  *sender
	in   frames // of the reader
	wg   sync.WaitGroup
	read chan struct{} // capacity 1: somebody waits, and nobody may be reading

	mu      sync.Mutex // protects what follows, and the order of requests
	last    uint64
	waiting map[uint64]*pending
	reader  *waiter // who reads; nil: nobody
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
	r := bufio.NewReaderSize(conn, 4<<10)
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
	c := &Client{conn: conn, out: newSender(conn), waiting: map[uint64]*pending{}, read: make(chan struct{}, 1)}
	early, _ := r.Peek(r.Buffered())
	c.in = frames{conn: conn, b: append(make([]byte, 0, frameRoom), early...)}
	c.wg.Add(2)
	go func() {
		defer c.wg.Done()
		c.out.loop()
	}()
	go func() {
		defer c.wg.Done()
		c.loop()
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
	if c.begin(w) {
		c.readUntilAnswered(ctx, w)
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

// Go sends a call and returns; done is told once, by whatever goroutine reads
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
	c.wake()
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

// begin makes w the reader, if nobody is.
func (c *Client) begin(w *waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reader != nil || c.err != nil {
		return false
	}
	c.reader = w
	return true
}

// wake has the client's own goroutine read, unless somebody does.
func (c *Client) wake() {
	select {
	case c.read <- struct{}{}:
	default:
	}
}

// over lies in the past, as a deadline.
var over = time.Unix(1, 0)

// readUntilAnswered hands out answers until w has its own, or ctx has ended. w
// is the reader.
func (c *Client) readUntilAnswered(ctx context.Context, w *waiter) {
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.reader == w { // or another call of the same waiter, which goes on
				c.conn.SetReadDeadline(over)
			}
		})()
	}
	for len(w.ch) == 0 {
		err := c.take()
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			c.end(err)
			return
		case ctx.Err() == nil:
			c.conn.SetReadDeadline(time.Time{})
			continue
		}
		if ctx.Err() != nil {
			break
		}
	}
	c.mu.Lock()
	c.reader = nil
	if ctx.Err() != nil {
		c.conn.SetReadDeadline(time.Time{})
	}
	others := len(c.waiting) > 0
	c.mu.Unlock()
	if others {
		c.wake()
	}
}

// loop reads while anybody waits and no caller of Do reads; it ends with the
// connection.
func (c *Client) loop() {
	own := new(waiter)
	for {
		select {
		case <-c.out.stop:
			return
		case <-c.read:
		}
		for mine := c.begin(own); mine; {
			err := c.take()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.conn.SetReadDeadline(time.Time{}) // of a caller who went
			} else if err != nil {
				c.end(err)
				break
			}
			c.mu.Lock()
			if mine = len(c.waiting) > 0; !mine {
				c.reader = nil
			}
			c.mu.Unlock()
		}
	}
}

// take reads one answer and hands it out. The reader calls it. After a deadline
// it may be called again.
func (c *Client) take() error {
	id, body, err := c.in.next()
	if err != nil {
		return err
	}
	c.mu.Lock()
	w := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if w == nil {
		return fmt.Errorf("%w: answer to request %d, which was not asked", ErrFrame, id)
	}
	if err := call.DecodeReply(body, w.rep); err != nil {
		w.done(fmt.Errorf("%w: %w", ErrLost, err))
		return err
	}
	w.done(nil)
	return nil
}

// frameRoom is the memory for what comes, while no frame needs more.
const frameRoom = 32 << 10

// frames cuts what comes into frames, and keeps a part of one over a read that
// was broken off. Memory is taken as bytes come, never on a length alone.
type frames struct {
	conn net.Conn
	b    []byte // what came
	used int    // of b, by the frames given
}

// next gives a frame; the body is good until the next call.
func (f *frames) next() (id uint64, body []byte, err error) {
	for {
		b := f.b[f.used:]
		if len(b) >= 4 {
			size := int(binary.BigEndian.Uint32(b))
			if size < 8 || size > MaxFrame {
				return 0, nil, fmt.Errorf("%w: length %d, allowed are 8 to %d", ErrFrame, size, MaxFrame)
			}
			if size += 4; len(b) >= size {
				f.used += size
				return binary.BigEndian.Uint64(b[4:]), b[frameHead:size], nil
			}
		}
		if err := f.more(); err != nil {
			return 0, nil, err
		}
	}
}

// more reads what there is, behind what is not used up.
func (f *frames) more() error {
	switch rest := f.b[f.used:]; {
	case len(rest) == cap(f.b):
		f.b = append(make([]byte, 0, 2*cap(f.b)), rest...)
	case cap(f.b) > 256<<10 && len(rest) < frameRoom:
		f.b = append(make([]byte, 0, frameRoom), rest...)
	default:
		f.b = f.b[:copy(f.b, rest)]
	}
	f.used = 0
	n, err := f.conn.Read(f.b[len(f.b):cap(f.b)])
	f.b = f.b[:len(f.b)+n]
	switch {
	case n > 0:
		return nil
	case len(f.b) > 0:
		return unexpected(err)
	}
	return err
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
