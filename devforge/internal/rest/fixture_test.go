package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/devforge/internal/gitserver"
	"github.com/hubship/hubship/devforge/internal/hooks"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/devforge/internal/store"
)

// world is a forge with an organization hub, whose repository deployment has a
// branch staging, and with ada (contributor), ben (reviewer) and mia
// (maintainer).
type world struct {
	t     testing.TB
	desc  *description
	host  *host.Host
	repo  store.Repository
	url   string
	token map[string]string
	id    map[string]int64

	mu    sync.Mutex
	moved []refs.Update
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, desc: describedOrSkip(t), token: map[string]string{}, id: map[string]int64{}}
	ctx := t.Context()
	dir := t.TempDir()
	var err error
	w.host, err = host.Open(ctx, host.Options{Root: filepath.Join(dir, "git"), Database: filepath.Join(dir, "forge.db"), Own: "mia",
		Moved: func(_ context.Context, _ store.Repository, updates []refs.Update, _ string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.moved = append(w.moved, updates...)
		}})
	if err != nil {
		t.Fatal(err)
	}
	s := w.host.Store
	org, err := s.CreateAccount(ctx, store.NewAccount{Login: "hub", Kind: store.Organization})
	if err != nil {
		t.Fatal(err)
	}
	for login, role := range map[string]store.Role{"ada": store.Contributor, "ben": store.Reviewer, "mia": store.Maintainer} {
		a, err := s.CreateAccount(ctx, store.NewAccount{Login: login, Role: role, Email: login + "@example.org"})
		if err != nil {
			t.Fatal(err)
		}
		w.id[login] = a.ID
		if _, w.token[login], err = s.CreateToken(ctx, a.ID, "test", []string{store.ScopeRepo, store.ScopeHooks}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if w.repo, err = w.host.CreateRepository(ctx, org, host.NewRepository{Name: "deployment", DefaultBranch: "staging"}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	w.url = srv.URL
	sender := hooks.New(s, []time.Duration{10 * time.Millisecond, 20 * time.Millisecond}, nil)
	api, err := New(Options{Host: w.host, Sender: sender, URL: w.url + "/api/v3", GitURL: w.url + "/git", WebURL: w.url})
	if err != nil {
		t.Fatal(err)
	}
	w.host.Subscribe(api.Hear)
	opts := gitserver.Options{}
	w.host.Serve(&opts)
	git, err := gitserver.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/api/v3/", api)
	mux.Handle("/git/", http.StripPrefix("/git", git))
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { defer close(done); sender.Run(ctx) }()
	t.Cleanup(func() {
		srv.Close()
		cancel()
		<-done
		if err := w.host.Close(); err != nil {
			t.Error(err)
		}
	})
	seed := w.clone("mia", "hub/deployment")
	w.git("mia", seed, "checkout", "--quiet", "-B", "staging")
	w.commit(seed, "README.md", "hello\n")
	w.git("mia", seed, "push", "--quiet", "origin", "HEAD:refs/heads/staging", "HEAD:refs/heads/prod")
	return w
}

func (w *world) try(who, dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME="+who, "GIT_AUTHOR_EMAIL="+who+"@example.org", "GIT_COMMITTER_NAME="+who, "GIT_COMMITTER_EMAIL="+who+"@example.org",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=credential.helper", `GIT_CONFIG_VALUE_0=!f() { echo username=x; echo "password=$TEST_TOKEN"; }; f`,
		"TEST_TOKEN="+w.token[who])
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (w *world) git(who, dir string, args ...string) string {
	w.t.Helper()
	out, err := w.try(who, dir, args...)
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (w *world) clone(who, name string) string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "clone")
	w.git(who, "", "clone", "--quiet", w.url+"/git/"+name+".git", dir)
	return dir
}

func (w *world) commit(dir, name, content string) string {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.git("ada", dir, "add", "-A")
	w.git("ada", dir, "commit", "--quiet", "-m", "Change "+name)
	return w.git("ada", dir, "rev-parse", "HEAD")
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// is the answer as an object.
func (a answer) object(t testing.TB) obj {
	t.Helper()
	var o obj
	decode(t, a.body, &o)
	return o
}

func (a answer) list(t testing.TB) []obj {
	t.Helper()
	var o []obj
	decode(t, a.body, &o)
	return o
}

// send makes a request and checks the answer against GitHub's description.
func (w *world) send(who, method, path string, body any, headers ...string) answer {
	w.t.Helper()
	var in io.Reader
	if text, ok := body.(string); ok {
		in = strings.NewReader(text)
	} else if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+"/api/v3"+path, in)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.token[who] != "" {
		req.Header.Set("Authorization", "Bearer "+w.token[who])
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	plainPath, _, _ := strings.Cut(path, "?")
	if p, err := url.PathUnescape(plainPath); err == nil && !strings.Contains(plainPath, "%2F") {
		plainPath = p
	}
	if err := w.desc.check(method, plainPath, res.StatusCode, res.Header, raw); err != nil {
		w.t.Errorf("%v", err)
	}
	return answer{res.StatusCode, res.Header, raw}
}

// want is send with the status that is expected.
func (w *world) want(status int, who, method, path string, body any, headers ...string) answer {
	w.t.Helper()
	a := w.send(who, method, path, body, headers...)
	if a.status != status {
		w.t.Fatalf("%s %s by %s: %d, want %d\n%s", method, path, who, a.status, status, a.body)
	}
	return a
}

const base = "/repos/hub/deployment"

// head is the commit that a branch of the deployment repository is at.
func (w *world) head(branch string) string {
	w.t.Helper()
	return w.want(http.StatusOK, "ada", http.MethodGet, base+"/branches/"+url.PathEscape(branch), nil).object(w.t)["commit"].(map[string]any)["sha"].(string)
}

// proposal makes ada's fork with a branch of one commit, and a pull request.
func (w *world) proposal(branch string) (clone, sha string, number string) {
	w.t.Helper()
	w.want(http.StatusAccepted, "ada", http.MethodPost, base+"/forks", obj{})
	clone = w.clone("ada", "ada/deployment")
	w.git("ada", clone, "checkout", "--quiet", "-b", branch)
	sha = w.commit(clone, branch+".txt", "one\n")
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
	o := w.want(http.StatusCreated, "ada", http.MethodPost, base+"/pulls", obj{"title": "Add " + branch, "head": "ada:" + branch, "base": "staging"}).object(w.t)
	return clone, sha, jsonNumber(o["number"])
}

func jsonNumber(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// raw makes a request of which only the status counts: its path may be none
// that GitHub has.
func (w *world) raw(req *http.Request, who, path string, body any) int {
	w.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	req.URL.Opaque = "/api/v3" + path
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	req.Header.Set("Authorization", "Bearer "+w.token[who])
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}
