package forward

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestForwardCarriesBothWays(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = backend.Close() }()
	go func() {
		for {
			conn, err := backend.Accept()
			if err != nil {
				return
			}
			go func() {
				// Answers only after the client has ended its part.
				data, _ := io.ReadAll(conn)
				_, _ = conn.Write(data)
				_ = conn.Close()
			}()
		}
	}()
	f, err := Listen("127.0.0.1:0", func() (net.Conn, error) { return net.Dial("tcp", backend.Addr().String()) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()

	sent := make([]byte, 1<<20)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", f.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes back, want the %d sent", len(got), len(sent))
	}
}

func TestCloseEndsConnections(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = backend.Close() }()
	f, err := Listen("127.0.0.1:0", func() (net.Conn, error) { return net.Dial("tcp", backend.Addr().String()) })
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", f.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := backend.Accept() // Now the connection is carried.
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}

// Whoever opens connections without end takes up no more than is theirs to take,
// and who comes when there is room again is served.
func TestConnectionsAreBounded(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = backend.Close() }()
	var carried atomic.Int32
	f, err := Listen("127.0.0.1:0", func() (net.Conn, error) {
		carried.Add(1)
		return net.Dial("tcp", backend.Addr().String())
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var conns []net.Conn
	for range maxConns + 1 {
		conn, err := net.Dial("tcp", f.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		conns = append(conns, conn)
	}
	last := conns[maxConns]
	_ = last.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := last.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one too many is answered %v", err)
	}
	if n := carried.Load(); n > maxConns {
		t.Errorf("%d are carried", n)
	}
	for range maxConns {
		far, err := backend.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = far.Close()
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	for range 500 {
		conn, err := net.Dial("tcp", f.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err = conn.Read(make([]byte, 1))
		_ = conn.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return // it is carried, and nobody says anything
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("nobody is served any more")
}
