package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"drmesh/origin"
)

// TestALieAboutOurStreamStopsNothing: a neighbour that announces more of a
// stream than its module wrote is asked for a head that proves it; writes wait
// meanwhile, and go on without one. The alarm goes when the claim does.
func TestALieAboutOurStreamStopsNothing(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	east, west := nodes[0], nodes[1]
	put(t, east, "main:a", "one")
	converged(t, nodes, "main:a")
	stream := east.ownStreams()[0]
	_, old, ok := west.j.LatestHead(stream)
	if !ok {
		t.Fatal("west keeps no head of east's stream")
	}
	forged := append([]byte(nil), old...)
	forged[len(forged)-1] ^= 1
	ask := make(chan []byte)
	var asked atomic.Int32
	west.mesh.HandleRPC("own head", func(ctx context.Context, _ origin.Module, _ []byte) ([]byte, error) {
		asked.Add(1)
		select {
		case b := <-ask:
			if b == nil {
				return nil, errors.New("I shall not tell")
			}
			return b, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	east.mesh.SetPaused(west.dir.Number, true) // no true announcement comes between; questions do
	lie := []origin.StreamSeq{{Stream: stream, Seq: 1000}}
	sink{east}.Ahead(west.dir.Number, stream, 1000)
	sink{east}.Ahead(west.dir.Number, stream, 1001) // while it is asked
	eventually(t, "writes wait", func() bool { return waits(east) })
	wrote := make(chan error, 1)
	go func() { wrote <- tryPut(east, "main:a", "two") }()
	ask <- old // true, and no proof
	select {
	case err := <-wrote:
		t.Errorf("a write did not wait for the proof: %v", err)
	default:
	}
	ask <- forged
	ask <- nil
	if err := <-wrote; err != nil {
		t.Errorf("a write after a claim without proof: %v", err)
	}
	if !hasAlarm(t, east, "module %west#m1 claims more of %east#m1.1/main", "1000 txns") || hasAlarm(t, east, "not current") {
		t.Errorf("alarms: %v", status(t, east).Alarms)
	}
	sink{east}.Ahead(west.dir.Number, stream, 1002) // it was asked a moment ago
	if n := asked.Load(); n != 3 {
		t.Errorf("it was asked %d times", n)
	}
	put(t, east, "main:a", "three")
	east.withdrawn(west.dir.Number, lie)
	if !hasAlarm(t, east, "claims more") {
		t.Error("the alarm is gone while the claim stands")
	}
	east.mesh.SetPaused(west.dir.Number, false)
	eventually(t, "an honest announcement ends the alarm", func() bool { return !hasAlarm(t, east, "claims more") })
	converged(t, nodes, "main:a")
}

func waits(n *Node) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rules.Share("main").Waiting
}
