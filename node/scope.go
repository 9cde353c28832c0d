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
// have them too, or for their owner's lease. They are as many as there are calls under way.
type scopes struct {
	timeout time.Duration // scopeTimeout, but in tests
	mu      sync.Mutex    // protects all of it; never held while answering
	waiting map[origin.Stream][]scoped
	ended   bool // the node stops: nobody waits any more
}

// errStopping answers a change that waits for others while the node stops.
var errStopping = fmt.Errorf("commit: this module stops before other modules confirmed: %w", call.DurableHere)

// end answers all who wait, and who would.
func (s *scopes) end() {
	s.mu.Lock()
	s.ended = true
	l := s.waiting
	s.waiting = map[origin.Stream][]scoped{}
	s.mu.Unlock()
	for _, w := range l {
		for i := range w {
			w[i].answer(errStopping)
		}
	}
}

// scoped is one change, in the order of its stream.
type scoped struct {
	seq    origin.Seq
	since  time.Time
	goOn   bool
	rule   *scopeRule // nil: nobody else is waited for
	group  origin.Group
	epoch  uint64 // of the owner's term; 0: the group has no owner
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
	if len(s.others) == 0 && t.Supplements(g, self) {
		return nil // what it writes goes to nobody
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
	if s.ended {
		s.mu.Unlock()
		x.answer(errStopping)
		return
	}
	defer s.mu.Unlock()
	l := s.waiting[d.Stream]
	i := len(l)
	for i > 0 && l[i-1].seq > x.seq {
		i--
	}
	s.waiting[d.Stream] = slices.Insert(l, i, x)
}

// settle answers what is confirmed now, and what waited too long.
func (s *scopes) settle(confirmed func(origin.Stream, origin.Seq, *scoped) bool, over func(*scoped) bool, now time.Time) {
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
			case confirmed(st, x.seq, x):
				out = append(out, done{x.answer, nil})
			case over(x):
				out = append(out, done{x.answer, errTermOver})
			case now.Sub(x.since) < s.timeout:
				keep = append(keep, *x)
			case x.rule == nil:
				out = append(out, done{x.answer, fmt.Errorf("commit: the lease ran out, and the control group did not renew it within %v: %w", s.timeout, call.DurableHere)})
			case x.goOn && x.epoch == 0:
				out = append(out, done{x.answer, nil})
			case x.goOn:
				// Nobody else is waited for any more, the lease is.
				x.rule, x.since = nil, now
				keep = append(keep, *x)
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

// errTermOver answers a change that is flushed here, while the owner's term
// ended before it could be acknowledged.
var errTermOver = fmt.Errorf("write: it is durable at this module, but another owner's term began before the answer: %w", call.DurableHere)

// acknowledger is what a share's changes go through when they are durable
// here; nil: nothing. t is the term in which a group with an owner is written,
// nil for others: the owner answers only while its lease stands, and waits for
// the next if it has run out.
func (n *Node) acknowledger(t *control.Term, rule *scopeRule, goOn bool) func(origin.Dot, func(error)) {
	if t == nil && rule == nil {
		return nil
	}
	return func(d origin.Dot, answer func(error)) {
		x := scoped{since: time.Now(), goOn: goOn, rule: rule, answer: answer}
		if t != nil {
			x.group, x.epoch = t.Group, t.Epoch
		}
		if n.confirmed(d.Stream, d.Seq, &x) {
			answer(nil)
			return
		}
		n.scopes.add(d, x)
		n.settleScopes() // it may have come meanwhile
	}
}

// confirmed reports whether a change may be acknowledged now.
func (n *Node) confirmed(st origin.Stream, q origin.Seq, x *scoped) bool {
	return (x.epoch == 0 || n.leases.holds(x.group, x.epoch)) && (x.rule == nil || q <= n.heldBy(st, x.rule))
}

// over reports whether the term of a change has ended.
func (n *Node) over(x *scoped) bool {
	if x.epoch == 0 {
		return false
	}
	t, ok := n.ctl.state().Term(x.group)
	return ok && t.Epoch != x.epoch
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
		n.scopes.settle(n.confirmed, n.over, time.Now())
	}
}
