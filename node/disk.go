package node

import (
	"fmt"
	"syscall"
	"time"
)

// What a disk leaves to capture. The reserve is for what must go on when
// shared files take no writes any more, and since on a disk
// that is really full nothing can be written at all (diskwait.go).
const (
	diskSlow    = 80        // percent of a small disk in use at which writes to shared files begin to wait
	diskStop    = 95        // percent at which they get e$disk_full
	diskLarge   = 100 << 30 // of a disk of this size or more, bytes count and not percents:
	diskTight   = 1 << 30   // so many bytes free, and writes begin to wait
	diskReserve = 64 << 20  // so many, and they stop; of small disks too
	diskWait    = 50 * time.Millisecond
)

// room is what a disk leaves to capture.
type room struct {
	full  bool
	delay time.Duration // that each write to a shared file waits, so that who writes feels it before the end
}

// roomOn is a function of how full a disk is: no delay, then one that grows
// evenly up to diskWait, then full.
func roomOn(total, free uint64) room {
	slow, stop := uint64(diskTight), uint64(diskReserve)
	if total < diskLarge {
		slow, stop = total/100*(100-diskSlow), max(stop, total/100*(100-diskStop))
	}
	switch {
	case free < stop:
		return room{full: true, delay: diskWait}
	case free >= slow:
		return room{}
	}
	// slow > free >= stop
	return room{delay: diskWait * time.Duration((slow-free)>>10) / max(1, time.Duration((slow-stop)>>10))}
}

// diskOf is the size of the disk below a path, and what is free of it.
func diskOf(path string) (total, free uint64, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return 0, 0, err
	}
	return fs.Blocks * uint64(fs.Bsize), fs.Bavail * uint64(fs.Bsize), nil
}

// Keys of alarms.
const (
	diskFull    = "the disk is full"
	diskFilling = "the disk is filling up"
)

func (n *Node) watchDisk() {
	total, free, err := n.disk(n.dir.path)
	if err != nil {
		return
	}
	r := roomOn(total, free)
	n.eng.SetFull(r.full)
	n.eng.SetSlow(r.delay)
	switch {
	case r.full:
		n.clearAlarm(diskFilling)
		n.alarm(diskFull, fmt.Sprintf("%d MB of %d MB are free; writes to shared files get e$disk_full until there is room; reading, relaying and acknowledging go on", free>>20, total>>20))
	case r.delay > 0:
		n.clearAlarm(diskFull)
		n.alarm(diskFilling, fmt.Sprintf("%d MB of %d MB are free; each write to a shared file waits %v, so that there is time to make room", free>>20, total>>20, r.delay.Round(time.Millisecond/10)))
	default:
		n.clearAlarm(diskFull)
		n.clearAlarm(diskFilling)
	}
}
