package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"drmesh/mesh"
	"drmesh/mesh/control"
	"drmesh/mesh/link"
	"drmesh/origin"
)

// While a module was away its streams may have been given ends, its place to
// another directory, or its disk an older state that the fingerprint does not
// show (a machine put back to a snapshot keeps inodes and times). What it wrote
// then would be acknowledged and lie beyond an end, or fork a stream. So a
// module that has written before asks the neighbours in reach, before its first
// shared write after a start, for the control state and for the newest heads of
// its own streams. Who has no neighbour in reach writes soon all the same.
const (
	comebackReach  = time.Second     // for a connection to a neighbour
	comebackAnswer = 5 * time.Second // for all that those in reach have to say
	comebackRaft   = 200 * time.Millisecond
)

// returns reports whether there is something to ask: this module has written
// shares that others know.
func (n *Node) returns() bool {
	if len(n.peers()) == 0 {
		return false
	}
	for s, p := range n.j.Tails() {
		if s.Module == n.dir.Number && s.Group != 0 && p.Seq > 0 {
			return true
		}
	}
	return false
}

// comeBack asks all neighbours at once, and then lets shared writes begin. It
// ends with the node.
func (n *Node) comeBack() {
	defer n.wg.Done()
	if !n.away.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, comebackAnswer)
	defer cancel()
	var wg sync.WaitGroup
	for _, p := range n.peers() {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer time.AfterFunc(comebackReach, func() {
				if !n.net.PeerStats(p).Connected {
					cancel()
				}
			}).Stop()
			for {
				err := n.askAfterAbsence(ctx, p)
				var said *mesh.RemoteError
				if err == nil || errors.As(err, &said) {
					return
				}
				select {
				case <-ctx.Done():
					n.log.Debug("a neighbour was not asked before the first write", "module", n.moduleName(p), "err", err)
					return
				case <-time.After(20*time.Millisecond + rand.N(20*time.Millisecond)):
				}
			}
		})
	}
	wg.Wait()
	n.away.Store(false)
	n.poke()
}

// askAfterAbsence takes from a neighbour what control has decided meanwhile,
// and looks at its heads of our streams.
func (n *Node) askAfterAbsence(ctx context.Context, p origin.Module) error {
	b, err := n.mesh.Call(ctx, p, "control", nil)
	if err != nil {
		return err
	}
	theirs, err := control.Restore(b)
	if err != nil {
		return fmt.Errorf("control state of %s: %w", n.moduleName(p), err)
	}
	if err := n.reaches(ctx, theirs.Index, comebackRaft); err != nil {
		// Raft has not brought it: there may be no majority.
		if _, err := n.ctl.take(b); err != nil {
			return err
		}
	}
	for _, s := range n.ownStreams() {
		b, err := n.mesh.Call(ctx, p, "own head", origin.AppendStream(nil, s))
		var said *mesh.RemoteError
		if errors.As(err, &said) {
			continue // it has none
		}
		if err != nil {
			return err
		}
		h, err := link.VerifyHead(b, n.key)
		if err != nil || h.Stream != s {
			return fmt.Errorf("a head of %s from %s is not to be used: %w", n.streamName(s), n.moduleName(p), errors.Join(err))
		}
		have := n.j.Tail(s).Seq
		if _, ended := n.ctl.state().End(s); !ended && h.Position.Seq > have {
			n.setNotCurrent(s, fmt.Sprintf("module %s has %d txns of it, this directory %d: it was restored from a copy", n.moduleName(p), h.Position.Seq, have))
		}
	}
	return nil
}

// reaches waits until the control state here is that of index, or for as long
// as wait.
func (n *Node) reaches(ctx context.Context, index uint64, wait time.Duration) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		ch := n.ctl.changed()
		if n.ctl.state().Index >= index {
			return nil
		}
		select {
		case <-ch:
		case <-t.C:
			return errors.New("control is behind")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
