package node

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"drmesh/admin"
	"drmesh/origin"
)

// TestBeforeImagesOfAShare: a share of a group without an owner keeps, at every
// module, what its records showed before each change, from when its tables ask for
// it; the history of a record and the journal tell it.
func TestBeforeImagesOfAShare(t *testing.T) {
	nodes := bareMesh(t, "%east#m1", "%west#m1")
	east, west := nodes[0], nodes[1]
	ctx := context.Background()
	tables := "/=record_type include\n =share_name main\n =process_name *\n =source_path %east#d01>data>*\n"
	applyTables(t, east, tables)
	writable(t, nodes...)
	keyedAt(t, east, "main:k")
	hasIndexes(t, "main:k", 2, nodes...)
	c := program(t, east)
	port := opened(t, c, "main:k")
	if err := c.KeyedWrite(ctx, port, []byte("0001a first")); err != nil {
		t.Fatal(err)
	}
	plan, err := engine{east}.ControlPlan(ctx, admin.ControlChange{Text: tables + " =before_images yes\n"})
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(plan.Lines, "\n"); !strings.Contains(s, "before-images are kept") {
		t.Errorf("the plan says %q", s)
	}
	applyTables(t, east, tables+" =before_images yes\n")
	writable(t, nodes...)
	if err := c.KeyedRewrite(ctx, port, nil, []byte("0001a second")); err != nil {
		t.Fatal(err)
	}
	if err := c.KeyedWrite(ctx, port, []byte("0002a other")); err != nil {
		t.Fatal(err)
	}
	if err := c.KeyedDelete(ctx, port, []byte("0001")); err != nil {
		t.Fatal(err)
	}
	converged(t, nodes, "main:k")
	tell := func(l []admin.Change) string {
		var b strings.Builder
		for _, c := range l {
			fmt.Fprintf(&b, "%s %q:", c.Kind, c.Data)
			for _, x := range c.Before {
				fmt.Fprintf(&b, " %v %q", x.Shown, x.Data)
			}
			b.WriteByte('\n')
		}
		return b.String()
	}
	want := `write "0001a first":
write "0001a second": true "0001a first"
delete "": true "0001a second"
`
	for _, n := range nodes {
		l, err := engine{n}.History(ctx, "main:k", "0001")
		if err != nil {
			t.Fatal(err)
		}
		if got := tell(l); got != want {
			t.Errorf("%s tells\n%swant\n%s", n.dir.Module, got, want)
		}
	}
	var l []admin.Change
	err = engine{west}.Journal(ctx, admin.JournalRequest{Share: "main"}, func(c *admin.Change) error {
		if strings.HasPrefix(string(c.Data), "0002") {
			c := *c
			c.Data = append([]byte(nil), c.Data...)
			l = append(l, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tell(l), "write \"0002a other\": false \"\"\n"; got != want {
		t.Errorf("the journal of west tells %q, want %q", got, want)
	}
	// They go with the journal.
	s := east.ownStreams()[0]
	upto := east.j.Durable()[s].Seq
	if l, err := east.eng.Images(origin.Dot{Stream: s, Seq: upto}); err != nil || len(l) == 0 {
		t.Fatalf("%v, %v", l, err)
	}
	t.Setenv("DRMESH_JOURNAL_KEEP", "0")
	eventually(t, "the before-images go with the journal", func() bool {
		if east.j.Pruned(s) < upto {
			return false
		}
		l, err := east.eng.Images(origin.Dot{Stream: s, Seq: upto})
		return err == nil && len(l) == 0
	})
}
