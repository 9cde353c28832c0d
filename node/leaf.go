package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drmesh/mesh"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// A leaf that stays away would have the others keep their journals for it
// forever, and its streams would never settle. So it has a limit: who hears of
// it says so to control now and then, and when nobody did for longer than the
// limit, control's leader removes it, as "module remove" does. Whoever holds
// data warns from half of the limit on.
//
// That a leader has heard nothing proves little just after it began: the mesh
// may have stood still as a whole. It waits then.

const (
	leastLimit = time.Hour        // that a token may give
	leafGrace  = 10 * time.Minute // a leader waits at most so long before it removes a leaf
)

// leaves is the state of watchLeaves, which controlLoop alone calls.
type leaves struct {
	leads time.Time       // since when this module leads control; zero: it does not
	next  time.Time       // control is not told again before
	warn  map[string]bool // keys of alarms raised
}

// peersHeard is when each neighbour was last heard.
func peersHeard(l []mesh.LinkStatus) map[origin.Module]time.Time {
	m := map[origin.Module]time.Time{}
	for _, s := range l {
		m[s.Peer] = s.LastHeard
	}
	return m
}

// leafHeard is when a leaf was last heard of, in unix ms: by this module itself,
// in what the leaf signed, or by who told control.
func (n *Node) leafHeard(m *control.Member, peers map[origin.Module]time.Time) int64 {
	at := m.HeardAt()
	if t := peers[m.Number]; !t.IsZero() {
		at = max(at, t.UnixMilli())
	}
	// What a leaf ahead of the time signed counts as of now.
	now := time.Now().UnixMilli()
	for s, h := range n.heads.all() {
		if s.Module == m.Number {
			at = max(at, min(int64(h.Floor.Millis()), now))
		}
	}
	return at
}

// watchLeaves tells control of leaves that were heard of, warns of those that
// were not, and as the leader removes them.
func (n *Node) watchLeaves(st *control.State) {
	w := &n.leaves
	leads := n.raft != nil && n.raft.IsLeader()
	switch {
	case !leads:
		w.leads = time.Time{}
	case w.leads.IsZero():
		w.leads = time.Now()
	}
	var peers map[origin.Module]time.Time
	keys := map[string]bool{}
	for i := range st.Members {
		m := &st.Members[i]
		if m.Role != control.RoleLeaf || m.Number == n.dir.Number || m.Limit <= 0 || m.Status != control.Joining && m.Status != control.Active {
			continue
		}
		if peers == nil {
			peers = peersHeard(n.mesh.Links())
		}
		at, limit := n.leafHeard(m, peers), time.Duration(m.Limit)*time.Millisecond
		silent := time.Since(time.UnixMilli(at))
		if key := "leaf " + m.Name + " is not heard of"; silent >= limit/2 {
			keys[key] = true
			n.alarm(key, fmt.Sprintf("since %s; at %s it is removed from the mesh, and what it alone has is lost to the others: start it, or let it reach a member",
				time.UnixMilli(at).UTC().Format(time.RFC3339), time.UnixMilli(at).Add(limit).UTC().Format(time.RFC3339)))
		}
		// The leader tells first, the others if it does not hear the leaf.
		every := limit / 5
		if leads {
			every = limit / 10
		}
		switch {
		case time.Now().Before(w.next):
		case at-m.HeardAt() >= every.Milliseconds():
			n.tellControl(m, &control.Command{Kind: control.KindUpdate, Update: &control.Update{Module: m.Number, Heard: at}})
		case leads && silent > limit && time.Since(w.leads) > min(limit/4, leafGrace):
			if n.tellControl(m, &control.Command{Kind: control.KindLeave, Leave: &control.Leave{Module: m.Number, Removed: true, Since: at}}) {
				n.log.Warn("a leaf is removed", "module", m.Name, "unheard", silent.Round(time.Second), "limit", limit)
				n.events.Publish("alarm", "leaf "+m.Name+" is removed", fmt.Sprintf("nobody has heard of it for %v; it may join again with a token", silent.Round(time.Second)))
			}
		}
	}
	for key := range w.warn {
		if !keys[key] {
			n.clearAlarm(key)
		}
	}
	w.warn = keys
}

// tellControl proposes something about a leaf, and not soon again.
func (n *Node) tellControl(m *control.Member, c *control.Command) bool {
	n.leaves.next = time.Now().Add(min(time.Duration(m.Limit)*time.Millisecond/20, 5*time.Second))
	ctx, cancel := context.WithTimeout(n.ctx, 2*time.Second)
	defer cancel()
	_, err := n.propose(ctx, c)
	if refused := (*control.Refused)(nil); errors.As(err, &refused) {
		n.log.Info("control does not follow about a leaf", "module", m.Name, "err", err)
	}
	return err == nil
}
