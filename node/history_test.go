package node

import (
	"testing"

	"drmesh/mesh"
	"drmesh/origin"
	"drmesh/origin/entry"
)

// TestAWriterOnAnotherHistoryIsHeardFirst: east hears of north's txn, which
// was made on one history of west's stream, before it hears of west's other
// one. The two are not mixed, an alarm names the fork, and others go on.
func TestAWriterOnAnotherHistoryIsHeardFirst(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	east, west, north := nodes[0], nodes[1], nodes[2]
	put(t, east, "main:audit", "one")
	converged(t, nodes, "main:audit")
	info, err := east.eng.Info(must(east.eng.FullPath("main:audit")))
	if err != nil {
		t.Fatal(err)
	}
	ofWest, ofNorth := west.ownStreams()[0], north.ownStreams()[0]
	// What east gets from here on is what this test hands it.
	shut(t, west)
	shut(t, north)
	stamp := east.j.LastStamp()
	txn := func(s origin.Stream, process string, context ...origin.StreamSeq) []byte {
		t.Helper()
		stamp += 1 << 16
		b, err := entry.Append(nil, &origin.Txn{Stamp: stamp, Policy: east.appliedEpoch(), Context: context, Process: process,
			Ops: []origin.Operation{{Kind: origin.Truncate, File: info.ID}}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	deliver := func(s origin.Stream, raw []byte, context ...origin.StreamPosition) {
		chain := east.j.Tail(s).Hash.Next(raw)
		at := origin.Position{Seq: east.j.Tail(s).Seq + 1, Hash: chain}
		sink{east}.Deliver(s.Module, mesh.Run{Stream: s, After: at.Seq - 1, Entries: [][]byte{raw}, Head: []byte("head"), Chain: []origin.Hash{chain}},
			origin.Head{Stream: s, Position: at, Context: context}, func() {})
	}
	was, next := east.j.Tail(ofNorth).Seq, east.j.Tail(ofWest).Seq+1
	here, there := txn(ofWest, "here"), txn(ofWest, "there")
	deliver(ofNorth, txn(ofNorth, "north", origin.StreamSeq{Stream: ofWest, Seq: next}),
		origin.StreamPosition{Stream: ofWest, Position: origin.Position{Seq: next, Hash: east.j.Tail(ofWest).Hash.Next(there)}})
	deliver(ofWest, here)
	eventually(t, "east has west's", func() bool { return east.j.Tail(ofWest).Seq == next })
	if !hasAlarm(t, east, "fork", "%west#m1") {
		t.Errorf("no alarm tells of the fork: %v", status(t, east).Alarms)
	}
	// What comes after it, of others, is let through; north's is not.
	deliver(ofWest, txn(ofWest, "on"))
	eventually(t, "west's next", func() bool { return east.j.Tail(ofWest).Seq == next+1 })
	if got := east.j.Tail(ofNorth).Seq; got != was {
		t.Errorf("north stands at %d here: what it wrote on another history than ours was taken", got)
	}
	put(t, east, "main:more", "goes on")
	accountHolds(t, east)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestRunsNameTheirHistory: what a receiver gets that catches up comes with
// heads that name, with its chain, what the txns were made on, also of runs
// that another head stood for.
func TestRunsNameTheirHistory(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	east, west := nodes[0], nodes[1]
	put(t, east, "main:audit", "e1")
	converged(t, nodes, "main:audit")
	ofEast, ofWest := east.ownStreams()[0], west.ownStreams()[0]
	first := east.j.Tail(ofEast).Seq
	put(t, west, "main:audit", "w1")
	converged(t, nodes, "main:audit")
	on := east.j.Tail(ofWest)
	put(t, east, "main:audit", "e2", "e3", "e4")
	eventually(t, "it is durable", func() bool { return east.j.Durable()[ofEast].Seq == first+3 })
	at := first
	for range 2 {
		run, err := (source{east}).Read(ofEast, at, 1)
		if err != nil || len(run.Entries) != 1 {
			t.Fatal(len(run.Entries), err)
		}
		at++
		head, err := entry.DecodeHead(run.Head)
		if err != nil {
			t.Fatal(err)
		}
		if head.Position.Seq != at || head.Floor != 0 || head.Control != 0 {
			t.Errorf("a head of the past promises something: %+v", head)
		}
		if len(head.Context) != 1 || head.Context[0] != (origin.StreamPosition{Stream: ofWest, Position: on}) {
			t.Errorf("the head at %d names %v, want %v at %d", at, head.Context, ofWest, on.Seq)
		}
		// What it leaves out is not forgotten.
		west.heads.learn(head)
		if got := west.heads.all()[ofEast]; got.Control == 0 {
			t.Error("a head of the past replaced a promise")
		}
	}
	// Somebody else comes in the middle: of what lies before, nothing is said.
	run, err := (source{east}).Read(ofEast, first+1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := entry.DecodeHead(run.Head); err != nil || len(head.Context) > 1 {
		t.Errorf("head %+v, %v", head, err)
	}
}
