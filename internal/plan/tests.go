package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// Weakened says which of the repository's own tests a change removes, or makes
// test something else or less: another image or command, fewer paths, a shorter
// timeout. It is pure.
func Weakened(old, now []model.Test) []model.ProcessChange {
	var out []model.ProcessChange
	for _, o := range old {
		add := func(key, before, after, format string, args ...any) {
			out = append(out, model.ProcessChange{Path: strings.TrimSuffix("checks."+o.Name+"."+key, "."), Old: before, New: after, Loosens: true, Words: fmt.Sprintf(format, args...)})
		}
		i := slices.IndexFunc(now, func(t model.Test) bool { return t.Name == o.Name })
		if i < 0 {
			add("", o.Name, "", "check %s is removed", o.Name)
			continue
		}
		n := now[i]
		if n.Image != o.Image {
			add("image", o.Image, n.Image, "check %s runs in %s instead of %s", o.Name, n.Image, o.Image)
		}
		if !slices.Equal(n.Command, o.Command) {
			add("command", strings.Join(o.Command, " "), strings.Join(n.Command, " "), "check %s runs another command", o.Name)
		}
		if narrower(o.Paths, n.Paths) {
			add("paths", strings.Join(o.Paths, ", "), strings.Join(n.Paths, ", "), "check %s sees other files: %s instead of %s", o.Name, paths(n.Paths), paths(o.Paths))
		}
		if limit(n) < limit(o) {
			add("timeout", limit(o).String(), limit(n).String(), "check %s has %s instead of %s", o.Name, limit(n), limit(o))
		}
	}
	return out
}

// SameTest says that two tests find out the same.
func SameTest(a, b model.Test) bool {
	return a.Image == b.Image && slices.Equal(a.Command, b.Command) && slices.Equal(a.Paths, b.Paths) && limit(a) == limit(b)
}

func limit(t model.Test) time.Duration { return cmp.Or(t.Timeout, model.DefaultTestTimeout) }

// narrower says that a test does not see all any more that it saw. No paths are
// all files.
func narrower(old, now []string) bool {
	switch {
	case len(now) == 0:
		return false
	case len(old) == 0:
		return true
	}
	return slices.ContainsFunc(old, func(p string) bool { return !slices.Contains(now, p) })
}

func paths(list []string) string {
	if len(list) == 0 {
		return "all"
	}
	return strings.Join(list, ", ")
}
