package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
	"github.com/hubship/hubship/internal/store"
)

// service is a small engine: runs are kept in a real history, and what was
// asked for is remembered.
type service struct {
	*store.Store
	mu      sync.Mutex
	hosts   map[string]server.Route
	asked   []string
	waiting []string
	looked  int   // how often Hosts was asked
	broken  error // what Hosts and Status fail with
}

func (s *service) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf(format, args...))
}

func (s *service) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return ""
	}
	return s.asked[len(s.asked)-1]
}

var datahub = model.Target{Hub: "datahub", Environment: "staging", Cluster: "local", Namespace: "datahub-staging", Release: "datahub-staging", Host: "datahub-staging.localhost"}

func (s *service) Status(context.Context) (model.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return model.Status{}, s.broken
	}
	return model.Status{Version: "v1", Repository: "http://localhost:8080/git/deployment.git", Environments: []model.EnvironmentStatus{
		{Name: "staging", Branch: "staging", Commit: strings.Repeat("a", 40), Releases: []model.ReleaseStatus{{
			Observed: model.Observed{Target: datahub, Status: model.Deployed, Revision: 3, Waiting: s.waiting}, URL: "http://datahub-staging.localhost:8080/"}}},
		{Name: "prod", Branch: "prod", After: "staging"},
	}}, nil
}

func (s *service) Runs(ctx context.Context, f model.RunFilter) ([]model.Run, error) {
	s.note("runs %+v", f)
	return s.List(ctx, f)
}
func (s *service) Run(ctx context.Context, id string) (model.Run, error) { return s.Get(ctx, id) }

func (s *service) Start(ctx context.Context, req model.RunRequest) (model.Run, error) {
	if req.Environment == "" {
		return model.Run{}, model.Usage(errors.New("no environment is named"), "use --env")
	}
	s.note("start %s %s by %s", req.Kind, req.Environment, req.By)
	run := model.Run{ID: "started", Kind: req.Kind, Environment: req.Environment, State: model.Queued, Created: time.Now().UTC()}
	return run, s.Put(ctx, run)
}

func (s *service) Promote(_ context.Context, req model.PromoteRequest) (model.Promotion, error) {
	p := model.Promotion{From: "staging", Into: "prod", Hubs: []model.HubVerdict{{Hub: "datahub", Reasons: []string{"no evidence"}}}}
	if req.DryRun {
		return p, nil
	}
	p.Refused = "no evidence"
	return p, model.RefusedBy(errors.New("datahub may not enter prod: no evidence"), "verify staging first")
}

func (s *service) Evidence(_ context.Context, env, hub string) ([]model.EvidenceRecord, error) {
	if env == "" {
		return nil, nil
	}
	return []model.EvidenceRecord{{Target: model.Target{Hub: hub, Environment: env}, Believed: true}}, nil
}

func (s *service) Resume(_ context.Context, env, hub, by string) error {
	s.note("resume %s %s by %s", env, hub, by)
	return nil
}

func (s *service) Cancel(ctx context.Context, id, by string) error {
	s.note("cancel %s by %s", id, by)
	_, err := s.Get(ctx, id)
	return err
}

func (s *service) Revert(_ context.Context, number int, by string) (model.Reversion, error) {
	s.note("revert #%d by %s", number, by)
	if number == 0 {
		return model.Reversion{}, model.Usage(errors.New("pull request #0 was not merged"), "name another")
	}
	return model.Reversion{Pull: number, Number: 13, URL: "http://localhost:8080/forge/hubs/deployment/pull/13"}, nil
}

func (s *service) Pushed(context.Context, []forge.RefUpdate, string) ([]model.Run, error) {
	return nil, nil
}

func (s *service) Plan(_ context.Context, id string) ([]byte, error) {
	return nil, fmt.Errorf("plan of run %s: %w", id, fs.ErrNotExist)
}

func (s *service) Hosts(context.Context) (map[string]server.Route, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked++
	return s.hosts, s.broken
}

