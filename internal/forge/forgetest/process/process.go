package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/loopback"
	"github.com/hubship/hubship/internal/model"
)

// Own is the login of the account that may speak as hubship.
const Own = devforge.OwnLogin

// startLimit is how long the program may take to answer, on a machine that is
// busy with other tests.
const startLimit = time.Minute

// Options say what forge a test has. The zero one has the empty repository
// hubs/deployment, whose default branch is staging.
type Options struct {
	Repository    forge.Repository
	DefaultBranch string
	// Hook is where the forge delivers what happens, signed with Forge.Secret;
	// empty for nowhere. It is the one address on this machine that webhooks
	// reach.
	Hook string
	// Redirect is where people are sent back to who sign in by OAuth, as the
	// client ClientID with Forge.Secret; empty for nobody.
	Redirect string
	// Change changes the settings before the program is started; it may be nil.
	Change func(*devforge.Settings)
}

// ClientID is what the forge knows hubship's pages as.
const ClientID = devforge.ClientID

// Forge is a running forge. It ends with its test.
type Forge struct {
	URL        string           // of a door, without a slash at its end
	Dir        string           // of all that the forge keeps
	Repository forge.Repository // the one that hubship drives
	Secret     string           // of the webhook, and of the OAuth client
	Settings   devforge.Settings
	// Admin manages the accounts.
	Admin *api.Client

	t       testing.TB
	program string
	mux     *http.ServeMux
	down    atomic.Bool
	cmd     *exec.Cmd
	ended   chan struct{}
	err     error // how it ended, once ended is closed
	log     *lines
}

// Start runs the forge's program. It has hubship's own account, the owner of its
// repository, and nobody else.
func Start(t testing.TB, o Options) *Forge {
	t.Helper()
	if o.Repository == (forge.Repository{}) {
		o.Repository = forge.Repository{Owner: "hubs", Name: "deployment"}
	}
	if o.DefaultBranch == "" {
		o.DefaultBranch = "staging"
	}
	dir, err := os.MkdirTemp("", "hf") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := &Forge{t: t, Dir: dir, Repository: o.Repository, Secret: strings.Repeat("a secret of the test ", 2)[:40], program: Build(t), log: &lines{t: t}}
	srv := httptest.NewUnstartedServer(nil)
	f.URL = "http://" + srv.Listener.Addr().String()
	in := func(name string) string { return filepath.Join(dir, name) }
	f.ok(os.WriteFile(in("secret"), []byte(f.Secret+"\n"), 0o600))
	f.Settings = devforge.Settings{
		Repositories: in("git"), Database: in("forge.db"), Socket: in("run/forge.sock"), AdminSocket: in("run/admin.sock"),
		URL: f.URL, Runs: f.URL + "/runs/",
		Repository: devforge.Repository{Owner: o.Repository.Owner, Name: o.Repository.Name, DefaultBranch: o.DefaultBranch},
		Own:        devforge.Own{Login: Own, Token: in("token")},
	}
	if o.Hook != "" {
		f.Settings.Webhook = &devforge.Webhook{URL: o.Hook, Secret: in("secret"), Events: []string{"*"}}
	}
	if o.Redirect != "" {
		f.Settings.OAuth = &devforge.OAuth{ClientID: ClientID, Secret: in("secret"), Redirect: o.Redirect, Days: 7}
	}
	if o.Change != nil {
		o.Change(&f.Settings)
	}
	f.Admin = api.New(f.Settings.AdminSocket)
	t.Cleanup(f.Admin.Close)
	f.run()
	t.Cleanup(f.Stop)
	f.serve(srv)
	return f
}

// serve opens the door.
func (f *Forge) serve(srv *httptest.Server) {
	f.mux = http.NewServeMux()
	f.mux.Handle("/", devforge.Door(f.Settings.Socket, nil, slog.New(slog.NewTextHandler(f.log, nil))))
	srv.Config.ConnContext = loopback.Context
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		f.mux.ServeHTTP(w, r)
	})
	srv.Start()
	f.t.Cleanup(srv.Close)
}

