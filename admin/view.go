package admin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
)

// View is what one module says of itself and its links, and how old that is.
type View struct {
	Module string    `json:"module"` // whose view
	AsOf   time.Time `json:"as_of"`  // by its clock
	// AgeS is how long ago the asked module got it.
	AgeS    float64 `json:"age_s"`
	Status  *Status `json:"status"` // null: unknown
	Links   []Link  `json:"links"`
	Problem *Error  `json:"problem,omitempty"` // why there is none, or none that is newer
}

// MeshView is the mesh as all of its members see it.
type MeshView struct {
	Module string `json:"module"` // that was asked
	Views  []View `json:"views"`  // one a member
}

// views remembers the last view of each member: an old one with its age says
// more than none.
type views struct {
	mu     sync.Mutex // protects what follows; never held across I/O
	last   map[string]heldView
	failed map[string]time.Time // who did not answer when it was asked last
}

type heldView struct {
	view View
	at   time.Time
}

func (v *views) keep(x View, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last == nil {
		v.last = map[string]heldView{}
	}
	v.last[x.Module] = heldView{x, at}
	delete(v.failed, x.Module)
}

// miss notes that a member did not answer.
func (v *views) miss(module string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failed == nil {
		v.failed = map[string]time.Time{}
	}
	v.failed[module] = time.Now()
}

// missed tells whether a member did not answer a moment ago.
func (v *views) missed(module string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	at, ok := v.failed[module]
	return ok && time.Since(at) < missedTime
}

func (v *views) old(module string) (View, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	h, ok := v.last[module]
	h.view.AgeS = time.Since(h.at).Seconds()
	return h.view, ok
}

// only forgets modules that are no members any more.
func (v *views) only(modules []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for m := range v.last {
		if !slices.Contains(modules, m) {
			delete(v.last, m)
			delete(v.failed, m)
		}
	}
}

// view is the module's own.
func (a *API) view(ctx context.Context) (*View, error) {
	s, err := a.engine.Status(ctx)
	if err != nil {
		return nil, err
	}
	l, err := a.engine.Links(ctx)
	if err != nil {
		return nil, err
	}
	return &View{Module: s.Module, AsOf: s.AsOf, Status: s, Links: l}, nil
}

const (
	meshTime = 2 * time.Second
	// Who did not answer within missedTime is given againTime only, so that one
	// that is down does not hold up the others' answers.
	missedTime = 15 * time.Second
	againTime  = 250 * time.Millisecond
	// maxAsked bounds how many members are asked at a time.
	maxAsked = 16
)

type meshInput struct {
	Timeout int64 `query:"timeout_ns" minimum:"0" doc:"How long members are waited for; 0: 2 s"`
}

func (a *API) mesh(ctx context.Context, in *meshInput) (*MeshView, error) {
	return a.MeshView(ctx, time.Duration(in.Timeout))
}

// MeshView asks all members for their views.
func (a *API) MeshView(ctx context.Context, timeout time.Duration) (*MeshView, error) {
	if timeout <= 0 {
		timeout = meshTime
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	own, err := a.view(ctx)
	if err != nil {
		return nil, err
	}
	out := &MeshView{Module: own.Module, Views: []View{*own}}
	names := []string{own.Module}
	for _, m := range own.Status.Members {
		if m.Module != own.Module && m.Status != "left" && m.Status != "removed" {
			names = append(names, m.Module)
		}
	}
	a.views.only(names)
	others := make([]View, len(names)-1)
	room := make(chan struct{}, maxAsked)
	var wg sync.WaitGroup
	who := CallerOf(ctx)
	for i, name := range names[1:] {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			others[i] = a.viewOf(ctx, who, name)
		})
	}
	wg.Wait()
	out.Views = append(out.Views, others...)
	slices.SortFunc(out.Views, func(a, b View) int { return strings.Compare(a.Module, b.Module) })
	return out, nil
}

func (a *API) viewOf(ctx context.Context, who Caller, name string) View {
	if a.views.missed(name) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, againTime)
		defer cancel()
	}
	f, err := a.engine.Forward(ctx, name, who, "/v1/view")
	var v View
	if err == nil && f.Status != 200 {
		e := &Error{}
		if err = json.Unmarshal(f.Body, e); err == nil {
			err = e
		}
	} else if err == nil {
		err = json.Unmarshal(f.Body, &v)
	}
	if err == nil {
		a.views.keep(v, time.Now())
		return v
	}
	a.views.miss(name)
	v, _ = a.views.old(name)
	v.Module, v.Problem = name, AsError(err)
	return v
}
