package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// roomFS waits where a disk has no room, instead of failing. The storage
// engine ends the process on a log that it cannot write, and the reserve of
// disk.go holds only as long as nobody else fills the disk, and what others
// send fits into it. Nothing that waits here has been acknowledged, and what
// reads goes on; with room, it all goes on by itself. It waits only where the
// system says that it took nothing, or how much: never for a flush, which
// tells of a lost block but once.
type roomFS struct {
	vfs.FS
	// wait returns once it is worth to try again; with false, the error stands.
	wait func() bool
}

// retry does an operation until there is room for it.
func (r roomFS) retry(do func() error) error {
	for {
		err := do()
		if err == nil || !noRoom(err) || !r.wait() {
			return err
		}
	}
}

func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func (r roomFS) file(open func() (vfs.File, error)) (f vfs.File, err error) {
	err = r.retry(func() error {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &roomFile{f, r}, nil
}

// Create implements vfs.FS.
func (r roomFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return r.file(func() (vfs.File, error) { return r.FS.Create(name, category) })
}

// ReuseForWrite implements vfs.FS.
func (r roomFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return r.file(func() (vfs.File, error) { return r.FS.ReuseForWrite(oldname, newname, category) })
}

// Link implements vfs.FS.
func (r roomFS) Link(oldname, newname string) error {
	return r.retry(func() error { return r.FS.Link(oldname, newname) })
}

// Rename implements vfs.FS.
func (r roomFS) Rename(oldname, newname string) error {
	return r.retry(func() error { return r.FS.Rename(oldname, newname) })
}

// roomFile is a file that is written. Its WriteAt does not wait: what fills
// logs ahead can do without.
type roomFile struct {
	vfs.File
	fs roomFS
}

// Write implements vfs.File. What a full disk took of p is not written again.
func (f *roomFile) Write(p []byte) (n int, err error) {
	err = f.fs.retry(func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	return n, err
}

// roomEvery is how often a full disk is tried again.
const roomEvery = 200 * time.Millisecond

// waitForRoom is the wait of a node's storage. It is told once, when it begins.
// When the node is to stop, while it opens or serves, the process ends here:
// the engine cannot close without room either, and what waits was not
// acknowledged.
func waitForRoom(opening, served context.Context, log *slog.Logger) func() bool {
	var mu sync.Mutex // protects last; not held while it waits
	var last time.Time
	return func() bool {
		mu.Lock()
		if time.Since(last) > 10*roomEvery {
			log.Error("the disk is full to the last block: changes wait until there is room, reading goes on")
		}
		last = time.Now()
		mu.Unlock()
		t := time.NewTimer(roomEvery)
		defer t.Stop()
		select {
		case <-opening.Done():
		case <-served.Done():
		case <-t.C:
			return true
		}
		log.Error("the node stops on a full disk; nothing that waits for it was acknowledged")
		os.Exit(1)
		return false
	}
}
