package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
	"drmesh/vosio/call"
	"drmesh/vosio/path"
	"drmesh/vosio/record"
)

// vosCommand is a VOS batch command. Its arguments are VOS ones: one dash,
// whole words (see parseVOS).
type vosCommand struct {
	name     string
	args     string // for the help
	short    string
	least    int // words that it takes
	most     int
	switches []vosSwitch
	long     []vosLong
	run      func(*vosRun) error
}

// vosLong is an option of ours, with two dashes and a value.
type vosLong struct{ name, value, help string }

// vosRun is one run of a VOS command.
type vosRun struct {
	*vosArgs
	a     *app
	ctx   context.Context
	name  string // vos copy_file
	door  *calls
	admin *client.Client
	done  []vosDone
}

// vosDone is one thing that a command did, or with --dry-run would do.
type vosDone struct {
	Did    string `json:"did"`
	Path   string `json:"path"`
	Target string `json:"target,omitempty"`
}

var vosCommands = []vosCommand{
	{name: "create_file", args: "PATH [-organization KIND] [-record_size N] [-extent_size N] [-queue KIND]", short: "Make an empty file, or a queue", least: 1, most: 1, run: vosCreateFile,
		switches: []vosSwitch{{name: "organization", value: "fixed, relative, sequential or stream", help: "sequential unless given"},
			{name: "record_size", value: "bytes", help: "the length of fixed records, the greatest of relative ones"},
			{name: "extent_size", value: "blocks", help: "accepted; space is taken as it is needed"},
			{name: "queue", value: "message, one_way, server or direct", help: "make a queue; server and direct ones are of this module alone"}}},
	{name: "create_dir", args: "PATH", short: "Make a directory", least: 1, most: 1, run: vosCreateDir},
	{name: "copy_file", args: "SOURCE TARGET [-delete | -truncate] [-brief]", short: "Copy files: records, indexes and attributes", least: 2, most: 2, run: vosCopyFile,
		switches: []vosSwitch{{name: "delete", help: "delete a target that exists first"}, {name: "truncate", help: "empty a target that exists first"}, {name: "brief", help: "say nothing of each file"}}},
	{name: "move_file", args: "SOURCE TARGET [-delete]", short: "Move files: in one directory a rename, else a copy and a delete", least: 2, most: 2, run: vosMoveFile,
		switches: []vosSwitch{{name: "delete", help: "delete a target that exists first"}}},
	{name: "rename", args: "OLD NEW [-delete]", short: "Give a file another name in its directory", least: 2, most: 2, run: vosRename,
		switches: []vosSwitch{{name: "delete", help: "delete a file that has the new name first"}}},
	{name: "delete_file", args: "PATH... [-no_ask]", short: "Delete files", least: 1, most: 100, run: vosDeleteFile,
		switches: []vosSwitch{{name: "no_ask", help: "do not ask about each file of a star name"}}},
	{name: "truncate_file", args: "PATH...", short: "Remove all records of files", least: 1, most: 100, run: vosTruncateFile},
	{name: "create_index", args: "PATH INDEX {-key POS,LEN... | -separate_key | -item} [-duplicates]", short: "Add an index of embedded keys, separate keys or items", least: 2, most: 2, run: vosCreateIndex,
		switches: []vosSwitch{{name: "key", value: "position,length", many: true, help: "a component of the key; positions are from 1"},
			{name: "duplicates", help: "several records may have one key"},
			{name: "separate_key", help: "programs give the keys"}, {name: "item", help: "programs give keys and items, and no records"},
			{name: "null_keys", help: "keys of blanks alone are not entered"},
			{name: "collation", value: "number", help: "4, unless given: bytes; 1: upper and lower case alike"}}},
	{name: "create_record_index", args: "PATH", short: "Number the records of a sequential file", least: 1, most: 1, run: vosCreatePlaces},
	{name: "create_deleted_record_index", args: "PATH", short: "Have new records take the places of deleted ones", least: 1, most: 1, run: vosCreatePlaces},
	{name: "compare_files", args: "PATH1 PATH2 | PATH --modules STAR", short: "Compare records of two files, or of one file at several modules", least: 1, most: 2, run: vosCompareFiles,
		long: []vosLong{{"modules", "star name", "compare the file at these modules; * for all"},
			{"timeout", "time", "how long changes may be on their way before a difference is one (10s)"}}},
}

func (a *app) vosCommand() *cobra.Command {
	c := nest("vos", "The VOS batch commands")
	c.Long = `The VOS batch commands take VOS arguments: switches have one dash and whole words, which may be
shortened as far as they stay clear. Options of drmesh (--dir, --output or -o, --dry-run) have two dashes.
Source paths may be star names.`
	for i := range vosCommands {
		v := &vosCommands[i]
		c.AddCommand(&cobra.Command{
			Use:                v.name + " " + v.args,
			Short:              v.short,
			Long:               v.help(),
			DisableFlagParsing: true,
			RunE:               func(c *cobra.Command, args []string) error { return a.vos(c, v, args) },
		})
	}
	return c
}

