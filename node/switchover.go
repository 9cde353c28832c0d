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

	"github.com/vmihailenco/msgpack/v5"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/origin/clock"
)

// switchTimeout is how long a change of owner may take, if nobody says.
const switchTimeout = 30 * time.Second

// Groups implements admin.Engine.
func (e engine) Groups(context.Context) ([]admin.Group, error) {
	st := e.n.ctl.state()
	out := []admin.Group{}
	for _, g := range st.Groups {
		if st.Tables().GroupRule(g.Number) != nil {
			out = append(out, e.n.group(st, g))
		}
	}
	return out, nil
}

// group is a group as it stands here.
func (n *Node) group(st *control.State, g control.Group) admin.Group {
	rule := st.Tables().GroupRule(g.Number)
	out := admin.Group{Group: g.Name, Mode: g.Mode, Shares: []string{}, CommitScope: control.ScopeLocal, OnTimeout: "fail"}
	if rule.Scope != "" {
		out.CommitScope = rule.Scope
	}
	if rule.GoOn {
		out.OnTimeout = "go_on"
	}
	for _, s := range st.Tables().Shares {
		if s.GroupNumber == g.Number {
			out.Shares = append(out.Shares, s.Name)
		}
	}
	t, ok := st.Term(g.Number)
	if !ok || !st.Owned(g.Number) && !st.Consumed(g.Number) {
		return out
	}
	since := time.UnixMilli(t.Since)
	out.Owner, out.Epoch, out.Since = n.moduleName(t.Owner), t.Epoch, &since
	if st.Owned(g.Number) {
		out.Number = t.Base + uint64(n.j.Durable()[t.Stream()].Seq)
	}
	if w, ok := st.Switching(g.Number); ok {
		x := n.switchView(st, w)
		out.Switching = &x
	}
	for _, m := range st.Tables().Holders(g.Number) {
		if !st.Tables().Supplements(g.Number, m) {
			continue
		}
		x := admin.Supplementary{Module: n.moduleName(m)}
		s := origin.Stream{Group: g.Number, Module: m, Incarnation: st.Incarnation(g.Number, m)}
		if st.Tables().AppliesHere(s, n.dir.Number) {
			at := st.BesideBase(s) + uint64(n.j.Durable()[s].Seq)
			x.Number = &at
		}
		out.Supplementary = append(out.Supplementary, x)
	}
	if len(out.Supplementary) > 0 {
		out.OnRollback = control.RollbackFollow
		if rule.Stay {
			out.OnRollback = control.RollbackStay
		}
	}
	return out
}

func (n *Node) switchView(st *control.State, w control.Switch) admin.Switch {
	x := admin.Switch{ID: w.ID, Group: st.GroupName(w.Group), From: n.moduleName(w.From), To: n.moduleName(w.To), By: w.By,
		Begun: time.UnixMilli(w.Begun), Until: time.UnixMilli(w.Until), State: "stopping"}
	switch {
	case w.Holding():
		x.State = "stop hook"
	case w.End != nil:
		x.State = "draining"
	}
	return x
}

// standing is what a module tells of itself before it becomes the owner of a
// group, or gives it away.
type standing struct {
	Version string     `msgpack:"v"`
	Epoch   uint64     `msgpack:"e"` // policy epoch in force
	Control uint64     `msgpack:"c"`
	Seq     origin.Seq `msgpack:"s"` // durable of the group's present stream
	Parked  int        `msgpack:"p"` // in the group
	Open    int64      `msgpack:"o"` // transactions
	Ready   bool       `msgpack:"r"` // it holds the group whole, and may write it
	Full    bool       `msgpack:"f"`
	Clock   int64      `msgpack:"t"` // unix ms
	Owns    uint64     `msgpack:"w"` // the epoch in which it may write the group at this moment; 0: it may not
	// Up is how many links txns come by there, and Heard when one of them said
	// something last, in ms.
	Up    int   `msgpack:"u"`
	Heard int64 `msgpack:"d"`
	// Known is the greatest seq of the stream that it has heard of, whoever has
	// it.
	Known origin.Seq `msgpack:"k"`
	// Hooks says of each hook of the group why it could not be run there.
	Hooks map[string]string `msgpack:"h,omitempty"`
}

