package sandbox

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout bounds a connection over the node's loopback, which either is
// there at once or not at all.
const dialTimeout = 2 * time.Second

// DialLoopback connects to a port of the node's own loopback, which no other
// process of the machine can reach.
func (s *Sandbox) DialLoopback(port int) (net.Conn, error) {
	var conn net.Conn
	err := s.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		timeout := unix.NsecToTimeval(dialTimeout.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
			_ = unix.Close(fd)
			return err
		}
		addr := &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
		if err := unix.Connect(fd, addr); err != nil {
			_ = unix.Close(fd)
			return err
		}
		file := os.NewFile(uintptr(fd), "loopback")
		defer func() { _ = file.Close() }()
		conn, err = net.FileConn(file)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to port %d of the node's loopback: %w", port, err)
	}
	return conn, nil
}
