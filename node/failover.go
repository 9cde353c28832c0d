package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
)

const (
	// holdOff is how long a group keeps the owner that it got by a failover,
	// before it is given to another by itself: a mesh that flaps is left to
	// people.
	holdOff = 30 * time.Second
	// leaseSlack is waited beyond a lease: the owner's clock may run a little
	// slower than that of who follows.
	leaseSlack = 150 * time.Millisecond
)

// absence is what the leader of the control group knows of owners: when it
// gave the last lease of each term. It begins anew with each leadership.
type absence struct {
	mu    sync.Mutex // protects what follows; never held across I/O
	raft  uint64     // raft's term in which it is counted
	since time.Time  // its beginning, at the latest
	heard time.Time  // of the leader before, last: owners that asked it then were there
	tick  time.Time  // when the leader looked last
	given map[origin.Group]given
}

// starved is for how long a leader may not have looked: after more it does not
// know whether owners were silent, or itself.
const starved = 600 * time.Millisecond

type given struct {
	epoch uint64
	at    time.Time
	over  bool // no more of this epoch: another owner is being made
}

// begin starts anew when the leadership is another: each term that stands then
// is counted from the beginning. heard is when the leader before was last heard
// of.
func (a *absence) begin(raft uint64, heard time.Time, terms []control.Term) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	asleep := now.Sub(a.tick) > starved
	a.tick = now
	if a.raft == raft && a.given != nil {
		for g, x := range a.given {
			if asleep {
				x.at = now
				a.given[g] = x
			}
		}
		return
	}
	a.raft, a.since, a.given = raft, time.Now(), map[origin.Group]given{}
	a.heard = a.since
	if heard.Before(a.since) && a.since.Sub(heard) < 10*time.Second {
		a.heard = heard
	}
	for _, t := range terms {
		a.given[t.Group] = given{epoch: t.Epoch}
	}
}

// gave notes a lease; false: none is given any more.
func (a *absence) gave(t term) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.given == nil {
		a.given = map[origin.Group]given{}
	}
	g := a.given[t.Group]
	if g.epoch == t.Epoch && g.over {
		return false
	}
	a.given[t.Group] = given{epoch: t.Epoch, at: time.Now()}
	return true
}

// silent is for how long an owner has not been heard of, and for how long no
// lease of its term can have been given.
func (a *absence) silent(t control.Term) (absent, quiet time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.given[t.Group]
	if g.epoch != t.Epoch {
		// A term that began under this leader: its owner has not asked yet.
		g = given{epoch: t.Epoch, at: time.Now()}
		a.given[t.Group] = g
	}
	if g.epoch == t.Epoch && g.at.After(a.since) {
		return time.Since(g.at), time.Since(g.at)
	}
	return time.Since(a.heard), time.Since(a.since)
}

// stop gives no more leases of a term, or begins again.
func (a *absence) stop(t control.Term, over bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.given[t.Group]
	if g.epoch != t.Epoch {
		g = given{epoch: t.Epoch, at: a.since}
	}
	g.over = over
	a.given[t.Group] = g
}

// watchOwners is the leader's part of failing over by itself: a group whose
// owner asked for no lease for as long as the tables say gets another.
func (n *Node) watchOwners(st *control.State) {
	if n.raft == nil || !n.raft.IsLeader() {
		return
	}
	var terms []control.Term
	for _, g := range st.Groups {
		if t, ok := st.Term(g.Number); ok {
			terms = append(terms, t)
		}
	}
	n.absence.begin(n.raft.Term(), n.raft.LastContact(), terms)
	for _, g := range st.Groups {
		rule := st.Tables().GroupRule(g.Number)
		t, ok := st.Term(g.Number)
		if !ok || rule == nil || rule.Failover == 0 || !st.Owned(g.Number) && !st.Consumed(g.Number) {
			continue
		}
		absent, quiet := n.absence.silent(t)
		if absent < time.Duration(rule.Failover)*time.Second {
			continue
		}
		if w, changing := st.Switching(g.Number); changing {
			if w.Holding() {
				// Its owner is gone while it ran its stop hook, which may be
				// allowed to take long.
				n.drop(w, n.moduleName(w.From)+" was gone while it ran its stop hook")
			}
			continue
		}
		if last := lastReceipt(st, g.Number); last != nil && last.Failover && last.Failed == "" && time.Since(time.UnixMilli(last.Ended)) < holdOff {
			continue
		}
		n.failOver(st, g, t, rule, quiet)
	}
}

