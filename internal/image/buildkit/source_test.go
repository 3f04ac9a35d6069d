package buildkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

func TestReadBuildFile(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("not for builds"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := contextDir(t, map[string]string{"hub/image/Dockerfile": "FROM a\n", "docker/user": "FROM b\n", "big": strings.Repeat("#", maxBuildFile+1)})
	for link, to := range map[string]string{"inside": "docker/user", "escape": outside, "up": "../../etc/passwd"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{
		"hub/image/Dockerfile": "FROM a\n", "./docker/user": "FROM b\n", "inside": "FROM b\n",
		"escape": "", "up": "", "none": "", "../x": "", "big": "", "hub": "",
	} {
		src := model.Source{Image: model.Image{Context: "hub/image", Dockerfile: file}}
		got, err := readBuildFile(dir, src)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("readBuildFile(%s) = %q, %v", file, got, err)
		}
	}
}

func TestFilesOf(t *testing.T) {
	t.Parallel()
	got := filesOf("/src", model.Source{Image: model.Image{Context: "./hub/image/", Dockerfile: "docker/user"}})
	if want := (files{context: "/src/hub/image", file: "/src/docker/user"}); got != want {
		t.Errorf("filesOf = %+v, want %+v", got, want)
	}
}
