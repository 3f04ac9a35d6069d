package demo

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// contributor works with the git program in a clone, as a person would. The
// server never sees it other than through HTTP, so this is no second user of
// git within hubship.
type contributor struct {
	dir string // the clone
	env []string
}

// clone clones the deployment repository at the branch. The token goes to git
// through its environment, never through an argument, a URL or a file.
func (p *play) clone(ctx context.Context, branch string) (*contributor, error) {
	c := &contributor{dir: filepath.Join(p.dir, "repository")}
	basic := base64.StdEncoding.EncodeToString([]byte("demo:" + p.Token))
	c.env = append(withoutGit(os.Environ()),
		"LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=hubship demo", "GIT_AUTHOR_EMAIL=demo@localhost",
		"GIT_COMMITTER_NAME=hubship demo", "GIT_COMMITTER_EMAIL=demo@localhost",
		"GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=http."+p.CloneURL+".extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic "+basic,
		// The address is this machine's loopback: no proxy leads there.
		"GIT_CONFIG_KEY_1=http."+p.CloneURL+".proxy", "GIT_CONFIG_VALUE_1=")
	if _, err := c.git(ctx, "", "clone", "--quiet", "--branch", branch, "--", p.CloneURL, c.dir); err != nil {
		return nil, err
	}
	return c, nil
}

// withoutGit leaves out what would point git somewhere else, or make it print
// the header that holds the token.
func withoutGit(env []string) []string {
	var kept []string
	for _, e := range env {
		if !strings.HasPrefix(e, "GIT_") {
			kept = append(kept, e)
		}
	}
	return kept
}

func (c *contributor) git(ctx context.Context, dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = c.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", model.WithHint(err, "install git")
		}
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// requirements is the file that lists the hub's packages, from the root of
// the clone.
func (c *contributor) requirements(ctx context.Context, hub string) (string, error) {
	out, err := c.git(ctx, c.dir, "ls-files", "--", "*requirements.txt")
	if err != nil {
		return "", err
	}
	for file := range strings.Lines(out) {
		file = strings.TrimSpace(file)
		if filepath.Base(file) == "requirements.txt" && strings.Contains("/"+file, "/"+hub+"/") {
			return file, nil
		}
	}
	return "", model.WithHint(fmt.Errorf("hub %s has no requirements.txt in the deployment repository", hub), "the demo adds a line to that file")
}

func (c *contributor) read(file string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(c.dir, file))
	if err != nil {
		return "", fmt.Errorf("read the clone: %w", err)
	}
	return string(raw), nil
}

func (c *contributor) write(file string, data []byte) error {
	path := filepath.Join(c.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write to the clone: %w", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write to the clone: %w", err)
	}
	return nil
}

// commit commits everything on a new branch and returns the commit.
func (c *contributor) commit(ctx context.Context, branch, message string) (string, error) {
	for _, args := range [][]string{{"switch", "--quiet", "--create", branch}, {"add", "--all"}, {"commit", "--quiet", "--message", message}} {
		if _, err := c.git(ctx, c.dir, args...); err != nil {
			return "", err
		}
	}
	return c.git(ctx, c.dir, "rev-parse", "HEAD")
}

// push pushes what is checked out to a branch of the deployment repository.
func (c *contributor) push(ctx context.Context, branch string) error {
	_, err := c.git(ctx, c.dir, "push", "--quiet", "origin", "HEAD:refs/heads/"+branch)
	return err
}

// revert reverts the newest commit and returns the commit that does.
func (c *contributor) revert(ctx context.Context) (string, error) {
	if _, err := c.git(ctx, c.dir, "revert", "--no-edit", "HEAD"); err != nil {
		return "", err
	}
	return c.git(ctx, c.dir, "rev-parse", "HEAD")
}
