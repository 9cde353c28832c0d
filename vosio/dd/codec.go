package dd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// FieldError says which text was refused, and why.
type FieldError struct {
	Field string
	Why   string
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Why
	}
	return e.Field + ": " + e.Why
}

func refuse(f *Field, format string, args ...any) error {
	return &FieldError{f.Name, fmt.Sprintf(format, args...)}
}

// Encode appends the record that texts, one for each field, stand for. A text
// that Decode would not give back byte for byte is refused with a *FieldError,
// and dst comes back as it was.
func (l *Layout) Encode(dst []byte, texts [][]byte) ([]byte, error) {
	if len(texts) != len(l.Fields) {
		return dst, &FieldError{"", fmt.Sprintf("%d fields, the layout has %d", len(texts), len(l.Fields))}
	}
	start := len(dst)
	dst = append(dst, make([]byte, l.RecordSize)...)
	rec := dst[start:]
	for i := range l.Fields {
		if err := l.Fields[i].encode(rec, texts[i]); err != nil {
			return dst[:start], err
		}
	}
	return dst, nil
}

// EncodeLine is Encode for one line of delimited text, without its line end.
func (l *Layout) EncodeLine(dst, line []byte, delimiter byte) ([]byte, error) {
	if n := bytes.Count(line, []byte{delimiter}) + 1; n != len(l.Fields) {
		return dst, &FieldError{"", fmt.Sprintf("%d fields divided by %q, the layout has %d", n, delimiter, len(l.Fields))}
	}
	start := len(dst)
	dst = append(dst, make([]byte, l.RecordSize)...)
	rec := dst[start:]
	for i := range l.Fields {
		text, rest, _ := bytes.Cut(line, []byte{delimiter})
		if err := l.Fields[i].encode(rec, text); err != nil {
			return dst[:start], err
		}
		line = rest
	}
	return dst, nil
}

// EncodeKey appends the key that texts, one for each part of index x, make.
func (l *Layout) EncodeKey(dst []byte, x *Index, texts [][]byte) ([]byte, error) {
	if len(texts) != len(x.Parts) {
		return dst, &FieldError{"", fmt.Sprintf("%d values, the key of %s has %d parts", len(texts), x.Name, len(x.Parts))}
	}
	rec := make([]byte, l.RecordSize)
	start := len(dst)
	for i, part := range x.Parts {
		if err := l.Fields[part.Field].encode(rec, texts[i]); err != nil {
			return dst[:start], err
		}
		dst = append(dst, rec[part.Position-1:part.Position-1+part.Length]...)
	}
	return dst, nil
}

// Decode gives the text of each field of a record. A record of another size
// than the layout's is refused.
func (l *Layout) Decode(rec []byte) ([]string, error) {
	texts := make([]string, len(l.Fields))
	var b []byte
	if err := l.sized(rec); err != nil {
		return nil, err
	}
	for i := range l.Fields {
		var err error
		if b, err = l.Fields[i].decode(b[:0], rec); err != nil {
			return nil, err
		}
		texts[i] = string(b)
	}
	return texts, nil
}

// DecodeLine appends the fields of a record with the delimiter between them.
// A field that holds the delimiter or a line end is refused: no line stands
// for that record.
func (l *Layout) DecodeLine(dst, rec []byte, delimiter byte) ([]byte, error) {
	if err := l.sized(rec); err != nil {
		return dst, err
	}
	start := len(dst)
	for i := range l.Fields {
		if i > 0 {
			dst = append(dst, delimiter)
		}
		at := len(dst)
		var err error
		if dst, err = l.Fields[i].decode(dst, rec); err != nil {
			return dst[:start], err
		}
		if text := dst[at:]; bytes.IndexByte(text, delimiter) >= 0 || bytes.IndexByte(text, '\n') >= 0 {
			return dst[:start], refuse(&l.Fields[i], "the value holds the delimiter or a line end")
		}
	}
	return dst, nil
}

