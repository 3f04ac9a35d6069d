package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/settings"
	"github.com/hubship/hubship/internal/git"
)

// world is the program of a test, in the process of the test.
type world struct {
	t    *testing.T
	s    settings.Settings
	dir  string
	log  *buffer
	stop func() error
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{t: t, dir: dir, log: &buffer{}}
	w.write("hook", strings.Repeat("h", 40))
	w.write("oauth", strings.Repeat("o", 40))
	w.s = settings.Settings{
		Repositories: w.in("git"), Database: w.in("forge.db"), Socket: w.in("run/forge.sock"), AdminSocket: w.in("run/admin.sock"),
		URL: "http://localhost:1", PublicURL: "https://forge.example.edu", Runs: "https://forge.example.edu/runs/",
		Repository: settings.Repository{Owner: "hubs", Name: "deployment"},
		Own:        settings.Own{Login: "hubship", Token: w.in("token")},
		Admin:      &settings.Admin{Login: "admin", Password: w.in("password"), NotPassword: w.in("shared")},
		GitToken:   w.in("git-token"),
		Webhook:    &settings.Webhook{URL: "http://127.0.0.1:1/hooks/github", Secret: w.in("hook"), Events: []string{"push", "pull_request"}},
		OAuth:      &settings.OAuth{ClientID: "hubship", Secret: w.in("oauth"), Redirect: "https://forge.example.edu/signin/callback", Days: 7},
	}
	return w
}

func (w *world) in(name string) string { return filepath.Join(w.dir, name) }

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(name, text string) {
	w.t.Helper()
	w.ok(os.WriteFile(w.in(name), []byte(text+"\n"), 0o600))
}

func (w *world) read(name string) string {
	w.t.Helper()
	raw, err := os.ReadFile(w.in(name))
	w.ok(err)
	return strings.TrimSpace(string(raw))
}

// options are how the program is called.
func (w *world) options(ready func()) Options {
	w.t.Helper()
	w.ok(w.s.Write(w.in("forge.json")))
	return Options{File: w.in("forge.json"), Version: "v1", Log: slog.New(slog.NewTextHandler(w.log, nil)), Ready: ready}
}

