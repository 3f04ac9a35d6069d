package forgetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/forgetest"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/forge/local"
	"github.com/hubship/hubship/internal/forge/local/hooks"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/rest"
	"github.com/hubship/hubship/internal/forge/local/store"
)

// The embedded forge, over HTTP, through the adapter that GitHub has.
func TestEmbeddedForge(t *testing.T) {
	forgetest.Run(t, func(t *testing.T) forgetest.Setup {
		e := startEmbedded(t)
		ctx := t.Context()
		org := e.account(ctx, store.NewAccount{Login: "class", Kind: store.Organization})
		maintainer := e.account(ctx, store.NewAccount{Login: "mia", Email: "mia@example.org", Role: store.Maintainer})
		contributor := e.account(ctx, store.NewAccount{Login: "carl", Email: "carl@example.org", Role: store.Contributor})
		repo, err := e.host.CreateRepository(ctx, org, host.NewRepository{Name: "hubs", DefaultBranch: "staging"})
		if err != nil {
			t.Fatal(err)
		}
		mia, carl := e.token(ctx, maintainer), e.token(ctx, contributor)
		name := forge.Repository{Owner: "class", Name: repo.Name}
		setup := forgetest.Setup{
			Maintainer: e.client(name, mia), Elsewhere: e.client(name, mia), Contributor: e.client(name, carl),
			Fork: e.client(forge.Repository{Owner: "carl", Name: repo.Name}, carl),
			Hook: func(t *testing.T, url, secret string) {
				e.post("/repos/"+name.String()+"/hooks", mia, http.StatusCreated, map[string]any{
					"name": "web", "events": []string{"*"}, "config": map[string]string{"url": url, "secret": secret, "content_type": "json"}})
			},
			Read: func(r *http.Request, secret string) (forge.Event, error) {
				hook, err := github.NewWebhook(name, secret)
				if err != nil {
					return nil, err
				}
				return hook.Read(r)
			},
			Lacks: []string{forgetest.Deployments},
		}
		e.seed(setup.Maintainer)
		e.post("/repos/"+name.String()+"/forks", carl, http.StatusAccepted, map[string]any{})
		return setup
	})
}

// embedded is a running embedded forge.
type embedded struct {
	t    *testing.T
	host *host.Host
	url  string
}

func startEmbedded(t *testing.T) *embedded {
	t.Helper()
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(&lines{t: t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	h, err := host.Open(t.Context(), host.Options{Root: filepath.Join(dir, "repositories"), Database: filepath.Join(dir, "forge.db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	token, err := local.NewToken(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	opts := local.Options{Token: token, Log: log}
	h.Serve(&opts)
	gitServer, err := local.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(nil)
	e := &embedded{t: t, host: h, url: "http://" + srv.Listener.Addr().String()}
	sender := hooks.New(h.Store, []time.Duration{10 * time.Millisecond}, log)
	api, err := rest.New(rest.Options{Host: h, Sender: sender, URL: e.url + "/api/v3", GitURL: e.url + "/git", WebURL: e.url, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	h.Hear(api.Hear)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	sent := make(chan struct{})
	go func() { defer close(sent); sender.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-sent })
	mux := http.NewServeMux()
	mux.Handle("/api/v3/", api)
	mux.Handle("/git/", http.StripPrefix("/git", gitServer))
	srv.Config.Handler = mux
	srv.Start()
	t.Cleanup(srv.Close)
	return e
}

// lines is the log of a test.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (e *embedded) account(ctx context.Context, n store.NewAccount) store.Account {
	e.t.Helper()
	a, err := e.host.Store.CreateAccount(ctx, n)
	if err != nil {
		e.t.Fatal(err)
	}
	return a
}

func (e *embedded) token(ctx context.Context, a store.Account) string {
	e.t.Helper()
	_, secret, err := e.host.Store.CreateToken(ctx, a.ID, "test", []string{store.ScopeRepo, store.ScopeHooks}, time.Hour)
	if err != nil {
		e.t.Fatal(err)
	}
	return secret
}

func (e *embedded) client(repo forge.Repository, token string) *github.Client {
	e.t.Helper()
	c, err := github.New(github.Options{URL: e.url + "/api/v3/", Repository: repo, Token: token})
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// seed pushes the first commit to staging and prod.
func (e *embedded) seed(as forge.Forge) {
	e.t.Helper()
	remote, err := as.Remote(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	dir := e.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("hubs\n"), 0o600); err != nil {
		e.t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=staging"}, {"add", "README.md"}, {"commit", "--quiet", "-m", "Begin"},
		{"push", "--quiet", remote.URL, "staging:refs/heads/staging", "staging:refs/heads/prod"},
	} {
		cmd := exec.CommandContext(e.t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
			"GIT_AUTHOR_NAME=Mia", "GIT_AUTHOR_EMAIL=mia@example.org", "GIT_COMMITTER_NAME=Mia", "GIT_COMMITTER_EMAIL=mia@example.org")
		cmd.Env = append(cmd.Env, remote.Env()...)
		if out, err := cmd.CombinedOutput(); err != nil {
			e.t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
}

// post asks for something that the adapter does not, as a person may.
func (e *embedded) post(path, token string, status int, body any) {
	e.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		e.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, e.url+"/api/v3"+path, bytes.NewReader(raw))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != status {
		said, _ := io.ReadAll(resp.Body)
		e.t.Fatalf("POST %s: %s: %s", path, resp.Status, said)
	}
}
