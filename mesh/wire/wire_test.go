package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"drmesh/origin"
	"drmesh/origin/pack"
)

var rewrite = flag.Bool("rewrite", false, "write the golden frames anew")

var (
	stream = origin.Stream{Group: 3, Module: 2, Incarnation: 1}
	other  = origin.Stream{Group: 70000, Module: 300, Incarnation: 7}
)

func hash(b byte) (h origin.Hash) {
	for i := range h {
		h[i] = b + byte(i)
	}
	return h
}

// goldens are frames as they were when they were first sent. Their bytes never
// change; a new version adds files.
var goldens = []struct {
	name  string
	frame []byte
	want  any
}{
	{"hello", AppendHello(nil, &Hello{Version: 1, Mesh: "m4f", Module: 2, Vector: []origin.StreamPosition{
		{Stream: stream, Position: origin.Position{Seq: 5, Hash: hash(1)}}, {Stream: other, Position: origin.Position{Seq: math.MaxUint64, Hash: hash(2)}}}}),
		Hello{Version: 1, Mesh: "m4f", Module: 2, Vector: []origin.StreamPosition{
			{Stream: stream, Position: origin.Position{Seq: 5, Hash: hash(1)}}, {Stream: other, Position: origin.Position{Seq: math.MaxUint64, Hash: hash(2)}}}}},
	{"announce", AppendAnnounce(nil, []origin.StreamSeq{{Stream: stream, Seq: 6}, {Stream: other, Seq: 70000}}),
		Announce{Seqs: []origin.StreamSeq{{Stream: stream, Seq: 6}, {Stream: other, Seq: 70000}}}},
	{"announce_nothing", AppendAnnounce(nil, nil), Announce{}},
	{"subscribe", AppendSubscribe(nil, &Subscribe{Stream: stream, After: origin.Position{Seq: 6, Hash: hash(3)}, Credit: 4 << 20}),
		Subscribe{Stream: stream, After: origin.Position{Seq: 6, Hash: hash(3)}, Credit: 4 << 20}},
	{"credit", AppendCredit(nil, Credit{Stream: stream, Bytes: 1 << 20}), Credit{Stream: stream, Bytes: 1 << 20}},
	{"unsubscribe", AppendUnsubscribe(nil, stream), stream},
	{"batch", new(Encoder).AppendBatch(nil, &Batch{Stream: stream, After: 6, Entries: [][]byte{[]byte("the seventh"), []byte("the eighth entry")}, Head: []byte("head")}),
		Batch{Stream: stream, After: 6, Entries: [][]byte{[]byte("the seventh"), []byte("the eighth entry")}, Head: []byte("head")}},
	{"batch_compressed", new(Encoder).AppendBatch(nil, &Batch{Stream: stream, After: 6, Entries: [][]byte{bytes.Repeat([]byte("a page "), 100)}}),
		Batch{Stream: stream, After: 6, Entries: [][]byte{bytes.Repeat([]byte("a page "), 100)}}},
	{"part", AppendPart(nil, &Part{Stream: stream, Seq: 9, Offset: 512 << 10, Total: 3 << 20, Bytes: []byte("middle")}),
		Part{Stream: stream, Seq: 9, Offset: 512 << 10, Total: 3 << 20, Bytes: []byte("middle")}},
	{"head", AppendHead(nil, []byte("a head, signed")), []byte("a head, signed")},
	{"pruned", AppendPruned(nil, stream, 4), Place{Stream: stream, Seq: 4}},
	{"offer", AppendOffer(nil, math.MaxUint64), uint64(math.MaxUint64)},
	{"attach", AppendAttach(nil, &Attach{Version: 1, Mesh: "m4f", Module: 2, Session: math.MaxUint64, Link: 2}),
		Attach{Version: 1, Mesh: "m4f", Module: 2, Session: math.MaxUint64, Link: 2}},
	{"taken", AppendTaken(nil, 70000), uint64(70000)},
	{"fork", AppendFork(nil, Place{Stream: stream, Seq: 4, Hash: hash(9)}), Place{Stream: stream, Seq: 4, Hash: hash(9)}},
}

