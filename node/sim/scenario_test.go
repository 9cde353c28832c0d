package sim

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

func TestScenarios(t *testing.T) {
	list, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(list) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, f := range list {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			s := newStage(newWorld(1))
			defer s.close()
			datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string {
				var b strings.Builder
				if d.Cmd == "tables" {
					return s.apply(d.Input)
				}
				for _, l := range strings.Split(d.Input, "\n") {
					out, failed, err := s.play(l)
					switch {
					case err != nil:
						d.Fatalf(t, "%s: %v", l, err)
					case failed != nil:
						out += " FAILED: " + failed.Error()
					}
					b.WriteString(l)
					if out != "" {
						b.WriteString(": " + out)
					}
					b.WriteString("\n")
				}
				return b.String()
			})
		})
	}
}
