package e2e

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"
)

// TestBenchMirror runs the benchmark in its short form: its words are relied
// on, and it shows no figure unless both modules hold the same.
func TestBenchMirror(t *testing.T) {
	t.Parallel()
	var out, say bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, "bench", "mirror", "--quick", "-o", "json")
	cmd.Stdout, cmd.Stderr = &out, &say
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, say.String())
	}
	var v struct {
		Fsync  float64          `json:"calibration_fsync_us"`
		Pebble float64          `json:"calibration_pebble_per_s"`
		Runs   []map[string]any `json:"runs"`
	}
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if v.Fsync <= 0 || v.Pebble <= 0 || len(v.Runs) != 8 {
		t.Errorf("fsync %v us, bare Pebble %v/s, %d runs", v.Fsync, v.Pebble, len(v.Runs))
	}
	for _, r := range v.Runs {
		for _, k := range []string{"callers", "durability", "keys", "acked_per_s", "durable_both_per_s", "lag_p50_ms", "lag_p99_ms", "wire_bytes_per_change", "drain_per_s", "rss_mb"} {
			if _, ok := r[k]; !ok {
				t.Errorf("%v: no %s", r["run"], k)
			}
		}
		drain, _ := r["drain_per_s"].(float64)
		both, _ := r["durable_both_per_s"].(float64)
		if rss, _ := r["rss_mb"].(float64); drain <= 0 && both <= 0 || rss <= 0 {
			t.Errorf("a run without figures: %v", r)
		}
	}
}

// The benches of the operators' side, as short as can be: their words are
// relied on, and an observer that got nothing is an error of theirs.
func TestBenchOfOperators(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		args []string
		keys []string
	}{
		{[]string{"observe", "--quick"}, []string{"without_us_per_change", "with_us_per_change", "changes"}},
		{[]string{"status", "--modules", "3", "--asks", "5"}, []string{"modules", "asks", "status_p50_ms", "status_p99_ms", "matrix_p50_ms", "matrix_p99_ms"}},
	} {
		var out, say bytes.Buffer
		cmd := exec.CommandContext(t.Context(), binary, append(append([]string{"bench"}, x.args...), "-o", "json")...)
		cmd.Stdout, cmd.Stderr = &out, &say
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s", x.args[0], err, say.String())
		}
		var v map[string]any
		if err := json.Unmarshal(out.Bytes(), &v); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
		for _, k := range x.keys {
			if f, _ := v[k].(float64); f <= 0 {
				t.Errorf("%s: no %s: %s", x.args[0], k, out.String())
			}
		}
	}
}
