package opener

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/secrets"
)

// A commit on staging's branch says that staging, or another hub, uses prod's
// secrets: they are not opened for it. A new hub may use what all hubs use.
func TestSecretsOfOthersAreNotNamed(t *testing.T) {
	ctx := t.Context()
	g, err := git.Init(ctx, filepath.Join(t.TempDir(), "deployment.git"), git.InitOptions{Bare: true, DefaultBranch: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	key := filepath.Join(t.TempDir(), "age.key")
	recipient, err := secrets.NewKey(key)
	if err != nil {
		t.Fatal(err)
	}
	opener := func(r *repo.Repository) *Opener {
		return New(Options{Repository: r, Keys: func() secrets.Keys { return secrets.Keys{AgeFiles: []string{key}} }})
	}
	sealed := func() []byte {
		out, err := secrets.Encrypt([]byte("password: hidden\n"), []string{recipient})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	description := func(patterns string) []byte {
		return []byte("version: 1\nhubs: {path: hubs/*, chart: hub, values: [values.yaml], secrets: [" + patterns + "]}\n" +
			"environments:\n  staging: {cluster: local}\n  prod: {cluster: local, after: staging}\n")
	}
	files := map[string][]byte{
		"hubship.yaml":   description(`"secrets/{env}.yaml", "/common.yaml"`),
		"hub/Chart.yaml": []byte("name: hub\nversion: 1.0.0\n"), "common.yaml": sealed(),
		"hubs/a/values.yaml": nil, "hubs/a/secrets/prod.yaml": sealed(), "hubs/b/values.yaml": nil, "hubs/b/secrets/prod.yaml": sealed(),
	}
	for name, data := range files {
		if data == nil {
			files[name] = []byte("x: 1\n")
		}
	}
	commit := func(branch, parent string, files map[string][]byte) string {
		t.Helper()
		id, err := g.CommitFiles(ctx, branch, parent, files, nil, "a change", git.Identity{Name: "t", Email: "t@example.org"})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	// Before, a's secrets in prod had another key.
	old := sealed()
	ours := files["hubs/a/secrets/prod.yaml"]
	files["hubs/a/secrets/prod.yaml"] = old
	first := commit("staging", "", files)
	base := commit("staging", first, map[string][]byte{"hubs/a/secrets/prod.yaml": ours})
	if err := g.SetBranch(ctx, "prod", base, ""); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change map[string][]byte
		hub    string
		file   string
		want   string // in the error; empty: it is opened
	}{
		"prod's for staging":     {map[string][]byte{"hubship.yaml": description(`"secrets/prod.yaml"`)}, "a", "hubs/a/secrets/prod.yaml", "a@staging"},
		"another hub's":          {map[string][]byte{"hubship.yaml": description(`"/hubs/b/secrets/prod.yaml"`)}, "a", "hubs/b/secrets/prod.yaml", "a@staging"},
		"prod's of the past":     {map[string][]byte{"hubs/a/secrets/staging.yaml": old}, "a", "hubs/a/secrets/staging.yaml", "hubs/a/secrets/prod.yaml"},
		"what all use":           {map[string][]byte{"hubs/c/values.yaml": []byte("x: 1\n")}, "c", "common.yaml", ""},
		"what it used before":    {map[string][]byte{"hubs/a/values.yaml": []byte("x: 2\n")}, "a", "common.yaml", ""},
		"prod's, encrypted anew": {map[string][]byte{"hubship.yaml": description(`"secrets/prod.yaml"`), "hubs/a/secrets/prod.yaml": sealed()}, "a", "hubs/a/secrets/prod.yaml", ""},
	} {
		t.Run(name, func(t *testing.T) {
			head, err := g.Head(ctx, "staging")
			if err != nil {
				t.Fatal(err)
			}
			id := commit("staging", head, tt.change)
			t.Cleanup(func() { _ = g.SetBranch(ctx, "staging", base, id) })
			r := repo.New(g, repo.Options{})
			d, err := r.Release(ctx, id, tt.hub, "staging")
			if err != nil {
				t.Fatal(err)
			}
			tree, err := r.FS(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			data, err := fs.ReadFile(tree, tt.file)
			if err != nil {
				t.Fatal(err)
			}
			values, err := opener(r).Open(ctx, d, tt.file, data)
			switch {
			case tt.want == "" && (err != nil || values["password"] != "hidden"):
				t.Errorf("%v, %v", values, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || model.HintOf(err) == ""):
				t.Errorf("%v, %v", values, err)
			}
		})
	}

	// An earlier version that cannot be read could be anybody's.
	r := repo.New(g, repo.Options{})
	d, err := r.Release(ctx, base, "a", "prod")
	if err != nil {
		t.Fatal(err)
	}
	id, err := exec.Command("git", "--git-dir", g.Dir(), "rev-parse", first+":hubs/a/secrets/prod.yaml").Output()
	if err != nil {
		t.Fatal(err)
	}
	object := filepath.Join(g.Dir(), "objects", string(id[:2]), strings.TrimSpace(string(id[2:])))
	if err := os.Rename(object, object+".away"); err != nil {
		t.Fatal(err)
	}
	s := opener(r)
	if _, err := s.Open(ctx, d, "hubs/a/secrets/prod.yaml", ours); err == nil || !strings.Contains(err.Error(), "earlier version") {
		t.Errorf("opened while an earlier version is away: %v", err)
	}
	if err := os.Rename(object+".away", object); err != nil {
		t.Fatal(err)
	}
	if values, err := s.Open(ctx, d, "hubs/a/secrets/prod.yaml", ours); err != nil || values["password"] != "hidden" {
		t.Errorf("not opened when it is back: %v, %v", values, err)
	}
}
