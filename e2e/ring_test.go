package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"drmesh/admin"
)

// TestRingOfFive has all five modules of a ring write at the same time, each
// linked to two neighbours only: every record is applied once per module, and
// nobody receives a txn's bytes more than 1.05 times, although each module
// could get each txn from two sides. Promise 2: once.
func TestRingOfFive(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	const each = 20_000 // 100,000 txns in all
	tables := mainShare + " =durability     interval\n"
	for i, a := range names {
		left, right := names[(i+len(names)-1)%len(names)], names[(i+1)%len(names)]
		tables += fmt.Sprintf("/=record_type    module\n =module         %%%s#m1\n =peers          %%%s#m1 %%%s#m1\n", a, left, right)
	}
	n := testMesh(t, tables, names...)
	n.keyedFile(t, "a", "main:f")
	n.caughtUp(t, names...)
	var before []traffic
	for _, a := range names {
		before = append(before, n.traffic(t, a))
	}

	var loads sync.WaitGroup
	errs := make([]error, len(names))
	for i, a := range names {
		in := filepath.Join(n.dir, a+".txt")
		var b bytes.Buffer
		for k := range each {
			fmt.Fprintf(&b, "%s%07d one of the records that module %s has written into the file\n", a, k*7919%each, a)
		}
		if err := os.WriteFile(in, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		loads.Go(func() {
			var say bytes.Buffer
			cmd := exec.CommandContext(t.Context(), binary, "file", "load", "main:f", "--from", in, "--append", "--dir", a)
			cmd.Dir, cmd.Stderr = n.dir, &say
			if err := cmd.Run(); err != nil {
				errs[i] = fmt.Errorf("load at %s: %w: %s", a, err, say.String())
			}
		})
	}
	loads.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	n.caughtUp(t, names...)

	var bytesOfAll int64 // of all txns together: the least that any module received, and its own share
	var after []traffic
	for _, a := range names {
		after = append(after, n.traffic(t, a))
	}
	const others = each * 4
	first := ""
	for i, a := range names {
		got := after[i].minus(before[i])
		if got.txns < others || float64(got.txns) > 1.05*others {
			t.Errorf("%s received %d txns, the others made %d", a, got.txns, others)
		}
		if i == 0 || got.bytes < bytesOfAll {
			bytesOfAll = got.bytes
		}
		digest := n.drmesh(t, "file", "digest", "main:f", "--dir", a)
		if first == "" {
			first = digest
		}
		if f := strings.Fields(digest); digest != first || f[1] != fmt.Sprint(each*len(names)) {
			t.Errorf("%s: digest %s, at %s %s", a, digest, names[0], first)
		}
		var acc admin.Account
		if err := json.Unmarshal([]byte(n.drmesh(t, "account", "--scan", "-o", "json", "--dir", a)), &acc); err != nil {
			t.Fatal(err)
		}
		if acc.Duplicates != 0 || len(acc.Findings) != 0 || !acc.Scanned {
			t.Errorf("%s: %d dots applied twice, findings %v", a, acc.Duplicates, acc.Findings)
		}
		t.Logf("%s received %d txns, %d bytes; dropped %d", a, got.txns, got.bytes, got.dropped)
	}
	for i, a := range names {
		if got := after[i].minus(before[i]).bytes; float64(got) > 1.05*float64(bytesOfAll) {
			t.Errorf("%s received %d bytes, another module only %d", a, got, bytesOfAll)
		}
	}
}

// traffic is what a module received from its neighbours.
type traffic struct{ txns, bytes, dropped int64 }

func (a traffic) minus(b traffic) traffic {
	return traffic{a.txns - b.txns, a.bytes - b.bytes, a.dropped - b.dropped}
}

func (n *nodes) traffic(t *testing.T, name string) traffic {
	t.Helper()
	var links []admin.Link
	var s admin.Status
	if err := json.Unmarshal([]byte(n.drmesh(t, "link", "ls", "-o", "json", "--dir", name)), &links); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(n.drmesh(t, "status", "-o", "json", "--dir", name)), &s); err != nil {
		t.Fatal(err)
	}
	x := traffic{dropped: s.Duplicates}
	for _, l := range links {
		x.txns += l.Received
		x.bytes += l.ReceivedBytes
	}
	return x
}
