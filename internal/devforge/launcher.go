package devforge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/proc"
)

// Program is the file name of the forge's program. It lies beside hubship's own,
// unless HUBSHIP_FORGE names another.
const Program = "hubship-forge"

const (
	startLimit = 30 * time.Second // for the program to answer after its start
	askLimit   = 5 * time.Second  // for one that runs already
	stopGrace  = 20 * time.Second // for the program to end; it gives pushes 10 s
	silent     = time.Minute      // after which one that runs and does not answer is stopped
	hungGrace  = 5 * time.Second  // for one that does not answer to end
	look       = 50 * time.Millisecond
)

// Launcher starts and stops the forge's program. The program keeps running when
// the process that started it ends, and is found again. Use one Launcher for an
// installation at a time: hubship's server holds the lock of the data directory.
type Launcher struct {
	Program  string // path of hubship-forge
	Settings string // file
	Digest   string // of that file
	Admin    string // socket
	Record   string // file with the process's record
	Lock     string // file that the program holds, with its process ID
	Output   string // log file of the program
	Log      *slog.Logger
	// Patience is how long the program may be silent before Supervise starts it
	// again; a minute when 0.
	Patience time.Duration

	mu      sync.Mutex
	started *proc.Detached // guarded by mu; nil when it was found
	trouble string         // guarded by mu
}

// New returns a launcher for an installation. Program and digest are empty when
// it is not to start anything.
func New(p install.Paths, program, digest string, log *slog.Logger) *Launcher {
	return &Launcher{Program: program, Settings: p.ForgeSettings, Digest: digest, Admin: p.ForgeAdmin, Record: p.ForgePID, Lock: p.Forge + ".lock", Output: p.ForgeLog, Log: log}
}

// Find returns the path of the forge's program. The error says how to get it when
// it is not there.
func Find() (string, error) {
	program := os.Getenv("HUBSHIP_FORGE")
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find hubship's own program: %w", err)
		}
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		program = filepath.Join(filepath.Dir(self), Program)
	}
	if info, err := os.Stat(program); err != nil || info.IsDir() {
		return "", model.WithHint(fmt.Errorf("the embedded forge's program is not at %s", program),
			"a release has it beside hubship, and `make build` builds both; or use a repository on GitHub (see `hubship up --help`)")
	}
	return program, nil
}

// Running returns the record of the program's process. If the record is lost, the
// process is found by asking it, or by the lock that it holds.
func (l *Launcher) Running(ctx context.Context) (proc.Record, bool) {
	if rec, ok := proc.Read(l.Record); ok {
		return rec, true
	}
	if h, err := ask(ctx, l.Admin); err == nil {
		rec, err := proc.Of(h.PID)
		return rec, err == nil
	}
	raw, err := os.ReadFile(l.Lock)
	if err != nil {
		return proc.Record{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return proc.Record{}, false
	}
	// The number may be another process's by now: ours names its settings.
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !slices.Contains(strings.Split(string(args), "\x00"), l.Settings) {
		return proc.Record{}, false
	}
	rec, err := proc.Of(pid)
	return rec, err == nil
}

// Outdated says why a running process has to be restarted, "" if it does not: it
// has another program file or other settings, or it does not answer.
func (l *Launcher) Outdated(ctx context.Context, rec proc.Record) string {
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/exe", rec.PID))
	ours, err2 := os.Stat(l.Program)
	if err != nil || err2 != nil || !os.SameFile(theirs, ours) {
		return "its program was replaced"
	}
	for deadline := time.Now().Add(askLimit); ; {
		h, err := ask(ctx, l.Admin)
		switch {
		case err == nil && h.PID != rec.PID:
			return "another process answers for it"
		case err == nil && h.Settings != l.Digest:
			return "its settings changed"
		case err == nil:
			return ""
		case ctx.Err() != nil || time.Now().After(deadline):
			return fmt.Sprintf("it does not answer: %v", err)
		}
		pause(ctx, look)
	}
}

// Ensure makes sure that the program runs, with the current program file and
// settings, and answers.
func (l *Launcher) Ensure(ctx context.Context) error {
	if rec, ok := l.Running(ctx); ok {
		why := l.Outdated(ctx, rec)
		if why == "" {
			return rec.Write(l.Record)
		}
		l.Log.Info("restarting the embedded forge", "why", why)
		if err := rec.Stop(ctx, stopGrace); err != nil {
			return fmt.Errorf("stop the embedded forge: %w", err)
		}
	}
	return l.start(ctx)
}

// start starts the program, and waits until it answers.
func (l *Launcher) start(ctx context.Context) error {
	started, err := proc.Start(l.Output, l.Program, "serve", "--settings", l.Settings)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.started = started
	l.mu.Unlock()
	if err := started.Record.Write(l.Record); err != nil {
		return errors.Join(err, started.Stop(ctx, stopGrace))
	}
	for deadline := time.Now().Add(startLimit); ; {
		h, err := ask(ctx, l.Admin)
		if err == nil && h.PID == started.PID && h.Settings == l.Digest {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the embedded forge: %w", ctx.Err())
		case <-started.Ended():
			return l.failed(fmt.Sprintf("the embedded forge's program ended: %v", started.Err()))
		case <-time.After(look):
		}
		if time.Now().After(deadline) {
			// It is not left behind half started.
			return errors.Join(l.failed(fmt.Sprintf("the embedded forge's program does not answer: %v", err)), started.Stop(ctx, stopGrace))
		}
	}
}

// failed is an error with the end of the program's log.
func (l *Launcher) failed(text string) error {
	if tail := proc.Tail(l.Output, 15); tail != "" {
		text += "\nthe end of its log:\n" + tail
	}
	return model.WithHint(errors.New(text), "the whole log is in "+l.Output)
}

// Stop ends the program gracefully. It is no error if the program does not run.
func (l *Launcher) Stop(ctx context.Context) error {
	rec, ok := l.Running(ctx)
	if ok {
		if err := rec.Stop(ctx, stopGrace); err != nil {
			return fmt.Errorf("stop the embedded forge: %w", err)
		}
	}
	if err := os.Remove(l.Record); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("stop the embedded forge: %w", err)
	}
	return nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
