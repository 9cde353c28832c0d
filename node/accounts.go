package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
)

const (
	// maxAccounts bounds how many accounts a module works on for others.
	maxAccounts = 8
	// accountPoll is how long one question waits for an account.
	accountPoll = 5 * time.Second
	// accountIdle ends an account that nobody asks about any more.
	accountIdle = 30 * time.Second
)

// Account implements admin.Engine. The vector of the account is all that the
// members have when it begins; each counts once it has applied it.
func (e engine) Account(ctx context.Context, r admin.AccountRequest) (*admin.Account, error) {
	n := e.n
	if r.Timeout <= 0 {
		if r.Timeout = time.Minute; r.Scan {
			r.Timeout = 10 * time.Minute
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	var members []control.Member
	at := n.j.Durable().Context()
	var left []string
	if !r.Local {
		others, err := n.askVectors(ctx, at, r.Reachable)
		if err != nil {
			return nil, err
		}
		members, left = others.asked, others.left
	}
	for s := range at {
		if s.Group == 0 {
			delete(at, s)
		}
	}
	parts := make([]*admin.Account, len(members)+1)
	errs := make([]error, len(members)+1)
	var wg sync.WaitGroup
	progress := admin.ProgressOf(ctx)
	progress.Step(fmt.Sprintf("%d members were asked how far they are; each counts once it has all of it", len(members)))
	var counted atomic.Int64
	done := func(name string) {
		progress.Step(name + " has counted")
		progress.Percent(100 * float64(counted.Add(1)) / float64(len(parts)))
	}
	wg.Go(func() { parts[0], errs[0] = n.accountAt(ctx, at, r.Scan); done(n.dir.Module) })
	for i, m := range members {
		wg.Go(func() { parts[i+1], errs[i+1] = n.askAccount(ctx, m, at, r.Scan); done(m.Name) })
	}
	wg.Wait()
	out := &admin.Account{Module: n.dir.Module, Modules: []admin.AccountModule{}, Vector: []admin.StreamPosition{}, Lines: []admin.AccountLine{},
		Scanned: r.Scan, Left: left, Findings: []string{}}
	var late []string
	for i, p := range parts {
		if err := errs[i]; err != nil {
			name := n.dir.Module
			if i > 0 {
				name = members[i-1].Name
			}
			if i > 0 && r.Reachable {
				out.Left = append(out.Left, name)
				continue
			}
			if ctx.Err() == nil {
				return nil, err
			}
			late = append(late, name)
			continue
		}
		out.Modules = append(out.Modules, p.Modules...)
		out.Lines = append(out.Lines, p.Lines...)
		out.Findings = append(out.Findings, p.Findings...)
		out.Duplicates += p.Duplicates
	}
	if len(late) > 0 {
		return nil, failure(admin.TimedOut, "account_waits", "wait longer with --timeout, leave them out with --reachable, or count here alone with --local",
			"no account came from %s in %v", strings.Join(late, ", "), r.Timeout)
	}
	for _, s := range slices.SortedFunc(maps.Keys(at), origin.Stream.Compare) {
		out.Vector = append(out.Vector, admin.StreamPosition{Stream: n.streamName(s), Seq: uint64(at[s])})
	}
	slices.SortStableFunc(out.Lines, func(a, b admin.AccountLine) int {
		if c := strings.Compare(a.Share, b.Share); c != 0 {
			return c
		}
		if c := strings.Compare(a.Origin, b.Origin); c != 0 {
			return c
		}
		return strings.Compare(a.Module, b.Module)
	})
	out.Findings = append(out.Findings, compareLines(out.Lines)...)
	return out, nil
}

// compareLines tells where modules count other operations of one origin in one
// share, up to the vector. A module that has no line of a stream does not apply
// it, or there is nothing of it in the share.
func compareLines(lines []admin.AccountLine) (findings []string) {
	for i := 0; i < len(lines); {
		first := &lines[i]
		j := i + 1
		for ; j < len(lines) && lines[j].Share == first.Share && lines[j].Origin == first.Origin; j++ {
			l := &lines[j]
			if l.Beyond == nil || first.Beyond == nil {
				continue
			}
			if a, b := first.Written-*first.Beyond, l.Written-*l.Beyond; a != b {
				findings = append(findings, fmt.Sprintf("share %s, %s: %d operations at %s, %d at %s", l.Share, l.Origin, a, first.Module, b, l.Module))
			}
		}
		i = j
	}
	return findings
}

// accountQuestion asks for a module's account. The same number asks again for
// the same account.
type accountQuestion struct {
	Number uint64             `json:"n"`
	Scan   bool               `json:"scan"`
	At     []origin.StreamSeq `json:"at"`
	Forget bool               `json:"forget,omitempty"` // the asker does not wait any more
}

type accountAnswer struct {
	Running bool           `json:"running,omitempty"`
	Account *admin.Account `json:"account,omitempty"`
	Error   *admin.Error   `json:"error,omitempty"`
}

// askAccount has another module count. A count by scan may take longer than an
// answer may, so it is asked for until it is there.
func (n *Node) askAccount(ctx context.Context, m control.Member, at origin.Context, scan bool) (*admin.Account, error) {
	q := accountQuestion{Number: rand.Uint64(), Scan: scan}
	for s, seq := range at {
		q.At = append(q.At, origin.StreamSeq{Stream: s, Seq: seq})
	}
	ask := func(ctx context.Context) (*accountAnswer, error) {
		b, err := json.Marshal(q)
		if err != nil {
			return nil, err
		}
		if b, err = n.mesh.Call(ctx, m.Number, "account", b); err != nil {
			return nil, err
		}
		a := new(accountAnswer)
		return a, json.Unmarshal(b, a)
	}
	misses := 0
	for {
		a, err := ask(ctx)
		switch {
		case ctx.Err() != nil:
			// It would go on for a while for nobody.
			fctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			q.Forget = true
			ask(fctx)
			cancel()
			return nil, ctx.Err()
		case err != nil:
			if misses++; misses > 5 {
				return nil, failure(admin.Unreachable, "member_unreachable", "leave it out with --reachable, or count here alone with --local", "module %s did not say its account: %v", m.Name, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		case a.Error != nil:
			return nil, a.Error
		case a.Account != nil:
			return a.Account, nil
		}
	}
}

// accounts are the counts that go on for other modules.
type accounts struct {
	mu   sync.Mutex // protects what follows; never held across I/O
	jobs map[accountKey]*accountJob
}

type accountKey struct {
	from   origin.Module
	number uint64
}

// accountJob is one count. Its goroutine ends with cancel, which comes with its
// end, when the asker forgets it or is silent for accountIdle, and with the
// node.
type accountJob struct {
	cancel context.CancelFunc
	idle   *time.Timer
	done   chan struct{} // closed when what follows is set
	answer accountAnswer
}

func (n *Node) serveAccount(ctx context.Context, from origin.Module, b []byte) ([]byte, error) {
	var q accountQuestion
	if err := json.Unmarshal(b, &q); err != nil {
		return nil, err
	}
	if len(q.At) > origin.MaxStreams {
		return nil, fmt.Errorf("a vector of %d streams, %d are allowed", len(q.At), origin.MaxStreams)
	}
	k := accountKey{from, q.Number}
	n.accounts.mu.Lock()
	j := n.accounts.jobs[k]
	switch {
	case q.Forget && j != nil:
		delete(n.accounts.jobs, k)
		j.cancel()
		fallthrough
	case q.Forget:
		n.accounts.mu.Unlock()
		return json.Marshal(accountAnswer{})
	case j == nil && len(n.accounts.jobs) >= maxAccounts:
		n.accounts.mu.Unlock()
		return nil, fmt.Errorf("%d accounts are being made already", maxAccounts)
	case j == nil:
		j = n.startAccount(k, q)
	default:
		j.idle.Reset(accountIdle)
	}
	n.accounts.mu.Unlock()
	select {
	case <-j.done:
		n.accounts.mu.Lock()
		delete(n.accounts.jobs, k)
		n.accounts.mu.Unlock()
		j.idle.Stop()
		return json.Marshal(j.answer)
	case <-time.After(accountPoll):
	case <-ctx.Done():
	}
	return json.Marshal(accountAnswer{Running: true})
}

// startAccount begins a count; the caller holds the lock of accounts.
func (n *Node) startAccount(k accountKey, q accountQuestion) *accountJob {
	at := origin.Context{}
	at.Advance(q.At)
	ctx, cancel := context.WithCancel(n.ctx)
	j := &accountJob{cancel: cancel, done: make(chan struct{})}
	j.idle = time.AfterFunc(accountIdle, func() {
		n.accounts.mu.Lock()
		delete(n.accounts.jobs, k)
		n.accounts.mu.Unlock()
		cancel()
	})
	if n.accounts.jobs == nil {
		n.accounts.jobs = map[accountKey]*accountJob{}
	}
	n.accounts.jobs[k] = j
	n.wg.Go(func() {
		defer cancel()
		defer close(j.done)
		a, err := n.accountAt(ctx, at, q.Scan)
		if err != nil {
			j.answer.Error = admin.AsError(err)
			return
		}
		j.answer.Account = a
	})
	return j
}
