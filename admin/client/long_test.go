package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drmesh/admin"
)

// TestLongWorkIsWatched follows an operation to its end, to its error, and takes
// it along when the caller goes away.
func TestLongWorkIsWatched(t *testing.T) {
	looks, cancelled := 0, false
	answers := []string{
		`{"id":"7","state":"running","steps":[{"text":"one"}]}`,
		`{"id":"7","state":"running","percent":50,"steps":[{"text":"one"},{"text":"two"}]}`,
	}
	last := `{"id":"7","state":"done","steps":[],"result":{"group":"ledger"}}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodPost:
			if r.Header.Get("Prefer") != "respond-async" {
				t.Error("it is not asked for at once")
			}
			w.WriteHeader(http.StatusAccepted)
			w.Write([]byte(answers[0]))
		case r.URL.Path != "/v1/operations/7":
			http.NotFound(w, r)
		case r.Method == http.MethodDelete:
			cancelled = true
			w.Write([]byte(answers[0]))
		default:
			if looks++; looks < len(answers) {
				w.Write([]byte(answers[looks]))
			} else {
				w.Write([]byte(last))
			}
		}
	}))
	defer s.Close()
	var said []string
	c := &Client{base: s.URL, http: s.Client(), Watch: func(x admin.Operation) {
		text := x.State
		for _, y := range x.Steps {
			text += " " + y.Text
		}
		said = append(said, text)
	}}
	r, err := c.SwitchStart(context.Background(), admin.SwitchRequest{})
	if err != nil || r.Group != "ledger" {
		t.Errorf("result %+v, %v", r, err)
	}
	if got := strings.Join(said, "; "); got != "running one; running one two; done" {
		t.Errorf("told: %s", got)
	}
	looks, last = 0, `{"id":"7","state":"failed","steps":[],"error":{"exit":5,"code":"x","detail":"it may not"}}`
	var e *admin.Error
	if _, err := c.SwitchStart(context.Background(), admin.SwitchRequest{}); !errors.As(err, &e) || e.Class != admin.Precondition || e.Message != "it may not" {
		t.Errorf("error %v", err)
	}
	looks, last = 0, answers[0]
	ctx, leave := context.WithCancel(context.Background())
	c.Watch = func(admin.Operation) {
		if looks > 2 {
			leave()
		}
	}
	if _, err := c.SwitchStart(ctx, admin.SwitchRequest{}); !errors.Is(err, context.Canceled) || !cancelled {
		t.Errorf("left: %v, cancelled %v", err, cancelled)
	}
}
