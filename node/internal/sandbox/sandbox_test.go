package sandbox

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T) *Sandbox {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("%s: namespaces need root", t.Name())
	}
	program, err := filepath.Abs("../../../bin/node.d/nsinit")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%s: nsinit is not built (%v): run make node", t.Name(), err)
	}
	for _, dir := range []string{"/var/lib/cni", "/var/lib/kubelet"} {
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
	}
	runDir := t.TempDir()
	if err := os.WriteFile(filepath.Join(runDir, "resolv.conf"), []byte("nameserver 192.0.2.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := Start(program, runDir, &log)
	if err != nil {
		t.Fatalf("%v: %s", err, log.String())
	}
	t.Cleanup(s.Kill)
	return s
}

func output(t *testing.T, s *Sandbox, script string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := s.StartCommand(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out.String())
	}
	return strings.TrimSpace(out.String())
}

func TestSandboxIsApart(t *testing.T) {
	s := start(t)
	for script, want := range map[string]string{
		"cat /proc/1/comm":                       "nsinit",
		"ls /run":                                "hubship-sysctl",
		"ls /var/log /var/lib/cni | grep -v :":   "",
		"cat /etc/resolv.conf":                   "nameserver 192.0.2.1",
		"cat /proc/sys/kernel/panic_on_oops":     "1",
		"tail -n +3 /proc/net/dev | cut -d: -f1": "lo",
	} {
		if got := output(t, s, script+"; true"); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	if real, err := os.ReadFile("/proc/sys/kernel/sysrq"); err == nil {
		got := output(t, s, "echo 0 2>/dev/null >/proc/sys/kernel/sysrq || echo refused")
		if again, _ := os.ReadFile("/proc/sys/kernel/sysrq"); !bytes.Equal(real, again) {
			t.Errorf("a kernel setting of the machine changed (%s)", got)
		}
	}
}

func TestDialLoopback(t *testing.T) {
	s := start(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	// The port is the machine's: the node's loopback has nobody there.
	if conn, err := s.DialLoopback(listener.Addr().(*net.TCPAddr).Port); err == nil {
		_ = conn.Close()
		t.Error("the node's loopback led to the machine's")
	}
}

func TestDeathOfTheFirstProcessEndsAll(t *testing.T) {
	s := start(t)
	cmd := exec.Command("/bin/sleep", "100")
	if err := s.StartCommand(cmd); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := syscall.Kill(s.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("a program outlived the namespaces")
	}
	<-s.Dead()
	if err := s.Do(func() error { return nil }); !errors.Is(err, ErrDead) {
		t.Errorf("got error %v, want ErrDead", err)
	}
}
