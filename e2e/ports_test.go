package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOneUDPPortAndNoOther looks at a serving process as ss would: one UDP
// port carries everything, and nothing listens on TCP.
func TestOneUDPPortAndNoOther(t *testing.T) {
	t.Parallel()
	n := testMesh(t, mainShare, "a", "b")
	for _, a := range []string{"a", "b"} {
		mine := sockets(t, n.run[a].cmd.Process.Pid)
		udp := append(boundPorts(t, "/proc/net/udp", mine, ""), boundPorts(t, "/proc/net/udp6", mine, "")...)
		if len(udp) != 1 {
			t.Errorf("%s: UDP ports %v, want one", a, udp)
		}
		const listening = "0A"
		if tcp := append(boundPorts(t, "/proc/net/tcp", mine, listening), boundPorts(t, "/proc/net/tcp6", mine, listening)...); len(tcp) != 0 {
			t.Errorf("%s: listens on TCP ports %v", a, tcp)
		}
	}
}

// sockets lists the inodes of a process's sockets.
func sockets(t *testing.T, pid int) map[string]bool {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("no descriptors of process %d: %v", pid, err)
	}
	l := map[string]bool{}
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil {
			continue // closed meanwhile
		}
		if s, ok := strings.CutPrefix(to, "socket:["); ok {
			l[strings.TrimSuffix(s, "]")] = true
		}
	}
	return l
}

// boundPorts lists the local ports of those sockets, in a table of the kernel;
// state, if given, is the one wanted.
func boundPorts(t *testing.T, table string, mine map[string]bool, state string) []string {
	t.Helper()
	f, err := os.Open(table)
	if os.IsNotExist(err) {
		return nil // no IPv6 here
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var ports []string
	for s := bufio.NewScanner(f); s.Scan(); {
		w := strings.Fields(s.Text())
		if len(w) > 9 && mine[w[9]] && (state == "" || w[3] == state) {
			_, port, _ := strings.Cut(w[1], ":")
			ports = append(ports, port)
		}
	}
	return ports
}