func (l *Layout) sized(rec []byte) error {
	if len(rec) != l.RecordSize {
		return &FieldError{"", fmt.Sprintf("the record has %d bytes, the layout %d", len(rec), l.RecordSize)}
	}
	return nil
}

// show clips a text for a message.
func show(t []byte) string {
	if len(t) > 40 {
		return strconv.Quote(string(t[:40])) + "..."
	}
	return strconv.Quote(string(t))
}

// encode puts text into rec, which is zero where f lies.
func (f *Field) encode(rec, text []byte) error {
	switch f.Type {
	case Char, Varying:
		return f.encodeChar(rec[f.Offset:f.Offset+f.Size], text)
	case Bin:
		return f.encodeBin(rec[f.Offset:f.Offset+f.Size], text)
	case Bit, BitAligned:
		return f.encodeBits(rec, text)
	case Decimal:
		return f.encodeDecimal(rec[f.Offset:f.Offset+f.Size], text)
	case Float:
		return f.encodeFloat(rec[f.Offset:f.Offset+f.Size], text)
	case Picture:
		if len(text) != f.N || !digits(text) {
			return refuse(f, "%s is not %d digits", show(text), f.N)
		}
		copy(rec[f.Offset:], text)
	}
	return nil
}

func (f *Field) encodeChar(b, text []byte) error {
	if len(text) > f.N {
		return refuse(f, "%d bytes, %s holds %d", len(text), f.TypeString(), f.N)
	}
	for _, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return refuse(f, "the text holds the control character %#02x", c)
		}
	}
	if f.Type == Varying {
		binary.BigEndian.PutUint16(b, uint16(len(text)))
		b = b[2:]
	} else if n := len(text); n > 0 && text[n-1] == ' ' {
		return refuse(f, "a trailing blank, which %s does not keep", f.TypeString())
	}
	// The room of a varying field is blank too, so that it makes the key that
	// a blank padded text makes.
	for i := copy(b, text); i < len(b); i++ {
		b[i] = ' '
	}
	return nil
}

func (f *Field) encodeBin(b, text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	var scratch [24]byte
	if err != nil || !bytes.Equal(strconv.AppendInt(scratch[:0], n, 10), text) {
		if ne, ok := err.(*strconv.NumError); ok && ne.Err == strconv.ErrRange {
			return refuse(f, "%s is outside %s", show(text), f.TypeString())
		}
		return refuse(f, "%s is not a number in its plain form", show(text))
	}
	if limit := int64(1) << f.N; f.N < 63 && (n < -limit || n >= limit) {
		return refuse(f, "%s is outside %s: %d to %d", show(text), f.TypeString(), -limit, limit-1)
	}
	switch len(b) {
	case 2:
		binary.BigEndian.PutUint16(b, uint16(n))
	case 4:
		binary.BigEndian.PutUint32(b, uint32(n))
	case 8:
		binary.BigEndian.PutUint64(b, uint64(n))
	}
	return nil
}

