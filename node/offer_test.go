package node

import (
	"context"
	"testing"

	"drmesh/admin"
)

// TestOfferedLater: the old owner ends after it has rolled back, and before what
// is safe was offered to the new one. It is offered when it is back.
func TestOfferedLater(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	east, west := nodes[0], nodes[1]
	keyedAt(t, east, "main:k")
	writesKeyed(t, east, "main:k", 0, 10, "shared")
	converged(t, nodes, "main:k")
	cutOff(t, east, nodes[1:], true)
	writesKeyed(t, east, "main:k", 10, 15, "lost")
	dir := east.dir.path
	shut(t, east)
	eventually(t, "west owns the group", func() bool {
		_, err := engine{west}.FailoverStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim", AcceptLoss: true})
		return err == nil
	})
	east = reopen(t, dir)
	east.losing.Lock() // nothing is offered
	cutOff(t, east, nodes[1:], false)
	eventually(t, "east has rolled back", func() bool {
		return recordsAt(t, east, "main:k") == 10 && east.isReady(ledgerGroup(east)) && len(lostAt(t, east)) == 1
	})
	l, err := engine{east}.LostFiles(ctx)
	if err != nil || !l[0].Offer || !l[0].Open {
		t.Errorf("before it is offered: %+v, %v", l, err)
	}
	closed := make(chan error)
	go func() { closed <- east.Close() }()
	<-east.ctx.Done()
	east.losing.Unlock()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	east = reopen(t, dir)
	eventually(t, "all was offered", func() bool {
		l, err := engine{east}.LostFiles(ctx)
		return err == nil && len(l) == 1 && l[0].Replays == 5 && !l[0].Offer && !l[0].Open
	})
	nodes[0] = east
	converged(t, nodes, "main:k")
	if n := recordsAt(t, nodes[2], "main:k"); n != 15 {
		t.Errorf("%d records, 15 expected", n)
	}
}
