package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"drmesh/mesh"
	"drmesh/mesh/link"
	"drmesh/origin"
	"drmesh/origin/journal"
)

// source serves the journal to the mesh: entries up to a head, heads signed
// here for our own streams and kept for others'.
type source struct{ n *Node }

func (s source) Durable() origin.Vector   { return s.n.j.Durable() }
func (s source) Changed() <-chan struct{} { return s.n.j.Changed() }

func (s source) HashAt(st origin.Stream, q origin.Seq) (origin.Hash, bool, error) {
	if q > s.n.j.Durable()[st].Seq {
		return origin.Hash{}, false, nil
	}
	return s.n.j.HashAt(st, q)
}

// Read implements mesh.Source.
func (s source) Read(st origin.Stream, after origin.Seq, max int) (mesh.Run, error) {
	run := mesh.Run{Stream: st, After: after}
	own := st.Module == s.n.dir.Number
	end, ended := s.n.ctl.state().End(st)
	if ended && after >= end.Seq {
		return run, nil
	}
	var upto origin.Seq
	if !own {
		// Others' streams go out up to a head that they signed: the furthest
		// within max, else the next one.
		seq, head, ok, err := s.n.j.HeadAfter(st, after)
		if err != nil || !ok || seq > s.n.j.Durable()[st].Seq {
			return run, err
		}
		if ended && seq > end.Seq {
			return run, nil // whoever ended it has a head at the end
		}
		upto, run.Head = seq, head
	}
	entries, err := s.n.j.Read(st, after, max)
	if errors.Is(err, journal.ErrPruned) {
		return run, mesh.ErrPruned
	}
	if err != nil || len(entries) == 0 {
		return run, err
	}
	if ended && entries[len(entries)-1].Seq > end.Seq {
		entries = entries[:end.Seq-after]
	}
	last := entries[len(entries)-1]
	if own {
		for _, e := range entries {
			run.Entries = append(run.Entries, e.Bytes)
		}
		if last.Seq == s.n.j.Durable()[st].Seq {
			// The stamp of the last entry is a floor, unless more is sequenced
			// already: that is stamped above it, and not above its own.
			floor := s.n.j.Stamp(st)
			if s.n.j.Tail(st).Seq != last.Seq {
				floor = 0
			}
			b, seq, err := s.n.heads.current(st, floor, 0)
			if err != nil {
				return run, err
			}
			if seq == last.Seq {
				run.Head = b
				return run, nil
			}
		}
		ctl := s.n.ctl.state()
		context, err := s.n.past.context(st, after, entries, s.n.j, func(st origin.Stream) (origin.Seq, bool) {
			end, ok := ctl.End(st)
			return end.Seq, ok
		})
		if err != nil {
			return run, err
		}
		run.Head = s.n.heads.at(st, origin.Position{Seq: last.Seq, Hash: last.Hash}, context)
		return run, nil
	}
	for upto < last.Seq {
		seq, head, ok, err := s.n.j.HeadAfter(st, upto)
		if err != nil {
			return run, err
		}
		if !ok || seq > last.Seq {
			break
		}
		upto, run.Head = seq, head
	}
	for last.Seq < upto {
		more, err := s.n.j.Read(st, last.Seq, max)
		if err != nil {
			return run, err
		}
		if len(more) == 0 {
			return mesh.Run{Stream: st, After: after}, nil
		}
		entries = append(entries, more...)
		last = entries[len(entries)-1]
	}
	for _, e := range entries {
		if e.Seq <= upto {
			run.Entries = append(run.Entries, e.Bytes)
		}
	}
	return run, nil
}

// Heads implements mesh.Source.
func (s source) Heads() [][]byte {
	n := s.n
	var l [][]byte
	mine := map[origin.Stream]bool{}
	for _, st := range n.ownStreams() {
		mine[st] = true
		b, err := n.freshHead(st)
		if err != nil {
			n.log.Error("a head could not be signed", "stream", st.String(), "err", err)
			continue
		}
		l = append(l, b)
	}
	for _, e := range n.j.Durable().Sorted() {
		if mine[e.Stream] {
			continue
		}
		if _, b, ok := n.j.LatestHead(e.Stream); ok {
			l = append(l, b)
		}
	}
	for st, b := range n.idleHeads() {
		if _, here := n.j.Durable()[st]; !here && !mine[st] {
			l = append(l, b)
		}
	}
	return l
}

// freshHead is the newest head of an own stream, at most a second old. When
// the stream is idle its floor is now, so that others' stable prefix moves on.
func (n *Node) freshHead(st origin.Stream) ([]byte, error) {
	ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
	defer cancel()
	floor, at, err := n.eng.Floor(ctx, st)
	if err != nil {
		return nil, err
	}
	if n.j.Durable()[st].Seq != at {
		floor = 0 // what is sequenced and not durable has lower stamps
	}
	b, seq, err := n.heads.current(st, floor, 500*time.Millisecond)
	if err == nil && seq != at && floor != 0 {
		// More became durable meanwhile; its stamps are above the floor too,
		// since the floor was taken in the committer's turn.
		return b, nil
	}
	return b, err
}

// sink takes what the mesh received and verified.
type sink struct{ n *Node }

