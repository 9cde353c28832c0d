package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/conflict/ledger"
	"drmesh/origin"
	"drmesh/origin/journal"
	"drmesh/vosio"
)

// A snapshot travels as chunks, each a kind byte and a body:
//
//	'v' JSON: the streams of the group with positions, contexts and stamps
//	'p' a page of registers and accounts (vosio.Export)
//	'l' a page of ledger entries of the group's shares (ledger.Export)
//
// 'v' comes first, so that the receiver knows what of its own it has to keep:
// it holds that in its journal, and takes it up again after the last page.
type snapshotStream struct {
	Group       origin.Group       `json:"group"`
	Module      origin.Module      `json:"module"`
	Incarnation origin.Incarnation `json:"incarnation"`
	Seq         origin.Seq         `json:"seq"`
	Hash        []byte             `json:"hash"`
	Stamp       origin.Stamp       `json:"stamp"`
	Context     []origin.StreamSeq `json:"context"`
	Head        []byte             `json:"head,omitempty"` // at or below Seq
	HeadSeq     origin.Seq         `json:"head_seq,omitempty"`
}

type snapshotRequest struct {
	Group origin.Group `json:"group"`
}

// serveSnapshot gives a group's state as one moment of the database has it.
func (n *Node) serveSnapshot(ctx context.Context, from origin.Module, req []byte, emit func([]byte) error) error {
	var q snapshotRequest
	if err := json.Unmarshal(req, &q); err != nil {
		return err
	}
	if !slices.Contains(n.ctl.state().Tables().Holders(q.Group), from) {
		return fmt.Errorf("module %s does not hold group %d", n.moduleName(from), q.Group)
	}
	if !slices.Contains(n.ctl.state().Tables().Donors(q.Group, from), n.dir.Number) {
		return fmt.Errorf("module %s has more of group %d than goes to module %s", n.dir.Module, q.Group, n.moduleName(from))
	}
	snap := n.db.NewSnapshot()
	defer snap.Close()
	// What is behind is whole up to its vector: that it waits for a third
	// module keeps nobody else from what it has.
	if state, err := groupState(snap, q.Group); err != nil {
		return err
	} else if state == groupEmpty {
		return errors.New("the group is not whole here")
	}
	// A snapshot sees what is sequenced; nothing leaves that is not flushed.
	if err := n.db.LogData(nil, pebble.Sync); err != nil {
		return err
	}
	saved, err := journal.SavedIn(snap, q.Group)
	if err != nil {
		return err
	}
	var v []snapshotStream
	for _, s := range saved {
		x := snapshotStream{Group: s.Stream.Group, Module: s.Stream.Module, Incarnation: s.Stream.Incarnation,
			Seq: s.Position.Seq, Hash: s.Position.Hash[:], Stamp: s.Stamp, Context: s.Context.Sorted()}
		// The joiner must stamp above every floor that was promised.
		if h, ok := n.heads.all()[s.Stream]; ok {
			x.Stamp = max(x.Stamp, h.Floor)
		}
		if s.Stream.Module == n.dir.Number {
			x.Head, x.HeadSeq = n.heads.at(s.Stream, s.Position, nil), s.Position.Seq
		} else if seq, head, ok := n.j.LatestHead(s.Stream); ok && seq <= s.Position.Seq {
			x.Head, x.HeadSeq = head, seq
		}
		v = append(v, x)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := emit(append([]byte{'v'}, b...)); err != nil {
		return err
	}
	shares := n.sharesOf(q.Group)
	if err := vosio.Export(snap, shares, func(page []byte) error { return emit(append([]byte{'p'}, page...)) }); err != nil {
		return err
	}
	var page []byte
	err = ledger.Export(snap, shares, func(k, v []byte) error {
		page = vosio.AppendPair(page, k, v)
		if len(page) > 256<<10 {
			if err := emit(append([]byte{'l'}, page...)); err != nil {
				return err
			}
			page = page[:0]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(page) > 0 {
		return emit(append([]byte{'l'}, page...))
	}
	return nil
}

func (n *Node) sharesOf(g origin.Group) []string {
	var l []string
	for _, s := range n.ctl.state().Tables().Shares {
		if s.GroupNumber == g {
			l = append(l, s.Name)
		}
	}
	return l
}

// snapshots fetches what groups need; it ends with the node.
func (n *Node) snapshots() {
	defer n.wg.Done()
	t := time.NewTicker(300 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-t.C:
		}
		n.mu.Lock()
		var groups []origin.Group
		for g := range n.need {
			groups = append(groups, g)
		}
		n.mu.Unlock()
		slices.Sort(groups)
		for _, g := range groups {
			n.fetchGroup(g)
		}
	}
}

// fetchGroup takes a group's state from the first neighbour that can give it.
func (n *Node) fetchGroup(g origin.Group) {
	t := n.ctl.state().Tables()
	holders := t.Holders(g)
	key := "group " + n.ctl.state().GroupName(g) + " is not whole here"
	if !slices.Contains(holders, n.dir.Number) {
		n.mu.Lock()
		delete(n.need, g)
		delete(n.ready, g)
		n.mu.Unlock()
		return
	}
	if len(holders) == 1 {
		// Nobody else has it: it begins here.
		if err := setGroup(n.db, g, groupReady); err != nil {
			n.log.Error("group state could not be kept", "err", err)
			return
		}
		n.openGroup(g)
		return
	}
	if err := n.endFollowers(g); err != nil {
		if n.ctx.Err() == nil {
			n.alarm(key, err.Error())
		}
		return
	}
	donors := t.Donors(g, n.dir.Number)
	last := error(nil)
	if len(donors) == 0 {
		last = errors.New("all who hold it have more of it than goes to this module")
	}
	// Those first who have of the supplementary modules' streams what this module
	// has to have; else that is replayed from the journal.
	lacks := func(m origin.Module) int {
		c := 0
		for _, w := range n.ctl.state().Writings {
			s := origin.Stream{Group: g, Module: w.Module, Incarnation: w.Incarnation}
			if w.Group == g && w.Beside && t.AppliesHere(s, n.dir.Number) && !t.AppliesHere(s, m) {
				c++
			}
		}
		return c
	}
	peers := slices.DeleteFunc(n.peers(), func(m origin.Module) bool { return !slices.Contains(donors, m) })
	if len(peers) == 0 && len(donors) > 0 {
		last = errors.New("no data link leads to a module that holds it; name this module among the peers of one, in the control tables' records of type module")
	}
	slices.SortStableFunc(peers, func(a, b origin.Module) int { return lacks(a) - lacks(b) })
	n.mu.Lock()
	if from, ok := n.prefer[g]; ok {
		peers = slices.DeleteFunc(peers, func(m origin.Module) bool { return m != from })
	}
	n.mu.Unlock()
	for _, peer := range peers {
		if last = n.fetchFrom(g, peer); last == nil {
			n.clearAlarm(key)
			return
		}
		if n.ctx.Err() != nil {
			return
		}
	}
	if last != nil {
		n.alarm(key, "its state has not come from a neighbour yet: "+last.Error())
	}
}

func (n *Node) fetchFrom(g origin.Group, peer origin.Module) error {
	req, err := json.Marshal(snapshotRequest{Group: g})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	shares := n.sharesOf(g)
	var in *vosio.Install
	var streams []snapshotStream
	var have, from origin.Vector
	var rewound []func()
	err = n.mesh.FetchSnapshot(ctx, peer, req, func(chunk []byte) error {
		if len(chunk) == 0 {
			return vosio.ErrPage
		}
		switch chunk[0] {
		case 'v':
			if err := json.Unmarshal(chunk[1:], &streams); err != nil {
				return err
			}
			if from, err = vectorOf(g, streams); err != nil {
				return err
			}
			in, err = n.eng.BeginInstall(g, shares, func(h origin.Vector, b *pebble.Batch) error {
				st := n.ctl.state()
				over := overruns(st, g, h)
				have, rewound = h, nil
				if cuts, err := n.followers(st, g, h); err != nil || len(cuts) > 0 {
					return errors.Join(err, errFollowers)
				}
				for _, o := range over {
					if from[o.stream].Seq > o.end.Seq {
						return fmt.Errorf("module %s has not undone yet what lies beyond the end of %s", n.moduleName(peer), n.streamName(o.stream))
					}
					if err := n.keepLost(st, o); err != nil {
						return err
					}
					done, err := n.j.Rewind(b, o.stream, o.end)
					if err != nil {
						return err
					}
					if err := vosio.DropImages(b, o.stream, o.end.Seq); err != nil {
						return err
					}
					rewound = append(rewound, done)
					have[o.stream] = o.end
				}
				if err := n.keeps(have, from, peer); err != nil {
					return err
				}
				old, err := ledger.Remove(n.db, shares)
				if err != nil {
					return err
				}
				if err := ledger.Apply(b, old); err != nil {
					return err
				}
				return setGroup(b, g, groupEmpty)
			})
			if err != nil {
				return err
			}
			for _, done := range rewound {
				done()
			}
			return nil
		case 'p':
			if in == nil {
				return vosio.ErrPage
			}
			return in.Put(chunk[1:])
		case 'l':
			if in == nil {
				return vosio.ErrPage
			}
			var kvs []ledger.KV
			if err := vosio.Pairs(chunk[1:], func(k, v []byte) (err error) {
				kvs, err = ledger.Import(kvs, k, v, shares)
				return err
			}); err != nil {
				return err
			}
			return n.writeLedger(kvs)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if in == nil {
		return errors.New("the donor sent no positions")
	}
	if err := in.Build(); err != nil {
		return err
	}
	contexts := map[origin.Stream]origin.Context{}
	for i := range streams {
		c := origin.Context{}
		c.Advance(streams[i].Context)
		contexts[streams[i].stream()] = c
	}
	if err := in.Replay(have, from, contexts); err != nil {
		return err
	}
	// Where this module is as far or farther, its journal goes on as it is.
	var pos []origin.StreamPosition
	err = in.Finish(func(b *pebble.Batch) error {
		for _, s := range streams {
			n.clock.Observe(s.Stamp)
			st := s.stream()
			if from[st].Seq <= have[st].Seq {
				continue
			}
			if err := n.j.Adopt(b, st, from[st], s.Stamp, contexts[st]); err != nil {
				return err
			}
			pos = append(pos, origin.StreamPosition{Stream: st, Position: from[st]})
		}
		return setGroup(b, g, groupReady)
	})
	if err != nil {
		return err
	}
	for _, s := range streams {
		if s.HeadSeq == s.Seq && len(s.Head) > 0 && s.Module != n.dir.Number && s.Seq > have[s.stream()].Seq {
			if err := n.j.KeepHead(s.stream(), s.HeadSeq, s.Head); err != nil {
				return err
			}
		}
	}
	n.j.MarkDurable(pos)
	n.log.Info("a group's state was taken over", "group", n.ctl.state().GroupName(g), "from", n.moduleName(peer))
	n.openGroup(g)
	n.nudgeLost()
	return nil
}

// vectorOf is the vector of a snapshot of a group.
func vectorOf(g origin.Group, streams []snapshotStream) (origin.Vector, error) {
	v := origin.Vector{}
	for i := range streams {
		s := &streams[i]
		if len(s.Hash) != len(origin.Hash{}) || s.Group != g {
			return nil, vosio.ErrPage
		}
		v[s.stream()] = origin.Position{Seq: s.Seq, Hash: origin.Hash(s.Hash)}
	}
	return v, nil
}

// keeps checks that what this module has beyond a donor's vector continues the
// donor's history, and is in the journal here.
func (n *Node) keeps(have, from origin.Vector, peer origin.Module) error {
	for _, e := range have.Sorted() {
		st, at := e.Stream, from[e.Stream]
		if e.Seq < at.Seq || e.Seq == 0 || e.Position == at {
			continue // nothing to take up again
		}
		h, known, err := n.j.HashAt(st, at.Seq)
		if err != nil {
			return err
		}
		switch {
		case known && at.Seq > 0 && h != at.Hash:
			return fmt.Errorf("module %s has another history of %s than this module", n.moduleName(peer), n.streamName(st))
		case n.j.Pruned(st) > at.Seq:
			return fmt.Errorf("module %s has %s up to %d; this module has it up to %d, and not all of that in its journal: it must come there first", n.moduleName(peer), n.streamName(st), at.Seq, e.Seq)
		}
	}
	return nil
}

func (n *Node) writeLedger(kvs []ledger.KV) error {
	b := n.db.NewBatch()
	defer b.Close()
	if err := ledger.Apply(b, kvs); err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}

func (s *snapshotStream) stream() origin.Stream {
	return origin.Stream{Group: s.Group, Module: s.Module, Incarnation: s.Incarnation}
}

// openGroup follows the journals of a group that is whole now.
func (n *Node) openGroup(g origin.Group) {
	n.applier.Reset(n.j.Tails().Context())
	n.mu.Lock()
	n.ready[g] = true
	delete(n.need, g)
	n.mu.Unlock()
	n.setWants(n.ctl.state())
	if n.mesh != nil {
		n.mesh.Restart(n.ctx)
		n.mesh.Refresh()
	}
	n.poke()
}
