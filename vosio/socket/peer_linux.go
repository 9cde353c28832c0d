package socket

import (
	"net"
	"syscall"
)

// peer asks the kernel who is at the other end.
func peer(c *net.UnixConn) (Cred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Cred{}, err
	}
	var u *syscall.Ucred
	var got error
	if err := raw.Control(func(fd uintptr) {
		u, got = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return Cred{}, err
	}
	if got != nil {
		return Cred{}, got
	}
	return Cred{UID: u.Uid, GID: u.Gid, PID: u.Pid}, nil
}
