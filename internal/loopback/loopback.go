// Package loopback says whose the programs are at the other ends of connections
// within this machine. Ports are anybody's: a program of another user may wait on
// one, or connect to one, where a program that is trusted is meant.
package loopback

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// Nobody is the user where none is to be told: of what is not of this machine,
// and of a connection that its program has let go of.
const Nobody = -1

// Client returns the user whose program opened a connection that was accepted
// here, or Nobody.
func Client(c net.Conn) int {
	far, near := ends(c)
	if !far.Addr().IsLoopback() || runtime.GOOS != "linux" {
		return Nobody
	}
	user := Nobody
	_ = each(func(s socket) { // what cannot be read names nobody
		if s.local == far && s.remote == near && s.held {
			user = s.user
		}
	})
	return user
}

type whoseKey struct{}

// Context remembers whose a connection is that was accepted here, for requests
// that come over it. The kernel is asked when somebody wants to know.
func Context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, whoseKey{}, sync.OnceValue(func() string {
		if far, _ := ends(c); !far.Addr().IsLoopback() {
			return ""
		}
		return strconv.Itoa(Client(c))
	}))
}

// With is Context for requests that another program of this installation passes
// on: it has asked the kernel, and says what Whose returned there.
func With(ctx context.Context, whose string) context.Context {
	return context.WithValue(ctx, whoseKey{}, func() string { return whose })
}

// Whose tells users of this machine apart: it is the number of the user whose
// program made a request, "-1" when that is not to be told, and empty for a
// request from elsewhere.
func Whose(ctx context.Context) string {
	if whose, ok := ctx.Value(whoseKey{}).(func() string); ok {
		return whose()
	}
	return ""
}

// Bind makes of what opens a session what opens it for requests of the same user
// of this machine alone: browsers send the cookies of localhost to every port
// there, and so to programs of others. The secret is one line.
func Bind(secret, whose string) string {
	if whose == "" {
		return secret
	}
	return secret + "\n" + whose
}

// Served says that a connection to this machine leads to a program of root or of
// this program's own user. One to elsewhere is not judged.
func Served(c net.Conn) error {
	far, near := ends(c)
	if !far.Addr().IsLoopback() || runtime.GOOS != "linux" { // elsewhere the kernel does not say
		return nil
	}
	self, listeners, other := os.Geteuid(), 0, Nobody
	err := each(func(s socket) {
		// A connection that nobody has taken yet is nobody's, so that who waits
		// for it counts as well.
		listens := s.listens && s.local.Port() == far.Port() && (s.local.Addr() == far.Addr() || s.local.Addr().IsUnspecified())
		if listens {
			listeners++
		}
		if (listens || s.local == far && s.remote == near && s.held) && s.user != 0 && s.user != self {
			other = s.user
		}
	})
	switch {
	case err != nil:
		return err
	case other != Nobody:
		return fmt.Errorf("user %d of this machine answers at %s, who could read what is sent there", other, far)
	case listeners == 0:
		return fmt.Errorf("nobody is known to answer at %s", far)
	}
	return nil
}

// ends are the two addresses of a connection, the far one first.
func ends(c net.Conn) (far, near netip.AddrPort) {
	return addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := t.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// socket is a line of the kernel's table.
type socket struct {
	local, remote netip.AddrPort
	user          int
	listens       bool
	held          bool // by a program
}

// each reads the sockets of TCP of this program's network.
func each(see func(socket)) error {
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(file)
		if os.IsNotExist(err) && file == "/proc/net/tcp6" {
			continue // the machine has no IPv6
		}
		if err != nil {
			return fmt.Errorf("look who is at the other end of a connection: %w", err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if s, ok := parse(lines.Text()); ok {
				see(s)
			}
		}
		_ = f.Close() // it was read
		if err := lines.Err(); err != nil {
			return fmt.Errorf("look who is at the other end of a connection: %w", err)
		}
	}
	return nil
}

// parse reads a line: see proc_net_tcp in the kernel's documentation.
func parse(line string) (s socket, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 10 {
		return s, false
	}
	var ok1, ok2 bool
	s.local, ok1 = address(fields[1])
	s.remote, ok2 = address(fields[2])
	user, err := strconv.Atoi(fields[7])
	s.user, s.listens, s.held = user, fields[3] == "0A", fields[9] != "0"
	return s, ok1 && ok2 && err == nil
}

// address reads "0100007F:1F90": words of four bytes, each as the processor has
// them.
func address(text string) (netip.AddrPort, bool) {
	ip, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(ip)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}
