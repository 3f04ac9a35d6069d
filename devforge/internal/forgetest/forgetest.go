// Package forgetest runs an embedded forge for tests, over HTTP as its users
// reach it.
package forgetest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/devforge/internal/gitserver"
	"github.com/hubship/hubship/devforge/internal/hooks"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/rest"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/github"
)

// Own is the login of the account that may speak as hubship, once it is made.
const Own = "hubship"

// Forge is a running embedded forge. It ends with its test.
type Forge struct {
	Host *host.Host
	API  *rest.API
	Dir  string // of repositories and database
	URL  string // without a slash at its end

	t   *testing.T
	mux *http.ServeMux
}

// Start runs an embedded forge.
func Start(t *testing.T) *Forge {
	t.Helper()
	f := &Forge{t: t, Dir: t.TempDir()}
	log := slog.New(slog.NewTextHandler(&lines{t: t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	f.Host, err = host.Open(t.Context(), host.Options{Root: filepath.Join(f.Dir, "repositories"), Database: filepath.Join(f.Dir, "forge.db"), Own: Own, Log: log})
	f.ok(err)
	t.Cleanup(func() {
		if err := f.Host.Close(); err != nil {
			t.Error(err)
		}
	})
	serve := gitserver.Options{Log: log}
	f.Host.Serve(&serve)
	git, err := gitserver.New(serve)
	f.ok(err)
	srv := httptest.NewUnstartedServer(nil)
	f.URL = "http://" + srv.Listener.Addr().String()
	sender := hooks.New(f.Host.Store, []time.Duration{10 * time.Millisecond}, log)
	api, err := rest.New(rest.Options{Host: f.Host, Sender: sender, URL: f.URL + "/api/v3", GitURL: f.URL + "/git", WebURL: f.URL + "/forge", Log: log})
	f.ok(err)
	f.Host.Subscribe(api.Hear)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	sent := make(chan struct{})
	go func() { defer close(sent); sender.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-sent })
	f.API, f.mux = api, http.NewServeMux()
	f.mux.Handle("/api/v3/", api)
	f.mux.Handle("/git/", http.StripPrefix("/git", git))
	srv.Config.Handler = f.mux
	srv.Start()
	t.Cleanup(srv.Close)
	return f
}

// Mount serves something beside the API and Git.
func (f *Forge) Mount(pattern string, h http.Handler) { f.mux.Handle(pattern, h) }

func (f *Forge) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// Account makes an account.
func (f *Forge) Account(n store.NewAccount) store.Account {
	f.t.Helper()
	a, err := f.Host.Store.CreateAccount(f.t.Context(), n)
	f.ok(err)
	return a
}

// Client is the adapter, for an account at a repository.
func (f *Forge) Client(a store.Account, repo forge.Repository) *github.Client {
	f.t.Helper()
	_, secret, err := f.Host.Store.CreateToken(f.t.Context(), a.ID, "test", []string{store.ScopeRepo, store.ScopeHooks}, time.Hour)
	f.ok(err)
	c, err := github.New(github.Options{URL: f.URL + "/api/v3/", Repository: repo, Token: secret, Patience: time.Second})
	f.ok(err)
	return c
}

// lines is the log of a test.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
