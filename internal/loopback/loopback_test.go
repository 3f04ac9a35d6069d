package loopback

import (
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// as runs f with another user's rights, on a thread of its own that ends with it.
func as(t *testing.T, user int, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: it takes root to be somebody else")
	}
	done := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is not used again
		_, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(user), ^uintptr(0))
		if e == 0 {
			f()
		}
		done <- e
	}()
	if e := <-done; e != 0 {
		t.Fatal(e)
	}
}

const other = 65534

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestClient(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0"} {
		l := listen(t, addr)
		if addr == "0.0.0.0:0" { // both families, as one
			_, port, _ := net.SplitHostPort(l.Addr().String())
			c, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
		} else {
			dial(t, l)
		}
		if got := Client(accept(t, l)); got != os.Geteuid() {
			t.Errorf("%s: user %d", addr, got)
		}
	}
	l := listen(t, "127.0.0.1:0")
	var c net.Conn
	as(t, other, func() { c, _ = net.Dial("tcp", l.Addr().String()) })
	if c == nil {
		t.Fatal("no connection")
	}
	near := accept(t, l)
	if got := Client(near); got != other {
		t.Errorf("user %d, want %d", got, other)
	}
	// Whoever has let go of a connection is nobody, and not root.
	_ = c.Close()
	if got := Client(near); got != Nobody {
		t.Errorf("after it was closed: user %d", got)
	}
}

func TestServed(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l := listen(t, addr)
		c := dial(t, l)
		if err := Served(c); err != nil { // before and after it is taken
			t.Error(err)
		}
		accept(t, l)
		if err := Served(c); err != nil {
			t.Error(err)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		var l net.Listener
		as(t, other, func() { l, _ = net.Listen("tcp", addr) })
		if l == nil {
			continue // no IPv6
		}
		refused := func(c net.Conn, when string) {
			t.Helper()
			if err := Served(c); err == nil || !strings.Contains(err.Error(), "answers at") {
				t.Errorf("%s, %s: %v", addr, when, err)
			}
		}
		c := dial(t, l)
		refused(c, "before it is taken") // when it is nobody's
		var near net.Conn
		as(t, other, func() { near, _ = l.Accept() })
		refused(c, "after it was taken")
		// Its own listener gone, another's in its place.
		at := l.Addr().String()
		_ = l.Close()
		if err := Served(c); err == nil {
			t.Error("nobody listens, and it is trusted")
		}
		for range 50 {
			if again, err := net.Listen("tcp", at); err == nil {
				defer func() { _ = again.Close() }()
				refused(c, "with a listener of ours")
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		_ = near.Close()
	}
}
