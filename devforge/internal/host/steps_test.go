package host_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/devforge/internal/forgetest"
	"github.com/hubship/hubship/devforge/internal/store"
)

// Steps of a walk: each asks for something as somebody, and has the model judge
// what moved.

func (w *walk) push(rt *rapid.T) {
	who, scope := w.who(rt)
	repo := w.repo(rt)
	var moves [][3]string
	for range rapid.IntRange(1, 2).Draw(rt, "refs") {
		ref := w.ref(rt)
		moves = append(moves, [3]string{ref, w.old(rt, repo, ref), w.target(rt)})
	}
	w.gitPush(who, scope, repo, moves...)
	w.judge(rt, "push", who, scope, nil)
}

// pushHead pushes where a pull request's head is, whosever that is.
func (w *walk) pushHead(rt *rapid.T) {
	if len(w.open_) == 0 {
		rt.Skip("no pull request is open")
	}
	p := pick(rt, "pull request", w.open_)
	who, scope := w.who(rt)
	if rapid.Bool().Draw(rt, "by its author") {
		who, scope = p.author, store.ScopeRepo
	}
	ref := "refs/heads/" + p.headRef
	w.gitPush(who, scope, p.head, [3]string{ref, w.before[p.head][ref], w.target(rt)})
	w.judge(rt, "push to a head", who, scope, nil)
}

func (w *walk) refs(rt *rapid.T) {
	who, scope := w.who(rt)
	repo := w.repo(rt)
	w.call(who, scope, "POST", "/repos/"+repo+"/deployment/git/refs", map[string]any{"ref": w.ref(rt), "sha": w.target(rt)})
	w.judge(rt, "refs", who, scope, nil)
}

func (w *walk) contents(rt *rapid.T) {
	who, scope := w.who(rt)
	repo, branch := w.repo(rt), pick(rt, "branch", branches)
	file := pick(rt, "file", []string{"new", "other", process})
	w.call(who, scope, "PUT", "/repos/"+repo+"/deployment/contents/"+file, map[string]any{"message": "x", "content": "eA==", "branch": branch,
		"sha": w.blob(repo, branch, file)})
	w.judge(rt, "contents", who, scope, nil)
}

func (w *walk) blob(repo, branch, file string) string {
	at := w.before[repo]["refs/heads/"+branch]
	if at == "" {
		return ""
	}
	g, err := w.f.Host.Git(w.repos[repo])
	w.ok(err)
	tree, err := g.Tree(w.t.Context(), at)
	w.ok(err)
	return tree.Hash(file)
}

func (w *walk) open(rt *rapid.T) {
	who, _ := w.who(rt)
	w.propose(rt, who, w.repo(rt), w.repo(rt), pick(rt, "base", branches), pick(rt, "head", branches))
}

// flow does what people do: a change on a branch, and a pull request of it to
// hub/deployment.
func (w *walk) flow(rt *rapid.T) {
	who := pick(rt, "who", []string{"ada", "carl", "rita", "ben"})
	head := who
	if who == "ben" {
		head = "hub"
	}
	branch := pick(rt, "branch", []string{"topic", "staging"})
	w.write(rt, who, head, branch)
	w.propose(rt, who, "hub", head, pick(rt, "base", []string{"staging", "prod"}), branch)
}

// openAbove proposes a branch of what a fork comes from to the fork itself, as
// its owner, who then pushes to the head: the pull request is the fork's, the
// branch is not.
func (w *walk) openAbove(rt *rapid.T) {
	who := pick(rt, "who", []string{"ada", "carl", "rita"})
	above, branch := pick(rt, "above", w.parents[who]), pick(rt, "head", branches[:3])
	if above == "hub" && branch == "topic" && rapid.Bool().Draw(rt, "ahead") {
		w.write(rt, "ben", above, branch)
	}
	w.propose(rt, who, who, above, pick(rt, "base", branches[:3]), branch)
	ref := "refs/heads/" + branch
	w.gitPush(who, store.ScopeRepo, above, [3]string{ref, w.before[above][ref], w.target(rt)})
	w.judge(rt, "push above", who, store.ScopeRepo, nil)
}

// write commits a new file's worth to a branch.
func (w *walk) write(rt *rapid.T, who, repo, branch string) {
	w.fresh++
	w.call(who, store.ScopeRepo, "PUT", "/repos/"+repo+"/deployment/contents/f", map[string]any{"message": "x", "content": base64.StdEncoding.EncodeToString(fmt.Append(nil, w.fresh)), "branch": branch, "sha": w.blob(repo, branch, "f")})
	w.judge(rt, "contents", who, store.ScopeRepo, nil)
}

