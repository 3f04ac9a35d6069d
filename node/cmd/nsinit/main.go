// Command nsinit is the first process of a node's namespaces. It gives the node
// its own /proc, /run and /var/log, says so on file descriptor 3, and then reaps
// orphans until it is killed; the kernel then kills every process of the node
// and drops its mounts and its network.
//
// Usage: nsinit RUNDIR
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nsinit:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 || os.Getpid() != 1 {
		return errors.New("want one argument, the run directory, as the first process of a PID namespace")
	}
	if err := mountAll(args[0]); err != nil {
		return err
	}
	ready := os.NewFile(3, "ready")
	if _, err := ready.Write([]byte{1}); err != nil {
		return fmt.Errorf("tell that the namespaces are ready: %w", err)
	}
	if err := ready.Close(); err != nil {
		return fmt.Errorf("tell that the namespaces are ready: %w", err)
	}
	reapForever()
	return nil
}

func mountAll(runDir string) error {
	// Nothing that is mounted here may reach the machine, while the node's own
	// mounts must reach its containers.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("detach the mounts from the machine's: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the mounts with containers: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, dir := range []string{"/proc/sys/kernel", "/proc/sys/vm"} {
		if err := bindReadOnly(dir); err != nil {
			return err
		}
	}
	if err := privateDirs(runDir); err != nil {
		return err
	}
	return pretendTuned()
}

// tuned lists the kernel settings that the kubelet would change, with the
// values that it wants.
var tuned = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// pretendTuned shows the kubelet the settings that it wants. They belong to the
// whole machine, which shall not reboot on an oops because of a node; but the
// kubelet does not start without them.
func pretendTuned() error {
	const dir = "/run/hubship-sysctl"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("show kernel settings: %w", err)
	}
	for key, value := range tuned {
		target := "/proc/sys/" + key
		if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
			continue
		}
		file := filepath.Join(dir, strings.ReplaceAll(key, "/", "."))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o444); err != nil {
			return fmt.Errorf("show kernel setting %s: %w", key, err)
		}
		if err := unix.Mount(file, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("show kernel setting %s: %w", key, err)
		}
	}
	return nil
}

func bindReadOnly(dir string) error {
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", dir, err)
	}
	flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("", dir, "", flags, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", dir, err)
	}
	return nil
}

// privateDirs hides the machine's /run, /var/log and the like: container
// runtimes keep sockets and links at fixed places there, where two nodes would
// meet and which nobody would clean. The node's run directory stays visible on both sides.
func privateDirs(runDir string) error {
	source, err := unix.Open(runDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the run directory %s: %w", runDir, err)
	}
	defer func() { _ = unix.Close(source) }()
	// The machine's file may be a link into /run.
	resolvConf, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return fmt.Errorf("find the machine's resolv.conf: %w", err)
	}
	for _, dir := range []string{"/run", "/var/log", "/var/lib/cni", "/var/lib/kubelet"} {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("mount a private %s: it does not exist; the supervisor creates it", dir)
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=64m"); err != nil {
			return fmt.Errorf("mount a private %s: %w", dir, err)
		}
	}
	if strings.HasPrefix(filepath.Clean(runDir), "/run/") {
		if err := os.MkdirAll(runDir, 0o755); err != nil {
			return fmt.Errorf("make the run directory visible: %w", err)
		}
		if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", source), runDir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("make the run directory %s visible: %w", runDir, err)
		}
	}
	return nameServers(filepath.Join(runDir, "resolv.conf"), resolvConf)
}

// nameServers puts the node's list of name servers in the place of the
// machine's, whose servers the node may not reach.
func nameServers(source, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("set the name servers: %w", err)
	}
	file, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return fmt.Errorf("set the name servers: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("set the name servers: %w", err)
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("set the name servers in %s: %w", target, err)
	}
	return nil
}

func reapForever() {
	signals := make(chan os.Signal, 16)
	// The supervisor ends the node by killing this process; an interrupt from a
	// terminal must not get ahead of its orderly stop.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	signal.Notify(signals, syscall.SIGCHLD)
	for range signals {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}
