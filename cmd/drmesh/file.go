package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) fileCommand() *cobra.Command {
	return nest("file", "Files of this module", a.fileLs(), a.fileInfo(), a.loadCommand(), a.dumpCommand(), a.fileDigest(), a.fileHistory())
}

func (a *app) fileLs() *cobra.Command {
	return &cobra.Command{
		Use:   "ls [DIRECTORY|SHARE:]",
		Short: "List files",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
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
		},
	}
}

func (a *app) fileInfo() *cobra.Command {
	return &cobra.Command{
		Use:   "info PATH",
		Short: "Describe one file",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
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
		},
	}
}

func (a *app) fileDigest() *cobra.Command {
	var module string
	c := &cobra.Command{
		Use:   "digest PATH",
		Short: "Print a digest of the file: equal on two modules means equal files",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
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
		},
	}
	c.Flags().StringVar(&module, "module", "", "the file at another `module`; PATH is share:path then")
	return c
}

func (a *app) fileHistory() *cobra.Command {
	return &cobra.Command{
		Use:   "history PATH KEY|NUMBER",
		Short: "List the journal's versions of one record",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			l, err := cl.History(c.Context(), args[0], args[1])
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
}
