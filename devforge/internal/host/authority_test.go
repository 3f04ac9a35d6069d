package host_test

import (
	"flag"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Worlds and steps of TestAuthority: a minute on a slow machine.
const (
	worlds = "5"
	steps  = "50"
)

// TestAuthority walks random worlds: accounts of every role and hubship's own,
// forks and forks of forks, pull requests in every direction, protections,
// tokens of several scopes, and everything that can be asked of the API and of
// Git. After each step it looks at what moved in which repository, and asks a
// model of its own, which shares no code with the forge, whether whoever asked
// had the right.
func TestAuthority(t *testing.T) {
	for name, value := range map[string]string{"rapid.checks": worlds, "rapid.steps": steps, "rapid.shrinktime": "20s", "rapid.nofailfile": "true"} {
		f := flag.Lookup(name)
		before := f.Value.String()
		if before != f.DefValue {
			continue // whoever runs the test asked for more
		}
		if err := f.Value.Set(value); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Value.Set(before) }()
	}
	// A walk that meets nothing of a kind proves nothing about it: then more are
	// walked, a few times.
	total := map[string]int{}
	missing := func() []string {
		return slices.DeleteFunc([]string{"moved hub/deployment", "moved a fork", "refused"}, func(what string) bool { return total[what] > 0 })
	}
	for range 4 {
		if walkWorlds(t, total); t.Failed() || len(missing()) == 0 {
			break
		}
	}
	t.Logf("%v", total)
	for _, what := range missing() {
		t.Errorf("in no world: %s", what)
	}
}

// walkWorlds walks some worlds, and counts what happened in them.
func walkWorlds(t *testing.T, total map[string]int) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWalk(t, rt)
		defer w.count(total)
		rt.Repeat(map[string]func(*rapid.T){
			"push": w.push, "push at a head": w.pushHead, "refs": w.refs, "contents": w.contents, "open": w.open, "open from above": w.openAbove, "change": w.flow, "change again": w.flow, "edit": w.edit, "merge": w.merge,
			"merge what is ready": w.mergeReady, "update": w.update, "sync": w.sync, "approve": w.approve, "say": w.say, "protect": w.protect, "change account": w.change,
			"": func(*rapid.T) {},
		})
	})
}
