package layers

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// leaves are the packages of the product that the embedded forge may import: none
// of them knows what hubship does.
var leaves = []string{"internal/assets", "internal/clientaddr", "internal/git", "internal/loopback", "internal/model", "internal/outbound"}

// within says what the packages of the embedded forge may import of each other.
var within = map[string][]string{
	"authority": {}, // rules: pure
	"refs":      {},
	"markdown":  {},
	"settings":  {},
	"store":     {"authority"},
	"gitserver": {"refs"},
	"hooks":     {"store"},
	"host":      {"authority", "gitserver", "refs", "store"},
	"rest":      {"authority", "hooks", "host", "markdown", "refs", "store"},
	"oauth":     {"authority", "store"},
	"pages":     {"authority", "host", "markdown", "rest", "store"},
	"serve":     {"gitserver", "hooks", "host", "oauth", "pages", "refs", "rest", "settings", "store"},
	"forgetest": {"gitserver", "hooks", "host", "refs", "rest", "store"}, // for tests
}

// The embedded forge knows nothing of the product but leaves, and its own arrows
// point down.
func TestForgeStandsAlone(t *testing.T) {
	all, err := list(filepath.Join("..", "..", "devforge"))
	if err != nil {
		t.Fatal(err)
	}
	const own = "devforge/internal/"
	for _, p := range all {
		from := strings.TrimPrefix(p.ImportPath, module)
		name, isInternal := strings.CutPrefix(from, own)
		may, placed := within[name]
		if isInternal && !placed {
			t.Errorf("%s has no place among the layers: give it one here", from)
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module)
			part, ofForge := strings.CutPrefix(to, own)
			switch {
			case !ours:
			case ofForge && isInternal && !slices.Contains(may, part):
				t.Errorf("%s imports %s, which points up or sideways", from, to)
			case ofForge || slices.Contains(leaves, to):
			case name == "forgetest" && below(to, "internal/forge"): // the client that tests use is the product's
			default:
				t.Errorf("%s imports %s, which is the product's", from, to)
			}
		}
	}
}
