package server_test

import (
	"bytes"
	"context"
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

	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/forgetest/process"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/server"
)

// A push with the real client through the whole server to the forge's program,
// which tells of it.
func TestGitThroughTheServer(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	delivered := make(chan *http.Request, 100)
	hooks := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r = r.Clone(context.Background())
		r.Body = io.NopCloser(bytes.NewReader(body))
		delivered <- r
	}))
	t.Cleanup(hooks.Close)
	f := process.Start(t, process.Options{Hook: hooks.URL})
	r := serve(t, server.Options{Service: newService(t), Forge: devforge.Door(f.Settings.Socket, nil, slog.New(slog.DiscardHandler))})
	begun := seed(t, f)

	dir := filepath.Join(t.TempDir(), "clone")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0", "TEST_TOKEN="+f.Token(process.Own),
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=credential.helper", `GIT_CONFIG_VALUE_0=!f() { echo username=ada; echo "password=$TEST_TOKEN"; }; f`,
			"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("clone", "--quiet", "http://"+r.addr+"/git/hubs/deployment.git", dir)
	if out := run("ls-remote", "http://"+r.addr+"/hubs/deployment.git"); !strings.Contains(out, begun+"\trefs/heads/staging") {
		t.Errorf("without /git/ there is\n%s", out)
	}
	if err := os.WriteFile(filepath.Join(dir, "big.txt"), []byte(strings.Repeat("0123456789abcdef\n", 200_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	run("-C", dir, "add", "-A")
	run("-C", dir, "commit", "--quiet", "-m", "First")
	// The smallest buffer makes the client send in chunks.
	out := run("-C", dir, "-c", "http.postBuffer=1", "push", "origin", "HEAD:staging", "HEAD:refs/heads/fresh")
	if !strings.Contains(out, "remote: hubship: follow what becomes of this push at "+f.URL) {
		t.Errorf("the pusher was told:\n%s", out)
	}
	head := strings.TrimSpace(run("-C", dir, "rev-parse", "HEAD"))
	waits := map[forge.RefUpdate]bool{{Branch: "staging", Old: begun, New: head}: true, {Branch: "fresh", Old: forge.ZeroID, New: head}: true}
	for len(waits) > 0 {
		update := pushed(t, f, delivered)
		if !waits[update] {
			t.Fatalf("delivered %+v, waiting for %+v", update, waits)
		}
		delete(waits, update)
	}
}

// seed puts a commit on staging, which people may push to although it is
// protected, and returns it.
func seed(t *testing.T, f *process.Forge) string {
	t.Helper()
	g, err := git.Open(f.Path(f.Repository))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	id, err := g.CommitFiles(t.Context(), "staging", "", map[string][]byte{"a": []byte("1\n")}, nil, "Begin", git.Hubship)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Client(process.Own, f.Repository).Protect(t.Context(), "staging", forge.Protection{Beyond: &forge.ProtectionBeyond{AllowPush: true}}); err != nil {
		t.Fatal(err)
	}
	return id
}

// pushed is the next push that is delivered.
func pushed(t *testing.T, f *process.Forge, delivered <-chan *http.Request) forge.RefUpdate {
	t.Helper()
	hook, err := github.NewWebhook(f.Repository, f.Secret)
	if err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case r := <-delivered:
			event, err := hook.Read(r)
			if err != nil {
				t.Fatal(err)
			}
			if push, ok := event.(forge.PushEvent); ok {
				return push.Update
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no push was delivered")
		}
	}
}
