package node

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// smallDisk has room for so many bytes; what is over is not taken, in the
// middle of a write too, as disks do.
type smallDisk struct {
	vfs.FS
	room *atomic.Int64
}

type smallFile struct {
	vfs.File
	room *atomic.Int64
}

func (d smallDisk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if d.room.Load() <= 0 {
		return nil, syscall.ENOSPC
	}
	f, err := d.FS.Create(name, category)
	return smallFile{f, d.room}, err
}

func (d smallDisk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(oldname, newname, category)
	return smallFile{f, d.room}, err
}

func (f smallFile) Write(p []byte) (int, error) {
	left := f.room.Add(-int64(len(p)))
	if left >= 0 {
		return f.File.Write(p)
	}
	takes := max(0, int64(len(p))+left)
	f.room.Add(int64(len(p)) - takes)
	n, err := f.File.Write(p[:takes])
	if err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

// A disk that is full again and again, in the middle of records of the log, of
// tables and of manifests, delays what is written and spoils none of it; and
// what is there can be read meanwhile.
func TestAFullDiskIsWaitedFor(t *testing.T) {
	room, full := new(atomic.Int64), 0
	room.Store(10_000)
	mem := vfs.NewMem()
	var db *pebble.DB
	value := func(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%07d", i), 30) }
	written := new(atomic.Int64)
	waited := make(chan struct{}, 1) // holds one while a wait is at work: they come from several goroutines
	wait := func() bool {
		waited <- struct{}{}
		defer func() { <-waited }()
		full++
		if i := int(written.Load()) - 1; i >= 0 {
			got, closer, err := db.Get(fmt.Appendf(nil, "%06d", i))
			if err != nil || !bytes.Equal(got, value(i)) {
				t.Errorf("record %d cannot be read while the disk is full: %v", i, err)
			} else {
				closer.Close()
			}
		}
		room.Add(7_777)
		return true
	}
	quiet := pebbleLogger{slog.New(slog.DiscardHandler)}
	db, err := pebble.Open("db", &pebble.Options{FS: roomFS{smallDisk{mem, room}, wait}, MemTableSize: 64 << 10, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	const records = 1500
	for i := range records {
		if err := db.Set(fmt.Appendf(nil, "%06d", i), value(i), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		written.Store(int64(i + 1))
	}
	// While it closes nobody reads.
	waited <- struct{}{}
	written.Store(0)
	<-waited
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if full < 50 {
		t.Errorf("the disk was full %d times; that shows little", full)
	}
	after, err := pebble.Open("db", &pebble.Options{FS: mem, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	for i := range records {
		got, closer, err := after.Get(fmt.Appendf(nil, "%06d", i))
		if err != nil || !bytes.Equal(got, value(i)) {
			t.Fatalf("record %d: %v", i, err)
		}
		closer.Close()
	}
}

// What does not wait gets the disk's answer, and how much was written.
func TestAFullDiskThatIsNotWaitedFor(t *testing.T) {
	room := new(atomic.Int64)
	room.Store(5)
	f, err := roomFS{smallDisk{vfs.NewMem(), room}, func() bool { return false }}.Create("log", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := f.Write([]byte("12345678")); n != 5 || !noRoom(err) {
		t.Errorf("%d bytes and %v, want 5 and that there is no room", n, err)
	}
}
