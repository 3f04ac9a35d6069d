package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

func TestWeakened(t *testing.T) {
	old := model.Test{Name: "lint", Image: "python", Command: []string{"sh", "-c", "ruff"}, Paths: []string{"a/**", "b"}, Timeout: time.Minute}
	with := func(edit func(*model.Test)) []model.Test {
		n := old
		n.Paths = append([]string(nil), old.Paths...)
		edit(&n)
		return []model.Test{n}
	}
	for name, c := range map[string]struct {
		now  []model.Test
		want string
	}{
		"the same":        {[]model.Test{old}, ""},
		"removed":         {nil, "check lint is removed"},
		"renamed":         {with(func(t *model.Test) { t.Name = "x" }), "check lint is removed"},
		"another image":   {with(func(t *model.Test) { t.Image = "evil" }), "check lint runs in evil instead of python"},
		"another command": {with(func(t *model.Test) { t.Command = []string{"true"} }), "check lint runs another command"},
		"fewer paths":     {with(func(t *model.Test) { t.Paths = []string{"b"} }), "check lint sees other files: b instead of a/**, b"},
		"more paths":      {with(func(t *model.Test) { t.Paths = append(t.Paths, "c") }), ""},
		"all paths":       {with(func(t *model.Test) { t.Paths = nil }), ""},
		"less time":       {with(func(t *model.Test) { t.Timeout = time.Second }), "check lint has 1s instead of 1m0s"},
		"more time":       {with(func(t *model.Test) { t.Timeout = 0 }), ""},
		"one beside it":   {append(with(func(*model.Test) {}), model.Test{Name: "new"}), ""},
	} {
		var words []string
		for _, w := range Weakened([]model.Test{old}, c.now) {
			words = append(words, w.Words)
		}
		if got := strings.Join(words, "; "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
