package serve

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/hubship/hubship/internal/model"
)

// lock makes sure that one program alone has the forge. The kernel gives the
// lock up when the process ends, however it ends.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("open the forge's lock: %w", err), "check that its folder exists and is writable")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, model.WithHint(fmt.Errorf("another hubship-forge serves this forge (%s is locked)", file), "stop it with `hubship down`, or use it as it is")
	}
	// Whoever has to stop it finds it here, whatever else was lost.
	if err := errors.Join(f.Truncate(0), write(f, fmt.Sprintln(os.Getpid()))); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write the forge's lock: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

func write(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// listen opens a Unix socket in a folder that the program's user alone can
// enter. A socket that a killed program left is replaced: the lock says that no
// other one serves it.
func listen(path string) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		return nil, model.WithHint(fmt.Errorf("open the socket %s: %w", path, err), "check that its folder is writable and belongs to this user")
	}
	dir := filepath.Dir(path)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o700)); err != nil {
		return fail(err)
	}
	// It gets its mode before it gets its name, so that nobody else can ever
	// connect.
	fresh := path + "." + strconv.Itoa(os.Getpid())
	_ = os.Remove(fresh)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		_ = os.Remove(fresh)
		return fail(errors.Join(err, l.Close()))
	}
	return &socket{UnixListener: l, path: path}, nil
}

// socket removes its file when it is closed for the first time.
type socket struct {
	*net.UnixListener
	path string
	once sync.Once
}

// Close implements net.Listener.
func (s *socket) Close() error {
	s.once.Do(func() { _ = os.Remove(s.path) }) // a socket that nobody serves is harmless
	return s.UnixListener.Close()
}

// Accept refuses processes of other users, should the file's mode have been
// opened up.
func (s *socket) Accept() (net.Conn, error) {
	for {
		conn, err := s.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(conn)
		if err == nil && (uid == 0 || uid == os.Geteuid()) {
			return conn, nil
		}
		_ = conn.Close()
	}
}
