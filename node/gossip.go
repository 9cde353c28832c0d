package node

import (
	"context"
	"net"

	"github.com/cespare/xxhash/v2"

	"drmesh/mesh/member"
	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// gossip is hints about who is alive. Nothing depends on it but what status
// shows: link state decides, and control knows who is a member.
type gossip struct{ s *member.Members }

type gossipNet struct{ n *Node }

func (g gossipNet) SendDatagram(m origin.Module, b []byte) error { return g.n.net.SendDatagram(m, b) }
func (g gossipNet) OpenStream(ctx context.Context, m origin.Module) (net.Conn, error) {
	return kinded(g).Open(ctx, m, quicnet.Gossip)
}

func (n *Node) openGossip() {
	// The same over restarts, another in a copied directory: two that gossip
	// under one number are told apart, and one that comes back is not.
	print, err := n.dir.fingerprint()
	if err != nil {
		n.alarm("gossip does not run", err.Error())
		return
	}
	s, err := member.Start(member.Config{Self: n.dir.Number, Instance: xxhash.Sum64String(print), Network: gossipNet{n},
		Peers: func() []origin.Module {
			var l []origin.Module
			for _, m := range n.ctl.state().Members {
				if m.Standing() && m.Number != n.dir.Number {
					l = append(l, m.Number)
				}
			}
			return l
		},
		Conflict: func(m origin.Module) {
			n.alarm("module "+n.moduleName(m)+" runs twice", "two processes gossip under its number: a directory was copied")
		},
		Logger: n.log})
	if err != nil {
		n.alarm("gossip does not run", err.Error())
		return
	}
	n.gossip.s = s
	n.net.HandleDatagram(s.Datagram)
	kinded{n}.Handle(quicnet.Gossip, func(_ context.Context, p origin.Module, c net.Conn) { s.Stream(p, c) })
}

func (n *Node) closeGossip() {
	if n.gossip.s != nil {
		n.gossip.s.Shutdown()
	}
}

func (n *Node) gossipAlive() int {
	if n.gossip.s == nil {
		return 0
	}
	return len(n.gossip.s.Members())
}
