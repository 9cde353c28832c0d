//go:build !linux

package socket

import (
	"net"
	"os"
)

// peer trusts the socket's mode where the kernel does not say more.
func peer(*net.UnixConn) (Cred, error) {
	return Cred{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}, nil
}