// help lists the switches, which cobra does not know.
func (v *vosCommand) help() string {
	var b strings.Builder
	b.WriteString(v.short + ".\n")
	for _, s := range v.switches {
		name := "-" + s.name
		if s.value != "" {
			name += " " + s.value
		}
		fmt.Fprintf(&b, "\n  %-42s %s", name, s.help)
	}
	for _, l := range v.long {
		fmt.Fprintf(&b, "\n  %-42s %s", "--"+l.name+" "+l.value, l.help)
	}
	return b.String()
}

// vos parses the arguments of a VOS command, opens the doors and runs it.
func (a *app) vos(c *cobra.Command, v *vosCommand, args []string) error {
	name := "vos " + v.name
	var long []string
	for _, l := range v.long {
		long = append(long, l.name)
	}
	a.ran = true
	p, err := parseVOS(name, args, v.switches, long...)
	if p == nil {
		a.format = formatOf(args)
		return err
	}
	if p.output != "" {
		a.format = p.output
	}
	if p.dir != "" {
		a.dir = p.dir
	}
	if err := a.begin(); err != nil {
		return err
	}
	if p.help {
		return c.Help()
	}
	if len(p.words) < v.least || len(p.words) > v.most {
		return usage("%s: give %s", name, v.args)
	}
	r := &vosRun{vosArgs: p, a: a, ctx: c.Context(), name: name}
	if r.admin, err = a.open(r.ctx); err != nil {
		return err
	}
	defer r.admin.Close()
	if r.door, err = a.calls(r.ctx); err != nil {
		return err
	}
	defer r.door.close()
	return v.run(r)
}

// do does one thing and notes it; with --dry-run it only notes it.
func (r *vosRun) do(did, what, target string, fn func() error) error {
	if !r.dryRun {
		if err := fn(); err != nil {
			return fileError(r.name+" "+what, err)
		}
	}
	r.done = append(r.done, vosDone{did, what, target})
	return nil
}

// tell ends a command: what it did. For people only what they could not know.
func (r *vosRun) tell(loud bool) error {
	if r.a.format == "table" {
		if !loud && !r.dryRun {
			return nil
		}
		for _, d := range r.done {
			s := d.Did + " " + d.Path
			if r.dryRun {
				s = "would be " + s
			}
			if d.Target != "" {
				s += " to " + d.Target
			}
			if r.dryRun {
				fmt.Fprintln(r.a.out, s) // the plan is what was asked for
			} else {
				r.a.say("%s", s)
			}
		}
		return nil
	}
	return r.a.emit(list(r.done), nil)
}

// split divides a path into what names its directory, with the sign behind
// it, and its last name.
func split(p string) (dir, base string) {
	i := strings.LastIndexAny(p, ">:<")
	return p[:i+1], p[i+1:]
}

// expand gives the files that a star name matches, in order, each written as
// the star name was; a plain path is itself.
func (r *vosRun) expand(p string) ([]string, error) {
	dir, base := split(p)
	if !path.HasStar(base) {
		return []string{p}, nil
	}
	names, err := r.door.List(r.ctx, p)
	if err != nil {
		return nil, fileError(r.name+" "+p, err)
	}
	var l []string
	for _, n := range names {
		_, name := split(n)
		if name == "" {
			continue // a directory
		}
		switch _, err := r.door.status(r.ctx, dir+name); {
		case err == nil:
			l = append(l, dir+name)
		case errors.Is(err, call.ObjectNotFound):
			// gone meanwhile
		default:
			return nil, fileError(r.name+" "+dir+name, err)
		}
	}
	if len(l) == 0 {
		return nil, admin.Errorf(admin.NotFound, "e$object_not_found", "\"drmesh file ls\" lists files", "%s: no file matches %s", r.name, p)
	}
	slices.Sort(l)
	return l, nil
}

// pairs gives each source with its target. A target whose last name has a star
// takes the names of the sources; so does one that ends with > or :, and with
// a star in the source any target is a directory.
func (r *vosRun) pairs(source, target string) ([][2]string, error) {
	sources, err := r.expand(source)
	if err != nil {
		return nil, err
	}
	_, pattern := split(source)
	dir, base := split(target)
	if base != "" && !path.HasStar(base) && path.HasStar(pattern) {
		dir, base = target+">", ""
	}
	if base == "" {
		base = "*"
		if !path.HasStar(pattern) {
			pattern = "*"
		}
	}
	var l [][2]string
	for _, s := range sources {
		_, name := split(s)
		t := base
		if path.HasStar(base) {
			p := pattern
			if !path.HasStar(p) {
				p = "*"
			}
			if t, err = path.Fill(base, p, name); err != nil {
				return nil, usage("%s: %v", r.name, err)
			}
		}
		l = append(l, [2]string{s, dir + t})
	}
	return l, nil
}

