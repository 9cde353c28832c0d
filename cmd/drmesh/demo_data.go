package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"slices"

	"drmesh/admin"
	"drmesh/vosio/dd"
)

var (
	//go:embed demo/UnicodeData.txt.gz
	unicodeData []byte
	//go:embed demo/UnicodeData.dd
	unicodeLayout []byte
	//go:embed demo/orders.dd
	ordersLayout []byte
)

// A dataset is delimited text with a layout whose first unique index is the
// key of its records. It holds what the records are to be: the scenes change
// it as they change the file.
type dataset struct {
	source    []byte // the dd
	layout    *dd.Layout
	delimiter byte
	key       *dd.Index
	spare     int // the field that scenes rewrite

	order []string          // keys, in the order of the input
	lines map[string][]byte // by key: the line that a dump must show
}

// unicode is the Unicode character database, version 15.0.
func unicode() (text, layout []byte, err error) {
	z, err := gzip.NewReader(bytes.NewReader(unicodeData))
	if err != nil {
		return nil, nil, err
	}
	text, err = io.ReadAll(z)
	return text, unicodeLayout, err
}

// newDataset reads text by a layout.
func newDataset(text, source []byte, delimiter byte) (*dataset, error) {
	l, err := dd.Parse(source)
	if err != nil {
		return nil, admin.Errorf(admin.Failed, "bad_layout", "", "layout: %v", err)
	}
	d := &dataset{source: source, layout: l, delimiter: delimiter, spare: -1, lines: map[string][]byte{}}
	if d.key = identity(l); d.key == nil {
		return nil, usage("demo: the layout needs an index without duplicates, for example: index: id (id) no_duplicates;")
	}
	for i := range l.Fields {
		f := &l.Fields[i]
		if f.Type != dd.Char && f.Type != dd.Varying || slices.ContainsFunc(l.Indexes, func(x dd.Index) bool {
			return slices.ContainsFunc(x.Parts, func(p dd.Part) bool { return p.Field == i })
		}) {
			continue
		}
		// The first text of some width, else the widest.
		if d.spare < 0 || l.Fields[d.spare].N < 24 && f.N > l.Fields[d.spare].N {
			d.spare = i
		}
	}
	if d.spare < 0 || l.Fields[d.spare].N < 8 {
		return nil, usage("demo: the layout needs a char field of 8 or more that is in no index: the demo rewrites it")
	}
	for n, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		rec, err := l.EncodeLine(nil, line, delimiter)
		if err != nil {
			return nil, &admin.Error{Class: admin.Failed, Code: "bad_input", Message: "the input does not fit the layout",
				Problems: []admin.Problem{{Line: n + 1, Text: err.Error()}}}
		}
		k := string(keyOf(nil, d.key, rec))
		if _, twice := d.lines[k]; twice {
			return nil, &admin.Error{Class: admin.Failed, Code: "bad_input", Message: "the input has a key twice",
				Problems: []admin.Problem{{Line: n + 1, Text: fmt.Sprintf("key %q of index %s", k, d.key.Name)}}}
		}
		d.order = append(d.order, k)
		d.lines[k] = line
	}
	return d, nil
}

// identity is the index that addresses the records of a file with this layout.
func identity(l *dd.Layout) *dd.Index {
	for i := range l.Indexes {
		if !l.Indexes[i].Duplicates {
			return &l.Indexes[i]
		}
	}
	return nil
}

// rewritten gives the record with another text in its spare field, and the
// line that stands for it.
func (d *dataset) rewritten(key, text string) (rec, line []byte, err error) {
	fields := bytes.Split(d.lines[key], []byte{d.delimiter})
	if most := d.layout.Fields[d.spare].N; len(text) > most {
		text = text[len(text)-most:] // what differs stands at the end
	}
	fields[d.spare] = []byte(text)
	line = bytes.Join(fields, []byte{d.delimiter})
	rec, err = d.layout.EncodeLine(nil, line, d.delimiter)
	return rec, line, err
}

// dump is what a dump of the file must print: lines in the order of keys.
func (d *dataset) dump() []byte {
	keys := make([]string, 0, len(d.lines))
	for k := range d.lines {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b bytes.Buffer
	for _, k := range keys {
		b.Write(d.lines[k])
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// orders makes up n records.
func orders(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%08d;%d boxes of paper\n", i+1, i%97+1)
	}
	return b.Bytes()
}

// text is the records as lines, in the order of the input.
func (d *dataset) text() []byte {
	var b bytes.Buffer
	for _, k := range d.order {
		b.Write(d.lines[k])
		b.WriteByte('\n')
	}
	return b.Bytes()
}
