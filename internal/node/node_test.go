package node

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

// supervisor answers on a real Unix socket as the node's supervisor does.
func supervisor(t *testing.T, next func() Status) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "node.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(next()) })
	mux.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return socket
}

func TestClient(t *testing.T) {
	ctx := context.Background()
	c := NewClient(supervisor(t, func() Status {
		return Status{Name: "x", Ready: true, Components: []Component{{Name: "etcd", RSSBytes: 5}}}
	}))
	s, err := c.Status(ctx)
	if err != nil || !s.Ready || s.Components[0].RSSBytes != 5 {
		t.Fatalf("%+v %v", s, err)
	}
	// The supervisor may be gone before it answers.
	if err := c.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient("/nowhere/node.sock").Status(ctx); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("got %v", err)
	}
}

// program writes a shell script in the place of the node's program.
func program(t *testing.T, script string) *Launcher {
	t.Helper()
	file := filepath.Join(t.TempDir(), Program)
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HUBSHIP_NODE", file)
	s := install.Default()
	s.Name = "test-of-launcher"
	l, err := Find(s, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPreflight(t *testing.T) {
	l := program(t, `grep -q '"portBase": 17400' "$3" || { echo bad config; exit 1; }
echo "hubship-node: the machine is not ready:" >&2
echo "  - port 17400 is taken: choose another --port-base" >&2
echo "  - mmdebstrap is missing: apt-get install mmdebstrap" >&2
exit 1`)
	err := l.Preflight(context.Background())
	want := "port 17400 is taken: choose another --port-base\nmmdebstrap is missing: apt-get install mmdebstrap"
	if err == nil || err.Error() != want {
		t.Fatalf("got %q", err)
	}
	if err := program(t, "exit 0").Preflight(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := program(t, "exit 3").Preflight(context.Background()); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatalf("a silent failure: %v", err)
	}
}

// A wait ends as soon as the supervisor does, and shows why.
func TestWaitEndsWithTheSupervisor(t *testing.T) {
	l := program(t, "echo etcd is broken; exit 1")
	d, err := l.Start()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err = l.Wait(context.Background(), d, func(Status) {})
	if err == nil || !strings.Contains(err.Error(), "etcd is broken") || model.HintOf(err) == "" {
		t.Fatalf("got %v", err)
	}
	if time.Since(begin) > 10*time.Second {
		t.Fatal("waited on")
	}
}

func TestFindSaysHowToBuild(t *testing.T) {
	t.Setenv("HUBSHIP_NODE", filepath.Join(t.TempDir(), "none"))
	if _, err := Find(install.Default(), t.TempDir()); err == nil || !strings.Contains(model.HintOf(err), "make build") {
		t.Fatalf("got %v", err)
	}
}

func TestPurgeSaysWhatFailed(t *testing.T) {
	l := program(t, "echo cannot unmount /x; exit 1")
	if err := l.Purge(context.Background()); err == nil || !strings.Contains(err.Error(), "cannot unmount /x") {
		t.Fatalf("got %v", err)
	}
}
