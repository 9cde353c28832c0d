package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"drmesh/vosio/call"
)

// smallDisk mounts a disk of a few MB at a directory.
func smallDisk(t *testing.T, dir string, megabytes int) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("drmesh-test", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%dm,mode=0700", megabytes))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("only who may mount a small disk can fill it: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill takes the room of a disk but for so many bytes.
func fill(t *testing.T, file string, leave int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(file, &fs); err != nil {
			t.Fatal(err)
		}
		free := int64(fs.Bavail)*int64(fs.Bsize) - leave
		if free <= 0 && leave > 0 {
			return
		}
		_, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// until polls a condition that another process has to meet.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not come in time: %s", what)
		}
	}
}

// TestADiskThatIsReallyFull fills the disk of the module by which two others
// hear each other. While there is a reserve, its programs get e$disk_full, and
// reading, relaying and acknowledging go on. To the last block, it can be killed
// and started: it is there again once there is room, and writes go on by
// themselves. Nothing is lost.
func TestADiskThatIsReallyFull(t *testing.T) {
	t.Parallel()
	n := newNodes(t, "a", "b", "c")
	smallDisk(t, filepath.Join(n.dir, "b"), 200)
	n.join(t, "a", "b", "c")
	n.apply(t, "a", mainShare)
	n.caughtUp(t, "a", "b", "c")
	ballast := filepath.Join(n.dir, "b", "ballast")
	ctx := t.Context()
	n.keyedFile(t, "a", "main:f")
	n.caughtUp(t, "a", "b", "c")
	// b alone is between the others.
	n.drmesh(t, "link", "pause", "%a#m1", "%c#m1", "--dir", "a")
	n.drmesh(t, "link", "pause", "%c#m1", "%a#m1", "--dir", "c")
	write := func(at string, from, records int) error {
		p, err := n.open(ctx, at, "main:f", call.OpenOptions{IO: call.Append, Access: call.Sequential})
		if err != nil {
			return err
		}
		defer p.conn.Close()
		for i := range records {
			if err := p.SeqWrite(ctx, p.n, fmt.Appendf(nil, "%s%07d written", at, from+i)); err != nil {
				return err
			}
		}
		return nil
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	records := func(at string) int { return strings.Count(n.drmesh(t, "file", "dump", "main:f", "--dir", at), "\n") }
	must(write("a", 0, 50))
	must(write("b", 0, 50))
	must(write("c", 0, 50))
	n.caughtUp(t, "a", "b", "c")

	fill(t, ballast, 40<<20)
	until(t, "b says that it is full", func() bool { return errors.Is(write("b", 1000, 1), call.DiskFull) })
	must(write("a", 50, 50))
	must(write("c", 50, 50))
	n.caughtUp(t, "a", "c") // each other's, by way of b, which acknowledges
	had := records("c")
	if at := records("a"); at != had {
		t.Errorf("a has %d records, c %d", at, had)
	}
	until(t, "b has what the others wrote", func() bool { return records("b") == had })

	fill(t, ballast, 0)
	// Logs are written ahead: what comes has to meet their end.
	wrote := 100
	full := func(times int) {
		t.Helper()
		until(t, "b says that it waits for room", func() bool {
			if times == 1 && wrote < 20_000 {
				must(write("a", wrote, 200))
				wrote += 200
			}
			log, err := os.ReadFile(filepath.Join(n.dir, "b.log"))
			return err == nil && strings.Count(string(log), "full to the last block") >= times
		})
	}
	full(1)
	if got := records("b"); got < had {
		t.Errorf("b shows %d records on a disk without a block, %d before", got, had)
	}
	if err := write("b", 2000, 1); !errors.Is(err, call.DiskFull) {
		t.Errorf("a write on a disk without a block: %v", err)
	}
	n.run["b"].cmd.Process.Kill()
	<-n.run["b"].done
	fill(t, ballast, 0) // what the end of it gave back
	started := make(chan error, 1)
	go func() {
		_, err := n.start("b")
		started <- err
	}()
	full(2)
	must(os.Remove(ballast))
	must(<-started)
	until(t, "writes at b go on", func() bool { return write("b", 50, 1) == nil })
	must(write("b", 51, 49))
	n.drmesh(t, "link", "resume", "%a#m1", "%c#m1", "--dir", "a")
	n.drmesh(t, "link", "resume", "%c#m1", "%a#m1", "--dir", "c")
	n.caughtUp(t, "a", "b", "c")
	first := n.drmesh(t, "file", "dump", "main:f", "--dir", "a")
	for at, want := range map[string]int{"a": wrote, "b": 100, "c": 100} {
		for i := range want {
			if r := fmt.Sprintf("%s%07d written\n", at, i); strings.Count(first, r) != 1 {
				t.Fatalf("record %q is there %d times", r, strings.Count(first, r))
			}
		}
	}
	for _, at := range []string{"b", "c"} {
		if n.drmesh(t, "file", "dump", "main:f", "--dir", at) != first {
			t.Errorf("a and %s hold different records", at)
		}
	}
	for _, at := range []string{"a", "b", "c"} {
		n.drmesh(t, "account", "--scan", "--dir", at)
	}
}
