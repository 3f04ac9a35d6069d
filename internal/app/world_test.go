package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/forgetest/process"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/pulls"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/server"
	runs "github.com/hubship/hubship/internal/store"
)

// author makes the commits of tests.
var author = git.Hubship

// world is an installation without a cluster: its forge's program, its controller
// and its HTTP port are the real ones.
type world struct {
	t        *testing.T
	paths    install.Paths
	settings install.Settings
	engine   *engine
	memory   *memory
	process  *forgeRuntime
	// repository is hubship's copy of the forge's.
	repository *repo.Repository
	stop       func()
}

func newWorld(t *testing.T, change func(*install.Settings)) *world {
	t.Helper()
	process.Build(t) // hubship finds it beside this program
	w := &world{t: t, paths: install.At(t.TempDir()), settings: install.Default(), engine: &engine{}, memory: &memory{said: map[string][2]string{}}}
	w.settings.Port = freePort(t)
	if change != nil {
		change(&w.settings)
	}
	w.start()
	return w
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// start does what Serve does, but for cluster and builder.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	log := slog.New(slog.NewTextHandler(&lines{t: w.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g, err := openCopy(ctx, w.paths, w.settings, log)
	w.ok(err)
	w.repository = repo.New(g, repo.Options{Process: processOf(g, w.settings)})
	history, err := runs.Open(ctx, w.paths.History)
	w.ok(err)
	w.process, err = newForgeRuntime(ctx, deps{
		paths: w.paths, settings: w.settings, repository: w.repository, engine: w.engine, memory: w.memory, keep: history, log: log,
	})
	w.ok(err)
	w.engine.set(w.process.control)
	opts := server.Options{Addr: fmt.Sprintf("127.0.0.1:%d", w.settings.Port), Service: served{}, Log: log}
	w.process.mount(&opts)
	srv, err := server.New(opts)
	w.ok(err)
	w.ok(w.process.control.Protect(ctx))
	w.ok(srv.Listen())
	var group sync.WaitGroup
	group.Go(func() { w.process.run(ctx) })
	group.Go(func() {
		if err := srv.Serve(ctx); err != nil {
			w.t.Error(err)
		}
	})
	process := w.process
	w.stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
		var err error
		if process.local != nil {
			err = process.local.launcher.Stop(context.Background())
		}
		if err := errors.Join(err, g.Close(), history.Close()); err != nil {
			w.t.Error(err)
		}
		if said, err := os.ReadFile(w.paths.ForgeLog); err == nil && w.t.Failed() {
			w.t.Logf("the forge's log:\n%s", said)
		}
	})
	w.t.Cleanup(w.stop)
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// until waits for something to become true, less long than polls are apart:
// webhooks have to tell.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for range 200 {
		if is() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatalf("%s: it did not happen", what)
}

// moved does what follows when the forge moves a branch of the deployment
// repository, at once.
func (w *world) moved() {
	w.t.Helper()
	w.ok(w.process.control.Refresh(w.t.Context()))
}

// there is the forge's own repository, as it is on this machine.
func (w *world) there() *git.Repo {
	w.t.Helper()
	g, err := git.Open(w.paths.ForgeRepository)
	w.ok(err)
	w.t.Cleanup(func() { _ = g.Close() })
	return g
}

// admin manages the forge's accounts.
func (w *world) admin() *api.Client {
	c := api.New(w.paths.ForgeAdmin)
	w.t.Cleanup(c.Close)
	return c
}

// account makes an account unless it is there, and returns a client and a token
// of it.
func (w *world) account(login, role string, at forge.Repository) (*github.Client, string) {
	w.t.Helper()
	if _, err := w.admin().AddAccount(w.t.Context(), model.NewAccount{Login: login, Role: role}); !errors.Is(err, fs.ErrExist) {
		w.ok(err)
	}
	token := w.token(login, "repo")
	c, err := github.New(github.Options{URL: fmt.Sprintf("http://localhost:%d/api/v3/", w.settings.Port), Repository: at, Token: token})
	w.ok(err)
	return c, token
}

func (w *world) token(login string, scopes ...string) string {
	w.t.Helper()
	token, err := w.admin().AccountToken(w.t.Context(), login, scopes, time.Hour)
	w.ok(err)
	return token
}

// ask asks the forge's API.
func (w *world) ask(method, path, token string, into any) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, fmt.Sprintf("http://localhost:%d/api/v3%s", w.settings.Port, path), strings.NewReader("{}"))
	w.ok(err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	w.ok(err)
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		w.t.Fatalf("%s %s: %s", method, path, res.Status)
	}
	w.ok(json.NewDecoder(res.Body).Decode(into))
}

