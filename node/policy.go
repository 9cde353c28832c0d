package node

import (
	"drmesh/conflict"
)

// policy is how the versions of a share's records are chosen between, under
// the tables of a policy epoch. Txns wait until their epoch is known here, so
// the answer is the same at all modules. Any goroutine may call it.
func (n *Node) policy(share string, epoch uint64) conflict.Policy {
	p := n.ctl.state().Policy(share, epoch)
	k, ok := conflict.KindNamed(p.Policy)
	if !ok {
		// Control refuses what is not known; a newer version's word says so
		// here, once its tables are known to be newer.
		return conflict.Policy{}
	}
	return conflict.Policy{Kind: k, Rank: p.Rank}
}
