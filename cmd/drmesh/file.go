package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
	"drmesh/vosio/call"
	"drmesh/vosio/path"
)

func (a *app) fileCommand() *cobra.Command {
	return nest("file", "Files of this module", a.fileLs(), a.fileInfo(), a.loadCommand(), a.dumpCommand(), a.fileDigest(), a.fileHistory(), a.fileStats())
}

func (a *app) fileLs() *cobra.Command {
	return &cobra.Command{
		Use:   "ls [DIRECTORY|SHARE:]",
		Short: "List files",
		Args:  cobra.MaximumNArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			under := ""
			if len(args) > 0 {
				under = args[0]
			}
			l, err := cl.Files(c.Context(), under)
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("PATH", "SHARE", "ORGANIZATION", "SIZE", "RECORDS", "BYTES", "INDEXES", "PARKED", "WITHHELD")
				for _, f := range l {
					t.row(f.Path, f.Share, f.Org, f.Size, f.Records, f.Bytes, f.Indexes, f.Parked, f.Withheld)
				}
			})
		}),
	}
}

func (a *app) fileStats() *cobra.Command {
	var module, program string
	c := &cobra.Command{
		Use:   "stats [PATH]",
		Short: "Count the calls that programs made on files, since the node started",
		Args:  cobra.MaximumNArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			under := ""
			if len(args) > 0 {
				under = args[0]
			}
			s, err := cl.FileStats(c.Context(), module, under)
			if err != nil {
				return err
			}
			s.Counts = slices.DeleteFunc(s.Counts, func(f admin.FileCalls) bool {
				return program != "" && !path.Match(program, f.Program)
			})
			return a.emit(s, func(t *table) {
				t.row("PROGRAM", "FILE", "CALL", "MADE", "FAILED")
				for _, f := range s.Counts {
					for _, x := range f.Calls {
						t.row(f.Program, cmp.Or(f.File, "-"), x.Call, x.Made, x.Failed)
					}
				}
			})
		}),
	}
	c.Flags().StringVar(&module, "module", "", "have this `member` answer")
	c.Flags().StringVar(&program, "program", "", "programs of this `star name` alone")
	return c
}

func (a *app) fileInfo() *cobra.Command {
	return &cobra.Command{
		Use:   "info PATH",
		Short: "Describe one file",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			f, err := cl.File(c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.emit(f, func(t *table) {
				t.row("path", f.Path)
				t.row("share", f.Share)
				t.row("file id", f.ID)
				t.row("organization", f.Org)
				t.row("record size", f.Size)
				t.row("records", f.Records)
				t.row("bytes", f.Bytes)
				t.row("indexes", f.Indexes)
				t.row("parked", f.Parked)
				t.row("withheld", f.Withheld)
				t.row("layout kept", f.Layout)
				if f.Computed {
					t.row("name", "computed: another file has the name it was made under")
				}
			})
		}),
	}
}

func (a *app) fileDigest() *cobra.Command {
	var module string
	c := &cobra.Command{
		Use:   "digest PATH",
		Short: "Print a digest of the file: equal on two modules means equal files",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			d, err := cl.Digest(c.Context(), module, args[0])
			if err != nil {
				return err
			}
			if d.Parked > 0 {
				a.say("%d records are parked here, and left out", d.Parked)
			}
			if a.format == "table" {
				_, err := fmt.Fprintf(a.out, "%s %d %s\n", d.Digest, d.Records, d.Path)
				return err
			}
			return a.emit(d, nil)
		}),
	}
	c.Flags().StringVar(&module, "module", "", "the file at another `module`; PATH is share:path then")
	return c
}

func (a *app) fileHistory() *cobra.Command {
	var delimiter string
	c := &cobra.Command{
		Use:   "history PATH KEY|NUMBER",
		Short: "List the journal's versions of one record",
		Long: `History lists the journal's versions of one record: of a keyed file by the text of its first unique key, as the
layout kept with the file reads it (several parts with the delimiter between them), of other files by number.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			sep, err := delimiterOf(delimiter)
			if err != nil {
				return err
			}
			key, err := a.keyText(ctx, args[0], args[1], sep)
			if err != nil {
				return err
			}
			cl, err := a.open(ctx)
			if err != nil {
				return err
			}
			defer cl.Close()
			l, err := cl.History(ctx, args[0], key)
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("DOT", "AT", "MODULE", "PROCESS", "KIND", "DATA")
				for _, x := range l {
					t.row(x.Dot, x.At, x.Module, x.Process, x.Kind, x.Data)
				}
			})
		},
	}
	c.Flags().StringVar(&delimiter, "delimiter", "|", "the `character` between the parts of a key; tab for a tab")
	return c
}

// keyText gives the bytes of the key that text stands for in a file, by the
// layout kept with it. What is no key of a layout stays as it is.
func (a *app) keyText(ctx context.Context, path, text string, sep byte) (string, error) {
	door, err := a.calls(ctx)
	if err != nil {
		return "", err
	}
	defer door.close()
	st, err := door.status(ctx, path)
	if err != nil {
		return "", fileError("look at "+path, err)
	}
	if st.Layout == "" || st.Org == call.OrgFixed || st.Org == call.OrgRelative {
		return text, nil
	}
	l, err := parseLayout(path, []byte(st.Layout))
	if err != nil {
		return "", err
	}
	for i := range l.Indexes {
		x := &l.Indexes[i]
		if x.Name != firstUnique(st) {
			continue
		}
		parts := [][]byte{[]byte(text)}
		if len(x.Parts) > 1 {
			parts = bytes.Split([]byte(text), []byte{sep})
		}
		key, err := l.EncodeKey(nil, x, parts)
		if err != nil {
			return "", usage("%s: %q is no key of the index %s: %v", path, text, x.Name, err)
		}
		return string(key), nil
	}
	return text, nil
}
