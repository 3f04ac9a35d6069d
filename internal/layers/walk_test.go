package layers

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// walkRow is a row of the table: a package, and the cells after it.
	walkRow = regexp.MustCompile("(?m)^\\| `(internal/[a-z/]+)` \\|(.*)$")
	// door is a function or method, or another name, that a cell of it names.
	door = regexp.MustCompile("`(?:([A-Z][A-Za-z]*)\\.)?([A-Z][A-Za-z]*)`")
)

// The walk of a commit, in docs/architecture.md, names doors that the packages
// have.
func TestWalkNamesDoors(t *testing.T) {
	root := filepath.Join("..", "..")
	_, walk, _ := strings.Cut(readGuide(t, filepath.Join(root, "docs", "architecture.md")), "\n## The walk of a commit\n")
	walk, _, _ = strings.Cut(walk, "\n## ")
	rows := walkRow.FindAllStringSubmatch(walk, -1)
	if len(rows) < 10 {
		t.Fatalf("the table of the walk has %d rows", len(rows))
	}
	for _, row := range rows {
		code := codeOf(t, filepath.Join(root, row[1]))
		for _, d := range door.FindAllStringSubmatch(row[2], -1) {
			declared := `(?m)^(func|const|var|type) ` + d[2] + `\b`
			if d[1] != "" {
				declared = `(?m)^func \((\w+ )?\*?` + d[1] + `\) ` + d[2] + `\(`
			}
			if !regexp.MustCompile(declared).MatchString(code) {
				t.Errorf("the walk names %s of %s, which there is not", strings.Trim(d[0], "`"), row[1])
			}
		}
	}
}

// codeOf is all code of one package, tests left out.
func codeOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no code in %s: %v", dir, err)
	}
	var all strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(raw)
	}
	return all.String()
}