// drop undoes a change of owner.
func (n *Node) drop(w control.Switch, why string) {
	ctx, cancel := context.WithTimeout(n.ctx, 700*time.Millisecond)
	defer cancel()
	_, err := n.propose(ctx, &control.Command{Kind: control.KindDropSwitch, DropSwitch: &control.DropSwitch{ID: w.ID, Why: why}})
	if err != nil && n.ctx.Err() == nil {
		n.log.Debug("a change of owner is not undone yet", "id", w.ID, "err", err)
	}
}

func lastReceipt(st *control.State, g origin.Group) *control.Receipt {
	for i := len(st.Receipts) - 1; i >= 0; i-- {
		if st.Receipts[i].Group == g {
			return &st.Receipts[i]
		}
	}
	return nil
}

// failOver gives a group whose owner is gone to the best that is there, if
// nothing that was acknowledged can be missed by it.
func (n *Node) failOver(st *control.State, g control.Group, t control.Term, rule *control.GroupRule, quiet time.Duration) {
	key := "group " + g.Name + " has no owner"
	ctx, cancel := context.WithTimeout(n.ctx, 700*time.Millisecond)
	defer cancel()
	heard, unheard, _ := n.candidates(ctx, st, g.Number, t.Owner)
	if len(heard) == 0 {
		n.alarm(key, "its owner "+n.moduleName(t.Owner)+" is gone, and no module that could follow answers")
		return
	}
	// What was acknowledged stands at k others at least: if fewer than k are
	// unheard, one that is heard has it.
	if k := waited(rule, len(heard)+len(unheard)); k > 0 && len(unheard) >= k {
		n.alarm(key, fmt.Sprintf("its owner %s is gone; %v do not answer, and one of them may hold what was acknowledged: see \"drmesh failover check %s MODULE\"", n.moduleName(t.Owner), unheard, g.Name))
		return
	}
	id := make([]byte, 8)
	rand.Read(id)
	n.absence.stop(t, true)
	_, err := n.propose(ctx, &control.Command{Kind: control.KindBeginSwitch, BeginSwitch: &control.BeginSwitch{ID: hex.EncodeToString(id), Group: g.Name,
		Epoch: t.Epoch, To: heard[0].module, By: "failover", Until: time.Now().Add(switchTimeout).UnixMilli(), Failover: true, Quiet: quiet.Milliseconds()}})
	if err != nil {
		n.absence.stop(t, false)
		if n.ctx.Err() == nil {
			n.log.Warn("a group could not be given to another owner", "group", g.Name, "err", err)
		}
		return
	}
	n.clearAlarm(key)
	n.log.Warn("a group is given to another owner: its own is gone", "group", g.Name, "from", n.moduleName(t.Owner), "to", n.moduleName(heard[0].module))
}

// waited is how many other modules hold what was acknowledged.
func waited(rule *control.GroupRule, others int) int {
	switch rule.Scope {
	case control.ScopeOne, control.ScopeSystem:
		return 1
	case control.ScopeAll:
		return others
	}
	return 0
}

// candidate is a module that could own a group.
type candidate struct {
	module origin.Module
	seq    origin.Seq
	rank   int
}

// candidates asks the group's other holders how far they are: who may follow,
// the one with the most first, and of equals by rank; who did not answer; and how
// much of the stream they have heard of, whoever has it.
func (n *Node) candidates(ctx context.Context, st *control.State, g origin.Group, owner origin.Module) (heard []candidate, unheard []string, told origin.Seq) {
	t := st.Tables()
	rule := t.GroupRule(g)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, m := range t.Holders(g) {
		if m == owner {
			continue
		}
		wg.Go(func() {
			s, err := n.askStanding(ctx, m, g)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				unheard = append(unheard, n.moduleName(m))
				return
			}
			told = max(told, s.Known)
			x, _ := st.Member(m)
			rank := slices.Index(rule.Rank, x.Name)
			if rank < 0 {
				rank = len(rule.Rank)
			}
			if s.Ready && !s.Full && x.Status == control.Active && t.MayOwn(g, m) {
				heard = append(heard, candidate{m, s.Seq, rank})
			}
		})
	}
	wg.Wait()
	slices.Sort(unheard)
	slices.SortFunc(heard, func(a, b candidate) int {
		if a.seq != b.seq {
			return int(min(1, max(-1, int64(b.seq)-int64(a.seq))))
		}
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return int(int64(a.module) - int64(b.module))
	})
	return heard, unheard, told
}

