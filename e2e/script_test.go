package e2e

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// binary is the command under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// A short path: those of sockets may have 100 bytes.
		dir, err := os.MkdirTemp("", "e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "drmesh")
		build := exec.Command("go", "build", "-o", binary, "../cmd/drmesh")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// TestScripts runs the transcripts. Beside the commands of testscript they
// have:
//
//	setenv NAME         puts the last standard output into a variable
//	exits CODE ARG...   runs drmesh and wants that exit code
//	serve NAME          serves directory NAME and waits for READY
//	die NAME            kill -9 of that node
//	stop NAME           asks it to end, and wants exit 0
//	mesh NAME...        makes and serves modules: a is %a#m1, directory a;
//	                    a=witness joins as a witness
//	unicode FILE        writes the Unicode character database, 34,924 lines
//	same FILE FILE      compares files by their lines, in any order
//	json KEY VALUE      the last standard output, in JSON, has the value at a.b.c
//	eventually ARG...   runs drmesh again and again, 30 s at most, until it exits 0
//
// P1 to P9 are free UDP ports.
func TestScripts(t *testing.T) {
	root, err := os.MkdirTemp("", "e2es")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		WorkdirRoot:         root,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("DRMESH_DIR", "")
			ports, err := freePorts(9)
			if err != nil {
				return err
			}
			for i, p := range ports {
				e.Setenv(fmt.Sprintf("P%d", i+1), strconv.Itoa(p))
			}
			n := &nodes{dir: e.WorkDir, run: map[string]*node{}}
			e.Values["nodes"] = n
			e.Defer(n.end)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"setenv":     cmdSetenv,
			"exits":      cmdExits,
			"serve":      cmdServe,
			"die":        cmdDie,
			"stop":       cmdStop,
			"mesh":       cmdMesh,
			"unicode":    cmdUnicode,
			"same":       cmdSame,
			"json":       cmdJSON,
			"eventually": cmdEventually,
		},
	})
}

// freePorts finds UDP ports that nobody uses; they are held until all are
// found, so that they differ.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, err
		}
		defer c.Close()
		ports = append(ports, c.LocalAddr().(*net.UDPAddr).Port)
	}
	return ports, nil
}

// nodes are the served directories of one script.
type nodes struct {
	dir string
	run map[string]*node
}

// node is one serving process.
type node struct {
	cmd  *exec.Cmd
	out  *watched
	err  *os.File
	done chan struct{}
	code int // after done
}

// watched keeps what a process writes and tells when READY was among it.
type watched struct {
	b     bytes.Buffer
	ready chan struct{}
	told  bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.b.Write(p)
	if !w.told && (strings.HasPrefix(w.b.String(), "READY\n") || strings.Contains(w.b.String(), "\nREADY\n")) {
		w.told = true
		close(w.ready)
	}
	return len(p), nil
}

