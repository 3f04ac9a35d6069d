package git

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

var tester = Identity{Name: "Tess Ter", Email: "tess@example.org"}

// newRepo makes a bare repository.
func newRepo(t testing.TB) *Repo {
	t.Helper()
	r, err := Init(t.Context(), filepath.Join(t.TempDir(), "deployment.git"), InitOptions{Bare: true, DefaultBranch: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// commit records files on a branch and returns the commit.
func commit(t testing.TB, r *Repo, branch, message string, files map[string]string, modes map[string]fs.FileMode) string {
	t.Helper()
	parent, err := r.Head(t.Context(), branch)
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string][]byte{}
	for name, text := range files {
		contents[name] = []byte(text)
		if text == "<removed>" {
			contents[name] = nil
		}
	}
	id, err := r.CommitFiles(t.Context(), branch, parent, contents, modes, message, tester)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// realGit runs the git program the way a person would, apart from the code
// under test.
func realGit(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=P", "GIT_AUTHOR_EMAIL=p@example.org", "GIT_COMMITTER_NAME=P", "GIT_COMMITTER_EMAIL=p@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimRight(string(out), "\n")
}

func TestOpen(t *testing.T) {
	work := t.TempDir()
	realGit(t, work, "init", "-q")
	if err := os.Mkdir(filepath.Join(work, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	bare := newRepo(t)
	for name, tc := range map[string]struct{ dir, want, err string }{
		"work tree":     {dir: work, want: filepath.Join(work, ".git")},
		"git directory": {dir: filepath.Join(work, ".git"), want: filepath.Join(work, ".git")},
		"bare":          {dir: bare.Dir(), want: bare.Dir()},
		"folder below":  {dir: filepath.Join(work, "below"), err: "not a git repository"},
		"missing":       {dir: filepath.Join(work, "nothing"), err: "no such file"},
		"plain folder":  {dir: t.TempDir(), err: "not a git repository"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Open(tc.dir)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || model.HintOf(err) == "" {
					t.Fatalf("error %v with hint %q, want one about %q", err, model.HintOf(err), tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			if want, _ := filepath.EvalSymlinks(tc.want); r.Dir() != want {
				t.Errorf("git directory %s, want %s", r.Dir(), want)
			}
		})
	}
}

// TestCallersEnvironment runs as if from within a hook of another repository.
func TestCallersEnvironment(t *testing.T) {
	other := newRepo(t)
	t.Setenv("GIT_DIR", other.Dir())
	t.Setenv("GIT_INDEX_FILE", filepath.Join(t.TempDir(), "index"))
	r := newRepo(t)
	id := commit(t, r, "staging", "one", map[string]string{"a": "1"}, nil)
	if head, err := r.Head(t.Context(), "staging"); err != nil || head != id {
		t.Errorf("head %s, %v", head, err)
	}
	if head, err := other.Head(t.Context(), "staging"); err != nil || head != "" {
		t.Errorf("the other repository has head %q, %v", head, err)
	}
}

func TestResolve(t *testing.T) {
	r := newRepo(t)
	first := commit(t, r, "staging", "first", map[string]string{"a": "1"}, nil)
	second := commit(t, r, "staging", "second", map[string]string{"a": "2"}, nil)
	side := commit(t, r, "feature/x", "other", map[string]string{"b": "1"}, nil)
	realGit(t, r.Dir(), "tag", "-a", "-m", "v1", "v1", first)
	realGit(t, r.Dir(), "tag", "staging", first) // a branch wins
	blob := realGit(t, r.Dir(), "rev-parse", first+":a")
	for rev, want := range map[string]string{
		"staging": second, "staging~1": first, "staging^": first, "feature/x": side, "v1": first,
		first: first, first[:10]: first, "refs/heads/staging": second, "heads/staging": second,
		"nothing": "", strings.Repeat("0", 40): "", strings.Repeat("a", 40): "", blob: "", blob[:12]: "",
		"": "", "-h": "", "--all": "", "a..b": "", "staging:a": "", ":/first": "", "sta ging": "", "a\nb": "",
		"^staging": "", "@{-1}": "", "staging@{1}": "",
	} {
		got, err := r.Resolve(t.Context(), rev)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Resolve(%q) = %q, %v, want %q", rev, got, err, want)
		}
	}
	if _, err := r.Resolve(t.Context(), "nothing"); !errors.Is(err, ErrNotFound) || model.HintOf(err) == "" {
		t.Errorf("unknown revision: %v", err)
	}
}

func TestHeadAndBranches(t *testing.T) {
	r := newRepo(t)
	if head, err := r.Head(t.Context(), "staging"); head != "" || err != nil {
		t.Errorf("empty repository: %q, %v", head, err)
	}
	a := commit(t, r, "feature/a", "a", map[string]string{"f": "1"}, nil)
	if head, err := r.Head(t.Context(), "feature"); head != "" || err != nil {
		t.Errorf("folder of branches: %q, %v", head, err)
	}
	if head, err := r.Head(t.Context(), "feature/a"); head != a || err != nil {
		t.Errorf("head %q, %v", head, err)
	}
	for _, bad := range []string{"", "-x", "a..b", "a b", "x.lock", "a//b", "*", "HEAD"} {
		if _, err := r.Head(t.Context(), bad); err == nil {
			t.Errorf("branch name %q was accepted", bad)
		}
	}
	branches, err := r.Branches(t.Context())
	if err != nil || len(branches) != 1 || branches["feature/a"] != a {
		t.Errorf("branches %v, %v", branches, err)
	}
}

func TestHistory(t *testing.T) {
	r := newRepo(t)
	first := commit(t, r, "staging", "Erste Änderung\n\nmore text", map[string]string{"a": "1", "d/b": "1"}, nil)
	second := commit(t, r, "staging", "second: \"quoted\" <x>", map[string]string{"a": "2"}, nil)
	third := commit(t, r, "staging", "third", map[string]string{"d/b": "<removed>", "ü": "1"}, nil)

	if s, err := r.Subject(t.Context(), first); s != "Erste Änderung" || err != nil {
		t.Errorf("subject %q, %v", s, err)
	}
	log, err := r.Log(t.Context(), first, third, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range log {
		ids = append(ids, c.ID)
	}
	if !slices.Equal(ids, []string{third, second}) {
		t.Errorf("log %v, want %v", ids, []string{third, second})
	}
	if c := log[0]; c.Author != tester || !slices.Equal(c.Parents, []string{second}) || time.Since(c.Time) > time.Hour {
		t.Errorf("commit %+v", c)
	}
	if all, err := r.Log(t.Context(), "", third, 2); err != nil || len(all) != 2 {
		t.Errorf("limited log: %d commits, %v", len(all), err)
	}
	if none, err := r.Log(t.Context(), third, third, 0); err != nil || len(none) != 0 {
		t.Errorf("empty log: %d commits, %v", len(none), err)
	}
	if _, err := r.Log(t.Context(), "", strings.Repeat("1", 40), 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("log of an unknown commit: %v", err)
	}
	for _, tc := range []struct {
		old, new string
		want     bool
	}{{first, third, true}, {first, first, true}, {third, first, false}} {
		if got, err := r.IsAncestor(t.Context(), tc.old, tc.new); got != tc.want || err != nil {
			t.Errorf("IsAncestor(%.7s, %.7s) = %v, %v", tc.old, tc.new, got, err)
		}
	}
	if _, err := r.IsAncestor(t.Context(), strings.Repeat("1", 40), first); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown ancestor: %v", err)
	}
	if paths, err := r.ChangedPaths(t.Context(), first, third); err != nil || !slices.Equal(paths, []string{"a", "d/b", "ü"}) {
		t.Errorf("changed paths %q, %v", paths, err)
	}
	if paths, err := r.ChangedPaths(t.Context(), "", first); err != nil || !slices.Equal(paths, []string{"a", "d/b"}) {
		t.Errorf("paths of the first commit %q, %v", paths, err)
	}
}

// TestReplaceObjects pushes a replacement of a commit: what an id means must
// not change.
func TestReplaceObjects(t *testing.T) {
	r := newRepo(t)
	good := commit(t, r, "staging", "good", map[string]string{"a": "good"}, nil)
	evil := commit(t, r, "evil", "evil", map[string]string{"a": "evil"}, nil)
	realGit(t, r.Dir(), "replace", good, evil)
	tree, err := r.Tree(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := fs.ReadFile(tree.FS(), "a"); string(data) != "good" || err != nil {
		t.Errorf("content %q, %v", data, err)
	}
}

func TestCancel(t *testing.T) {
	r := newRepo(t)
	id := commit(t, r, "staging", "one", map[string]string{"a": "1"}, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("no longer wanted")
	cancel(cause)
	if _, err := r.Resolve(ctx, "staging"); !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
	if _, err := r.Blob(ctx, id); err == nil {
		t.Error("a blob was read after the end")
	}
	// A hanging process is killed with what it started.
	short, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	began := time.Now()
	_, err := runGit(short, command{args: []string{"-c", "alias.hang=!sleep 60 & sleep 60", "hang"}})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestClosed(t *testing.T) {
	r := newRepo(t)
	commit(t, r, "staging", "one", map[string]string{"a": "1"}, nil)
	tree, err := r.Tree(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Head(t.Context(), "staging"); !errors.Is(err, ErrClosed) {
		t.Errorf("head: %v", err)
	}
	if _, err := fs.ReadFile(tree.FS(), "a"); !errors.Is(err, ErrClosed) {
		t.Errorf("read: %v", err)
	}
}
