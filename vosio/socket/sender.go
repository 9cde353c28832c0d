package socket

import (
	"net"
	"sync"
)

// backlog is how much may wait to be written before those who add more wait.
const backlog = 1 << 20

// sender writes frames in the order in which they are added. Whoever finds
// nobody writing writes, for the others too; so frames that come together go
// in one write.
type sender struct {
	conn net.Conn

	mu      sync.Mutex // protects what follows; not held while writing
	room    sync.Cond  // of mu: something was written
	out     []byte
	spare   []byte
	writing bool
	err     error
	kick    chan struct{} // capacity 1: there is something to write
	stop    chan struct{}
}

func newSender(c net.Conn) *sender {
	s := &sender{conn: c, kick: make(chan struct{}, 1), stop: make(chan struct{})}
	s.room.L = &s.mu
	return s
}

// add appends a frame. It does not block.
func (s *sender) add(frame func(b []byte) ([]byte, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	n := len(s.out)
	b, err := frame(s.out)
	if err != nil {
		s.out = s.out[:n]
		return err
	}
	s.out = b
	return nil
}

// wait waits until less than the backlog is to be written.
func (s *sender) wait() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && len(s.out) >= backlog {
		if !s.writing {
			s.writeLocked()
			continue
		}
		s.room.Wait()
	}
	return s.err
}

// flush writes what was added, unless somebody does so already.
func (s *sender) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.writing {
		s.writeLocked()
	}
	return s.err
}

// later lets the sender's goroutine flush.
func (s *sender) later() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// loop flushes when later asks; it ends with close.
func (s *sender) loop() {
	for {
		select {
		case <-s.kick:
			s.flush()
		case <-s.stop:
			return
		}
	}
}

// writeLocked writes until there is nothing left. mu is held, but not while
// writing.
func (s *sender) writeLocked() {
	s.writing = true
	for len(s.out) > 0 && s.err == nil {
		b := s.out
		s.out, s.spare = s.spare[:0], nil
		s.mu.Unlock()
		_, err := s.conn.Write(b)
		s.mu.Lock()
		if cap(b) <= 2*backlog {
			s.spare = b[:0]
		}
		if err != nil && s.err == nil {
			s.err = err
		}
		s.room.Broadcast()
	}
	s.writing = false
}

// fail makes every later add give err.
func (s *sender) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.room.Broadcast()
	s.mu.Unlock()
}
