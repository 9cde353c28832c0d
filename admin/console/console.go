// Package console is the page of a module for people: one sentence on how the
// mesh is, a map of its links, how far each stream is at each module, and what
// waits for somebody.
//
// It is rendered here from the answers of the operators' API, which it asks
// like any other program, so that every number on it can be had there too.
// What is unknown is shown as unknown. The page loads nothing from elsewhere,
// runs no script but its own file, and shows the same without it. Rendering is
// shared: however many browsers look, the mesh is asked once a second at most.
// Nothing here is durable.
package console

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"sync"
	"time"

	"drmesh/admin"
)

//go:embed assets/*.html
var pages embed.FS

//go:embed assets/console.css assets/console.js
var files embed.FS

const (
	// fresh is how long what was rendered is shown again.
	fresh = time.Second
	// askTime is how long the mesh may take.
	askTime = 3 * time.Second
	// maxListed bounds the inboxes on the page.
	maxListed = "20"
)

// API is what the page asks: GET uri, as a caller.
type API interface {
	Answer(ctx context.Context, who admin.Caller, uri string) *admin.Forwarded
}

// Handler answers / and what is below /console/.
type Handler struct {
	api  API
	tmpl *template.Template
	mux  *http.ServeMux

	mu   sync.Mutex // held while the mesh is asked, so that others wait for the same answer
	main []byte     // what was rendered last
	at   time.Time
}

// New makes the page of an API.
func New(api API) *Handler {
	h := &Handler{api: api, mux: http.NewServeMux()}
	h.tmpl = template.Must(template.New("").Funcs(funcs).ParseFS(pages, "assets/*.html"))
	static, err := fs.Sub(files, "assets")
	if err != nil {
		panic("console: " + err.Error()) // it is embedded
	}
	h.mux.HandleFunc("GET /{$}", h.page)
	h.mux.HandleFunc("GET /console/main", h.fragment)
	h.mux.HandleFunc("POST /console/login", h.login)
	h.mux.Handle("GET /console/", http.StripPrefix("/console/", http.FileServerFS(static)))
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k := w.Header()
	k.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	k.Set("X-Content-Type-Options", "nosniff")
	k.Set("Referrer-Policy", "no-referrer")
	k.Set("Cache-Control", "no-cache")
	h.mux.ServeHTTP(w, r)
}

// page is the whole page; for who may not look, one that asks for a token.
func (h *Handler) page(w http.ResponseWriter, r *http.Request) {
	who := admin.CallerOf(r.Context())
	if !who.Role.May(admin.Viewer) {
		w.WriteHeader(http.StatusUnauthorized)
		h.render(w, "login.html", nil)
		return
	}
	main, err := h.content(r.Context(), who)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	h.render(w, "page.html", struct {
		Who  admin.Caller
		Main template.HTML
	}{who, template.HTML(main)}) // rendered by our own template
}

// fragment is the part that changes.
func (h *Handler) fragment(w http.ResponseWriter, r *http.Request) {
	who := admin.CallerOf(r.Context())
	if !who.Role.May(admin.Viewer) {
		http.Error(w, "this takes the role viewer", http.StatusUnauthorized)
		return
	}
	main, err := h.content(r.Context(), who)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(main)
}

// login keeps an access token in a cookie that scripts cannot read and other
// sites cannot send. It lets look, and no more.
func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	token := r.PostFormValue("token")
	http.SetCookie(w, &http.Cookie{Name: admin.CookieName, Value: url.QueryEscape(token), Path: "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (h *Handler) render(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := h.tmpl.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	w.Write(b.Bytes())
}

// content is what changes, rendered at most once a second.
func (h *Handler) content(ctx context.Context, who admin.Caller) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) < fresh {
		return h.main, nil
	}
	v, err := h.look(ctx, who)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := h.tmpl.ExecuteTemplate(&b, "main.html", v); err != nil {
		return nil, err
	}
	h.main, h.at = b.Bytes(), time.Now()
	return h.main, nil
}

// get asks the API for one value.
func get[T any](ctx context.Context, h *Handler, who admin.Caller, uri string) (v T, err error) {
	f := h.api.Answer(ctx, who, uri)
	if f.Status != http.StatusOK {
		e := &admin.Error{}
		if err := json.Unmarshal(f.Body, e); err != nil {
			return v, err
		}
		return v, e
	}
	return v, json.Unmarshal(f.Body, &v)
}

// content of the page.
type look struct {
	Mesh      *admin.MeshView
	Self      *admin.Status
	Verdict   verdict
	Map       worldMap
	Matrix    []admin.MatrixRow
	Modules   []string
	Conflicts []admin.Conflict
	Parked    []admin.Parked
	Groups    []admin.Group    // those that have an owner
	Lost      []admin.LostFile // of this module
	LostSum   *int             // over all modules; nil: unknown
	ParkedSum *int
	Alarms    []alarmAt
	AsOf      time.Time
}

// States are those of arrows, each with its own head.
func (*look) States() []string { return []string{"up", "connecting", "paused", "unknown"} }

type alarmAt struct{ Module, Text string }

func (h *Handler) look(ctx context.Context, who admin.Caller) (*look, error) {
	// Others wait for this answer too, so it does not end with one of them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
	defer cancel()
	v := &look{AsOf: time.Now().UTC()}
	var err error
	if v.Mesh, err = get[*admin.MeshView](ctx, h, who, "/v1/mesh"); err != nil {
		return nil, err
	}
	v.Matrix = v.Mesh.Matrix()
	if v.Conflicts, err = get[[]admin.Conflict](ctx, h, who, "/v1/conflicts?limit="+maxListed); err != nil {
		return nil, err
	}
	if v.Parked, err = get[[]admin.Parked](ctx, h, who, "/v1/parked?limit="+maxListed); err != nil {
		return nil, err
	}
	groups, err := get[[]admin.Group](ctx, h, who, "/v1/groups")
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if g.Mode == "owned" {
			v.Groups = append(v.Groups, g)
		}
	}
	if v.Lost, err = get[[]admin.LostFile](ctx, h, who, "/v1/lost"); err != nil {
		return nil, err
	}
	lost, parked := 0, 0
	v.LostSum, v.ParkedSum = &lost, &parked
	for _, x := range v.Mesh.Views {
		if x.Status == nil {
			v.LostSum, v.ParkedSum = nil, nil
			break
		}
		if parked += x.Status.Parked; x.Status.Lost == nil {
			v.LostSum = nil
		} else {
			lost += *x.Status.Lost
		}
	}
	for _, x := range v.Mesh.Views {
		v.Modules = append(v.Modules, x.Module)
		if x.Module == v.Mesh.Module {
			v.Self = x.Status
		}
		if x.Status != nil && x.Problem == nil {
			for _, a := range x.Status.Alarms {
				v.Alarms = append(v.Alarms, alarmAt{x.Module, a})
			}
		}
	}
	v.Verdict = judge(v)
	v.Map = draw(v.Mesh)
	return v, nil
}
