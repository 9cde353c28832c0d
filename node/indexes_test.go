package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// TestAnIndexThatTwoModulesMadeDifferently has two modules that do not hear
// each other make an index of one name, unique at one and with duplicates at
// the other, and write one value at both: whichever definition stands in the
// end, the same records hold their values everywhere, also those that a module
// had taken in while the other definition stood there.
func TestAnIndexThatTwoModulesMadeDifferently(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	cut := func(paused bool) {
		t.Helper()
		if err := (engine{nodes[0]}).SetLink(ctx, admin.LinkChange{A: "%east#m1", B: "%west#m1", Paused: paused}); err != nil {
			t.Fatal(err)
		}
	}
	files := []string{"main:k0", "main:k1"}
	for _, f := range files {
		keyedAt(t, nodes[0], f)
		hasIndexes(t, f, 2, nodes...)
	}
	cut(true)
	for i, f := range files {
		// The unique one is made first in one file, and last in the other.
		for _, at := range []int{i, 1 - i} {
			if err := program(t, nodes[at]).CreateIndex(ctx, f, "late", []record.Component{{Position: 6, Length: 2}}, at*call.IndexDuplicates); err != nil {
				t.Fatal(err)
			}
			made := time.Now()
			eventually(t, "the clock goes on", func() bool { return time.Since(made) > 5*time.Millisecond })
		}
		for at, keys := range [][]string{{"0001", "0002"}, {"0003", "0004", "0005"}} {
			c := program(t, nodes[at])
			port, err := c.OpenPath(ctx, f, call.OpenOptions{Org: call.OrgSequential, IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "id"})
			if err != nil {
				t.Fatal(err)
			}
			for n, key := range keys {
				value := "xx"
				if at == 0 { // unique there
					value = fmt.Sprintf("x%d", n)
				}
				if err := c.KeyedWrite(ctx, port, []byte(key+"c"+value)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	cut(false)
	eventually(t, "all of it everywhere", func() bool { return applied(nodes...) })
	converged(t, nodes)
	sameView(t, nodes)
	for i, want := range []string{
		`"0001cx0" "0002cx1" "0003cxx" "0004cxx" "0005cxx" `,
		`"0001cx0" "0002cx1" "0003cxx" `, // of three that have a value the oldest holds it
	} {
		if got := view(t, nodes[0])[files[i]+" by late"]; got != want {
			t.Errorf("%s by late: %s, not %s", files[i], got, want)
		}
	}
}