func (w *walk) propose(rt *rapid.T, who, base, head, baseRef, headRef string) {
	p := &proposal{base: base, head: head, baseRef: baseRef, headRef: headRef, author: who, modify: rapid.IntRange(0, 4).Draw(rt, "modify") > 0,
		approved: map[string]string{}, pushed: map[string]bool{}}
	status, out := w.call(who, store.ScopeRepo, "POST", "/repos/"+base+"/deployment/pulls", map[string]any{"title": "x", "head": head + ":" + p.headRef, "base": p.baseRef, "maintainer_can_modify": p.modify})
	if status == http.StatusCreated {
		p.number = int64(out["number"].(float64))
		maps.Copy(p.pushed, w.pushers[head+" "+p.headRef])
		w.open_ = append(w.open_, p)
	}
	w.judge(rt, "open", who, store.ScopeRepo, nil)
}

func (w *walk) some(rt *rapid.T) *proposal {
	if len(w.open_) == 0 {
		rt.Skip("no pull request is open")
	}
	return pick(rt, "pull request", w.open_)
}

func (p *proposal) path() string {
	return fmt.Sprintf("/repos/%s/deployment/pulls/%d", p.base, p.number)
}

func (w *walk) edit(rt *rapid.T) {
	p := w.some(rt)
	who, scope := w.who(rt)
	in := map[string]any{"maintainer_can_modify": rapid.Bool().Draw(rt, "modify")}
	base := pick(rt, "base", append([]string{""}, branches...))
	if base != "" {
		in["base"] = base
	}
	if status, _ := w.call(who, scope, "PATCH", p.path(), in); status == http.StatusOK {
		if who != p.author && !w.writes(who, p.base) {
			rt.Fatalf("%s changed a pull request of %s", who, p.author)
		}
		p.modify = in["maintainer_can_modify"].(bool)
		if base != "" && base != p.baseRef {
			p.baseRef, p.approved = base, map[string]string{}
		}
	}
	w.judge(rt, "edit", who, scope, nil)
}

func (w *walk) merge(rt *rapid.T) {
	p := w.some(rt)
	who, scope := w.who(rt)
	w.call(who, scope, "PUT", p.path()+"/merge", map[string]any{"merge_method": pick(rt, "method", []string{"merge", "squash", "rebase"})})
	w.judge(rt, "merge", who, scope, p)
}

// mergeReady does what makes a pull request ready and merges it, so that some
// are; each of the steps may be refused.
func (w *walk) mergeReady(rt *rapid.T) {
	ours := slices.DeleteFunc(slices.Clone(w.open_), func(p *proposal) bool { return p.base != "hub" })
	if len(ours) == 0 {
		rt.Skip("none is open into the deployment repository")
	}
	p := pick(rt, "pull request", ours)
	for _, reviewer := range []string{"ben", "rita", "mia"}[rapid.IntRange(0, 2).Draw(rt, "reviewers"):] {
		w.approveOf(reviewer, store.ScopeRepo, p)
	}
	if p.base == "hub" {
		w.sayOf(forgetest.Own, store.ScopeRepo, w.headOf(p), p.baseRef)
	}
	who := pick(rt, "merger", []string{"ben", "mia", forgetest.Own})
	w.call(who, store.ScopeRepo, "PUT", p.path()+"/merge", map[string]any{})
	w.judge(rt, "merge", who, store.ScopeRepo, p)
}

func (w *walk) headOf(p *proposal) string { return w.before[p.head]["refs/heads/"+p.headRef] }

func (w *walk) update(rt *rapid.T) {
	p := w.some(rt)
	who, scope := w.who(rt)
	w.call(who, scope, "PUT", p.path()+"/update-branch", map[string]any{})
	w.judge(rt, "update", who, scope, nil)
}

func (w *walk) sync(rt *rapid.T) {
	who, scope := w.who(rt)
	w.call(who, scope, "POST", "/repos/"+w.repo(rt)+"/deployment/merge-upstream", map[string]any{"branch": pick(rt, "branch", branches)})
	w.judge(rt, "sync", who, scope, nil)
}

func (w *walk) approve(rt *rapid.T) {
	p := w.some(rt)
	who, scope := w.who(rt)
	w.approveOf(who, scope, p)
}

