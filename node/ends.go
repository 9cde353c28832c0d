package node

import (
	"fmt"

	"drmesh/mesh"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// atEnd says how many entries of a verified run a module may take of a stream
// that has this end. forked: the run's history is not the one that ended there,
// and nothing of it may be taken.
func atEnd(end origin.Position, after origin.Seq, chain []origin.Hash) (take int, forked bool) {
	if after >= end.Seq {
		return 0, false
	}
	left := end.Seq - after
	if left > origin.Seq(len(chain)) {
		return len(chain), false
	}
	return int(left), chain[left-1] != end.Hash
}

// pastEnd counts txns that came and lie beyond their stream's end. They are of
// nobody's and dropped; the neighbour's other streams go on. In a group with an
// owner a failover leaves such txns, and they are undone: no alarm.
func (n *Node) pastEnd(st *control.State, from origin.Module, run mesh.Run, end, seq origin.Seq) {
	n.beyond.Add(int64(seq - max(end, run.After)))
	if !st.Owned(run.Stream.Group) {
		n.alarm(fmt.Sprintf("txns beyond the end of %s", n.streamName(run.Stream)),
			fmt.Sprintf("it ended at %d, and %d was offered: what lies beyond is dropped", end, seq), "peer", n.moduleName(from))
	}
}
