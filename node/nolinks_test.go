package node

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
)

// A joiner that the tables leave without a link to anybody says so, instead of
// waiting silently for what cannot come, and goes on when they give it one.
func TestAJoinerWithoutLinksSaysSo(t *testing.T) {
	t.Parallel()
	nodes := bareMesh(t, "%east#m1", "%west#m1")
	apply := func(text string) {
		t.Helper()
		if _, err := (engine{nodes[0]}).ControlApply(context.Background(), admin.ControlChange{Timeout: 20 * time.Second, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	told := func() bool {
		return slices.ContainsFunc(status(t, nodes[2]).Alarms, func(a string) bool { return strings.Contains(a, "no data link") })
	}
	apply(mainTables + "/=record_type module\n =module %east#m1\n =peers '%west#m1'\n/=record_type module\n =module %west#m1\n =peers '%east#m1'\n")
	writable(t, nodes...)
	nodes = append(nodes, joins(t, nodes[0], "%north#m1"))
	eventually(t, "north says that no link leads to it", told)
	apply(mainTables)
	writable(t, nodes...)
	eventually(t, "the alarm ends", func() bool { return !told() })
}
