package pulls_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/forgetest/process"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/pulls"
)

// world is an embedded forge with a deployment repository, two people, and a
// controller whose engine does as the test says.
type world struct {
	t        *testing.T
	forge    *process.Forge
	name     forge.Repository
	repo     *repository
	engine   *engine
	memory   *memory
	control  *pulls.Controller
	end      func()
	patience time.Duration // with what the forge refuses
	as       forge.Forge   // who the controller is, if not looks
	protect  bool          // hubship protects the branches, and statuses are of a merge

	hubship, mia, carl *github.Client // the program, a maintainer, a contributor
	fork               *github.Client // carl at his fork
	looks              *looks         // hubship, as the controller speaks for it
	tree               string         // carl's clone of his fork
}

// start brings everything up. Without events the controller has to find what
// happens by itself.
func start(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, forge: process.Start(t, process.Options{})}
	w.name = w.forge.Repository
	w.patience = 100 * time.Millisecond
	w.engine = &engine{w: w, promotion: map[string]string{}}
	w.memory = &memory{said: map[string][2]string{}}
	w.forge.Account("mia", model.RoleMaintainer)
	w.forge.Account("carl", model.RoleContributor)
	w.hubship, w.mia, w.carl = w.forge.Client(process.Own, w.name), w.forge.Client("mia", w.name), w.forge.Client("carl", w.name)
	g, err := git.Open(w.forge.Path(w.name))
	w.ok(err)
	t.Cleanup(func() { _ = g.Close() })
	w.repo = &repository{w: w, git: g}
	first, err := g.CommitFiles(t.Context(), "staging", "", map[string][]byte{"hub.yaml": []byte("a: 1\n")}, nil, "Begin", git.Identity{Name: "Mia", Email: "mia@localhost"})
	w.ok(err)
	w.ok(g.SetBranch(t.Context(), "prod", first, ""))
	w.looks = &looks{Client: w.hubship}
	w.fork = w.forge.Client("carl", w.forge.Fork("carl", w.name))
	w.tree = filepath.Join(t.TempDir(), "tree")
	w.git(w.fork, "", "clone", "--quiet", "--branch", "staging", w.remote(w.fork).URL, w.tree)
	w.restart()
	t.Cleanup(func() { w.end() })
	return w
}

