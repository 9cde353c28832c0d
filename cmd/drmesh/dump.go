package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/vosio/dd"
)

func (a *app) dumpCommand() *cobra.Command {
	var layout, delimiter string
	var header bool
	c := &cobra.Command{
		Use:   "dump PATH",
		Short: "Write a file's records as text, a line each, in the order of the file",
		Long: `Dump is the inverse of load. Records come in the order of the key of the file's first unique index, or, where it has
none, in the order in which they stand in the file. The layout that a load kept with the file is used, unless
--layout gives another one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			sep, err := delimiterOf(delimiter)
			if err != nil {
				return err
			}
			var l *dd.Layout
			if layout != "" {
				b, err := a.readFile(layout, dd.MaxSource)
				if err != nil {
					return err
				}
				if l, err = parseLayout(layout, b); err != nil {
					return err
				}
			}
			ctx, path := c.Context(), args[0]
			door, err := a.calls(ctx)
			if err != nil {
				return err
			}
			defer door.close()
			st, err := door.status(ctx, path)
			if err != nil {
				return fileError("look at "+path, err)
			}
			if l == nil && st.Layout != "" {
				if l, err = parseLayout(path, []byte(st.Layout)); err != nil {
					return err
				}
			}
			d := &dumper{a: a, layout: l, delimiter: sep, stream: stream{a: a}}
			if header && l != nil && a.format == "table" {
				names := make([]string, len(l.Fields))
				for i := range l.Fields {
					names[i] = l.Fields[i].Name
				}
				if _, err := fmt.Fprintln(a.out, strings.Join(names, string(sep))); err != nil {
					return err
				}
			}
			p := a.progress("dumping "+path, st.Records)
			n := int64(0)
			err = door.records(ctx, path, firstUnique(st), func(rec []byte) error {
				n++
				p.at(n)
				if err := d.put(rec); err != nil {
					return admin.Errorf(admin.Failed, "no_line", "give the --layout or --delimiter that it was loaded with, or take -o json", "%s: record %d: %v", path, n, err)
				}
				return nil
			})
			if err != nil {
				return fileError("read "+path, err)
			}
			return d.end()
		},
	}
	f := c.Flags()
	f.StringVar(&layout, "layout", "", "the `dd` that tells the fields of a record (the one kept with the file)")
	f.StringVar(&delimiter, "delimiter", "|", "the `character` between fields; tab for a tab")
	f.BoolVar(&header, "header", false, "begin with a line of the fields' names")
	return c
}

// dumper writes records in the form that was asked for.
type dumper struct {
	a         *app
	layout    *dd.Layout
	delimiter byte
	stream    stream
	line      []byte
}

func (d *dumper) put(rec []byte) error {
	if d.a.format == "table" {
		d.line = d.line[:0]
		if d.layout == nil {
			if strings.IndexByte(string(rec), '\n') >= 0 {
				return fmt.Errorf("it holds a line end, so that no line stands for it")
			}
			d.line = append(d.line, rec...)
		} else {
			var err error
			if d.line, err = d.layout.DecodeLine(d.line, rec, d.delimiter); err != nil {
				return err
			}
		}
		d.line = append(d.line, '\n')
		_, err := d.a.out.Write(d.line)
		return err
	}
	if d.layout != nil {
		texts, err := d.layout.Decode(rec)
		if err != nil {
			return err
		}
		v := make(map[string]string, len(texts))
		for i, s := range texts {
			if !utf8.ValidString(s) {
				return fmt.Errorf("%s: the text is not UTF-8, which JSON and YAML need", d.layout.Fields[i].Name)
			}
			v[d.layout.Fields[i].Name] = s
		}
		return d.stream.put(v)
	}
	if utf8.Valid(rec) {
		return d.stream.put(string(rec))
	}
	return d.stream.put(map[string][]byte{"bytes": rec})
}

func (d *dumper) end() error {
	if d.a.format == "table" {
		return nil
	}
	return d.stream.end()
}
