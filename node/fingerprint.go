package node

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
)

// A directory that was copied, or restored from a copy, must not write under
// streams whose later txns others may have. So a start compares a fingerprint:
// inode and change time of module.json, and the machine's id. When it is
// another than the last start left in the database, shared files take no
// writes until a neighbour has compared positions with us; one that has more
// of our streams than we says so (sink.Ahead).
var keyFingerprint = []byte("nf")

func (d *dir) fingerprint() (string, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(d.file("module.json"), &st); err != nil {
		return "", err
	}
	machine, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		machine = []byte("none")
	}
	return fmt.Sprintf("%d %d.%09d %s", st.Ino, st.Ctim.Sec, st.Ctim.Nsec, strings.TrimSpace(string(machine))), nil
}

// checkFingerprint decides at the start whether this directory is where it
// was.
func (n *Node) checkFingerprint() error {
	now, err := n.dir.fingerprint()
	if err != nil {
		return err
	}
	v, closer, err := n.db.Get(keyFingerprint)
	if err == pebble.ErrNotFound {
		return n.db.Set(keyFingerprint, []byte(now), pebble.Sync)
	}
	if err != nil {
		return err
	}
	same := string(v) == now
	closer.Close()
	wrote := false
	for s, p := range n.j.Tails() {
		wrote = wrote || s.Module == n.dir.Number && s.Group != 0 && p.Seq > 0
	}
	switch {
	case same:
		return nil
	case !wrote || len(n.peers()) == 0:
		return n.db.Set(keyFingerprint, []byte(now), pebble.Sync)
	}
	n.unproven.Store(true)
	n.alarm(unprovenKey, "its fingerprint is another than at the last start: shared files take no writes until a neighbour has compared positions")
	return nil
}

const unprovenKey = "this directory was copied or moved"

// proven notes that a neighbour has compared positions with us: what it has of
// our streams, we have.
func (n *Node) proven(from origin.Module) {
	if n.claimsSome(from) || !n.unproven.CompareAndSwap(true, false) {
		return
	}
	now, err := n.dir.fingerprint()
	if err == nil {
		err = n.db.Set(keyFingerprint, []byte(now), pebble.Sync)
	}
	if err != nil {
		n.log.Error("the fingerprint could not be kept", "err", err)
	}
	n.log.Info("a neighbour has compared positions", "module", n.moduleName(from))
	n.clearAlarm(unprovenKey)
	n.poke()
}
