package host_test

import (
	"strings"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/devforge/internal/forgetest"
	"github.com/hubship/hubship/devforge/internal/store"
)

// This is the model: who has the right to what, in the words of
// docs/local-forge.md.

// writes says whether somebody may push to a repository of their own accord.
func (w *walk) writes(who, repo string) bool {
	p := w.people[who]
	switch {
	case p.disabled:
		return false
	case repo == "hub":
		return p.role == store.Reviewer || p.role == store.Maintainer
	}
	return w.owner[repo] == who
}

// judge looks at what a step moved, and says whether it was right.
func (w *walk) judge(rt *rapid.T, how, who, scope string, merged *proposal) {
	now := w.all()
	for repo, refs := range now {
		for ref := range union(refs, w.before[repo]) {
			old, is := w.before[repo][ref], refs[ref]
			if old == is {
				continue
			}
			if why := w.wrong(how, who, scope, repo, ref, old, is, merged); why != "" {
				rt.Fatalf("%s: %s moved %s of %s from %.8q to %.8q: %s", how, who, ref, repo, old, is, why)
			}
			if repo == "hub" {
				w.seen["moved hub/deployment"]++
			} else {
				w.seen["moved a fork"]++
			}
			if merged == nil {
				w.note(who, repo, ref, old)
			}
		}
	}
	w.before = now
	w.forget()
}

func union(a, b map[string]string) map[string]bool {
	out := map[string]bool{}
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

// wrong is why a movement was none of the asker's, or "".
func (w *walk) wrong(how, who, scope, repo, ref, old, is string, merged *proposal) string {
	p := w.people[who]
	branch, isBranch := strings.CutPrefix(ref, "refs/heads/")
	tag, isTag := strings.CutPrefix(ref, "refs/tags/")
	switch {
	case !isBranch && !isTag:
		return "it is neither a branch nor a tag"
	case p.disabled:
		return "the account is disabled"
	case scope != store.ScopeRepo:
		return "the token does not write"
	case old == "" && (isTag && tag == "prod" && w.before[repo]["refs/heads/prod"] != "" || isBranch && (branch == "Prod" && w.before[repo]["refs/heads/prod"] != "" || strings.HasPrefix(branch, "refs/"))):
		return "it is taken for another one"
	case how == "open" || how == "edit":
		return "nothing should have moved"
	}
	if !w.writes(who, repo) && !w.invited(who, repo, branch, isBranch, old, is) {
		return "they may not write there"
	}
	if how == "sync" && w.owner[repo] != who {
		return "a fork is synced by its owner"
	}
	if repo != "hub" || !isBranch {
		return ""
	}
	if why := w.unprotected(who, branch, old, is, merged); why != "" {
		return why
	}
	return w.unprocessed(who, branch, old, is, merged)
}

// invited says whether the owner of a fork lets somebody work on a branch: it
// is the head of a pull request of the owner's, to what the fork comes from,
// where that somebody writes.
func (w *walk) invited(who, repo, branch string, isBranch bool, old, is string) bool {
	if repo == "hub" || !isBranch || old == "" || is == "" {
		return false
	}
	for _, p := range w.open_ {
		if p.head != repo || p.headRef != branch || p.author != w.owner[repo] || !p.modify || !w.writes(who, p.base) {
			continue
		}
		for _, above := range w.parents[repo] {
			if above == p.base {
				return true
			}
		}
	}
	return false
}

// unprotected is why the protection of a branch should have kept it where it
// was.
func (w *walk) unprotected(who, branch, old, is string, merged *proposal) string {
	r := w.guarded[branch]
	p := w.people[who]
	switch {
	case r == nil:
		return ""
	case merged == nil && is == "" && !r.deletions:
		return "it cannot be deleted"
	case merged == nil && is == "":
		return ""
	case merged == nil && old == "" && p.role == store.Maintainer:
		return ""
	case merged == nil:
		return "it takes pull requests alone"
	case merged.base != "hub" || merged.baseRef != branch:
		return "the pull request is for another branch"
	case r.lenient && p.role == store.Maintainer:
		return ""
	}
	w.seen["merged into what is protected"]++
	head := w.headOf(merged)
	approvals := 0
	for reviewer, commit := range merged.approved {
		if commit == head && reviewer != merged.author && !merged.pushed[reviewer] && w.writes(reviewer, "hub") {
			approvals++
		}
	}
	switch {
	case approvals < r.approvals:
		return "it was not approved"
	case r.check && !w.isGreen(r, head, branch, old):
		return "its check is not green"
	}
	return ""
}

// merging is what a status is about: a commit, or its merge into a branch where
// that is at another one.
func merging(head, branch, base string) string { return head + " into " + branch + " at " + base }

// isGreen says whether the check of a merge counts as green.
func (w *walk) isGreen(r *rules, head, branch, base string) bool {
	if r.merge {
		return w.green[merging(head, branch, base)]
	}
	return w.green[head]
}

// unprocessed is why somebody should not have altered how changes are shipped.
func (w *walk) unprocessed(who, branch, old, is string, merged *proposal) string {
	r := w.guarded[branch]
	if r == nil || !r.keeps || w.people[who].role == store.Maintainer && (who != forgetest.Own || merged == nil) {
		return ""
	}
	of := func(commit string) string {
		if commit == "" {
			return ""
		}
		return w.processOf(w.t.Context(), w.repos["hub"], commit)
	}
	if of(old) == of(is) {
		return ""
	}
	w.seen["altered the process"]++
	if merged != nil && r.check && r.merge && w.isGreen(r, w.headOf(merged), branch, old) {
		return ""
	}
	return "it alters the process"
}

// note remembers who pushed.
func (w *walk) note(who, repo, ref, old string) {
	branch, ok := strings.CutPrefix(ref, "refs/heads/")
	if !ok {
		return
	}
	at := repo + " " + branch
	if w.pushers[at] == nil || old == "" {
		w.pushers[at] = map[string]bool{}
	}
	w.pushers[at][who] = true
	for _, p := range w.open_ {
		if p.head == repo && p.headRef == branch {
			p.pushed[who] = true
		}
	}
}

// forget leaves out the pull requests that are not open any more.
func (w *walk) forget() {
	var open []*proposal
	for _, p := range w.open_ {
		if now, err := w.f.Host.Look(w.t.Context(), w.repos[p.base], p.number); err == nil && now.Open() {
			open = append(open, p)
		}
	}
	w.open_ = open
}