// start runs the program until the test ends, or stop is called.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	o := w.options(func() { close(ready) })
	go func() { ended <- Run(ctx, o) }()
	w.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	w.t.Cleanup(func() {
		if err := w.stop(); err != nil {
			w.t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		w.t.Fatalf("it ended: %v", err)
	case <-time.After(30 * time.Second):
		w.t.Fatal("it does not begin to serve")
	}
}

// client reaches a socket.
func client(socket string) *http.Client {
	return &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask asks at a socket, and returns the status and what the answer says.
func (w *world) ask(socket, method, path, body string, header ...string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://localhost:1"+path, strings.NewReader(body))
	w.ok(err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client(socket).Do(req)
	w.ok(err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	w.ok(err)
	return res.StatusCode, string(raw)
}

// signIn sends the form of the page, as a client.
func (w *world) signIn(password string, header ...string) (int, string) {
	w.t.Helper()
	form := url.Values{"login": {"admin"}, "password": {password}}.Encode()
	return w.ask(w.s.Socket, http.MethodPost, "/forge/-/signin", form, append(header, "Content-Type", "application/x-www-form-urlencoded")...)
}

func TestFirstStart(t *testing.T) {
	w := newWorld(t)
	w.start()
	for name, mode := range map[string]os.FileMode{"run": 0o700 | os.ModeDir, "run/forge.sock": 0o600 | os.ModeSocket, "run/admin.sock": 0o600 | os.ModeSocket,
		"token": 0o600, "password": 0o600, "git-token": 0o600, "forge.db": 0o600} {
		if info, err := os.Stat(w.in(name)); err != nil || info.Mode() != mode {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode(), err, mode)
		}
	}
	var h health
	status, body := w.ask(w.s.AdminSocket, http.MethodGet, "/-/health", "")
	w.ok(json.Unmarshal([]byte(body), &h))
	_, digest, err := settings.Read(w.in("forge.json"))
	if err != nil || status != http.StatusOK || h != (health{Version: "v1", Settings: digest, PID: os.Getpid()}) {
		t.Errorf("health: %d %s, %v", status, body, err)
	}
	as := []string{"Authorization", "Bearer " + w.read("token")}
	if status, body := w.ask(w.s.Socket, http.MethodGet, "/api/v3/user", "", as...); status != http.StatusOK || !strings.Contains(body, `"login":"hubship"`) {
		t.Errorf("hubship's token: %d %s", status, body)
	}
	if status, body := w.ask(w.s.Socket, http.MethodGet, "/api/v3/repos/hubs/deployment", "", as...); status != http.StatusOK || !strings.Contains(body, `"default_branch":"main"`) {
		t.Errorf("the repository: %d %s", status, body)
	}
	for _, path := range []string{"/git/hubs/deployment.git/info/refs?service=git-upload-pack", "/hubs/deployment.git/info/refs?service=git-upload-pack"} {
		req, err := http.NewRequest(http.MethodGet, "http://localhost:1"+path, nil)
		w.ok(err)
		req.SetBasicAuth("git", w.read("git-token"))
		res, err := client(w.s.Socket).Do(req)
		w.ok(err)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	if status, _ := w.signIn(w.read("password")); status != http.StatusSeeOther {
		t.Errorf("sign in with the first password: %d", status)
	}
	if status, _ := w.ask(w.s.Socket, http.MethodGet, "/api/v1/accounts", ""); status != http.StatusNotFound {
		t.Errorf("accounts at the public socket: %d", status)
	}
	if status, body := w.ask(w.s.Socket, http.MethodGet, "/-/health", ""); status != http.StatusNotFound {
		t.Errorf("health at the public socket: %d %s", status, body)
	}
	w.ok(w.stop())
	for _, name := range []string{"run/forge.sock", "run/admin.sock"} {
		if _, err := os.Stat(w.in(name)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
}

// A repository that is there is the one that the forge has, with its branch.
func TestAdoptsARepository(t *testing.T) {
	w := newWorld(t)
	g, err := git.Init(t.Context(), w.in("git/deployment.git"), git.InitOptions{Bare: true, DefaultBranch: "staging"})
	w.ok(err)
	head, err := g.CommitFiles(t.Context(), "staging", "", map[string][]byte{"a": []byte("1\n")}, nil, "Begin", git.Hubship)
	w.ok(err)
	w.ok(g.Close())
	w.start()
	for range 2 {
		status, body := w.ask(w.s.Socket, http.MethodGet, "/api/v3/repos/hubs/deployment/branches/staging", "", "Authorization", "Bearer "+w.read("token"))
		if status != http.StatusOK || !strings.Contains(body, head) {
			t.Errorf("staging: %d %s, want %s", status, body, head)
		}
		w.ok(w.stop())
		w.start()
	}
	if _, err := os.Stat(w.in("git/hubs")); !os.IsNotExist(err) {
		t.Errorf("another repository was made: %v", err)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	w := newWorld(t)
	w.start()
	files := []string{"token", "password", "git-token"}
	before := map[string]string{}
	for _, name := range files {
		before[name] = w.read(name)
	}
	if status, body := w.ask(w.s.AdminSocket, http.MethodPost, "/api/v1/accounts", `{"login":"carl"}`); status != http.StatusCreated {
		t.Fatal(status, body)
	}
	w.ok(w.stop())
	w.s.Webhook.URL = "http://127.0.0.1:2/hooks/github" // the port changed
	w.start()
	for _, name := range files {
		if w.read(name) != before[name] {
			t.Errorf("%s changed", name)
		}
	}
	if _, body := w.ask(w.s.AdminSocket, http.MethodGet, "/api/v1/accounts", ""); !strings.Contains(body, `"login":"carl"`) {
		t.Errorf("accounts after the restart: %s", body)
	}
	// A token that was lost, or ended, is made anew, and the old one ends.
	w.ok(w.stop())
	w.write("token", strings.Repeat("x", 43))
	w.start()
	w.ok(w.stop())
	h, err := host.Open(t.Context(), host.Options{Root: w.s.Repositories, Database: w.s.Database})
	w.ok(err)
	defer func() { _ = h.Close() }()
	own, err := h.Store.AccountByLogin(t.Context(), "hubship")
	w.ok(err)
	tokens, err := h.Store.Tokens(t.Context(), own.ID)
	if err != nil || len(tokens) != 1 {
		t.Errorf("hubship has the tokens %+v, %v", tokens, err)
	}
	if a, _, err := h.Store.Bearer(t.Context(), w.read("token")); err != nil || a.ID != own.ID {
		t.Errorf("the new token is of %q, %v", a.Login, err)
	}
	repo, err := h.Find(t.Context(), "hubs", "deployment")
	w.ok(err)
	hooks, err := h.Store.Hooks(t.Context(), repo.ID)
	if err != nil || len(hooks) != 1 || hooks[0].URL != w.s.Webhook.URL || hooks[0].Secret != w.read("hook") || hooks[0].Events != "push,pull_request" {
		t.Errorf("webhooks %+v, %v", hooks, err)
	}
}

// Two programs with one forge would write over each other's heads.
func TestASecondProgramIsRefused(t *testing.T) {
	w := newWorld(t)
	w.start()
	if err := Run(t.Context(), w.options(nil)); err == nil || !strings.Contains(err.Error(), "another hubship-forge serves this forge") {
		t.Fatalf("a second program: %v", err)
	}
	if status, _ := w.ask(w.s.AdminSocket, http.MethodGet, "/-/health", ""); status != http.StatusOK {
		t.Errorf("the first one answers %d", status)
	}
}

// What a killed program left at the sockets' names is replaced.
func TestStaleSocketsAreReplaced(t *testing.T) {
	w := newWorld(t)
	w.ok(os.Mkdir(w.in("run"), 0o755))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.s.Socket, Net: "unix"})
	w.ok(err)
	l.SetUnlinkOnClose(false)
	w.ok(l.Close())
	w.start()
	if status, _ := w.ask(w.s.Socket, http.MethodGet, "/forge/-/signin", ""); status != http.StatusOK {
		t.Errorf("the page to sign in: %d", status)
	}
	if info, err := os.Stat(w.in("run")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the sockets' folder has mode %v, %v", info.Mode(), err)
	}
}

// Wrong passwords count for the client that the door names.
func TestTriesCountByClient(t *testing.T) {
	w := newWorld(t)
	w.start()
	last := 0
	for range 30 {
		last, _ = w.signIn("wrong", clientHeader, "192.0.2.1")
	}
	if last != http.StatusTooManyRequests {
		t.Fatalf("30 wrong passwords: %d", last)
	}
	if status, _ := w.signIn(w.read("password"), clientHeader, "192.0.2.2"); status != http.StatusSeeOther {
		t.Errorf("another client with the right one: %d", status)
	}
}

// The password that everybody at a hub knows is nobody's here.
func TestSharedPassword(t *testing.T) {
	w := newWorld(t)
	w.write("shared", "everybody at a hub knows this")
	w.write("password", w.read("shared"))
	w.start()
	if w.read("password") == w.read("shared") {
		t.Error("the first password is the shared one")
	}
	if status, _ := w.signIn(w.read("shared")); status != http.StatusForbidden {
		t.Errorf("the shared password: %d", status)
	}
}

// Pushes under way end before the program does.
func TestStopsInGoodOrder(t *testing.T) {
	began, last := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-last
		_, _ = fmt.Fprint(w, "whole")
	})
	dir, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	socket := filepath.Join(dir, "s")
	l, err := listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serveAll(ctx, slog.New(slog.DiscardHandler), map[net.Listener]http.Handler{l: slow})
	}()
	answer := make(chan string, 1)
	go func() {
		res, err := client(socket).Get("http://localhost/")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer func() { _ = res.Body.Close() }()
		raw, _ := io.ReadAll(res.Body)
		answer <- string(raw)
	}()
	<-began
	cancel()
	select {
	case err := <-ended:
		t.Fatalf("ended in the middle of a request: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(last)
	if got := <-answer; got != "whole" {
		t.Errorf("the answer is %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
