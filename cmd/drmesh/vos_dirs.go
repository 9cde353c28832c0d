package main

import (
	"errors"
	"fmt"
	"strings"

	"drmesh/admin"
	"drmesh/vosio/call"
	"drmesh/vosio/path"
)

// Directories and links.

var dirCommands = []vosCommand{
	{name: "create_dir", args: "PATH", short: "Make a directory", least: 1, most: 1, run: vosCreateDir},
	{name: "delete_dir", args: "PATH [-no_ask]", short: "Delete a directory with all it holds", least: 1, most: 1, run: vosDeleteDir, switches: []vosSwitch{noAsk("it")}},
	{name: "copy_dir", args: "SOURCE TARGET [-delete] [-no_ask]", short: "Copy a directory with all it holds, file by file", least: 2, most: 2, run: func(r *vosRun) error { return r.tree(false) },
		switches: []vosSwitch{{name: "delete", help: "delete a target that exists first"}, noAsk("a target that exists")}},
	{name: "move_dir", args: "SOURCE TARGET [-delete] [-no_ask]", short: "Move a directory with all it holds, file by file", least: 2, most: 2, run: func(r *vosRun) error { return r.tree(true) },
		switches: []vosSwitch{{name: "delete", help: "delete a target that exists first"}, noAsk("a target that exists")}},
	{name: "link", args: "TARGET LINK_PATH [-delete]", short: "Make a link: a name that leads to another path", least: 2, most: 2, run: vosLink,
		switches: []vosSwitch{{name: "delete", help: "delete a link of that name first"}}},
	{name: "unlink", args: "LINK_PATH...", short: "Delete links; what they lead to stays", least: 1, most: 100, run: vosUnlink},
}

func vosCreateDir(r *vosRun) error {
	if err := r.do("made", r.words[0], "", func() error { return r.door.CreateDir(r.ctx, r.words[0]) }); err != nil {
		return err
	}
	return r.tell(false)
}

func vosDeleteDir(r *vosRun) error {
	dir := r.words[0]
	files, err := r.admin.Files(r.ctx, dir)
	if err != nil {
		return err
	}
	if ok, err := r.isDir(dir); err != nil {
		return err
	} else if !ok {
		return r.noDir(dir)
	}
	if yes, err := r.agreed(fmt.Sprintf("Delete the directory %s with %d files?", dir, len(files))); err != nil || !yes {
		return err
	}
	if err := r.do("deleted", dir, "", func() error { return r.call(&call.Request{Call: "drmesh$delete_dir", Path: dir}) }); err != nil {
		return err
	}
	return r.tell(false)
}

func (r *vosRun) noDir(dir string) error {
	e := admin.Errorf(admin.NotFound, call.ObjectNotFound.Name(), "", "%s: there is no directory %s", r.name, dir)
	e.Number = int(call.ObjectNotFound)
	return e
}

// in gives the path of a name in a directory.
func in(dir, name string) string {
	if strings.HasSuffix(dir, ":") {
		return dir + name
	}
	return dir + ">" + name
}

// isDir reports whether a path is that of a directory.
func (r *vosRun) isDir(p string) (bool, error) {
	dir, base := split(p)
	if base == "" || dir == "" || path.HasStar(base) {
		return false, nil
	}
	names, err := r.door.List(r.ctx, p)
	if err != nil {
		return false, fileError(r.name+" "+p, err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, ">") {
			return true, nil
		}
	}
	return false, nil
}

