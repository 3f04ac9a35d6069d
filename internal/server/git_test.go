package server_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/local"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/server"
)

// A push with the real client through the whole server.
func TestGitThroughTheServer(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	token, err := local.NewToken(filepath.Join(t.TempDir(), "token"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	announced := make(chan []forge.RefUpdate, 1)
	moveAll := func(ctx context.Context, repository, _ string, moves []local.Move) (map[string]string, error) {
		r, err := git.Open(filepath.Join(root, repository+".git"))
		if err != nil {
			return nil, err
		}
		defer func() { _ = r.Close() }()
		for _, m := range moves {
			if err := r.MoveRefs(ctx, git.RefMove{Name: m.Ref, New: m.New}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	gitServer, err := local.New(local.Options{Root: root, Token: token, Move: moveAll, OnPush: func(_ context.Context, _ string, updates []forge.RefUpdate, _ string) []string {
		announced <- updates
		return []string{"hubship: it is on its way"}
	}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/git/", http.StripPrefix("/git", gitServer))
	mux.Handle("/", gitServer)
	r := serve(t, server.Options{Service: newService(t), Forge: mux})

	dir := filepath.Join(t.TempDir(), "clone")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0", "TEST_TOKEN="+token,
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=credential.helper", `GIT_CONFIG_VALUE_0=!f() { echo username=ada; echo "password=$TEST_TOKEN"; }; f`,
			"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("init", "--quiet", "--bare", filepath.Join(root, "deployment.git"))
	run("clone", "--quiet", "http://"+r.addr+"/git/deployment.git", dir)
	run("ls-remote", "http://"+r.addr+"/deployment.git")
	if err := os.WriteFile(filepath.Join(dir, "big.txt"), []byte(strings.Repeat("0123456789abcdef\n", 200_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	run("-C", dir, "add", "-A")
	run("-C", dir, "commit", "--quiet", "-m", "First")
	// The smallest buffer makes the client send in chunks.
	out := run("-C", dir, "-c", "http.postBuffer=1", "push", "origin", "HEAD:staging")
	if !strings.Contains(out, "remote: hubship: it is on its way") {
		t.Errorf("the pusher was told:\n%s", out)
	}
	head := strings.TrimSpace(run("-C", dir, "rev-parse", "HEAD"))
	if updates := <-announced; len(updates) != 1 || updates[0] != (forge.RefUpdate{Branch: "staging", Old: forge.ZeroID, New: head}) {
		t.Errorf("announced %+v", updates)
	}
}