func newService(t testing.TB) *service {
	t.Helper()
	history, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = history.Close() })
	return &service{Store: history, hosts: map[string]server.Route{"datahub-staging.localhost": {Target: datahub, Cluster: model.Cluster{Name: "local"}}}}
}

// running is a server that serves.
type running struct {
	addr   string
	socket string
	client *api.Client
	stop   func() // and wait
}

func serve(t testing.TB, opts server.Options) *running {
	t.Helper()
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.Socket == "" {
		// t.TempDir can be too long for a socket.
		dir, err := os.MkdirTemp("", "hs")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		opts.Socket = filepath.Join(dir, "server.sock")
	}
	opts.Version = "v1.2.3-test"
	if svc, ok := opts.Service.(*service); ok && opts.SignIn == nil {
		opts.SignIn = door(t, everybody(), svc.Store, "localhost")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s, err := server.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	r := &running{addr: s.Addr(), socket: opts.Socket, client: api.New(opts.Socket)}
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the server does not stop")
		}
		r.client.Close()
	})
	t.Cleanup(r.stop)
	return r
}

// get asks the HTTP port under a name.
func (r *running) get(t testing.TB, host, path string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	if change != nil {
		change(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestNames(t *testing.T) {
	r := serve(t, server.Options{Service: newService(t), Names: []string{"ship.example.org"}})
	_, port, _ := net.SplitHostPort(r.addr)
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:" + port: 200, "127.0.0.1:" + port: 200, "[::1]:" + port: 200, "localhost.": 200, "ship.example.org": 200,
		"evil.example.org": 421, "localhost.evil.example.org": 421, "127.0.0.1.evil.example.org": 421, "datahub.localhost": 421, "0.0.0.0": 421, "169.254.1.1:80": 421,
	} {
		res, body := r.get(t, host, "/healthz", nil)
		if res.StatusCode != want {
			t.Errorf("under %s: %d, want %d\n%.200s", host, res.StatusCode, want, body)
		}
		if want == 421 && strings.Contains(body, "datahub-staging") {
			t.Errorf("under %s it is told what hubs there are:\n%s", host, body)
		}
	}
	if _, body := r.get(t, `<script>alert(1)</script>.example.org`, "/", nil); strings.Contains(body, "<script>alert") {
		t.Error("the name is not escaped")
	}
}

func TestWritesNeedTheSocket(t *testing.T) {
	svc := newService(t)
	r := serve(t, server.Options{Service: svc})
	for path, body := range map[string]string{
		"/api/v1/runs": `{"kind":"deploy","environment":"prod"}`, "/api/v1/promote": `{}`, "/api/v1/resume": `{"environment":"prod","hub":"datahub"}`, "/api/v1/runs/x/cancel": `{}`,
	} {
		res, err := http.Post("http://"+r.addr+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var e api.Error
		err = json.NewDecoder(res.Body).Decode(&e)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusForbidden || e.Hint == "" || e.Code != model.ExitFailed {
			t.Errorf("%s over the HTTP port: %s %+v %v", path, res.Status, e, err)
		}
	}
	if svc.last() != "" {
		t.Errorf("the service was asked to %s", svc.last())
	}
	info, err := os.Stat(r.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
}

func TestClient(t *testing.T) {
	svc := newService(t)
	c := serve(t, server.Options{Service: svc}).client
	ctx := t.Context()

	h, err := c.Health(ctx)
	if err != nil || h.Status != "ok" || h.Version != "v1.2.3-test" || h.PID != os.Getpid() || h.Started.IsZero() {
		t.Errorf("Health() = %+v, %v", h, err)
	}
	if s, err := c.Status(ctx); err != nil || len(s.Environments) != 2 {
		t.Errorf("Status() = %+v, %v", s, err)
	}
	if runs, err := c.Runs(ctx, model.RunFilter{}); err != nil || len(runs) != 0 {
		t.Errorf("Runs() = %v, %v", runs, err)
	}
	run, err := c.Start(ctx, model.RunRequest{Kind: model.Deploy, Environment: "staging", By: "ada"})
	if err != nil || run.ID != "started" || svc.last() != "start deploy staging by ada" {
		t.Errorf("Start() = %+v, %v; %s", run, err, svc.last())
	}
	if _, err := c.Start(ctx, model.RunRequest{Kind: model.Verify, Environment: "staging"}); err != nil || strings.HasSuffix(svc.last(), "by ") {
		t.Errorf("a request without a name: %v; %s", err, svc.last())
	}
	if runs, err := c.Runs(ctx, model.RunFilter{Environment: "staging", Hub: "datahub", Active: true, Limit: 7}); err != nil || len(runs) != 1 || svc.last() != "runs {Environment:staging Hub:datahub Kind: Pull:0 Active:true Limit:7}" {
		t.Errorf("Runs() = %v, %v; %s", runs, err, svc.last())
	}
	if got, err := c.Run(ctx, "started"); err != nil || got.Environment != "staging" {
		t.Errorf("Run() = %+v, %v", got, err)
	}
	if err := c.Resume(ctx, "prod", "datahub", "ada"); err != nil || svc.last() != "resume prod datahub by ada" {
		t.Errorf("Resume(): %v; %s", err, svc.last())
	}
	if err := c.Cancel(ctx, "started", "ada"); err != nil || svc.last() != "cancel started by ada" {
		t.Errorf("Cancel(): %v; %s", err, svc.last())
	}
	if p, err := c.Promote(ctx, model.PromoteRequest{DryRun: true}); err != nil || p.Into != "prod" {
		t.Errorf("Promote() = %+v, %v", p, err)
	}
}

func TestClientErrors(t *testing.T) {
	r := serve(t, server.Options{Service: newService(t)})
	ctx := t.Context()

	_, err := r.client.Run(ctx, "not/known")
	if !errors.Is(err, os.ErrNotExist) || model.HintOf(err) == "" || errors.Is(err, api.ErrNotRunning) {
		t.Errorf("an unknown run: %v (%s)", err, model.HintOf(err))
	}
	if err := r.client.Cancel(ctx, "nothing", ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("cancel of an unknown run: %v", err)
	}
	_, err = r.client.Start(ctx, model.RunRequest{Kind: model.Deploy})
	if model.ExitCodeOf(err) != model.ExitUsage || model.HintOf(err) != "use --env" {
		t.Errorf("a usage error: %d %v (%s)", model.ExitCodeOf(err), err, model.HintOf(err))
	}
	p, err := r.client.Promote(ctx, model.PromoteRequest{})
	if model.ExitCodeOf(err) != model.ExitRefused || err.Error() != "datahub may not enter prod: no evidence" || p.Refused != "no evidence" || len(p.Hubs) != 1 {
		t.Errorf("a refusal: %d %v, %+v", model.ExitCodeOf(err), err, p)
	}
	if _, err := r.client.Follow(ctx, "nothing", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("follow of an unknown run: %v", err)
	}
	r.stop()
	if _, err := r.client.Health(ctx); !errors.Is(err, api.ErrNotRunning) || !strings.Contains(model.HintOf(err), "hubship up") {
		t.Errorf("no server: %v (%s)", err, model.HintOf(err))
	}
	if _, err := os.Stat(r.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	r := serve(t, server.Options{Service: newService(t)})
	inside := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	}}}
	defer inside.CloseIdleConnections()
	for _, c := range []struct {
		method, path, kind, body string
		want                     int
	}{
		{"POST", "/runs", "application/json", `{"kind":"deploy","environment":"staging","unknown":1}`, 400},
		{"POST", "/runs", "application/json", `{"kind":"deploy"`, 400},
		{"POST", "/runs", "application/json", `{"kind":"deploy","environment":"staging"} {}`, 400},
		{"POST", "/runs", "text/plain", `{"kind":"deploy","environment":"staging"}`, 415},
		{"POST", "/runs", "application/json", `{"rev":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
		{"POST", "/resume", "application/json", `{"environment":"prod"}`, 400},
		{"GET", "/runs?limit=-1", "", "", 400},
		{"GET", "/runs?limit=x", "", "", 400},
		{"GET", "/runs?active=perhaps", "", "", 400},
		{"GET", "/runs/x/lines?after=-5", "", "", 400},
		{"GET", "/runs/x/lines", "", "", 404},
		{"GET", "/nothing", "", "", 404},
		{"DELETE", "/runs", "", "", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://localhost"+api.Prefix+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.kind != "" {
			req.Header.Set("Content-Type", c.kind)
		}
		res, err := inside.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", c.method, c.path, err)
		}
		var e api.Error
		err = json.NewDecoder(res.Body).Decode(&e)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != c.want || e.Error == "" || e.Code == 0 {
			t.Errorf("%s %s %.60s: %d %+v %v, want %d", c.method, c.path, c.body, res.StatusCode, e, err, c.want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	svc := newService(t)
	for _, o := range []server.Options{{}, {Service: svc}, {Service: svc, Addr: "0.0.0.0:8080"}, {Service: svc, Addr: ":8080"}, {Service: svc, Addr: "8080"}, {Service: svc, Addr: "192.0.2.1:80"}} {
		if _, err := server.New(o); err == nil {
			t.Errorf("%q was taken", o.Addr)
		}
	}
	for _, o := range []server.Options{{Service: svc, Addr: "[::1]:0"}, {Service: svc, Addr: "localhost:0"}, {Service: svc, Socket: "/tmp/x"}} {
		if _, err := server.New(o); err != nil {
			t.Errorf("%q was refused: %v", o.Addr, err)
		}
	}
}

// A program on the same machine that has the port of ::1 is where browsers go
// that are told localhost: hubship does not open beside it.
func TestNobodyElseIsLocalhost(t *testing.T) {
	other, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("skipped: the machine has no ::1: %v", err)
	}
	_, port, _ := net.SplitHostPort(other.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost"} {
		s, err := server.New(server.Options{Service: newService(t), Addr: net.JoinHostPort(host, port), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Listen(); err == nil || !strings.Contains(err.Error(), "another program listens") || model.HintOf(err) == "" {
			t.Errorf("on %s: %v", host, err)
		}
		if s.Addr() != "" {
			t.Errorf("on %s it listens all the same", host)
		}
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Options{Service: newService(t), Addr: "127.0.0.1:" + port})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if l, err := net.Listen("tcp6", "[::1]:"+port); err == nil {
		_ = l.Close()
		t.Error("another program gets the port beside it")
	}
}

func TestListenConflicts(t *testing.T) {
	svc := newService(t)
	r := serve(t, server.Options{Service: svc})
	second, err := server.New(server.Options{Service: svc, Addr: r.addr, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Listen(); err == nil || !strings.Contains(err.Error(), "another program listens") || model.HintOf(err) == "" {
		t.Errorf("a port that is taken: %v", err)
	}
	third, err := server.New(server.Options{Service: svc, Socket: r.socket})
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Listen(); err == nil || !strings.Contains(err.Error(), "a hubship server is already listening there") {
		t.Errorf("a socket that is in use: %v", err)
	}
	if _, err := r.client.Health(t.Context()); err != nil {
		t.Errorf("the first server is gone: %v", err)
	}
	// What a killed server left is no obstacle.
	dead := filepath.Join(filepath.Dir(r.socket), "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if _, err := serve(t, server.Options{Service: svc, Socket: dead}).client.Health(t.Context()); err != nil {
		t.Errorf("a socket that a killed server left: %v", err)
	}
	long, err := server.New(server.Options{Service: svc, Socket: "/" + strings.Repeat("x", 100)})
	if err != nil {
		t.Fatal(err)
	}
	if err := long.Listen(); model.ExitCodeOf(err) != model.ExitUsage {
		t.Errorf("a path that is too long: %v", err)
	}
}
