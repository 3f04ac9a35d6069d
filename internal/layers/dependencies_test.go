package layers

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every module that a go.mod file requires directly has a reason in
// docs/dependencies.md, and what has a reason there is required.
func TestDependenciesHaveReasons(t *testing.T) {
	root := filepath.Join("..", "..")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	required := ""
	for _, file := range []string{"go.mod", "devforge/go.mod", "node/go.mod", "tools/go.mod", "tools/lint/go.mod"} {
		raw, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		required += string(raw)
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
	for _, m := range regexp.MustCompile("`([a-z0-9.-]+\\.[a-z]+/[^` ]+)`").FindAllStringSubmatch(string(doc), -1) {
		if !strings.Contains(required, m[1]+" v") {
			t.Errorf("docs/dependencies.md gives a reason for %s, which nothing requires", m[1])
		}
	}
}
