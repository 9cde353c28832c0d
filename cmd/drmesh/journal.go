package main

import (
	"errors"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) journalCommand() *cobra.Command {
	return nest("journal", "What was changed, in the order it was applied here",
		a.journal("dump", "Print the journal as it stands", false),
		a.journal("tail", "Print changes as they are applied, until interrupted", true))
}

func (a *app) journal(use, short string, follow bool) *cobra.Command {
	r := admin.JournalRequest{Follow: follow}
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			var err error
			s := &stream{a: a, head: []any{"AT", "DOT", "KIND", "SHARE", "FILE", "ADDRESS", "PROCESS", "DATA"}, widths: []int{24, 20, 8, 8, 16, 16, 8}}
			enough := errors.New("enough")
			err = cl.Journal(c.Context(), r, func(x *admin.Change) error {
				if err := s.put(x, x.At, x.Dot, x.Kind, x.Share, x.File, x.Address, x.Process, x.Data); err != nil {
					return err
				}
				if r.Limit > 0 && s.n >= r.Limit {
					return enough
				}
				if follow {
					return a.flush()
				}
				return nil
			})
			if errors.Is(err, enough) {
				err = nil
			}
			if e := s.end(); err == nil {
				err = e
			}
			return err
		}),
	}
	f := c.Flags()
	f.StringVar(&r.From, "from", "", "begin at a `dot` (%east#m1.1/main:907) or a time (RFC 3339); left out, dump begins at the beginning, tail with what is to come")
	f.StringVar(&r.Share, "share", "", "changes of one `share` only")
	f.IntVar(&r.Limit, "limit", 0, "end after so many changes; 0: all")
	return c
}