// decode reads any body, as a receiver would.
func decode(t Type, b []byte, d *Decoder) (any, error) {
	switch t {
	case TypeHello:
		return DecodeHello(b)
	case TypeAnnounce:
		return DecodeAnnounce(b)
	case TypeSubscribe:
		return DecodeSubscribe(b)
	case TypeCredit:
		return DecodeCredit(b)
	case TypeUnsubscribe:
		return DecodeUnsubscribe(b)
	case TypeBatch:
		return d.DecodeBatch(b)
	case TypePart:
		return DecodePart(b)
	case TypeHead:
		return DecodeHead(b)
	case TypePruned:
		return DecodePruned(b)
	case TypeFork:
		return DecodeFork(b)
	case TypeAttach:
		return DecodeAttach(b)
	case TypeOffer, TypeTaken:
		return DecodeNumber(b)
	}
	return nil, errors.ErrUnsupported
}

func TestGoldenFrames(t *testing.T) {
	for _, g := range goldens {
		path := filepath.Join("testdata", g.name+".hex")
		if *rewrite {
			if err := os.WriteFile(path, []byte(hex.Dump(g.frame)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		golden := undump(t, path)
		if g.name != "batch_compressed" && !bytes.Equal(golden, g.frame) {
			// How well zstd does may change; how the rest looks must not.
			t.Errorf("%s: frame is\n%s\ngolden is\n%s", g.name, hex.Dump(g.frame), hex.Dump(golden))
		}
		typ, body, _, err := ReadFrame(bytes.NewReader(golden), nil)
		if err != nil {
			t.Fatalf("%s: %v", g.name, err)
		}
		got, err := decode(typ, body, new(Decoder))
		if err != nil || !reflect.DeepEqual(got, g.want) {
			t.Errorf("%s: decoded %+v, %v; want %+v", g.name, got, err, g.want)
		}
		for n := range body {
			if _, err := decode(typ, body[:n], new(Decoder)); err == nil {
				t.Errorf("%s: %d of %d bytes were taken for the whole", g.name, n, len(body))
			}
		}
	}
}

func undump(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line[10:], "|")
		x, err := hex.DecodeString(strings.Join(strings.Fields(line), ""))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, x...)
	}
	return out
}

// extra appends a field to a body, and says so in its array.
func extra(body []byte) []byte {
	b := append([]byte(nil), body...)
	b[0]++ // fixarray
	return append(b, 0x93, 1, 0xc0, 0xa1, 'x')
}

func TestFieldsOfALaterVersionAreSkipped(t *testing.T) {
	for _, g := range goldens {
		_, body, _, _ := ReadFrame(bytes.NewReader(g.frame), nil)
		got, err := decode(Type(g.frame[4]), extra(body), new(Decoder))
		if err != nil || !reflect.DeepEqual(got, g.want) {
			t.Errorf("%s with one more field: %+v, %v", g.name, got, err)
		}
	}
}

func frameOf(t Type, body []byte) []byte { return End(append(Begin(nil, t), body...), 0) }

func zipped(b []byte) []byte {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return e.EncodeAll(b, nil)
}

func batchOf(count, codec, size uint64, body []byte) []byte {
	b := appendStream(pack.AppendArray(nil, 9), stream)
	for _, v := range []uint64{0, count, codec, size} {
		b = pack.AppendUint(b, v)
	}
	return pack.AppendBytes(pack.AppendBytes(b, body), nil)
}

