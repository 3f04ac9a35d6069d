package config

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/model"
)

// Who may change how changes are shipped follows from the paths of files: one that
// is reached through a link could be changed elsewhere.
func TestProcessIsNoLink(t *testing.T) {
	link := func(to string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
	}
	whole := tree("")
	for name, files := range map[string]fstest.MapFS{
		"hubship.yaml":                  {"conf/process.yaml": whole[FileName], FileName: link("conf/process.yaml")},
		"deployments/math/hubploy.yaml": {"elsewhere.yaml": {Data: []byte("cluster: {}\n")}, "deployments/math/hubploy.yaml": link("../../elsewhere.yaml")},
		"deployments/math":              {"elsewhere/hubploy.yaml": {Data: []byte("cluster: {}\n")}, "deployments/math": link("../elsewhere")},
	} {
		_, err := ReadProcess(files, "")
		if err == nil || !strings.Contains(err.Error(), name+" is a symbolic link") || model.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is made of a repository's other files, the process stays what it is: a
// forge that leaves ProcessFiles to maintainers leaves the process to them.
func TestProcessIsInItsFiles(t *testing.T) {
	paths := []string{"hub/Chart.yaml", "README.md", "support/values.yaml", "other.yaml", "hubploy.yaml", "develop.yaml", "conf/hubship.yaml", FileName}
	for _, hub := range []string{"math", "art", "{{cookiecutter.hub_name}}"} {
		for _, name := range []string{"hubploy.yaml", "config/common.yaml", "config/staging.yaml", "config/prod.yaml", "config/develop.yaml", "secrets/staging.yaml", "secrets/develop.yaml", "config/develop.yaml/x", "develop.yaml", "image/Dockerfile"} {
			paths = append(paths, "deployments/"+hub+"/"+name)
		}
	}
	texts := []string{"", minimal, strings.Replace(minimal, ", after: staging", "", 1), "cluster: {provider: gcloud, gcloud: {cluster: spring}}\n", "a: [\n"}
	altered := 0
	rapid.Check(t, func(t *rapid.T) {
		files := fstest.MapFS{}
		if rapid.Bool().Draw(t, "hubploy") {
			maps.Copy(files, hubployTree(nil))
		} else {
			maps.Copy(files, tree(minimal))
		}
		for range rapid.IntRange(0, 3).Draw(t, "before") {
			files[rapid.SampledFrom(paths).Draw(t, "path")] = &fstest.MapFile{Data: []byte(rapid.SampledFrom(texts).Draw(t, "text"))}
		}
		before, failed := ReadProcess(files, "")
		at := rapid.SampledFrom(paths).Draw(t, "changed")
		after := maps.Clone(files)
		if _, there := files[at]; there && rapid.Bool().Draw(t, "removed") {
			delete(after, at)
		} else {
			after[at] = &fstest.MapFile{Data: []byte(rapid.SampledFrom(texts).Draw(t, "to"))}
		}
		now, fails := ReadProcess(after, "")
		if (failed == nil) == (fails == nil) && (failed != nil || before.Equal(now)) {
			return
		}
		altered++
		if !slices.ContainsFunc(ProcessFiles, func(pattern string) bool { ok, _ := path.Match(pattern, at); return ok }) {
			t.Fatalf("%s alters the process and is none of its files: %+v, %v; then %+v, %v", at, before, failed, now, fails)
		}
	})
	if altered == 0 {
		t.Error("nothing altered the process: this test looks at nothing")
	}
}
