package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// listenSocket opens the Unix socket, for its owner alone. A socket that a
// killed server left is replaced; one that a server answers is not.
func listenSocket(path string) (net.Listener, error) {
	if len(path) > 90 { // the kernel takes 107 bytes, and the name made first is longer
		return nil, model.Usage(fmt.Errorf("open the socket %s: its path has %d bytes, but at most 90 are possible", path, len(path)),
			"choose a data directory with a shorter path")
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return nil, model.WithHint(fmt.Errorf("open the socket %s: a hubship server is already listening there", path),
			"stop it first with hubship down, or use it as it is")
	}
	// It gets its mode before it gets its name, so that nobody else can ever
	// connect.
	fresh := path + "." + strconv.Itoa(os.Getpid())
	_ = os.Remove(fresh)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("open the socket %s: %w", path, err), "check that its folder exists and is writable")
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		_ = l.Close()
		_ = os.Remove(fresh)
		return nil, fmt.Errorf("open the socket %s: %w", path, err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("open the socket %s: %w", path, err)
	}
	return &socket{UnixListener: l, path: path, info: info}, nil
}

// socket removes its file when it is closed, unless a newer server's is there.
type socket struct {
	*net.UnixListener
	path string
	info os.FileInfo
}

func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(s.info, now) {
		_ = os.Remove(s.path) // a socket that nobody serves is harmless
	}
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
			return &peerConn{Conn: conn, uid: uid}, nil
		}
		_ = conn.Close()
	}
}

// peerConn knows which user is at its other end.
type peerConn struct {
	net.Conn
	uid int
}

type peerKey struct{}

// peerContext marks the requests of a connection over the socket.
func peerContext(ctx context.Context, c net.Conn) context.Context {
	if p, ok := c.(*peerConn); ok {
		return context.WithValue(ctx, peerKey{}, p.uid)
	}
	return ctx
}

// peerOf returns the user behind a request; local is false for one over the
// HTTP port.
func peerOf(ctx context.Context) (uid int, local bool) {
	uid, local = ctx.Value(peerKey{}).(int)
	return uid, local
}

// peerName names the user behind a request, for requests that do not say who
// makes them.
func peerName(ctx context.Context) string {
	uid, local := peerOf(ctx)
	if !local {
		return ""
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(uid)
}
