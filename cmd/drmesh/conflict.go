package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
	"drmesh/vosio/dd"
)

func (a *app) conflictCommand() *cobra.Command {
	var share string
	var txns bool
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List open and superseded conflicts, and claims whose index entry is withheld",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			l, err := cl.Conflicts(c.Context(), share)
			if err != nil {
				return err
			}
			if txns {
				return a.emitLosers(conflictTxns(l))
			}
			return a.emit(list(l), func(t *table) {
				t.row("ID", "KIND", "STATE", "SHARE", "FILE", "ADDRESS", "LOSER", "WINNER", "AT")
				for _, x := range l {
					t.row(x.ID, x.Kind, x.State, x.Share, x.File, x.Address, x.Loser, x.Winner, x.LoserAt)
				}
			})
		}),
	}
	ls.Flags().StringVar(&share, "share", "", "those of one `share` only")
	ls.Flags().BoolVar(&txns, "transactions", false, "one entry for each transaction of which something lost")
	show := &cobra.Command{
		Use:   "show ID",
		Short: "Show a conflict with both images, and all that the loser's transaction did",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			x, err := cl.Conflict(c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.emit(x, func(t *table) { showConflict(t, x) })
		}),
	}
	return nest("conflict", "What lost against a concurrent change", ls, show, a.conflictDiff(),
		a.conflictDecide("accept", "Let what is shown stand, and close conflicts", false),
		a.conflictDecide("replay", "Write the losers of conflicts anew, and close them", true))
}

func showConflict(t *table, x *admin.Conflict) {
	t.row("id", x.ID)
	t.row("kind", x.Kind+", "+x.State)
	t.row("file", x.File)
	t.row("share", x.Share)
	t.row("address", x.Address)
	if x.Index != "" {
		t.row("index", x.Index)
		t.row("key", x.Key)
	}
	t.row("policy", x.Policy)
	loser := cell(x.LoserData)
	if x.Deleted {
		loser = "(a delete)"
	}
	t.row("loser", x.Loser, x.LoserBy, x.LoserAt)
	t.row("", loser)
	t.row("winner", x.Winner, x.WinnerBy, x.WinnerAt)
	t.row("", cell(x.Data))
	if x.Uncertain {
		t.row("order", "uncertain: within the error of the clocks")
	}
	if x.ClosedBy != "" {
		t.row("closed", x.ClosedBy, x.ClosedAt)
	}
	for i, v := range x.Standing {
		word := "beside it"
		if i == 0 {
			word = "shown now"
		}
		text := cell(v.Data)
		if v.Deleted {
			text = "(a delete)"
		}
		t.row(word, v.Dot, v.By, v.At)
		t.row("", text)
	}
	for i, p := range x.Parts {
		if i == 0 {
			t.row("transaction", x.Txn, partsWord(x))
		}
		state := "not lost"
		if p.Conflict != "" {
			state = p.State + " " + p.Conflict
		}
		t.row("  "+p.Kind, p.File, p.Address, state)
		if p.Kind == "write" {
			t.row("", cell(p.Data))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(x.Would)) {
		t.row(p+" would show", x.Would[p])
	}
}

func partsWord(x *admin.Conflict) string {
	switch x.PartsOnly {
	case "":
		return "all of it:"
	case "lost", "1000 lost":
		return x.PartsOnly + ", the journal has let go of the rest:"
	}
	return "the " + x.PartsOnly + " operations:"
}

// losingTxn is a transaction of which parts lost.
type losingTxn struct {
	Txn       string     `json:"txn"`
	By        string     `json:"by"`
	At        *time.Time `json:"at"`
	Lost      int        `json:"lost"`
	Share     string     `json:"share"`
	Files     []string   `json:"files"`
	Conflicts []string   `json:"conflicts"`
}

// conflictTxns makes one entry of all that a transaction lost, in the order in
// which they come first. Claims have no loser, and are left out.
func conflictTxns(l []admin.Conflict) []losingTxn {
	out := []losingTxn{}
	at := map[string]int{}
	for _, x := range l {
		if x.Txn == "" {
			continue
		}
		i, ok := at[x.Txn]
		if !ok {
			i, at[x.Txn] = len(out), len(out)
			out = append(out, losingTxn{Txn: x.Txn, By: x.LoserBy, At: x.LoserAt, Share: x.Share})
		}
		t := &out[i]
		t.Lost++
		t.Conflicts = append(t.Conflicts, x.ID)
		if !slices.Contains(t.Files, x.File) {
			t.Files = append(t.Files, x.File)
		}
	}
	return out
}

func (a *app) emitLosers(l []losingTxn) error {
	return a.emit(l, func(t *table) {
		t.row("TXN", "BY", "AT", "LOST", "SHARE", "FILES", "CONFLICTS")
		for _, x := range l {
			t.row(x.Txn, x.By, x.At, x.Lost, x.Share, strings.Join(x.Files, ","), strings.Join(x.Conflicts, ","))
		}
	})
}

// conflictDecide is accept or replay.
func (a *app) conflictDecide(word, short string, replay bool) *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use:   word + " ID...",
		Short: short,
		Long:  short + ".\nWhat is decided is written as a new version by your identity, and closes the conflict at all modules. If the record was changed since it was listed, nothing is written.",
		Args:  cobra.MinimumNArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			var done []admin.Conflict
			for _, id := range args {
				x, err := cl.Resolve(c.Context(), admin.ConflictDecision{ID: id, Replay: replay, DryRun: dry})
				if err != nil {
					if len(done) > 0 {
						a.say("%d of %d done", len(done), len(args))
					}
					return err
				}
				done = append(done, *x)
			}
			return a.emit(done, func(t *table) {
				t.row("ID", "STATE", "SHARE", "FILE", "ADDRESS", "STANDS")
				for _, x := range done {
					stands := "(no record)"
					if x.Shown != nil {
						stands = cell(x.Shown)
					}
					t.row(x.ID, x.State, x.Share, x.File, x.Address, stands)
				}
			})
		}),
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "show what would stand")
	return c
}

