package host_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/localtest"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/git"
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

// person is an account as the model has it.
type person struct {
	id       int64
	role     store.Role
	disabled bool
	tokens   map[string]string // by scope
}

// proposal is a pull request as the model has it.
type proposal struct {
	base, head string // repositories
	baseRef    string
	headRef    string
	number     int64
	author     string
	modify     bool
	approved   map[string]string // commit, by who approved it last
	pushed     map[string]bool
}

// rules are a branch's protection as the model has it.
type rules struct {
	approvals int
	check     bool // hubship/ci has to be green
	push      bool // direct pushes
	deletions bool
	force     bool
	lenient   bool // maintainers are above
}

type walk struct {
	t  *testing.T
	rt *rapid.T
	f  *localtest.Forge

	repos   map[string]store.Repository
	owner   map[string]string
	parents map[string][]string // nearest first
	people  map[string]*person
	names   []string // of people
	open_   []*proposal
	guarded map[string]*rules          // by branch of hub/deployment
	green   map[string]bool            // commits, by hubship's word
	pushers map[string]map[string]bool // by repository and branch
	commits []string                   // that every repository has
	before  map[string]map[string]string
	fresh   int
	seen    map[string]int
}

var branches = []string{"staging", "prod", "topic", "x"}

const process = "process.yaml"

func newWalk(t *testing.T, rt *rapid.T) *walk {
	w := &walk{t: t, rt: rt, repos: map[string]store.Repository{}, owner: map[string]string{}, parents: map[string][]string{}, people: map[string]*person{},
		guarded: map[string]*rules{}, green: map[string]bool{}, pushers: map[string]map[string]bool{}, seen: map[string]int{}}
	ctx := t.Context()
	w.f = localtest.StartWith(t, host.Options{Alters: func(ctx context.Context, repo store.Repository, branch, old, new string) (bool, string, error) {
		return branch == "staging" && w.processOf(ctx, repo, old) != w.processOf(ctx, repo, new), process, nil
	}})
	org := w.f.Account(store.NewAccount{Login: "hub", Kind: store.Organization})
	for login, role := range map[string]store.Role{"ada": store.Contributor, "carl": store.Contributor, "ben": store.Reviewer, "rita": store.Reviewer, "mia": store.Maintainer, "gone": store.Reviewer, localtest.Own: store.Maintainer} {
		a := w.f.Account(store.NewAccount{Login: login, Role: role})
		p := &person{id: a.ID, role: role, tokens: map[string]string{}}
		for _, scope := range []string{store.ScopeRepo, store.ScopeRead, store.ScopeStatus} {
			_, secret, err := w.f.Host.Store.CreateToken(ctx, a.ID, scope, []string{scope}, 0)
			w.ok(err)
			p.tokens[scope] = secret
		}
		w.people[login] = p
	}
	w.names = slices.Sorted(maps.Keys(w.people))
	repo, err := w.f.Host.CreateRepository(ctx, org, host.NewRepository{Name: "deployment", DefaultBranch: "staging"})
	w.ok(err)
	w.repos["hub"], w.owner["hub"] = repo, "hub"
	g, err := w.f.Host.Git(repo)
	w.ok(err)
	who := git.Identity{Name: "A", Email: "a@example.org"}
	add := func(parent, file, text string) string {
		id, err := g.FilesCommit(ctx, parent, map[string][]byte{file: []byte(text)}, nil, "Change "+file, who)
		w.ok(err)
		w.commits = append(w.commits, id)
		return id
	}
	first := add("", process, "approvals: 1\n")
	second := add(first, "a", "1")
	add(second, "a", "2")
	side := add(first, "b", "1")
	add(side, "b", "2")
	add(second, process, "approvals: 0\n")
	for _, branch := range branches[:3] {
		w.ok(g.SetBranch(ctx, branch, first, ""))
	}
	for _, f := range []struct{ from, to string }{{"hub", "ada"}, {"hub", "carl"}, {"ada", "rita"}} {
		a, err := w.f.Host.Store.AccountByLogin(ctx, f.to)
		w.ok(err)
		fork, err := w.f.Host.Fork(ctx, w.repos[f.from], a, "")
		w.ok(err)
		w.repos[f.to], w.owner[f.to], w.parents[f.to] = fork, f.to, append([]string{f.from}, w.parents[f.from]...)
	}
	for _, branch := range []string{"staging", "prod"} {
		if rapid.Bool().Draw(rt, "protect "+branch) {
			w.set(branch, &rules{approvals: 1, check: rapid.Bool().Draw(rt, "check")})
		}
	}
	w.before = w.all()
	return w
}

func (w *walk) ok(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatal(err)
	}
}

func (w *walk) count(total map[string]int) {
	for k, n := range w.seen {
		total[k] += n
	}
}

// processOf is the process that a commit describes, by its blob.
func (w *walk) processOf(ctx context.Context, repo store.Repository, commit string) string {
	if commit == forge.ZeroID {
		return ""
	}
	g, err := w.f.Host.Git(repo)
	w.ok(err)
	tree, err := g.Tree(ctx, commit)
	w.ok(err)
	return tree.Hash(process)
}

func (w *walk) set(branch string, r *rules) {
	p := host.Protection{AllowPush: r.push, AllowDeletions: r.deletions, AllowForce: r.force, EnforceAdmins: !r.lenient, Reviews: &host.RequiredReviews{Count: r.approvals}}
	if r.check {
		p.Checks = &host.RequiredChecks{Contexts: []string{"hubship/ci"}, By: localtest.Own}
	}
	w.ok(w.f.Host.SetProtection(w.t.Context(), w.repos["hub"], branch, &p))
	w.guarded[branch] = r
}

