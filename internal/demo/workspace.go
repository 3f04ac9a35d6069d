package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// workspace is where the contributor works: a clone of their fork, with the git
// program, as a person would. The server never sees it other than through
// HTTP, so this is no second user of git within hubship.
type workspace struct {
	dir    string // the clone
	branch string // that is worked on
	env    []string
}

// clone forks the deployment repository, or brings the fork up to date, and
// clones it. The token goes to git through its environment, never through an
// argument, a URL or a file.
func (p *scenario) clone(ctx context.Context) (*workspace, error) {
	forks, ok := p.contributor.(forge.Forks)
	if !ok {
		return nil, errors.New("this forge does not support forks")
	}
	fork, err := forks.Fork(ctx, p.fromBranch())
	if err != nil {
		return nil, err
	}
	at, err := p.Forge(ctx, Contributor, fork)
	if err != nil {
		return nil, err
	}
	remote, err := at.Remote(ctx)
	if err != nil {
		return nil, err
	}
	d := &workspace{dir: filepath.Join(p.dir, "repository")}
	d.env = append(append(withoutGit(os.Environ()),
		"LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_AUTHOR_NAME=hubship demo", "GIT_AUTHOR_EMAIL="+Contributor+"@localhost",
		"GIT_COMMITTER_NAME=hubship demo", "GIT_COMMITTER_EMAIL="+Contributor+"@localhost",
		"no_proxy=localhost,127.0.0.1", "NO_PROXY=localhost,127.0.0.1"), // where the forge is
		remote.Env()...)
	p.Reporter.Say("clone %s, branch %s", remote.URL, p.fromBranch())
	_, err = d.git(ctx, "", "clone", "--quiet", "--branch", p.fromBranch(), "--", remote.URL, d.dir)
	return d, err
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

func (d *workspace) git(ctx context.Context, dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = d.env
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
// the clone, and its text.
func (d *workspace) requirements(ctx context.Context, hub string) (file, text string, err error) {
	out, err := d.git(ctx, d.dir, "ls-files", "--", "*requirements.txt")
	if err != nil {
		return "", "", err
	}
	for file := range strings.Lines(out) {
		file = strings.TrimSpace(file)
		if filepath.Base(file) == "requirements.txt" && strings.Contains("/"+file, "/"+hub+"/") {
			text, err := d.read(file)
			return file, text, err
		}
	}
	return "", "", model.WithHint(fmt.Errorf("hub %s has no requirements.txt in the deployment repository", hub), "the demo adds a line to that file")
}

func (d *workspace) read(file string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(d.dir, file))
	if err != nil {
		return "", fmt.Errorf("read the clone: %w", err)
	}
	return string(raw), nil
}

func (d *workspace) write(file string, data []byte) error {
	path := filepath.Join(d.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write to the clone: %w", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write to the clone: %w", err)
	}
	return nil
}

// push commits everything on a branch, pushes it to the fork and returns the
// commit. A branch that an earlier demo left there is replaced.
func (d *workspace) push(ctx context.Context, branch, message string) (string, error) {
	if d.branch != branch {
		if _, err := d.git(ctx, d.dir, "switch", "--quiet", "--create", branch); err != nil {
			return "", err
		}
		d.branch = branch
	}
	for _, args := range [][]string{{"add", "--all"}, {"commit", "--quiet", "--message", message}, {"push", "--quiet", "--force", "origin", "HEAD:refs/heads/" + branch}} {
		if _, err := d.git(ctx, d.dir, args...); err != nil {
			return "", err
		}
	}
	return d.git(ctx, d.dir, "rev-parse", "HEAD")
}