// takeOver is the new owner's part of a failover: the position at which the
// old stream ends, when this module has all that the members in reach hold, and
// the old owner's last lease has run out.
func (n *Node) takeOver(st *control.State, w control.Switch, s origin.Stream) (end origin.Position, ok bool) {
	n.mu.Lock()
	if n.seen.id != w.ID {
		n.seen = seenSwitch{id: w.ID, at: time.Now()}
	}
	seen := n.seen
	n.mu.Unlock()
	// Leases ended to be given when the switch was decided, which was before it
	// was seen here.
	quiet := min(time.Duration(w.Quiet)*time.Millisecond, leaseTime)
	if time.Since(seen.at) < leaseTime-quiet+leaseSlack {
		return end, false
	}
	end, known := n.j.Durable()[s]
	if !known {
		end.Hash = s.Genesis()
	}
	if seen.asked && end.Seq >= seen.most {
		return end, true
	}
	if !seen.asked {
		ctx, cancel := context.WithTimeout(n.ctx, time.Second)
		defer cancel()
		most := n.mostOf(ctx, st, s, w.From)
		n.mu.Lock()
		if n.seen.id == w.ID {
			n.seen.asked, n.seen.most = true, most
		}
		n.mu.Unlock()
		return end, end.Seq >= most
	}
	return end, false
}

// seenSwitch is what a new owner keeps of the failover that it carries out.
type seenSwitch struct {
	id    string
	at    time.Time
	asked bool
	most  origin.Seq // of the old stream, at the members in reach
}

