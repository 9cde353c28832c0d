package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"drmesh/admin"
	"drmesh/origin"
	"drmesh/vosio/dd"
	"drmesh/vosio/tin"
)

// input is a text file whose lines become records. It is read twice: once to
// check all of it, once to load it; both must see the same bytes.
type input struct {
	name      string
	f         *os.File
	temporary bool
	size      int64
	changed   time.Time

	layout    *dd.Layout // nil: a line is a record
	delimiter byte
	header    bool

	records int64
}

// openInput opens a file that can be read twice; standard input (-) is kept in
// a temporary file for that.
func (a *app) openInput(name string) (*input, error) {
	in := &input{name: name}
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, admin.Errorf(admin.NotFound, "no_such_file", "", "%v", err)
		}
		in.f = f
	}
	if in.f != nil {
		i, err := in.f.Stat()
		if err != nil {
			return nil, err
		}
		if i.IsDir() {
			in.close()
			return nil, admin.Errorf(admin.Failed, "not_a_file", "", "%s is a directory", name)
		}
		if i.Mode().IsRegular() {
			in.size, in.changed = i.Size(), i.ModTime()
			return in, nil
		}
	}
	t, err := os.CreateTemp("", "drmesh-input-")
	if err != nil {
		return nil, err
	}
	var r io.Reader = a.in
	if in.f != nil {
		r = in.f
		defer in.f.Close()
	}
	in.f, in.temporary = t, true
	if in.size, err = io.Copy(t, r); err != nil {
		in.close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	i, err := t.Stat()
	if err != nil {
		in.close()
		return nil, err
	}
	in.changed = i.ModTime()
	return in, nil
}

func (in *input) close() {
	in.f.Close()
	if in.temporary {
		os.Remove(in.f.Name())
	}
}

// maxLine is the longest line that is looked at as a whole; no record is
// longer, but the text of one may be.
const maxLine = 4 << 20

var errLongLine = errors.New("the line is longer than any record")

// lines hands each line, without its end, to fn. A line that is too long comes
// as its beginning, with errLongLine.
func (in *input) lines(fn func(n int, line []byte, err error) error) error {
	i, err := in.f.Stat()
	if err != nil {
		return err
	}
	if i.Size() != in.size || !i.ModTime().Equal(in.changed) {
		return fmt.Errorf("%s changed while it was read", in.name)
	}
	if _, err := in.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(in.f, 1<<20)
	var long []byte
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		var why error
		if err == bufio.ErrBufferFull {
			long = append(long[:0], line...)
			for err == bufio.ErrBufferFull {
				if line, err = r.ReadSlice('\n'); len(long) < maxLine {
					long = append(long, line...)
				} else {
					why = errLongLine
				}
			}
			line = long
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("read %s: %w", in.name, err)
		}
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		line = bytes.TrimSuffix(line, []byte{'\n'})
		if n > 1 || !in.header {
			if e := fn(n, line, why); e != nil {
				return e
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// encode appends the record that a line stands for.
func (in *input) encode(dst, line []byte) ([]byte, error) {
	if in.layout != nil {
		return in.layout.EncodeLine(dst, line, in.delimiter)
	}
	if len(line) > origin.MaxRecord {
		return dst, fmt.Errorf("%d bytes; a record holds %d", len(line), origin.MaxRecord)
	}
	for _, c := range line {
		if binary(c) {
			return dst, fmt.Errorf("the line holds the byte %#02x: this is no text", c)
		}
	}
	return append(dst, line...), nil
}

// binary reports whether c does not belong in a text.
func binary(c byte) bool {
	return c < ' ' && c != '\t' && c != '\r' && c != '\f' && c != 0x1b || c == 0x7f
}

// maxProblems is how many wrong lines are told of.
const maxProblems = 100

// fingerprint tells keys and records apart without keeping them.
type fingerprint [16]byte

func fingerprintOf(b []byte) fingerprint {
	h := sha256.Sum256(b)
	return fingerprint(h[:16])
}

// check reads all input, and refuses it as a whole if a line would not come
// back byte for byte or two records have a key that allows one. It counts the
// records.
func (in *input) check() error {
	var problems []admin.Problem
	bad := 0
	tell := func(line int, field, text string) {
		if bad++; bad <= maxProblems {
			problems = append(problems, admin.Problem{Line: line, Field: field, Text: text})
		}
	}
	var unique []*dd.Index
	var seen []map[fingerprint]int
	if in.layout != nil {
		for i := range in.layout.Indexes {
			if x := &in.layout.Indexes[i]; !x.Duplicates {
				unique, seen = append(unique, x), append(seen, map[fingerprint]int{})
			}
		}
	}
	in.records = 0
	var rec, key []byte
	err := in.lines(func(n int, line []byte, err error) error {
		in.records++
		if err == nil {
			rec, err = in.encode(rec[:0], line)
		}
		if err != nil {
			if f := (*dd.FieldError)(nil); errors.As(err, &f) {
				tell(n, f.Field, f.Why)
			} else {
				tell(n, "", err.Error())
			}
			return nil
		}
		for i, x := range unique {
			key = keyOf(key[:0], x, rec)
			f := fingerprintOf(key)
			if first, ok := seen[i][f]; ok {
				tell(n, x.Name, fmt.Sprintf("line %d has the same key, and the index allows no duplicates", first))
			} else {
				seen[i][f] = n
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if bad == 0 {
		return nil
	}
	e := admin.Errorf(admin.Failed, "bad_input", "mend these lines, and load again", "%s: %d of %d lines cannot be loaded; nothing was written", in.name, min(int64(bad), in.records), in.records)
	if e.Problems = problems; bad > maxProblems {
		e.Problems = append(e.Problems, admin.Problem{Text: fmt.Sprintf("and %d more", bad-maxProblems)})
	}
	return e
}

// keyOf appends the key of rec in an index.
func keyOf(dst []byte, x *dd.Index, rec []byte) []byte {
	for _, p := range x.Parts {
		dst = append(dst, rec[p.Position-1:p.Position-1+p.Length]...)
	}
	return dst
}

// parseLayout reads a dd; what is wrong in it is told with its lines.
func parseLayout(name string, src []byte) (*dd.Layout, error) {
	l, err := dd.Parse(src)
	if err == nil {
		return l, nil
	}
	e := admin.Errorf(admin.Config, "bad_layout", "", "%s: the layout cannot be used", name)
	var p tin.Problems
	if !errors.As(err, &p) {
		return nil, err
	}
	for _, x := range p {
		e.Problems = append(e.Problems, admin.Problem{Line: x.Line, Field: x.Field, Text: x.Text})
	}
	return nil, e
}

// delimiterOf reads the value of --delimiter.
func delimiterOf(s string) (byte, error) {
	switch s {
	case `\t`, "tab":
		return '\t', nil
	}
	if len(s) != 1 || s[0] == '\n' {
		return 0, usage("--delimiter %q: give one character, or tab", s)
	}
	return s[0], nil
}