func (n *Node) serveStanding(_ context.Context, _ origin.Module, b []byte) ([]byte, error) {
	var g origin.Group
	if len(b) > 16 {
		return nil, fmt.Errorf("standing: a question of %d bytes", len(b))
	}
	if err := msgpack.Unmarshal(b, &g); err != nil {
		return nil, fmt.Errorf("standing: %w", err)
	}
	s, err := n.standing(g)
	if err != nil {
		return nil, err
	}
	return msgpack.Marshal(s)
}

func (n *Node) standing(g origin.Group) (*standing, error) {
	st := n.ctl.state()
	s := &standing{Version: n.version, Epoch: n.appliedEpoch(), Control: st.Index, Clock: time.Now().UnixMilli(),
		Seq: n.j.Durable()[termStream(st, g)].Seq, Open: n.eng.OpenTransactions()}
	parked, err := n.eng.ParkedList()
	if err != nil {
		return nil, err
	}
	t := st.Tables()
	for _, p := range parked {
		if sh, ok := t.Share(p.Share); ok && sh.GroupNumber == g {
			s.Parked++
		}
	}
	own := ownStream(st, g, n.dir.Number)
	if now, ok := st.Term(g); ok && n.leases.holds(g, now.Epoch) && n.writes(g) {
		s.Owns = now.Epoch
	}
	n.mu.Lock()
	_, bad := n.notCurrent[own]
	_, s.Full = n.alarms[diskFull]
	n.mu.Unlock()
	s.Hooks = n.hookProblems(st, g)
	s.Up, s.Heard = n.linksUp()
	s.Known = n.heardOf(st, termStream(st, g))
	s.Ready = n.isReady(g) && own.Incarnation != 0 && !bad && !n.unproven.Load()
	return s, nil
}

// linksUp counts the links that txns come by here, and tells how long ago one
// of them was heard.
func (n *Node) linksUp() (up int, heard int64) {
	heard = -1
	for _, l := range n.mesh.Links() {
		if !l.Up || l.Paused {
			continue
		}
		up++
		if ago := time.Since(l.LastHeard).Milliseconds(); heard < 0 || ago < heard {
			heard = ago
		}
	}
	return up, heard
}

// heardOf is the greatest seq of a stream that this module knows of: what it
// has, its writer's own signed word, and what others told to have.
func (n *Node) heardOf(st *control.State, s origin.Stream) origin.Seq {
	known := n.j.Durable()[s].Seq
	if h, ok := n.heads.all()[s]; ok {
		known = max(known, h.Position.Seq)
	}
	for _, m := range st.Tables().Holders(s.Group) {
		if a, ok := n.acks.of(m, s); ok {
			known = max(known, a.seq)
		}
	}
	return known
}

// writes reports whether the rules in force let this module do what is the
// owner's alone in a group.
func (n *Node) writes(g origin.Group) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rules == nil {
		return false
	}
	for _, s := range n.rules.shares {
		if s.Group == g && (s.Owner != "" || s.Waiting || s.Takes == nil) {
			return false
		}
	}
	return true
}