// start serves a directory; it returns when the node is ready, or has ended.
func (n *nodes) start(name string) (*node, error) {
	log, err := os.OpenFile(filepath.Join(n.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	x := &node{cmd: exec.Command(binary, "serve", "--dir", filepath.Join(n.dir, name)), out: &watched{ready: make(chan struct{})}, err: log, done: make(chan struct{})}
	x.cmd.Stdout, x.cmd.Stderr = x.out, log
	if err := x.cmd.Start(); err != nil {
		log.Close()
		return nil, err
	}
	n.run[name] = x
	go func() {
		x.cmd.Wait()
		x.code = x.cmd.ProcessState.ExitCode()
		log.Close()
		close(x.done)
	}()
	select {
	case <-x.out.ready:
		return x, nil
	case <-x.done:
		return x, fmt.Errorf("serve %s ended with %d: %s", name, x.code, n.log(name))
	case <-time.After(30 * time.Second):
		return x, fmt.Errorf("serve %s: no READY within 30 s: %s", name, n.log(name))
	}
}

func (n *nodes) log(name string) string {
	b, err := os.ReadFile(filepath.Join(n.dir, name+".log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

func (n *nodes) end() {
	for _, x := range n.run {
		x.cmd.Process.Kill()
		<-x.done
	}
}

func scriptNodes(ts *testscript.TestScript) *nodes { return ts.Value("nodes").(*nodes) }

func one(ts *testscript.TestScript, neg bool, args []string, usage string) string {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: %s", usage)
	}
	return args[0]
}

func cmdSetenv(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 2 && !neg {
		ts.Setenv(args[0], jsonAt(ts, args[1]))
		return
	}
	ts.Setenv(one(ts, neg, args, "setenv NAME [KEY]"), strings.TrimSpace(ts.ReadFile("stdout")))
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || err != nil || len(args) < 2 {
		ts.Fatalf("usage: exits CODE ARG...")
	}
	err = ts.Exec(binary, args[1:]...)
	got := 0
	if x, ok := err.(*exec.ExitError); ok {
		got = x.ExitCode()
	} else if err != nil {
		ts.Fatalf("drmesh: %v", err)
	}
	if got != want {
		ts.Fatalf("exit %d, want %d", got, want)
	}
}

func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if _, err := scriptNodes(ts).start(one(ts, neg, args, "serve NAME")); err != nil {
		ts.Fatalf("%v", err)
	}
}

func cmdDie(ts *testscript.TestScript, neg bool, args []string) {
	x := scriptNodes(ts).run[one(ts, neg, args, "die NAME")]
	if x == nil {
		ts.Fatalf("%s is not served", args[0])
	}
	x.cmd.Process.Kill()
	<-x.done
}

func cmdStop(ts *testscript.TestScript, neg bool, args []string) {
	n := scriptNodes(ts)
	x := n.run[one(ts, neg, args, "stop NAME")]
	if x == nil {
		ts.Fatalf("%s is not served", args[0])
	}
	x.cmd.Process.Signal(os.Interrupt)
	select {
	case <-x.done:
	case <-time.After(20 * time.Second):
		ts.Fatalf("%s did not end: %s", args[0], n.log(args[0]))
	}
	if x.code != 0 {
		ts.Fatalf("%s ended with %d: %s", args[0], x.code, n.log(args[0]))
	}
}

func cmdMesh(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: mesh NAME...")
	}
	n := scriptNodes(ts)
	run := func(args ...string) string {
		var out, say bytes.Buffer
		cmd := exec.Command(binary, args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, &out, &say
		if err := cmd.Run(); err != nil {
			ts.Fatalf("drmesh %s: %v\n%s", strings.Join(args, " "), err, say.String())
		}
		return strings.TrimSpace(out.String())
	}
	for i, a := range args {
		a, role, _ := strings.Cut(a, "=")
		listen := "127.0.0.1:" + ts.Getenv(fmt.Sprintf("P%d", i+1))
		module := "%" + a + "#m1"
		if i == 0 {
			run("init", "--dir", a, "--module", module, "--listen", listen)
		} else {
			run("join", run("token", "create", "--role", cmp.Or(role, "member"), "--dir", args[0]), "--dir", a, "--module", module, "--listen", listen)
		}
		if _, err := n.start(a); err != nil {
			ts.Fatalf("%v", err)
		}
	}
}

// unicodeText is the Unicode character database.
func unicodeText() ([]byte, error) {
	f, err := os.Open("../cmd/drmesh/demo/UnicodeData.txt.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func cmdUnicode(ts *testscript.TestScript, neg bool, args []string) {
	b, err := unicodeText()
	if err == nil {
		err = os.WriteFile(ts.MkAbs(one(ts, neg, args, "unicode FILE")), b, 0o600)
	}
	if err != nil {
		ts.Fatalf("%v", err)
	}
}

func cmdSame(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: same FILE FILE")
	}
	count := map[string]int{}
	for l := range strings.Lines(ts.ReadFile(args[0])) {
		count[l]++
	}
	for l := range strings.Lines(ts.ReadFile(args[1])) {
		count[l]--
	}
	for l, n := range count {
		if n != 0 && !neg {
			ts.Fatalf("line %q stands %d times more in %s than in %s", l, n, args[0], args[1])
		}
		if n == 0 {
			delete(count, l)
		}
	}
	if neg && len(count) == 0 {
		ts.Fatalf("%s and %s have the same lines", args[0], args[1])
	}
}

func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json KEY VALUE")
	}
	if got := jsonAt(ts, args[0]); (got == args[1]) == neg {
		ts.Fatalf("%s is %s", args[0], got)
	}
}

// jsonAt is what standard output, which is JSON, has under a key.
func jsonAt(ts *testscript.TestScript, key string) string {
	got, err := lookUp(ts.ReadFile("stdout"), key)
	ts.Check(err)
	return got
}

// lookUp is what a JSON text has under a key, which is names, numbers of
// elements and len, divided by points.
func lookUp(text, key string) (string, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return "", fmt.Errorf("standard output is no JSON: %w", err)
	}
	for k := range strings.SplitSeq(key, ".") {
		switch w := v.(type) {
		case map[string]any:
			got, ok := w[k]
			if !ok {
				return "", fmt.Errorf("%s: there is no %s", key, k)
			}
			v = got
		case []any:
			if k == "len" {
				v = float64(len(w))
				continue
			}
			i, err := strconv.Atoi(k)
			if err != nil || i < 0 || i >= len(w) {
				return "", fmt.Errorf("%s: a list of %d has no %s", key, len(w), k)
			}
			v = w[i]
		default:
			return "", fmt.Errorf("%s: %v has no %s", key, v, k)
		}
	}
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64), nil
	}
	return fmt.Sprint(v), nil
}

// cmdEventually runs drmesh until it exits 0 and its answer is the one looked
// for: for what another module has to hear first. Patience costs nothing
// where all is well, so there is plenty.
func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	var pattern *regexp.Regexp
	var keys [][2]string
	for len(args) > 2 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-stdout":
			var err error
			pattern, err = regexp.Compile("(?m)" + args[1])
			ts.Check(err)
		case "-json":
			k, v, _ := strings.Cut(args[1], "=")
			keys = append(keys, [2]string{k, v})
		default:
			ts.Fatalf("eventually: there is no %s", args[0])
		}
		args = args[2:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: eventually [-stdout PATTERN] [-json KEY=VALUE]... ARG...")
	}
	for deadline := time.Now().Add(90 * time.Second); ; {
		err := ts.Exec(binary, args...)
		if err == nil && pattern != nil && !pattern.MatchString(ts.ReadFile("stdout")) {
			err = fmt.Errorf("nothing like %q on standard output", pattern)
		}
		for _, k := range keys {
			if err != nil {
				break
			}
			var got string
			if got, err = lookUp(ts.ReadFile("stdout"), k[0]); err == nil && got != k[1] {
				err = fmt.Errorf("%s is %s, not %s", k[0], got, k[1])
			}
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			lastLines(ts)
			ts.Fatalf("drmesh %s: still %v", strings.Join(args, " "), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// lastLines shows the ends of the logs of all modules, for who has to find out
// why something did not come about.
func lastLines(ts *testscript.TestScript) {
	logs, _ := filepath.Glob(filepath.Join(ts.Getenv("WORK"), "*.log"))
	for _, name := range logs {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		ts.Logf("%s, the last lines:\n%s", filepath.Base(name), strings.Join(lines[max(0, len(lines)-30):], "\n"))
	}
}
