package host_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/devforge/internal/forgetest"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

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
	merge     bool // the check counts for the very merge
	keeps     bool // the process is left to maintainers
}

// walk is one random world, and what the model knows of it.
type walk struct {
	t  *testing.T
	rt *rapid.T
	f  *forgetest.Forge

	repos   map[string]store.Repository
	owner   map[string]string
	parents map[string][]string // nearest first
	people  map[string]*person
	names   []string // of people
	open_   []*proposal
	guarded map[string]*rules          // by branch of hub/deployment
	green   map[string]bool            // merges, by hubship's word: see merging
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
	w.f = forgetest.Start(t)
	org := w.f.Account(store.NewAccount{Login: "hub", Kind: store.Organization})
	for login, role := range map[string]store.Role{"ada": store.Contributor, "carl": store.Contributor, "ben": store.Reviewer, "rita": store.Reviewer, "mia": store.Maintainer, "gone": store.Reviewer, forgetest.Own: store.Maintainer} {
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
			w.set(branch, &rules{approvals: 1, check: rapid.Bool().Draw(rt, "check"), merge: rapid.Bool().Draw(rt, "merge"), keeps: rapid.Bool().Draw(rt, "keeps")})
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
	if commit == refs.ZeroID {
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
		p.Checks = &host.RequiredChecks{Contexts: []string{"hubship/ci"}, By: forgetest.Own, Merge: r.merge}
	}
	if r.keeps {
		p.Maintained = []string{process}
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
		brings = brings || m[2] != refs.ZeroID
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
		return refs.ZeroID
	}
	return at
}

func (w *walk) target(rt *rapid.T) string {
	return pick(rt, "to", append(slices.Clone(w.commits), w.commits[1], w.commits[2], w.commits[2], refs.ZeroID))
}