// Deliver implements mesh.Sink.
func (s sink) Deliver(from origin.Module, run mesh.Run, head origin.Head, release func()) {
	n := s.n
	if n.contradicts(from, head) {
		// Its writer worked on a history that is not ours: nothing of it is
		// taken until that is mended. The run's memory stays charged to the
		// stream, so that no more comes.
		return
	}
	ctl := n.ctl.state()
	if end, ok := ctl.End(run.Stream); ok {
		take, forked := atEnd(end, run.After, run.Chain)
		if forked {
			s.Fork(from, run.Stream, end.Seq, end.Hash, run.Chain[take-1])
			release()
			return
		}
		if head.Position.Seq > end.Seq {
			// What lies beyond an end is of nobody's; the neighbour has not
			// learned of the end yet, or is about to undo it.
			n.pastEnd(ctl, from, run, end.Seq, head.Position.Seq)
			if take == 0 {
				release()
				return
			}
			n.applier.Deliver(run.Stream, run.After, run.Entries[:take], release)
			return
		}
	}
	if err := n.j.KeepHead(run.Stream, head.Position.Seq, run.Head); err != nil {
		n.log.Error("a head could not be kept", "stream", run.Stream.String(), "err", err)
	}
	n.heads.learn(head)
	n.histories.mu.Lock()
	against, err := n.histories.h.Run(run.Stream, run.After, run.Chain)
	n.histories.mu.Unlock()
	if err != nil {
		n.log.Error("histories could not be compared", "stream", run.Stream.String(), "err", err)
	}
	for _, c := range against {
		n.shutOut(from, c)
	}
	n.applier.Deliver(run.Stream, run.After, run.Entries, release)
}

// histories are what writers say of chains, and the chains that are here.
type histories struct {
	mu sync.Mutex
	h  *link.Histories
}

// contradicts compares the chain hashes in a head's context with ours: a writer
// whose context names another history than we hold tells of a fork that we may
// not have met ourselves.
func (n *Node) contradicts(from origin.Module, head origin.Head) bool {
	n.histories.mu.Lock()
	c, ok, err := n.histories.h.Head(&head)
	n.histories.mu.Unlock()
	switch {
	case err != nil:
		n.log.Error("histories could not be compared", "stream", head.Stream.String(), "err", err)
	case !ok:
		n.shutOut(from, c)
	}
	return !ok
}

// shutOut takes nothing more of a stream whose writer worked on a history that
// is not ours. What waits of it would be mixed into what we have.
func (n *Node) shutOut(from origin.Module, c link.Contradiction) {
	n.applier.Shut(c.By)
	sink{n}.Fork(from, c.Stream, c.Seq, c.Ours, c.Theirs)
}

// Head implements mesh.Sink.
func (s sink) Head(from origin.Module, head origin.Head, raw []byte) {
	n := s.n
	if head.Stream.Module == n.dir.Number || n.contradicts(from, head) {
		return
	}
	n.heads.learn(head)
	if d := n.j.Durable()[head.Stream]; d.Seq > 0 && head.Position.Seq <= d.Seq {
		if h, ok, err := n.j.HashAt(head.Stream, head.Position.Seq); err == nil && ok && h != head.Position.Hash {
			s.Fork(from, head.Stream, head.Position.Seq, h, head.Position.Hash)
			return
		}
		if err := n.j.KeepHead(head.Stream, head.Position.Seq, raw); err != nil {
			n.log.Error("a head could not be kept", "stream", head.Stream.String(), "err", err)
		}
	} else if head.Position.Seq == 0 {
		n.keepIdleHead(head.Stream, raw)
	}
}

// Vector implements mesh.Sink.
func (s sink) Vector(from origin.Module, seqs []origin.StreamSeq) {
	s.n.acks.note(from, seqs)
	s.n.settleScopes()
	s.n.withdrawn(from, seqs)
	s.n.proven(from)
}

// Fork implements mesh.Sink.
func (s sink) Fork(from origin.Module, st origin.Stream, seq origin.Seq, ours, theirs origin.Hash) {
	n := s.n
	n.alarm(fmt.Sprintf("fork of %s at %d", n.streamName(st), seq),
		"two histories of one stream: a directory was copied or restored; what each side holds beyond is kept apart", "peer", n.moduleName(from), "ours", ours.String(), "theirs", theirs.String())
	if _, ended := n.ctl.state().End(st); st.Module == n.dir.Number && !ended {
		n.setNotCurrent(st, fmt.Sprintf("module %s holds another history of our stream at %d", n.moduleName(from), seq))
	}
}

// Ahead implements mesh.Sink.
func (s sink) Ahead(from origin.Module, st origin.Stream, theirs origin.Seq) {
	n := s.n
	if _, ended := n.ctl.state().End(st); ended {
		return // it comes from them, or they have not undone yet what lies beyond the end
	}
	n.claimed(from, st, theirs)
}

// Pruned implements mesh.Sink.
func (s sink) Pruned(from origin.Module, st origin.Stream, upto origin.Seq) {
	s.n.needSnapshot(st.Group, fmt.Sprintf("module %s let go of entries of %s that are not here", s.n.moduleName(from), s.n.streamName(st)))
}
