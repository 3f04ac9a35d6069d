//go:build unix

package git

import (
	"os/exec"
	"syscall"
)

// ownGroup gives the process a group of its own, so that a cancelled git takes
// the helpers that it started with it, and so that Ctrl-C on a terminal ends
// git only when hubship decides so.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
}

// killGroup ends the process and its children at once.
func killGroup(cmd *exec.Cmd) error {
	if cmd.Process == nil {
		return nil
	}
	return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}