// lies are bodies that must be refused, for little memory.
func lies() map[string]struct {
	t    Type
	body []byte
} {
	type lie = struct {
		t    Type
		body []byte
	}
	entry := append([]byte{9}, "an entry."...)
	position := func(h []byte) []byte {
		b := pack.AppendUint(appendStream(pack.AppendArray(nil, 6), stream), 1)
		return pack.AppendUint(pack.AppendBytes(b, h), 1)
	}
	hello := func(vector []byte) []byte {
		b := pack.AppendString(pack.AppendUint(pack.AppendArray(nil, 4), 1), "m")
		return append(pack.AppendUint(b, 2), vector...)
	}
	deep := bytes.Repeat([]byte{0x91}, 1000)
	return map[string]lie{
		"no array":                       {TypeAnnounce, []byte{0xc0}},
		"nothing":                        {TypeAnnounce, nil},
		"vector of 4 billion":            {TypeHello, hello([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})},
		"vector over the limit":          {TypeHello, hello(append(pack.AppendArray(nil, origin.MaxStreams+1), make([]byte, origin.MaxStreams+1)...))},
		"vector that is not there":       {TypeHello, hello(pack.AppendArray(nil, 4000))},
		"mesh of 4 billion bytes":        {TypeHello, []byte{0x94, 1, 0xdb, 0xff, 0xff, 0xff, 0xff}},
		"module over 32 bits":            {TypeHello, append(pack.AppendUint(pack.AppendString([]byte{0x94, 1}, "m"), 1<<32), 0x90)},
		"announce of 4 billion":          {TypeAnnounce, []byte{0x91, 0xdd, 0xff, 0xff, 0xff, 0xff}},
		"hash too short":                 {TypeSubscribe, position(make([]byte, 31))},
		"hash too long":                  {TypeSubscribe, position(make([]byte, 33))},
		"negative seq":                   {TypePruned, append(appendStream(pack.AppendArray(nil, 4), stream), 0xff)},
		"deep extra field":               {TypeUnsubscribe, append(append(appendStream(pack.AppendArray(nil, 4), stream), deep...), 0xc0)},
		"bytes after the end":            {TypeUnsubscribe, append(appendStream(pack.AppendArray(nil, 3), stream), 0)},
		"bomb":                           {TypeBatch, batchOf(1, 1, MaxEntries, zipped(make([]byte, 32<<20)))},
		"bomb that declares little":      {TypeBatch, batchOf(1, 1, 10, zipped(make([]byte, 32<<20)))},
		"bomb of empty entries":          {TypeBatch, batchOf(MaxEntries, 1, MaxEntries, zipped(make([]byte, MaxEntries)))},
		"many empty entries":             {TypeBatch, batchOf(MaxEntries/minEntry, 1, MaxEntries, zipped(make([]byte, MaxEntries)))},
		"size that is not so":            {TypeBatch, batchOf(1, 0, 11, entry)},
		"more entries than there are":    {TypeBatch, batchOf(2, 0, 10, entry)},
		"fewer entries than there are":   {TypeBatch, batchOf(0, 0, 10, entry)},
		"entry over its batch":           {TypeBatch, batchOf(1, 0, 10, append([]byte{10}, "an entry."...))},
		"entry length of 2^63":           {TypeBatch, batchOf(1, 0, 10, binary.AppendUvarint(nil, math.MaxUint64))},
		"codec unknown":                  {TypeBatch, batchOf(1, 2, 10, entry)},
		"not zstd":                       {TypeBatch, batchOf(1, 1, 10, entry)},
		"part beyond its entry":          {TypePart, partOf(9, 10, 2)},
		"part of a txn over the limit":   {TypePart, partOf(0, origin.MaxTxn+1, 2)},
		"part of nothing":                {TypePart, partOf(0, 10, 0)},
		"part whose offset overflows":    {TypePart, partOf(math.MaxUint64, 10, 2)},
		"head of another type than bin":  {TypeHead, []byte{0x91, 0xa1, 'x'}},
		"array of 4 billion as the body": {TypeFork, []byte{0xdd, 0xff, 0xff, 0xff, 0xff}},
	}
}

func partOf(offset, total uint64, n int) []byte {
	b := pack.AppendUint(appendStream(pack.AppendArray(nil, 7), stream), 1)
	return pack.AppendBytes(pack.AppendUint(pack.AppendUint(b, offset), total), make([]byte, n))
}

func TestLyingFramesAreRefused(t *testing.T) {
	for name, l := range lies() {
		if x, err := decode(l.t, l.body, new(Decoder)); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: got %+v, %v", name, x, err)
		}
	}
}

func TestFrameLengthIsCheckedBeforeMemoryIsTaken(t *testing.T) {
	for _, n := range []uint32{0, MaxFrame + 1, math.MaxUint32} {
		head := binary.BigEndian.AppendUint32(nil, n)
		if _, _, _, err := ReadFrame(bytes.NewReader(append(head, 1)), nil); !errors.Is(err, ErrFrame) {
			t.Errorf("length %d: %v", n, err)
		}
	}
	// The greatest length, and nothing behind it.
	head := append(binary.BigEndian.AppendUint32(nil, MaxFrame), byte(TypeBatch))
	spent := allocated(func() {
		if _, _, _, err := ReadFrame(bytes.NewReader(head), nil); err != io.ErrUnexpectedEOF {
			t.Error(err)
		}
	})
	if spent > 128<<10 {
		t.Errorf("%d bytes were allocated for a frame of 5", spent)
	}
}

func TestFramesOfAllSizesComeThrough(t *testing.T) {
	var enc Encoder
	var dec Decoder
	var buf []byte
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 3, 511, 512, 64 << 10, MaxEntries - 5} {
		for _, noise := range []bool{false, true} {
			e := bytes.Repeat([]byte("entry.."), n/7+1)[:max(n, minEntry)]
			if noise {
				for i := range e {
					e[i] = byte(random.Uint32())
				}
			}
			want := Batch{Stream: other, After: 41, Entries: [][]byte{e}}
			f := enc.AppendBatch(nil, &want)
			typ, body, b, err := ReadFrame(bytes.NewReader(f), buf)
			if err != nil {
				t.Fatal(err)
			}
			buf = b
			if got, err := decode(typ, body, &dec); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%d bytes, noise %t: %v", n, noise, err)
			}
		}
	}
}

