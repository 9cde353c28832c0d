package vosio

import (
	"context"
	"fmt"
	"strings"
	"time"

	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// deleteDir removes a directory and all below it: each file in a txn of its
// own, then links and directories, of one share in one txn. Before the first
// file goes, all are asked whether they may; a file that comes meanwhile
// leaves the directories standing.
func (p *Process) deleteDir(ctx context.Context, q *call.Request, _ *call.Reply) error {
	e := p.e
	full, err := p.nameOf(q.Path)
	if err != nil {
		return err
	}
	dirs := e.dirsBelow(full)
	if len(dirs) == 0 || dirs[0].full != full {
		return fmt.Errorf("delete_dir %s: %w", full, call.ObjectNotFound)
	}
	for _, s := range e.table().Shares() {
		if s.Root == full || strings.HasPrefix(s.Root, full+">") {
			return fmt.Errorf("delete_dir %s: the share %s has its directory there: %w", full, s.Name, call.FileInUse)
		}
	}
	stands := append(e.linksBelow(full), dirs...)
	for _, d := range stands {
		if w := e.resolve(d.full); w.name == d.share {
			if err := e.forbid(w, p.name); err != nil {
				return err
			}
		}
	}
	for _, i := range e.Files(full) {
		f, err := p.unused(i.Path)
		if err != nil {
			return fmt.Errorf("delete_dir %s: %w", full, err)
		}
		if err := e.forbid(e.resolve(i.Path), p.name); err != nil {
			return err
		}
		if err := f.mayBeEmptied(); err != nil {
			return fmt.Errorf("delete_dir %s: %s: %w", full, i.Path, err)
		}
		if until := f.expires(); until.After(time.Now()) {
			return fmt.Errorf("delete_dir %s: %s before %s: %w", full, i.Path, until.Format(time.DateTime), call.FileNotExpired)
		}
	}
	for _, i := range e.Files(full) {
		if err := e.deleteFile(ctx, p.name, i.Path); err != nil && call.CodeOf(err) != call.ObjectNotFound {
			return fmt.Errorf("delete_dir %s: %w", full, err)
		}
	}
	byShare := map[string][]standing{}
	var order []string
	for i := len(stands) - 1; i >= 0; i-- { // what is deeper first
		d := stands[i]
		if byShare[d.share] == nil {
			order = append(order, d.share)
		}
		byShare[d.share] = append(byShare[d.share], d)
	}
	for _, name := range order {
		err := e.submit(ctx, &request{process: p.name, build: func(t *tx) error {
			if l := e.Files(full); len(l) > 0 {
				return fmt.Errorf("delete_dir %s: %s was made meanwhile: %w", full, l[0].Path, call.FileInUse)
			}
			if err := t.start(e.table().Share(name)); err != nil {
				return err
			}
			for _, d := range byShare[name] {
				if err := t.addRemoval(name, record.DirectoryAddress(d.rel)); err != nil && call.CodeOf(err) != call.ObjectNotFound {
					return err
				}
			}
			return nil
		}})
		if err != nil {
			return err
		}
	}
	return nil
}
