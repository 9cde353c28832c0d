package admin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxRunning bounds the long operations that are under way.
	maxRunning = 16
	// maxEnded is how many that have ended can still be asked about.
	maxEnded = 100
	maxSteps = 200
)

// Operation is long work that was asked for: how far it is, or how it ended.
type Operation struct {
	ID      string     `json:"id"`
	Kind    string     `json:"kind"`             // operation id of the route
	Object  string     `json:"object,omitempty"` // what it is about
	By      string     `json:"by"`
	State   string     `json:"state" enum:"running,done,failed,cancelled"`
	Percent *float64   `json:"percent"` // null: unknown
	Steps   []Step     `json:"steps"`
	Begun   time.Time  `json:"begun"`
	Ended   *time.Time `json:"ended"`
	Error   *Error     `json:"error,omitempty"`
	Result  any        `json:"result,omitempty"` // once it is done, what the route answers
}

// Step is a part of an operation that began.
type Step struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// operations holds the long work of a module, all of it and no more than is
// bounded above. Nothing is durable: what must survive a crash is in control.
type operations struct {
	events *Events
	ctx    context.Context // ends with the door
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex // protects what follows; never held across I/O
	all []*running // oldest first
}

// running is an operation. Its goroutine ends with fn, which ends soon after
// its context: by cancel, or with the door.
type running struct {
	o      *operations
	cancel context.CancelFunc
	done   chan struct{} // closed at the end
	asked  bool          // to be cancelled; protected by o.mu, as is op
	op     Operation
	err    error // what fn gave; read after done
	result any   // the same
}

func newOperations(e *Events) *operations {
	o := &operations{events: e}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o
}

func (o *operations) close() {
	o.mu.Lock() // what is being begun counts
	o.cancel()
	o.mu.Unlock()
	o.wg.Wait()
}

// start begins long work for a caller.
func (o *operations) start(by Caller, kind, object string, fn func(context.Context) (any, error)) (*running, error) {
	var id [8]byte
	rand.Read(id[:])
	ctx, cancel := context.WithCancel(WithCaller(o.ctx, by))
	r := &running{o: o, cancel: cancel, done: make(chan struct{}),
		op: Operation{ID: hex.EncodeToString(id[:]), Kind: kind, Object: object, By: by.Name, State: "running", Steps: []Step{}, Begun: time.Now()}}
	o.mu.Lock()
	active, ended := 0, 0
	for _, x := range o.all {
		if x.op.Ended == nil {
			active++
		} else {
			ended++
		}
	}
	if active >= maxRunning || o.ctx.Err() != nil {
		o.mu.Unlock()
		cancel()
		return nil, Errorf(Precondition, "busy", "wait for one of them, or cancel it: \"drmesh operation ls\" lists them", "%d operations are under way", active)
	}
	o.all = append(o.all, r)
	if ended >= maxEnded {
		i := slices.IndexFunc(o.all, func(x *running) bool { return x.op.Ended != nil })
		o.all = slices.Delete(o.all, i, i+1)
	}
	o.wg.Add(1)
	o.mu.Unlock()
	o.events.Publish("operation", r.op.ID, kind+" began")
	go func() {
		defer o.wg.Done()
		defer cancel()
		result, err := fn(context.WithValue(ctx, progressKey{}, &Progress{r}))
		now := time.Now()
		o.mu.Lock()
		r.result, r.err = result, err
		r.op.Ended = &now
		switch {
		case err == nil:
			r.op.State, r.op.Result = "done", result
			p := 100.0
			r.op.Percent = &p
		case r.asked && errors.Is(err, context.Canceled) || r.asked && ctx.Err() != nil:
			r.op.State = "cancelled"
			r.op.Error = Errorf(Interrupted, "cancelled", "what it had begun is undone, or said by its last step", "%s", cancelledBy(err))
			r.err = r.op.Error
		default:
			r.op.State, r.op.Error = "failed", AsError(err)
		}
		state := r.op.State
		o.mu.Unlock()
		close(r.done)
		o.events.Publish("operation", r.op.ID, kind+" is "+state)
	}()
	return r, nil
}

// view copies an operation.
func (r *running) view() *Operation {
	r.o.mu.Lock()
	defer r.o.mu.Unlock()
	op := r.op
	op.Steps = slices.Clone(op.Steps)
	return &op
}

// cancelledBy says that an operation was cancelled, and what it said of that
// beside that its context had ended.
func cancelledBy(err error) string {
	if err == nil || err == context.Canceled {
		return "cancelled"
	}
	return "cancelled: " + err.Error()
}

// stop cancels an operation that is under way.
func (r *running) stop() error {
	r.o.mu.Lock()
	defer r.o.mu.Unlock()
	if r.op.Ended != nil {
		return Errorf(Precondition, "ended", fmt.Sprintf("\"drmesh operation show %s\" says how", r.op.ID), "operation %s has ended: it is %s", r.op.ID, r.op.State)
	}
	r.asked = true
	r.cancel()
	return nil
}

func (o *operations) get(id string) (*running, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.all {
		if r.op.ID == id {
			return r, nil
		}
	}
	return nil, Errorf(NotFound, "no_operation", "\"drmesh operation ls\" lists them; those of a time before the last start are not kept", "no operation %s", id)
}

func (o *operations) list() []Operation {
	o.mu.Lock()
	all := slices.Clone(o.all)
	o.mu.Unlock()
	l := make([]Operation, 0, len(all))
	for _, r := range all {
		op := r.view()
		op.Result = nil
		l = append(l, *op)
	}
	return l
}

// Progress is where long work says how far it is. A nil one hears nothing.
type Progress struct{ r *running }

type progressKey struct{}

// ProgressOf gives the progress of the operation that a context is of.
func ProgressOf(ctx context.Context) *Progress {
	p, _ := ctx.Value(progressKey{}).(*Progress)
	return p
}

// Step says that a part begins.
func (p *Progress) Step(text string) {
	if p == nil {
		return
	}
	p.r.o.mu.Lock()
	if len(p.r.op.Steps) < maxSteps {
		p.r.op.Steps = append(p.r.op.Steps, Step{time.Now(), text})
	}
	p.r.o.mu.Unlock()
	p.r.o.events.Publish("operation", p.r.op.ID, text)
}

// Percent says how much of it is done.
func (p *Progress) Percent(percent float64) {
	if p == nil {
		return
	}
	p.r.o.mu.Lock()
	p.r.op.Percent = &percent
	p.r.o.mu.Unlock()
}
