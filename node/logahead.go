package node

import (
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// aheadFS fills Pebble's log files with zeros a little ahead of where they are
// written. Flushing a block that has been written before takes the disk about
// two thirds of the time of one that makes the file longer, and the flush of
// the log is what a lone caller waits for. Pebble reuses its logs to the same
// end, but the first ones after a start are new, for as long as it takes to
// fill several memtables. It reads zeros behind the last record as the end of
// a log.
type aheadFS struct{ vfs.FS }

const (
	// zeroStep is what one write of zeros holds: a flush of the log that meets
	// it waits for so much more.
	zeroStep = 128 << 10
	// zeroLow bytes ahead or less begin a turn, which ends at zeroHigh.
	zeroLow  = 512 << 10
	zeroHigh = 1 << 20
	// zeroMost is how far a log is filled: logs are cut with their memtable.
	zeroMost = memTable + memTable/8
)

var zeros [zeroStep]byte

// Create implements vfs.FS.
func (a aheadFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := a.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	l := &aheadFile{File: f}
	l.idle.L = &l.mu
	return l, nil
}

// aheadFile is a new log. Pebble writes and flushes it from one goroutine at a
// time.
type aheadFile struct {
	vfs.File

	mu      sync.Mutex // protects what follows; not held across I/O
	idle    sync.Cond  // a write of zeros ended
	at      int64      // where Pebble writes next
	zeroed  int64      // up to here the file is written
	filling bool       // a goroutine fills the file; it ends with its turn, or with Close
	writing bool       // it writes zeros from zeroed on
	ended   bool       // no more zeros: the file is closed, or the disk refused some
	broken  error      // of a flush of zeros
}

// Write implements vfs.File. It waits for zeros only where it would meet them.
func (l *aheadFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	for l.writing && l.at+int64(len(p)) > l.zeroed {
		l.idle.Wait()
	}
	l.at += int64(len(p))
	l.zeroed = max(l.zeroed, l.at)
	if !l.filling && !l.ended && l.zeroed-l.at < zeroLow && l.zeroed < zeroMost {
		l.filling = true
		go l.fill()
	}
	l.mu.Unlock()
	return l.File.Write(p)
}

// SyncData implements vfs.File. The system tells of a block that was lost once,
// to whoever flushes next; if that was the flush of zeros, the log hears of it
// here.
func (l *aheadFile) SyncData() error {
	if err := l.File.SyncData(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// Sync implements vfs.File.
func (l *aheadFile) Sync() error {
	if err := l.File.Sync(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// fill is one turn. A disk that takes no zeros is no concern of the log, which
// then grows as it would have without.
func (l *aheadFile) fill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.ended && l.zeroed-l.at < zeroHigh && l.zeroed < zeroMost {
		// To a block's end, so that the next begins where the disk's blocks do.
		from := l.zeroed
		n := zeroStep - from%zeroStep
		l.writing = true
		l.mu.Unlock()
		_, err := l.File.WriteAt(zeros[:n], from)
		var broken error
		if err == nil {
			broken = l.File.SyncData()
		}
		l.mu.Lock()
		l.writing = false
		if l.broken = broken; err == nil && broken == nil {
			l.zeroed = from + n
		} else {
			l.ended = true
		}
		l.idle.Broadcast()
	}
	l.filling = false
	l.idle.Broadcast()
}

// Close implements vfs.File.
func (l *aheadFile) Close() error {
	l.mu.Lock()
	l.ended = true
	for l.filling {
		l.idle.Wait()
	}
	l.mu.Unlock()
	return l.File.Close()
}
