package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// maxBody bounds a request's body: control tables are the largest.
const maxBody = 4 << 20

// Handler answers the routes under /v1/.
func Handler(e Engine) http.Handler {
	mux := http.NewServeMux()
	get(mux, "GET /v1/status", func(r *http.Request) (any, error) { return e.Status(r.Context()) })
	get(mux, "GET /v1/links", func(r *http.Request) (any, error) { return e.Links(r.Context()) })
	post(mux, "POST /v1/links", func(r *http.Request, c *LinkChange) (any, error) { return struct{}{}, e.SetLink(r.Context(), *c) })
	post(mux, "POST /v1/tokens", func(r *http.Request, c *TokenRequest) (any, error) { return e.CreateToken(r.Context(), *c) })
	post(mux, "POST /v1/leave", func(r *http.Request, c *struct {
		AcceptLoss bool `json:"accept_loss"`
	}) (any, error) {
		return struct{}{}, e.Leave(r.Context(), c.AcceptLoss)
	})
	get(mux, "GET /v1/control", func(r *http.Request) (any, error) { return e.ControlText(r.Context()) })
	post(mux, "POST /v1/control/plan", func(r *http.Request, c *ControlChange) (any, error) { return e.ControlPlan(r.Context(), *c) })
	post(mux, "POST /v1/control/apply", func(r *http.Request, c *ControlChange) (any, error) { return e.ControlApply(r.Context(), *c) })
	post(mux, "POST /v1/caught-up", func(r *http.Request, c *CaughtUpRequest) (any, error) { return e.CaughtUp(r.Context(), *c) })
	get(mux, "GET /v1/files", func(r *http.Request) (any, error) { return e.Files(r.Context(), r.FormValue("under")) })
	get(mux, "GET /v1/file", func(r *http.Request) (any, error) { return e.File(r.Context(), r.FormValue("path")) })
	get(mux, "GET /v1/file/digest", func(r *http.Request) (any, error) {
		if m := r.FormValue("module"); m != "" {
			return e.CompareAt(r.Context(), m, r.FormValue("path"))
		}
		return e.Digest(r.Context(), r.FormValue("path"))
	})
	get(mux, "GET /v1/file/history", func(r *http.Request) (any, error) {
		return e.History(r.Context(), r.FormValue("path"), r.FormValue("key"))
	})
	get(mux, "GET /v1/conflicts", func(r *http.Request) (any, error) { return e.Conflicts(r.Context(), r.FormValue("share")) })
	get(mux, "GET /v1/conflicts/{id}", func(r *http.Request) (any, error) { return e.Conflict(r.Context(), r.PathValue("id")) })
	get(mux, "GET /v1/parked", func(r *http.Request) (any, error) { return e.Parked(r.Context()) })
	get(mux, "GET /v1/account", func(r *http.Request) (any, error) {
		q := AccountRequest{Scan: r.FormValue("scan") == "1", Local: r.FormValue("local") == "1", Reachable: r.FormValue("reachable") == "1"}
		if t := r.FormValue("timeout_ns"); t != "" {
			ns, err := strconv.ParseInt(t, 10, 64)
			if err != nil || ns <= 0 {
				return nil, Errorf(Usage, "bad_timeout", "give nanoseconds above 0", "timeout_ns %q", t)
			}
			q.Timeout = time.Duration(ns)
		}
		return e.Account(r.Context(), q)
	})
	post(mux, "POST /v1/bench", func(r *http.Request, c *BenchRequest) (any, error) { return e.Bench(r.Context(), *c) })
	mux.HandleFunc("GET /v1/journal", func(w http.ResponseWriter, r *http.Request) {
		q := JournalRequest{From: r.FormValue("from"), Share: r.FormValue("share"), Follow: r.FormValue("follow") == "1"}
		fmt.Sscan(r.FormValue("limit"), &q.Limit)
		enc := json.NewEncoder(w)
		begun := false
		flush := http.NewResponseController(w)
		last := time.Now()
		err := e.Journal(r.Context(), q, func(c *Change) error {
			if !begun {
				w.Header().Set("Content-Type", "application/jsonl")
				begun = true
			}
			if err := enc.Encode(c); err != nil {
				return err
			}
			if q.Follow || time.Since(last) > 100*time.Millisecond {
				last = time.Now()
				return flush.Flush()
			}
			return nil
		})
		if err != nil && r.Context().Err() == nil {
			if begun {
				enc.Encode(map[string]any{"error": AsError(err)})
				return
			}
			problem(w, err)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, Errorf(NotFound, "no_route", "", "no such route: %s %s", r.Method, r.URL.Path))
	})
	return mux
}

func get(mux *http.ServeMux, route string, fn func(*http.Request) (any, error)) {
	mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		v, err := fn(r)
		answer(w, v, err)
	})
}

func post[T any](mux *http.ServeMux, route string, fn func(*http.Request, *T) (any, error)) {
	mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		var in T
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
			problem(w, Errorf(Usage, "bad_body", "", "%s: %v", route, err))
			return
		}
		v, err := fn(r, &in)
		answer(w, v, err)
	})
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		problem(w, err)
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		problem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(b, '\n'))
}

func problem(w http.ResponseWriter, err error) {
	e := AsError(err)
	b, merr := json.Marshal(struct {
		Type   string `json:"type"`
		Status int    `json:"status"`
		*Error
	}{"about:blank#" + e.Code, e.Class.status(), e})
	if merr != nil {
		http.Error(w, e.Message, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(e.Class.status())
	w.Write(append(b, '\n'))
}

// Server is the door on a unix socket.
type Server struct {
	http *http.Server
	l    net.Listener
	done chan struct{}
}

// Serve opens the socket at path, mode 0600, and answers until Close. A stale
// socket of a process that is gone is replaced: the caller holds the
// directory's lock.
func Serve(path string, e Engine) (*Server, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	s := &Server{l: l, done: make(chan struct{}), http: &http.Server{
		Handler: Handler(e), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}}
	go func() {
		defer close(s.done)
		s.http.Serve(l)
	}()
	return s, nil
}

// Close stops the door: requests under way have a second to end.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}
