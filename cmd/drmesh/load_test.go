package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/node"
)

// module is a real node in this process, with one share: main, below
// %east#d01>data.
type module struct {
	t   *testing.T
	dir string
}

func serveModule(t *testing.T) *module {
	t.Helper()
	dir, err := os.MkdirTemp("", "dm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &module{t, filepath.Join(dir, "a")}
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := c.LocalAddr().String()
	c.Close()
	if code, _, errs := drmesh(t, "init", "--dir", m.dir, "--module", "%east#m1", "--listen", listen); code != 0 {
		t.Fatal(errs)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		ended <- node.Serve(ctx, node.ServeOptions{Dir: m.dir, Ready: func() { close(ready) }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && ctx.Err() == nil {
			t.Errorf("serve: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("serve: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("not READY after 30 s")
	}
	m.ok("control", "apply", m.file("tables.tin", `
/=record_type   include
 =share_name    main
 =process_name  *
 =source_path   %east#d01>data>*
`))
	return m
}

// file writes a file beside the module's directory.
func (m *module) file(name, text string) string {
	m.t.Helper()
	name = filepath.Join(filepath.Dir(m.dir), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return name
}

// ok runs a command that must work, and gives its standard output.
func (m *module) ok(args ...string) string {
	m.t.Helper()
	code, out, errs := drmesh(m.t, append(args, "--dir", m.dir)...)
	if code != 0 {
		m.t.Fatalf("drmesh %s: exit %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// fails runs a command that must end with a code and say something.
func (m *module) fails(want int, says string, args ...string) {
	m.t.Helper()
	code, out, errs := drmesh(m.t, append(args, "--dir", m.dir)...)
	if code != want || !strings.Contains(errs, says) {
		m.t.Errorf("drmesh %s: exit %d, want %d with %q\nstdout %.300s\nstderr %.600s", strings.Join(args, " "), code, want, says, out, errs)
	}
}

func (m *module) load(args ...string) loaded {
	m.t.Helper()
	var l loaded
	if err := json.Unmarshal([]byte(m.ok(append([]string{"file", "load", "-o", "json"}, args...)...)), &l); err != nil {
		m.t.Fatal(err)
	}
	return l
}

const stock = `
fields:
    code     char(8),
    count    bin(31),
    price    decimal(9,2),
    name     char(20) varying;
index: code (code);
index: by_name (name) duplicates;
end;
`

func stockLines(from, to int) []string {
	var l []string
	for i := from; i < to; i++ {
		l = append(l, fmt.Sprintf("c%06d;%d;%d.%02d;name %d", i, i-500, i, i%100, i%7))
	}
	return l
}

func text(l []string) string { return strings.Join(l, "\n") + "\n" }

func TestLoadAndDumpOfAKeyedFile(t *testing.T) {
	m := serveModule(t)
	layout := m.file("stock.dd", stock)
	lines := stockLines(0, 3000)
	shuffled := slices.Clone(lines)
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	half := m.file("half.txt", text(shuffled[:1200]))
	all := m.file("all.txt", text(shuffled))

	load := func(file string, more ...string) []string {
		return append([]string{"main:stock", "--from", file, "--layout", layout, "--delimiter", ";"}, more...)
	}
	if l := m.load(load(half)...); l.Written != 1200 || l.Skipped != 0 {
		t.Errorf("first load: %+v", l)
	}
	m.fails(5, "give --append, --replace or --resume", append([]string{"file", "load"}, load(all)...)...)
	if l := m.load(load(all, "--resume")...); l.Written != 1800 || l.Skipped != 1200 {
		t.Errorf("resumed load: %+v", l)
	}
	dump := m.ok("file", "dump", "%east#d01>data>stock", "--delimiter", ";")
	if dump != text(lines) {
		t.Errorf("dump of %d lines is not the sorted input of %d", strings.Count(dump, "\n"), len(lines))
	}
	if d := m.ok("file", "dump", "main:stock", "--layout", layout, "--delimiter", "tab"); d != strings.ReplaceAll(dump, ";", "\t") {
		t.Error("another delimiter gives another dump")
	}

	// What is there already is refused before anything is written.
	digest := m.ok("file", "digest", "main:stock")
	if !strings.HasSuffix(digest, " 3000 stock\n") && !strings.HasSuffix(digest, " 3000 main:stock\n") {
		t.Errorf("digest: %q", digest)
	}
	mixed := m.file("mixed.txt", text(append(stockLines(3000, 3005), stockLines(2999, 3000)...)))
	m.fails(1, "line 6: code", append([]string{"file", "load"}, load(mixed, "--append")...)...)
	if d := m.ok("file", "digest", "main:stock"); d != digest {
		t.Errorf("a load that was refused changed the file: %s", d)
	}
	more := m.file("more.txt", text(stockLines(3000, 3100)))
	if l := m.load("main:stock", "--from", more, "--delimiter", ";", "--append"); l.Written != 100 {
		t.Errorf("append with the layout of the file: %+v", l)
	}
	if l := m.load(load(half, "--replace")...); l.Written != 1200 {
		t.Errorf("replace: %+v", l)
	}
	want := slices.Sorted(slices.Values(shuffled[:1200]))
	if d := m.ok("file", "dump", "main:stock", "--delimiter", ";"); d != text(want) {
		t.Error("replace left something else than its input")
	}
	var recs []map[string]string
	if err := json.Unmarshal([]byte(m.ok("file", "dump", "main:stock", "-o", "json")), &recs); err != nil || len(recs) != 1200 {
		t.Errorf("dump -o json: %d records, %v", len(recs), err)
	} else if recs[0]["name"] == "" || recs[0]["code"] == "" {
		t.Errorf("dump -o json: %v", recs[0])
	}
	m.ok("account", "--scan")

	var h []admin.Change
	key := want[0][:7]
	if err := json.Unmarshal([]byte(m.ok("file", "history", "main:stock", key, "-o", "json")), &h); err != nil || len(h) < 2 {
		t.Errorf("history of %s: %d versions, %v", key, len(h), err)
	}
	m.fails(2, "no key of the index", "file", "history", "main:stock", "much too long a key")
}

func TestHistoryByANumberThatIsAKey(t *testing.T) {
	m := serveModule(t)
	layout := m.file("n.dd", "fields: n bin(31), m char(2); index: n (n, m); end;")
	m.load("main:n", "--from", m.file("n.txt", "7|x\n300|y\n"), "--layout", layout)
	var h []admin.Change
	if err := json.Unmarshal([]byte(m.ok("file", "history", "main:n", "300|y", "-o", "json")), &h); err != nil || len(h) != 1 || h[0].Kind != "write" || string(h[0].Data[4:]) != "y " {
		t.Errorf("%+v, %v", h, err)
	}
	m.load("main:r", "--from", m.file("r.txt", "a\nb\n"), "--layout", m.file("r.dd", "organization: relative; fields: c char(1); end;"))
	if err := json.Unmarshal([]byte(m.ok("file", "history", "main:r", "2", "-o", "json")), &h); err != nil || len(h) != 1 || string(h[0].Data) != "b" {
		t.Errorf("%+v, %v", h, err)
	}
	if d := m.ok("file", "dump", "main:r"); d != "a\nb\n" {
		t.Errorf("dump of a relative file: %q", d)
	}
}

func TestLoadKeepsTheOrderOfLines(t *testing.T) {
	m := serveModule(t)
	in := "z\nsame\nsame\n\na\twith tab\ncaf\xe9\nsame\n"
	name := m.file("log.txt", in)
	if l := m.load("main:log", "--from", name); l.Written != 7 {
		t.Errorf("%+v", l)
	}
	if d := m.ok("file", "dump", "main:log"); d != in {
		t.Errorf("dump %q, loaded %q", d, in)
	}
	m.load("main:log", "--from", m.file("more.txt", "end\n"), "--append")
	if d := m.ok("file", "dump", "main:log"); d != in+"end\n" {
		t.Errorf("appended: %q", d)
	}
	// The same records again are no reason to leave them out.
	if l := m.load("main:log", "--from", m.file("again.txt", in+"end\nsame\n"), "--resume"); l.Written != 1 || l.Skipped != 8 {
		t.Errorf("resume: %+v", l)
	}
}

func TestBadLoads(t *testing.T) {
	m := serveModule(t)
	layout := m.file("stock.dd", stock)
	m.fails(1, "line 2: code: ", "file", "load", "main:x", "--from", m.file("bad.txt", "a;1;1.00;x\nmuch too long;1;1.00;x\n"), "--layout", layout, "--delimiter", ";")
	m.fails(1, "line 1:", "file", "load", "main:x", "--from", m.file("bin.txt", "a\x00b\n"))
	m.fails(3, "line ", "file", "load", "main:x", "--from", "/dev/null", "--layout", m.file("bad.dd", "fields: a chair(2); end;"))
	m.fails(4, "", "file", "load", "%west#d01>data>x", "--from", m.file("l.txt", "a\n"))
	m.fails(4, "", "file", "load", "other:x", "--from", m.file("l.txt", "a\n"))
	m.fails(4, "e$object_not_found (1032)", "file", "dump", "main:x")
	m.fails(4, "/nowhere", "file", "load", "main:x", "--from", "/nowhere")
	m.fails(2, "exclude each other", "file", "load", "main:x", "--from", "/dev/null", "--append", "--replace")
	if l := m.ok("file", "ls", "-o", "json"); l != "[]\n" {
		t.Errorf("a load that was refused left %s", l)
	}
}
