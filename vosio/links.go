package vosio

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/path"
	"drmesh/vosio/record"
)

// A link is a name that stands for another path. It lives where a directory
// would: one name is one register, and is either. What it leads to is written
// as share:path where a share has it, so that it leads to the same file at
// every module.

// dirValue is the stored form of a directory register.
type dirValue struct {
	Link string `json:"link,omitempty"` // what a link leads to; a directory has none
}

// maxLinks is how many links one path may go through.
const maxLinks = 16

// setDirectory takes a directory register into the maps. Callers hold mu for
// writing.
func (c *catalog) setDirectory(s *shareCatalog, rel string, next []origin.Version) {
	delete(s.links, rel)
	delete(s.dirs, rel)
	if len(next) == 0 || next[0].Tombstone {
		return
	}
	var v dirValue
	if json.Unmarshal(next[0].Data, &v) == nil && v.Link != "" {
		s.links[rel] = v.Link
		c.linked.Store(true)
		return
	}
	s.dirs[rel] = true
}

// link is what a link of that name leads to; empty if there is none.
func (c *catalog) link(share, rel string) string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if s := c.shares[share]; s != nil {
		return s.links[rel]
	}
	return ""
}

// occupied reports whether a file, directory or link has the name.
func (c *catalog) occupied(share, rel string) bool {
	return c.lookup(share, rel) != nil || c.isDir(share, rel) || c.link(share, rel) != ""
}

// follow gives the path that full leads to through links in its directories
// and, with last, in its last name.
func (e *Engine) follow(full string, last bool) (string, error) {
	if !e.cat.linked.Load() {
		return full, nil
	}
	for n := 0; ; n++ {
		next, err := e.through(full, last)
		if err != nil || next == full {
			return next, err
		}
		if n == maxLinks {
			return "", fmt.Errorf("path %s goes through more than %d links: %w", full, maxLinks, call.BadPathname)
		}
		full = next
	}
}

// through replaces the first link in full by what it leads to.
func (e *Engine) through(full string, last bool) (string, error) {
	for i := 1; i <= len(full); i++ {
		if i < len(full) && full[i] != '>' || i == len(full) && !last {
			continue
		}
		p := e.resolve(full[:i])
		to := e.cat.link(p.name, p.rel)
		if to == "" {
			continue
		}
		target, err := e.plainPath(to)
		if err != nil {
			return "", fmt.Errorf("link %s: %w", full[:i], err)
		}
		if len(target)+len(full)-i > path.MaxPath {
			return "", fmt.Errorf("path %s: through the link %s it has over %d bytes: %w", full, full[:i], path.MaxPath, call.BadPathname)
		}
		return target + full[i:], nil
	}
	return full, nil
}

// anywhere writes a full path so that it means the same at every module, where
// a share has it.
func (e *Engine) anywhere(full string) string {
	best, root := full, ""
	for _, s := range e.table().Shares() {
		if rel, ok := strings.CutPrefix(full, s.Root); ok && len(s.Root) > len(root) && (rel == "" || rel[0] == '>') {
			best, root = s.Name+":"+strings.TrimPrefix(rel, ">"), s.Root
		}
	}
	return best
}

func (p *Process) link(ctx context.Context, q *call.Request, _ *call.Reply) error {
	e := p.e
	target, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	at, err := p.nameOf(q.Path2)
	if err != nil {
		return err
	}
	if at == target || strings.HasPrefix(target, at+">") {
		return fmt.Errorf("link %s to itself: %w", at, call.BadPathname)
	}
	return e.on(ctx, p.name, at, func(t *tx, w *place) error {
		if old := e.cat.link(w.name, w.rel); w.rel == "" || e.cat.occupied(w.name, w.rel) && (old == "" || q.Switches == 0) {
			return fmt.Errorf("link %s: %w", at, call.FileExists)
		}
		if err := t.needParent(w); err != nil {
			return fmt.Errorf("link %s: %w", at, err)
		}
		return t.addCatalog(w.name, record.DirectoryAddress(w.rel), dirValue{Link: e.anywhere(target)})
	})
}

func (p *Process) unlink(ctx context.Context, q *call.Request, _ *call.Reply) error {
	at, err := p.nameOf(q.Path)
	if err != nil {
		return err
	}
	return p.e.on(ctx, p.name, at, func(t *tx, w *place) error {
		if p.e.cat.link(w.name, w.rel) == "" {
			return fmt.Errorf("unlink %s: there is no link of that name: %w", at, call.ObjectNotFound)
		}
		return t.addRemoval(w.name, record.DirectoryAddress(w.rel))
	})
}

// listLinks gives the links in a directory, each followed by what it leads to.
func (p *Process) listLinks(_ context.Context, q *call.Request, r *call.Reply) error {
	dir, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	r.Names = []string{}
	for _, l := range p.e.linksBelow(dir) {
		if parent(l.full) == dir {
			r.Names = append(r.Names, l.full, p.e.cat.link(l.share, l.rel))
		}
	}
	return nil
}

// standing is a directory or link, and whose catalog has it.
type standing struct{ share, rel, full string }

// linksBelow lists the links below a full path, in order.
func (e *Engine) linksBelow(full string) []standing {
	return e.below(full, func(s *shareCatalog, add func(string)) {
		for rel := range s.links {
			add(rel)
		}
	})
}

// dirsBelow lists the directories below a full path, and at it, in order.
func (e *Engine) dirsBelow(full string) []standing {
	return e.below(full, func(s *shareCatalog, add func(string)) {
		for rel := range s.dirs {
			add(rel)
		}
	})
}

func (e *Engine) below(full string, each func(s *shareCatalog, add func(rel string))) []standing {
	var l []standing
	e.cat.mu.RLock()
	for name, s := range e.cat.shares {
		root := ""
		if name != "" {
			sh := e.table().Share(name)
			if sh == nil {
				continue
			}
			root = sh.Root + ">"
		}
		each(s, func(rel string) {
			if at := root + rel; at == full || strings.HasPrefix(at, full+">") {
				l = append(l, standing{name, rel, at})
			}
		})
	}
	e.cat.mu.RUnlock()
	slices.SortFunc(l, func(a, b standing) int {
		if c := strings.Compare(a.full, b.full); c != 0 {
			return c
		}
		return strings.Compare(a.share, b.share)
	})
	return l
}