// restart ends the controller and starts another one.
func (w *world) restart() {
	w.t.Helper()
	if w.end != nil {
		w.end()
	}
	as := w.as
	if as == nil {
		as = w.looks
	}
	c, err := pulls.New(pulls.Options{
		Forge: as, Engine: w.engine, Repository: w.repo, Plans: noPlans{}, Reports: w.memory, Poll: 50 * time.Millisecond,
		RunURL:  func(run string) string { return "http://hubship.test/runs/" + run },
		PlanURL: func(run string) string { return "http://hubship.test/runs/" + run + "/plan" },
		HubURL:  func(host string) string { return "http://" + host + "/" },
		Protect: w.protect, Patience: w.patience,
		Logger: slog.New(slog.NewTextHandler(&lines{t: w.t}, nil)),
	})
	w.ok(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	w.engine.mu.Lock()
	w.control = c
	w.engine.mu.Unlock()
	w.end = sync.OnceFunc(func() { cancel(); <-done })
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// until waits for something to become true; what it is not yet is told at the
// end of the patience.
func (w *world) until(what string, is func() string) {
	w.t.Helper()
	why := ""
	for range 400 {
		if why = is(); why == "" {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatalf("%s: %s", what, why)
}

func (w *world) remote(f forge.Participant) forge.Remote {
	w.t.Helper()
	r, err := f.Remote(w.t.Context())
	w.ok(err)
	return r
}

func (w *world) git(as forge.Participant, dir string, args ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C",
		"GIT_AUTHOR_NAME=Carl", "GIT_AUTHOR_EMAIL=carl@localhost", "GIT_COMMITTER_NAME=Carl", "GIT_COMMITTER_EMAIL=carl@localhost")
	cmd.Env = append(cmd.Env, w.remote(as).Env()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push puts a commit that changes a file on a branch of the fork.
func (w *world) push(branch, file, text string) string {
	w.t.Helper()
	if w.git(w.fork, w.tree, "branch", "--list", branch) != "" {
		w.git(w.fork, w.tree, "checkout", "--quiet", branch)
	} else {
		w.git(w.fork, w.tree, "checkout", "--quiet", "-b", branch, "origin/staging")
	}
	w.ok(os.WriteFile(filepath.Join(w.tree, file), []byte(text), 0o600))
	w.git(w.fork, w.tree, "add", "--all")
	w.git(w.fork, w.tree, "commit", "--quiet", "-m", "Change "+file)
	w.git(w.fork, w.tree, "push", "--quiet", "--force", "origin", branch)
	return w.git(w.fork, w.tree, "rev-parse", "HEAD")
}

// propose opens a pull request of the contributor's.
func (w *world) propose(branch, title string) forge.PullRequest {
	w.t.Helper()
	w.push(branch, branch+".yaml", "x: "+branch+"\n")
	pr, err := w.carl.Open(w.t.Context(), forge.NewPullRequest{Title: title, Head: "carl:" + branch, Base: "staging"})
	w.ok(err)
	return pr
}

// trusted makes the contributor somebody who had a change merged before.
func (w *world) trusted() { w.ok(w.memory.SetReported(w.t.Context(), w.trustKey(), "merged", "")) }

func (w *world) trustKey() string { return pulls.TrustKey(w.name, w.forge.ID("carl")) }

// status returns a commit's status in a context, as "state description".
func (w *world) status(commit, name string) string {
	list, err := w.hubship.Statuses(w.t.Context(), commit)
	if err != nil {
		return err.Error()
	}
	for _, s := range list {
		if s.Context == name {
			return s.State + " " + s.Description
		}
	}
	return ""
}

// wants waits for a status that begins as it should.
func (w *world) wants(commit, name, begin string) {
	w.t.Helper()
	w.until("status "+name, func() string {
		if got := w.status(commit, name); !strings.HasPrefix(got, begin) {
			return fmt.Sprintf("it is %q, expected %q", got, begin)
		}
		return ""
	})
}

// comments returns hubship's own comments on a pull request.
func (w *world) comments(number int) []string {
	list, err := w.hubship.Comments(w.t.Context(), number)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, c := range list {
		if c.Author == "hubship" {
			out = append(out, c.Body)
		}
	}
	return out
}

// says waits for a comment of hubship's that has all of some texts.
func (w *world) says(number int, texts ...string) string {
	w.t.Helper()
	var found string
	w.until(fmt.Sprintf("comment on #%d", number), func() string {
		for _, body := range w.comments(number) {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(body, text) }) {
				found = body
				return ""
			}
		}
		return fmt.Sprintf("none has %q: %q", texts, w.comments(number))
	})
	return found
}

// checked waits for a check of a pull request at a commit and returns it.
func (w *world) checked(number int, head string) model.Run {
	w.t.Helper()
	var found model.Run
	w.until(fmt.Sprintf("check of #%d at %.7s", number, head), func() string {
		runs, _ := w.engine.Runs(w.t.Context(), model.RunFilter{Kind: model.CheckPull, Pull: number})
		if len(runs) > 0 && runs[0].Pull.Head == head && !runs[0].State.Final() {
			found = runs[0]
			return ""
		}
		return fmt.Sprintf("%d checks, none is under way for it", len(runs))
	})
	return found
}

// merge merges a pull request as the maintainer.
func (w *world) merge(number int) string {
	w.t.Helper()
	pr, err := w.mia.PullRequest(w.t.Context(), number)
	w.ok(err)
	commit, err := w.mia.Merge(w.t.Context(), number, forge.Merge{Head: pr.Head.Commit})
	w.ok(err)
	return commit
}

// looks counts how often pull requests are looked at one by one, and can keep
// hubship from commenting.
type looks struct {
	*github.Client
	n    atomic.Int64
	mute atomic.Bool
}

func (l *looks) Comment(ctx context.Context, number int, body string) (forge.Comment, error) {
	if l.mute.Load() {
		return forge.Comment{}, forge.ErrUnavailable
	}
	return l.Client.Comment(ctx, number, body)
}

func (l *looks) PullRequest(ctx context.Context, number int) (forge.PullRequest, error) {
	l.n.Add(1)
	return l.Client.PullRequest(ctx, number)
}

// memory is what was reported, and can be lost.
type memory struct {
	mu   sync.Mutex
	said map[string][2]string
}

func (m *memory) Reported(_ context.Context, key string) (string, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.said[key]
	return s[0], s[1], nil
}

func (m *memory) SetReported(_ context.Context, key, digest, ref string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said[key] = [2]string{digest, ref}
	return nil
}

func (m *memory) lose() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.said)
}

type noPlans struct{}

func (noPlans) Plan(context.Context, string) (plan.Plan, error) { return plan.Plan{}, fs.ErrNotExist }

// repository is the forge's own, with a process of two environments.
type repository struct {
	w   *world
	git *git.Repo
	// auto lets reverts be merged by themselves.
	auto bool
	// more are environments beside the two.
	more []model.Environment
}

func (r *repository) Fetch(context.Context, ...int) error { return nil }

func (r *repository) FetchPull(context.Context, int, string) error { return nil }

func (r *repository) Follow(context.Context, string) (bool, error) { return false, nil }

func (r *repository) Head(ctx context.Context, branch string) (string, error) {
	return r.git.Head(ctx, branch)
}

func (r *repository) Now(ctx context.Context) (model.Process, error) {
	tip, err := r.git.Head(ctx, "staging")
	p := model.Process{Branch: "staging", Commit: tip, Revert: model.RevertPropose, Environments: []model.Environment{
		{Name: "staging", Branch: "staging"}, {Name: "prod", Branch: "prod", After: "staging"},
	}}
	p.Environments = append(p.Environments, r.more...)
	if r.auto {
		p.Revert = model.RevertAuto
	}
	return p, err
}

func (r *repository) IsAncestor(ctx context.Context, old, new string) (bool, error) {
	ok, err := r.git.IsAncestor(ctx, old, new)
	if errors.Is(err, git.ErrNotFound) {
		err = fs.ErrNotExist
	}
	return ok, err
}

func (r *repository) Changed(ctx context.Context, base, head, _ string) ([]string, error) {
	return r.git.ChangedPaths(ctx, base, head)
}

func (r *repository) MergeRange(ctx context.Context, merge, _ string, _ []forge.Commit) (before, after string, err error) {
	before, err = r.git.Resolve(ctx, merge+"^1")
	return before, merge, err
}

// Revert does what it says with git's own command, as a person would.
func (r *repository) Revert(ctx context.Context, q pulls.Revert) (string, error) {
	dir := filepath.Join(r.w.t.TempDir(), "revert")
	run := func(dir string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "user.name=hubship", "-c", "user.email=hubship@localhost"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), r.w.remote(r.w.hubship).Env()...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
		return strings.TrimSpace(string(out)), err
	}
	there, err := r.git.Head(ctx, q.Branch)
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"clone", "--quiet", "--branch", "staging", r.w.remote(r.w.hubship).URL, dir},
		{"checkout", "--quiet", "-b", q.Branch, q.Onto},
		{"revert", "--no-edit", "-m", "1", q.After},
		{"commit", "--amend", "--quiet", "-m", q.Message},
		{"push", "--quiet", "origin", q.Branch},
	} {
		if args[0] == "push" && there != "" {
			if _, err := run(dir, "diff", "--quiet", there, "HEAD"); err != nil {
				return "", err
			}
			return there, nil // what is there does the same
		}
		at := dir
		if args[0] == "clone" {
			at = ""
		}
		if _, err := run(at, args...); err != nil {
			return "", err
		}
	}
	return run(dir, "rev-parse", "HEAD")
}

// lines is the log of a test.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
