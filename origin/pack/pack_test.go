package pack

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// TestAnyLibraryReadsIt writes one of everything and has another library read
// it.
func TestAnyLibraryReadsIt(t *testing.T) {
	for _, u := range []uint64{0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxUint64} {
		var got uint64
		if err := msgpack.Unmarshal(AppendUint(nil, u), &got); err != nil || got != u {
			t.Errorf("uint %d: %d, %v", u, got, err)
		}
		r := NewReader(AppendUint(nil, u))
		if got := r.Uint(); got != u || r.Done() != nil {
			t.Errorf("uint %d: we read %d, %v", u, got, r.Err())
		}
	}
	for _, i := range []int64{0, -1, -32, -33, -128, -129, -32768, -32769, math.MinInt32, math.MinInt32 - 1, math.MinInt64, math.MaxInt64} {
		var got int64
		if err := msgpack.Unmarshal(AppendInt(nil, i), &got); err != nil || got != i {
			t.Errorf("int %d: %d, %v", i, got, err)
		}
		r := NewReader(AppendInt(nil, i))
		if got := r.Int(); got != i || r.Done() != nil {
			t.Errorf("int %d: we read %d, %v", i, got, r.Err())
		}
	}
	for _, n := range []int{0, 1, 31, 32, 255, 256, 65535, 65536} {
		p := bytes.Repeat([]byte{'x'}, n)
		var b []byte
		if err := msgpack.Unmarshal(AppendBytes(nil, p), &b); err != nil || !bytes.Equal(b, p) {
			t.Errorf("%d bytes: %v", n, err)
		}
		var s string
		if err := msgpack.Unmarshal(AppendString(nil, string(p)), &s); err != nil || s != string(p) {
			t.Errorf("text of %d: %v", n, err)
		}
		r := NewReader(AppendString(AppendBytes(nil, p), string(p)))
		if got, text := r.Bytes(n), r.String(n); !bytes.Equal(got, p) || text != string(p) || r.Done() != nil {
			t.Errorf("%d bytes: we read %d and %d, %v", n, len(got), len(text), r.Err())
		}
	}
	b := AppendMap(nil, 2)
	b = AppendArray(AppendString(b, "a"), 3)
	b = AppendBool(AppendNil(AppendUint(b, 7)), true)
	b = AppendUint(AppendString(b, "b"), 1)
	var m map[string]any
	if err := msgpack.Unmarshal(b, &m); err != nil || len(m) != 2 || len(m["a"].([]any)) != 3 {
		t.Errorf("map: %v, %v", m, err)
	}
	if err := Walk(b, 2); err != nil {
		t.Error(err)
	}
}

// TestLyingMessages declares more than there is, or nests too deep: an error,
// and no memory spent.
func TestLyingMessages(t *testing.T) {
	for name, x := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":                {nil, ErrShort},
		"4 GiB of bytes":         {[]byte{0xc6, 0xff, 0xff, 0xff, 0xff}, ErrShort},
		"4 GiB of text":          {[]byte{0xdb, 0xff, 0xff, 0xff, 0xff}, ErrShort},
		"4 G values":             {[]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, ErrShort},
		"4 G pairs":              {[]byte{0xdf, 0xff, 0xff, 0xff, 0xff}, ErrShort},
		"half a number":          {[]byte{0xcf, 1, 2}, ErrShort},
		"a byte that is no type": {[]byte{0xc1}, ErrType},
		"deep":                   {bytes.Repeat([]byte{0x91}, 100), ErrRange},
		"two messages":           {[]byte{1, 2}, ErrRange},
	} {
		if err := Walk(x.b, 16); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
		if n := testing.AllocsPerRun(10, func() { r := NewReader(x.b); r.Skip(16) }); n > 8 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	// The first error sticks, and every value after it is zero.
	r := NewReader([]byte{0xc0, 5})
	first, second := r.Uint(), r.Uint()
	if first != 0 || second != 0 || !errors.Is(r.Done(), ErrType) {
		t.Errorf("after an error: %d, %d, %v", first, second, r.Err())
	}
	r = NewReader(AppendBytes(nil, make([]byte, 11)))
	if r.Bytes(10) != nil || !errors.Is(r.Err(), ErrRange) {
		t.Errorf("over its bound: %v", r.Err())
	}
}

func FuzzWalk(f *testing.F) {
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add(AppendArray(AppendUint(nil, 1), 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		if Walk(b, 16) != nil {
			return
		}
		// What we let pass, a library decodes without surprise, but for the
		// kinds that we never write.
		var v any
		_ = msgpack.Unmarshal(b, &v)
	})
}
