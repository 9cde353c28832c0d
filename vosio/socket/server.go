package socket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"drmesh/vosio/call"
)

// Bounds of one server.
const (
	maxConnections = 1024
	helloWait      = 10 * time.Second
	tokens         = 256      // calls of a connection that may be under way
	tokenBytes     = 16 << 10 // a larger one counts as several
)

// Cred is who is at the other end, as the kernel says.
type Cred struct {
	UID, GID uint32
	PID      int32
}

// Process is the side of one program in the node.
type Process interface {
	call.Caller
	Close() error // releases ports, locks and transaction
}

// Starter is a Process that goes on with the next call before the last one is
// durable. Start carries a call out as Do does, and calls done once, from any
// goroutine, when rep can be sent; calls take effect in the order of Start.
type Starter interface {
	Start(ctx context.Context, req *call.Request, rep *call.Reply, done func(error))
}

// Server listens at a module's app.sock.
type Server struct {
	ln         *net.UnixListener
	newProcess func(name string, c Cred) Process
	log        *slog.Logger
	ctx        context.Context
	cancel     context.CancelFunc
	wg         sync.WaitGroup

	mu    sync.Mutex // protects conns
	conns map[net.Conn]struct{}

	// Calls counts calls carried out; Refused counts connections refused, or
	// ended for what they sent.
	Calls, Refused atomic.Int64
	logged         atomic.Int64 // unix time of the last refusal logged
}

// Serve listens at path until Close. newProcess makes the side of a program
// that connects.
func Serve(path string, newProcess func(name string, c Cred) Process, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	if st, err := os.Lstat(path); err == nil {
		if st.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("listen at %s: something else than a socket is there", path)
		}
		// Left by a node that was killed; the directory's lock says that no
		// other is at work.
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen at %s: %w", path, err)
		}
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	s := &Server{ln: ln, newProcess: newProcess, log: log, conns: map[net.Conn]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Add(1)
	go s.accept()
	return s, nil
}

// CheckPath refuses a path that a socket's address cannot hold.
func CheckPath(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("socket %s: its path has %d bytes, %d are possible: choose a directory with a shorter path, or make a short symbolic link to %s",
			path, len(path), maxPath, filepath.Dir(path))
	}
	return nil
}

// Close ends all connections, waits until their processes are closed, and
// removes the socket.
func (s *Server) Close() error {
	s.cancel()
	err := s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		c, err := s.ln.AcceptUnix()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: others may go.
			s.log.Warn("app.sock: accept", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-s.ctx.Done():
				return
			}
		}
		s.mu.Lock()
		full := len(s.conns) >= maxConnections
		closed := s.ctx.Err() != nil
		if !full && !closed {
			s.conns[c] = struct{}{}
			s.wg.Add(1)
		}
		s.mu.Unlock()
		if full || closed {
			c.Close()
			if full {
				s.refuse(Cred{}, fmt.Errorf("%d programs are connected already", maxConnections))
			}
			continue
		}
		go s.serve(c)
	}
}

// refuse counts a connection refused, and logs the first of a minute.
func (s *Server) refuse(c Cred, err error) {
	s.Refused.Add(1)
	now := time.Now().Unix()
	last := s.logged.Load()
	if now-last >= 60 && s.logged.CompareAndSwap(last, now) {
		s.log.Warn("app.sock: refused", "error", err, "pid", c.PID, "uid", c.UID, "refused", s.Refused.Load())
	}
}

// serve is one connection's life.
func (s *Server) serve(c *net.UnixConn) {
	defer s.wg.Done()
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	cred, err := peer(c)
	if err != nil {
		s.refuse(cred, err)
		return
	}
	// Between bind and chmod the socket may have been open to all.
	if me := uint32(os.Geteuid()); cred.UID != me && cred.UID != 0 {
		s.refuse(cred, fmt.Errorf("user %d is not the node's", cred.UID))
		return
	}
	r := bufio.NewReaderSize(c, 16<<10)
	h, err := s.welcome(c, r)
	if err != nil {
		s.refuse(cred, err)
		return
	}
	if h.name == "" {
		h.name = program(cred)
	}
	x := &connection{s: s, p: s.newProcess(h.name, cred), out: newSender(c), jobs: make(chan *job, tokens), room: make(chan struct{}, tokens)}
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	wg.Go(x.out.loop)
	wg.Go(func() {
		x.work(ctx)
		// Nothing more is carried out: what could not be sent is not worth
		// reading for.
		c.Close()
	})
	err = x.read(r)
	cancel()
	close(x.jobs)
	if err != nil && errors.Is(err, ErrFrame) || errors.Is(err, call.ErrMessage) {
		s.refuse(cred, err)
	}
	c.Close()
	x.out.fail(net.ErrClosed)
	x.pending.Wait()
	close(x.out.stop)
	wg.Wait()
	if err := x.p.Close(); err != nil {
		s.log.Warn("app.sock: close of a process", "process", h.name, "pid", cred.PID, "error", err)
	}
}

