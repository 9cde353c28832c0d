package admin

import (
	"net"
	"syscall"
)

// peerUID is the user at the other end of a socket, as the kernel says.
func peerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var u *syscall.Ucred
	var got error
	if err := raw.Control(func(fd uintptr) { u, got = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if got != nil {
		return 0, got
	}
	return u.Uid, nil
}
