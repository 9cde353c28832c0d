package node

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// memTable is the size of one of Pebble's memtables, and of a log.
const memTable = 32 << 20

// pebbleOptions are made for a module's share of a small machine: some 150 MB
// in all. What they open waits for room on a full disk, as wait says.
func pebbleOptions(log *slog.Logger, wait func() bool) *pebble.Options {
	o := &pebble.Options{
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTable,
		FS:                          aheadFS{roomFS{vfs.Default, wait}},
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       24,
		MaxOpenFiles:                512,
		Logger:                      pebbleLogger{log},
	}
	o.CacheSize = 2*memTable + 16<<20
	// Reads of what is not there are spared by filters; so tables may pile up
	// a little before they are merged, and each byte is rewritten less often.
	o.L0CompactionThreshold = 8
	o.LBaseMaxBytes = 256 << 20
	o.Experimental.SpanPolicyFunc = apart
	// Most keys looked up are those of new records, which no table holds.
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

type pebbleLogger struct{ log *slog.Logger }

func (pebbleLogger) Infof(string, ...any)           {}
func (l pebbleLogger) Errorf(f string, args ...any) { l.log.Error(fmt.Sprintf(f, args...)) }
func (l pebbleLogger) Fatalf(f string, args ...any) {
	l.log.Error("storage failed; the node stops so that nothing is acknowledged that may be lost", "err", fmt.Sprintf(f, args...))
	os.Exit(1)
}

// regions are the beginnings of the parts of the key space that never share a
// table: entries, physical order, and mostly index entries, come in rising
// order, so that their tables overlap no older ones, and are left as they are
// when tables of scattered registers are merged. See docs/formats.md.
var regions = [][]byte{[]byte("je"), []byte("jf"), []byte("vp"), []byte("vq"), []byte("vr"), []byte("vs"), []byte("vx"), []byte("vy")}

// apart implements pebble.SpanPolicyFunc: a table ends where a region does.
func apart(start []byte) (p pebble.SpanPolicy, end []byte, err error) {
	for _, r := range regions {
		if bytes.Compare(start, r) < 0 {
			return p, r, nil
		}
	}
	return p, nil, nil
}
