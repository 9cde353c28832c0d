package node

import (
	"context"
	"errors"
	"time"

	"drmesh/mesh"
	"drmesh/origin"
)

// Txns may come before the tables that they were made under: raft may not reach
// this module, or there is no majority. Neighbours that have the tables give
// them then.

// serveControl gives the control state as it is in force here. The question is
// empty.
func (n *Node) serveControl(context.Context, origin.Module, []byte) ([]byte, error) {
	b, err := n.ctl.state().Snapshot()
	if err == nil && len(b) > mesh.MaxRPC-16 {
		err = errors.New("the control state is too large for a neighbour: raft brings it")
	}
	return b, err
}

// controlFromNeighbours asks for the control state while a txn waits for it; it
// ends with the node.
func (n *Node) controlFromNeighbours() {
	defer n.wg.Done()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.behindOn:
		}
		// Raft mostly brings it in a moment.
		for wait := 200 * time.Millisecond; n.waitsForTables(); wait = min(2*wait, 5*time.Second) {
			select {
			case <-n.ctx.Done():
				return
			case <-time.After(wait):
			}
			if n.waitsForTables() {
				n.askControl()
			}
		}
	}
}

// waitsForTables reports whether a received txn names a policy epoch that
// control has not brought here.
func (n *Node) waitsForTables() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lacksTables > n.ctl.state().Epoch
}

func (n *Node) askControl() {
	for _, p := range n.peers() {
		ctx, cancel := context.WithTimeout(n.ctx, 2*time.Second)
		b, err := n.mesh.Call(ctx, p, "control", nil)
		cancel()
		taken := false
		if err == nil {
			taken, err = n.ctl.take(b)
		}
		switch {
		case taken:
			n.log.Info("control state was taken from a neighbour", "module", n.moduleName(p), "epoch", n.ctl.state().Epoch)
		case err != nil && n.ctx.Err() == nil:
			n.log.Debug("no control state from a neighbour", "module", n.moduleName(p), "err", err)
		}
	}
}

// knowsTables reports whether the tables of a policy epoch are in force here,
// and has them looked for if not.
func (n *Node) knowsTables(epoch uint64) bool {
	if epoch <= n.appliedEpoch() {
		return true
	}
	n.mu.Lock()
	n.lacksTables = max(n.lacksTables, epoch)
	n.mu.Unlock()
	select {
	case n.behindOn <- struct{}{}:
	default:
	}
	return false
}
