package cluster

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// forwarded is a connection to a pod through the API server.
type forwarded struct {
	net.Conn
	address forwardAddr
	cause   atomic.Pointer[error]
}

func (f *forwarded) fail(err error) { f.cause.CompareAndSwap(nil, &err) }

// Read explains an end that the far side reported a reason for.
func (f *forwarded) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if err != nil && errors.Is(err, io.EOF) {
		if cause := f.cause.Load(); cause != nil {
			return n, fmt.Errorf("port forward to %s: %w", f.address, *cause)
		}
	}
	return n, err
}

// RemoteAddr names the pod and port.
func (f *forwarded) RemoteAddr() net.Addr { return f.address }

type forwardAddr string

func (forwardAddr) Network() string  { return "portforward" }
func (a forwardAddr) String() string { return string(a) }
