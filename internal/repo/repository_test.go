package repo_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/starter"
)

// TestRepository goes through what else the workflows ask for.
func TestRepository(t *testing.T) {
	r := newRepository(t)
	base := r.commit("prod")
	if err := r.Git().SetBranch(t.Context(), "staging", base, ""); err != nil {
		t.Fatal(err)
	}
	r.set("README.md", "new words")
	head := r.commit("staging")
	dir := filepath.Join(t.TempDir(), "context")
	if err := r.Checkout(t.Context(), head, "deployments/datahub/image", dir); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "Dockerfile")); string(data) != "FROM base of datahub" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if s, err := r.Subject(t.Context(), head); s != "a change" || err != nil {
		t.Errorf("subject %q, %v", s, err)
	}
	if ok, err := r.IsAncestor(t.Context(), base, head); !ok || err != nil {
		t.Errorf("ancestor %v, %v", ok, err)
	}
	want := fmt.Sprintf("%.7s a change (Tess Ter)", head)
	if log, err := r.Log(t.Context(), base, head); strings.Join(log, "\n") != want || err != nil {
		t.Errorf("log %q, %v, want %q", log, err, want)
	}
	if files, err := r.Files(t.Context(), head); err != nil || !strings.HasPrefix(files["README.md"], "100644 ") || files["deployments"] != "" {
		t.Errorf("files %v, %v", files, err)
	}
}

// What a commit allows to be destroyed holds from then on to the next that
// passes, and where nothing has passed for that commit alone.
func TestAllowedToDestroy(t *testing.T) {
	r := newRepository(t)
	commit := func(message string) string {
		head, err := r.Head(t.Context(), "staging")
		if err != nil {
			t.Fatal(err)
		}
		r.set("README.md", message)
		id, err := r.Git().CommitFiles(t.Context(), "staging", head, r.files, nil, message, tester)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := commit("first")
	old := commit("go\n\nAllow-Destroy: PersistentVolumeClaim/db\n")
	head := commit("words")
	for base, want := range map[string]int{first: 1, old: 0, "": 0} {
		if got, err := r.AllowedToDestroy(t.Context(), base, head); err != nil || len(got) != want {
			t.Errorf("since %.7q: %v, %v", base, got, err)
		}
	}
	if got, err := r.AllowedToDestroy(t.Context(), strings.Repeat("1", 40), head); err == nil {
		t.Errorf("since a commit that is not there: %v", got)
	}
}

func TestChanged(t *testing.T) {
	r := newRepository(t)
	before := r.commit("staging")
	for _, name := range []string{
		"README.md", "hub/templates/x.yaml", "charts/lib/values.yaml", "charts/other/values.yaml", "images/base.Dockerfile", "images/other",
		"deployments/datahub/image/requirements.txt", "deployments/datahub/config/common.yaml", "deployments/datahub/config/prod.yaml", "deployments/data8/image/x",
	} {
		r.set(name, "new")
	}
	after := r.commit("staging")
	got, err := r.Changed(t.Context(), before, after, "datahub")
	want := "charts/lib/values.yaml deployments/datahub/config/common.yaml deployments/datahub/image/requirements.txt hub/templates/x.yaml images/base.Dockerfile"
	if strings.Join(got, " ") != want || err != nil {
		t.Errorf("changed %q, %v, want %q", got, err, want)
	}
	if _, err := r.Changed(t.Context(), strings.Repeat("1", 40), after, "datahub"); !errors.Is(err, git.ErrNotFound) {
		t.Errorf("unknown commit: %v", err)
	}
}

// TestStarter computes the releases of what a new installation begins with.
func TestStarter(t *testing.T) {
	r := newRepository(t)
	clear(r.files)
	src := starter.Files()
	err := fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(src, name)
		r.files[name] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	id := r.commit("staging")
	staging, prod := r.desired(id, "staging")["datahub"], r.desired(id, "prod")["datahub"]
	if staging.Shared != prod.Shared || staging.Own == prod.Own || len(prod.Images) != 3 {
		t.Errorf("staging %+v\nprod %+v", staging, prod)
	}
	r.set("deployments/datahub/image/requirements.txt", "emoji\n")
	after := r.desired(r.commit("staging"), "staging")["datahub"]
	for i, img := range after.Images {
		if changed := img.Hash != staging.Images[i].Hash; changed != (img.Name == "user") {
			t.Errorf("image %s changed: %v", img.ID, changed)
		}
	}
}
