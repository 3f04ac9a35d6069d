package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

// given parses the options of `hubship up` without running it.
func given(t *testing.T, a *command, line ...string) (install.Settings, error) {
	t.Helper()
	cmd := a.upCommand()
	if err := cmd.ParseFlags(line); err != nil {
		t.Fatal(err)
	}
	value := func(flag string) string { return cmd.Flags().Lookup(flag).Value.String() }
	now, _, err := a.settings(cmd, upFlags{github: upGitHub{
		repository: value("github"), url: value("github-url"), tokenFile: value("github-token-file"),
		appID: value("github-app-id"), appKeyFile: value("github-app-key-file"), webhookSecretFile: value("github-webhook-secret-file"),
	}})
	return now, err
}

func TestUpAtGitHub(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("hunter2hunter2hunter2\n"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token, key, hook, open := file("token", 0o600), file("key", 0o640), file("hook", 0o600), file("open", 0o644)
	for name, c := range map[string]struct {
		stored *install.GitHub
		line   []string
		want   install.GitHub
		err    string
	}{
		"token":   {line: []string{"--github", "a/b", "--github-token-file", token}, want: install.GitHub{Repository: "a/b", TokenFile: token}},
		"app":     {line: []string{"--github", "a/b", "--github-app-id", "7", "--github-app-key-file", key, "--github-webhook-secret-file", hook}, want: install.GitHub{Repository: "a/b", App: &install.GitHubApp{ID: "7", KeyFile: key}, WebhookSecretFile: hook}},
		"again":   {stored: &install.GitHub{Repository: "a/b", TokenFile: token}, want: install.GitHub{Repository: "a/b", TokenFile: token}},
		"hook":    {stored: &install.GitHub{Repository: "a/b", TokenFile: token}, line: []string{"--github-webhook-secret-file", hook}, want: install.GitHub{Repository: "a/b", TokenFile: token, WebhookSecretFile: hook}},
		"no hook": {stored: &install.GitHub{Repository: "a/b", TokenFile: token, WebhookSecretFile: hook}, line: []string{"--github-webhook-secret-file", ""}, want: install.GitHub{Repository: "a/b", TokenFile: token}},
		"becomes an app": {stored: &install.GitHub{Repository: "a/b", TokenFile: token}, line: []string{"--github-app-id", "7", "--github-app-key-file", key},
			want: install.GitHub{Repository: "a/b", App: &install.GitHubApp{ID: "7", KeyFile: key}}},
		"becomes a token": {stored: &install.GitHub{Repository: "a/b", App: &install.GitHubApp{ID: "7", KeyFile: key}}, line: []string{"--github-token-file", token}, want: install.GitHub{Repository: "a/b", TokenFile: token}},
		"both":            {line: []string{"--github", "a/b", "--github-token-file", token, "--github-app-id", "7", "--github-app-key-file", key}, err: "choose one"},
		"nobody":          {line: []string{"--github", "a/b"}, err: "--github-token-file"},
		"no repository":   {line: []string{"--github-token-file", token}, err: "without --github"},
		"readable by all": {line: []string{"--github", "a/b", "--github-token-file", open}, err: "everybody can read"},
		"missing":         {line: []string{"--github", "a/b", "--github-token-file", filepath.Join(dir, "none")}, err: "no such file"},
		"another":         {stored: &install.GitHub{Repository: "a/b", TokenFile: token}, line: []string{"--github", "a/c"}, err: "cannot become"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &command{data: t.TempDir()}
			if c.stored != nil {
				s := install.Default()
				s.GitHub = c.stored
				if err := install.Save(a.data, s); err != nil {
					t.Fatal(err)
				}
			}
			got, err := given(t, a, c.line...)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || model.ExitCodeOf(err) != model.ExitUsage || strings.Contains(err.Error(), "hunter2") {
					t.Fatalf("got %v, want a wrong use about %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if g := got.GitHub; g == nil || g.Repository != c.want.Repository || g.TokenFile != c.want.TokenFile || g.WebhookSecretFile != c.want.WebhookSecretFile ||
				(g.App == nil) != (c.want.App == nil) || g.App != nil && *g.App != *c.want.App {
				t.Fatalf("got %+v, want %+v", g, c.want)
			}
		})
	}
}

func TestRevert(t *testing.T) {
	data := (&world{status: twoStages()}).serve(t)
	code, out, errs := hubship(t, data, "revert", "#42")
	if code != model.ExitDone || out != "pull request #43 reverts #42: http://localhost:8080/forge/hubs/deployment/pull/43\n" {
		t.Fatalf("code %d, output %q\n%s", code, out, errs)
	}
	for _, c := range []struct{ arg, want string }{{"9", "was not merged"}, {"x", "not the number"}, {"0", "not the number"}} {
		if code, _, errs := hubship(t, data, "revert", c.arg); code != model.ExitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("revert %s: code %d\n%s", c.arg, code, errs)
		}
	}
}

func TestStatusOfTheForge(t *testing.T) {
	st := twoStages()
	st.Forge = &model.ForgeStatus{Repository: "hubs/deployment", URL: "http://localhost:8080/forge/hubs/deployment", Open: 3, Waiting: 1, Polled: time.Now().Add(-10 * time.Second), Trouble: "read pull requests: unavailable"}
	data := (&world{status: st}).serve(t)
	_, out, _ := hubship(t, data, "status")
	contains(t, out, "http://localhost:8080/forge/hubs/deployment 3 open, 1 waiting (10s ago)", "problem: the forge cannot be read: read pull requests: unavailable")
	st.Forge.Polled, st.Forge.Trouble = time.Time{}, ""
	_, out, _ = hubship(t, data, "status")
	contains(t, out, "not read yet")
}
