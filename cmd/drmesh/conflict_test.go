package main

import (
	"bytes"
	"regexp"
	"slices"
	"testing"
	"text/tabwriter"

	"drmesh/admin"
)

// TestConflictTxns: losers of one transaction are one entry, whatever stands
// between them; claims are none.
func TestConflictTxns(t *testing.T) {
	got := conflictTxns([]admin.Conflict{
		{ID: "1", Txn: "a:1", File: "f", Share: "s", LoserBy: "%a#m"},
		{Kind: "claim", File: "f"},
		{ID: "2", Txn: "b:1", File: "f"},
		{ID: "3", Txn: "a:1", File: "g"},
		{ID: "4", Txn: "a:1", File: "f"},
	})
	if len(got) != 2 || got[0].Txn != "a:1" || got[0].Lost != 3 || got[0].By != "%a#m" || got[0].Share != "s" || got[1].Lost != 1 ||
		!slices.Equal(got[0].Files, []string{"f", "g"}) || !slices.Equal(got[0].Conflicts, []string{"1", "3", "4"}) {
		t.Errorf("%+v", got)
	}
	if l := conflictTxns(nil); l == nil || len(l) != 0 {
		t.Errorf("of nothing: %+v", l)
	}
}

// TestShowConflictParts: what the loser's transaction did stands below it.
func TestShowConflictParts(t *testing.T) {
	var out bytes.Buffer
	tab := &table{tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)}
	showConflict(tab, &admin.Conflict{ID: "77", Txn: "a:1", Parts: []admin.ConflictPart{
		{Kind: "write", File: "f", Address: "1", Data: []byte("one"), Conflict: "77", State: "open"},
		{Kind: "delete", File: "g", Address: "2"},
	}})
	tab.w.Flush()
	if want := regexp.MustCompile(`(?s)transaction +a:1 +all of it:\n +write +f +1 +open 77\n.*"one"\n +delete +g +2 +not lost\n`); !want.MatchString(out.String()) {
		t.Errorf("no %v in\n%s", want, out.String())
	}
}
