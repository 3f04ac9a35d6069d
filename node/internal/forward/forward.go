// Package forward carries TCP connections from a port of the machine to one of
// the node.
package forward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// maxConns bounds how many connections are carried at once: any program of the
// machine may open them, and each takes files of the one that forwards.
const maxConns = 512

// acceptPause follows a failure to accept, of which there may be many.
const acceptPause = 10 * time.Millisecond

// Forward listens on one address and copies every connection to another one.
type Forward struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	slots    chan struct{} // one per connection
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	closed   bool
	wg       sync.WaitGroup
}

// Listen starts to accept connections at addr; dial opens their other end.
func Listen(addr string, dial func() (net.Conn, error)) (*Forward, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("forward %s: %w", addr, err)
	}
	f := &Forward{listener: listener, dial: dial, slots: make(chan struct{}, maxConns), conns: map[net.Conn]struct{}{}}
	f.wg.Add(1)
	go f.accept()
	return f, nil
}

func (f *Forward) accept() {
	defer f.wg.Done()
	for {
		conn, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptPause)
			continue // A connection that was reset before it was taken.
		}
		select {
		case f.slots <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		f.wg.Add(1)
		go func() {
			f.carry(conn)
			<-f.slots
		}()
	}
}

func (f *Forward) carry(near net.Conn) {
	defer f.wg.Done()
	defer func() { _ = near.Close() }()
	far, err := f.dial()
	if err != nil {
		return // The client sees its connection closed, as without a server.
	}
	defer func() { _ = far.Close() }()
	if !f.track(near, far) {
		return
	}
	defer f.untrack(near, far)
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			// The other direction may still have something to say.
			if half, ok := way[0].(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}

func (f *Forward) track(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	for _, conn := range conns {
		f.conns[conn] = struct{}{}
	}
	return true
}

func (f *Forward) untrack(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range conns {
		delete(f.conns, conn)
	}
}

// Close stops listening and ends all connections.
func (f *Forward) Close() error {
	err := f.listener.Close()
	f.mu.Lock()
	f.closed = true
	for conn := range f.conns {
		_ = conn.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
	return err
}