// tree copies or moves a directory.
func (r *vosRun) tree(move bool) error {
	from, to := r.words[0], r.words[1]
	full := func(p string) (string, error) {
		var rep call.Reply
		if err := r.door.Do(r.ctx, &call.Request{Call: "drmesh$expand_path", Path: p}, &rep); err != nil {
			return "", err
		}
		if err := rep.Err(); err != nil {
			return "", fileError(r.name+" "+p, err)
		}
		return rep.Names[0], nil
	}
	a, err := full(from)
	if err != nil {
		return err
	}
	b, err := full(to)
	if err != nil {
		return err
	}
	if a == b || strings.HasPrefix(b, a+">") || strings.HasPrefix(a, b+">") {
		return usage("%s: one of %s and %s is in the other", r.name, from, to)
	}
	if ok, err := r.isDir(from); err != nil {
		return err
	} else if !ok {
		return r.noDir(from)
	}
	stands, err := r.isDir(to)
	if err != nil {
		return err
	}
	if stands && r.has("delete") {
		if yes, err := r.agreed("Delete the directory " + to + "?"); err != nil || !yes {
			return err
		}
		if err := r.do("deleted", to, "", func() error { return r.call(&call.Request{Call: "drmesh$delete_dir", Path: to}) }); err != nil {
			return err
		}
	} else if stands {
		return fileError(r.name+" "+to, call.FileExists)
	}
	if err := r.copyTree(from, to, a, b); err != nil {
		return err
	}
	if move {
		if err := r.do("deleted", from, "", func() error { return r.call(&call.Request{Call: "drmesh$delete_dir", Path: from}) }); err != nil {
			return err
		}
	}
	return r.tell(true)
}

// copyTree copies what a directory holds into a new one. Links that lead into
// the tree that is copied lead into the copy: a and b are the full paths of
// the two trees.
func (r *vosRun) copyTree(from, to, a, b string) error {
	if err := r.do("made", to, "", func() error { return r.door.CreateDir(r.ctx, to) }); err != nil {
		return err
	}
	names, err := r.door.List(r.ctx, in(from, "*"))
	if err != nil {
		return fileError(r.name+" "+from, err)
	}
	for _, n := range names {
		dir := strings.HasSuffix(n, ">")
		_, base := split(strings.TrimSuffix(n, ">"))
		x, y := in(from, base), in(to, base)
		if dir {
			err = r.copyTree(x, y, a, b)
		} else {
			err = r.do("copied", x, y, func() error { return r.copyOne(x, y) })
		}
		if err != nil {
			return err
		}
	}
	var links call.Reply
	if err := r.door.Do(r.ctx, &call.Request{Call: "drmesh$list_links", Path: from}, &links); err != nil {
		return err
	}
	for i := 0; i+1 < len(links.Names); i += 2 {
		_, base := split(links.Names[i])
		target := links.Names[i+1]
		var full call.Reply
		if err := r.door.Do(r.ctx, &call.Request{Call: "drmesh$expand_path", Path: target}, &full); err == nil && full.Code == 0 {
			if rest, ok := strings.CutPrefix(full.Names[0], a+">"); ok {
				target = b + ">" + rest
			}
		}
		y := in(to, base)
		if err := r.do("linked", y, target, func() error {
			return r.call(&call.Request{Call: "drmesh$link", Path: target, Path2: y})
		}); err != nil {
			return err
		}
	}
	return nil
}

// copyOne copies one file of a tree; of a queue, its like.
func (r *vosRun) copyOne(from, to string) error {
	err := r.door.CopyFile(r.ctx, from, to, call.CopyFail)
	if errors.Is(err, call.InvalidFileType) {
		return &call.Failure{Code: call.InvalidFileType, Text: fmt.Sprintf("%s is a queue, which is not copied: %v", from, call.InvalidFileType)}
	}
	return err
}

func vosLink(r *vosRun) error {
	switches := 0
	if r.has("delete") {
		switches = 1
	}
	if err := r.do("linked", r.words[1], r.words[0], func() error {
		return r.call(&call.Request{Call: "drmesh$link", Path: r.words[0], Path2: r.words[1], Switches: switches})
	}); err != nil {
		return err
	}
	return r.tell(false)
}

func vosUnlink(r *vosRun) error {
	for _, w := range r.words {
		if err := r.do("unlinked", w, "", func() error { return r.call(&call.Request{Call: "drmesh$unlink", Path: w}) }); err != nil {
			return err
		}
	}
	return r.tell(false)
}
