package control

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"drmesh/origin"
)

// TestOneOwnerAnEpoch has several people and modules propose changes of owner,
// late, twice and out of order. Whatever is carried out, each epoch has one
// owner and one stream, no stream goes on behind its end, and the terms' ends
// are one line of numbers.
func TestOneOwnerAnEpoch(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		w.init("%east#m1")
		for _, name := range []string{"%west#m1", "%north#m1"} {
			w.join(name, RoleMember)
		}
		if err := w.apply("/=record_type include\n =share_name main\n =process_name *\n =source_path %east#d01>data>*\n =group g\n\n/=record_type group\n =group g\n =mode owned\n"); err != nil {
			t.Fatal(err)
		}
		group, _ := w.s.Group("g")
		ids := []string{}
		written := map[origin.Stream]origin.Seq{} // the greatest seal of each stream
		for step := range 300 {
			was, _ := w.s.Term(group.Number)
			c := &Command{At: int64(step)}
			id := "none"
			if len(ids) > 0 {
				id = ids[r.IntN(len(ids))]
			}
			if x, ok := w.s.Switching(group.Number); ok && r.IntN(3) > 0 {
				id = x.ID
			}
			// Proposals name what their proposer saw, which may be old.
			seen := w.s.Terms[r.IntN(len(w.s.Terms))]
			if r.IntN(3) > 0 {
				seen = was
			}
			place := PlaceOf(seen.Stream(), origin.Position{Seq: written[seen.Stream()] + origin.Seq(r.IntN(3)), Hash: origin.Hash{1}})
			switch r.IntN(6) {
			case 0, 1:
				id = fmt.Sprintf("s%d", step)
				ids = append(ids, id)
				c.Kind, c.BeginSwitch = KindBeginSwitch, &BeginSwitch{ID: id, Group: "g", Epoch: seen.Epoch, To: origin.Module(1 + r.IntN(3)), By: "kim", Failover: r.IntN(3) == 0}
			case 2:
				c.Kind, c.Seal = KindSeal, &Seal{ID: id, End: place}
			case 3:
				c.Kind, c.EndSwitch = KindEndSwitch, &EndSwitch{ID: id}
			case 4:
				c.Kind, c.EndSwitch = KindEndSwitch, &EndSwitch{ID: id, End: &place}
			case 5:
				c.Kind, c.DropSwitch = KindDropSwitch, &DropSwitch{ID: id, Why: "late"}
			}
			w.try(c)
			now, ok := w.s.Term(group.Number)
			if !ok || now.Epoch != was.Epoch && now.Epoch != was.Epoch+1 {
				t.Fatalf("seed %d, step %d: epoch %d follows %d", seed, step, now.Epoch, was.Epoch)
			}
			if end, ended := w.s.End(now.Stream()); ended {
				t.Fatalf("seed %d, step %d: %v ended at %d and is written again", seed, step, now.Stream(), end.Seq)
			}
			if now.Epoch != was.Epoch {
				end, ended := w.s.End(was.Stream())
				if !ended || now.Base != was.Base+uint64(end.Seq) || now.Owner == was.Owner {
					t.Fatalf("seed %d, step %d: %+v follows %+v, which ended at %d", seed, step, now, was, end.Seq)
				}
				written[was.Stream()] = end.Seq
			}
			owners := map[uint64]Term{}
			streams := map[origin.Stream]uint64{}
			for _, u := range w.s.Terms {
				if v, twice := owners[u.Epoch]; twice {
					t.Fatalf("seed %d, step %d: epoch %d has %+v and %+v", seed, step, u.Epoch, u, v)
				}
				if e, twice := streams[u.Stream()]; twice {
					t.Fatalf("seed %d, step %d: %v is of epochs %d and %d", seed, step, u.Stream(), e, u.Epoch)
				}
				owners[u.Epoch], streams[u.Stream()] = u, u.Epoch
			}
		}
		if last, _ := w.s.Term(group.Number); last.Epoch < 3 {
			t.Errorf("seed %d: only %d epochs came about", seed, last.Epoch)
		}
	}
}
