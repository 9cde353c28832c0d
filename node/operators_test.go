package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/admin/client"
)

// dialed asks who a module takes the caller for.
func dialed(t *testing.T, r client.Remote) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, r)
	if err != nil {
		var e *admin.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		return "", e
	}
	defer c.Close()
	s, err := c.Status(ctx)
	if err != nil {
		return "", err
	}
	// A change takes more than a look.
	_, err = c.Plan(ctx, admin.ControlChange{})
	if err != nil {
		return "", err
	}
	err = c.SetLink(ctx, admin.LinkChange{A: "%x#y", B: "%x#z"})
	if admin.AsError(err).Class == admin.NotPermitted {
		return s.Module + " looks", nil
	}
	return s.Module + " changes", nil
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return admin.AsError(err).Code
}

// Over TCP a module lets in whoever shows an access token or a certificate of
// the mesh, over TLS unless it is on a loopback address.
func TestOperatorsOverTCP(t *testing.T) {
	t.Parallel()
	nodes := meshOf(t, "%east#m1", "%west#m1")
	east := nodes[0]
	other := meshOf(t, "%east#m1")[0]
	plain, err := admin.ServeTCP("127.0.0.1:0", nil, east.operators.api)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close() })
	secure, err := admin.ServeTCP("0.0.0.0:0", east.operatorTLS(), east.operators.api)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { secure.Close() })
	if _, err := admin.ServeTCP("0.0.0.0:0", nil, east.operators.api); err == nil {
		t.Fatal("an open address without TLS")
	}
	_, port, _ := strings.Cut(secure.Addr().String(), "]:")
	if port == "" {
		_, port, _ = strings.Cut(secure.Addr().String(), ":")
	}
	at := "https://127.0.0.1:" + port
	here := plain.Addr().String()

	sock, err := client.Open(t.Context(), east.dir.path)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	token := func(r admin.Role) string {
		n, err := sock.CreateAccess(t.Context(), admin.AccessRequest{Role: r, Name: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		return n.Token
	}
	viewer, operator := token(admin.Viewer), token(admin.Operator)
	foreignSock, err := client.Open(t.Context(), other.dir.path)
	if err != nil {
		t.Fatal(err)
	}
	defer foreignSock.Close()
	foreign, err := foreignSock.CreateAccess(t.Context(), admin.AccessRequest{Role: admin.Admin})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		r    client.Remote
		who  string
		code string
	}{
		{"on this machine, nothing shown", client.Remote{Addr: here}, "%east#m1 looks", ""},
		{"on this machine, a token", client.Remote{Addr: here, Token: operator}, "%east#m1 changes", ""},
		{"on this machine, no token of ours", client.Remote{Addr: here, Token: foreign.Token}, "", "bad_credentials"},
		{"TLS, nothing shown", client.Remote{Addr: at}, "", "no_credentials"},
		{"TLS, a viewer", client.Remote{Addr: at, Token: viewer}, "%east#m1 looks", ""},
		{"TLS, an operator", client.Remote{Addr: at, Token: operator}, "%east#m1 changes", ""},
		{"TLS, another member", client.Remote{Addr: at, Dir: nodes[1].dir.path}, "%east#m1 changes", ""},
		{"TLS, a token of another mesh", client.Remote{Addr: at, Token: foreign.Token}, "", "wrong_authority"},
		{"TLS, a member of another mesh", client.Remote{Addr: at, Dir: other.dir.path}, "", "wrong_authority"},
		{"TLS, a directory of nobody", client.Remote{Addr: at, Dir: filepath.Join(t.TempDir(), "no")}, "", "no_module"},
		{"plain where TLS is", client.Remote{Addr: strings.TrimPrefix(at, "https://")}, "", "bad_answer"},
		{"nobody listens", client.Remote{Addr: "127.0.0.1:1"}, "", "node_gone"},
		{"no address", client.Remote{Addr: "east:7"}, "", "bad_address"},
	} {
		if who, err := dialed(t, c.r); who != c.who || code(err) != c.code {
			t.Errorf("%s: %q, %s (%v); want %q, %s", c.name, who, code(err), err, c.who, c.code)
		}
	}
	l, err := sock.AccessTokens(t.Context())
	if err != nil || len(l) != 2 {
		t.Fatal(l, err)
	}
	if _, err := sock.RevokeAccess(t.Context(), l[1].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := dialed(t, client.Remote{Addr: at, Token: operator}); code(err) != "token_revoked" {
		t.Errorf("revoked: %v", err)
	}
	lines, err := sock.Audit(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	var who []string
	for _, x := range lines {
		who = append(who, x.Who+" "+x.Route+" "+x.Outcome)
	}
	all := strings.Join(who, "\n")
	for _, want := range []string{"uid ", "ann (token " + l[1].ID + ") set-link failed", "ann (token " + l[0].ID + ") set-link refused", "%west#m1 set-link failed", "revoke-access-token done"} {
		if !strings.Contains(all, want) {
			t.Errorf("the audit lacks %q:\n%s", want, all)
		}
	}
}

// Any module answers for another, and says whose view it is.
func TestOneModuleAnswersForAnother(t *testing.T) {
	t.Parallel()
	nodes := meshOf(t, "%east#m1", "%west#m1", "%north#m1")
	c, err := client.Open(t.Context(), nodes[0].dir.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.StatusOf(t.Context(), "%west#m1")
	if err != nil || s.Module != "%west#m1" {
		t.Fatal(s, err)
	}
	if _, err := c.StatusOf(t.Context(), "%nobody#m1"); code(err) != "no_module" {
		t.Error(err)
	}
	m, err := c.Mesh(t.Context())
	if err != nil || len(m.Views) != 3 || m.Module != "%east#m1" {
		t.Fatal(m, err)
	}
	for _, v := range m.Views {
		if v.Problem != nil || v.Status == nil || v.Status.Module != v.Module || len(v.Links) != 2 {
			t.Errorf("view of %s: %+v", v.Module, v)
		}
	}
	// One that is down is known by its last view, and that is said.
	if err := nodes[2].Close(); err != nil {
		t.Fatal(err)
	}
	if m, err = c.Mesh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, v := range m.Views {
		down := v.Module == "%north#m1"
		if down != (v.Problem != nil) || v.Status == nil || down != (v.AgeS > 0) {
			t.Errorf("view of %s: problem %v, age %v", v.Module, v.Problem, v.AgeS)
		}
	}
	if r, err := c.Ready(t.Context(), "write", ""); err != nil || !r.Ready {
		t.Error(r, err)
	}
}

// events follows the events of a module; the channel ends with the test.
func events(t *testing.T, addr string) <-chan admin.Event {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	ch := make(chan admin.Event, 1000)
	go func() {
		defer close(ch)
		defer resp.Body.Close()
		s := bufio.NewScanner(resp.Body)
		for s.Scan() {
			var e admin.Event
			if b, ok := strings.CutPrefix(s.Text(), "data: "); ok && json.Unmarshal([]byte(b), &e) == nil {
				ch <- e
			}
		}
	}()
	return ch
}

// Events tell of links, tables and modules that are not there; the alarm of one
// ends when it is back.
func TestEventsOfAMesh(t *testing.T) {
	t.Parallel()
	nodes := meshOf(t, "%east#m1", "%west#m1")
	east, west := nodes[0], nodes[1]
	s, err := admin.ServeTCP("127.0.0.1:0", nil, east.operators.api)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ch := events(t, s.Addr().String())
	expect := func(typ, object, text string) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		for {
			select {
			case e, ok := <-ch:
				if !ok {
					t.Fatalf("the events end before %s %s %s", typ, object, text)
				}
				if e.Type == typ && strings.Contains(e.Object, object) && strings.Contains(e.Text, text) {
					return
				}
			case <-deadline:
				t.Fatalf("no event %s %s %s", typ, object, text)
			}
		}
	}
	expect("hello", "", "")
	eventually(t, "the link is up", func() bool {
		l, err := engine{east}.Links(t.Context())
		return err == nil && len(l) == 1 && l[0].State == "up"
	})
	set := func(paused bool) {
		t.Helper()
		if err := (engine{east}).SetLink(t.Context(), admin.LinkChange{A: "%east#m1", B: "%west#m1", Paused: paused}); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	expect("link", "%west#m1", "paused")
	set(false)
	expect("link", "%west#m1", "up")
	if _, err := (engine{east}).ControlApply(t.Context(), admin.ControlChange{Text: mainTables + "\n"}); err != nil {
		t.Fatal(err)
	}
	expect("control", "policy epoch", "in force")
	dir := west.dir.path
	if err := west.Close(); err != nil {
		t.Fatal(err)
	}
	expect("alarm", "module %west#m1 is not there", "not heard of since")
	st, err := engine{east}.Status(t.Context())
	if err != nil || len(st.Alarms) != 1 || !strings.HasPrefix(st.Alarms[0], "module %west#m1 is not there: ") {
		t.Errorf("alarms %q, %v", st.Alarms, err)
	}
	again, err := Open(t.Context(), ServeOptions{Dir: dir, Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	expect("over", "module %west#m1 is not there", "")
}
