package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/vosio/call"
	"drmesh/vosio/dd"
	"drmesh/vosio/record"
)

// inFlight is how many calls of a load are under way at once.
const inFlight = 256

// loader is one load: what is read, where it goes, and how far it is.
type loader struct {
	a    *app
	path string
	in   *input
	src  string // text of the layout

	appendTo, replace, resume bool

	made    bool // the file was made or emptied by this load
	written atomic.Int64
	skipped int64
	differ  int64 // resumed: the key is there, with other bytes
}

// loaded is the answer of a load.
type loaded struct {
	Path    string  `json:"path"`
	Input   string  `json:"input"`
	Records int64   `json:"records"` // of the input
	Written int64   `json:"written"`
	Skipped int64   `json:"skipped"` // there already, with --resume
	Differ  int64   `json:"changed_since"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"rate_per_s"`
}

func (a *app) loadCommand() *cobra.Command {
	l := &loader{a: a}
	var from, layout, delimiter string
	var header, dry bool
	c := &cobra.Command{
		Use:   "load PATH --from FILE",
		Short: "Read a text file into a file, a line a record, through the calls of applications",
		Long: `Load reads a text file into a file: with a layout (dd), each line has the fields of a record with the delimiter
between them; without one, each line is a record of a sequential file.

All input is read and checked first. What would not come back byte for byte is refused with its line numbers,
and nothing is written. Then 256 calls and more are kept in flight. If something stops a load on its way, it says
what is done (exit 8), and the same command with --resume goes on.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l.path = args[0]
			if from == "" {
				return usage("file load: give --from FILE; - is standard input")
			}
			if n := count(l.appendTo, l.replace, l.resume); n > 1 {
				return usage("file load: --append, --replace and --resume exclude each other")
			}
			in, err := a.openInput(from)
			if err != nil {
				return err
			}
			defer in.close()
			l.in, in.header = in, header
			if in.delimiter, err = delimiterOf(delimiter); err != nil {
				return err
			}
			if layout != "" {
				b, err := a.readFile(layout, dd.MaxSource)
				if err != nil {
					return err
				}
				l.src = string(b)
				if in.layout, err = parseLayout(layout, b); err != nil {
					return err
				}
				for _, w := range in.layout.Warnings {
					a.say("warning: %s: %s", layout, w)
				}
			}
			return l.run(c.Context(), dry)
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "", "the text `file`; - is standard input")
	f.StringVar(&layout, "layout", "", "the `dd` that tells the fields of a record")
	f.StringVar(&delimiter, "delimiter", "|", "the `character` between fields; tab for a tab")
	f.BoolVar(&header, "header", false, "the first line names the fields: leave it out")
	f.BoolVar(&l.appendTo, "append", false, "add to the file if it exists")
	f.BoolVar(&l.replace, "replace", false, "remove what the file holds first")
	f.BoolVar(&l.resume, "resume", false, "go on with a load that was stopped")
	f.BoolVar(&dry, "dry-run", false, "check the input only")
	return c
}

func count(l ...bool) int {
	n := 0
	for _, b := range l {
		if b {
			n++
		}
	}
	return n
}

// run checks, prepares, writes, and tells what came of it.
func (l *loader) run(ctx context.Context, dry bool) error {
	if l.in.layout != nil || !l.appendTo && !l.replace && !l.resume {
		if err := l.in.check(); err != nil {
			return err
		}
	}
	if dry {
		l.a.say("%s: %d records, all of them can be loaded", l.in.name, l.in.records)
		if l.a.format == "table" {
			return nil
		}
		return l.a.emit(loaded{Path: l.path, Input: l.in.name, Records: l.in.records}, nil)
	}
	door, err := l.a.calls(ctx)
	if err != nil {
		return err
	}
	defer door.close()
	there, err := l.prepare(ctx, door)
	if err != nil {
		return err
	}
	begun := time.Now()
	err = l.write(ctx, door, there)
	took := time.Since(begun).Seconds()
	done := l.written.Load()
	v := loaded{Path: l.path, Input: l.in.name, Records: l.in.records, Written: done, Skipped: l.skipped, Differ: l.differ, Seconds: took}
	if took > 0 {
		v.Rate = float64(done) / took
	}
	if l.differ > 0 {
		l.a.say("%d records of %s were changed since they were loaded; they stay as they are", l.differ, l.path)
	}
	if err != nil {
		return l.stopped(ctx, v, err)
	}
	if l.a.format == "table" {
		l.a.say("%s: %d records from %s in %.1f s", l.path, done, l.in.name, took)
		return nil
	}
	return l.a.emit(v, nil)
}

// stopped tells what a load that did not come to its end has left.
func (l *loader) stopped(ctx context.Context, v loaded, err error) error {
	if v.Written == 0 && !l.made {
		return fileError("load "+l.path, err)
	}
	e := admin.Errorf(admin.Partly, "load_stopped", "go on with the same command and --resume",
		"load %s: stopped after %d of %d records: %v", l.path, v.Written+v.Skipped, v.Records, fileError("write", err))
	if ctx.Err() != nil {
		e.Class, e.Code = admin.Interrupted, "interrupted"
		e.Message = fmt.Sprintf("load %s: interrupted after %d of %d records", l.path, v.Written+v.Skipped, v.Records)
	}
	if l.a.format != "table" {
		if e := l.a.emit(v, nil); e != nil {
			return e
		}
	}
	return e
}

// fingerprints counts what a file holds: records by their bytes, and which
// keys are taken in its unique indexes.
type fingerprints struct {
	records map[fingerprint]int
	keys    []map[fingerprint]struct{}
}

// prepare makes the file ready to be written, and for a load that goes on
// tells what it holds already.
func (l *loader) prepare(ctx context.Context, door *calls) (*fingerprints, error) {
	st, err := door.status(ctx, l.path)
	exists := err == nil
	if err != nil && !errors.Is(err, call.ObjectNotFound) {
		return nil, fileError("look at "+l.path, err)
	}
	if exists && !l.appendTo && !l.replace && !l.resume {
		return nil, admin.Errorf(admin.Precondition, "file_exists", "give --append, --replace or --resume, or delete it first", "%s exists", l.path)
	}
	if l.in.layout == nil && exists && st.Layout != "" {
		l.src = st.Layout
		if l.in.layout, err = parseLayout(l.path, []byte(st.Layout)); err != nil {
			return nil, err
		}
	}
	if l.appendTo || l.replace || l.resume {
		// Again, or for the first time: now the layout is known.
		if err := l.in.check(); err != nil {
			return nil, err
		}
	}
	want := l.shape()
	var have *fingerprints
	if exists {
		why := differs(want, st)
		switch {
		case l.replace && why == "":
			if err := door.TruncateFile(ctx, l.path); err != nil {
				return nil, fileError("empty "+l.path, err)
			}
			l.made = true
		case l.replace:
			if err := door.DeleteFile(ctx, l.path); err != nil {
				return nil, fileError("delete "+l.path, err)
			}
			exists, l.made = false, true
		case why != "" && !(l.resume && st.Records == 0):
			return nil, admin.Errorf(admin.Precondition, "file_differs", "load it into another file, or give --replace", "%s: %s", l.path, why)
		default:
			if have, err = l.read(ctx, door, st); err != nil {
				return nil, fileError("read "+l.path, err)
			}
		}
	}
	if !exists {
		if err := door.CreateFile(ctx, l.path, want.Org, want.Size); err != nil {
			return nil, fileError("create "+l.path, err)
		}
		l.made = true
	}
	if !exists || l.resume || st.Records == 0 {
		for i := range want.Indexes {
			x := &want.Indexes[i]
			if exists && slices.ContainsFunc(st.Indexes, func(y record.Index) bool { return y.Name == x.Name }) {
				continue
			}
			if err := door.createIndex(ctx, l.path, x); err != nil {
				return nil, fileError("create index "+x.Name+" of "+l.path, err)
			}
		}
		if l.src != "" && (!exists || st.Layout != l.src) {
			if err := door.SetLayout(ctx, l.path, l.src); err != nil {
				return nil, fileError("keep the layout with "+l.path, err)
			}
		}
	}
	if l.appendTo && have != nil {
		if err := l.clash(have); err != nil {
			return nil, err
		}
		have = nil
	}
	return have, nil
}

// shape is the file that the input wants.
func (l *loader) shape() *call.Status {
	s := &call.Status{Org: call.OrgSequential}
	if l.in.layout == nil {
		return s
	}
	switch l.in.layout.Organization {
	case "fixed":
		s.Org, s.Size = call.OrgFixed, l.in.layout.RecordSize
	case "relative":
		s.Org, s.Size = call.OrgRelative, l.in.layout.RecordSize
	case "stream":
		s.Org = call.OrgStream
	}
	for i := range l.in.layout.Indexes {
		s.Indexes = append(s.Indexes, indexOf(&l.in.layout.Indexes[i]))
	}
	return s
}

// unique lists the indexes of the layout that allow a key once.
func (l *loader) unique() []*dd.Index {
	var u []*dd.Index
	if l.in.layout != nil {
		for i := range l.in.layout.Indexes {
			if x := &l.in.layout.Indexes[i]; !x.Duplicates {
				u = append(u, x)
			}
		}
	}
	return u
}

// read takes the fingerprints of what the file holds.
func (l *loader) read(ctx context.Context, door *calls, st *call.Status) (*fingerprints, error) {
	unique := l.unique()
	h := &fingerprints{records: map[fingerprint]int{}, keys: make([]map[fingerprint]struct{}, len(unique))}
	for i := range h.keys {
		h.keys[i] = map[fingerprint]struct{}{}
	}
	var key []byte
	p := l.a.progress("reading "+l.path, st.Records)
	n := int64(0)
	err := door.records(ctx, l.path, "", func(rec []byte) error {
		h.records[fingerprintOf(rec)]++
		for i, x := range unique {
			if len(rec) == l.in.layout.RecordSize {
				key = keyOf(key[:0], x, rec)
				h.keys[i][fingerprintOf(key)] = struct{}{}
			}
		}
		n++
		p.at(n)
		return nil
	})
	return h, err
}

// clash refuses input with keys that the file has.
func (l *loader) clash(have *fingerprints) error {
	unique := l.unique()
	if len(unique) == 0 || len(have.records) == 0 {
		return nil
	}
	var problems []admin.Problem
	bad := 0
	var rec, key []byte
	err := l.in.lines(func(n int, line []byte, err error) error {
		if err == nil {
			rec, err = l.in.encode(rec[:0], line)
		}
		if err != nil {
			return err
		}
		for i, x := range unique {
			key = keyOf(key[:0], x, rec)
			if _, ok := have.keys[i][fingerprintOf(key)]; ok {
				if bad++; bad <= maxProblems {
					problems = append(problems, admin.Problem{Line: n, Field: x.Name, Text: "a record of the file has the same key, and the index allows no duplicates"})
				}
			}
		}
		return nil
	})
	if err != nil || bad == 0 {
		return err
	}
	if bad > maxProblems {
		problems = append(problems, admin.Problem{Text: fmt.Sprintf("and %d more", bad-maxProblems)})
	}
	e := admin.Errorf(admin.Failed, "bad_input", "mend these lines, and load again", "%s: %d keys are in %s already; nothing was written", l.in.name, bad, l.path)
	e.Problems = problems
	return e
}

// write writes every record that is not there yet, with inFlight calls under
// way. The first error ends it; calls that are under way then may still work.
func (l *loader) write(ctx context.Context, door *calls, have *fingerprints) error {
	unique := l.unique()
	o := call.OpenOptions{Org: l.shape().Org, Size: l.shape().Size, IO: call.Append, Lock: call.ImplicitLocking, Access: call.Sequential}
	// Records without an order of their own stand in the order in which they
	// were written: those calls go one after the other.
	conns := 1
	if len(unique) > 0 {
		conns = inFlight / 4
	}
	w, err := door.writer(ctx, l.path, o, conns, inFlight)
	if err != nil {
		return err
	}
	p := l.a.progress("loading "+l.path, l.in.records)
	var failed atomic.Pointer[error]
	done := func(n int, err error) {
		if err != nil {
			err = fmt.Errorf("line %d: %w", n, err)
			failed.CompareAndSwap(nil, &err)
			return
		}
		l.written.Add(1)
	}
	var rec, key []byte
	err = l.in.lines(func(n int, line []byte, err error) error {
		if err == nil {
			rec, err = l.in.encode(rec[:0], line)
		}
		if err != nil {
			return err
		}
		if have != nil {
			if f := fingerprintOf(rec); have.records[f] > 0 {
				have.records[f]--
				l.skipped++
				return nil
			}
			for i, x := range unique {
				key = keyOf(key[:0], x, rec)
				if _, ok := have.keys[i][fingerprintOf(key)]; ok {
					l.skipped++
					l.differ++
					return nil
				}
			}
		}
		if failed.Load() != nil {
			return errStopped
		}
		if err := w.write(ctx, rec, func(err error) { done(n, err) }); err != nil {
			return err
		}
		p.free = l.skipped
		p.at(l.written.Load() + l.skipped)
		return nil
	})
	w.close(context.WithoutCancel(ctx))
	p.end(l.written.Load() + l.skipped)
	if e := failed.Load(); e != nil {
		return *e
	}
	return err
}

var errStopped = errors.New("stopped")
