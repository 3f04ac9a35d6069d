package layers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every module that a go.mod file requires directly, or uses as a tool, has a
// reason in docs/dependencies.md.
func TestDependenciesHaveReasons(t *testing.T) {
	root := filepath.Join("..", "..")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"go.mod", "node/go.mod"} {
		raw, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		block := ""
		for line := range strings.Lines(string(raw)) {
			line = strings.TrimSpace(line)
			fields := strings.Fields(line)
			switch {
			case strings.HasSuffix(line, "("):
				block = fields[0]
			case line == ")":
				block = ""
			case block == "require" && len(fields) == 2 && !strings.Contains(string(doc), "`"+fields[0]+"`"):
				t.Errorf("%s requires %s, which docs/dependencies.md gives no reason for", file, fields[0])
			}
		}
	}
}
