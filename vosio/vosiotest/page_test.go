package vosiotest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"drmesh/vosio/call"
)

const pageFile = "../../docs/calls.md"

var writePage = flag.Bool("write-page", false, "write docs/calls.md anew")

// checkPage holds docs/calls.md, and the call table, against what worked in
// the transcripts.
func checkPage(t *testing.T, worked map[string]bool) {
	for _, table := range [][]call.Entry{call.Table, call.Unlisted, call.Extensions} {
		for _, e := range table {
			if e.Works != worked[e.Name] {
				t.Errorf("%s: the call table says works=%v, the transcripts say %v", e.Name, e.Works, worked[e.Name])
			}
		}
	}
	want := page(worked)
	if *writePage {
		if err := os.WriteFile(pageFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(pageFile)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the transcripts say (%v): go test ./vosio/vosiotest -run TestTranscripts -write-page", pageFile, err)
	}
}

func page(worked map[string]bool) []byte {
	var b bytes.Buffer
	n, m := 0, 0
	for _, e := range call.Table {
		if n++; worked[e.Name] {
			m++
		}
	}
	fmt.Fprintf(&b, `# The calls

Made by a test from the call table and from what its transcripts exercised (vosio/vosiotest); do not edit.

DRMesh knows %d calls. %d of them work in this release; the others answer e$not_available (31046) and change nothing.
An argument is named by its letter in a request of D/app.sock (see formats/app-socket.md), in the order of the call.

Classes: M changes data, P reads or positions, L locks, C is about ports, T is about transactions.

| call | class | works | arguments |
|---|---|---|---|
`, n, m)
	rows(&b, call.Table, worked)
	b.WriteString("\n## Other calls of VOS\n\nThe list of mirrored calls has them not. What they change is mirrored, as everything.\n\n| call | class | works | arguments |\n|---|---|---|---|\n")
	rows(&b, call.Unlisted, worked)
	b.WriteString("\n## Calls of our own\n\nThey are at the same door, and are not mirrored as calls: what they change is, as everything.\n\n| call | class | works | arguments |\n|---|---|---|---|\n")
	rows(&b, call.Extensions, worked)
	b.WriteString(`
## Stable input

Records that modules append to one sequential file at once stand in the order of their stamps, so what comes from elsewhere may
still have its place before what a program has read already. A port that is opened with io_type 101, ours, reads like INPUT, but
only what stands at the same places at all modules already and stays there: nothing can come any more that belongs before its end.
At the end of that it is told e$end_of_file, and reads on when more has become stable, which takes about a second where nobody
writes, and as long as a module that may write is not reachable. Records that are deleted leave, and rewritten ones change, when
that comes. It goes with access mode SEQUENTIAL, on sequential files; of others it is e$invalid_file_type or
e$invalid_access_mode. In files that are not shared all is stable.
`)
	b.WriteString("\n## Status codes\n\n0 is success. Numbers below 31001 are those of VOS; the others are of DRMesh, above all that VOS is known to use.\n\n| code | name | meaning |\n|---|---|---|\n")
	for _, c := range call.Codes() {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", int(c), c.Name(), c.Text())
	}
	return b.Bytes()
}

func rows(b *bytes.Buffer, table []call.Entry, worked map[string]bool) {
	for _, e := range table {
		yes := "no"
		if worked[e.Name] {
			yes = "yes"
		}
		fmt.Fprintf(b, "| %s | %c | %s | %s |\n", e.Name, e.Class, yes, strings.TrimSpace(e.Args))
	}
}
