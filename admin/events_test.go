package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// reader follows the events of a door.
type reader struct {
	t      *testing.T
	s      *bufio.Scanner
	cancel func()
}

func followEvents(t *testing.T, url, last string) *reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	q, err := http.NewRequestWithContext(ctx, "GET", url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		q.Header.Set("Last-Event-ID", last)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	if r.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(r.Status, r.Header)
	}
	x := &reader{t: t, s: bufio.NewScanner(r.Body), cancel: func() { cancel(); r.Body.Close() }}
	t.Cleanup(x.cancel)
	return x
}

// next is one event: its type and its value, which must agree.
func (r *reader) next() Event {
	r.t.Helper()
	var id, typ string
	var e Event
	for r.s.Scan() {
		k, v, _ := strings.Cut(r.s.Text(), ": ")
		switch k {
		case "id":
			id = v
		case "event":
			typ = v
		case "data":
			if err := json.Unmarshal([]byte(v), &e); err != nil {
				r.t.Fatal(err)
			}
		case "":
			if e.ID != id || e.Type != typ || e.Module != "%east#m1" {
				r.t.Fatalf("event %s %s holds %+v", id, typ, e)
			}
			return e
		}
	}
	r.t.Fatal("no event came: ", r.s.Err())
	return e
}

func eventDoor(t *testing.T, ev *Events) string {
	t.Helper()
	a := New(nothing{}, Options{Module: "%east#m1", Events: ev})
	s := httptest.NewServer(a.guard(as(Viewer)))
	t.Cleanup(func() { a.Close(); s.Close() })
	return s.URL
}

func TestEventsResume(t *testing.T) {
	ev := NewEvents("%east#m1")
	url := eventDoor(t, ev)
	ev.Publish("alarm", "disk", "before anybody listens")
	r := followEvents(t, url, "")
	if e := r.next(); e.Type != "hello" {
		t.Fatalf("%+v", e)
	}
	ev.Publish("link", "%west#m1", "down")
	ev.Publish("audit", "leave", "a viewer does not see this")
	ev.Publish("link", "%west#m1", "up")
	first, second := r.next(), r.next()
	if first.Text != "down" || second.Text != "up" {
		t.Fatal(first, second)
	}
	r.cancel()
	// It comes back, and gets what it has not seen, once.
	ev.Publish("over", "disk", "")
	r = followEvents(t, url, first.ID)
	if e := r.next(); e.Type != "hello" {
		t.Fatalf("%+v", e)
	}
	if a, b := r.next(), r.next(); a != second && a.Text != "up" || b.Type != "over" {
		t.Fatal(a, b)
	}
	r.cancel()
	// Too late, of another run, or of nobody: a gap.
	for range maxEvents {
		ev.Publish("state", "", "")
	}
	for _, last := range []string{first.ID, "0123456789ab-2", "nonsense", fmt.Sprintf("%s-%d", ev.run, 1<<40)} {
		r = followEvents(t, url, last)
		e := r.next()
		if last == first.ID && e.Type == "hello" {
			e = r.next()
		}
		if e.Type != "gap" {
			t.Errorf("after %s: %+v", last, e)
		}
		r.cancel()
	}
}

func TestFollowersAreBounded(t *testing.T) {
	ev := NewEvents("%east#m1")
	url := eventDoor(t, ev)
	for range maxFollowers {
		if _, ok := ev.follow(); !ok {
			t.Fatal("refused too early")
		}
	}
	r, err := http.Get(url + "/v1/events")
	if err != nil || r.StatusCode != http.StatusTooManyRequests {
		t.Error(r.Status, err)
	}
	r.Body.Close()
}
