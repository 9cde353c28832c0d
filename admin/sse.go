package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	// eventKeep is how often a follower hears something, if only a comment.
	eventKeep = 15 * time.Second
	// eventWrite is how long a follower may take to accept what is sent.
	eventWrite = 10 * time.Second
)

// eventRoute is GET /v1/events: server-sent events.
func (a *API) eventRoute() {
	r := route{id: "events", method: http.MethodGet, path: "/v1/events", least: Viewer, here: true,
		summary: "Server-sent events: id, event (the type), data (an Event). Last-Event-ID resumes; an event of type gap says that some may be missing"}
	op := r.operation()
	schema := a.huma.OpenAPI().Components.Schemas.Schema(typeOf[Event](), true, "")
	op.Responses = map[string]*huma.Response{"200": {Description: "Events until the caller goes away", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: schema}}}}
	huma.Register(a.huma, op, func(_ context.Context, in *struct {
		Last  string `header:"Last-Event-ID" doc:"Of the last event that was seen"`
		After string `query:"after" doc:"The same, for who cannot send headers"`
	}) (*huma.StreamResponse, error) {
		if in.Last == "" {
			in.Last = in.After
		}
		done, ok := a.Events.follow()
		if !ok {
			return nil, problemOf(Errorf(Precondition, "busy", "end some of them", "%d follow the events already", maxFollowers))
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			defer done()
			a.follow(hc, in.Last)
		}}, nil
	})
}

// follow sends events until the caller or the door goes away. Whoever is too
// slow for the ring gets a gap and goes on with what is left.
func (a *API) follow(hc huma.Context, last string) {
	_, w := humago.Unwrap(hc)
	who := CallerOf(hc.Context())
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	hc.SetStatus(http.StatusOK)
	send := func(text string) bool {
		rc.SetWriteDeadline(time.Now().Add(eventWrite))
		if _, err := w.Write([]byte(text)); err != nil {
			return false
		}
		return rc.Flush() == nil
	}
	defer rc.SetWriteDeadline(time.Time{})
	begin, next := a.Events.own("hello", "events follow"), uint64(0)
	if last != "" {
		var lost bool
		if next, lost = a.Events.from(last); lost {
			begin = a.Events.own("gap", "events after "+last+" are not here any more, or are of another run: look at the state itself")
		}
	} else {
		next, _ = a.Events.from(begin.ID)
	}
	if !send(frame(begin)) {
		return
	}
	keep := time.NewTicker(eventKeep)
	defer keep.Stop()
	for {
		l, after, lost, wake := a.Events.since(next)
		next = after
		text := ""
		if lost {
			g := a.Events.own("gap", "this reader is too slow: look at the state itself")
			if len(l) > 0 {
				g.ID = l[0].ID // resuming from it repeats what follows
			}
			text = frame(g)
		}
		for _, e := range l {
			if e.Type == "audit" && !who.Role.May(Admin) {
				continue // as GET /v1/audit
			}
			text += frame(e)
		}
		if text != "" && !send(text) {
			return
		}
		select {
		case <-wake:
		case <-keep.C:
			if !send(": still here\n\n") {
				return
			}
		case <-hc.Context().Done():
			return
		case <-a.ctx.Done():
			return
		}
	}
}

// frame is an event as it is sent.
func frame(e Event) string {
	b, err := marshal(e)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n", e.ID, e.Type, b)
}
