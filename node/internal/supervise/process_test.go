package supervise

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

type plain struct{}

func (plain) StartCommand(cmd *exec.Cmd) error { return cmd.Start() }

func shell(t *testing.T, script string, ready func(context.Context) error) Spec {
	t.Helper()
	return Spec{
		Name: "shell", Path: "/bin/sh", Args: []string{"-c", script}, Env: os.Environ(),
		Log: filepath.Join(t.TempDir(), "shell.log"), Ready: ready, StopTimeout: 300 * time.Millisecond,
	}
}

func within(t *testing.T, d time.Duration, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("not within %v: %s", d, what)
}

func TestProcessBecomesReadyAndIsRestarted(t *testing.T) {
	p := Start(plain{}, shell(t, "echo up; exec sleep 60", nil))
	defer p.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	first := p.Status()
	if first.State != Running || first.PID == 0 || first.RSSBytes == 0 {
		t.Fatalf("got %+v", first)
	}
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "a second process runs", func() bool {
		s := p.Status()
		return s.State == Running && s.PID != first.PID && s.Restarts == 1
	})
}

func TestWaitReadyFailsWhenTheProgramKeepsEnding(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the pauses of several restarts: 6 s")
	}
	p := Start(plain{}, shell(t, "echo cannot bind; exit 3", func(context.Context) error { return errors.New("no") }))
	defer p.Stop()
	err := p.WaitReady(t.Context())
	if err == nil || !strings.Contains(err.Error(), "cannot bind") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got error %v, want its output and exit status", err)
	}
	log, err := os.ReadFile(p.Status().Log)
	if err != nil || !strings.Contains(string(log), "cannot bind") {
		t.Errorf("log %q lacks the output (%v)", log, err)
	}
}

func TestWaitReadyTellsWhyNot(t *testing.T) {
	p := Start(plain{}, shell(t, "exec sleep 60", func(context.Context) error { return errors.New("still loading") }))
	defer p.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := p.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), "still loading") {
		t.Errorf("got error %v, want the reason", err)
	}
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	p := Start(plain{}, shell(t, "trap '' TERM; while :; do sleep 0.05; done", nil))
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := p.Status().PID
	p.Stop()
	if s := p.Status(); s.State != Stopped || s.PID != 0 || s.Restarts != 0 {
		t.Errorf("got %+v", s)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}