// askStanding asks a member; this module itself too.
func (n *Node) askStanding(ctx context.Context, m origin.Module, g origin.Group) (*standing, error) {
	if m == n.dir.Number {
		return n.standing(g)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	q, err := msgpack.Marshal(g)
	if err != nil {
		return nil, err
	}
	b, err := n.mesh.Call(ctx, m, "standing", q)
	if err != nil {
		return nil, err
	}
	s := new(standing)
	return s, msgpack.Unmarshal(b, s)
}

// ownedGroup finds a group that has an owner, and the module that is to be it.
func (n *Node) ownedGroup(group, to string) (g control.Group, t control.Term, target control.Member, err error) {
	st := n.ctl.state()
	g, ok := st.Group(group)
	if !ok || st.Tables().GroupRule(g.Number) == nil {
		return g, t, target, failure(admin.NotFound, "no_group", "\"drmesh group ls\" lists them", "there is no group %s", group)
	}
	if t, ok = st.Term(g.Number); !ok || g.Mode != control.ModeOwned && !st.Consumed(g.Number) {
		return g, t, target, failure(admin.Precondition, "not_owned", "a group with mode owned in the control tables has an owner", "the group %s has no owner: all its modules write it", group)
	}
	target, ok = st.Named(to)
	if !ok {
		return g, t, target, failure(admin.NotFound, "no_module", "\"drmesh module ls\" lists them", "no member is called %s", to)
	}
	return g, t, target, nil
}

// SwitchCheck implements admin.Engine.
func (e engine) SwitchCheck(ctx context.Context, r admin.SwitchRequest) (*admin.SwitchCheck, error) {
	n := e.n
	g, t, to, err := n.ownedGroup(r.Group, r.To)
	if err != nil {
		return nil, err
	}
	out := &admin.SwitchCheck{Group: g.Name, From: n.moduleName(t.Owner), To: to.Name, Epoch: t.Epoch, Level: admin.Pass}
	add := out.Add
	st := n.ctl.state()
	switch {
	case to.Number == t.Owner:
		add(admin.Fail, "target", "name another module", "%s owns the group already", to.Name)
		return out, nil
	case st.Tables().Supplements(g.Number, to.Number):
		add(admin.Fail, "target", "name a module that is not supplementary in the group", "%s writes the group beside its owner", to.Name)
		return out, nil
	case to.Status != control.Active || !st.Tables().MayOriginate(g.Number, to.Number):
		add(admin.Fail, "target", "name an active member at which a route of the group starts", "%s cannot write the group (it is %s, %s)", to.Name, to.Role, to.Status)
		return out, nil
	}
	add(admin.Pass, "target", "", "%s is an active member, and a route of the group starts there", to.Name)
	checkLineage(out, to)
	if w, ok := st.Switching(g.Number); ok {
		add(admin.Fail, "switch", "wait for it, or \"drmesh switchover abort "+g.Name+"\"", "%s began a change of owner to %s", w.By, n.moduleName(w.To))
	}
	if _, ok := n.raft.Leader(); ok {
		add(admin.Pass, "quorum", "", "the control group has a leader")
	} else {
		add(admin.Fail, "quorum", "bring more voters into reach", "the control group has no leader, as seen from %s", n.dir.Module)
	}
	from, ferr := n.askStanding(ctx, t.Owner, g.Number)
	asked := time.Now()
	target, terr := n.askStanding(ctx, to.Number, g.Number)
	if ferr != nil {
		add(admin.Fail, "owner", "start it, or see \"drmesh failover check\"", "%s cannot be asked: %v", out.From, ferr)
	} else {
		add(admin.Pass, "owner", "", "%s answers", out.From)
	}
	if terr != nil {
		add(admin.Fail, "target", "start it", "%s cannot be asked: %v", to.Name, terr)
	}
	if ferr != nil || terr != nil {
		return out, nil
	}
	if !target.Ready {
		add(admin.Fail, "target", "\"drmesh status --dir D\" at "+to.Name+" says why", "%s does not hold the group whole, or may not write", to.Name)
	}
	if target.Full {
		add(admin.Fail, "disk", "make room there", "the disk of %s is full", to.Name)
	}
	switch {
	case target.Up == 0:
		add(admin.Warn, "links", "\"drmesh link ls\" there says why", "no link is up by which txns come to %s", to.Name)
	case target.Heard > staleLink.Milliseconds():
		add(admin.Warn, "links", "\"drmesh link ls\" there", "the links of %s are up, but none was heard for %v", to.Name, time.Duration(target.Heard)*time.Millisecond)
	default:
		add(admin.Pass, "links", "", "txns come to %s by %d links", to.Name, target.Up)
	}
	n.checkLag(ctx, out, g.Number, t, to, from.Seq, target.Seq)
	if target.Parked > 0 {
		add(admin.Warn, "parked", "\"drmesh parked ls\" at "+to.Name, "%d records cannot be shown at %s", target.Parked, to.Name)
	} else {
		add(admin.Pass, "parked", "", "nothing of the group is parked at %s", to.Name)
	}
	switch off := time.Duration(target.Clock-asked.UnixMilli()) * time.Millisecond; {
	case off.Abs() > clock.MaxAhead:
		add(admin.Fail, "clock", "set the clocks", "the clock of %s is %v off that of %s", to.Name, off.Round(time.Millisecond), n.dir.Module)
	case off.Abs() > 500*time.Millisecond:
		add(admin.Warn, "clock", "set the clocks", "the clock of %s is %v off that of %s", to.Name, off.Round(time.Millisecond), n.dir.Module)
	default:
		add(admin.Pass, "clock", "", "the clocks agree")
	}
	if from.Epoch != st.Epoch || target.Epoch != st.Epoch {
		add(admin.Fail, "tables", "wait a moment; \"drmesh status\" shows the epoch of each", "policy epoch %d is in force at %s, %d at %s, %d at %s", st.Epoch, n.dir.Module, from.Epoch, out.From, target.Epoch, to.Name)
	} else {
		add(admin.Pass, "tables", "", "policy epoch %d is in force at both", st.Epoch)
	}
	n.checkOthers(ctx, out, st, g.Number, t.Owner, to.Number)
	if from.Version != target.Version {
		add(admin.Warn, "version", "update the older one", "%s is %s, %s is %s", out.From, from.Version, to.Name, target.Version)
	} else {
		add(admin.Pass, "version", "", "both are %s", target.Version)
	}
	if from.Open > 0 {
		add(admin.Warn, "transactions", "let them end first", "%d transactions are open at %s: those that have not committed when it stops get e$tp_aborted or e$not_owner", from.Open, out.From)
	} else {
		add(admin.Pass, "transactions", "", "no transaction is open at %s", out.From)
	}
	checkHooks(out, out.From, from, control.HookStop, control.HookNotify)
	checkHooks(out, to.Name, target, control.HookStart, control.HookNotify)
	return out, nil
}

const (
	// staleLink is after what silence a link that is up is doubted: heads come
	// when idle, too.
	staleLink = 3 * time.Second
	// drainLook is for how long it is watched whether a module that lacks txns
	// gets them.
	drainLook = 1500 * time.Millisecond
	// drainLong is from when on writes would stand still for long.
	drainLong = 5 * time.Second
)

// checkLag says what the target lacks of what the owner had, whether it comes,
// and how long that takes at the rate at which it does.
func (n *Node) checkLag(ctx context.Context, c *admin.SwitchCheck, g origin.Group, t control.Term, to control.Member, want, have origin.Seq) {
	first, began := have, time.Now()
	for have < want && time.Since(began) < drainLook {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
		if s, err := n.askStanding(ctx, to.Number, g); err == nil {
			have = s.Seq
		}
	}
	took := time.Since(began)
	remedy := "wait with \"drmesh status --wait-for caught-up\" at " + to.Name
	switch {
	case first >= want:
		c.Add(admin.Pass, "lag", "", "%s has all %d txns of the group", to.Name, t.Base+uint64(want))
	case have >= want:
		c.Add(admin.Pass, "lag", "", "%s lacked %d txns of the group, and got them within %v", to.Name, want-first, took.Round(time.Millisecond))
	case have == first:
		c.Add(admin.Fail, "lag", "\"drmesh link ls\" and \"drmesh status\" at "+to.Name+" say why", "%s lacks %d txns of the group, and none came in %v", to.Name, want-have, took.Round(time.Millisecond))
	default:
		drain := time.Duration(float64(took) / float64(have-first) * float64(want-have))
		level := admin.Pass
		if drain > drainLong {
			level = admin.Warn
		}
		c.Add(level, "lag", remedy, "%s lacks %d txns of the group: writes would stand still for %v at this rate", to.Name, want-have, drain.Round(time.Millisecond))
	}
}

// checkOthers finds members that do not have the tables in force, or cannot be
// asked: they do not take part in a change of owner, and learn of it later.
func (n *Node) checkOthers(ctx context.Context, c *admin.SwitchCheck, st *control.State, g origin.Group, but ...origin.Module) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var silent, other []string
	for _, m := range st.Tables().Holders(g) {
		if slices.Contains(but, m) {
			continue
		}
		if x, _ := st.Member(m); x.Behind {
			mu.Lock()
			silent = append(silent, x.Name)
			mu.Unlock()
			continue
		}
		wg.Go(func() {
			s, err := n.askStanding(ctx, m, g)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				silent = append(silent, n.moduleName(m))
			case s.Epoch != st.Epoch:
				other = append(other, fmt.Sprintf("%s (%d)", n.moduleName(m), s.Epoch))
			}
		})
	}
	wg.Wait()
	slices.Sort(silent)
	slices.Sort(other)
	if len(silent) > 0 {
		c.Add(admin.Warn, "members", "\"drmesh module ls\"", "%s cannot be asked, and learn of the change when they are back", strings.Join(silent, " "))
	}
	if len(other) > 0 {
		c.Add(admin.Warn, "tables", "wait a moment; \"drmesh status\" shows the epoch of each", "policy epoch %d is not in force at %s", st.Epoch, strings.Join(other, " "))
	}
}

