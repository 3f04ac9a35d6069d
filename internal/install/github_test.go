package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

func TestGitHub(t *testing.T) {
	token := GitHub{Repository: "berkeley/datahub", TokenFile: "/token"}
	for name, c := range map[string]struct {
		change func(*GitHub)
		want   string
	}{
		"token":         {func(*GitHub) {}, ""},
		"app":           {func(g *GitHub) { g.TokenFile, g.App = "", &GitHubApp{ID: "7", KeyFile: "/key"} }, ""},
		"enterprise":    {func(g *GitHub) { g.URL = "https://github.example.edu/api/v3/" }, ""},
		"this machine":  {func(g *GitHub) { g.URL = "http://127.0.0.1:8080/api/v3/" }, ""},
		"webhook":       {func(g *GitHub) { g.WebhookSecretFile = "/secret" }, ""},
		"no owner":      {func(g *GitHub) { g.Repository = "datahub" }, "OWNER/NAME"},
		"address":       {func(g *GitHub) { g.Repository = "https://github.com/berkeley/datahub" }, "OWNER/NAME"},
		"unencrypted":   {func(g *GitHub) { g.URL = "http://github.example.edu/" }, "expected https"},
		"password":      {func(g *GitHub) { g.URL = "https://u:hunter2@github.example.edu/" }, "without user"},
		"nobody":        {func(g *GitHub) { g.TokenFile = "" }, "--github-token-file"},
		"two":           {func(g *GitHub) { g.App = &GitHubApp{ID: "7", KeyFile: "/key"} }, "choose one"},
		"app, half":     {func(g *GitHub) { g.TokenFile, g.App = "", &GitHubApp{ID: "7"} }, "needs both"},
		"relative":      {func(g *GitHub) { g.TokenFile = "token" }, "github-token-file"},
		"relative hook": {func(g *GitHub) { g.WebhookSecretFile = "s" }, "github-webhook-secret-file"},
	} {
		t.Run(name, func(t *testing.T) {
			s, g := Default(), token
			c.change(&g)
			s.GitHub = &g
			err := s.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("got %v, want %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Fatalf("the error shows a password: %v", err)
			}
		})
	}
}

func TestGitHubStays(t *testing.T) {
	with := func(g *GitHub) Settings {
		s := Default()
		s.GitHub = g
		return s
	}
	one := with(&GitHub{Repository: "berkeley/datahub", TokenFile: "/token"})
	for name, c := range map[string]struct {
		from, to Settings
		same     bool
	}{
		"another token":   {one, with(&GitHub{Repository: "berkeley/datahub", App: &GitHubApp{ID: "7", KeyFile: "/key"}, WebhookSecretFile: "/s"}), true},
		"another one":     {one, with(&GitHub{Repository: "berkeley/other", TokenFile: "/token"}), false},
		"another host":    {one, with(&GitHub{Repository: "berkeley/datahub", TokenFile: "/token", URL: "https://github.example.edu/api/v3/"}), false},
		"to the embedded": {one, Default(), false},
		"from it":         {Default(), one, false},
	} {
		if err := c.from.Changed(c.to); (err == nil) != c.same || err != nil && model.ExitCodeOf(err) != model.ExitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	enterprise := Default()
	enterprise.GitHub = &GitHub{URL: "https://github.example.edu/api/v3/", Repository: "a/b"}
	public := Default()
	public.GitHub = &GitHub{Repository: "a/b"}
	for _, c := range []struct {
		s            Settings
		clone, forge string
	}{
		{Default(), "http://localhost:8080/git/hubs/deployment.git", "http://localhost:8080/forge/hubs/deployment"},
		{public, "https://github.com/a/b.git", "https://github.com/a/b"},
		{enterprise, "https://github.example.edu/a/b.git", "https://github.example.edu/a/b"},
	} {
		if c.s.CloneURL() != c.clone || c.s.ForgeURL() != c.forge {
			t.Errorf("got %s and %s, want %s and %s", c.s.CloneURL(), c.s.ForgeURL(), c.clone, c.forge)
		}
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		path, want, err string
	}{
		"own":     {file("own", "hunter2\n", 0o600), "hunter2", ""},
		"group":   {file("group", " hunter2 ", 0o640), "hunter2", ""},
		"all":     {file("all", "hunter2\n", 0o644), "", "everybody can read"},
		"empty":   {file("empty", "\n", 0o600), "", "is empty"},
		"large":   {file("large", strings.Repeat("x", maxSecret+1), 0o600), "", "too large for a secret"},
		"missing": {filepath.Join(dir, "missing"), "", "no such file"},
		"folder":  {dir, "", "is not a file"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadSecret(c.path)
			if got != c.want || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("got %q, %v; want %q, %q", got, err, c.want, c.err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Fatalf("the error shows the secret: %v", err)
			}
		})
	}
	g := GitHub{TokenFile: filepath.Join(dir, "all"), WebhookSecretFile: filepath.Join(dir, "missing")}
	if err := g.Check(); err == nil || !strings.Contains(err.Error(), "--github-token-file") || !strings.Contains(err.Error(), "--github-webhook-secret-file") {
		t.Errorf("got %v, want both files named", err)
	}
}
