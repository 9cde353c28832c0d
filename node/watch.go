package node

import (
	"fmt"
	"time"

	"drmesh/origin"
	"drmesh/vosio"
)

const (
	// watchPause is how soon an event tells what changed.
	watchPause = 250 * time.Millisecond
	// absent is how long a neighbour is not heard of before that is an alarm.
	absent = 5 * time.Second
)

// watched is what the watcher saw last. Its goroutine alone has it.
type watched struct {
	links   map[origin.Module]string
	since   map[origin.Module]time.Time // when a neighbour was heard last
	members map[origin.Module]string
	groups  map[origin.Group]string
	epoch   uint64
	leader  string
	inbox   [3]int64
	begun   bool
}

// watch tells followers of events what changed, and raises an alarm where a
// neighbour is not there: nothing is applied at a module that is down. It ends
// with the node.
func (n *Node) watch() {
	defer n.wg.Done()
	t := time.NewTicker(watchPause)
	defer t.Stop()
	w := watched{links: map[origin.Module]string{}, since: map[origin.Module]time.Time{}, members: map[origin.Module]string{},
		groups: map[origin.Group]string{}}
	for {
		n.look(&w)
		select {
		case <-t.C:
		case <-n.ctx.Done():
			return
		}
	}
}

func (n *Node) look(w *watched) {
	now := time.Now()
	st := n.ctl.state()
	for _, m := range st.Members {
		s := fmt.Sprintf("%s, voter %v", m.Status, m.Voter)
		if old, had := w.members[m.Number]; old != s && (w.begun || had) {
			n.events.Publish("member", m.Name, s)
		}
		w.members[m.Number] = s
	}
	for _, g := range st.Groups {
		s := ""
		if t, ok := st.Term(g.Number); ok && (st.Owned(g.Number) || st.Consumed(g.Number)) {
			s = fmt.Sprintf("owner %s, epoch %d", n.moduleName(t.Owner), t.Epoch)
		}
		if x, ok := st.Switching(g.Number); ok {
			s += ", on its way to " + n.moduleName(x.To)
		}
		if w.begun && w.groups[g.Number] != s {
			n.events.Publish("group", g.Name, s)
		}
		w.groups[g.Number] = s
	}
	if e := n.appliedEpoch(); e != w.epoch {
		if w.begun {
			n.events.Publish("control", fmt.Sprintf("policy epoch %d", e), "other tables are in force")
		}
		w.epoch = e
	}
	leader := ""
	if l, ok := n.raft.Leader(); ok {
		leader = n.moduleName(l)
	}
	if leader != w.leader && w.begun {
		text := "control has a leader"
		if leader == "" {
			text = "control has no leader that is known here"
		}
		n.events.Publish("control", leader, text)
	}
	w.leader = leader

	peers := map[origin.Module]bool{}
	for _, p := range n.peers() {
		peers[p] = true
	}
	states := map[origin.Module]string{}
	heard := map[origin.Module]time.Time{}
	for p := range peers {
		states[p] = "connecting"
	}
	for _, l := range n.mesh.Links() {
		switch {
		case !peers[l.Peer]:
			continue
		case l.Paused:
			states[l.Peer] = "paused"
		case l.Up:
			states[l.Peer] = "up"
		}
		heard[l.Peer] = l.LastHeard
	}
	for p, s := range states {
		if old := w.links[p]; old != s && w.begun {
			n.events.Publish("link", n.moduleName(p), s)
		}
		// It signs its heads once a second, also when nothing is written.
		if s == "paused" {
			delete(w.since, p)
		} else if old, ok := w.since[p]; !ok {
			w.since[p] = now
		} else if heard[p].After(old) {
			w.since[p] = heard[p]
		}
		if since, ok := w.since[p]; ok && now.Sub(since) > absent {
			n.alarm(absentKey(n.moduleName(p)), "it is not heard of since "+since.UTC().Format(time.RFC3339)+": what is written here is not applied there, as far as is known here")
		} else {
			n.clearAlarm(absentKey(n.moduleName(p)))
		}
	}
	for p := range w.links {
		if _, still := states[p]; !still {
			n.clearAlarm(absentKey(n.moduleName(p)))
			delete(w.since, p)
		}
	}
	w.links = states

	var inbox [3]int64
	for _, s := range n.eng.Account() {
		inbox[0] += s.Of(vosio.Opened)
		inbox[1] += s.Of(vosio.Parked)
		inbox[2] += s.Of(vosio.Superseded)
	}
	if inbox != w.inbox {
		if w.begun {
			n.events.Publish("inbox", "", fmt.Sprintf("%d open conflicts, %d parked", inbox[0], inbox[1]))
		}
		w.inbox = inbox
	}
	w.begun = true
}

// absentKey is the alarm of a neighbour that is not heard of.
func absentKey(module string) string { return "module " + module + " is not there" }
