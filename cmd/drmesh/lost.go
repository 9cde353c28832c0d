package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) lostCommand() *cobra.Command {
	return nest("lost", "Transactions that were undone because their owner was gone", a.lostLs(), a.lostShow(), a.lostDiff(), a.lostReplay(), a.lostDiscard(), a.lostSalvage(), a.lostExport())
}

func (a *app) lostLs() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the lost-transaction files of all modules",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			l, err := cl.LostFiles(c.Context())
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("NAME", "GROUP", "EPOCH", "WRITTEN_BY", "END", "MODULE", "TXNS", "REPLAYED", "DISCARDED", "OPEN", "MADE")
				for _, f := range l {
					t.row(f.Name, f.Group, f.Epoch, cmp.Or(f.Origin, f.Owner), f.End, f.Module, f.Txns, f.Replays, f.Given, f.Open, f.Made)
				}
			})
		}),
	}
}

// lostFile is a command that shows one file.
func (a *app) lostFile(use, short string, show func(t *table, f *admin.LostFile)) *cobra.Command {
	return &cobra.Command{
		Use:   use + " NAME",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			f, err := cl.LostFile(c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.emit(f, func(t *table) { show(t, f) })
		}),
	}
}

func (a *app) lostShow() *cobra.Command {
	return a.lostFile("show", "Show a lost-transaction file, each transaction with before and after images and a verdict", func(t *table, f *admin.LostFile) {
		t.row("file", f.Name+" of "+f.Module)
		t.row("mesh", f.Mesh)
		if f.Origin == "" {
			t.row("group", fmt.Sprintf("%s, epoch %d of %s, ended at %d", f.Group, f.Epoch, f.Owner, f.End))
		} else {
			t.row("group", fmt.Sprintf("%s, written by %s after lost transactions of epoch %d of %s, ended at %d", f.Group, f.Origin, f.Epoch, f.Owner, f.End))
		}
		for _, x := range f.Transactions {
			t.row("")
			t.row(fmt.Sprint("txn ", x.Number), x.Dot, x.At, x.Process, x.State, x.Verdict)
			for _, op := range x.Ops {
				t.row("  "+op.Kind, op.File, op.Address, op.Verdict, op.Why)
				t.row("    before", lostImage(op.Before))
				t.row("    after", lostImage(op.After))
			}
		}
	})
}

func (a *app) lostDiff() *cobra.Command {
	return a.lostFile("diff", "Show what the open transactions of a lost-transaction file would change of what stands now", func(t *table, f *admin.LostFile) {
		for _, x := range f.Transactions {
			if x.State != "open" {
				continue
			}
			for _, op := range x.Ops {
				if op.Verdict == admin.LostSuperseded {
					continue
				}
				t.row(fmt.Sprint("txn ", x.Number), op.File, op.Address, op.Verdict)
				t.row("  -", lostImage(op.Now))
				t.row("  +", lostImage(op.After))
			}
		}
	})
}

// lostImage is the form of a record for people.
func lostImage(b []byte) string {
	if b == nil {
		return "(no record)"
	}
	return fmt.Sprintf("%q", b)
}

func (a *app) lostReplay() *cobra.Command {
	var safe, dry bool
	c := &cobra.Command{
		Use:   "replay NAME",
		Short: "Have the group's owner commit the transactions of a file again, as its own",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			if dry {
				f, err := cl.LostFile(c.Context(), args[0])
				if err != nil {
					return err
				}
				return a.emit(f, func(t *table) {
					t.row("NUMBER", "STATE", "VERDICT")
					for _, x := range f.Transactions {
						t.row(x.Number, x.State, x.Verdict)
					}
				})
			}
			r, err := cl.LostReplay(c.Context(), admin.LostChange{Name: args[0], Safe: safe})
			if err != nil {
				return err
			}
			return a.emit(r, func(t *table) {
				t.row("replayed", r.Replayed)
				t.row("stood already", r.Superseded)
				t.row("left", r.Left)
			})
		}),
	}
	c.Flags().BoolVar(&safe, "safe", false, "replay those whose verdict is safe, and leave the others")
	c.Flags().BoolVar(&dry, "dry-run", false, "show the verdicts only")
	return c
}

func (a *app) lostSalvage() *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "salvage",
		Short: "Keep what the directory of a module that is out of the mesh has and nobody else",
		Long: `Keep what the directory of a module that is out of the mesh has and nobody else.
A module that was put out of the mesh while it was cut off may have written what no other module has. Its directory is read by the
module that is asked, and not changed; each transaction beyond the end of its streams goes into a lost-transaction file there. "lost
replay --safe" then commits again, whole, those of which all that they replaced stands still as it was seen; the rest stays in the file.
To come back, the module joins with a token and a new directory.`,
		Args: cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			if from == "" {
				return usage("lost salvage: --from: give the directory")
			}
			dir, err := filepath.Abs(from)
			if err != nil {
				return err
			}
			l, err := cl.LostSalvage(c.Context(), admin.LostSalvage{From: dir})
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("NAME", "GROUP", "TXNS")
				for _, f := range l {
					t.row(f.Name, f.Group, f.Txns)
				}
			})
		}),
	}
	c.Flags().StringVar(&from, "from", "", "the `directory` of the module that is out of the mesh")
	return c
}

func (a *app) lostDiscard() *cobra.Command {
	var accept bool
	c := &cobra.Command{
		Use:   "discard NAME",
		Short: "Close a lost-transaction file: what is open in it is given up; the file stays",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			if _, err := cl.LostFile(c.Context(), args[0]); err != nil {
				return err
			}
			if !accept {
				return admin.Errorf(admin.WouldLose, "would_lose", "export it first with \"drmesh lost export\", then give --accept-loss", "what is open in %s would be given up", args[0])
			}
			f, err := cl.LostDiscard(c.Context(), args[0])
			if err != nil {
				return err
			}
			if a.format == "table" {
				return nil
			}
			f.Transactions = nil
			return a.emit(f, nil)
		}),
	}
	c.Flags().BoolVar(&accept, "accept-loss", false, "give up what is open in it")
	return c
}

func (a *app) lostExport() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "export NAME --to FILE",
		Short: "Write a lost-transaction file, with today's verdicts, to FILE as JSON",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if to == "" {
				return usage("lost export: give --to FILE")
			}
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			f, err := cl.LostFile(c.Context(), args[0])
			if err != nil {
				return err
			}
			b, err := json.MarshalIndent(f, "", " ")
			if err != nil {
				return err
			}
			w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return admin.Errorf(admin.Precondition, "file_exists", "name a file that is not there", "export %s: %v", args[0], err)
			}
			if _, err = w.Write(append(b, '\n')); err == nil {
				err = w.Sync()
			}
			if cerr := w.Close(); err == nil {
				err = cerr
			}
			if err != nil {
				return err
			}
			a.say("%d transactions are in %s", len(f.Transactions), to)
			if a.format == "table" {
				return nil
			}
			return a.emit(map[string]any{"name": f.Name, "file": to, "txns": len(f.Transactions)}, nil)
		},
	}
	c.Flags().StringVar(&to, "to", "", "the `file` to write")
	return c
}
