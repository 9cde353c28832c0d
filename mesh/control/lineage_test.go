package control

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"drmesh/origin"
)

// TestRelate: how two logs stand to each other, whoever asks.
func TestRelate(t *testing.T) {
	opposite := map[Relation]Relation{Same: Same, Older: Newer, Newer: Older, Parted: Parted}
	for _, x := range []struct {
		ours, theirs []uint32
		want         Relation
	}{
		{nil, nil, Same},
		{nil, []uint32{7}, Newer},
		{[]uint32{7}, []uint32{7}, Same},
		{[]uint32{7, 9}, []uint32{7}, Older},
		{[]uint32{7}, []uint32{9}, Parted},
		{[]uint32{7, 8}, []uint32{7, 9}, Parted},
		{[]uint32{7}, []uint32{9, 7}, Parted},
	} {
		if got := Relate(x.ours, x.theirs); got != x.want {
			t.Errorf("%v to %v: %d, want %d", x.theirs, x.ours, got, x.want)
		}
		if got := Relate(x.theirs, x.ours); got != opposite[x.want] {
			t.Errorf("%v to %v: %d, want %d", x.ours, x.theirs, got, opposite[x.want])
		}
	}
}

// TestTwoLogsShareNothingNew splits one history into two: one goes on as it was,
// and the other is recovered. Whatever either decides from then on, no term,
// module, group or incarnation of the one is taken for another of the other's.
func TestTwoLogsShareNothingNew(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 2))
		common := newWorld(t)
		common.init("%east#m1")
		for _, name := range []string{"%west#m1", "%north#m1"} {
			common.join(name, RoleMember)
		}
		tables := func(more int) string {
			s := "/=record_type include\n =share_name main\n =process_name *\n =source_path %east#d01>data>*\n =group g\n\n/=record_type group\n =group g\n =mode owned\n"
			for i := range more {
				s += fmt.Sprintf("\n/=record_type include\n =share_name s%d\n =process_name *\n =source_path %%east#d01>s%d>*\n", i, i)
			}
			return s
		}
		if err := common.apply(tables(1)); err != nil {
			t.Fatal(err)
		}
		// churn has owners change, modules join and groups come.
		churn := func(w *world, steps int) {
			groups := 1
			for i := range steps {
				switch r.IntN(8) {
				case 0:
					if len(w.s.Members) < 6 {
						w.join(fmt.Sprintf("%%m%d#m1", w.index), RoleMember)
					}
				case 1:
					groups++
					if err := w.apply(tables(groups)); err != nil {
						t.Fatal(err)
					}
				default:
					term, _ := w.s.Term(1)
					to := w.s.Members[r.IntN(len(w.s.Members))]
					id := fmt.Sprintf("s%d.%d", w.index, i)
					if _, err := w.try(&Command{Kind: KindBeginSwitch, BeginSwitch: &BeginSwitch{ID: id, Group: "g", Epoch: term.Epoch, To: to.Number, By: "kim", Failover: true}}); err != nil {
						continue
					}
					if r.IntN(4) == 0 {
						w.must(&Command{Kind: KindDropSwitch, DropSwitch: &DropSwitch{ID: id, Why: "late"}})
						continue
					}
					end := PlaceOf(term.Stream(), origin.Position{Seq: origin.Seq(r.IntN(9)), Hash: origin.Hash{1}})
					w.must(&Command{Kind: KindEndSwitch, EndSwitch: &EndSwitch{ID: id, End: &end}})
				}
			}
		}
		churn(common, 10)
		split := common.s
		old := &world{t: t, s: split, index: common.index, keys: 1000}
		anew := &world{t: t, s: split, index: common.index, keys: 2000}
		if r.IntN(2) == 0 { // a change of owner is under way
			term, _ := split.Term(1)
			to := origin.Module(1 + uint32(term.Owner)%3)
			anew.try(&Command{Kind: KindBeginSwitch, BeginSwitch: &BeginSwitch{ID: "half", Group: "g", Epoch: term.Epoch, To: to, By: "kim"}})
		}
		anew.must(&Command{Kind: KindRecover, Recover: &Recover{Lineage: MinLineage + uint32(r.IntN(1000)), Module: 2, Known: split.Index, By: "kim"}})
		for _, m := range anew.s.Members {
			if m.Behind && m.Standing() && r.IntN(2) == 0 {
				anew.must(&Command{Kind: KindUpdate, Update: &Update{Module: m.Number, Following: true}})
			}
		}
		churn(old, 40)
		churn(anew, 40)

		owner, _ := split.Term(1)
		streams := map[origin.Stream]bool{}
		modules, groups := map[origin.Module]bool{}, map[origin.Group]bool{}
		for _, u := range old.s.Terms {
			if u.Epoch > owner.Epoch {
				streams[u.Stream()] = true
			}
		}
		for _, w := range old.s.Writings {
			if split.Incarnation(w.Group, w.Module) != w.Incarnation {
				streams[origin.Stream{Group: w.Group, Module: w.Module, Incarnation: w.Incarnation}] = true
			}
		}
		for _, m := range old.s.Members {
			if _, was := split.Member(m.Number); !was {
				modules[m.Number] = true
			}
		}
		for _, g := range old.s.Groups {
			if split.GroupName(g.Number) == "" {
				groups[g.Number] = true
			}
		}
		for _, u := range anew.s.Terms {
			if streams[u.Stream()] {
				t.Errorf("seed %d: both logs have %+v", seed, u)
			}
		}
		for _, w := range anew.s.Writings {
			if s := (origin.Stream{Group: w.Group, Module: w.Module, Incarnation: w.Incarnation}); streams[s] {
				t.Errorf("seed %d: both logs gave %v", seed, s)
			}
		}
		for _, m := range anew.s.Members {
			if modules[m.Number] {
				t.Errorf("seed %d: both logs have a module %d", seed, m.Number)
			}
		}
		for _, g := range anew.s.Groups {
			if groups[g.Number] {
				t.Errorf("seed %d: both logs have a group %d", seed, g.Number)
			}
		}
		if err := anew.s.check(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if last, _ := anew.s.Term(1); last.Epoch == owner.Epoch {
			t.Errorf("seed %d: nothing changed hands", seed)
		}
	}
}
