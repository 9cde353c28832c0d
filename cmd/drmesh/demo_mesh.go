package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"drmesh/admin"
	"drmesh/admin/client"
)

// demoModule is one module of a mesh that a command of ours started on this
// machine: a directory, and the process that serves it.
type demoModule struct {
	name string // %east#m1
	word string // east
	dir  string

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// demoMesh is such a mesh. It knows no more of it than any user: it runs our
// own binary and uses its commands and sockets. One goroutine owns it.
type demoMesh struct {
	binary  string
	dir     string
	modules []*demoModule
	// detach starts nodes that outlive us, in a session of their own.
	detach bool
}

// newDemoMesh makes a directory for modules called by words: east becomes
// %east#m1. Nothing runs yet.
func newDemoMesh(detach bool, words ...string) (*demoMesh, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "drmesh-")
	if err != nil {
		return nil, err
	}
	m := &demoMesh{binary: binary, dir: dir, detach: detach}
	for _, w := range words {
		m.modules = append(m.modules, &demoModule{name: "%" + w + "#m1", word: w, dir: filepath.Join(dir, w)})
	}
	return m, nil
}

// start makes the mesh and serves every module.
func (m *demoMesh) start(ctx context.Context) error {
	for i, x := range m.modules {
		port, err := freePort()
		if err != nil {
			return err
		}
		listen := fmt.Sprintf("127.0.0.1:%d", port)
		if i == 0 {
			_, err = m.run(ctx, "init", "--dir", x.dir, "--module", x.name, "--mesh", "demo", "--listen", listen)
		} else {
			var token []byte
			if token, err = m.at(ctx, m.modules[0], "token", "create"); err == nil {
				_, err = m.run(ctx, "join", string(bytes.TrimSpace(token)), "--dir", x.dir, "--module", x.name, "--listen", listen)
			}
		}
		if err == nil {
			err = m.serve(ctx, x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// freePort finds a UDP port that nobody uses at the moment.
func freePort() (int, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

// commandError is a command of ours that did not end with 0.
type commandError struct {
	args []string
	code int
	said string // on standard error
}

func (e *commandError) Error() string {
	var lines []string
	for l := range strings.Lines(e.said) {
		if l = strings.TrimSpace(l); l != "" && !strings.Contains(l, `"progress":`) && !strings.HasPrefix(l, "hint: ") {
			lines = append(lines, strings.TrimPrefix(l, "drmesh: "))
		}
	}
	if len(lines) > 4 {
		lines = lines[len(lines)-4:]
	}
	return fmt.Sprintf("drmesh %s: exit %d: %s", strings.Join(e.args[:min(2, len(e.args))], " "), e.code, strings.Join(lines, "; "))
}

// run runs one of our commands and gives its standard output.
func (m *demoMesh) run(ctx context.Context, args ...string) ([]byte, error) {
	var out, say bytes.Buffer
	cmd := exec.CommandContext(ctx, m.binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &say
	cmd.Env = append(os.Environ(), "DRMESH_DIR=")
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if x := (*exec.ExitError)(nil); errors.As(err, &x) {
		if args[0] == "join" {
			args = append([]string{"join", "TOKEN"}, args[2:]...) // a token is a secret
		}
		return out.Bytes(), &commandError{args, x.ExitCode(), say.String()}
	}
	return out.Bytes(), err
}

// at runs a command at one module.
func (m *demoMesh) at(ctx context.Context, x *demoModule, args ...string) ([]byte, error) {
	return m.run(ctx, append(args, "--dir", x.dir)...)
}

// answer runs a command at one module and reads its JSON answer.
func (m *demoMesh) answer(ctx context.Context, x *demoModule, v any, args ...string) error {
	out, err := m.at(ctx, x, append(args, "-o", "json")...)
	if len(out) > 0 {
		if e := json.Unmarshal(out, v); e != nil && err == nil {
			err = fmt.Errorf("drmesh %s: answered no JSON: %w", strings.Join(args, " "), e)
		}
	}
	return err
}

// readyTimeout bounds the time to READY of a node that starts.
const readyTimeout = 60 * time.Second

// serve starts a module's node and returns when it takes calls.
func (m *demoMesh) serve(ctx context.Context, x *demoModule) error {
	log, err := os.OpenFile(filepath.Join(m.dir, x.word+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	ready, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	// Its life is not that of ctx: it ends by stop or kill.
	cmd := exec.Command(m.binary, "serve", "--dir", x.dir)
	cmd.Stdout, cmd.Stderr = out, log
	cmd.Env = append(os.Environ(), "DRMESH_DIR=", "NOTIFY_SOCKET=")
	// Of a process group of its own, so that an interrupt from the keyboard
	// comes to us alone and the mesh is taken down in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if m.detach {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	err = cmd.Start()
	out.Close()
	if err != nil {
		return err
	}
	x.cmd, x.done = cmd, make(chan struct{})
	go func() {
		cmd.Wait()
		close(x.done)
	}()
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(io.LimitReader(ready, 1<<20))
		for {
			l, err := r.ReadString('\n')
			if err != nil || strings.TrimSpace(l) == "READY" {
				first <- strings.TrimSpace(l)
				return
			}
		}
	}()
	select {
	case l := <-first:
		if l == "READY" {
			return nil
		}
		return fmt.Errorf("%s did not start: %s", x.name, m.lastWords(x))
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(readyTimeout):
		return fmt.Errorf("%s was not ready after %v: %s", x.name, readyTimeout, m.lastWords(x))
	}
}

// lastWords gives the end of a node's log.
func (m *demoMesh) lastWords(x *demoModule) string {
	b, err := os.ReadFile(filepath.Join(m.dir, x.word+".log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// kill ends a node as a power cut would: it gets no chance to tidy up.
func (x *demoModule) kill() {
	if x.cmd != nil {
		x.cmd.Process.Kill()
		<-x.done
	}
}

// stop asks all nodes to end, and waits for them.
func (m *demoMesh) stop() {
	var all sync.WaitGroup
	for _, x := range m.modules {
		if x.cmd == nil {
			continue
		}
		all.Go(func() {
			x.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-x.done:
			case <-time.After(10 * time.Second):
				x.kill()
			}
		})
	}
	all.Wait()
}

// remove deletes everything, after stop.
func (m *demoMesh) remove() error { return os.RemoveAll(m.dir) }

// caughtUp waits until every module has what any had.
func (m *demoMesh) caughtUp(ctx context.Context) error {
	for _, x := range m.modules {
		if _, err := m.at(ctx, x, "status", "--wait-for", "caught-up", "--timeout", "2m", "-o", "json"); err != nil {
			return err
		}
	}
	return nil
}

// file writes a file beside the modules and gives its name.
func (m *demoMesh) file(name string, b []byte) (string, error) {
	path := filepath.Join(m.dir, name)
	return path, os.WriteFile(path, b, 0o600)
}

// apply puts control tables in force.
func (m *demoMesh) apply(ctx context.Context, name, tables string) error {
	path, err := m.file(name, []byte(tables))
	if err != nil {
		return err
	}
	_, err = m.at(ctx, m.modules[0], "control", "apply", path)
	return err
}

// ask has a client of a module's operators' door do something.
func (x *demoModule) ask(ctx context.Context, fn func(*client.Client) error) error {
	c, err := client.Open(ctx, x.dir)
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(c)
}

// status is the module's own view.
func (x *demoModule) status(ctx context.Context) (*admin.Status, error) {
	var s *admin.Status
	err := x.ask(ctx, func(c *client.Client) (err error) {
		s, err = c.Status(ctx)
		return err
	})
	return s, err
}
