package mesh

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

const (
	// silence is how long a source may say nothing: it tells its heads every
	// second.
	silence = 15 * time.Second
	// stuck is how long a peer may leave what we write unread.
	stuck = 30 * time.Second
	// greeting is how long a conversation may take to begin.
	greeting = 10 * time.Second
)

// paced is a stream whose deadlines follow its progress: a poor link is slow,
// not dead. One goroutine reads, one writes.
type paced struct {
	net.Conn
	idle  time.Duration // of silence that ends reading; 0: any
	stuck time.Duration
	heard func() // something came; nil: nobody asks
	armed time.Time
}

func (c *paced) Read(b []byte) (int, error) {
	if now := time.Now(); c.idle > 0 && now.Sub(c.armed) > c.idle/10 {
		c.armed = now
		if err := c.Conn.SetReadDeadline(now.Add(c.idle)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(b)
	if n > 0 && c.heard != nil {
		c.heard()
	}
	if err != nil && err != io.EOF && errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("it says nothing any more: %w", err)
	}
	return n, err
}

// piece is what is written under one deadline.
const piece = 32 << 10

func (c *paced) Write(b []byte) (int, error) {
	n := 0
	for len(b) > 0 {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.stuck)); err != nil {
			return n, err
		}
		w, err := c.Conn.Write(b[:min(len(b), piece)])
		n, b = n+w, b[w:]
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case w == 0:
			return n, fmt.Errorf("it does not read any more: %w", err)
		}
	}
	return n, nil
}
