package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
)

// fakeNode answers at a door as a node would, with what a test puts in.
type fakeNode struct {
	admin.Engine
	status   admin.Status
	caughtUp admin.CaughtUp
	account  admin.Account
	plan     admin.ControlPlan
	changes  []admin.Change
	fail     error
}

func (f *fakeNode) Status(context.Context) (*admin.Status, error) { return &f.status, f.fail }
func (f *fakeNode) CaughtUp(context.Context, admin.CaughtUpRequest) (*admin.CaughtUp, error) {
	return &f.caughtUp, f.fail
}
func (f *fakeNode) Account(context.Context, admin.AccountRequest) (*admin.Account, error) {
	return &f.account, f.fail
}
func (f *fakeNode) ControlApply(context.Context, admin.ControlChange) (*admin.ControlPlan, error) {
	return &f.plan, f.fail
}
func (f *fakeNode) Links(context.Context) ([]admin.Link, error) { return nil, f.fail }
func (f *fakeNode) Forward(context.Context, string, admin.Caller, string) (*admin.Forwarded, error) {
	return nil, admin.Errorf(admin.Unreachable, "module_unreachable", "", "it is not there")
}
func (f *fakeNode) Parked(context.Context) ([]admin.Parked, error) { return nil, f.fail }
func (f *fakeNode) Digest(_ context.Context, path string) (*admin.Digest, error) {
	return &admin.Digest{Digest: "00ff", Records: 3, Path: path, Parked: 1}, f.fail
}
func (f *fakeNode) Journal(_ context.Context, _ admin.JournalRequest, emit func(*admin.Change) error) error {
	for i := range f.changes {
		if err := emit(&f.changes[i]); err != nil {
			return err
		}
	}
	return f.fail
}
func (f *fakeNode) CreateToken(_ context.Context, r admin.TokenRequest) (*admin.Token, error) {
	return &admin.Token{Token: "drmesh1-secret", Role: r.Role}, f.fail
}

// serve makes a directory that looks like a module's, with f behind its door.
func (f *fakeNode) serve(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "module.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	api := admin.New(f, admin.Options{Module: "%east#m1"})
	t.Cleanup(api.Close)
	s, err := admin.Serve(filepath.Join(dir, "admin.sock"), api)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return dir
}

// drmesh runs one command line.
func drmesh(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var o, e bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &o, err: &e, env: func(string) string { return "" }}
	code = a.run(ctx, args)
	return code, o.String(), e.String()
}

func walk(c *cobra.Command, fn func(*cobra.Command)) {
	fn(c)
	for _, s := range c.Commands() {
		walk(s, fn)
	}
}

func TestEveryCommandHasTheOutputOption(t *testing.T) {
	a := &app{env: func(string) string { return "" }}
	n := 0
	walk(a.root(), func(c *cobra.Command) {
		n++
		f := c.Flag("output")
		if f == nil || f.Shorthand != "o" || f.DefValue != "table" {
			t.Errorf("%s: no -o table|json|jsonl|yaml", c.CommandPath())
		}
		if c.Flag("dir") == nil {
			t.Errorf("%s: no --dir", c.CommandPath())
		}
		if c.Short == "" {
			t.Errorf("%s: says nothing of itself", c.CommandPath())
		}
		if c.HasParent() && c.RunE == nil && c.Run == nil {
			t.Errorf("%s: does nothing", c.CommandPath())
		}
	})
	if n < 40 {
		t.Errorf("%d commands", n)
	}
}