func TestGreatestHeadFitsBesideAFullBatch(t *testing.T) {
	head := make([]byte, origin.MaxStreams*59+256)
	f := new(Encoder).AppendBatch(nil, &Batch{Stream: other, After: math.MaxUint64 - 1, Entries: [][]byte{make([]byte, MaxEntries-5)}, Head: head})
	if len(f)-4 > MaxFrame {
		t.Fatalf("frame of %d bytes, %d are allowed", len(f)-4, MaxFrame)
	}
	v := make([]origin.StreamPosition, origin.MaxStreams)
	for i := range v {
		v[i] = origin.StreamPosition{Stream: origin.Stream{Group: math.MaxUint32, Module: math.MaxUint32, Incarnation: math.MaxUint32}, Position: origin.Position{Seq: math.MaxUint64}}
	}
	if f := AppendHello(nil, &Hello{Version: 1, Mesh: strings.Repeat("m", 63), Vector: v}); len(f)-4 > MaxFrame {
		t.Fatalf("hello of %d bytes, %d are allowed", len(f)-4, MaxFrame)
	}
}

func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzFrame reads any bytes as a frame. What is accepted, encodes to what
// decodes alike; and memory is bounded by what came, plus one batch.
func FuzzFrame(f *testing.F) {
	for _, g := range goldens {
		f.Add(g.frame)
	}
	for _, l := range lies() {
		f.Add(frameOf(l.t, l.body))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var dec Decoder
		var typ Type
		var got any
		var err error
		ceiling := uint64(len(b))*200 + 256<<10
		if len(b) > 4 && Type(b[4]) == TypeBatch {
			// One batch, its slices, and the decompressor's own window.
			ceiling += 16 << 20
		}
		if spent := allocated(func() {
			var body []byte
			if typ, body, _, err = ReadFrame(bytes.NewReader(b), nil); err == nil {
				got, err = decode(typ, body, &dec)
			}
		}); spent > ceiling {
			t.Fatalf("%d bytes allocated for a message of %d", spent, len(b))
		}
		if err != nil {
			return
		}
		again := encode(got, typ)
		typ2, body2, _, err := ReadFrame(bytes.NewReader(again), nil)
		if err != nil || typ2 != typ {
			t.Fatalf("%+v encodes to what is no frame: %v", got, err)
		}
		got2, err := decode(typ, body2, &dec)
		if err != nil || fmt.Sprintf("%x", got2) != fmt.Sprintf("%x", got) {
			t.Fatalf("%+v came back as %+v, %v", got, got2, err)
		}
	})
}

func encode(x any, t Type) []byte {
	switch x := x.(type) {
	case Hello:
		return AppendHello(nil, &x)
	case Announce:
		return AppendAnnounce(nil, x.Seqs)
	case Subscribe:
		return AppendSubscribe(nil, &x)
	case Credit:
		return AppendCredit(nil, x)
	case origin.Stream:
		return AppendUnsubscribe(nil, x)
	case Batch:
		return new(Encoder).AppendBatch(nil, &x)
	case Part:
		return AppendPart(nil, &x)
	case []byte:
		return AppendHead(nil, x)
	case Place:
		if t == TypeFork {
			return AppendFork(nil, x)
		}
		return AppendPruned(nil, x.Stream, x.Seq)
	case Attach:
		return AppendAttach(nil, &x)
	case uint64:
		if t == TypeOffer {
			return AppendOffer(nil, x)
		}
		return AppendTaken(nil, x)
	}
	panic("unreachable")
}

func BenchmarkBatch(b *testing.B) {
	var enc Encoder
	var dec Decoder
	entries := make([][]byte, 500)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range entries {
		entries[i] = make([]byte, 150)
		for j := range entries[i][50:] {
			entries[i][50+j] = byte(random.Uint32())
		}
	}
	x := Batch{Stream: stream, After: 1, Entries: entries, Head: make([]byte, 300)}
	var f []byte
	b.SetBytes(500 * 150)
	b.ReportAllocs()
	for b.Loop() {
		f = enc.AppendBatch(f[:0], &x)
		if _, err := dec.DecodeBatch(f[5:]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(f))/500, "wire-B/entry")
}
