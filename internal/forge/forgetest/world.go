package forgetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
)

// world is a setup, and what a contributor has on their own machine.
type world struct {
	Setup
	t    *testing.T
	tree string // a clone of the fork
	home string
}

func newWorld(t *testing.T, s Setup) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{Setup: s, t: t, tree: filepath.Join(dir, "tree"), home: filepath.Join(dir, "home")}
	ok(t, os.MkdirAll(w.home, 0o700))
	w.git(s.Fork, "", "clone", "--quiet", "--branch", "staging", w.remote(s.Fork).URL, w.tree)
	return w
}

func (w *world) remote(f forge.Participant) forge.Remote {
	w.t.Helper()
	r, err := f.Remote(w.t.Context())
	ok(w.t, err)
	return r
}

// try runs git as the account of a forge.
func (w *world) try(as forge.Participant, dir string, args ...string) (string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	cmd.Env = append(cmd.Env, "HOME="+w.home, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org")
	cmd.Env = append(cmd.Env, w.remote(as).Env()...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (w *world) git(as forge.Participant, dir string, args ...string) string {
	w.t.Helper()
	out, err := w.try(as, dir, args...)
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// commit puts a commit with files on a new branch from staging, or on top of
// the branch when it is there, and returns its id. A nil content removes.
func (w *world) commit(branch, message string, files map[string]*string) string {
	w.t.Helper()
	if _, err := w.try(w.Fork, w.tree, "checkout", "--quiet", branch, "--"); err != nil {
		w.git(w.Fork, w.tree, "checkout", "--quiet", "-b", branch, "origin/staging")
	}
	for name, content := range files {
		path := filepath.Join(w.tree, name)
		if content == nil {
			ok(w.t, os.Remove(path))
			continue
		}
		ok(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
		ok(w.t, os.WriteFile(path, []byte(*content), 0o600))
	}
	w.git(w.Fork, w.tree, "add", "--all")
	w.git(w.Fork, w.tree, "commit", "--quiet", "-m", message)
	return w.git(w.Fork, w.tree, "rev-parse", "HEAD")
}

// push puts a branch of the clone into the fork.
func (w *world) push(branch string) {
	w.t.Helper()
	w.git(w.Fork, w.tree, "push", "--quiet", "--force", "origin", branch)
}

// head is a branch of the fork as a pull request names it.
func (w *world) head(branch string) string { return w.Fork.Repository().Owner + ":" + branch }

// propose opens a pull request from a new branch of the fork, with one commit
// that adds a file of the branch's name.
func (w *world) propose(branch string) forge.PullRequest {
	w.t.Helper()
	content := "# " + branch + "\n"
	w.commit(branch, "Add "+branch, map[string]*string{branch + ".yaml": &content})
	w.push(branch)
	p, err := w.Contributor.Open(w.t.Context(), forge.NewPullRequest{Title: "Add " + branch, Body: "Because.", Head: w.head(branch), Base: "staging"})
	ok(w.t, err)
	return p
}

// read asks for a pull request until it is as it should be, since forges find
// some things out later.
func (w *world) read(number int, what string, is func(forge.PullRequest) bool) forge.PullRequest {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		p, err := w.Maintainer.PullRequest(w.t.Context(), number)
		ok(w.t, err)
		if is(p) {
			return p
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("pull request %d is not %s: %+v", number, what, p)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *world) mergeable(number int) forge.PullRequest {
	w.t.Helper()
	return w.read(number, "mergeable", func(p forge.PullRequest) bool { return p.Mergeable != nil && *p.Mergeable })
}

// login is the name of an account.
func (w *world) login(f forge.Participant) string {
	w.t.Helper()
	l, err := f.Login(w.t.Context())
	ok(w.t, err)
	return l
}

func text(format string, args ...any) *string {
	s := fmt.Sprintf(format, args...)
	return &s
}
