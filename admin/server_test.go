package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fake is an engine that does what a test needs; other methods are nil and
// would panic.
type fake struct {
	Engine
	err  error
	tail chan Change
}

func (f *fake) Status(context.Context) (*Status, error) {
	return &Status{Module: "%east#m1", Streams: []StreamStatus{{Stream: "%west#m1.1/main"}}}, f.err
}

func (f *fake) ControlPlan(_ context.Context, c ControlChange) (*ControlPlan, error) {
	if f.err != nil {
		return nil, f.err
	}
	return &ControlPlan{Lines: []string{fmt.Sprint(len(c.Text))}}, nil
}

func (f *fake) Digest(_ context.Context, path string) (*Digest, error) {
	return &Digest{Path: path}, f.err
}

func (f *fake) Forward(_ context.Context, module string, who Caller, uri string) (*Forwarded, error) {
	return &Forwarded{Status: 200, ContentType: "application/json", Body: []byte(module + " " + uri)}, f.err
}

func (f *fake) Journal(ctx context.Context, r JournalRequest, emit func(*Change) error) error {
	if err := emit(&Change{Dot: "first", Share: r.Share, Data: []byte{0xff}}); err != nil {
		return err
	}
	if !r.Follow {
		return f.err
	}
	for {
		select {
		case c := <-f.tail:
			if err := emit(&c); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func request(t *testing.T, f *fake, method, target, body string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	a := New(f, Options{Module: "%east#m1"})
	defer a.Close()
	a.guard(as(Admin)).ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	return w.Result()
}

func as(r Role) func(*http.Request) (Caller, error) {
	return func(*http.Request) (Caller, error) { return Caller{Name: "somebody", Role: r, Via: "socket"}, nil }
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWhatIsUnknownIsNull(t *testing.T) {
	got := text(t, request(t, &fake{}, "GET", "/v1/status", ""))
	for _, want := range []string{`"written":null`, `"lag_records":null`, `"lag_s":null`, `"head_age_s":null`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

func TestArgumentsReachTheEngine(t *testing.T) {
	for _, c := range []struct{ target, want string }{
		{"/v1/file/digest?path=main:a%3Eb", `"path":"main:a>b"`},
		{"/v1/file/digest?path=main:a&module=%25west%23m1", `%west#m1 /v1/file/digest?path=main:a&module=%25west%23m1`},
		{"/v1/journal?share=main", `"share":"main"`},
	} {
		if got := text(t, request(t, &fake{}, "GET", c.target, "")); !strings.Contains(got, c.want) {
			t.Errorf("%s: no %s in %s", c.target, c.want, got)
		}
	}
}

func TestErrorsKeepClassCodeAndHint(t *testing.T) {
	for _, c := range []struct {
		err    error
		class  Class
		status int
	}{
		{errors.New("odd"), Failed, 500},
		{Errorf(Usage, "x", "", "x"), Usage, 400},
		{&Error{Class: Config, Code: "tables", Message: "two things", Problems: []Problem{{Line: 3, Field: "colour", Text: "no such field"}}}, Config, 400},
		{Errorf(NotFound, "e$object_not_found", "look", "no"), NotFound, 404},
		{Errorf(Failed, "e$bad_pathname", "look", "no"), Failed, 400},
		{Errorf(Precondition, "x", "", "x"), Precondition, 409},
		{Errorf(TimedOut, "x", "", "x"), TimedOut, 504},
		{Errorf(NotPermitted, "x", "", "x"), NotPermitted, 403},
		{fmt.Errorf("wrapped: %w", Errorf(NoQuorum, "x", "wait", "x")), NoQuorum, 503},
	} {
		r := request(t, &fake{err: c.err}, "POST", "/v1/control/plan", `{"text":"x"}`)
		if r.StatusCode != c.status || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: status %d, %s", c.err, r.StatusCode, r.Header.Get("Content-Type"))
		}
		var got Error
		b := text(t, r)
		if err := json.Unmarshal([]byte(b), &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		want := AsError(c.err)
		if got.Class != c.class || got.Code != want.Code || got.Message != want.Message || got.Hint != want.Hint || len(got.Problems) != len(want.Problems) {
			t.Errorf("%v: got %+v", c.err, got)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
	}{
		{"too long", `{"text":"` + strings.Repeat("x", maxBody) + `"}`, http.StatusBadRequest},
		{"too deep", strings.Repeat(`{"text":`, maxDepth+1), http.StatusBadRequest},
		{"unknown field", `{"txt":"x"}`, http.StatusBadRequest},
		{"not JSON", `text`, http.StatusBadRequest},
		{"another type", `{"text":[1]}`, http.StatusBadRequest},
		{"none", ``, http.StatusBadRequest},
	} {
		r := request(t, &fake{}, "POST", "/v1/control/plan", c.body)
		if r.StatusCode != c.status {
			t.Errorf("%s: status %d: %s", c.name, r.StatusCode, text(t, r))
		}
	}
	if r := request(t, &fake{}, "POST", "/v1/control/plan", `{"text":"abc"}`); r.StatusCode != http.StatusOK {
		t.Errorf("status %d: %s", r.StatusCode, text(t, r))
	}
}

func TestRoutesThatAreNotThere(t *testing.T) {
	for _, c := range []struct{ method, target string }{{"GET", "/v2/status"}, {"GET", "/"}, {"DELETE", "/v1/nothing"}} {
		if r := request(t, &fake{}, c.method, c.target, ""); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s: status %d", c.method, c.target, r.StatusCode)
		}
	}
}

func TestMethodsThatAreNotThere(t *testing.T) {
	for _, c := range []struct{ method, target, allow string }{
		{"PUT", "/v1/status", "GET"}, {"DELETE", "/v1/account", "GET, POST"}, {"PATCH", "/v1/operations/x", "GET, DELETE"}, {"GET", "/v1/leave", "POST"},
	} {
		r := request(t, &fake{}, c.method, c.target, "")
		if b := text(t, r); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != c.allow || !strings.Contains(b, `"code":"no_method"`) {
			t.Errorf("%s %s: status %d, Allow %q: %s", c.method, c.target, r.StatusCode, r.Header.Get("Allow"), b)
		}
	}
}

// A run of values that breaks off says so in its last line.
func TestJournalEndsWithItsError(t *testing.T) {
	r := request(t, &fake{err: Errorf(Failed, "pruned", "", "gone")}, "GET", "/v1/journal", "")
	lines := strings.Split(strings.TrimSpace(text(t, r)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"dot":"first"`) || !strings.Contains(lines[1], `"error":{`) {
		t.Errorf("got %q", lines)
	}
}

// The socket is the operator's alone; what follows comes line by line, and a
// reader that goes away ends it.
func TestTailOverTheSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "adm")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "admin.sock")
	if err := os.WriteFile(path, nil, 0o644); err != nil { // what a killed node left
		t.Fatal(err)
	}
	f := &fake{tail: make(chan Change)}
	a := New(f, Options{Module: "%east#m1"})
	defer a.Close()
	s, err := Serve(path, a)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer c.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, "GET", "http://module/v1/journal?follow=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(r.Body)
	for i, want := range []string{"first", "second", "third"} {
		if i > 0 {
			f.tail <- Change{Dot: want}
		}
		// Each line is there before the next is made.
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("got %q, %v; want %s", lines.Text(), lines.Err(), want)
		}
	}
	r.Body.Close()
}

// A body that does not come ends the request, and a request that takes longer
// than a body may goes on.
func TestSlowBodies(t *testing.T) {
	old := bodyTime
	bodyTime = 200 * time.Millisecond
	defer func() { bodyTime = old }()
	e := &slow{began: make(chan context.Context), end: make(chan error)}
	a := New(e, Options{Module: "%east#m1"})
	s, err := ServeTCP("127.0.0.1:0", nil, a)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	defer a.Close()
	ask := func(body string, length int) string {
		t.Helper()
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(c, "POST /v1/account HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.Addr(), length, body)
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := ask(`{"scan":`, 20); !strings.Contains(got, " 408 ") || !strings.Contains(got, `"code":"body_too_slow"`) {
		t.Errorf("a body that stops: %s", got)
	}
	go func() {
		ctx := <-e.began
		select {
		case <-ctx.Done(): // the request did not outlive the body's deadline
		case <-time.After(2 * bodyTime):
		}
		e.end <- nil
	}()
	if got := ask(`{}`, 2); !strings.Contains(got, " 200 ") {
		t.Errorf("long work: %s", got)
	}
}

// A cookie lets look and no more; one that is good no longer is none.
func TestCookie(t *testing.T) {
	tokens, err := OpenAccessTokens(filepath.Join(t.TempDir(), "access.json"), [32]byte{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := New(nothing{}, Options{Module: "%east#m1", Tokens: tokens})
	defer a.Close()
	n, err := tokens.create(AccessRequest{Role: Admin}, "test")
	if err != nil {
		t.Fatal(err)
	}
	who := func() Role {
		q := httptest.NewRequest("GET", "/", nil)
		q.Host = "192.0.2.1:1"
		q.AddCookie(&http.Cookie{Name: CookieName, Value: n.Token})
		c, err := a.remote(q, "tls")
		if err != nil {
			t.Fatal(err)
		}
		return c.Role
	}
	if r := who(); r != Viewer {
		t.Errorf("role %q", r)
	}
	if _, err := tokens.revoke(n.ID); err != nil {
		t.Fatal(err)
	}
	if r := who(); r != Nobody {
		t.Errorf("revoked: role %q", r)
	}
}

// Large bodies are taken in a few at a time, small ones always.
func TestLargeBodiesAreBounded(t *testing.T) {
	a := New(nothing{}, Options{Module: "%east#m1"})
	defer a.Close()
	for range maxLarge {
		a.large <- struct{}{}
	}
	for _, c := range []struct {
		size, status int
	}{{10, http.StatusServiceUnavailable}, {smallBody + 1, http.StatusTooManyRequests}} {
		w := httptest.NewRecorder()
		a.guard(as(Admin)).ServeHTTP(w, httptest.NewRequest("POST", "/v1/control/plan", strings.NewReader(`{"text":"`+strings.Repeat("x", c.size)+`"}`)))
		if w.Code != c.status {
			t.Errorf("%d bytes: %d %s", c.size, w.Code, w.Body)
		}
	}
	<-a.large
	w := httptest.NewRecorder()
	a.guard(as(Admin)).ServeHTTP(w, httptest.NewRequest("POST", "/v1/control/plan", strings.NewReader(`{"text":"`+strings.Repeat("x", smallBody)+`"}`)))
	if w.Code != http.StatusServiceUnavailable || len(a.large) != maxLarge-1 {
		t.Errorf("with room: %d, %d are under way", w.Code, len(a.large))
	}
}