// git runs the git program as a person does, with a token.
func (w *world) git(token, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(w.t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C", "GIT_AUTHOR_NAME=Carl", "GIT_AUTHOR_EMAIL=carl@localhost",
		"GIT_COMMITTER_NAME=Carl", "GIT_COMMITTER_EMAIL=carl@localhost")
	cmd.Env = append(cmd.Env, forge.NewRemote(fmt.Sprintf("http://localhost:%d", w.settings.Port), "git", token).Env()...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *world) mustGit(token, dir string, args ...string) string {
	w.t.Helper()
	out, err := w.git(token, dir, args...)
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// change commits a file in a clone.
func (w *world) change(dir, file, text string) string {
	w.t.Helper()
	w.ok(os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
	w.mustGit("", dir, "add", "--all")
	w.mustGit("", dir, "commit", "--quiet", "-m", "Change "+file)
	return w.mustGit("", dir, "rev-parse", "HEAD")
}

// served is what the HTTP port needs beside the forge.
type served struct{ server.Service }

func (served) Status(context.Context) (model.Status, error)           { return model.Status{}, nil }
func (served) Hosts(context.Context) (map[string]server.Route, error) { return nil, nil }

// engine keeps runs, and does none.
type engine struct {
	mu      sync.Mutex
	control *pulls.Controller
	runs    []model.Run                // oldest first
	pushed  map[forge.RefUpdate]string // who did it
	kicks   int
}

func (e *engine) set(c *pulls.Controller) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.control = c
}

func (e *engine) Check(_ context.Context, p model.PullRequest, cause string) (model.Run, error) {
	e.mu.Lock()
	r := model.Run{ID: fmt.Sprintf("run-%03d", len(e.runs)+1), Kind: model.CheckPull, State: model.Queued, Commit: p.Head, Cause: cause, Created: time.Now(), Pull: &model.PullCheck{PullRequest: p}}
	for _, name := range model.PartNames {
		r.Pull.Parts = append(r.Pull.Parts, model.Part{Name: name, State: model.PartWaiting, Summary: "waits for its turn"})
	}
	e.runs = append(e.runs, r)
	control := e.control
	e.mu.Unlock()
	control.Changed(r)
	return r, nil
}

// pass ends a check well.
func (e *engine) pass(id string) {
	e.mu.Lock()
	i := slices.IndexFunc(e.runs, func(r model.Run) bool { return r.ID == id })
	r := e.runs[i]
	found := *r.Pull
	found.Parts = slices.Clone(found.Parts)
	for i := range found.Parts {
		found.Parts[i].State, found.Parts[i].Summary = model.PartPassed, "fine"
	}
	r.Pull, r.State, r.Finished = &found, model.Done, time.Now()
	e.runs[i] = r
	control := e.control
	e.mu.Unlock()
	control.Changed(r)
}

func (e *engine) Supersede(context.Context, string, string) error { return nil }

func (e *engine) Runs(_ context.Context, f model.RunFilter) ([]model.Run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []model.Run
	for _, r := range slices.Backward(e.runs) {
		if (f.Kind == "" || r.Kind == f.Kind) && f.Environment == "" && (f.Pull == 0 || r.Pull != nil && r.Pull.Number == f.Pull) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (e *engine) Promotion(context.Context, model.PromoteRequest) (model.Promotion, error) {
	return model.Promotion{From: "staging", Into: "prod", Refused: "level"}, nil
}

func (e *engine) Pushed(_ context.Context, updates []forge.RefUpdate, by string) ([]model.Run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pushed == nil {
		e.pushed = map[forge.RefUpdate]string{}
	}
	for _, u := range updates {
		e.pushed[u] = by
	}
	return nil, nil
}

func (e *engine) Kick() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kicks++
}

func (e *engine) kicked() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.kicks > 0
}

// pusher is who moved a branch to a commit, "" while that is not known here.
func (e *engine) pusher(branch, commit string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for u, by := range e.pushed {
		if u.Branch == branch && u.New == commit {
			return by
		}
	}
	return ""
}

// memory is what was reported.
type memory struct {
	mu   sync.Mutex
	said map[string][2]string
}

func (m *memory) Reported(_ context.Context, key string) (string, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.said[key][0], m.said[key][1], nil
}

func (m *memory) SetReported(_ context.Context, key, digest, ref string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said[key] = [2]string{digest, ref}
	return nil
}

// lines is the log of a test.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