// mostOf is how much of a stream the members in reach hold.
func (n *Node) mostOf(ctx context.Context, st *control.State, s origin.Stream, but origin.Module) origin.Seq {
	var mu sync.Mutex
	var wg sync.WaitGroup
	most := n.j.Durable()[s].Seq
	for _, m := range st.Tables().Holders(s.Group) {
		if m == but || m == n.dir.Number {
			continue
		}
		wg.Go(func() {
			if x, err := n.askStanding(ctx, m, s.Group); err == nil {
				mu.Lock()
				most = max(most, x.Seq)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return most
}

// FailoverCheck implements admin.Engine.
func (e engine) FailoverCheck(ctx context.Context, r admin.SwitchRequest) (*admin.SwitchCheck, error) {
	n := e.n
	g, t, to, err := n.ownedGroup(r.Group, r.To)
	if err != nil {
		return nil, err
	}
	st := n.ctl.state()
	out := &admin.SwitchCheck{Group: g.Name, From: n.moduleName(t.Owner), To: to.Name, Epoch: t.Epoch, Level: admin.Pass}
	add := out.Add
	if to.Number == t.Owner || to.Status != control.Active || !st.Tables().MayOwn(g.Number, to.Number) {
		add(admin.Fail, "target", "name an active member, not the owner and not supplementary, at which a route of the group starts", "%s cannot follow %s", to.Name, out.From)
		return out, nil
	}
	checkLineage(out, to)
	if w, ok := st.Switching(g.Number); ok {
		add(admin.Fail, "switch", "wait for it, or \"drmesh switchover abort "+g.Name+"\"", "%s began a change of owner to %s", w.By, n.moduleName(w.To))
	}
	if _, ok := n.raft.Leader(); ok {
		add(admin.Pass, "quorum", "", "the control group has a leader")
	} else {
		add(admin.Fail, "quorum", "bring more voters into reach; if they are lost for good: \"drmesh failover start "+g.Name+" '"+to.Name+"' --force\"", "the control group has no leader, as seen from %s", n.dir.Module)
	}
	if _, err := n.askStanding(ctx, t.Owner, g.Number); err == nil {
		add(admin.Fail, "owner", "use \"drmesh switchover start "+g.Name+" '"+to.Name+"'\"", "%s answers: it is not gone", out.From)
	} else {
		add(admin.Pass, "owner", "", "%s does not answer", out.From)
	}
	target, err := n.askStanding(ctx, to.Number, g.Number)
	if err != nil {
		add(admin.Fail, "target", "start it", "%s cannot be asked: %v", to.Name, err)
		return out, nil
	}
	if !target.Ready || target.Full {
		add(admin.Fail, "target", "\"drmesh status --dir D\" at "+to.Name+" says why", "%s does not hold the group whole, may not write, or has a full disk", to.Name)
	}
	most := target.Seq
	heard, unheard, told := n.candidates(ctx, st, g.Number, t.Owner)
	for _, c := range heard {
		most = max(most, c.seq)
	}
	if most > target.Seq {
		add(admin.Pass, "lag", "", "%s fetches %d txns from other survivors first", to.Name, most-target.Seq)
	} else {
		add(admin.Pass, "lag", "", "no survivor in reach has more than %s: %d txns", to.Name, t.Base+uint64(target.Seq))
	}
	if len(unheard) > 0 {
		add(admin.Warn, "survivors", "start them first", "%v do not answer, and may hold more", unheard)
	}
	if target.Parked > 0 {
		add(admin.Warn, "parked", "\"drmesh parked ls\" at "+to.Name, "%d records cannot be shown at %s", target.Parked, to.Name)
	}
	checkHooks(out, to.Name, target, control.HookStart, control.HookNotify)
	// As far as anybody in reach knows: the owner's own signed word, and what
	// others told to have.
	known := max(most, n.heardOf(st, st.Handed(g.Number)), told)
	for q := most + 1; q <= known; q++ {
		out.Missing++
		if len(out.MissingDots) < 1000 {
			out.MissingDots = append(out.MissingDots, fmt.Sprintf("%s:%d", n.streamName(st.Handed(g.Number)), q))
		}
	}
	switch {
	case out.Missing > 0:
		add(admin.Warn, "missing", "start who holds them, or give them up with --accept-loss: they come back in a lost-transaction file", "%d txns are known of, and no survivor in reach has them: %s to %d", out.Missing, out.MissingDots[0], known)
	case n.scoped(g.Number):
		add(admin.Pass, "missing", "", "no txn is known of that no survivor has")
	default:
		add(admin.Warn, "missing", "commit_scope one, system or all lets nothing be acknowledged that only its owner has", "the owner may have acknowledged txns of which no survivor knows")
	}
	switch open := st.OpenLost(g.Number); {
	case len(open) > 0:
		l := []string{}
		for _, f := range open {
			l = append(l, fmt.Sprintf("%d in %s at %s", f.Txns-f.Replayed-f.Discarded, f.Name, n.moduleName(f.Module)))
		}
		add(admin.Warn, "lost", "review them with \"drmesh lost show\" there, then replay or discard them", "lost transactions of earlier failovers are open: %s", strings.Join(l, ", "))
	default:
		add(admin.Pass, "lost", "", "no lost transactions of the group are open")
	}
	return out, nil
}

// checkLineage finds a target that control went on without.
func checkLineage(c *admin.SwitchCheck, to control.Member) {
	if to.Behind {
		c.Add(admin.Fail, "lineage", "\"drmesh control follow\" at "+to.Name, "control went on without %s, which has not followed yet", to.Name)
	}
}

// scoped reports whether somebody else has what the owner acknowledged.
func (n *Node) scoped(g origin.Group) bool {
	rule := n.ctl.state().Tables().GroupRule(g)
	return rule != nil && rule.Scope != "" && rule.Scope != control.ScopeLocal && !rule.GoOn
}

// FailoverStart implements admin.Engine: the group gets another owner without
// the one that it had. What no survivor has is given up, and must have been
// accepted.
func (e engine) FailoverStart(ctx context.Context, r admin.SwitchRequest) (*admin.SwitchReceipt, error) {
	admin.ProgressOf(ctx).Step("whether it can be done is looked at")
	check, err := e.FailoverCheck(ctx, r)
	if err != nil {
		return nil, err
	}
	if c := check.First(admin.Fail); c != nil {
		return nil, failure(admin.Precondition, "failover_unsafe", c.Remedy, "%s: %s", c.Check, c.Text)
	}
	if check.Missing > 0 && !r.AcceptLoss {
		return nil, failure(admin.WouldLose, "would_lose", "bring who has them into reach, or give --accept-loss", "%d txns that are known of would be lost, from %s on", check.Missing, check.MissingDots[0])
	}
	return e.changeOwner(ctx, r, check, true)
}
