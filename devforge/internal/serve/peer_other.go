//go:build !linux

package serve

import (
	"net"
	"os"
)

// peerUID trusts the mode of the socket's file where the kernel is not asked.
func peerUID(*net.UnixConn) (int, error) { return os.Geteuid(), nil }