// SwitchStart implements admin.Engine: it checks, stops the owner, waits until
// the new one has all, and gives the receipt. What does not come to its end in
// time is rolled back by the leader of the control group.
func (e engine) SwitchStart(ctx context.Context, r admin.SwitchRequest) (*admin.SwitchReceipt, error) {
	admin.ProgressOf(ctx).Step("whether it can be done is looked at")
	check, err := e.SwitchCheck(ctx, r)
	if err != nil {
		return nil, err
	}
	if c := check.First(admin.Fail); c != nil {
		return nil, failure(admin.Precondition, "switchover_unsafe", c.Remedy, "%s: %s", c.Check, c.Text)
	}
	return e.changeOwner(ctx, r, check, false)
}

// changeOwner has the control group change a group's owner, and waits for the
// receipt.
func (e engine) changeOwner(ctx context.Context, r admin.SwitchRequest, check *admin.SwitchCheck, failover bool) (*admin.SwitchReceipt, error) {
	n := e.n
	if r.Timeout <= 0 {
		r.Timeout = switchTimeout
	}
	to, _ := n.ctl.state().Named(r.To)
	id := make([]byte, 8)
	rand.Read(id)
	begin := &control.BeginSwitch{ID: hex.EncodeToString(id), Group: check.Group, Epoch: check.Epoch, To: to.Number, By: r.By, Until: time.Now().Add(r.Timeout).UnixMilli(), Failover: failover}
	if _, err := n.propose(ctx, &control.Command{Kind: control.KindBeginSwitch, BeginSwitch: begin}); err != nil {
		if ctx.Err() != nil && n.ctx.Err() == nil {
			n.cancelSwitch(begin.ID, r.By) // it may have begun
			return nil, ctx.Err()
		}
		return nil, precondition(err)
	}
	// The leader rolls it back a moment after its time; who is cut off from the
	// control group does not learn of it.
	wait, cancel := context.WithTimeout(ctx, r.Timeout+n.hookTime(begin.Group)+10*time.Second)
	defer cancel()
	tell := newSwitchSteps(ctx)
	for {
		changed := n.ctl.changed()
		tell.look(n.ctl.state(), begin.ID, n.moduleName)
		if rc, ok := n.receipt(begin.ID); ok {
			if rc.Failed != "" {
				return nil, failure(admin.Failed, "switchover_rolled_back", "the owner is who it was; see \"drmesh switchover status "+check.Group+"\"", "the change of owner was rolled back: %s", rc.Failed)
			}
			n.awaitOwner(wait, to.Number, begin.Group, rc.Epoch)
			n.awaitHooks(wait, begin.ID, tell)
			rc, _ = n.receipt(begin.ID)
			return &rc, nil
		}
		select {
		case <-changed:
		case <-wait.Done():
			if ctx.Err() != nil && n.ctx.Err() == nil {
				// Who asked for it does not want it any more, or is gone: what has
				// not come to its end is undone.
				n.cancelSwitch(begin.ID, r.By)
				return nil, ctx.Err()
			}
			return nil, failure(admin.TimedOut, "switchover_unknown", "\"drmesh switchover status "+check.Group+"\" says how it stands", "the outcome did not come here")
		}
	}
}

