package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
	"drmesh/vosio/call"
	"drmesh/vosio/path"
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

// vosCommands are all of them, in the order of the help.
var vosCommands = slices.Concat(fileCommands, indexCommands, dirCommands, attributeCommands, convertCommands, tableCommands)

// findVOS finds a VOS command by its name, nil if there is none. A program's
// name may end with .pm.
func findVOS(name string) *vosCommand {
	name = strings.TrimSuffix(name, ".pm")
	i := slices.IndexFunc(vosCommands, func(v vosCommand) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return &vosCommands[i]
}

func (a *app) vosCommand() *cobra.Command {
	c := nest("vos", "The VOS batch commands")
	c.Long = `The VOS batch commands take VOS arguments: switches have one dash and whole words, which may be
shortened as far as they stay clear. Options of drmesh (--dir, --output or -o, --dry-run) have two dashes.
Source paths may be star names. What removes files that are not named one by one asks first; -no_ask does
not, and is needed where nobody can be asked.

The binary called by the name of one of them, through a link or a copy, is that command: after
"ln -s drmesh copy_file", "copy_file a b" is "drmesh vos copy_file a b".`
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

// noAsk is the switch of commands that ask first.
func noAsk(what string) vosSwitch { return vosSwitch{name: "no_ask", help: "do not ask about " + what} }

// agreed asks whether to do what cannot be undone. With -no_ask that is
// agreed; where nobody can be asked it is refused.
func (r *vosRun) agreed(question string) (bool, error) {
	if r.has("no_ask") || r.dryRun {
		return true, nil
	}
	if !asksPeople(r.a.in) || r.a.format != "table" {
		return false, admin.Errorf(admin.Usage, "nobody_to_ask", "-no_ask does it without asking, --dry-run tells what it would do", "%s: %s Nobody is there to say: standard input is no terminal", r.name, question)
	}
	return r.yes(question), nil
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

// call makes a call of which only the success matters.
func (r *vosRun) call(q *call.Request) error {
	var rep call.Reply
	if err := r.door.Do(r.ctx, q, &rep); err != nil {
		return err
	}
	return rep.Err()
}

// each does one thing to each file that the words, star names among them,
// match. A question is asked for each of a star name; verb is empty for none.
func (r *vosRun) each(words []string, did, verb string, fn func(path string) error) error {
	loud := false
	for _, w := range words {
		l, err := r.expand(w)
		if err != nil {
			return err
		}
		_, base := split(w)
		star := path.HasStar(base)
		loud = loud || star
		for _, p := range l {
			if star && verb != "" {
				if yes, err := r.agreed(verb + " " + p + "?"); err != nil {
					return err
				} else if !yes {
					continue
				}
			}
			if err := r.do(did, p, "", func() error { return fn(p) }); err != nil {
				return err
			}
		}
	}
	return r.tell(loud)
}

// asksPeople reports whether somebody can answer at in: it is a terminal.
func asksPeople(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok || !terminal(f) {
		return false
	}
	i, err := f.Stat()
	if err != nil {
		return false
	}
	null, err := os.Stat(os.DevNull) // a device, and nobody
	return err != nil || !os.SameFile(i, null)
}
