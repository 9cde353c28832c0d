package node

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A directory whose process is on its way out is waited for a little; one that
// is served is refused, and the wait ends with the caller.
func TestTheLockOfADirectoryIsWaitedFor(t *testing.T) {
	path := shortDir(t)
	if err := Init(InitOptions{Dir: path, Module: "%east#m1", Listen: []string{freePort(t)}}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		held, err := os.OpenFile(path+"/lock", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		if _, err := openDir(t.Context(), path); err == nil {
			t.Fatal("a directory that is served was opened")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begun := time.Now()
		if _, err := openDir(ctx, path); err == nil || time.Since(begun) > 0 {
			t.Fatalf("%v after %v, with a caller that is gone", err, time.Since(begun))
		}
		time.AfterFunc(lockGrace/2, func() { held.Close() })
		d, err := openDir(t.Context(), path)
		if err != nil {
			t.Fatalf("its process ended meanwhile: %v", err)
		}
		d.close()
	})
}
