package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"drmesh/admin"
)

// fake is an API that answers what a test puts in.
type fake struct {
	answers map[string]any
	asked   int
}

func (f *fake) Answer(_ context.Context, _ admin.Caller, uri string) *admin.Forwarded {
	f.asked++
	path, _, _ := strings.Cut(uri, "?")
	v, ok := f.answers[path]
	status := 200
	if !ok {
		status, v = 503, admin.Errorf(admin.Unreachable, "x", "", "it is gone")
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return &admin.Forwarded{Status: status, Body: b}
}

func num(v uint64) *uint64   { return &v }
func sec(v float64) *float64 { return &v }

func healthy() *fake {
	view := func(name, peer string) admin.View {
		return admin.View{Module: name, Status: &admin.Status{Module: name, State: "serving", Lost: &zero, Quorum: true, Leader: "%east#m1", Streams: []admin.StreamStatus{{Stream: "%east#m1.1/main", Module: "%east#m1",
			Own: name == "%east#m1", Written: num(5), Durable: 5, HeadAge: sec(.1)}}}, Links: []admin.Link{{Peer: peer, State: "up", Received: 3}}}
	}
	return &fake{answers: map[string]any{
		"/v1/mesh":      admin.MeshView{Module: "%east#m1", Views: []admin.View{view("%east#m1", "%west#m1"), view("%west#m1", "%east#m1")}},
		"/v1/conflicts": []admin.Conflict{}, "/v1/parked": []admin.Parked{}, "/v1/groups": []admin.Group{{Group: "main", Mode: "active"}}, "/v1/lost": []admin.LostFile{}}}
}

var zero = 0

func (f *fake) mesh() *admin.MeshView {
	m := f.answers["/v1/mesh"].(admin.MeshView)
	return &m
}

func ask(t *testing.T, h http.Handler, role admin.Role, target string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", target, nil)
	h.ServeHTTP(w, r.WithContext(admin.WithCaller(r.Context(), admin.Caller{Name: "ann", Role: role})))
	return w.Result(), w.Body.String()
}

func TestVerdictAndMap(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(f *fake, m *admin.MeshView)
		want []string
	}{
		{"all is well", func(*fake, *admin.MeshView) {},
			[]string{`class="verdict good">All is well: 2 modules answer`, `class="arrow up"`, `data-from="%west#m1" data-to="%east#m1"`, `data-from="%east#m1" data-to="%west#m1"`, "<strong>0</strong> lost transactions"}},
		{"a cut link", func(_ *fake, m *admin.MeshView) { m.Views[0].Links[0].State = "connecting" },
			[]string{`class="verdict bad">The link %east#m1 - %west#m1 is down.`, `class="arrow connecting"`, `class="arrow up"`}},
		{"a paused link", func(_ *fake, m *admin.MeshView) { m.Views[0].Links[0].State = "paused" },
			[]string{`class="verdict watch">The link %east#m1 - %west#m1 is paused.`, `class="arrow paused"`}},
		{"a module that is down", func(_ *fake, m *admin.MeshView) {
			m.Views[1].Problem, m.Views[1].AgeS = admin.Errorf(admin.Unreachable, "x", "", "no"), 7
		}, []string{`class="verdict bad">%west#m1 does not answer.`, `class="arrow unknown"`, `class="module bad"`, "absent, 7.0 s old", "does not answer (was serving)"}},
		{"each step of a stream", func(*fake, *admin.MeshView) {},
			[]string{`<table id="steps">`, `<th scope="col">Acknowledged</th>`, `<th scope="row">%east#m1.1/main</th><td>%west#m1</td><td>5</td><td>unknown</td>`}},
		{"control that was recovered", func(_ *fake, m *admin.MeshView) { m.Views[0].Status.Lineage = "2a" },
			[]string{`<span class="note">lineage 2a</span>`}},
		{"a module that was never seen", func(_ *fake, m *admin.MeshView) {
			m.Views[1] = admin.View{Module: "%west#m1", Problem: admin.Errorf(admin.Unreachable, "x", "", "no")}
		}, []string{`class="verdict bad">%west#m1 does not answer.`, `>unknown <span class="note">absent, unknown old</span>`, "never seen"}},
		{"a lag", func(_ *fake, m *admin.MeshView) {
			m.Views[0].Status.Streams[0].Written = num(25)
			m.Views[1].Status.Streams[0].LagS = sec(61)
		}, []string{`class="verdict watch">2 streams are behind, 61 s at most.`, `20 to come, unknown, 61 s`}},
		{"inboxes", func(f *fake, m *admin.MeshView) {
			m.Views[0].Status.Conflicts, m.Views[0].Status.Parked = 1, 2
			f.answers["/v1/conflicts"] = []admin.Conflict{{Kind: "version", State: "open", Share: "main", File: "f", Address: "k<1>"}}
			f.answers["/v1/parked"] = []admin.Parked{{Share: "main", File: "f", Reason: "a key twice"}}
		}, []string{`class="verdict watch">1 conflict is open; 2 versions are parked.`, "<strong>1</strong> open conflicts", "k&lt;1&gt;", "a key twice"}},
		{"a group with an owner that is down, and lost transactions", func(f *fake, m *admin.MeshView) {
			two := 2
			m.Views[0].Status.Lost = &two
			m.Views[1].Problem = admin.Errorf(admin.Unreachable, "x", "", "no")
			f.answers["/v1/groups"] = []admin.Group{{Group: "ledger", Mode: "owned", Owner: "%west#m1", Epoch: 4}}
			f.answers["/v1/lost"] = []admin.LostFile{{Name: "ledger-3", Group: "ledger", Txns: 2, Open: true}}
		}, []string{`class="verdict bad">%west#m1 does not answer; the owner of group ledger, %west#m1, does not answer; 2 lost transactions are open.`, "<strong>2</strong> lost transactions", "ledger-3", `<th scope="row">ledger</th><td>%west#m1</td>`}},
		{"no quorum and an alarm", func(_ *fake, m *admin.MeshView) {
			m.Views[1].Status.Quorum = false
			m.Views[0].Status.Alarms = []string{"a fork: <b>"}
		}, []string{`class="verdict bad">%west#m1 knows no leader of control; 1 alarm stands.`, "a fork: &lt;b&gt;"}},
	} {
		f := healthy()
		m := f.mesh()
		if c.name == "a lag" {
			m.Views[0].Status.Streams[0].Own = true
			m.Views[0].Status.Streams[0].LagS = sec(61)
		}
		c.do(f, m)
		f.answers["/v1/mesh"] = *m
		r, got := ask(t, New(f), admin.Viewer, "/")
		if r.StatusCode != 200 {
			t.Errorf("%s: %s %s", c.name, r.Status, got)
		}
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				i := strings.Index(got, `id="verdict"`)
				t.Errorf("%s: no %q; %s", c.name, w, got[max(i, 0):min(len(got), max(i, 0)+200)])
			}
		}
	}
}

