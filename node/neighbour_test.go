package node

import (
	"context"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
)

// TestTablesFromANeighbour: raft does not reach a module any more. It meets a
// txn of tables that it has not heard of, gets them from a neighbour, and
// applies what follows.
func TestTablesFromANeighbour(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	allVote(t, nodes)
	if err := nodes[2].raft.Shutdown(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two of three decide", func() bool { return status(t, nodes[0]).Quorum })
	text := mainTables + "\n/=record_type include\n =share_name more\n =process_name *\n =source_path %east#d01>more>*\n"
	_, err := engine{nodes[0]}.ControlApply(context.Background(), admin.ControlChange{Timeout: 2 * time.Second, Text: text})
	if err != nil && class(err) != admin.Partly {
		t.Fatal(err)
	}
	put(t, nodes[0], "main:a", "under the new tables")
	eventually(t, "north has the tables and the txn", func() bool {
		got, err := content(nodes[2], "main:a")
		return err == nil && got == "under the new tables" && nodes[2].appliedEpoch() == 2
	})
	eventually(t, "north has no alarm of it", func() bool { return len(status(t, nodes[2]).Alarms) == 0 })
}

// TestTakenStatesAreNewerAndOfThisMesh: a neighbour cannot bring an old state,
// or another mesh's, nor rubbish.
func TestTakenStatesAreNewerAndOfThisMesh(t *testing.T) {
	nodes := meshReady(t, "%east#m1")
	p := nodes[0].ctl
	have := p.state()
	same, err := have.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	other := *have
	other.Mesh, other.Index = "another", have.Index+100
	foreign, err := other.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"the same": same, "another mesh's": foreign, "rubbish": []byte("\xdd\xff\xff\xff\xff"), "nothing": nil} {
		if taken, _ := p.take(b); taken || p.state() != have {
			t.Errorf("%s was taken", what)
		}
	}
	newer := *have
	newer.Index = have.Index + 1000
	b, err := newer.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := p.take(b); !taken || err != nil {
		t.Fatalf("a newer state: %v, %v", taken, err)
	}
	// What raft brings of before is known already.
	if o := p.Apply(have.Index+1, nil).(outcome); o.Refused != nil || o.Result.Index != newer.Index || p.state().Index != newer.Index {
		t.Errorf("an entry of before: %+v", o)
	}
	if s, err := control.Restore(same); err != nil || p.Restore(same) != nil || p.state().Index != newer.Index {
		t.Errorf("a snapshot of before took its place: %v, %v", s.Index, err)
	}
}

// TestARemovedModuleIsNotHeard: it is cut off on every link at once, and its
// stream ends where the others have it.
func TestARemovedModuleIsNotHeard(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	allVote(t, nodes)
	put(t, nodes[2], "main:a", "one")
	converged(t, nodes, "main:a")
	cutOff(t, nodes[2], nodes[:2], true)
	put(t, nodes[2], "main:a", "two")
	ctx := context.Background()
	if err := (engine{nodes[0]}).Remove(ctx, "%south#m1"); class(err) != admin.NotFound {
		t.Errorf("remove a module that is not there: %v", err)
	}
	if err := (engine{nodes[0]}).Remove(ctx, "%north#m1"); err != nil {
		t.Fatal(err)
	}
	stream := nodes[2].ownStreams()[0]
	for _, n := range nodes[:2] {
		eventually(t, "the stream has its end at "+n.dir.Module, func() bool {
			end, ok := n.ctl.state().End(stream)
			return ok && end.Seq == n.j.Durable()[stream].Seq
		})
		eventually(t, n.dir.Module+" has no link with it", func() bool {
			links, err := engine{n}.Links(ctx)
			if err != nil {
				return false
			}
			for _, l := range links {
				if l.Peer == "%north#m1" && l.State == "up" {
					return false
				}
			}
			return true
		})
		// A link that was cut is none before its connection has ended too.
		eventually(t, n.dir.Module+" does not ask the removed module", func() bool {
			_, err := n.askVector(ctx, nodes[2].dir.Number)
			return err != nil
		})
		eventually(t, n.dir.Module+" does not answer the removed module", func() bool {
			_, err := nodes[2].askVector(ctx, n.dir.Number)
			return err != nil
		})
	}
	cutOff(t, nodes[2], nil, false)
	if got, err := content(nodes[0], "main:a"); err != nil || got != "one" {
		t.Errorf("east has %q, %v", got, err)
	}
	put(t, nodes[1], "main:b", "goes on")
	converged(t, nodes[:2], "main:b")
}
