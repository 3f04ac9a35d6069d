package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

// Everything that is wrong with the machine comes in one error, and nothing
// was changed.
func TestPreflight(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("without root the node's own check does not run")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port

	script := filepath.Join(t.TempDir(), "hubship-node")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho '- nft is missing: apt-get install nftables'\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HUBSHIP_NODE", script)
	data := noData(t)
	code, out, errs := hubship(t, data, "up", "--port", strconv.Itoa(port), "--name", "preflight-test")
	if code != model.ExitFailed || out != "" {
		t.Fatalf("code %d, output %q", code, out)
	}
	contains(t, errs, "nothing was changed", fmt.Sprintf("port %d is taken", port), "nft is missing", "hint:")
	if _, err := os.Stat(data); err == nil {
		t.Fatal("the data directory was made although the machine is not ready")
	}
}

// Whoever has the port of ::1 is where browsers go.
func TestPortIsFreeOnBothLoopbacks(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("skipped: the machine has no ::1: %v", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	a := &command{data: noData(t)}
	if err := a.portFree(port); err == nil {
		t.Error("the port counts as free")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.portFree(port); err != nil {
		t.Error(err)
	}
}

func TestFreeMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(file, []byte("MemTotal: 8 kB\nMemAvailable:    2048 kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := freeMemory(file); err != nil || got != 2<<20 {
		t.Fatal(got, err)
	}
	if free, _, err := freeDisk(filepath.Join(t.TempDir(), "not", "there")); err != nil || free == 0 {
		t.Fatal(free, err)
	}
}

// hubsBehind is an HTTP port that serves hubs by name, as the server's does.
func hubsBehind(t *testing.T, up func(host string) bool) install.Settings {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		if !up(host) {
			http.Error(w, "waits for pods", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(srv.Close)
	s := install.Default()
	s.Port = srv.Listener.Addr().(*net.TCPAddr).Port
	return s
}

func TestWaitForHubs(t *testing.T) {
	begin := time.Now()
	s := hubsBehind(t, func(host string) bool {
		return host == "datahub-staging.localhost" || time.Since(begin) > 2*time.Second
	})
	st := twoStages()
	for _, e := range st.Environments {
		for i := range e.Releases {
			e.Releases[i].URL = s.HubURL(e.Releases[i].Observed.Target.Host)
		}
	}
	a, errs := testCommand(t, &world{status: st})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := a.waitForHubs(ctx, s); err != nil {
		t.Fatal(err)
	}
	if time.Since(begin) < 2*time.Second {
		t.Fatal("did not wait for prod")
	}
	contains(t, errs.String(), "hub datahub in staging: done", "hub datahub in prod: done")
}

// A hub whose first run failed will not come by itself; the wait ends with the
// reason, long before its time is over.
func TestWaitForHubsFails(t *testing.T) {
	s := hubsBehind(t, func(string) bool { return false })
	st := twoStages()
	st.Environments[0].Releases[0].Observed.Status = model.Absent
	w := &world{status: st, lines: map[string][]model.Line{}, end: func(r *model.Run) {
		r.State, r.Reason = model.FailedRun, "datahub: image datahub/user: pip says no"
	}}
	w.addLocked(model.RunRequest{Kind: model.Deploy, Environment: "staging"})
	a, _ := testCommand(t, w)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := a.waitForHubs(ctx, s)
	if err == nil || !strings.Contains(err.Error(), "pip says no") || !strings.Contains(model.HintOf(err), "hubship logs run-1") {
		t.Fatalf("got %v (hint %q)", err, model.HintOf(err))
	}
}
