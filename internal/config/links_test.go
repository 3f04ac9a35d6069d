package config

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

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
