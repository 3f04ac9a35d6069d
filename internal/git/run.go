package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
)

const (
	// killWait is how long a git process may keep its pipes open after it
	// was killed.
	killWait = 5 * time.Second
	// maxStderr bounds what is kept of a process's error output, in bytes.
	maxStderr = 8 << 10
	// maxOutput bounds what a process may answer, in bytes, and maxMemory what
	// it may keep in memory. A tree that names the same folder ten times, ten
	// levels deep, is a push of a few kilobytes, and so is a commit whose
	// message has gigabytes of one letter.
	maxOutput = 32 << 20
	maxMemory = 1 << 30
)

// command is one run of the git program.
type command struct {
	args  []string
	env   []string
	stdin io.Reader
	// limit bounds the output, in bytes: the process is ended there, and what
	// it wrote until then is the answer. 0 makes more than maxOutput an error.
	limit int
}

// exitError is a git process that ended with a status other than zero.
type exitError struct {
	command string // the subcommand
	code    int
	stderr  string
	stdout  []byte
}

func (e *exitError) Error() string {
	if e.stderr == "" {
		return fmt.Sprintf("git %s ended with status %d", e.command, e.code)
	}
	return fmt.Sprintf("git %s: %s", e.command, e.stderr)
}

// exitCode returns the status of a git process that failed, or -1 if err is
// something else.
func exitCode(err error) int {
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return -1
}

// baseArgs switch off whatever in a repository could run a program, and the
// ownership check, which would refuse a repository that another user made.
var baseArgs = []string{
	"-c", "safe.directory=*",
	"-c", "core.hooksPath=" + os.DevNull,
	"-c", "core.fsmonitor=false",
	"-c", "core.quotePath=false",
	"-c", "commit.gpgSign=false",
	"-c", "log.showSignature=false",
	"-c", "gc.auto=0",
}

// environment is that of every git process: the caller's without any GIT_
// variable, so that a run from within a hook does not act on another
// repository.
func environment(extra []string) []string {
	env := make([]string, 0, len(os.Environ())+len(extra)+8)
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "GIT_") || strings.HasPrefix(kv, "LC_") || strings.HasPrefix(kv, "LANG") {
			continue
		}
		env = append(env, kv)
	}
	env = append(env,
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_TERMINAL_PROMPT=0",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_LITERAL_PATHSPECS=1",
		// A pushed refs/replace/* must not change what a commit means.
		"GIT_NO_REPLACE_OBJECTS=1",
	)
	return append(env, extra...)
}

// newCommand prepares a git process that is killed with all its children when
// ctx ends.
func newCommand(ctx context.Context, args, env []string) *exec.Cmd {
	full := append(append(make([]string, 0, len(baseArgs)+len(args)), baseArgs...), args...)
	cmd := exec.CommandContext(ctx, "git", full...)
	cmd.Env = environment(env)
	cmd.WaitDelay = killWait
	ownGroup(cmd)
	return cmd
}

// runGit runs git to its end and returns its standard output.
func runGit(ctx context.Context, c command) ([]byte, error) {
	cmd := newCommand(ctx, c.args, c.env)
	stderr := &head{max: maxStderr}
	stdout := &bounded{max: cmp.Or(c.limit, maxOutput), end: func() { _ = killGroup(cmd) }}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.stdin, stdout, stderr
	err := start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	switch {
	case stdout.more && c.limit > 0:
		return stdout.buf.Bytes(), nil
	case stdout.more:
		return nil, model.WithHint(fmt.Errorf("git %s returned more than %d MiB", subcommand(c.args), maxOutput>>20),
			"the repository has far more files or longer texts than a deployment repository needs")
	case err == nil:
		return stdout.buf.Bytes(), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("git %s: %w", subcommand(c.args), context.Cause(ctx))
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, &exitError{command: subcommand(c.args), code: exit.ExitCode(), stderr: firstLines(stderr.String()), stdout: stdout.buf.Bytes()}
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, model.WithHint(fmt.Errorf("run git: %w", err), "install the Debian package git")
	}
	return nil, fmt.Errorf("run git %s: %w", subcommand(c.args), err)
}

// subcommand finds the name of the git command among the arguments.
func subcommand(args []string) string {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-C" || args[i] == "-c":
			i++
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		}
	}
	return ""
}

// firstLines makes one line of git's error output.
func firstLines(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		for _, p := range []string{"fatal: ", "error: "} {
			line = strings.TrimPrefix(line, p)
		}
		if line == "" || strings.HasPrefix(line, "hint:") {
			continue
		}
		if out = append(out, line); len(out) == 4 {
			break
		}
	}
	return strings.Join(out, "; ")
}

// start begins a process of git with a bound on its memory.
func start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	limitMemory(cmd.Process.Pid, maxMemory)
	return nil
}

// bounded keeps the first bytes written to it, and ends the process that
// writes more.
type bounded struct {
	buf  bytes.Buffer
	max  int
	more bool
	end  func()
}

// Write never fails: what comes before the process ends is thrown away.
func (b *bounded) Write(p []byte) (int, error) {
	room := b.max - b.buf.Len()
	b.buf.Write(p[:min(room, len(p))])
	if len(p) > room && !b.more {
		b.more = true
		b.end()
	}
	return len(p), nil
}

// head keeps the first bytes written to it and counts the rest as read.
type head struct {
	buf bytes.Buffer
	max int
}

// Write never fails, so that the process is not stopped by a full buffer.
func (h *head) Write(p []byte) (int, error) {
	if room := h.max - h.buf.Len(); room > 0 {
		h.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (h *head) String() string { return h.buf.String() }
