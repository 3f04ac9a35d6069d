package process

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/hubship/hubship/internal/model"
)

// Alters says what differs between two processes, in the order of the paths;
// nothing when they decide the same. It is pure. What a difference means:
//
//	| what changes                            | loosens                          |
//	|-----------------------------------------|----------------------------------|
//	| an environment is added                 | when it has no gate and comes    |
//	|                                         | with others that there were, or  |
//	|                                         | may be pushed to                 |
//	| an environment is removed               | always                           |
//	| after: dropped, or another one          | always; added where there was    |
//	|                                         | none, it tightens                |
//	| branch, cluster, namespace, release     | always: other bytes, or another  |
//	|                                         | place                            |
//	| host                                    | never                            |
//	| push                                    | when it becomes true             |
//	| order of environments alone             | never                            |
//	| review.approvals                        | when it becomes fewer            |
//	| revert                                  | when it becomes auto             |
//	| verify.service, verify.user             | always: somebody else judges     |
//	| cluster of a hub                        | when it had one                  |
func Alters(old, now model.Process) []model.ProcessChange {
	a := &alters{old: old, now: now}
	a.environments()
	a.number("review.approvals", old.Review.Approvals, now.Review.Approvals)
	a.text("revert", old.Revert, now.Revert, now.Revert == model.RevertAuto, "what happens to a change that fails")
	a.text("verify.service", old.Verify.Service, now.Verify.Service, true, "service for verification")
	a.text("verify.user", old.Verify.User, now.Verify.User, true, "user for verification")
	a.places()
	slices.SortStableFunc(a.found, func(x, y model.ProcessChange) int { return cmp.Compare(x.Path, y.Path) })
	return a.found
}

type alters struct {
	old, now model.Process
	found    []model.ProcessChange
}

func (a *alters) add(path, old, now string, loosens bool, format string, args ...any) {
	a.found = append(a.found, model.ProcessChange{Path: path, Old: old, New: now, Loosens: loosens, Words: fmt.Sprintf(format, args...)})
}

// text adds a setting that differs.
func (a *alters) text(path, old, now string, loosens bool, what string) {
	if old != now {
		a.add(path, old, now, loosens, "%s: %s instead of %s", what, quoted(now), quoted(old))
	}
}

func (a *alters) number(path string, old, now int) {
	if old != now {
		a.add(path, strconv.Itoa(old), strconv.Itoa(now), now < old, "approvals that a change needs: %d instead of %d", now, old)
	}
}

func quoted(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (a *alters) environments() {
	var before, after []string // those that are in both, in the order of each
	for _, e := range a.old.Environments {
		n, ok := a.now.Environment(e.Name)
		if !ok {
			a.add("environments."+e.Name, e.Name, "", true, "environment %s is removed: nothing is deployed or protected there anymore", e.Name)
			continue
		}
		before = append(before, e.Name)
		a.environment(e, n)
	}
	for _, e := range a.now.Environments {
		if _, ok := a.old.Environment(e.Name); ok {
			after = append(after, e.Name)
			continue
		}
		gate := "without a gate"
		if e.After != "" {
			gate = "after " + e.After
		}
		if e.Push {
			gate += ", open to direct pushes"
		}
		loosens := e.Push || e.After == "" && len(a.old.Environments) > 0
		a.add("environments."+e.Name, "", e.Name, loosens, "environment %s is added: branch %s, cluster %s, namespace %s, %s", e.Name, e.Branch, quoted(e.Cluster), e.Namespace, gate)
	}
	if !slices.Equal(before, after) {
		a.add("environments", fmt.Sprint(before), fmt.Sprint(after), false, "the environments are in another order")
	}
}

// environment compares one that is in both.
func (a *alters) environment(old, now model.Environment) {
	at := "environments." + old.Name
	switch {
	case old.After == now.After:
	case now.After == "":
		a.add(at+".after", old.After, "", true, "%s accepts what %s has not verified: its gate is removed", old.Name, old.After)
	case old.After == "":
		a.add(at+".after", "", now.After, false, "%s accepts only what %s has verified", old.Name, now.After)
	default:
		a.add(at+".after", old.After, now.After, true, "%s requires evidence from %s instead of %s", old.Name, now.After, old.After)
	}
	if old.Push != now.Push {
		words := "%s no longer allows direct pushes"
		if now.Push {
			words = "%s allows direct pushes, bypassing review and checks"
		}
		a.add(at+".push", strconv.FormatBool(old.Push), strconv.FormatBool(now.Push), now.Push, words, old.Name)
	}
	a.text(at+".branch", old.Branch, now.Branch, true, "branch of "+old.Name)
	a.text(at+".cluster", old.Cluster, now.Cluster, true, "cluster of "+old.Name)
	a.text(at+".namespace", old.Namespace, now.Namespace, true, "namespaces of "+old.Name)
	a.text(at+".release", old.Release, now.Release, true, "releases of "+old.Name)
	a.text(at+".host", old.Host, now.Host, false, "host names of "+old.Name)
}

// places compares where single hubs are.
func (a *alters) places() {
	hubs := slices.Collect(maps.Keys(a.old.Places))
	for hub := range a.now.Places {
		if _, ok := a.old.Places[hub]; !ok {
			hubs = append(hubs, hub)
		}
	}
	for _, hub := range hubs {
		a.text("places."+hub, a.old.Places[hub], a.now.Places[hub], a.old.Places[hub] != "", "cluster of hub "+hub)
	}
}
