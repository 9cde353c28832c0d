package main

import (
	"maps"
	"slices"
	"strings"

	"drmesh/vosio/call"
	"drmesh/vosio/path"
)

// organizations and queueKinds are the values of switches of create_file.
var (
	organizations = map[string]int{"fixed": call.OrgFixed, "relative": call.OrgRelative, "sequential": call.OrgSequential, "extended": call.OrgExtended,
		"stream": call.OrgStream, "stream64": call.OrgStream64}
	queueKinds = map[string]int{"message": call.OrgMsgQueue, "one_way": call.OrgOneWayQueue, "server": call.OrgServerQueue, "direct": call.OrgDirectQueue}
)

// kindsOf lists the values of a switch.
func kindsOf(m map[string]int) string {
	l := slices.Sorted(maps.Keys(m))
	return strings.Join(l[:len(l)-1], ", ") + " or " + l[len(l)-1]
}

var fileCommands = []vosCommand{
	{name: "create_file", args: "PATH [-organization KIND | -queue KIND] [-record_size N] [-extent_size N]", short: "Make an empty file or queue", least: 1, most: 1, run: vosCreateFile,
		switches: []vosSwitch{{name: "organization", value: kindsOf(organizations), help: "sequential unless given"},
			{name: "queue", value: kindsOf(queueKinds), help: "make a queue; server and direct ones are of this module alone"},
			{name: "record_size", value: "bytes", help: "the length of fixed records, the greatest of relative ones"},
			{name: "extent_size", value: "blocks", help: "accepted; space is taken as it is needed"}}},
	{name: "copy_file", args: "SOURCE TARGET [-delete | -truncate] [-brief]", short: "Copy files: records, indexes and attributes", least: 2, most: 2, run: vosCopyFile,
		switches: []vosSwitch{{name: "delete", help: "delete a target that exists first"}, {name: "truncate", help: "empty a target that exists first"}, {name: "brief", help: "say nothing of each file"}}},
	{name: "move_file", args: "SOURCE TARGET [-delete]", short: "Move files: in one directory a rename, else a copy and a delete", least: 2, most: 2, run: vosMoveFile,
		switches: []vosSwitch{{name: "delete", help: "delete a target that exists first"}}},
	{name: "rename", args: "OLD NEW [-delete]", short: "Give a file another name in its directory", least: 2, most: 2, run: vosRename,
		switches: []vosSwitch{{name: "delete", help: "delete a file that has the new name first"}}},
	{name: "clone_file", args: "SOURCE TARGET", short: "Make empty files like others: organization, indexes and attributes", least: 2, most: 2, run: vosCloneFile},
	{name: "delete_file", args: "PATH... [-no_ask]", short: "Delete files", least: 1, most: 100, switches: []vosSwitch{noAsk("each file of a star name")},
		run: func(r *vosRun) error {
			return r.each(r.words, "deleted", "Delete", func(p string) error { return r.door.DeleteFile(r.ctx, p) })
		}},
	{name: "truncate_file", args: "PATH... [-no_ask]", short: "Remove all records of files", least: 1, most: 100, switches: []vosSwitch{noAsk("each file of a star name")},
		run: func(r *vosRun) error {
			return r.each(r.words, "emptied", "Empty", func(p string) error { return r.door.TruncateFile(r.ctx, p) })
		}},
	{name: "compare_files", args: "PATH1 PATH2 | PATH --modules STAR", short: "Compare records of two files, or of one file at several modules", least: 1, most: 2, run: vosCompareFiles,
		long: []vosLong{{"modules", "star name", "compare the file at these modules; * for all"},
			{"timeout", "time", "how long changes may be on their way before a difference is one (10s)"}}},
}

