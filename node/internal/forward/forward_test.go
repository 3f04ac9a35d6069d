package forward

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"testing"
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
