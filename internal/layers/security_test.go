package layers

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedTest is a test as docs/security names it: package.TestName.
var namedTest = regexp.MustCompile(`\b([a-z0-9]+)\.(Test[A-Z][A-Za-z0-9]*|Fuzz[A-Z][A-Za-z0-9]*)\b`)

// Every test that docs/security.md and its parts name as what holds an attack
// off exists, in a package of that name.
func TestSecurityNamesTests(t *testing.T) {
	root := filepath.Join("..", "..")
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]*)\(`)
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, m := range declared.FindAllStringSubmatch(string(raw), -1) {
			tests[filepath.Base(filepath.Dir(name))+"."+m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(filepath.Join(root, "docs", "security", "*.md"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("no parts of docs/security.md: %v", err)
	}
	for _, name := range append(parts, filepath.Join(root, "docs", "security.md")) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		named := namedTest.FindAllString(string(raw), -1)
		if len(named) == 0 {
			t.Errorf("%s names no test", name)
		}
		for _, test := range named {
			if !tests[test] {
				t.Errorf("%s names %s, which there is not", name, test)
			}
		}
	}
}