// The page loads nothing from elsewhere, and runs no script but its own.
func TestThePageIsItsOwn(t *testing.T) {
	h := New(healthy())
	r, page := ask(t, h, admin.Viewer, "/")
	csp := r.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("CSP %s", csp)
	}
	for _, bad := range []string{"http://", "https://", " style=", " onclick", "javascript:"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(page) {
		t.Error("a script stands in the page")
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="(/console/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		if r, b := ask(t, h, admin.Nobody, m[1]); r.StatusCode != 200 || strings.Contains(b, "eval(") || strings.Contains(b, "://") {
			t.Errorf("%s: %s", m[1], r.Status)
		}
	}
	if r, _ := ask(t, h, admin.Viewer, "/console/page.html"); r.StatusCode != 404 {
		t.Error("templates are served")
	}
	// Headings, landmarks, and a region that the keyboard can scroll.
	for _, want := range []string{`<html lang="en">`, `class="skip"`, `<h1>`, `role="img"`, `aria-labelledby="map-title map-desc"`, `tabindex="0" role="region"`, `name="viewport"`, `name="color-scheme"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
}

// However many look, the mesh is asked once a second at most.
func TestRenderingIsShared(t *testing.T) {
	f := healthy()
	h := New(f)
	for range 50 {
		if r, _ := ask(t, h, admin.Viewer, "/console/main"); r.StatusCode != 200 {
			t.Fatal(r.Status)
		}
	}
	if begun := f.asked; begun > 10 { // two seconds, on a machine that is slow
		t.Errorf("the API was asked %d times", begun)
	}
}

func TestWhoMayNotLookIsAskedForAToken(t *testing.T) {
	f := healthy()
	h := New(f)
	r, page := ask(t, h, admin.Nobody, "/")
	if r.StatusCode != http.StatusUnauthorized || !strings.Contains(page, `name="token"`) || f.asked != 0 {
		t.Error(r.Status, page)
	}
	if r, _ := ask(t, h, admin.Nobody, "/console/main"); r.StatusCode != http.StatusUnauthorized {
		t.Error(r.Status)
	}
	w := httptest.NewRecorder()
	q := httptest.NewRequest("POST", "/console/login", strings.NewReader(url.Values{"token": {"abc;def"}}.Encode()))
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	h.ServeHTTP(w, q)
	c := w.Result().Cookies()
	if len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode || c[0].Value != "abc%3Bdef" || w.Code != http.StatusSeeOther {
		t.Error(w.Code, c)
	}
}

func TestAPIThatFails(t *testing.T) {
	if r, b := ask(t, New(&fake{}), admin.Viewer, "/"); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(b, "it is gone") {
		t.Error(r.Status, b)
	}
}
