// Package socket is the applications' door of a module: the s$ calls over a
// unix socket, D/app.sock. docs/formats/app-socket.md has its bytes.
//
// One connection is one program: it has a process in the node, with ports,
// locks and a transaction of its own, and when the connection ends, for
// whatever reason, all that is released and an open transaction is aborted.
// Calls of one connection are carried out in the order in which they come;
// many may be under way, so that a program need not wait for one answer before
// it sends the next. Work that is to go on side by side takes several
// connections.
//
// What comes in is not trusted: a frame's length is checked before memory is
// taken for it, what is queued for one connection is bounded, and a program
// that does not read its answers stops being read. Rubbish ends its connection
// and is counted; only the first of a minute is logged.
//
// Each connection has four goroutines: of two that read frames in turn, each
// carries out the calls that come alone, so that a program that waits for each
// answer wakes one goroutine for it; one carries out what is queued, one writes
// what others left to it. Close of the server ends them all.
package socket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"drmesh/origin/pack"
)

// Bounds of the door. They are part of its format.
const (
	MaxFrame = 3<<20 + 256<<10 // bytes of a frame after its length
	maxHello = 4096            // the same of a hello
	maxText  = 1024            // what a hello may say in words
	maxName  = 255             // a process name
	maxPath  = 100             // a socket's path
)

// Version is the version of the door that this package speaks.
const Version = 1

// ErrFrame says that bytes are no frame of the door.
var ErrFrame = errors.New("no frame of this door")

// frameHead is length and request id.
const frameHead = 12

// beginFrame appends the head of a frame; endFrame says how long it became.
func beginFrame(b []byte, id uint64) []byte {
	b = append(b, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint64(b, id)
}

func endFrame(b []byte, from int) error {
	n := len(b) - from - 4
	if n > MaxFrame {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrFrame, n, MaxFrame)
	}
	binary.BigEndian.PutUint32(b[from:], uint32(n))
	return nil
}

// readFrame reads one frame of at most max bytes. The body is good until buf
// is used again. Memory is taken as bytes come, never on a length alone.
func readFrame(r io.Reader, buf []byte, max int) (id uint64, body, next []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return 0, nil, buf, err
	}
	size := int(binary.BigEndian.Uint32(head[:]))
	if size < 8 || size > max {
		return 0, nil, buf, fmt.Errorf("%w: length %d, allowed are 8 to %d", ErrFrame, size, max)
	}
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return 0, nil, buf, unexpected(err)
	}
	size -= 8
	buf = buf[:0]
	for len(buf) < size {
		step := min(size-len(buf), 64<<10+len(buf))
		if cap(buf)-len(buf) < step {
			grown := make([]byte, len(buf), len(buf)+step)
			copy(grown, buf)
			buf = grown
		}
		n := len(buf)
		buf = buf[:n+step]
		if _, err := io.ReadFull(r, buf[n:]); err != nil {
			return 0, nil, buf, unexpected(err)
		}
	}
	return binary.BigEndian.Uint64(head[4:]), buf, buf, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// hello is the first frame of each side.
type hello struct {
	version uint64 // v: the highest that the program speaks; the one that the node chose
	name    string // n: process name
	text    string // t: why the node refuses; '' if it does not
}

func appendHello(b []byte, h hello) []byte {
	n := 1
	for _, s := range []string{h.name, h.text} {
		if s != "" {
			n++
		}
	}
	from := len(b)
	b = beginFrame(b, 0)
	b = pack.AppendMap(b, n)
	b = pack.AppendUint(pack.AppendString(b, "v"), h.version)
	if h.name != "" {
		b = pack.AppendString(pack.AppendString(b, "n"), h.name)
	}
	if h.text != "" {
		b = pack.AppendString(pack.AppendString(b, "t"), h.text[:min(len(h.text), maxText)])
	}
	endFrame(b, from) // far below the bound
	return b
}

func decodeHello(b []byte) (h hello, err error) {
	r := pack.NewReader(b)
	for n := r.Map(16); n > 0 && r.Err() == nil; n-- {
		switch r.String(16) {
		case "v":
			h.version = r.Uint()
		case "n":
			h.name = r.String(maxName)
		case "t":
			h.text = r.String(maxText)
		default:
			r.Skip(4)
		}
	}
	if err := r.Done(); err != nil {
		return h, fmt.Errorf("%w: hello: %w", ErrFrame, err)
	}
	if h.version == 0 {
		return h, fmt.Errorf("%w: hello without version", ErrFrame)
	}
	return h, nil
}
