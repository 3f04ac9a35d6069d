package repo_test

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/repo"
)

var tester = git.Identity{Name: "Tess Ter", Email: "tess@example.org"}

// repository is a deployment repository that tests change.
type repository struct {
	*repo.Repository
	t     testing.TB
	files map[string][]byte // to commit
	modes map[string]fs.FileMode
}

const description = `version: 1
hubs:
  path: deployments/*
  chart: hub
  values: [config/common.yaml, "config/{env}.yaml"]
  secrets: ["secrets/{env}.yaml"]
images:
  base: {context: images/base, dockerfile: images/base.Dockerfile, values: j.base}
  user: {context: "{hub}/image", values: j.singleuser.image}
environments:
  staging: {cluster: local}
  prod: {cluster: local, after: staging}
`

// newRepository makes one with two hubs, a chart that depends on two others,
// a shared image and one of each hub.
func newRepository(t testing.TB) *repository {
	t.Helper()
	g, err := git.Init(t.Context(), filepath.Join(t.TempDir(), "deployment.git"), git.InitOptions{Bare: true, DefaultBranch: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	r := &repository{Repository: repo.New(g, repo.Options{}), t: t, files: map[string][]byte{}, modes: map[string]fs.FileMode{}}
	for name, text := range map[string]string{
		"hubship.yaml": description, "README.md": "words",
		"hub/Chart.yaml":                  "name: hub\ndependencies:\n- {name: jupyterhub, repository: 'file://../charts/jupyterhub'}\n- {name: far, version: 1.0.0, repository: 'https://example.org'}\n",
		"hub/templates/x.yaml":            "x",
		"charts/jupyterhub/Chart.yaml":    "name: jupyterhub\ndependencies:\n- {name: lib, repository: 'file://../lib'}\n",
		"charts/jupyterhub/values.yaml":   "a: 1",
		"charts/lib/Chart.yaml":           "name: lib\n",
		"charts/other/Chart.yaml":         "name: other\n",
		"images/base/file":                "1",
		"images/base.Dockerfile":          "FROM debian",
		"deployments/datahub/image/notes": "1",
	} {
		r.set(name, text)
	}
	for _, hub := range []string{"datahub", "data8"} {
		at := "deployments/" + hub + "/"
		for name, text := range map[string]string{"config/common.yaml": "c", "config/staging.yaml": "s", "config/prod.yaml": "p", "image/Dockerfile": "FROM base", "secrets/prod.yaml": "sealed"} {
			r.set(at+name, text+" of "+hub)
		}
	}
	return r
}

func (r *repository) set(name, text string) { r.files[name] = []byte(text) }

// commit records what was set on a branch and returns the commit.
func (r *repository) commit(branch string) string {
	r.t.Helper()
	head, err := r.Head(r.t.Context(), branch)
	if err != nil {
		r.t.Fatal(err)
	}
	id, err := r.Git().CommitFiles(r.t.Context(), branch, head, r.files, r.modes, "a change", tester)
	if err != nil {
		r.t.Fatal(err)
	}
	r.files, r.modes = map[string][]byte{}, map[string]fs.FileMode{}
	return id
}

// desired returns the releases of an environment by hub.
func (r *repository) desired(commit, env string) map[string]model.Desired {
	r.t.Helper()
	fleet, err := r.Fleet(r.t.Context(), commit)
	if err != nil {
		r.t.Fatal(err)
	}
	list, err := r.Desired(r.t.Context(), fleet, env)
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]model.Desired{}
	for _, d := range list {
		out[d.Target.Hub] = d
	}
	return out
}
