package socket

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"drmesh/origin/pack"
	"drmesh/vosio/call"
)

const (
	// Version is the protocol's.
	Version = 1
	// MaxMessage bounds a message.
	MaxMessage = 1 << 20
	maxPath    = 100 // bytes of a socket's path
	maxConns   = 1024
	maxQueue   = 1024 // calls of a connection that wait
)

// ErrMessage says that the other end sent what is no message.
var ErrMessage = errors.New("damaged message at the socket")

// Cred is who is at the other end, as the kernel tells.
type Cred struct {
	PID      int32
	UID, GID uint32
}

// Process is a program's side of the file system.
type Process interface {
	call.Caller
	Close() error
}

// Server is the door.
type Server struct {
	l          net.Listener
	newProcess func(name string, c Cred) Process
	log        *slog.Logger
	ctx        context.Context
	cancel     context.CancelFunc
	wg         sync.WaitGroup

	mu    sync.Mutex // protects conns
	conns map[net.Conn]struct{}

	// Refused counts connections that were closed for what they sent.
	Refused atomic.Int64
	logged  atomic.Int64 // unix seconds of the last log line of a refusal
}

// CheckPath refuses a path that the kernel would not take.
func CheckPath(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if len(abs) > maxPath {
		return fmt.Errorf("socket %s: its path has %d bytes, %d are possible: choose a directory with a shorter path", abs, len(abs), maxPath)
	}
	return nil
}

// Serve opens the door at path. A stale socket is replaced: the caller holds
// the directory's lock.
func Serve(path string, newProcess func(name string, c Cred) Process, log *slog.Logger) (*Server, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	s := &Server{l: l, newProcess: newProcess, log: log, conns: map[net.Conn]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Add(1)
	go s.accept()
	return s, nil
}

// Close ends all connections and waits for their calls.
func (s *Server) Close() error {
	s.cancel()
	err := s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		c, err := s.l.Accept()
		if err != nil {
			if s.ctx.Err() != nil {
				return
			}
			// Out of descriptors, most likely: leave room for them to come back.
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-s.ctx.Done():
				return
			}
		}
		s.mu.Lock()
		if len(s.conns) >= maxConns || s.ctx.Err() != nil {
			s.mu.Unlock()
			c.Close()
			continue
		}
		s.conns[c] = struct{}{}
		s.wg.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.wg.Done()
			err := s.serve(c)
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
			if err != nil && s.ctx.Err() == nil {
				s.Refused.Add(1)
				if now := time.Now().Unix(); now-s.logged.Swap(now) > 10 {
					s.log.Warn("a program's connection was closed for what it sent", "err", err, "so_far", s.Refused.Load())
				}
			}
		}()
	}
}

func peer(c net.Conn) (cred Cred) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return cred
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return cred
	}
	raw.Control(func(fd uintptr) {
		if x, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			cred = Cred{x.Pid, x.Uid, x.Gid}
		}
	})
	return cred
}

// serve carries out the calls of one connection; an error is what was wrong
// with what it sent.
func (s *Server) serve(c net.Conn) error {
	r := bufio.NewReaderSize(c, 64<<10)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	id, body, err := readMessage(r, nil)
	if err != nil {
		return nonEOF(err)
	}
	version, name, err := decodeHello(body)
	if err != nil || id != 0 {
		return fmt.Errorf("hello: %w", errors.Join(err, ErrMessage))
	}
	if version != Version {
		return fmt.Errorf("a program speaks version %d of the socket's protocol, this is %d", version, Version)
	}
	cred := peer(c)
	if name == "" {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", cred.PID)); err == nil {
			name = filepath.Base(exe)
		}
	}
	c.SetReadDeadline(time.Time{})
	if _, err := c.Write(appendHello(nil, Version, "")); err != nil {
		return nil
	}
	p := s.newProcess(name, cred)
	defer p.Close()

	type job struct {
		id  uint64
		req *call.Request
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	jobs := make(chan job, maxQueue)
	var bad error
	go func() {
		defer close(jobs)
		// The program's end ends the call that is under way.
		defer cancel()
		var buf []byte
		for {
			id, body, err := readMessage(r, buf)
			if err != nil {
				bad = nonEOF(err)
				return
			}
			buf = body[:0]
			req := new(call.Request)
			if err := call.DecodeRequest(body, req); err != nil {
				bad = err
				return
			}
			select {
			case jobs <- job{id, req}:
			case <-ctx.Done():
				return
			}
		}
	}()
	w := bufio.NewWriterSize(c, 64<<10)
	var out []byte
	var rep call.Reply
	broken := false
	for j := range jobs {
		if broken {
			continue
		}
		if err := p.Do(ctx, j.req, &rep); err != nil {
			// The outcome is not known: the connection ends without an answer.
			broken = true
			c.Close()
			continue
		}
		out = binary.BigEndian.AppendUint64(append(out[:0], 0, 0, 0, 0), j.id)
		out = call.AppendReply(out, &rep)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		_, err := w.Write(out)
		if err == nil && len(jobs) == 0 {
			c.SetWriteDeadline(time.Now().Add(30 * time.Second))
			err = w.Flush()
		}
		if err != nil {
			broken = true
			c.Close()
		}
	}
	return bad
}

func nonEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// readMessage reads one message into buf, grown as bytes arrive.
func readMessage(r io.Reader, buf []byte) (id uint64, body []byte, err error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 8 || n > MaxMessage {
		return 0, nil, fmt.Errorf("%w: of %d bytes", ErrMessage, n)
	}
	n -= 8
	buf = buf[:0]
	for uint32(len(buf)) < n {
		step := min(int(n)-len(buf), max(64<<10, cap(buf)-len(buf)))
		at := len(buf)
		if cap(buf) < at+step {
			grown := make([]byte, at, max(2*cap(buf), at+step))
			copy(grown, buf)
			buf = grown
		}
		buf = buf[:at+step]
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			return 0, nil, err
		}
	}
	return binary.BigEndian.Uint64(head[4:]), buf, nil
}

func appendHello(b []byte, version uint64, name string) []byte {
	from := len(b)
	b = append(b, make([]byte, 12)...)
	b = pack.AppendMap(b, 2)
	b = pack.AppendUint(pack.AppendString(b, "v"), version)
	b = pack.AppendString(pack.AppendString(b, "n"), name)
	binary.BigEndian.PutUint32(b[from:], uint32(len(b)-from-4))
	return b
}

func decodeHello(b []byte) (version uint64, name string, err error) {
	r := pack.NewReader(b)
	for n := r.Map(16); n > 0 && r.Err() == nil; n-- {
		switch r.String(16) {
		case "v":
			version = r.Uint()
		case "n":
			name = r.String(255)
		default:
			r.Skip(4)
		}
	}
	return version, name, r.Done()
}
