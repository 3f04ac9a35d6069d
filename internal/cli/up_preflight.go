package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/node"
	"github.com/hubship/hubship/internal/proc"
)

// What an installation needs at least.
const (
	needDisk   = 10 << 30
	needMemory = 4 << 30
)

// preflight checks the machine before anything is changed, and returns
// everything that is wrong as one error. What this very installation holds
// already counts as free. launcher is nil for an existing cluster.
func (a *command) preflight(ctx context.Context, s install.Settings, launcher *node.Launcher) error {
	if runtime.GOOS != "linux" {
		return model.WithHint(fmt.Errorf("hubship up needs Linux; this is %s", runtime.GOOS),
			"run it on a Linux machine (it is tested on Debian 12), or in a virtual machine")
	}
	var wrong []error
	if os.Geteuid() != 0 && launcher != nil {
		wrong = append(wrong, errors.New("not root: the embedded node mounts file systems, creates network interfaces and runs containers; use `sudo`, or an existing cluster (--kubeconfig)"))
	}
	if err := a.portFree(s.Port); err != nil {
		wrong = append(wrong, err)
	}
	running := false
	if launcher != nil {
		_, err := launcher.Client().Status(ctx)
		running = err == nil
	}
	if !running {
		wrong = append(wrong, space(a.data)...)
		if launcher != nil && os.Geteuid() == 0 {
			// It knows its own ports, ranges and programs; what it says
			// about disk and memory was said above.
			wrong = append(wrong, launcher.Preflight(ctx))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return model.WithHint(fmt.Errorf("this machine is not ready for hubship; nothing was changed:\n%w", err),
			"fix what is listed and run `hubship up` again")
	}
	return nil
}

// portFree says whether the HTTP port can be had, or is this installation's.
func (a *command) portFree(port int) error {
	// Looked up first: one that is just ending may let go of the port between
	// the two looks.
	_, ours := proc.Read(install.At(a.data).ServerPID)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		// Browsers look for localhost at ::1 first.
		l6, err := net.Listen("tcp6", fmt.Sprintf("[::1]:%d", port))
		switch {
		case err == nil:
			return errors.Join(l.Close(), l6.Close())
		case !errors.Is(err, syscall.EADDRINUSE):
			return l.Close()
		}
		_ = l.Close() // the port is taken all the same
	}
	if ours {
		if stored, err := install.Load(a.data); err == nil && stored.Port == port {
			return nil
		}
	}
	return fmt.Errorf("port %d is taken: stop what listens there (`ss -ltnp 'sport = :%d'` shows it), or choose another with --port", port, port)
}