func vosCreateFile(r *vosRun) error {
	orgs := map[string]int{"fixed": call.OrgFixed, "relative": call.OrgRelative, "sequential": call.OrgSequential, "extended": call.OrgExtended, "stream": call.OrgStream}
	kind := r.text("organization", "sequential")
	org, ok := orgs[kind]
	if !ok {
		return usage("%s: -organization %s: give fixed, relative, sequential or stream", r.name, kind)
	}
	if r.has("queue") {
		if r.has("organization") || r.has("record_size") {
			return usage("%s: -queue goes with neither -organization nor -record_size", r.name)
		}
		queues := map[string]int{"message": call.OrgMsgQueue, "one_way": call.OrgOneWayQueue, "server": call.OrgServerQueue, "direct": call.OrgDirectQueue}
		if org, ok = queues[r.text("queue", "")]; !ok {
			return usage("%s: -queue %s: give message, one_way, server or direct", r.name, r.text("queue", ""))
		}
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

func vosCreateDir(r *vosRun) error {
	if err := r.do("made", r.words[0], "", func() error { return r.door.CreateDir(r.ctx, r.words[0]) }); err != nil {
		return err
	}
	return r.tell(false)
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

func vosDeleteFile(r *vosRun) error {
	loud := false
	for _, w := range r.words {
		l, err := r.expand(w)
		if err != nil {
			return err
		}
		_, base := split(w)
		ask := path.HasStar(base) && !r.has("no_ask") && !r.dryRun && terminal(r.a.err) && r.a.format == "table"
		loud = loud || path.HasStar(base)
		for _, p := range l {
			if ask && !r.yes("Delete "+p+"?") {
				continue
			}
			if err := r.do("deleted", p, "", func() error { return r.door.DeleteFile(r.ctx, p) }); err != nil {
				return err
			}
		}
	}
	return r.tell(loud)
}

// yes asks a person.
func (r *vosRun) yes(question string) bool {
	fmt.Fprintf(r.a.err, "%s (yes, no) ", question)
	var line []byte
	var b [1]byte
	for len(line) < 80 {
		if n, err := r.a.in.Read(b[:]); n == 0 || err != nil && err != io.EOF || b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	s := strings.ToLower(strings.TrimSpace(string(line)))
	return s == "y" || s == "yes"
}

func vosTruncateFile(r *vosRun) error {
	loud := false
	for _, w := range r.words {
		l, err := r.expand(w)
		if err != nil {
			return err
		}
		_, base := split(w)
		loud = loud || path.HasStar(base)
		for _, p := range l {
			if err := r.do("emptied", p, "", func() error { return r.door.TruncateFile(r.ctx, p) }); err != nil {
				return err
			}
		}
	}
	return r.tell(loud)
}

func vosCreatePlaces(r *vosRun) error {
	x := record.Index{Kind: record.IndexRecord}
	if strings.HasSuffix(r.name, "create_deleted_record_index") {
		x.Kind = record.IndexDeleted
	}
	if err := r.do("made "+strings.ReplaceAll(strings.TrimPrefix(r.name, "vos create_"), "_", " ")+" of", r.words[0], "", func() error { return r.door.createIndex(r.ctx, r.words[0], &x) }); err != nil {
		return err
	}
	return r.tell(false)
}

func vosCreateIndex(r *vosRun) error {
	x := record.Index{Name: r.words[1], Duplicates: r.has("duplicates"), NullKeys: r.has("null_keys")}
	switch c := r.text("collation", "4"); c {
	case "4":
		x.Collation = record.CollateBytes
	case "1":
		x.Collation = record.CollateAlike
	default:
		return usage("%s: -collation %s: there are 4, the order of bytes, and 1, upper and lower case alike", r.name, c)
	}
	switch separate, item := r.has("separate_key"), r.has("item"); {
	case separate && item, (separate || item) && len(r.given["key"]) > 0:
		return usage("%s: give one of -key, -separate_key and -item", r.name)
	case separate:
		x.Kind = record.IndexSeparate
	case item:
		x.Kind = record.IndexItem
	}
	for _, k := range r.given["key"] {
		var pos, n int
		if c, err := fmt.Sscanf(k, "%d,%d", &pos, &n); c != 2 || err != nil || pos < 1 || n < 1 || fmt.Sprintf("%d,%d", pos, n) != k {
			return usage("%s: -key %s: give position,length, for example 1,6", r.name, k)
		}
		x.Components = append(x.Components, record.Component{Position: pos, Length: n})
	}
	if len(x.Components) == 0 && x.Kind == "" {
		return usage("%s: give -key position,length..., -separate_key or -item", r.name)
	}
	if err := r.do("made index "+x.Name+" of", r.words[0], "", func() error { return r.door.createIndex(r.ctx, r.words[0], &x) }); err != nil {
		return err
	}
	return r.tell(false)
}
