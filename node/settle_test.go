package node

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"drmesh/admin"
	"drmesh/origin"
)

// TestWhoWroteUnderEarlierTablesCounts: what a module wrote before the tables
// took it out of a group may be under way, so that nothing settles without its
// word until it has left and all that it wrote is here.
func TestWhoWroteUnderEarlierTablesCounts(t *testing.T) {
	t.Parallel()
	nodes := bareMesh(t, "%east#m1", "%west#m1", "%north#m1")
	east, west := nodes[0], nodes[1]
	tables := func(modules string) {
		t.Helper()
		applyTables(t, east, fmt.Sprintf("/=record_type include\n =share_name main\n =process_name *\n =source_path %%east#d01>data>*\n =from_modules '%s'\n =to_modules '%s'\n", modules, modules))
	}
	tables("*")
	writable(t, nodes...)
	put(t, west, "main:of_west", "one")
	converged(t, nodes, "main:of_west")
	ofWest := west.ownStreams()[0]
	count := func(want int) []origin.Stream {
		t.Helper()
		l, ok := settlers(east.ctl.state(), ofWest.Group, east.j.Durable())
		if !ok || len(l) != want {
			t.Fatalf("%v have to say that they have it, %v; %d expected", l, ok, want)
		}
		return l
	}
	count(3)
	tables("%east#m1 %north#m1")
	if l := count(3); !slices.Contains(l, ofWest) {
		t.Errorf("%v: west, which wrote before, is not among them", l)
	}
	eventually(t, "west leaves", func() bool {
		err := engine{west}.Leave(context.Background(), false)
		if err != nil && class(err) != admin.Precondition { // acknowledgements are under way
			t.Fatal(err)
		}
		return err == nil
	})
	eventually(t, "west's stream has its end", func() bool {
		_, ended := east.ctl.state().End(ofWest)
		return ended
	})
	if l := count(2); slices.Contains(l, ofWest) {
		t.Errorf("%v: west has left, and all of it is here", l)
	}
	// What is beyond an end and not here yet may be concurrent.
	if l, ok := settlers(east.ctl.state(), ofWest.Group, origin.Vector{}); ok {
		t.Errorf("without west's txns it settles by %v", l)
	}
}