func vosCreateFile(r *vosRun) error {
	name, kinds := "organization", organizations
	if r.has("queue") {
		if r.has("organization") || r.has("record_size") {
			return usage("%s: -queue goes with neither -organization nor -record_size", r.name)
		}
		name, kinds = "queue", queueKinds
	}
	kind := r.text(name, "sequential")
	org, ok := kinds[kind]
	if !ok {
		return usage("%s: -%s %s: give %s", r.name, name, kind, kindsOf(kinds))
	}
	size, err := r.number(r.name, "record_size", 0)
	if err != nil {
		return err
	}
	if size == 0 && (org == call.OrgFixed || org == call.OrgRelative) {
		return usage("%s: a %s file needs -record_size", r.name, kind)
	}
	if err := r.do("made", r.words[0], "", func() error {
		return r.door.CreateFile(r.ctx, r.words[0], org, size)
	}); err != nil {
		return err
	}
	return r.tell(false)
}

func vosCloneFile(r *vosRun) error {
	l, err := r.pairs(r.words[0], r.words[1])
	if err != nil {
		return err
	}
	for _, p := range l {
		if err := r.do("cloned", p[0], p[1], func() error {
			return r.call(&call.Request{Call: "s$clone_file", Path: p[0], Path2: p[1]})
		}); err != nil {
			return err
		}
	}
	return r.tell(len(l) > 1)
}

func vosCopyFile(r *vosRun) error {
	if r.has("delete") && r.has("truncate") {
		return usage("%s: -delete and -truncate exclude each other", r.name)
	}
	how := call.CopyFail
	if r.has("delete") {
		how = call.CopyDelete
	} else if r.has("truncate") {
		how = call.CopyTruncate
	}
	l, err := r.pairs(r.words[0], r.words[1])
	if err != nil {
		return err
	}
	for _, p := range l {
		if err := r.do("copied", p[0], p[1], func() error { return r.door.CopyFile(r.ctx, p[0], p[1], how) }); err != nil {
			return err
		}
	}
	return r.tell(len(l) > 1 && !r.has("brief"))
}

func vosMoveFile(r *vosRun) error {
	l, err := r.pairs(r.words[0], r.words[1])
	if err != nil {
		return err
	}
	for _, p := range l {
		if err := r.do("moved", p[0], p[1], func() error { return r.move(p[0], p[1]) }); err != nil {
			return err
		}
	}
	return r.tell(len(l) > 1)
}

// move renames within a directory, and copies, then deletes, beyond it.
func (r *vosRun) move(from, to string) error {
	fd, _ := split(from)
	td, name := split(to)
	if fd == td || td == "" {
		if err := r.makeRoom(to, fd+name); err != nil {
			return err
		}
		return r.door.Rename(r.ctx, from, to)
	}
	how := call.CopyFail
	if r.has("delete") {
		how = call.CopyDelete
	}
	if err := r.door.CopyFile(r.ctx, from, to, how); err != nil {
		return err
	}
	return r.door.DeleteFile(r.ctx, from)
}

// makeRoom deletes a target that exists, if -delete was given.
func (r *vosRun) makeRoom(to, full string) error {
	if !r.has("delete") {
		return nil
	}
	if strings.ContainsAny(to, ">:") {
		full = to
	}
	if _, err := r.door.status(r.ctx, full); err != nil {
		return nil // not there; what else is wrong the rename will tell
	}
	return r.door.DeleteFile(r.ctx, full)
}

func vosRename(r *vosRun) error {
	l, err := r.expand(r.words[0])
	if err != nil {
		return err
	}
	_, pattern := split(r.words[0])
	for _, old := range l {
		dir, name := split(old)
		to := r.words[1]
		if path.HasStar(to) {
			if !path.HasStar(pattern) {
				return usage("%s: a new star name needs an old one", r.name)
			}
			tdir, tbase := split(to)
			filled, err := path.Fill(tbase, pattern, name)
			if err != nil {
				return usage("%s: %v", r.name, err)
			}
			to = tdir + filled
		} else if len(l) > 1 {
			return usage("%s: %s matches %d files, which cannot all be called %s", r.name, r.words[0], len(l), to)
		}
		if err := r.do("renamed", old, to, func() error {
			if err := r.makeRoom(to, dir+to); err != nil {
				return err
			}
			return r.door.Rename(r.ctx, old, to)
		}); err != nil {
			return err
		}
	}
	return r.tell(len(l) > 1)
}
