package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/proc"
)

// Program is the file name of the node's program. It lies beside hubship's
// own, unless HUBSHIP_NODE names another.
const Program = "hubship-node"

// Launcher starts, stops and removes the node of one installation.
type Launcher struct {
	Settings install.Settings // of an installation with an embedded node
	Data     string           // the installation's data directory
	Program  string           // path of hubship-node
}

// Find returns a launcher for the installation. The error says how to get the
// node's program when it is not there.
func Find(s install.Settings, data string) (*Launcher, error) {
	program := os.Getenv("HUBSHIP_NODE")
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find hubship's own program: %w", err)
		}
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		program = filepath.Join(filepath.Dir(self), Program)
	}
	if info, err := os.Stat(program); err != nil || info.IsDir() {
		return nil, model.WithHint(fmt.Errorf("the embedded node's program is not at %s", program),
			"build it with `make build`, or use an existing cluster (see `hubship up --help`)")
	}
	return &Launcher{Settings: s, Data: data, Program: program}, nil
}

// Client talks to the node's supervisor.
func (l *Launcher) Client() *Client { return NewClient(l.Settings.NodeSocket()) }

// Preflight has the node's program check the machine, before anything is
// changed. It returns one error for each thing that is wrong.
func (l *Launcher) Preflight(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "hubship-preflight-")
	if err != nil {
		return fmt.Errorf("check the machine: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "node.json")
	if err := install.WriteNodeFile(file, l.Settings.NodeFile(l.Data)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := l.run(ctx, "preflight", file)
	if err == nil {
		return nil
	}
	if found := findings(out); len(found) > 0 {
		return errors.Join(found...)
	}
	return fmt.Errorf("check the machine: %w", err)
}

var bullet = regexp.MustCompile(`^\s*(?:[-*•]|\d+[.)])\s+`)

// findings reads what preflight prints: a line for each thing that is wrong,
// with or without a bullet, and maybe a heading that ends in a colon.
func findings(out []byte) []error {
	var found []error
	for line := range strings.Lines(string(out)) {
		text := strings.TrimSpace(bullet.ReplaceAllString(line, ""))
		text = strings.TrimPrefix(text, Program+": ")
		if text == "" || strings.HasSuffix(text, ":") {
			continue
		}
		found = append(found, errors.New(text))
	}
	return found
}

// Start runs the node's supervisor in a session of its own, with its output
// in the installation's log.
func (l *Launcher) Start() (*proc.Detached, error) {
	paths := install.At(l.Data)
	if err := install.WriteNodeFile(paths.NodeSettings, l.Settings.NodeFile(l.Data)); err != nil {
		return nil, err
	}
	return proc.Start(paths.NodeLog, l.Program, "run", "--config", paths.NodeSettings)
}

// Wait asks for the status until the node is ready, and passes each status to
// seen. started may be nil when the supervisor ran already. It fails at once
// when the supervisor ends, and when the supervisor gives up.
func (l *Launcher) Wait(ctx context.Context, started *proc.Detached, seen func(Status)) (Status, error) {
	client := l.Client()
	var ended <-chan struct{}
	if started != nil {
		ended = started.Ended()
	}
	silent := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := client.Status(ctx)
		switch {
		case err == nil:
			silent = time.Now()
			seen(s)
			if s.Ready {
				return s, nil
			}
			if s.Phase == Failed {
				return s, l.gaveUp("the embedded node did not start: " + s.Error)
			}
		case ctx.Err() == nil && time.Since(silent) > 30*time.Second:
			return s, l.gaveUp(fmt.Sprintf("the embedded node's supervisor does not answer: %v", err))
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("wait for the embedded node: %w", ctx.Err())
		case <-ended:
			return s, l.gaveUp(fmt.Sprintf("the embedded node's supervisor exited: %v", started.Err()))
		case <-tick.C:
		}
	}
}

// gaveUp is an error with the end of the supervisor's log.
func (l *Launcher) gaveUp(text string) error {
	log := install.At(l.Data).NodeLog
	if tail := proc.Tail(log, 15); tail != "" {
		text += "\nthe end of its log:\n" + tail
	}
	return model.WithHint(errors.New(text), "the whole log is in "+log+"; each component has its own in "+filepath.Join(install.At(l.Data).NodeData, "logs"))
}

// Stop ends the node in good order and waits until its supervisor is gone.
// A node that does not run is no error.
func (l *Launcher) Stop(ctx context.Context, seen func(Status)) error {
	client := l.Client()
	first, err := client.Status(ctx)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	rec, err := proc.Of(first.PID)
	if err != nil {
		return fmt.Errorf("stop the embedded node: %w", err)
	}
	if err := client.Stop(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(2 * time.Minute)
	for rec.Alive() {
		if time.Now().After(deadline) {
			return model.WithHint(fmt.Errorf("the embedded node (process %d) did not stop", rec.PID),
				"see "+install.At(l.Data).NodeLog+"; `hubship down --purge` removes it by force, including its data")
		}
		if s, err := client.Status(ctx); err == nil {
			seen(s)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the embedded node to stop: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// Purge removes everything of the node from the machine, data included, also
// when its supervisor is dead.
func (l *Launcher) Purge(ctx context.Context) error {
	file := install.At(l.Data).NodeSettings
	if err := install.WriteNodeFile(file, l.Settings.NodeFile(l.Data)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	out, err := l.run(ctx, "purge", file)
	if err != nil {
		return model.WithHint(fmt.Errorf("remove the embedded node: %w\n%s", err, lastLines(out, 15)),
			"run it again to remove what is left")
	}
	return nil
}

// run runs the node's program to its end and returns what it printed.
func (l *Launcher) run(ctx context.Context, command, config string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, l.Program, command, "--config", config)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s %s: %w", Program, command, err)
	}
	return out.Bytes(), nil
}

func lastLines(out []byte, n int) string {
	all := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}
