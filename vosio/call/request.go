package call

import (
	"context"
	"errors"
	"fmt"
	"math"

	"drmesh/origin"
	"drmesh/origin/pack"
	"drmesh/vosio/record"
)

// Request is one call with its arguments; a call uses those that it names.
// The letters are the keys of its msgpack map at the door; an argument that is
// left out is zero.
type Request struct {
	Call       string             // c: s$...
	Port       int                // p: port_id
	Name       string             // n: port_name, index_name of s$create_index, attribute
	Path       string             // a
	Path2      string             // b: target, new name
	Org        int                // o: organization
	Size       int                // z: record_size, max_record_len
	IO         int                // i: io_type
	Lock       int                // l: locking_mode
	Access     int                // m: access_mode
	Index      string             // x: index_name
	Key        []byte             // k
	Relation   int                // r
	Position   int                // t: type of a position
	Count      int64              // q
	Number     int64              // u: record_number
	Data       []byte             // d: buffer
	Max        int                // y: buffer_len of a read; 0: no bound
	Switches   int                // s
	Collation  int                // g
	Components []record.Component // e: [[position, length], ...]
	Value      string             // v: of an attribute
	NoWait     bool               // w: no-wait mode
}

// Reply is what a call gave. When Code is not 0 the other fields but Text are
// undefined, except that e$long_record has what fits, and e$durable_here of a
// receive has the message.
type Reply struct {
	Code Code   // c
	Text string // t: what went wrong, for people
	Port int    // p
	Data []byte // d
	// Room, if the caller gives it, is what Data of a record that is read goes
	// into, as far as it has room, and after that what it is in: a caller that
	// gives each call the reply of the one before has no more allocated for it,
	// and only the Data of the last one.
	Room   []byte
	Length int      // l: true length of a record
	Number int64    // u: record number, or count
	Key    []byte   // k
	Names  []string // n
	Info   []byte   // j: JSON, of drmesh$status
	// Of a message.
	Priority int    // r
	Subject  string // s
}

// Err is the reply's code as an error, nil for success.
func (r *Reply) Err() error {
	if r.Code == 0 {
		return nil
	}
	if r.Text == "" {
		return r.Code
	}
	return &Failure{r.Code, r.Text}
}

// Failure is a code with what was said of it.
type Failure struct {
	Code Code
	Text string
}

func (f *Failure) Error() string { return f.Text }

// Unwrap gives the code.
func (f *Failure) Unwrap() error { return f.Code }

// Caller carries calls out: a process in the node, or a connection to one. Its
// error says that the call's outcome is not known; a call that failed says so
// in rep.Code.
type Caller interface {
	Do(ctx context.Context, req *Request, rep *Reply) error
}

// MaxMessage is the length of the longest message of a queue, the longest data
// of a call.
const MaxMessage = 3 << 20

// Bounds of what the door takes.
const (
	maxName  = 255
	maxPath  = 1024
	maxData  = MaxMessage
	maxParts = 64
	maxValue = 256 << 10
	maxNames = 1 << 20
)

// ErrMessage says that bytes are no request or reply.
var ErrMessage = errors.New("damaged message")

// AppendRequest appends the byte form of r: a msgpack map.
func AppendRequest(b []byte, r *Request) []byte {
	from := len(b)
	b = append(b, 0xde, 0, 0) // map 16
	n := 0
	num := func(key byte, v int64) {
		if v != 0 {
			b = pack.AppendInt(append(b, 0xa1, key), v)
			n++
		}
	}
	str := func(key byte, v string) {
		if v != "" {
			b = pack.AppendString(append(b, 0xa1, key), v)
			n++
		}
	}
	bin := func(key byte, v []byte) {
		if v != nil {
			b = pack.AppendBytes(append(b, 0xa1, key), v)
			n++
		}
	}
	str('c', r.Call)
	num('p', int64(r.Port))
	str('n', r.Name)
	str('a', r.Path)
	str('b', r.Path2)
	num('o', int64(r.Org))
	num('z', int64(r.Size))
	num('i', int64(r.IO))
	num('l', int64(r.Lock))
	num('m', int64(r.Access))
	str('x', r.Index)
	bin('k', r.Key)
	num('r', int64(r.Relation))
	num('t', int64(r.Position))
	num('q', r.Count)
	num('u', r.Number)
	bin('d', r.Data)
	num('y', int64(r.Max))
	num('s', int64(r.Switches))
	num('g', int64(r.Collation))
	if len(r.Components) > 0 {
		b = pack.AppendArray(append(b, 0xa1, 'e'), len(r.Components))
		for _, c := range r.Components {
			b = pack.AppendInt(pack.AppendInt(pack.AppendArray(b, 2), int64(c.Position)), int64(c.Length))
		}
		n++
	}
	str('v', r.Value)
	if r.NoWait {
		b = pack.AppendBool(append(b, 0xa1, 'w'), true)
		n++
	}
	b[from+1], b[from+2] = byte(n>>8), byte(n)
	return b
}

func readInt(r *pack.Reader) int {
	v := r.Int()
	if v > math.MaxInt32 || v < math.MinInt32 {
		return -1
	}
	return int(v)
}