// The words of the command line that scripts rely on.
func TestCommandsOfTheContract(t *testing.T) {
	a := &app{env: func(string) string { return "" }}
	root := a.root()
	for _, line := range []string{
		"demo --script --input --layout --keep",
		"init --module --mesh --listen --admin",
		"token create --role --ttl",
		"join --module --listen --admin",
		"serve --recover",
		"leave --accept-loss --dry-run",
		"version", "completion",
		"bench write", "bench mirror",
		"status --matrix --wait-for --timeout --reachable",
		"module ls",
		"link ls", "link pause", "link resume",
		"control show", "control plan", "control apply --timeout",
		"file ls", "file info", "file digest", "file history",
		"file load --from --layout --delimiter --header --append --replace --resume",
		"file dump --layout --delimiter",
		"journal tail --from --share", "journal dump --from --share",
		"conflict ls", "conflict show", "parked ls", "account --scan",
		"vos create_file", "vos create_dir", "vos copy_file", "vos move_file", "vos rename", "vos delete_file",
		"vos truncate_file", "vos create_index", "vos compare_files",
	} {
		var path []string
		var flags []string
		for _, w := range strings.Fields(line) {
			if f, ok := strings.CutPrefix(w, "--"); ok {
				flags = append(flags, f)
			} else {
				path = append(path, w)
			}
		}
		root.InitDefaultCompletionCmd(path...)
		c, rest, err := root.Find(path)
		if err != nil || len(rest) > 0 {
			t.Errorf("drmesh %s: no such command", strings.Join(path, " "))
			continue
		}
		for _, f := range flags {
			if c.Flag(f) == nil {
				t.Errorf("drmesh %s: no --%s", strings.Join(path, " "), f)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	dir := (&fakeNode{}).serve(t)
	sick := (&fakeNode{fail: admin.Errorf(admin.NoQuorum, "no_quorum", "bring more voters into reach", "2 of 3 are away")}).serve(t)
	empty := t.TempDir()
	for _, c := range []struct {
		name string
		args string
		code int
		says []string
	}{
		{"unknown command", "frobnicate", 2, []string{"drmesh: ", "frobnicate", "\nhint: "}},
		{"unknown subcommand", "link cut", 2, []string{"no command \"cut\"", "pause"}},
		{"group alone", "control", 2, []string{"give one of", "plan"}},
		{"unknown option", "status --fast", 2, []string{"drmesh: ", "--fast"}},
		{"argument missing", "control apply", 2, []string{"drmesh: "}},
		{"argument too much", "version 2", 2, []string{"drmesh: "}},
		{"output form", "version -o xml", 2, []string{"give one of table, json, jsonl, yaml"}},
		{"no directory", "status", 2, []string{"--dir", "DRMESH_DIR"}},
		{"no module", "status --dir " + empty, 5, []string{"holds no module", "hint: make one with \"drmesh init\""}},
		{"the node's own class", "status --dir " + sick, 12, []string{"drmesh: 2 of 3 are away\n", "hint: bring more voters into reach\n"}},
		{"no such file", "control apply /nowhere.tin --dir " + dir, 4, []string{"/nowhere.tin"}},
		{"bad wait", "status --wait-for rain --dir " + dir, 2, []string{"caught-up"}},
		{"bad role", "token create --role king --dir " + dir, 2, []string{"member, witness or leaf"}},
	} {
		code, out, errs := drmesh(t, strings.Fields(c.args)...)
		if code != c.code || out != "" {
			t.Errorf("%s: exit %d, want %d; stdout %q", c.name, code, c.code, out)
		}
		if !strings.HasPrefix(errs, "drmesh: ") {
			t.Errorf("%s: the error begins %.40q", c.name, errs)
		}
		for _, s := range c.says {
			if !strings.Contains(errs, s) {
				t.Errorf("%s: %q lacks %q", c.name, errs, s)
			}
		}
		code, _, errs = drmesh(t, append(strings.Fields(c.args), "-o", "json")...)
		if strings.Contains(c.args, "-o xml") {
			continue
		}
		var e struct {
			Error *admin.Error `json:"error"`
		}
		if err := json.Unmarshal([]byte(errs), &e); err != nil || e.Error == nil || int(e.Error.Class) != c.code || code != c.code || e.Error.Code == "" {
			t.Errorf("%s with -o json: exit %d, stderr %q (%v)", c.name, code, errs, err)
		}
	}
}

func TestUnreachableNode(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "module.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	code, _, errs := drmesh(t, "status", "--dir", dir)
	if code != 10 || !strings.Contains(errs, "hint: start the node") {
		t.Errorf("exit %d, %q", code, errs)
	}
	if d := time.Since(begun); d < 4*time.Second || d > 20*time.Second {
		t.Errorf("waited %v for the socket", d)
	}
	long := filepath.Join(dir, strings.Repeat("d", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(long, "module.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := drmesh(t, "status", "--dir", long); code != 5 || !strings.Contains(errs, "shorter path") {
		t.Errorf("long path: exit %d, %q", code, errs)
	}
}

func TestForms(t *testing.T) {
	w := uint64(7)
	f := &fakeNode{status: admin.Status{Module: "%east#m1", Streams: []admin.StreamStatus{{Stream: "%west#m1.1/main", Module: "%west#m1", Durable: 5}, {Stream: "%east#m1.1/main", Module: "%east#m1", Own: true, Written: &w, Durable: 7,
		Peers: []admin.PeerSeq{{Module: "%west#m1", Durable: &w}}}},
		Members: []admin.MemberStatus{{Module: "%east#m1"}, {Module: "%west#m1"}}}}
	dir := f.serve(t)
	check := func(want string, args ...string) {
		t.Helper()
		code, out, errs := drmesh(t, append(args, "--dir", dir)...)
		if code != 0 || out != want {
			t.Errorf("%v: exit %d, %s\n got %q\nwant %q", args, code, errs, out, want)
		}
	}
	check("[]\n", "parked", "ls", "-o", "json")
	check("", "parked", "ls", "-o", "jsonl")
	check("[]\n", "parked", "ls", "-o", "yaml")
	check("00ff 3 main:packages\n", "file", "digest", "main:packages")
	check(`{"digest":"00ff","records":3,"path":"main:packages","parked":1}`+"\n", "file", "digest", "main:packages", "-o", "json")
	check("drmesh1-secret\n", "token", "create")
	check(""+
		"STREAM           WRITTEN  %east#m1  %west#m1\n"+
		"%east#m1.1/main  7        7         7 (absent)\n"+
		"%west#m1.1/main  unknown  5         unknown (absent)\n", "status", "--matrix")
	check("[]\n", "journal", "dump", "-o", "json")

	f.changes = []admin.Change{{Dot: "%east#m1.1/main:1", Kind: "write"}, {Dot: "%east#m1.1/main:2", Kind: "delete"}}
	_, out, _ := drmesh(t, "journal", "dump", "-o", "json", "--dir", dir)
	var l []admin.Change
	if err := json.Unmarshal([]byte(out), &l); err != nil || len(l) != 2 || l[1].Dot != "%east#m1.1/main:2" {
		t.Errorf("journal dump -o json: %v, %q", err, out)
	}
	_, out, _ = drmesh(t, "journal", "dump", "-o", "jsonl", "--limit", "1", "--dir", dir)
	if strings.Count(out, "\n") != 1 {
		t.Errorf("journal dump --limit 1: %q", out)
	}
}

func TestFindings(t *testing.T) {
	f := &fakeNode{
		account:  admin.Account{Module: "%east#m1", Findings: []string{"%east#m1.1/main:9 is nowhere"}, Lines: []admin.AccountLine{{Share: "main", Missing: 1}}},
		caughtUp: admin.CaughtUp{Behind: 12, Left: []string{"%north#m1"}},
		plan:     admin.ControlPlan{Epoch: 4, Lines: []string{"new share main"}, Lacking: []string{"%north#m1"}},
	}
	dir := f.serve(t)
	tables := filepath.Join(t.TempDir(), "t.tin")
	if err := os.WriteFile(tables, []byte("/=record_type include\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		out  string
		errs string
	}{
		{[]string{"account", "--scan"}, 6, "main", "%east#m1.1/main:9 is nowhere"},
		{[]string{"status", "--wait-for", "caught-up", "--timeout", "1s"}, 9, "", "12 records behind; could not ask %north#m1"},
		{[]string{"control", "apply", tables}, 8, "new share main", "not yet at %north#m1"},
	} {
		code, out, errs := drmesh(t, append(c.args, "--dir", dir)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", c.args, code, out, errs)
		}
	}
	f.account = admin.Account{Module: "%east#m1"}
	if code, _, errs := drmesh(t, "account", "--dir", dir); code != 0 || errs != "" {
		t.Errorf("an even account: exit %d, %q", code, errs)
	}
}
