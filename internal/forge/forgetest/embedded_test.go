package forgetest_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/forgetest"
	"github.com/hubship/hubship/internal/forge/forgetest/process"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/model"
)

// The embedded forge's program, through the adapter that GitHub has.
func TestEmbeddedForge(t *testing.T) {
	forgetest.Run(t, func(t *testing.T) forgetest.Setup {
		f := process.Start(t, process.Options{
			Repository: forge.Repository{Owner: "class", Name: "hubs"},
			// Webhooks of tests go to this machine.
			Change: func(s *devforge.Settings) { s.Outbound.Allow = []string{"127.0.0.1"} },
		})
		f.Account("mia", model.RoleMaintainer)
		f.Account("rita", model.RoleReviewer)
		f.Account("carl", model.RoleContributor)
		setup := forgetest.Setup{
			Maintainer: f.Client(process.Own, f.Repository), Elsewhere: f.Client(process.Own, f.Repository),
			Contributor: f.Client("carl", f.Repository), Reviewer: f.Client("rita", f.Repository),
			Hook: func(t *testing.T, url, secret string) {
				t.Helper()
				f.Hook("mia", f.Repository, url, secret)
			},
			Read: func(r *http.Request, secret string) (forge.Event, error) {
				hook, err := github.NewWebhook(f.Repository, secret)
				if err != nil {
					return nil, err
				}
				return hook.Read(r)
			},
		}
		seed(t, setup.Maintainer)
		setup.Fork = f.Client("carl", f.Fork("carl", f.Repository))
		return setup
	})
}

// seed pushes the first commit to staging and prod.
func seed(t *testing.T, as forge.Participant) {
	t.Helper()
	remote, err := as.Remote(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("hubs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=staging"}, {"add", "README.md"}, {"commit", "--quiet", "-m", "Begin"},
		{"push", "--quiet", remote.URL, "staging:refs/heads/staging", "staging:refs/heads/prod"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
			"GIT_AUTHOR_NAME=Mia", "GIT_AUTHOR_EMAIL=mia@example.org", "GIT_COMMITTER_NAME=Mia", "GIT_COMMITTER_EMAIL=mia@example.org")
		cmd.Env = append(cmd.Env, remote.Env()...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
}
