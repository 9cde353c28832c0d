package control

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
)

const (
	// MaxCommand bounds an encoded command; table texts are most of it.
	MaxCommand = 4 << 20
	// MaxSnapshot bounds an encoded state.
	MaxSnapshot = 64 << 20

	maxDepth = 16
	// What a message may hold of elements bounds what the library may allocate
	// for it, as an element of one byte can stand for a struct of hundreds.
	maxCommandElements  = 1 << 18
	maxSnapshotElements = 1 << 21
)

// Encode gives the bytes of a command for the log.
func (c *Command) Encode() ([]byte, error) {
	b, err := encode(c)
	if err == nil && len(b) > MaxCommand {
		err = fmt.Errorf("encode control command: it has %d bytes, %d are allowed", len(b), MaxCommand)
	}
	return b, err
}

// DecodeCommand reads the bytes of a command, whoever made them.
func DecodeCommand(b []byte) (*Command, error) {
	c := new(Command)
	if err := decode(b, c, MaxCommand, maxCommandElements); err != nil {
		return nil, err
	}
	return c, nil
}

// Snapshot gives the bytes of a state. Equal states have equal bytes.
func (s *State) Snapshot() ([]byte, error) { return encode(s) }

// Restore reads the bytes of a state.
func Restore(b []byte) (*State, error) {
	s := new(State)
	if err := decode(b, s, MaxSnapshot, maxSnapshotElements); err != nil {
		return nil, fmt.Errorf("restore control state: %w", err)
	}
	if s.Rules == nil {
		s.Rules = &Rules{}
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("restore control state: %w", err)
	}
	s.tables = newTables(s)
	return s, nil
}

// check holds a decoded state against what every lookup relies on.
func (s *State) check() error {
	if !slices.IsSortedFunc(s.Members, func(a, b Member) int { return cmp.Compare(a.Number, b.Number) }) ||
		!slices.IsSortedFunc(s.Writings, Writing.compare) ||
		!slices.IsSortedFunc(s.Lost, func(a, b LostFile) int { return cmp.Compare(a.Name, b.Name) }) ||
		!slices.IsSortedFunc(s.Ends, func(a, b Place) int { return a.Stream().Compare(b.Stream()) }) {
		return errors.New("a list is not in order")
	}
	if err := s.checkExtents(); err != nil {
		return err
	}
	for i, g := range s.Groups {
		if g.Number == 0 || i > 0 && g.Number <= s.Groups[i-1].Number {
			return fmt.Errorf("group %q has number %d in place %d", g.Name, g.Number, i+1)
		}
	}
	if len(s.Lineages) > MaxLineages {
		return fmt.Errorf("%d lineages", len(s.Lineages))
	}
	for _, w := range s.Switches {
		if _, ok := s.Term(w.Group); !ok || s.group(w.Group) < 0 {
			return fmt.Errorf("switch %q is of a group without owner", w.ID)
		}
	}
	return s.Rules.check()
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode control data: %w", err)
	}
	return b.Bytes(), nil
}

func decode(b []byte, v any, size, elements int) (err error) {
	if len(b) > size {
		return fmt.Errorf("%d bytes, %d are allowed", len(b), size)
	}
	w := walker{b: b, elements: elements}
	if err := w.value(0); err != nil {
		return err
	}
	if len(w.b) != 0 {
		return errors.New("bytes after the message")
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decode: %v", r)
		}
	}()
	return msgpack.NewDecoder(bytes.NewReader(b)).Decode(v)
}

// walker checks every length that a message declares against the bytes that
// are there, before the library, which believes them, sees it. Unlike pack.Walk
// it also counts the elements.
type walker struct {
	b        []byte
	elements int // that it may still hold
}

var errWalk = errors.New("not a whole msgpack message")

func (w *walker) take(n int) ([]byte, error) {
	if n < 0 || n > len(w.b) {
		return nil, errWalk
	}
	p := w.b[:n]
	w.b = w.b[n:]
	return p, nil
}

func (w *walker) length(bytes int) (int, error) {
	p, err := w.take(bytes)
	if err != nil {
		return 0, err
	}
	switch bytes {
	case 1:
		return int(p[0]), nil
	case 2:
		return int(binary.BigEndian.Uint16(p)), nil
	}
	return int(binary.BigEndian.Uint32(p)), nil
}

func (w *walker) value(depth int) error {
	if depth > maxDepth {
		return errors.New("message nests too deep")
	}
	if w.elements--; w.elements < 0 {
		return errors.New("message has too many elements")
	}
	p, err := w.take(1)
	if err != nil {
		return err
	}
	fixed, lenBytes, each := 0, 0, 0
	switch c := p[0]; {
	case c <= 0x7f || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3:
		return nil
	case c <= 0x8f:
		fixed, each = int(c&0x0f), 2
	case c <= 0x9f:
		fixed, each = int(c&0x0f), 1
	case c <= 0xbf:
		fixed = int(c & 0x1f)
	case c >= 0xc4 && c <= 0xc6:
		lenBytes = 1 << (c - 0xc4)
	case c >= 0xca && c <= 0xcb:
		fixed = 4 << (c - 0xca)
	case c >= 0xcc && c <= 0xcf:
		fixed = 1 << (c - 0xcc)
	case c >= 0xd0 && c <= 0xd3:
		fixed = 1 << (c - 0xd0)
	case c >= 0xd9 && c <= 0xdb:
		lenBytes = 1 << (c - 0xd9)
	case c == 0xdc || c == 0xdd:
		lenBytes, each = 2<<(c-0xdc), 1
	case c == 0xde || c == 0xdf:
		lenBytes, each = 2<<(c-0xde), 2
	default: // extensions: nothing of ours has any
		return errWalk
	}
	n := fixed
	if lenBytes > 0 {
		if n, err = w.length(lenBytes); err != nil {
			return err
		}
	}
	if each == 0 {
		_, err = w.take(n)
		return err
	}
	for range n {
		for range each {
			if err := w.value(depth + 1); err != nil {
				return err
			}
		}
	}
	return nil
}