// all returns where every branch and tag of every repository is.
func (w *walk) all() map[string]map[string]string {
	out := map[string]map[string]string{}
	for name, repo := range w.repos {
		g, err := w.f.Host.Git(repo)
		w.ok(err)
		refs, err := g.Refs(w.t.Context(), "refs/")
		w.ok(err)
		at := map[string]string{}
		for _, r := range refs {
			if !strings.HasPrefix(r.Name, "refs/pull/") {
				at[r.Name] = r.ID
			}
		}
		out[name] = at
	}
	return out
}

func pick[T any](rt *rapid.T, what string, list []T) T { return rapid.SampledFrom(list).Draw(rt, what) }

// who draws somebody and a token of theirs, mostly one that writes.
func (w *walk) who(rt *rapid.T) (name, scope string) {
	return pick(rt, "who", append(slices.Clone(w.names), "ben", "mia", "mia", "rita", "ada")), pick(rt, "scope", []string{store.ScopeRepo, store.ScopeRepo, store.ScopeRepo, store.ScopeRepo, store.ScopeRead, store.ScopeStatus})
}

func (w *walk) repo(rt *rapid.T) string {
	return pick(rt, "repository", []string{"hub", "hub", "ada", "carl", "rita"})
}

// ref draws a reference: mostly a branch, and sometimes what looks like one.
func (w *walk) ref(rt *rapid.T) string {
	return pick(rt, "ref", []string{"refs/heads/staging", "refs/heads/prod", "refs/heads/topic", "refs/heads/x", "refs/heads/staging", "refs/heads/prod",
		"refs/tags/v1", "refs/tags/prod", "refs/heads/Prod", "refs/heads/refs/heads/prod", "refs/pull/1/head", "refs/replace/" + w.commits[0], "refs/notes/commits", "refs/hubship/incoming/x/0"})
}

// call asks the API, and returns the status and the answer.
func (w *walk) call(who, scope, method, path string, body any) (int, map[string]any) {
	raw, err := json.Marshal(body)
	w.ok(err)
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.f.URL+"/api/v3"+path, bytes.NewReader(raw))
	w.ok(err)
	req.Header.Set("Authorization", "Bearer "+w.people[who].tokens[scope])
	res, err := http.DefaultClient.Do(req)
	w.ok(err)
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	w.ok(err)
	var out map[string]any
	_ = json.Unmarshal(answer, &out) // a list, or nothing
	if res.StatusCode >= 500 {
		w.rt.Fatalf("%s %s by %s: %d %s", method, path, who, res.StatusCode, answer)
	}
	if res.StatusCode >= 400 {
		w.seen["refused"]++
	}
	return res.StatusCode, out
}

// gitPush speaks Git's protocol: it moves references to commits that are there.
func (w *walk) gitPush(who, scope, repo string, moves ...[3]string) {
	var body bytes.Buffer
	brings := false
	for i, m := range moves {
		line := m[1] + " " + m[2] + " " + m[0]
		if i == 0 {
			line += "\x00 report-status atomic"
		}
		brings = brings || m[2] != forge.ZeroID
		fmt.Fprintf(&body, "%04x%s", len(line)+4, line)
	}
	body.WriteString("0000")
	if brings {
		pack := append([]byte("PACK"), 0, 0, 0, 2, 0, 0, 0, 0)
		sum := sha1.Sum(pack)
		body.Write(append(pack, sum[:]...))
	}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.f.URL+"/git/"+repo+"/deployment.git/git-receive-pack", &body)
	w.ok(err)
	req.Header.Set("Content-Type", "application/x-git-receive-pack-request")
	req.SetBasicAuth("x", w.people[who].tokens[scope])
	res, err := http.DefaultClient.Do(req)
	w.ok(err)
	_, err = io.Copy(io.Discard, res.Body)
	w.ok(err)
	w.ok(res.Body.Close())
}

// old is where a reference is, or mostly so.
func (w *walk) old(rt *rapid.T, repo, ref string) string {
	at := w.before[repo][ref]
	if at == "" || rapid.IntRange(0, 9).Draw(rt, "lies") == 0 {
		return forge.ZeroID
	}
	return at
}

func (w *walk) target(rt *rapid.T) string {
	return pick(rt, "to", append(slices.Clone(w.commits), w.commits[1], w.commits[2], w.commits[2], forge.ZeroID))
}

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
		rt.Skip()
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
		rt.Skip()
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
		rt.Skip()
	}
	p := pick(rt, "pull request", ours)
	for _, reviewer := range []string{"ben", "rita", "mia"}[rapid.IntRange(0, 2).Draw(rt, "reviewers"):] {
		w.approveOf(reviewer, store.ScopeRepo, p)
	}
	if p.base == "hub" {
		w.sayOf(localtest.Own, store.ScopeRepo, w.headOf(p))
	}
	who := pick(rt, "merger", []string{"ben", "mia", localtest.Own})
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
	w.sayOf(who, scope, pick(rt, "commit", w.commits))
}

func (w *walk) sayOf(who, scope, commit string) {
	status, _ := w.call(who, scope, "POST", "/repos/hub/deployment/statuses/"+commit, map[string]any{"state": "success", "context": "hubship/ci"})
	if status != http.StatusCreated {
		return
	}
	if who != localtest.Own {
		w.rt.Fatalf("%s spoke as hubship", who)
	}
	w.green[commit] = true
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