// program is the name of a program's executable, for one that gives no name.
func program(c Cred) string {
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.PID)); err == nil {
		return filepath.Base(exe)
	}
	return fmt.Sprintf("pid%d", c.PID)
}

// welcome reads a program's hello and answers it.
func (s *Server) welcome(c *net.UnixConn, r io.Reader) (hello, error) {
	c.SetDeadline(time.Now().Add(helloWait))
	defer c.SetDeadline(time.Time{})
	id, body, _, err := readFrame(r, nil, maxHello)
	if err != nil {
		return hello{}, fmt.Errorf("hello: %w", err)
	}
	h, err := decodeHello(body)
	switch {
	case err != nil:
	case id != 0:
		err = fmt.Errorf("%w: the first frame is no hello", ErrFrame)
	case h.version > Version:
		// It may speak ours too: it reads the answer and decides.
	}
	a := hello{version: Version}
	if err != nil {
		a.text = err.Error()
	}
	if _, werr := c.Write(appendHello(nil, a)); err == nil {
		err = werr
	}
	return h, err
}

// connection is what the goroutines of one connection share.
type connection struct {
	s       *Server
	p       Process
	out     *sender
	jobs    chan *job
	room    chan struct{} // tokens taken
	pending sync.WaitGroup
}

// job is one call under way.
type job struct {
	id   uint64
	cost int
	req  call.Request
	rep  call.Reply
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// read takes requests in until the connection ends.
func (x *connection) read(r io.Reader) error {
	var buf []byte
	for {
		id, body, next, err := readFrame(r, buf, MaxFrame)
		if err != nil {
			return err
		}
		if buf = next; cap(buf) > 256<<10 {
			buf = nil
		}
		if id == 0 {
			return fmt.Errorf("%w: a request has an id, from 1", ErrFrame)
		}
		j := jobs.Get().(*job)
		j.id, j.cost = id, 1+len(body)/tokenBytes
		if err := call.DecodeRequest(body, &j.req); err != nil {
			return err
		}
		for range j.cost {
			select {
			case x.room <- struct{}{}:
			case <-x.s.ctx.Done():
				return x.s.ctx.Err()
			}
		}
		x.pending.Add(1)
		x.jobs <- j // never blocks: there are as many places as tokens
	}
}

// work carries calls out, in the order in which they came.
func (x *connection) work(ctx context.Context) {
	starter, _ := x.p.(Starter)
	dead := false
	for j := range x.jobs {
		if dead || ctx.Err() != nil || x.out.wait() != nil {
			dead = true
			x.done(j)
			continue
		}
		x.s.Calls.Add(1)
		if starter != nil {
			// Who answers last, or the call that was carried out, has the answer
			// sent: mostly that is this goroutine, and wakes no other.
			var first atomic.Bool
			starter.Start(ctx, &j.req, &j.rep, func(err error) {
				if err == nil {
					err = x.reply(j)
				}
				if err != nil {
					// As below: the end of the connection says it.
					x.out.fail(err)
					x.out.conn.Close()
				}
				x.done(j)
				if !first.CompareAndSwap(false, true) {
					x.out.later()
				}
			})
			switch {
			case first.CompareAndSwap(false, true): // its answer is to come
			case len(x.jobs) > 0:
				// The next call may wait for a lock: this one's answer does not.
				x.out.later()
				continue
			}
			if len(x.jobs) == 0 {
				x.out.flush() // an error ends the next call, or the reader
			}
			continue
		}
		err := x.p.Do(ctx, &j.req, &j.rep)
		if err == nil {
			err = x.reply(j)
		}
		x.done(j)
		switch {
		case err != nil:
		case len(x.jobs) == 0:
			err = x.out.flush()
		default:
			// The next call may wait for a lock: this one's answer does not.
			x.out.later()
		}
		if err != nil {
			// The outcome of a call is not known: the program learns this from
			// the end of its connection. Only the reader's end closes the
			// queue.
			x.out.fail(err)
			dead = true
			x.out.conn.Close()
		}
	}
}

// reply adds a call's answer to what is written.
func (x *connection) reply(j *job) error {
	err := x.out.add(func(b []byte) ([]byte, error) { return appendReply(b, j.id, &j.rep) })
	if errors.Is(err, ErrFrame) {
		j.rep = call.Reply{Room: j.rep.Room, Code: call.NoAlloc, Text: fmt.Sprintf("%s: the answer is longer than a frame of %d bytes; ask for less", j.req.Call, MaxFrame)}
		err = x.out.add(func(b []byte) ([]byte, error) { return appendReply(b, j.id, &j.rep) })
	}
	return err
}

func appendReply(b []byte, id uint64, r *call.Reply) ([]byte, error) {
	from := len(b)
	b = call.AppendReply(beginFrame(b, id), r)
	return b, endFrame(b, from)
}

// done gives back what a call held.
func (x *connection) done(j *job) {
	for range j.cost {
		<-x.room
	}
	room := j.rep.Room
	if cap(room) > tokenBytes || room == nil {
		room = make([]byte, 0, 256)
	}
	j.req, j.rep = call.Request{}, call.Reply{Room: room}
	jobs.Put(j)
	x.pending.Done()
}
