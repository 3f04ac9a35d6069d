package runplan

import (
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/planner"
	"github.com/hubship/hubship/internal/release/helm"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/starter"
)

// starterRepository is a bare repository with the starter's files on a branch.
func starterRepository(t *testing.T) (g *git.Repo, files map[string][]byte, base string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "deployment.git")
	g, err := git.Init(t.Context(), dir, git.InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	files = map[string][]byte{}
	err = fs.WalkDir(starter.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[name], err = fs.ReadFile(starter.Files(), name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	base, err = g.CommitFiles(t.Context(), "staging", "", files, nil, "Begin", git.Identity{Name: "Mia", Email: "mia@localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return g, files, base
}

func TestAssess(t *testing.T) {
	g, files, base := starterRepository(t)
	repository := repo.New(g, repo.Options{})
	made, err := planner.New(planner.Options{
		Repository: repository, Renderer: helm.NewRenderer(helm.RendererOptions{Charts: helm.Charts{CacheDir: t.TempDir(), Offline: true}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := Maker{made, repository, Folder(filepath.Join(t.TempDir(), "plans")), slog.New(slog.DiscardHandler)}
	const list = "deployments/datahub/image/requirements.txt"
	proposed := 0
	propose := func(change map[string]string) string {
		t.Helper()
		all := map[string][]byte{}
		for name, text := range change {
			all[name] = []byte(text)
		}
		proposed++
		branch := fmt.Sprint("change-", proposed)
		if err := g.SetBranch(t.Context(), branch, base, ""); err != nil {
			t.Fatal(err)
		}
		head, err := g.CommitFiles(t.Context(), branch, base, all, nil, "Change", git.Identity{Name: "Carl", Email: "carl@localhost"})
		if err != nil {
			t.Fatal(err)
		}
		return head
	}
	for _, c := range []struct {
		name     string
		change   map[string]string
		errors   bool
		leaks    int
		packages string
		changed  string
	}{
		{name: "a package", change: map[string]string{list: string(files[list]) + "emoji==2.14.1\n"}, packages: "emoji==2.14.1", changed: list},
		{name: "a broken value", change: map[string]string{"deployments/datahub/config/common.yaml": "jupyterhub: [\n"}, errors: true, changed: "deployments/datahub/config/common.yaml"},
		{name: "a credential", change: map[string]string{"notes.md": "key = AKIA" + "QYLPMN5HHHFPZAM2\n"}, leaks: 1, errors: true, changed: "notes.md"},
		{name: "a document", change: map[string]string{"docs/a.md": "<script>\n"}, changed: "docs/a.md"},
	} {
		t.Run(c.name, func(t *testing.T) {
			head := propose(c.change)
			leaks, err := m.Credentials(t.Context(), base, head)
			if err != nil || len(leaks) != c.leaks {
				t.Errorf("%d credentials, %v: %+v", len(leaks), err, leaks)
			}
			for _, l := range leaks {
				if l.Line == 0 || strings.Contains(l.Message+l.Hint, "QYLPMN5") {
					t.Errorf("%+v", l)
				}
			}
			found, err := m.Assess(t.Context(), model.AssessRequest{Run: "20261128-1", Base: base, Head: head})
			if err != nil {
				t.Fatal(err)
			}
			if (found.Errors > 0) != c.errors || found.Conflict || found.Merged == "" || found.Summary == "" || len(found.Lines) == 0 {
				t.Errorf("%+v", found)
			}
			if !slices.Equal(found.Changed, []string{c.changed}) {
				t.Errorf("changed %v", found.Changed)
			}
			got := ""
			for _, p := range found.Packages["datahub/user"] {
				got += p.Name + p.Spec
			}
			if got != c.packages {
				t.Errorf("packages %q of %+v", got, found.Packages)
			}
			if p, err := m.Folder.Plan(t.Context(), "20261128-1"); err != nil || p.Head != head {
				t.Errorf("the plan that was kept: %+v, %v", p.Head, err)
			}
		})
	}

	// What conflicts is said, and nothing else is.
	head := propose(map[string]string{list: "numpy==1\n"})
	other := propose(map[string]string{list: "numpy==2\n"})
	found, err := m.Assess(t.Context(), model.AssessRequest{Run: "20261128-2", Base: other, Head: head})
	if err != nil || !found.Conflict || found.Merged != "" {
		t.Errorf("%+v, %v", found, err)
	}
}
