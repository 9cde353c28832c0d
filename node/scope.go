package node

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/path"
)

// scopeTimeout is how long a change waits for the modules of its commit scope.
const scopeTimeout = 10 * time.Second

// scopes are the changes that are durable here and wait for other modules to
// have them too. They are as many as there are calls under way.
type scopes struct {
	timeout time.Duration // scopeTimeout; set before the node starts
	mu      sync.Mutex    // protects waiting; never held while answering
	waiting map[origin.Stream][]scoped
}

// scoped is one change, in the order of its stream.
type scoped struct {
	seq    origin.Seq
	since  time.Time
	goOn   bool
	rule   scopeRule
	answer func(error)
}

// scopeRule is who must hold a change.
type scopeRule struct {
	scope  string
	others []origin.Module // of the destinations, those that count
}

// newScope is a group's rule at a module, nil if nobody else is waited for.
func newScope(t *control.Tables, g origin.Group, self origin.Module) *scopeRule {
	rule := t.GroupRule(g)
	if rule == nil || rule.Scope == "" || rule.Scope == control.ScopeLocal {
		return nil
	}
	s := &scopeRule{scope: rule.Scope}
	here := path.SystemOf(t.ModuleName(self))
	for _, m := range t.Destinations(g, self) {
		if rule.Scope != control.ScopeSystem || path.SystemOf(t.ModuleName(m)) != here {
			s.others = append(s.others, m)
		}
	}
	return s
}

// held is how far a stream is held by enough modules.
func (r *scopeRule) held(of func(origin.Module) origin.Seq) (q origin.Seq) {
	for i, m := range r.others {
		switch a := of(m); {
		case i == 0:
			q = a
		case r.scope == control.ScopeAll:
			q = min(q, a)
		default:
			q = max(q, a)
		}
	}
	return q
}

func (s *scopes) init() { s.timeout, s.waiting = scopeTimeout, map[origin.Stream][]scoped{} }

func (s *scopes) add(d origin.Dot, x scoped) {
	x.seq = d.Seq
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.waiting[d.Stream]
	i := len(l)
	for i > 0 && l[i-1].seq > x.seq {
		i--
	}
	s.waiting[d.Stream] = slices.Insert(l, i, x)
}

// settle answers what is held now, and what waited too long.
func (s *scopes) settle(held func(origin.Stream, *scopeRule) origin.Seq, now time.Time) {
	type done struct {
		answer func(error)
		err    error
	}
	var out []done
	s.mu.Lock()
	for st, l := range s.waiting {
		keep := l[:0]
		for i := range l {
			x := &l[i]
			switch {
			case x.seq <= held(st, &x.rule):
				out = append(out, done{x.answer, nil})
			case now.Sub(x.since) < s.timeout:
				keep = append(keep, *x)
			case x.goOn:
				out = append(out, done{x.answer, nil})
			default:
				out = append(out, done{x.answer, fmt.Errorf("commit: %s of %d other modules did not confirm within %v: %w", x.rule.scope, len(x.rule.others), s.timeout, call.DurableHere)})
			}
		}
		clear(l[len(keep):])
		if s.waiting[st] = keep; len(keep) == 0 {
			delete(s.waiting, st)
		}
	}
	s.mu.Unlock()
	for _, d := range out {
		d.answer(d.err)
	}
}

func (s *scopes) some() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) > 0
}

// acknowledger is what a share's changes go through when they are durable
// here; nil: nothing.
func (n *Node) acknowledger(leased func() bool, rule *scopeRule, goOn bool) func(origin.Dot, func(error)) {
	if leased == nil && rule == nil {
		return nil
	}
	return func(d origin.Dot, answer func(error)) {
		finish := answer
		if leased != nil {
			finish = func(err error) {
				if err == nil && !leased() {
					err = errLeaseLost
				}
				answer(err)
			}
		}
		if rule == nil || d.Seq <= n.heldBy(d.Stream, rule) {
			finish(nil)
			return
		}
		n.scopes.add(d, scoped{since: time.Now(), goOn: goOn, rule: *rule, answer: finish})
		if d.Seq <= n.heldBy(d.Stream, rule) { // meanwhile
			n.settleScopes()
		}
	}
}

func (n *Node) heldBy(st origin.Stream, r *scopeRule) origin.Seq {
	return r.held(func(m origin.Module) origin.Seq {
		a, _ := n.acks.of(m, st)
		return a.seq
	})
}

// settleScopes answers what other modules hold by now.
func (n *Node) settleScopes() {
	if n.scopes.some() {
		n.scopes.settle(n.heldBy, time.Now())
	}
}