// run starts the program and waits until it answers.
func (f *Forge) run() {
	f.t.Helper()
	file := filepath.Join(f.Dir, "forge.json")
	_, err := f.Settings.Write(file)
	f.ok(err)
	f.cmd = exec.Command(f.program, "serve", "--settings", file)
	f.cmd.Stdout, f.cmd.Stderr = f.log, f.log
	f.cmd.SysProcAttr = withTest()
	f.ok(f.cmd.Start())
	f.ended = make(chan struct{})
	go func() {
		f.err = f.cmd.Wait()
		close(f.ended)
	}()
	for deadline := time.Now().Add(startLimit); ; {
		_, err := f.Admin.Accounts(context.Background())
		if err == nil {
			return
		}
		select {
		case <-f.ended:
			f.t.Fatalf("the embedded forge's program ended: %v", f.err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("the embedded forge's program does not answer: %v", err)
		}
	}
}

// Stop ends the program in good order.
func (f *Forge) Stop() { f.signal(syscall.SIGTERM) }

// Kill ends the program as the kernel does when there is no memory.
func (f *Forge) Kill() { f.signal(syscall.SIGKILL) }

func (f *Forge) signal(s syscall.Signal) {
	_ = f.cmd.Process.Signal(s) // it may have ended
	select {
	case <-f.ended:
	case <-time.After(startLimit):
		_ = f.cmd.Process.Kill()
		<-f.ended
		f.t.Errorf("the embedded forge's program did not end after %s", s)
	}
}

// Restart ends the program in good order if it runs, and starts it again.
func (f *Forge) Restart() {
	f.t.Helper()
	f.Stop()
	f.run()
}

// Mount serves something beside what the forge does.
func (f *Forge) Mount(pattern string, h http.Handler) { f.mux.Handle(pattern, h) }

// SetDown lets every request fail at the door, or lets it be answered again.
func (f *Forge) SetDown(down bool) { f.down.Store(down) }

func (f *Forge) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// Account makes a person's account. The role is one of model.AccountRoles.
func (f *Forge) Account(login, role string) {
	f.t.Helper()
	f.AddAccount(model.NewAccount{Login: login, Role: role}, "")
}

// Organization makes an account that owns repositories, and nobody logs in as.
func (f *Forge) Organization(login string) {
	f.t.Helper()
	f.admin("accounts", map[string]string{"login": login, "kind": "organization"})
}

// AddAccount makes a person's account. With an empty address it receives
// nothing.
func (f *Forge) AddAccount(n model.NewAccount, email string) {
	f.t.Helper()
	f.admin("accounts", struct {
		model.NewAccount
		Email string `json:"email,omitempty"`
	}{n, email})
}

// NewRepository makes an empty repository of an account.
func (f *Forge) NewRepository(owner, name, defaultBranch string) forge.Repository {
	f.t.Helper()
	f.admin("repositories", map[string]string{"owner": owner, "name": name, "defaultBranch": defaultBranch})
	return forge.Repository{Owner: owner, Name: name}
}

// Path is the folder of a repository that the forge made.
func (f *Forge) Path(r forge.Repository) string {
	return filepath.Join(f.Settings.Repositories, r.Owner, r.Name+".git")
}

// admin asks for something at the admin socket that the command line does not.
func (f *Forge) admin(path string, body any) {
	f.t.Helper()
	f.ask(&http.Client{Transport: devforge.Transport(f.Settings.AdminSocket)}, http.MethodPost, "http://forge/api/v1/"+path, "", body)
}

// Ask asks the API for something that the adapter does not, as whom a token
// stands for, and returns the answer. It fails the test unless that succeeds.
func (f *Forge) Ask(method, path, token string, body any) []byte {
	f.t.Helper()
	return f.ask(http.DefaultClient, method, f.URL+"/api/v3"+path, token, body)
}

// ask sends JSON, and fails the test unless it succeeds.
func (f *Forge) ask(c *http.Client, method, to, token string, body any) []byte {
	f.t.Helper()
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		f.ok(err)
		sent = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, to, sent)
	f.ok(err)
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	f.ok(err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	f.ok(err)
	if resp.StatusCode/100 != 2 {
		f.t.Fatalf("%s %s: %s\n%s", method, to, resp.Status, answer)
	}
	return answer
}

// Token returns a new token of an account, with the scopes repo and
// admin:repo_hook unless others are given. That of hubship's own account is the
// one that the forge made for it, with repo alone.
func (f *Forge) Token(login string, scopes ...string) string {
	f.t.Helper()
	if login == f.Settings.Own.Login {
		raw, err := os.ReadFile(f.Settings.Own.Token)
		f.ok(err)
		return strings.TrimSpace(string(raw))
	}
	if len(scopes) == 0 {
		scopes = []string{"repo", "admin:repo_hook"}
	}
	token, err := f.Admin.AccountToken(context.Background(), login, scopes, time.Hour)
	f.ok(err)
	return token
}

// Client is the adapter, for an account at a repository.
func (f *Forge) Client(login string, repo forge.Repository) *github.Client {
	f.t.Helper()
	c, err := github.New(github.Options{URL: f.URL + "/api/v3/", Repository: repo, Token: f.Token(login), Patience: time.Second})
	f.ok(err)
	return c
}

// Fork forks a repository to an account, over the API.
func (f *Forge) Fork(login string, repo forge.Repository) forge.Repository {
	f.t.Helper()
	f.Ask(http.MethodPost, "/repos/"+repo.String()+"/forks", f.Token(login), map[string]string{})
	return forge.Repository{Owner: login, Name: repo.Name}
}

// ID is the number of an account.
func (f *Forge) ID(login string) int64 {
	f.t.Helper()
	var user struct {
		ID int64 `json:"id"`
	}
	f.ok(json.Unmarshal(f.Ask(http.MethodGet, "/user", f.Token(login), nil), &user))
	return user.ID
}

// Hook sets up a webhook of a repository that tells everything to a URL, as a
// maintainer other than hubship's own account. Settings.Outbound has to allow the
// address.
func (f *Forge) Hook(login string, repo forge.Repository, to, secret string) {
	f.t.Helper()
	f.Ask(http.MethodPost, "/repos/"+repo.String()+"/hooks", f.Token(login, "admin:repo_hook"), map[string]any{
		"name": "web", "events": []string{"*"}, "config": map[string]string{"url": to, "secret": secret, "content_type": "json"},
	})
}

// SignIn signs in to the pages with a password, and returns what a browser has
// then.
func (f *Forge) SignIn(login, password string) *http.Client {
	f.t.Helper()
	jar, err := cookiejar.New(nil)
	f.ok(err)
	c := &http.Client{Jar: jar}
	resp, err := c.PostForm(f.URL+"/forge/-/signin", url.Values{"login": {login}, "password": {password}})
	f.ok(err)
	_, err = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	f.ok(errors.Join(err, resp.Body.Close()))
	if resp.StatusCode != http.StatusOK || strings.HasSuffix(resp.Request.URL.Path, "/signin") {
		f.t.Fatalf("sign in as %s: %s at %s", login, resp.Status, resp.Request.URL)
	}
	return c
}

// Log is what the program has said until now.
func (f *Forge) Log() string { return f.log.String() }

// String names the forge in a test's messages.
func (f *Forge) String() string { return fmt.Sprintf("the embedded forge at %s", f.URL) }
