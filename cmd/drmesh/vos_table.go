package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"drmesh/admin"
	"drmesh/vosio/call"
	"drmesh/vosio/dd"
	"drmesh/vosio/tin"
)

var tableCommands = []vosCommand{
	{name: "create_table", args: "PATH [-delete]", short: "Make PATH.table of the records of PATH.tin, laid out by PATH.dd", least: 1, most: 1, run: vosCreateTable,
		switches: []vosSwitch{{name: "delete", help: "delete a table that exists first"}}},
}

// vosCreateTable makes a table file: a record for each of the TIN text, with
// the fields of the dd, what the text leaves out as the dd's default, else 0 or
// blank. All is checked before anything is made.
func vosCreateTable(r *vosRun) error {
	stem := strings.TrimSuffix(r.words[0], ".table")
	to := stem + ".table"
	if err := r.do("made", to, "", func() error {
		layout, src, records, err := r.tableOf(stem)
		if err != nil {
			return err
		}
		if err := r.makeRoom(to, to); err != nil {
			return err
		}
		return r.writeTable(to, layout, src, records)
	}); err != nil {
		return err
	}
	return r.tell(false)
}

// tableOf reads and checks the two texts of a table.
func (r *vosRun) tableOf(stem string) (layout *dd.Layout, src string, records [][]byte, err error) {
	text, err := r.textOf(stem+".dd", dd.MaxSource)
	if err != nil {
		return nil, "", nil, err
	}
	layout, err = parseLayout(stem+".dd", text)
	if err != nil {
		return nil, "", nil, err
	}
	src = string(text)
	if text, err = r.textOf(stem+".tin", tin.MaxSource); err != nil {
		return nil, "", nil, err
	}
	t, err := tin.ParseTIN(text)
	var problems tin.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, "", nil, err
	}
	if err == nil {
		for i := range t.Records {
			if rec := tableRecord(layout, &t.Records[i], &problems); rec != nil {
				records = append(records, rec)
			}
		}
	}
	if len(problems) > 0 {
		e := admin.Errorf(admin.Config, "bad_table", "nothing was made", "%s.tin: %d problems", stem, len(problems))
		for _, p := range problems {
			e.Problems = append(e.Problems, admin.Problem{Line: p.Line, Field: p.Field, Text: p.Text})
		}
		return nil, "", nil, e
	}
	return layout, src, records, nil
}

// tableRecord lays a record out; nil: what is wrong is in problems.
func tableRecord(layout *dd.Layout, rec *tin.Record, problems *tin.Problems) []byte {
	texts := make([][]byte, len(layout.Fields))
	lines := make([]int, len(layout.Fields))
	bad := false
	for _, f := range rec.Fields {
		i, ok := layout.Field(f.Name)
		if !ok {
			problems.Add(f.Line, f.Name, "the dd has no such field")
			bad = true
			continue
		}
		texts[i], lines[i] = []byte(f.Value), f.Line
	}
	for i := range layout.Fields {
		f := &layout.Fields[i]
		if lines[i] == 0 && f.Default != nil {
			texts[i] = []byte(*f.Default)
		}
		texts[i] = []byte(tableText(f, string(texts[i])))
		if _, err := (&dd.Layout{Fields: []dd.Field{*f}, RecordSize: layout.RecordSize}).Encode(nil, texts[i:i+1]); err != nil {
			problems.Add(cmp.Or(lines[i], rec.Line), strings.ToLower(f.Name), "%s", strings.TrimPrefix(err.Error(), f.Name+": "))
			bad = true
		}
	}
	if bad {
		return nil
	}
	b, err := layout.Encode(nil, texts)
	if err != nil {
		problems.Add(rec.Line, "", "%v", err)
		return nil
	}
	return b
}

// tableText is a value of a TIN text in the form that a layout takes: a number
// that is left out is 0, and one bit may be said in words.
func tableText(f *dd.Field, s string) string {
	switch f.Type {
	case dd.Char, dd.Varying:
		return s
	case dd.Bit, dd.BitAligned:
		if f.N == 1 {
			switch strings.ToLower(s) {
			case "yes", "true":
				return "1"
			case "no", "false":
				return "0"
			}
		}
		if s == "" {
			return strings.Repeat("0", f.N)
		}
	case dd.Picture:
		if len(s) < f.N {
			return strings.Repeat("0", f.N-len(s)) + s
		}
	}
	return cmp.Or(s, "0")
}

// textOf reads the records of a file as lines.
func (r *vosRun) textOf(path string, most int) ([]byte, error) {
	if _, err := r.door.status(r.ctx, path); err != nil {
		return nil, fileError(r.name+" "+path, err)
	}
	var b []byte
	err := r.door.records(r.ctx, path, "", func(rec []byte) error {
		if len(b)+len(rec) > most {
			return fmt.Errorf("%s: it has more than %d bytes", path, most)
		}
		b = append(append(b, rec...), '\n')
		return nil
	})
	return b, err
}

// writeTable makes the file, its indexes and its records. One that fails leaves
// none.
func (r *vosRun) writeTable(to string, layout *dd.Layout, src string, records [][]byte) (err error) {
	org, size := call.OrgRelative, layout.RecordSize
	if layout.Stated {
		switch layout.Organization {
		case "fixed":
			org = call.OrgFixed
		case "sequential":
			org, size = call.OrgSequential, 0
		case "stream":
			return usage("%s: a table of organization stream: its records have no size", r.name)
		}
	}
	if err := r.door.CreateFile(r.ctx, to, org, size); err != nil {
		return err
	}
	port := 0
	defer func() {
		if port != 0 {
			err = cmp.Or(err, r.door.Detach(context.WithoutCancel(r.ctx), port))
		}
		if err != nil {
			err = errors.Join(err, r.door.DeleteFile(context.WithoutCancel(r.ctx), to))
		}
	}()
	for i := range layout.Indexes {
		x := indexOf(&layout.Indexes[i])
		if err := r.door.createIndex(r.ctx, to, &x); err != nil {
			return err
		}
	}
	if err := r.door.SetLayout(r.ctx, to, src); err != nil {
		return err
	}
	if port, err = r.door.OpenPath(r.ctx, to, call.OpenOptions{IO: call.Append, Lock: call.SetLockDontWait, Access: call.Sequential}); err != nil {
		return err
	}
	for i, rec := range records {
		if err := r.door.SeqWrite(r.ctx, port, rec); err != nil {
			return fmt.Errorf("record %d: %w", i+1, err)
		}
	}
	return nil
}
