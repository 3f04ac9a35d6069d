package layers

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// namedPath is a file or folder of the repository in a guide.
	namedPath = regexp.MustCompile("`((?:internal|cmd|devforge|docs|e2e|node|scripts|starter|tools|\\.github)/[A-Za-z0-9_./-]+|\\.golangci\\.yml)`")
	// namedNames are a Go file and what it declares or uses: `file.go`: `A`, `B`.
	namedNames = regexp.MustCompile("`([a-z0-9_/]+\\.go)`: ((?:`[A-Za-z0-9_]+`(?:, | or )?)+)")
	inTicks    = regexp.MustCompile("`([A-Za-z0-9_]+)`")
	makeTarget = regexp.MustCompile("(?m)(?:`|^)make ([a-z][a-z0-9-]*)")
)

// The guides for contributors name files, functions and make targets that exist.
func TestGuidesNameWhatIsThere(t *testing.T) {
	root := filepath.Join("..", "..")
	makefile := readGuide(t, filepath.Join(root, "Makefile"))
	for _, name := range []string{"CONTRIBUTING.md", "docs/development.md"} {
		text := readGuide(t, filepath.Join(root, name))
		for _, m := range namedPath.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which there is not", name, m[1])
			}
		}
		for _, m := range namedNames.FindAllStringSubmatch(text, -1) {
			code := readGuide(t, filepath.Join(root, m[1]))
			for _, n := range inTicks.FindAllStringSubmatch(m[2], -1) {
				if !regexp.MustCompile(`\b` + n[1] + `\b`).MatchString(code) {
					t.Errorf("%s names %s in %s, which there is not", name, n[1], m[1])
				}
			}
		}
		for _, m := range makeTarget.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s names the make target %s, which there is not", name, m[1])
			}
		}
	}
}

func readGuide(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
