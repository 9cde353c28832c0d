package main

import "testing"

func TestBenchRecordsHaveKeysOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	last := ""
	rec := make([]byte, 16)
	for n := range int64(10_000) {
		for _, keys := range []string{"scattered", "ascending"} {
			benchRecord(rec, n, keys, nil)
			k := keys + string(rec)
			if seen[k] {
				t.Fatalf("record %d has a key that another has: %s", n, k)
			}
			seen[k] = true
			if keys == "ascending" {
				if string(rec) <= last && n > 0 {
					t.Fatalf("key %s comes after %s", rec, last)
				}
				last = string(rec)
			}
		}
	}
}
