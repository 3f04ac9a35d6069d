package devforge_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/forge/forgetest/process"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/proc"
)

// installation is one whose forge a test starts and stops, with the real program.
type installation struct {
	t        *testing.T
	paths    install.Paths
	settings install.Settings
	program  string
	log      *buffer
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	i := &installation{t: t, paths: install.At(dir), settings: install.Default(), program: process.Build(t), log: &buffer{}}
	t.Cleanup(func() {
		if err := i.launcher("").Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return i
}

// launcher writes the settings of now, and returns a launcher as hubship's server
// has it. Another program may be named.
func (i *installation) launcher(program string) *devforge.Launcher {
	i.t.Helper()
	if program == "" {
		program = i.program
	}
	s, err := devforge.SettingsOf(i.paths, i.settings, devforge.Ways{Hooks: "/hooks/github", Events: []string{"push"}, Callback: "/signin/callback", Days: 7})
	i.ok(err)
	digest, err := s.Write(i.paths.ForgeSettings)
	i.ok(err)
	return devforge.New(i.paths, program, digest, slog.New(slog.NewTextHandler(i.log, nil)))
}

func (i *installation) ok(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

// running is the record of the process.
func (i *installation) running(l *devforge.Launcher) proc.Record {
	i.t.Helper()
	rec, ok := l.Running(i.t.Context())
	if !ok {
		i.t.Fatal("the program does not run")
	}
	return rec
}

func TestEnsure(t *testing.T) {
	i := newInstallation(t)
	l := i.launcher("")
	if _, ok := l.Running(t.Context()); ok {
		t.Fatal("it runs before it was started")
	}
	i.ok(l.Ensure(t.Context()))
	first := i.running(l)

	// Another server of hubship finds it, also when the record was lost.
	for range 2 {
		again := i.launcher("")
		i.ok(again.Ensure(t.Context()))
		if rec := i.running(again); rec != first {
			t.Errorf("it is process %+v, was %+v", rec, first)
		}
		i.ok(os.Remove(i.paths.ForgePID))
	}

	i.settings.Port = 9090
	l = i.launcher("")
	if why := l.Outdated(t.Context(), first); why != "its settings changed" {
		t.Errorf("with other settings: %q", why)
	}
	i.ok(l.Ensure(t.Context()))
	second := i.running(l)
	if second == first || first.Alive() {
		t.Error("other settings did not start it anew")
	}

	raw, err := os.ReadFile(i.program)
	i.ok(err)
	rebuilt := filepath.Join(i.paths.Data, devforge.Program)
	i.ok(os.WriteFile(rebuilt, raw, 0o700))
	l = i.launcher(rebuilt)
	i.ok(l.Ensure(t.Context()))
	third := i.running(l)
	if third == second || second.Alive() {
		t.Error("another program file did not start it anew")
	}

	// One that is silent, and of which there is no record, is found by its lock.
	i.ok(os.Remove(i.paths.ForgePID))
	i.ok(syscall.Kill(third.PID, syscall.SIGSTOP))
	if rec, ok := l.Running(t.Context()); !ok || rec.PID != third.PID {
		t.Errorf("a silent one: %+v, %v", rec, ok)
	}
	i.ok(syscall.Kill(third.PID, syscall.SIGCONT))
	i.ok(l.Stop(t.Context()))
	if _, err := os.Stat(i.paths.ForgePID); third.Alive() || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Stop it lives: %v, its record: %v", third.Alive(), err)
	}
	i.ok(l.Stop(t.Context()))
}

// What went wrong is in the error, and nothing is left behind.
func TestEnsureTellsWhy(t *testing.T) {
	i := newInstallation(t)
	i.ok(os.Mkdir(i.paths.Forge, 0o700)) // a folder in the database's place
	l := i.launcher("")
	err := l.Ensure(t.Context())
	if err == nil || !strings.Contains(err.Error(), "program ended: exit status 1") || !strings.Contains(err.Error(), "error: ") || !strings.Contains(model.HintOf(err), i.paths.ForgeLog) {
		t.Errorf("%v (%s)", err, model.HintOf(err))
	}
	if _, ok := l.Running(t.Context()); ok {
		t.Error("it runs")
	}
}

func TestSupervise(t *testing.T) {
	i := newInstallation(t)
	l := i.launcher("")
	i.ok(l.Ensure(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Supervise(ctx) }()
	defer func() { cancel(); <-done }()
	before := i.running(l)
	i.ok(syscall.Kill(before.PID, syscall.SIGKILL))
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(i.log.String(), "is running again"); {
		if time.Now().After(deadline) {
			t.Fatalf("it was not started again:\n%s", i.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if now := i.running(l); now == before || l.Outdated(t.Context(), now) != "" {
		t.Errorf("process %+v after %+v: %q", now, before, l.Outdated(t.Context(), now))
	}
	if !strings.Contains(i.log.String(), "signal: killed") {
		t.Errorf("the log does not say why:\n%s", i.log)
	}
	if why := l.Trouble(); why != "" {
		t.Errorf("trouble %q", why)
	}
	// It goes on when who looks after it ends.
	cancel()
	<-done
	if now := i.running(l); !now.Alive() {
		t.Error("it ended with its supervisor")
	}
}

// One that runs and does not answer is started again, also when it is frozen, and
// when nobody reaches it any more.
func TestSuperviseWhatHangs(t *testing.T) {
	for name, hang := range map[string]func(*installation, int) error{
		"frozen":           func(_ *installation, pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) },
		"without a socket": func(i *installation, _ int) error { return os.Remove(i.paths.ForgeSocket) },
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstallation(t)
			l := i.launcher("")
			l.Patience = 2 * time.Second
			i.ok(l.Ensure(t.Context()))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); l.Supervise(ctx) }()
			defer func() { cancel(); <-done }()
			before := i.running(l)
			i.ok(hang(i, before.PID))
			for deadline := time.Now().Add(time.Minute); !strings.Contains(i.log.String(), "is running again"); {
				if time.Now().After(deadline) {
					t.Fatalf("it was not started again:\n%s", i.log)
				}
				time.Sleep(20 * time.Millisecond)
			}
			if now := i.running(l); now == before || before.Alive() || l.Outdated(t.Context(), now) != "" {
				t.Errorf("process %+v after %+v", now, before)
			}
			if !strings.Contains(i.log.String(), "has not answered for") {
				t.Errorf("the log does not say why:\n%s", i.log)
			}
		})
	}
}

// One that cannot be started is tried again, less and less often, and what is
// wrong is told.
func TestSuperviseWhatCannotStart(t *testing.T) {
	i := newInstallation(t)
	l := i.launcher("")
	i.ok(l.Ensure(t.Context()))
	rec := i.running(l)
	i.ok(rec.Stop(t.Context(), 10*time.Second))
	i.ok(os.Rename(i.paths.Forge, i.paths.Forge+".away"))
	i.ok(os.Mkdir(i.paths.Forge, 0o700))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Supervise(ctx) }()
	defer func() { cancel(); <-done }()
	for deadline := time.Now().Add(30 * time.Second); strings.Count(i.log.String(), "could not be started") < 2; {
		if time.Now().After(deadline) {
			t.Fatalf("it was not tried twice:\n%s", i.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if why := l.Trouble(); !strings.Contains(why, "program ended") {
		t.Errorf("trouble %q", why)
	}
	for _, pause := range []string{"in=0s", "in=1s"} {
		if !strings.Contains(i.log.String(), pause) {
			t.Errorf("no pause of %s:\n%s", pause, i.log)
		}
	}
	i.ok(errors.Join(os.Remove(i.paths.Forge), os.Rename(i.paths.Forge+".away", i.paths.Forge)))
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(i.log.String(), "is running again"); {
		if time.Now().After(deadline) {
			t.Fatalf("it was not started again:\n%s", i.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestFind(t *testing.T) {
	t.Setenv("HUBSHIP_FORGE", filepath.Join(t.TempDir(), "nothing"))
	if _, err := devforge.Find(); err == nil || model.HintOf(err) == "" {
		t.Errorf("a program that is not there: %v", err)
	}
	t.Setenv("HUBSHIP_FORGE", "")
	program := process.Build(t)
	if got, err := devforge.Find(); err != nil || got != program {
		t.Errorf("beside this program: %q, %v; want %q", got, err, program)
	}
}

// Equal settings have equal digests: another one starts the program anew.
func TestDigestIsOfTheSettingsAlone(t *testing.T) {
	i := newInstallation(t)
	first := i.launcher("").Digest
	for range 30 {
		if again := i.launcher("").Digest; again != first {
			t.Fatalf("digest %s, then %s", first, again)
		}
	}
}

func TestSocketsNeedShortPaths(t *testing.T) {
	p := install.At("/" + strings.Repeat("x", 90))
	s := devforge.Settings{Socket: p.ForgeSocket, AdminSocket: p.ForgeAdmin}
	if _, err := s.Write(filepath.Join(t.TempDir(), "forge.json")); model.ExitCodeOf(err) != model.ExitUsage || model.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}

// Accounts are asked for where the program is, and not answered where it is away.
func TestAccounts(t *testing.T) {
	i := newInstallation(t)
	l := i.launcher("")
	i.ok(l.Ensure(t.Context()))
	h := devforge.Accounts(i.paths.ForgeAdmin, slog.New(slog.NewTextHandler(i.log, nil)))
	ask := func() (int, string) {
		t.Helper()
		addr := serve(t, h)
		res, err := http.Get("http://" + addr + "/api/v1/accounts")
		i.ok(err)
		defer func() { _ = res.Body.Close() }()
		raw, err := io.ReadAll(res.Body)
		i.ok(err)
		return res.StatusCode, string(raw)
	}
	if status, body := ask(); status != http.StatusOK || !strings.Contains(body, `"login":"admin"`) {
		t.Errorf("%d %s", status, body)
	}
	i.ok(l.Stop(t.Context()))
	if status, body := ask(); status != http.StatusBadGateway || !strings.Contains(body, `"error":"the embedded forge does not answer`) || !strings.Contains(body, `"hint":`) {
		t.Errorf("away: %d %s", status, body)
	}
}
