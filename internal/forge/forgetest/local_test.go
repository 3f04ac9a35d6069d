package forgetest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/forgetest"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/localtest"
	"github.com/hubship/hubship/internal/forge/local/store"
)

// The embedded forge, over HTTP, through the adapter that GitHub has.
func TestEmbeddedForge(t *testing.T) {
	forgetest.Run(t, func(t *testing.T) forgetest.Setup {
		f := localtest.Start(t, nil)
		org := f.Account(store.NewAccount{Login: "class", Kind: store.Organization})
		maintainer := f.Account(store.NewAccount{Login: localtest.Own, Email: "mia@example.org", Role: store.Maintainer})
		reviewer := f.Account(store.NewAccount{Login: "rita", Email: "rita@example.org", Role: store.Reviewer})
		contributor := f.Account(store.NewAccount{Login: "carl", Email: "carl@example.org", Role: store.Contributor})
		repo, err := f.Host.CreateRepository(t.Context(), org, host.NewRepository{Name: "hubs", DefaultBranch: "staging"})
		if err != nil {
			t.Fatal(err)
		}
		name := forge.Repository{Owner: "class", Name: repo.Name}
		setup := forgetest.Setup{
			Maintainer: f.Client(maintainer, name), Elsewhere: f.Client(maintainer, name), Contributor: f.Client(contributor, name),
			Reviewer: f.Client(reviewer, name),
			Fork:     f.Client(contributor, forge.Repository{Owner: "carl", Name: repo.Name}),
			Hook:     func(t *testing.T, url, secret string) { hook(t, f, maintainer, name, url, secret) },
			Read: func(r *http.Request, secret string) (forge.Event, error) {
				hook, err := github.NewWebhook(name, secret)
				if err != nil {
					return nil, err
				}
				return hook.Read(r)
			},
		}
		seed(t, setup.Maintainer)
		if _, err := f.Host.Fork(t.Context(), repo, contributor, ""); err != nil {
			t.Fatal(err)
		}
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

// hook sets up a webhook as a person may, which the adapter does not.
func hook(t *testing.T, f *localtest.Forge, as store.Account, repo forge.Repository, url, secret string) {
	t.Helper()
	_, token, err := f.Host.Store.CreateToken(t.Context(), as.ID, "hooks", []string{store.ScopeHooks}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"name": "web", "events": []string{"*"}, "config": map[string]string{"url": url, "secret": secret, "content_type": "json"}})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/api/v3/repos/"+repo.String()+"/hooks", bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("make a webhook: %s", resp.Status)
	}
}
