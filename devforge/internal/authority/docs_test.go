package authority

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tables of docs/local-forge.md are those that decide. With
// HUBSHIP_UPDATE=1 they are written anew.
func TestDocs(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "local-forge.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- rules: written by devforge/internal/authority -->\n", "<!-- end of rules -->"
	before, rest, ok := strings.Cut(string(raw), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the rules", path)
	}
	want := before + begin + "\n" + Markdown() + "\n" + end + after
	if want == string(raw) {
		return
	}
	if os.Getenv("HUBSHIP_UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the tables of %s are not those that decide: write them anew with HUBSHIP_UPDATE=1 go -C devforge test ./internal/authority", path)
}
