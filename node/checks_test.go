package node

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

func alarms(n *Node) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var l []string
	for k, a := range n.alarms {
		l = append(l, k+": "+a.text)
	}
	return strings.Join(l, "\n")
}

func dailyText(t *testing.T, n *Node) string {
	t.Helper()
	files, _ := filepath.Glob(n.dir.file("log/Primary.*"))
	text := ""
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	return text
}

// TestSettings: what a record of type global_settings has looked at, and has
// stand still.
func TestSettings(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	h := nodes[0].ctl.state().History
	show := string(h[len(h)-1].Source)
	with := func(settings string) {
		t.Helper()
		applyTables(t, nodes[0], "/=record_type global_settings\n =log_statistics_on_close 0\n =check_file_at_open 0\n"+settings+"\n"+show)
	}

	// Nothing is taken in while it is disabled, and all of it after that.
	with(" =disable_drms 1\n =qmon_warn_at 3\n =check_file_at_close 0\n")
	put(t, nodes[0], "main:a", "1", "2", "3", "4", "5")
	eventually(t, "mirroring is off at both", func() bool {
		return strings.Contains(alarms(nodes[0]), "mirroring is off") && strings.Contains(alarms(nodes[1]), "mirroring is off")
	})
	if _, err := content(nodes[1], "main:a"); err == nil {
		t.Error("a file came although mirroring is off")
	}
	if !nodes[0].checkWaiting(nodes[0].ctl.state()) || !strings.Contains(alarms(nodes[0]), "much waits for %west#m1") {
		t.Errorf("more than 3 txns wait: %s", alarms(nodes[0]))
	}
	with(" =qmon_warn_at 3\n =check_file_at_close 1\n =max_file_errors 1\n")
	converged(t, nodes, "main:a")
	eventually(t, "nothing waits, and mirroring is on", func() bool {
		return !nodes[0].checkWaiting(nodes[0].ctl.state()) && !strings.Contains(alarms(nodes[0])+alarms(nodes[1]), "mirroring is off")
	})

	// The counts of a file at one module are changed behind its back.
	f, err := nodes[1].eng.Info(shareMain(nodes[1]).Root + ">a")
	if err != nil {
		t.Fatal(err)
	}
	if err := nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(filepath.Join(nodes[1].dir.path, "db"), &pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := append([]byte("vn"), f.ID[:]...)
	v, closer, err := db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	records, n := binary.Varint(v)
	if records != 5 {
		t.Fatalf("counts of the file: %d records", records)
	}
	v = append(binary.AppendVarint(nil, records+2), v[n:]...)
	closer.Close()
	if err := db.Set(key, v, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	nodes[1] = reopen(t, nodes[1].dir.path)
	writable(t, nodes...)
	eventually(t, "closing the file finds it", func() bool {
		if _, err := content(nodes[0], "main:a"); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(alarms(nodes[0]), "a is not the same at %west#m1: here record size 0, 5 records, ")
	})
	eventually(t, "it is in the daily log", func() bool {
		return strings.Contains(dailyText(t, nodes[0]), "7 records")
	})
	c := &checker{looked: map[string]time.Time{}, errors: map[string]int{}}
	for range 3 {
		nodes[0].found(c, "x", "is odd")
	}
	// All files, whole; the counts are not among that.
	nodes[0].checkShares(c)
	nodes[1].checkShares(c)
	eventually(t, "the share's check is in the daily log", func() bool {
		return strings.Contains(dailyText(t, nodes[0]), "check of share main: equal")
	})
	if s := dailyText(t, nodes[0]); strings.Count(s, "is odd") != 1 {
		t.Errorf("max_file_errors is 1:\n%s", s)
	}
	if s := dailyText(t, nodes[1]); strings.Contains(s, "check of share") {
		t.Errorf("two modules check one share:\n%s", s)
	}
}
