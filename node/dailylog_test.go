package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drmesh/vosio"
)

// TestDailyLogs writes lines over the days: each day has its log, old ones go,
// and a program's name cannot lead elsewhere.
func TestDailyLogs(t *testing.T) {
	dir := t.TempDir()
	l := dailyLogs{dir: dir}
	line := func(at, program string) dailyLine {
		x, err := time.Parse("2006-01-02 15:04", at)
		if err != nil {
			t.Fatal(err)
		}
		return dailyLine{at: x, calls: vosio.FileCalls{Program: program, File: "%s#d>f", Calls: []vosio.CallCount{{Call: "s$seq_read", Made: 7, Failed: 1}, {Call: "s$open", Made: 1}}}}
	}
	for _, x := range []struct {
		at   string
		lost int64
	}{{"2026-01-01 23:59", 0}, {"2026-01-02 00:00", 3}, {"2026-02-02 10:00", 0}} {
		if err := l.add("Primary."+x.at[:10], line(x.at, "payroll"), x.lost); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"../../etc/x", "", "...", "a b\n"} {
		if err := l.add(programLog(p), line("2026-02-02 10:00", p), 0); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != ".drms Primary.2026-02-02 _.._etc_x.drms a_b_.drms" {
		t.Errorf("logs: %s", got)
	}
	b, err := os.ReadFile(filepath.Join(dir, "Primary.2026-02-02"))
	if err != nil || string(b) != "10:00:00.000 \"payroll\" \"%s#d>f\" s$seq_read=7(1) s$open=1\n" {
		t.Errorf("%q, %v", b, err)
	}
	x := line("2026-01-02 00:00", "payroll")
	if got := x.text(3); !strings.HasPrefix(got, "00:00:00.000 (3 ports were closed faster") {
		t.Errorf("%q", got)
	}
}