func (f *Field) encodeBits(rec, text []byte) error {
	if len(text) != f.N {
		return refuse(f, "%s is not %d digits of 0 and 1", show(text), f.N)
	}
	for i, c := range text {
		at := f.Bit + i
		switch c {
		case '0':
		case '1':
			rec[f.Offset+at/8] |= 0x80 >> (at % 8)
		default:
			return refuse(f, "%s is not %d digits of 0 and 1", show(text), f.N)
		}
	}
	return nil
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

func (f *Field) encodeDecimal(b, text []byte) error {
	t, negative := bytes.CutPrefix(text, []byte("-"))
	whole, part, point := bytes.Cut(t, []byte("."))
	plain := digits(whole) && (len(whole) == 1 || whole[0] != '0') && point == (f.Scale > 0) && len(part) == f.Scale && (f.Scale == 0 || digits(part))
	zero := plain && len(bytes.Trim(t, "0.")) == 0
	if !plain || negative && zero {
		return refuse(f, "%s is not a number with %d digits after the point in its plain form", show(text), f.Scale)
	}
	room := f.N - f.Scale
	if len(whole) > room && !(room == 0 && whole[0] == '0') {
		return refuse(f, "%s is outside %s", show(text), f.TypeString())
	}
	b[len(b)-1] = 0x0c
	if negative {
		b[len(b)-1] = 0x0d
	}
	at := 2*len(b) - 2 // nibble of the last digit
	put := func(d byte) {
		b[at/2] |= (d - '0') << (4 * (1 - at%2))
		at--
	}
	for i := len(part) - 1; i >= 0; i-- {
		put(part[i])
	}
	for i := len(whole) - 1; i >= 0 && room > 0; i-- {
		put(whole[i])
	}
	return nil
}

func (f *Field) encodeFloat(b, text []byte) error {
	size := 8 * len(b)
	v, err := strconv.ParseFloat(string(text), size)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || strconv.FormatFloat(v, 'g', -1, size) != string(text) {
		return refuse(f, "%s is not a number in its shortest form", show(text))
	}
	if size == 32 {
		binary.BigEndian.PutUint32(b, math.Float32bits(float32(v)))
	} else {
		binary.BigEndian.PutUint64(b, math.Float64bits(v))
	}
	return nil
}

// decode appends the text of f. Every byte pattern has a text, but for what no
// writer of the type makes: that is an error.
func (f *Field) decode(dst, rec []byte) ([]byte, error) {
	b := rec[f.Offset : f.Offset+f.Size]
	switch f.Type {
	case Char, Picture:
		return append(dst, bytes.TrimRight(b, " ")...), nil
	case Varying:
		n := int(binary.BigEndian.Uint16(b))
		if n > f.N {
			return dst, refuse(f, "the length of the text is %d, %s holds %d", n, f.TypeString(), f.N)
		}
		return append(dst, b[2:2+n]...), nil
	case Bin:
		var n int64
		switch len(b) {
		case 2:
			n = int64(int16(binary.BigEndian.Uint16(b)))
		case 4:
			n = int64(int32(binary.BigEndian.Uint32(b)))
		case 8:
			n = int64(binary.BigEndian.Uint64(b))
		}
		return strconv.AppendInt(dst, n, 10), nil
	case Bit, BitAligned:
		for i := range f.N {
			at := f.Bit + i
			dst = append(dst, '0'+rec[f.Offset+at/8]>>(7-at%8)&1)
		}
		return dst, nil
	case Decimal:
		return f.decodeDecimal(dst, b)
	case Float:
		if len(b) == 4 {
			return strconv.AppendFloat(dst, float64(math.Float32frombits(binary.BigEndian.Uint32(b))), 'g', -1, 32), nil
		}
		return strconv.AppendFloat(dst, math.Float64frombits(binary.BigEndian.Uint64(b)), 'g', -1, 64), nil
	}
	return dst, nil
}

func (f *Field) decodeDecimal(dst, b []byte) ([]byte, error) {
	sign := b[len(b)-1] & 0x0f
	if sign < 0x0a {
		return dst, refuse(f, "its bytes are no packed decimal")
	}
	var all [40]byte
	n := 0
	for at := 0; at < 2*len(b)-1; at++ {
		d := b[at/2] >> (4 * (1 - at%2)) & 0x0f
		if d > 9 {
			return dst, refuse(f, "its bytes are no packed decimal")
		}
		all[n] = '0' + d
		n++
	}
	whole, part := all[:n-f.Scale], all[n-f.Scale:n]
	for len(whole) > 0 && whole[0] == '0' {
		whole = whole[1:]
	}
	if len(whole) == 0 {
		whole = []byte("0")
	}
	if (sign == 0x0d || sign == 0x0b) && len(bytes.Trim(all[:n], "0")) > 0 {
		dst = append(dst, '-')
	}
	dst = append(dst, whole...)
	if f.Scale > 0 {
		dst = append(append(dst, '.'), part...)
	}
	return dst, nil
}