// cancelSwitch undoes a change of owner that nobody waits for.
func (n *Node) cancelSwitch(id, by string) {
	_, err := n.propose(n.ctx, &control.Command{Kind: control.KindDropSwitch, DropSwitch: &control.DropSwitch{ID: id, Why: "cancelled: " + by + " went away, or ended it"}})
	if err != nil {
		n.log.Info("a change of owner that nobody waits for was not undone", "id", id, "err", err)
	}
}

// awaitOwner waits a moment until a new owner takes writes: it learns of its
// term as everybody does, and asks for its lease.
func (n *Node) awaitOwner(ctx context.Context, to origin.Module, group string, epoch uint64) {
	g, _ := n.ctl.state().Group(group)
	for range 150 {
		if s, err := n.askStanding(ctx, to, g.Number); err == nil && s.Owns >= epoch {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (n *Node) receipt(id string) (admin.SwitchReceipt, bool) {
	st := n.ctl.state()
	for _, r := range st.Receipts {
		if r.ID == id {
			return n.receiptView(st, r), true
		}
	}
	return admin.SwitchReceipt{}, false
}

// stillFor is how long writes stood still in a change of owner, in ms: not
// while its stop hook ran.
func stillFor(r control.Receipt) int64 {
	hooked := slices.ContainsFunc(r.Hooks, func(h control.HookRun) bool { return h.Hook == control.HookStop })
	if hooked && r.Froze == 0 {
		return 0
	}
	return r.Ended - max(r.Begun, r.Froze)
}

func (n *Node) receiptView(st *control.State, r control.Receipt) admin.SwitchReceipt {
	x := admin.SwitchReceipt{ID: r.ID, Group: st.GroupName(r.Group), From: n.moduleName(r.From), To: n.moduleName(r.To), By: r.By,
		Epoch: r.Epoch + 1, Number: r.Number, Begun: time.UnixMilli(r.Begun), Ended: time.UnixMilli(r.Ended), Still: float64(stillFor(r)), Failed: r.Failed, Failover: r.Failover}
	if r.Lineage != 0 {
		x.Lineage = fmt.Sprintf("%x", r.Lineage)
	}
	for _, h := range r.Hooks {
		x.Hooks = append(x.Hooks, n.hookView(h))
	}
	if r.Failed != "" {
		x.Epoch = r.Epoch
	}
	return x
}

// SwitchHistory implements admin.Engine: the receipts of a group, of all groups
// if it is empty, oldest first.
func (e engine) SwitchHistory(_ context.Context, group string) ([]admin.SwitchReceipt, error) {
	st := e.n.ctl.state()
	out := []admin.SwitchReceipt{}
	for _, r := range st.Receipts {
		if x := e.n.receiptView(st, r); group == "" || x.Group == group {
			out = append(out, x)
		}
	}
	return out, nil
}

// SwitchAbort implements admin.Engine: the owner goes on.
func (e engine) SwitchAbort(ctx context.Context, group, by string) error {
	st := e.n.ctl.state()
	g, ok := st.Group(group)
	if !ok {
		return failure(admin.NotFound, "no_group", "\"drmesh group ls\" lists them", "there is no group %s", group)
	}
	w, ok := st.Switching(g.Number)
	if !ok {
		return failure(admin.Precondition, "no_switch", "\"drmesh switchover status\" lists those that ended", "no change of owner of the group %s is under way", group)
	}
	_, err := e.n.propose(ctx, &control.Command{Kind: control.KindDropSwitch, DropSwitch: &control.DropSwitch{ID: w.ID, Why: "ended by " + by}})
	return precondition(err)
}