// DecodeRequest reads a request. Data and Key are copies: b may be reused.
func DecodeRequest(b []byte, q *Request) error {
	*q = Request{}
	r := pack.NewReader(b)
	for n := r.Map(64); n > 0 && r.Err() == nil; n-- {
		k := r.Text(16)
		if len(k) != 1 {
			r.Skip(8)
			continue
		}
		switch k[0] {
		case 'c':
			q.Call = r.String(maxName)
		case 'p':
			q.Port = readInt(&r)
		case 'n':
			q.Name = r.String(maxName)
		case 'a':
			q.Path = r.String(maxPath)
		case 'b':
			q.Path2 = r.String(maxPath)
		case 'o':
			q.Org = readInt(&r)
		case 'z':
			q.Size = readInt(&r)
		case 'i':
			q.IO = readInt(&r)
		case 'l':
			q.Lock = readInt(&r)
		case 'm':
			q.Access = readInt(&r)
		case 'x':
			q.Index = r.String(maxName)
		case 'k':
			q.Key = clone(r.Bytes(origin.MaxKey + 1))
		case 'r':
			q.Relation = readInt(&r)
		case 't':
			q.Position = readInt(&r)
		case 'q':
			q.Count = r.Int()
		case 'u':
			q.Number = r.Int()
		case 'd':
			q.Data = clone(r.Bytes(maxData))
		case 'y':
			q.Max = readInt(&r)
		case 's':
			q.Switches = readInt(&r)
		case 'g':
			q.Collation = readInt(&r)
		case 'e':
			for m := r.Array(maxParts); m > 0 && r.Err() == nil; m-- {
				if k := r.Array(2); k != 2 && r.Err() == nil {
					return fmt.Errorf("request: %w: components", ErrMessage)
				}
				q.Components = append(q.Components, record.Component{Position: readInt(&r), Length: readInt(&r)})
			}
		case 'v':
			q.Value = r.String(maxValue)
		case 'w':
			q.NoWait = r.Bool()
		default:
			r.Skip(8)
		}
	}
	if err := r.Done(); err != nil {
		return fmt.Errorf("request: %w: %w", ErrMessage, err)
	}
	return nil
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// AppendReply appends the byte form of r: a msgpack map.
func AppendReply(b []byte, r *Reply) []byte {
	from := len(b)
	b = append(b, 0x80)
	n := 0
	if r.Code != 0 {
		b = pack.AppendInt(append(b, 0xa1, 'c'), int64(r.Code))
		n++
		b = pack.AppendString(append(b, 0xa1, 't'), r.Text)
		n++
	}
	num := func(key byte, v int64) {
		if v != 0 {
			b = pack.AppendInt(append(b, 0xa1, key), v)
			n++
		}
	}
	num('p', int64(r.Port))
	num('l', int64(r.Length))
	num('u', r.Number)
	num('r', int64(r.Priority))
	if r.Subject != "" {
		b = pack.AppendString(append(b, 0xa1, 's'), r.Subject)
		n++
	}
	if r.Data != nil {
		b = pack.AppendBytes(append(b, 0xa1, 'd'), r.Data)
		n++
	}
	if r.Key != nil {
		b = pack.AppendBytes(append(b, 0xa1, 'k'), r.Key)
		n++
	}
	if r.Names != nil {
		b = pack.AppendArray(append(b, 0xa1, 'n'), len(r.Names))
		for _, s := range r.Names {
			b = pack.AppendString(b, s)
		}
		n++
	}
	if r.Info != nil {
		b = pack.AppendBytes(append(b, 0xa1, 'j'), r.Info)
		n++
	}
	b[from] = 0x80 | byte(n)
	return b
}

// DecodeReply reads a reply; what it holds are copies.
func DecodeReply(b []byte, p *Reply) error {
	*p = Reply{Room: p.Room}
	r := pack.NewReader(b)
	for n := r.Map(64); n > 0 && r.Err() == nil; n-- {
		k := r.Text(16)
		if len(k) != 1 {
			r.Skip(8)
			continue
		}
		switch k[0] {
		case 'c':
			p.Code = Code(readInt(&r))
		case 't':
			p.Text = r.String(1 << 16)
		case 'p':
			p.Port = readInt(&r)
		case 'l':
			p.Length = readInt(&r)
		case 'u':
			p.Number = r.Int()
		case 'd':
			if d := r.Bytes(maxData); p.Room != nil && d != nil {
				p.Data = append(p.Room[:0], d...)
				p.Room = p.Data
			} else {
				p.Data = clone(d)
			}
		case 'k':
			p.Key = clone(r.Bytes(1 << 16))
		case 'n':
			p.Names = []string{}
			for m := r.Array(maxNames); m > 0 && r.Err() == nil; m-- {
				p.Names = append(p.Names, r.String(maxPath))
			}
		case 'j':
			p.Info = clone(r.Bytes(1 << 20))
		case 'r':
			p.Priority = readInt(&r)
		case 's':
			p.Subject = r.String(maxName)
		default:
			r.Skip(8)
		}
	}
	if err := r.Done(); err != nil {
		return fmt.Errorf("reply: %w: %w", ErrMessage, err)
	}
	return nil
}
