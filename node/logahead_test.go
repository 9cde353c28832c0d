package node

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// What is written through it is what the file has, zeros behind it, whether
// zeros come before, behind or just where the log grows.
func TestLogAheadWritesWhatItIsGiven(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	name := filepath.Join(t.TempDir(), "000001.log")
	f, err := aheadFS{vfs.Default}.Create(name, "pebble-wal")
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for len(want) < 3<<20 {
		p := make([]byte, 1+r.IntN(200<<10))
		for i := range p {
			p[i] = byte(1 + r.IntN(255))
		}
		want = append(want, p...)
		if n, err := f.Write(p); err != nil || n != len(p) {
			t.Fatal(n, err)
		}
		if r.IntN(4) == 0 {
			if err := f.SyncData(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < len(want) || !bytes.Equal(got[:len(want)], want) {
		t.Fatalf("the file of %d bytes does not begin with the %d that were written", len(got), len(want))
	}
	if rest := bytes.Trim(got[len(want):], "\x00"); len(rest) > 0 {
		t.Errorf("%d bytes behind the log are not zero", len(rest))
	}
}

// A database that is cut off at any time is read to the last flushed batch,
// with zeros behind it.
func TestLogAheadIsReadAfterACut(t *testing.T) {
	mem := vfs.NewCrashableMem()
	r := rand.New(rand.NewPCG(2, 2))
	db, err := pebble.Open("db", &pebble.Options{FS: aheadFS{mem}, MemTableSize: 64 << 10, Logger: pebbleLogger{slog.New(slog.DiscardHandler)}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range 400 {
		key := fmt.Appendf(nil, "%06d", i)
		if err := db.Set(key, make([]byte, 1+r.IntN(2000)), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		if i%40 != 0 {
			continue
		}
		after, err := pebble.Open("db", &pebble.Options{FS: mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: r}), Logger: pebbleLogger{slog.New(slog.DiscardHandler)}})
		if err != nil {
			t.Fatalf("after %d records: %v", i+1, err)
		}
		if _, closer, err := after.Get(key); err != nil {
			t.Errorf("record %d was flushed: %v", i, err)
		} else {
			closer.Close()
		}
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// brokenFile is a file whose flushes fail from some time on, each once.
type brokenFile struct {
	vfs.File
	fail chan error
}

func (b brokenFile) SyncData() error {
	select {
	case err := <-b.fail:
		return err
	default:
		return b.File.SyncData()
	}
}

// The disk tells of a lost block once. If a flush of zeros hears of it, so does
// the log.
func TestLogAheadHidesNoError(t *testing.T) {
	inner, err := vfs.Default.Create(filepath.Join(t.TempDir(), "000001.log"), "pebble-wal")
	if err != nil {
		t.Fatal(err)
	}
	lost := errors.New("a block was lost")
	fail := make(chan error, 1)
	fail <- lost
	l := &aheadFile{File: brokenFile{inner, fail}}
	l.idle.L = &l.mu
	if _, err := l.Write([]byte("record")); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	for l.filling {
		l.idle.Wait()
	}
	l.mu.Unlock()
	for range 2 {
		if err := l.SyncData(); !errors.Is(err, lost) {
			t.Errorf("flush: %v", err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
