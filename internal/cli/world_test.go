package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
	"github.com/hubship/hubship/internal/term"
)

// world is an engine that keeps its runs in memory and ends each in the way
// that the test asks for. In front of it stands the real server.
type world struct {
	mu       sync.Mutex
	status   model.Status
	runs     []model.Run
	lines    map[string][]model.Line
	asked    []model.RunRequest
	resumed  []string
	end      func(*model.Run) // how a run ends
	promote  func(model.PromoteRequest) (model.Promotion, error)
	evidence []model.EvidenceRecord
}

func (w *world) Status(context.Context) (model.Status, error) { return w.status, nil }

func (w *world) Runs(_ context.Context, f model.RunFilter) ([]model.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []model.Run
	for i := len(w.runs) - 1; i >= 0; i-- {
		if f.Environment == "" || w.runs[i].Environment == f.Environment {
			out = append(out, w.runs[i])
		}
	}
	return out, nil
}

func (w *world) Run(_ context.Context, id string) (model.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.runs {
		if r.ID == id {
			return r, nil
		}
	}
	return model.Run{}, fmt.Errorf("run %s: %w", id, fs.ErrNotExist)
}

func (w *world) Lines(_ context.Context, id string, after int64, _ int) ([]model.Line, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []model.Line
	for _, l := range w.lines[id] {
		if l.Seq > after {
			out = append(out, l)
		}
	}
	return out, nil
}

func (w *world) Plan(_ context.Context, id string) ([]byte, error) {
	return nil, fmt.Errorf("plan of run %s: %w", id, fs.ErrNotExist)
}

func (w *world) Start(_ context.Context, req model.RunRequest) (model.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, req)
	return w.addLocked(req), nil
}

func (w *world) addLocked(req model.RunRequest) model.Run {
	at := time.Date(2026, 11, 23, 10, 0, len(w.runs), 0, time.UTC)
	r := model.Run{ID: fmt.Sprintf("run-%d", len(w.runs)+1), Kind: req.Kind, Environment: req.Environment, Hubs: req.Hubs,
		Commit: "abcdef0123456789", Subject: "Add emoji", State: model.Done, Created: at, Started: at, Finished: at.Add(42 * time.Second)}
	if w.end != nil {
		w.end(&r)
	}
	w.runs = append(w.runs, r)
	w.lines[r.ID] = []model.Line{
		{Seq: 1, Time: at, Level: model.LevelInfo, Scope: "plan", Text: "1 release changes"},
		{Seq: 2, Time: at, Level: model.LevelDebug, Scope: "image datahub/user", Text: "RUN pip install"},
	}
	return r
}

func (w *world) Promote(_ context.Context, req model.PromoteRequest) (model.Promotion, error) {
	return w.promote(req)
}

func (w *world) Evidence(_ context.Context, env, hub string) ([]model.EvidenceRecord, error) {
	var out []model.EvidenceRecord
	for _, r := range w.evidence {
		if (env == "" || r.Target.Environment == env) && (hub == "" || r.Target.Hub == hub) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (w *world) Resume(_ context.Context, env, hub, by string) error {
	w.resumed = append(w.resumed, env+"/"+hub)
	return nil
}

func (w *world) Revert(_ context.Context, number int, by string) (model.Reversion, error) {
	if number == 9 {
		return model.Reversion{}, model.Usage(errors.New("pull request #9 was not merged"), "close it instead")
	}
	return model.Reversion{Pull: number, Number: 43, URL: "http://localhost:8080/forge/hubs/deployment/pull/43"}, nil
}

func (w *world) Cancel(context.Context, string, string) error { return nil }

func (w *world) Pushed(context.Context, []forge.RefUpdate, string) ([]model.Run, error) {
	return nil, nil
}

func (w *world) Hosts(context.Context) (map[string]server.Route, error) { return nil, nil }

// serve puts the real server in front of the world and returns the data
// directory that the command line is pointed at.
func (w *world) serve(t *testing.T) string {
	t.Helper()
	if w.lines == nil {
		w.lines = map[string][]model.Line{}
	}
	data, err := os.MkdirTemp("", "hs") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	srv, err := server.New(server.Options{
		Addr: "127.0.0.1:0", Socket: install.At(data).Socket, Service: w, Version: Version, Log: slog.New(slog.DiscardHandler),
		Dial: func(context.Context, model.Cluster, model.Target) (net.Conn, error) { return nil, net.ErrClosed },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return data
}

// hubship runs the command line as a person would, without a terminal.
func hubship(t *testing.T, data string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	code = Run(ctx, term.Streams{In: strings.NewReader(""), Out: &o, Err: &e}, append([]string{"--data", data}, args...))
	return code, o.String(), e.String()
}

// twoStages is a status with datahub on staging and prod.
func twoStages() model.Status {
	release := func(env, host string) model.ReleaseStatus {
		name := "datahub-" + env
		return model.ReleaseStatus{URL: "http://" + host + ":8080/", InSync: true, Observed: model.Observed{
			Target: model.Target{Hub: "datahub", Environment: env, Cluster: "local", Namespace: name, Release: name, Host: host},
			Status: model.Deployed, Revision: 3, Commit: "abcdef0123456789", Ready: true,
		}}
	}
	return model.Status{Dashboard: "http://localhost:8080/", Repository: "http://localhost:8080/git/deployment.git", Environments: []model.EnvironmentStatus{
		{Name: "staging", Branch: "staging", Commit: "abcdef0123456789", Subject: "Add emoji", Releases: []model.ReleaseStatus{release("staging", "datahub-staging.localhost")}},
		{Name: "prod", Branch: "prod", After: "staging", Commit: "fedcba9876543210", Subject: "Promote", Releases: []model.ReleaseStatus{release("prod", "datahub.localhost")}},
	}}
}

// contains fails the test unless text holds every part, in this order.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		_, after, ok := strings.Cut(rest, p)
		if !ok {
			t.Fatalf("%q is not (in this order) in:\n%s", p, text)
		}
		rest = after
	}
}

// noData is a data directory without an installation.
func noData(t *testing.T) string { return filepath.Join(t.TempDir(), "none") }

// testCommand is a command line without arguments in front of a world.
func testCommand(t *testing.T, w *world) (*command, *bytes.Buffer) {
	t.Helper()
	var errs bytes.Buffer
	streams := term.Streams{In: strings.NewReader(""), Out: &errs, Err: &errs}
	return &command{streams: streams, data: w.serve(t), output: "text", term: term.New(streams, term.Options{})}, &errs
}
