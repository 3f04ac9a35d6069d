package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
)

// echo answers with what it was asked.
func echo(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", name, r.URL.Path, body)
	})
}

func TestForgeIsMounted(t *testing.T) {
	with := serve(t, server.Options{Service: newService(t), Forge: echo("forge"), Hooks: echo("hooks")})
	without := serve(t, server.Options{Service: newService(t)})
	for _, c := range []struct {
		host, path string
		want       string // empty: nothing of the forge's
		status     int
	}{
		{"localhost:1", "/api/v3/repos/hubs/deployment", "forge /api/v3/repos/hubs/deployment ", 200},
		{"localhost:1", "/forge/hubs/deployment", "forge /forge/hubs/deployment ", 200},
		{"127.0.0.1", "/hooks/github", "hooks /hooks/github ", 200},
		// A reverse proxy that GitHub reaches may have any name.
		{"ship.example.edu", "/hooks/github", "hooks /hooks/github ", 200},
		{"ship.example.edu", "/api/v3/user", "", 421},
		{"ship.example.edu", "/forge/", "", 421},
		{"localhost:1", "/hooks/other", "", 401},
	} {
		res, body := with.get(t, c.host, c.path, nil)
		if res.StatusCode != c.status || c.want != "" && body != c.want || c.want == "" && strings.HasPrefix(body, "forge") {
			t.Errorf("%s%s: %s %q, want %d %q", c.host, c.path, res.Status, body, c.status, c.want)
		}
	}
	for _, path := range []string{"/api/v3/user", "/forge/", "/hooks/github"} {
		if res, _ := without.get(t, "localhost", path, nil); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a forge: %s", path, res.Status)
		}
	}
}

func TestRevert(t *testing.T) {
	svc := newService(t)
	r := serve(t, server.Options{Service: svc})
	got, err := r.client.Revert(t.Context(), 12, "tess")
	if err != nil || got != (model.Reversion{Pull: 12, Number: 13, URL: "http://localhost:8080/forge/hubs/deployment/pull/13"}) || svc.last() != "revert #12 by tess" {
		t.Fatalf("got %+v, %v; asked %q", got, err, svc.last())
	}
	if _, err := r.client.Revert(t.Context(), 0, ""); err == nil || model.ExitCodeOf(err) != model.ExitUsage || model.HintOf(err) != "name another" {
		t.Fatalf("got %v with the hint %q", err, model.HintOf(err))
	}
	// A page in a browser must not bring it about.
	res, err := http.Post("http://"+r.addr+"/api/v1/pulls/12/revert", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("over the HTTP port: %s", res.Status)
	}
}