func (w *walk) approveOf(who, scope string, p *proposal) {
	status, out := w.call(who, scope, "POST", p.path()+"/reviews", map[string]any{"event": "APPROVE"})
	if status == http.StatusOK {
		p.approved[who] = out["commit_id"].(string)
	}
}

func (w *walk) say(rt *rapid.T) {
	who, scope := w.who(rt)
	w.sayOf(who, scope, pick(rt, "commit", w.commits), pick(rt, "base", append([]string{""}, branches...)))
}

// sayOf says of a commit that it is green: alone, or merged into a branch.
func (w *walk) sayOf(who, scope, commit, base string) {
	in := map[string]any{"state": "success", "context": "hubship/ci"}
	at := w.before["hub"]["refs/heads/"+base]
	if at != "" {
		in["base"] = map[string]any{"ref": base, "sha": at}
	}
	status, _ := w.call(who, scope, "POST", "/repos/hub/deployment/statuses/"+commit, in)
	if status != http.StatusCreated {
		return
	}
	if who != forgetest.Own {
		w.rt.Fatalf("%s spoke as hubship", who)
	}
	w.green[commit] = true
	if at != "" {
		w.green[merging(commit, base, at)] = true
	}
}

func (w *walk) protect(rt *rapid.T) {
	who, scope := w.who(rt)
	branch := pick(rt, "branch", branches)
	at := "/repos/hub/deployment/branches/" + branch + "/protection"
	if rapid.IntRange(0, 3).Draw(rt, "remove") == 0 {
		if status, _ := w.call(who, scope, "DELETE", at, nil); status == http.StatusNoContent {
			w.mustMaintain(rt, who, scope)
			delete(w.guarded, branch)
		}
		return
	}
	r := &rules{approvals: rapid.IntRange(0, 2).Draw(rt, "approvals"), check: rapid.Bool().Draw(rt, "check"), deletions: rapid.Bool().Draw(rt, "deletions"), force: rapid.Bool().Draw(rt, "force"), lenient: rapid.Bool().Draw(rt, "lenient")}
	in := map[string]any{"required_status_checks": nil, "enforce_admins": !r.lenient, "required_pull_request_reviews": map[string]any{"required_approving_review_count": r.approvals},
		"restrictions": nil, "allow_deletions": r.deletions, "allow_force_pushes": r.force}
	if r.check {
		in["required_status_checks"] = map[string]any{"strict": false, "contexts": []string{"hubship/ci"}}
	}
	if rapid.Bool().Draw(rt, "beyond GitHub") {
		r.merge, r.keeps = rapid.Bool().Draw(rt, "merge"), rapid.Bool().Draw(rt, "keeps")
		beyond := map[string]any{"checks_by": forgetest.Own, "checks_of_merge": r.merge}
		if r.keeps {
			beyond["maintained"] = []string{process}
		}
		in["forge"] = beyond
	} else if old := w.guarded[branch]; old != nil { // it stays
		r.keeps, r.merge = old.keeps, old.check && old.merge
	}
	if status, _ := w.call(who, scope, "PUT", at, in); status == http.StatusOK {
		w.mustMaintain(rt, who, scope)
		w.guarded[branch] = r
	}
}

func (w *walk) mustMaintain(rt *rapid.T, who, scope string) {
	if p := w.people[who]; p.role != store.Maintainer || p.disabled || scope != store.ScopeRepo {
		rt.Fatalf("%s changed a protection", who)
	}
}

// change gives somebody another role, locks them out, or lets them in again.
func (w *walk) change(rt *rapid.T) {
	name := pick(rt, "who", []string{"ada", "carl", "ben", "rita", "gone"})
	p := w.people[name]
	switch rapid.IntRange(0, 2).Draw(rt, "what") {
	case 0:
		p.disabled = !p.disabled
		w.ok(w.f.Host.Store.SetDisabled(w.t.Context(), p.id, p.disabled))
		if p.disabled { // its tokens ended
			for _, scope := range []string{store.ScopeRepo, store.ScopeRead, store.ScopeStatus} {
				_, secret, err := w.f.Host.Store.CreateToken(w.t.Context(), p.id, scope, []string{scope}, time.Hour)
				w.ok(err)
				p.tokens[scope] = secret
			}
		}
	default:
		if name == "ada" || name == "carl" {
			return // there are always those without any right
		}
		p.role = pick(rt, "role", []store.Role{store.Contributor, store.Reviewer})
		w.ok(w.f.Host.Store.SetRole(w.t.Context(), p.id, p.role))
	}
}