// conflictField is one field of a record in three versions.
type conflictField struct {
	Field  string  `json:"field"`
	Loser  *string `json:"loser"`  // null: a delete
	Winner *string `json:"winner"` // what it lost to
	Shown  *string `json:"shown"`  // now
	Differ bool    `json:"differ"`
}

// conflictDiff shows a conflict field by field, if the file has a layout.
func (a *app) conflictDiff() *cobra.Command {
	return &cobra.Command{
		Use:   "diff ID",
		Short: "Show loser, winner and what stands now side by side, by the fields of the file's layout",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			x, err := cl.Conflict(c.Context(), args[0])
			if err != nil {
				return err
			}
			l := conflictFields(x)
			return a.emit(l, func(t *table) {
				t.row("", "FIELD", "LOSER "+x.LoserBy, "WINNER "+x.WinnerBy, "NOW")
				for _, f := range l {
					mark := ""
					if f.Differ {
						mark = "*"
					}
					t.row(mark, f.Field, fieldText(f.Loser), fieldText(f.Winner), fieldText(f.Shown))
				}
			})
		}),
	}
}

func fieldText(s *string) string {
	if s == nil {
		return "(none)"
	}
	return cell([]byte(*s))
}

// conflictFields takes the images apart. Without a layout, or where a record
// does not fit it, the whole record is one field.
func conflictFields(x *admin.Conflict) []conflictField {
	images := [][]byte{x.LoserData, x.Data, x.Shown}
	if x.Deleted {
		images[0] = nil
	} else if images[0] == nil {
		images[0] = []byte{}
	}
	whole := func() []conflictField {
		f := conflictField{Field: "(record)"}
		for i, to := range []**string{&f.Loser, &f.Winner, &f.Shown} {
			if images[i] != nil {
				s := string(images[i])
				*to = &s
			}
		}
		f.Differ = differ(f.Loser, f.Winner, f.Shown)
		return []conflictField{f}
	}
	layout, err := dd.Parse([]byte(x.Layout))
	if x.Layout == "" || err != nil {
		return whole()
	}
	out := make([]conflictField, len(layout.Fields))
	for i := range out {
		out[i].Field = layout.Fields[i].Name
	}
	for i, b := range images {
		if b == nil {
			continue
		}
		texts, err := layout.Decode(b)
		if err != nil || len(texts) != len(out) {
			return whole()
		}
		for k := range texts {
			*[]**string{&out[k].Loser, &out[k].Winner, &out[k].Shown}[i] = &texts[k]
		}
	}
	for i := range out {
		out[i].Differ = differ(out[i].Loser, out[i].Winner, out[i].Shown)
	}
	return out
}

func differ(l ...*string) bool {
	for _, s := range l[1:] {
		if (s == nil) != (l[0] == nil) || s != nil && *s != *l[0] {
			return true
		}
	}
	return false
}
