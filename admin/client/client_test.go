package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
)

// door is a node's side: what it answers is up to the test.
type door struct{ admin.Engine }

func (door) Status(context.Context) (*admin.Status, error) {
	return &admin.Status{Module: "%east#m1"}, nil
}

func (door) ControlPlan(context.Context, admin.ControlChange) (*admin.ControlPlan, error) {
	e := admin.Errorf(admin.Config, "bad_tables", "mend it", "control tables: 1 problem")
	e.Problems = []admin.Problem{{Line: 4, Field: "bogus", Text: "no such field"}}
	return nil, e
}

func (door) Digest(context.Context, string) (*admin.Digest, error) {
	return nil, errors.New("plain")
}

func (door) Journal(_ context.Context, _ admin.JournalRequest, emit func(*admin.Change) error) error {
	if err := emit(&admin.Change{Dot: "%east#m1.1/main:1"}); err != nil {
		return err
	}
	return admin.Errorf(admin.NotFound, "pruned", "", "the rest was pruned")
}

func (door) CaughtUp(ctx context.Context, _ admin.CaughtUpRequest) (*admin.CaughtUp, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func moduleDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "module.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func serve(t *testing.T, dir string) *admin.Server {
	t.Helper()
	api := admin.New(door{}, admin.Options{Module: "%east#m1"})
	t.Cleanup(api.Close)
	s, err := admin.Serve(filepath.Join(dir, "admin.sock"), api)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func class(t *testing.T, err error, want admin.Class, code string) *admin.Error {
	t.Helper()
	var e *admin.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T) is no error for operators", err, err)
	}
	if e.Class != want || e.Code != code {
		t.Fatalf("class %d, code %s: %v; want %d, %s", e.Class, e.Code, e, want, code)
	}
	return e
}

func TestErrorsComeBackAsTheNodeMadeThem(t *testing.T) {
	dir := moduleDir(t)
	serve(t, dir)
	c, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s, err := c.Status(t.Context()); err != nil || s.Module != "%east#m1" {
		t.Fatalf("%+v, %v", s, err)
	}
	_, err = c.Plan(t.Context(), admin.ControlChange{Text: "x"})
	e := class(t, err, admin.Config, "bad_tables")
	if e.Hint != "mend it" || len(e.Problems) != 1 || e.Problems[0].Line != 4 {
		t.Errorf("%+v", e)
	}
	_, err = c.Digest(t.Context(), "", "main:f")
	class(t, err, admin.Failed, "failed")
	_, err = ask[int](t.Context(), c, "/v1/nothing", nil)
	class(t, err, admin.NotFound, "no_route")
	// An error after the first lines still is one.
	n := 0
	err = c.Journal(t.Context(), admin.JournalRequest{}, func(*admin.Change) error { n++; return nil })
	class(t, err, admin.NotFound, "pruned")
	if n != 1 {
		t.Errorf("%d changes before the error", n)
	}
}

func TestTheSocketOfAnInitialisedDirectoryIsWaitedFor(t *testing.T) {
	dir := moduleDir(t)
	// What a node that was killed leaves: a socket nobody listens on.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "admin.sock")})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	opened := make(chan error, 1)
	go func() {
		c, err := Open(context.Background(), dir)
		if err == nil {
			_, err = c.Status(context.Background())
			c.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	serve(t, dir)
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

func TestNoModuleAndNoNode(t *testing.T) {
	_, err := Open(t.Context(), "")
	class(t, err, admin.Usage, "no_directory")
	_, err = Open(t.Context(), t.TempDir())
	if e := class(t, err, admin.Precondition, "no_module"); !strings.Contains(e.Hint, "drmesh init") {
		t.Errorf("hint %q", e.Hint)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = Open(ctx, moduleDir(t))
	class(t, err, admin.Unreachable, "node_unreachable")
}

func TestANodeThatGoesAwayAndACallerThatGivesUp(t *testing.T) {
	dir := moduleDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{}, 8)
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		<-r.Context().Done()
	})}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	c, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if _, err := c.CaughtUp(ctx, admin.CaughtUpRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	go func() { <-started; s.Close() }()
	_, err = c.CaughtUp(t.Context(), admin.CaughtUpRequest{})
	class(t, err, admin.Unreachable, "node_gone")
	<-done
}
