package server_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hubship/hubship/internal/server"
)

// Even if somebody opens the socket's mode up, other users get no answer.
func TestOtherUsersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another user")
	}
	r := serve(t, server.Options{Service: newService(t)})
	for path, mode := range map[string]os.FileMode{r.socket: 0o777, filepath.Dir(r.socket): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	answer := make(chan int, 1)
	failed := make(chan error, 1)
	go func() {
		// The thread that becomes another user is not used again: it ends with
		// the goroutine, which never unlocks it.
		runtime.LockOSThread()
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			failed <- errno
			return
		}
		conn, err := net.Dial("unix", r.socket)
		if err != nil {
			failed <- err
			return
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		n, _ := conn.Read(make([]byte, 100))
		_ = conn.Close()
		answer <- n
	}()
	select {
	case err := <-failed:
		t.Fatal(err)
	case n := <-answer:
		if n != 0 {
			t.Errorf("another user got an answer of %d bytes", n)
		}
	}
	if _, err := r.client.Health(t.Context()); err != nil {
		t.Errorf("the owner gets none: %v", err)
	}
}
