package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"drmesh/mesh/link"
	"drmesh/origin"
)

// A neighbour that announces more of one of our own streams than we have tells
// that this directory was restored from a copy, or it lies, or is broken. Its
// word alone stops nothing for long: the stream's writes wait while it is asked
// for a head beyond our position that bears our own signature. With one the
// stream is not current. Without, an alarm names the neighbour, and writes go
// on; it is asked again when it goes on claiming, and they do not wait again.

const (
	proofTries = 3
	proofTime  = 2 * time.Second // for one answer
	proofAgain = time.Minute     // a claim without proof is looked at again after so long
)

// claim is what a neighbour says of one of our streams. Node.mu protects it.
type claim struct {
	asking bool
	waits  bool      // writes wait for the answer
	again  time.Time // not asked before
}

type claimOf struct {
	by     origin.Module
	stream origin.Stream
}

func claimKey(n *Node, k claimOf) string {
	return fmt.Sprintf("module %s claims more of %s than was written", n.moduleName(k.by), n.streamName(k.stream))
}

// claimed has a neighbour's claim looked into.
func (n *Node) claimed(from origin.Module, s origin.Stream, theirs origin.Seq) {
	k := claimOf{from, s}
	n.mu.Lock()
	c := n.claims[k]
	_, known := n.notCurrent[s]
	if known || c != nil && (c.asking || time.Now().Before(c.again)) {
		n.mu.Unlock()
		return
	}
	first := c == nil
	n.claims[k] = &claim{asking: true, waits: first}
	n.mu.Unlock()
	if first {
		n.poke()
	}
	n.wg.Add(1)
	go n.prove(k, theirs)
}

// prove asks for the proof. It ends with the node.
func (n *Node) prove(k claimOf, theirs origin.Seq) {
	defer n.wg.Done()
	var err error
	for i := range proofTries {
		if i > 0 {
			select {
			case <-n.ctx.Done():
				return
			case <-time.After(time.Duration((100<<i)+rand.IntN(200)) * time.Millisecond):
			}
		}
		if err = n.askProof(k); err == nil || n.ctx.Err() != nil {
			break
		}
	}
	if n.ctx.Err() != nil {
		return // nothing is known
	}
	n.mu.Lock()
	if err == nil {
		delete(n.claims, k)
	} else {
		n.claims[k] = &claim{again: time.Now().Add(proofAgain + rand.N(proofAgain/4))}
	}
	n.mu.Unlock()
	if err != nil {
		n.alarm(claimKey(n, k), fmt.Sprintf("it announces %d txns and gives no proof that this module wrote them: %v; writes go on", theirs, err))
		n.poke()
		return
	}
	n.clearAlarm(claimKey(n, k))
	n.setNotCurrent(k.stream, fmt.Sprintf("module %s has %d txns of it, this directory %d: it was restored from a copy", n.moduleName(k.by), theirs, n.j.Tail(k.stream).Seq))
	n.proven(k.by)
}

var errNoProof = errors.New("its newest head is one that this directory knows of")

// askProof gives nil if the neighbour has a head of ours beyond our position.
func (n *Node) askProof(k claimOf) error {
	ctx, cancel := context.WithTimeout(n.ctx, proofTime)
	defer cancel()
	b, err := n.mesh.Call(ctx, k.by, "own head", origin.AppendStream(nil, k.stream))
	if err != nil {
		return err
	}
	h, err := link.VerifyHead(b, n.key)
	switch {
	case err != nil:
		return err
	case h.Stream != k.stream:
		return fmt.Errorf("a head of %s", n.streamName(h.Stream))
	case h.Position.Seq <= n.j.Tail(k.stream).Seq:
		return errNoProof
	}
	return nil
}

// serveOwnHead gives a module the newest head here of a stream of its own.
func (n *Node) serveOwnHead(_ context.Context, from origin.Module, b []byte) ([]byte, error) {
	if len(b) != origin.StreamSize {
		return nil, fmt.Errorf("a stream of %d bytes", len(b))
	}
	s := origin.DecodeStream(b)
	if s.Module != from {
		return nil, errors.New("it is not the asker's stream")
	}
	_, head, ok := n.j.LatestHead(s)
	if !ok {
		return nil, errors.New("no head of it is here")
	}
	return head, nil
}

// withdrawn drops claims that a neighbour does not make any more.
func (n *Node) withdrawn(from origin.Module, seqs []origin.StreamSeq) {
	n.mu.Lock()
	some := len(n.claims) > 0
	n.mu.Unlock()
	if !some {
		return
	}
	for _, e := range seqs {
		k := claimOf{from, e.Stream}
		n.mu.Lock()
		c := n.claims[k]
		over := c != nil && !c.asking && e.Seq <= n.j.Tail(e.Stream).Seq
		if over {
			delete(n.claims, k)
		}
		n.mu.Unlock()
		if over {
			n.clearAlarm(claimKey(n, k))
		}
	}
}

// claimsSome reports whether a neighbour says that it has more of any stream of
// ours: then it has not shown that our positions are right.
func (n *Node) claimsSome(from origin.Module) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k := range n.claims {
		if k.by == from {
			return true
		}
	}
	return false
}

// awaitsProof reports whether writes to a stream of ours wait for a neighbour's
// proof. n.mu is held.
func (n *Node) awaitsProof(s origin.Stream) bool {
	for k, c := range n.claims {
		if k.stream == s && c.waits {
			return true
		}
	}
	return false
}
