package gitserver

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/internal/git"
)

// fixture is a server with one repository, deployment, whose branch staging
// has one commit.
type fixture struct {
	t     *testing.T
	root  string
	url   string // of the server
	token string
	log   *syncBuffer

	mu     sync.Mutex
	pushes []push
}

type push struct {
	updates []refs.Update
	by      string
}

// syncBuffer collects a log that several goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newFixture(t *testing.T, change func(*Options)) *fixture {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	f := &fixture{t: t, root: t.TempDir(), log: &syncBuffer{}}
	var err error
	if f.token, err = NewToken(filepath.Join(t.TempDir(), "token")); err != nil {
		t.Fatal(err)
	}
	opts := Options{
		Root: f.root, Authenticate: func(_ context.Context, secret string, _ bool) (string, bool) { return "ada", secret == f.token },
		Log:  slog.New(slog.NewTextHandler(f.log, nil)),
		Move: f.move,
		OnPush: func(_ context.Context, repository string, updates []refs.Update, by string) []string {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.pushes = append(f.pushes, push{updates, by})
			return []string{"hubship: run r1 started for " + repository, "follow it at http://localhost:8080/runs/r1"}
		},
	}
	if change != nil {
		change(&opts)
	}
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	// The first push is made without the server.
	bare := filepath.Join(f.root, "deployment.git")
	f.git("", "init", "--quiet", "--bare", "--initial-branch=staging", bare)
	seed := f.repo("seed")
	f.commit(seed, "README.md", "hello\n")
	f.git(seed, "push", "--quiet", bare, "HEAD:refs/heads/staging")
	srv := httptest.NewServer(http.StripPrefix("/git", s))
	t.Cleanup(srv.Close)
	f.url = srv.URL + "/git/"
	return f
}

// move moves what a push asks for, but rewrites and deletes neither staging nor
// prod.
func (f *fixture) move(ctx context.Context, repository, _ string, moves []Move) (map[string]string, error) {
	r, err := git.Open(filepath.Join(f.root, repository+".git"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	refused := map[string]string{}
	var list []git.RefMove
	blank := func(id string) string { return strings.ReplaceAll(id, refs.ZeroID, "") }
	for _, m := range moves {
		keeps := m.Ref == "refs/heads/staging" || m.Ref == "refs/heads/prod"
		forward := m.Old == refs.ZeroID
		if !forward && m.New != refs.ZeroID {
			if forward, err = r.IsAncestor(ctx, m.Old, m.New); err != nil {
				return nil, err
			}
		}
		if !strings.HasPrefix(m.Ref, "refs/heads/") && !strings.HasPrefix(m.Ref, "refs/tags/") || keeps && !forward {
			refused[m.Ref] = "protected"
		}
		list = append(list, git.RefMove{Name: m.Ref, Old: blank(m.Old), New: blank(m.New)})
	}
	if len(refused) > 0 {
		return refused, nil
	}
	if err := r.MoveRefs(ctx, list...); errors.Is(err, git.ErrMoved) {
		for _, m := range moves {
			refused[m.Ref] = "moved"
		}
		return refused, nil
	}
	return nil, err
}

func (f *fixture) env(token string) []string {
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "HOME="+f.t.TempDir(), "LC_ALL=C", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=credential.helper",
		`GIT_CONFIG_VALUE_0=!f() { echo username=ada; echo "password=$TEST_TOKEN"; }; f`,
		"GIT_CONFIG_KEY_1=advice.detachedHead", "GIT_CONFIG_VALUE_1=false",
		"TEST_TOKEN="+token)
}

// try runs git as a user with the token.
func (f *fixture) try(dir string, args ...string) (string, error) {
	return f.tryWith(dir, f.env(f.token), args...)
}

func (f *fixture) tryWith(dir string, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (f *fixture) git(dir string, args ...string) string {
	f.t.Helper()
	out, err := f.try(dir, args...)
	if err != nil {
		f.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func (f *fixture) repo(name string) string {
	f.t.Helper()
	dir := filepath.Join(f.t.TempDir(), name)
	f.git("", "init", "--quiet", "--initial-branch=staging", dir)
	return dir
}

func (f *fixture) clone() string {
	f.t.Helper()
	dir := filepath.Join(f.t.TempDir(), "clone")
	f.git("", "clone", "--quiet", f.url+"deployment.git", dir)
	return dir
}

func (f *fixture) commit(dir, name, content string) string {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.git(dir, "add", "-A")
	f.git(dir, "commit", "--quiet", "-m", "Change "+name)
	return f.git(dir, "rev-parse", "HEAD")
}

// head is where a branch of the served repository is; "" without one.
func (f *fixture) head(branch string) string {
	out, err := f.try(filepath.Join(f.root, "deployment.git"), "rev-parse", "--verify", "--quiet", "refs/heads/"+branch)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}

// pushed are the pushes that were announced so far.
func (f *fixture) pushed() []push {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.pushes)
}
