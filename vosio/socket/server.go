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
	patience   time.Duration // the constant, but in tests

	mu    sync.Mutex               // protects conns
	conns map[net.Conn]*connection // nil until its hello

	watched atomic.Bool   // somebody watches for calls that take long
	watch   chan struct{} // capacity 1: somebody has to

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
	s := &Server{ln: ln, newProcess: newProcess, log: log, patience: patience, conns: map[net.Conn]*connection{}, watch: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Add(2)
	go s.accept()
	go s.watchCalls()
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
			s.conns[c] = nil
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
	x := &connection{s: s, p: s.newProcess(h.name, cred), r: r, out: newSender(c), jobs: make(chan *job, tokens), room: make(chan struct{}, tokens),
		reads: make(chan struct{}, 1), over: make(chan struct{})}
	x.starter, _ = x.p.(Starter)
	s.mu.Lock()
	s.conns[c] = x
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	wg.Go(x.out.loop)
	wg.Go(func() {
		x.work(ctx)
		// Nothing more is carried out: what could not be sent is not worth
		// reading for.
		c.Close()
	})
	wg.Go(func() { x.read(ctx) })
	wg.Go(func() { x.read(ctx) })
	x.reads <- struct{}{}
	<-x.over
	err = x.err
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

// connection is what the goroutines of one connection share. Two of them read,
// in turn: who has read a call that comes alone carries it out himself, since to
// hand it to another goroutine costs more than most calls. When it takes long
// the other one reads on meanwhile, so that the program's end is seen.
type connection struct {
	s       *Server
	p       Process
	starter Starter // p, if it is one
	out     *sender
	jobs    chan *job
	room    chan struct{} // tokens taken
	pending sync.WaitGroup
	dead    atomic.Bool // nothing more is carried out

	turn   sync.Mutex    // held while a call is carried out
	unmade atomic.Int32  // calls that were read and are not carried out yet
	reads  chan struct{} // capacity 1: who gets this reads on
	alone  atomic.Int32  // what the reader that carries out a call does next: one of the below
	made   atomic.Uint32 // calls that readers began to carry out
	at     uint32        // made, when it was last looked at; of who watches
	over   chan struct{} // closed when the connection has ended, after err was set
	err    error
	r      *bufio.Reader // of who reads
	buf    []byte        // of who reads
}

const (
	readsOn  = iota // nobody else reads
	carries         // it carries a call out
	relieved        // the other one reads
)

// patience is how long a call may take before the other goroutine reads on; it
// may be twice as long.
const patience = 2 * time.Millisecond

// watchCalls has others read on where a reader carries out a call that takes
// long. It looks while there are such calls, since a timer for each would cost
// more than most calls. It ends with the server.
func (s *Server) watchCalls() {
	defer s.wg.Done()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.watch:
		}
		t := time.NewTicker(s.patience)
		for quiet := 0; quiet < 50 && s.ctx.Err() == nil; quiet++ {
			select {
			case <-s.ctx.Done():
			case <-t.C:
			}
			if quiet == 40 {
				// Who begins a call from here on sees that nobody watches; who
				// has begun is seen below.
				s.watched.Store(false)
			}
			if s.relieve() {
				quiet = 0
			}
		}
		t.Stop()
	}
}

// relieve looks at all connections once; false: there was nothing to see.
func (s *Server) relieve() (some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.conns {
		if x == nil {
			continue
		}
		made := x.made.Load()
		switch {
		case made != x.at:
			x.at, some = made, true
		case x.alone.CompareAndSwap(carries, relieved):
			x.reads <- struct{}{} // never blocks: there is one reader at a time
			some = true
		}
	}
	return some
}

// watchOver has somebody watch.
func (s *Server) watchOver() {
	if !s.watched.Load() && s.watched.CompareAndSwap(false, true) {
		select {
		case s.watch <- struct{}{}:
		default:
		}
	}
}

// job is one call under way.
type job struct {
	id   uint64
	cost int
	req  call.Request
	rep  call.Reply
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// read takes requests in when it is its turn, until the connection ends.
func (x *connection) read(ctx context.Context) {
	for {
		select {
		case <-x.over:
			return
		case <-x.reads:
		}
		for mine := true; mine; {
			j, err := x.next()
			if err != nil {
				x.err = err
				close(x.over)
				return
			}
			if x.unmade.Add(1) > 1 || x.r.Buffered() > 0 {
				x.jobs <- j // never blocks: there are as many places as tokens
				continue
			}
			x.made.Add(1)
			x.alone.Store(carries)
			x.s.watchOver()
			x.turn.Lock()
			x.carry(ctx, j, false)
			x.turn.Unlock()
			// Before the call counts as carried out: until then the other one
			// carries out none.
			mine = x.alone.CompareAndSwap(carries, readsOn)
			x.unmade.Add(-1)
		}
	}
}

// next reads one request, and waits until it may be under way.
func (x *connection) next() (*job, error) {
	id, body, next, err := readFrame(x.r, x.buf, MaxFrame)
	if err != nil {
		return nil, err
	}
	if x.buf = next; cap(x.buf) > 256<<10 {
		x.buf = nil
	}
	if id == 0 {
		return nil, fmt.Errorf("%w: a request has an id, from 1", ErrFrame)
	}
	j := jobs.Get().(*job)
	j.id, j.cost = id, 1+len(body)/tokenBytes
	if err := call.DecodeRequest(body, &j.req); err != nil {
		return nil, err
	}
	for range j.cost {
		select {
		case x.room <- struct{}{}:
		case <-x.s.ctx.Done():
			return nil, x.s.ctx.Err()
		}
	}
	x.pending.Add(1)
	return j, nil
}

// work carries out the calls that were queued, in the order in which they came.
func (x *connection) work(ctx context.Context) {
	for j := range x.jobs {
		x.turn.Lock()
		x.carry(ctx, j, true)
		x.turn.Unlock()
		x.unmade.Add(-1)
	}
}

// carry carries a call out and answers it; queued says that others may stand
// behind it. x.turn is held.
func (x *connection) carry(ctx context.Context, j *job, queued bool) {
	if x.dead.Load() || ctx.Err() != nil || x.out.wait() != nil {
		x.dead.Store(true)
		x.done(j)
		return
	}
	x.s.Calls.Add(1)
	more := func() bool { return queued && len(x.jobs) > 0 }
	if x.starter != nil {
		// Who answers last, or the call that was carried out, has the answer
		// sent: mostly that is this goroutine, and wakes no other.
		var first atomic.Bool
		x.starter.Start(ctx, &j.req, &j.rep, func(err error) {
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
		case more():
			// The next call may wait for a lock: this one's answer does not.
			x.out.later()
			return
		}
		if !more() {
			x.out.flush() // an error ends the next call, or the reader
		}
		return
	}
	err := x.p.Do(ctx, &j.req, &j.rep)
	if err == nil {
		err = x.reply(j)
	}
	x.done(j)
	switch {
	case err != nil:
	case !more():
		err = x.out.flush()
	default:
		// The next call may wait for a lock: this one's answer does not.
		x.out.later()
	}
	if err != nil {
		// The outcome of a call is not known: the program learns this from the
		// end of its connection. Only the reader's end closes the queue.
		x.out.fail(err)
		x.dead.Store(true)
		x.out.conn.Close()
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
