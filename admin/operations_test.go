package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// slow is an engine whose account takes until it is let go.
type slow struct {
	nothing
	began chan context.Context
	end   chan error
}

func (s *slow) Account(ctx context.Context, r AccountRequest) (*Account, error) {
	ProgressOf(ctx).Step("counting")
	ProgressOf(ctx).Percent(40)
	s.began <- ctx
	select {
	case err := <-s.end:
		return &Account{Module: CallerOf(ctx).Name}, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *slow) ControlApply(_ context.Context, c ControlChange) (*ControlPlan, error) {
	if c.Base != 7 && c.Base != 0 {
		return nil, Errorf(Precondition, "epoch_moved", "plan again", "it is 7")
	}
	return &ControlPlan{Epoch: 8}, nil
}

func (s *slow) ControlText(context.Context) (*ControlText, error) { return &ControlText{Epoch: 7}, nil }

type door struct {
	t *testing.T
	h http.Handler
}

func (d door) ask(method, target, body string, header ...string) (int, http.Header, string) {
	d.t.Helper()
	q := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, q)
	return w.Code, w.Header(), w.Body.String()
}

func (d door) operation(method, target string) Operation {
	d.t.Helper()
	status, _, b := d.ask(method, target, "")
	var o Operation
	if err := json.Unmarshal([]byte(b), &o); err != nil || status != 200 {
		d.t.Fatal(status, b, err)
	}
	return o
}

func TestOperations(t *testing.T) {
	e := &slow{began: make(chan context.Context), end: make(chan error)}
	a := New(e, Options{Module: "%east#m1"})
	defer a.Close()
	d := door{t, a.guard(as(Admin))}
	begin := func() string {
		t.Helper()
		status, h, b := d.ask("POST", "/v1/account", `{"scan":true}`, "Prefer", "respond-async")
		if status != http.StatusAccepted || !strings.Contains(b, `"state":"running"`) {
			t.Fatal(status, b)
		}
		<-e.began
		return h.Get("Location")
	}
	one := begin()
	if o := d.operation("GET", one); o.State != "running" || o.Percent == nil || *o.Percent != 40 || len(o.Steps) != 1 || o.Steps[0].Text != "counting" || o.By != "somebody" || o.Kind != "run-account" {
		t.Errorf("%+v", o)
	}
	e.end <- nil
	o := d.operation("GET", one+"?wait_s=20")
	if o.State != "done" || *o.Percent != 100 || o.Result.(map[string]any)["module"] != "somebody" {
		t.Errorf("%+v", o)
	}
	two := begin()
	e.end <- Errorf(NoQuorum, "x", "wait", "no quorum")
	if o = d.operation("GET", two+"?wait_s=20"); o.State != "failed" || o.Error.Class != NoQuorum || o.Error.Hint != "wait" {
		t.Errorf("%+v", o)
	}
	three := begin()
	d.operation("DELETE", three)
	if o = d.operation("GET", three+"?wait_s=20"); o.State != "cancelled" {
		t.Errorf("%+v", o)
	}
	if status, _, b := d.ask("DELETE", three, ""); status != http.StatusPreconditionFailed && status != http.StatusConflict || !strings.Contains(b, "it is cancelled") {
		t.Error(status, b)
	}
	// Who waits gets the result itself; who goes away takes the work along.
	go func() { <-e.began; e.end <- nil }()
	if status, h, b := d.ask("POST", "/v1/account", `{}`); status != 200 || !strings.Contains(b, `"module":"somebody"`) || h.Get("Drmesh-Operation") == "" {
		t.Error(status, b)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-e.began; cancel() }()
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/v1/account", strings.NewReader(`{}`)))
	if !strings.Contains(w.Body.String(), `"code":"cancelled"`) {
		t.Error(w.Code, w.Body)
	}
	_, _, b := d.ask("GET", "/v1/operations", "")
	var l []Operation
	if err := json.Unmarshal([]byte(b), &l); err != nil || len(l) != 5 || l[0].Result != nil {
		t.Error(b, err)
	}
	// They are bounded, those under way and those that have ended.
	var many []string
	for range maxRunning {
		many = append(many, begin())
	}
	if status, _, b := d.ask("POST", "/v1/account", `{}`); status != http.StatusTooManyRequests {
		t.Error(status, b)
	}
	for range maxRunning {
		e.end <- nil
	}
	for _, x := range many {
		d.operation("GET", x+"?wait_s=20")
	}
	for range maxEnded {
		go func() { <-e.began; e.end <- nil }()
		d.ask("POST", "/v1/account", `{}`)
	}
	if n := len(a.ops.list()); n > maxEnded+maxRunning {
		t.Errorf("%d operations are kept", n)
	}
	if status, _, b := d.ask("GET", one, ""); status != http.StatusNotFound {
		t.Error(status, b)
	}
}

func TestIfMatch(t *testing.T) {
	a := New(&slow{}, Options{Module: "%east#m1"})
	defer a.Close()
	d, admin := door{t, a.guard(as(Operator))}, door{t, a.guard(as(Admin))}
	_, h, _ := d.ask("GET", "/v1/control", "")
	if h.Get("ETag") != `"7"` {
		t.Errorf("ETag %s", h.Get("ETag"))
	}
	for match, want := range map[string]int{"": 200, "*": 200, `"7"`: 200, `"6"`: 412, `"0"`: 412, "7": 400, `"seven"`: 400, `W/"7"`: 400} {
		if status, _, b := d.ask("POST", "/v1/control/apply", `{"text":""}`, "If-Match", match); status != want {
			t.Errorf("If-Match %s: status %d %s", match, status, b)
		}
		// Other changes are as careful, though only the tables have an epoch.
		want = map[int]int{200: 503, 412: 412, 400: 400}[want]
		if status, _, b := admin.ask("POST", "/v1/leave", `{}`, "If-Match", match); status != want {
			t.Errorf("leave, If-Match %s: status %d %s", match, status, b)
		}
	}
}
