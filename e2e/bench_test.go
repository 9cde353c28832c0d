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
