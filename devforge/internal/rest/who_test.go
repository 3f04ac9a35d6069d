package rest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
)

// Every route, asked by everybody, in the deployment repository, one's own fork
// and somebody else's, with every kind of token: let in or not as its rule says.
// Bodies are empty and what is to be changed is not there, so that whoever is let
// in does no harm.
func TestWhoMayWhat(t *testing.T) {
	w := newWorld(t)
	w.proposal("x") // ada's fork
	ctx := t.Context()
	fork := func(who string) {
		w.want(http.StatusAccepted, who, http.MethodPost, base+"/forks", obj{})
	}
	fork("ben")
	fork("mia")
	// A disabled maintainer has a session, of a kind: no token of theirs opens
	// anything, and As is refused too.
	gone, err := w.host.Store.CreateAccount(ctx, store.NewAccount{Login: "gone", Role: store.Maintainer})
	if err != nil {
		t.Fatal(err)
	}
	if _, w.token["gone"], err = w.host.Store.CreateToken(ctx, gone.ID, "t", []string{store.ScopeRepo}, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.host.Store.SetDisabled(ctx, gone.ID, true); err != nil {
		t.Fatal(err)
	}
	other, err := w.host.Store.CreateAccount(ctx, store.NewAccount{Login: "max", Role: store.Maintainer})
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string]authority.Role{"ada": authority.Contributor, "ben": authority.Reviewer, "mia": authority.Maintainer, "max": authority.Maintainer, "gone": authority.Nobody, "": authority.Nobody}
	w.id["max"] = other.ID
	// One token for each account and scope.
	tokens := map[string]string{}
	for who := range roles {
		for _, scope := range authority.Scopes {
			switch id, ok := w.id[who]; {
			case ok:
				if _, tokens[who+scope], err = w.host.Store.CreateToken(ctx, id, scope, []string{scope}, 0); err != nil {
					t.Fatal(err)
				}
			case who == "gone":
				tokens[who+scope] = w.token[who]
			}
		}
	}
	api, err := New(Options{Host: w.host, URL: w.url + "/api/v3", GitURL: w.url + "/git", WebURL: w.url})
	if err != nil {
		t.Fatal(err)
	}
	if len(api.patterns) != len(authority.Routes) {
		t.Errorf("%d routes are served, and %d have rules", len(api.patterns), len(authority.Routes))
	}
	values := strings.NewReplacer("{login}", "ada", "{rest...}", "none", "{sha}", strings.Repeat("9", 40),
		"{path...}", "none", "{basehead...}", "none...none", "{number}", "999", "{id}", "999", "{delivery}", "9", "{name...}", "none")
	asked := 0
	for _, pattern := range api.patterns {
		rule := authority.Routes[pattern]
		method, path, _ := strings.Cut(pattern, " ")
		repos := []string{""}
		if strings.Contains(path, "{repo}") {
			repos = []string{"hub", "ada", "ben"}
		}
		for _, owner := range repos {
			for who, role := range roles {
				for _, scope := range authority.Scopes {
					ask := authority.Asker{Scopes: []string{scope}, Role: role, Own: who == "mia", Fork: owner != "hub" && owner != ""}
					if role != authority.Nobody && owner != "hub" {
						ask.Role = authority.Contributor
						if owner == who {
							ask.Role = authority.Maintainer
						}
					}
					if method == http.MethodDelete && strings.HasSuffix(path, "{repo}") && owner == who {
						continue // it would do it
					}
					if strings.HasSuffix(path, "/forks") && method == http.MethodPost && owner != "hub" {
						continue // likewise
					}
					req, err := http.NewRequestWithContext(ctx, method, w.url+"/api/v3"+strings.Replace(strings.Replace(values.Replace(path), "{owner}", owner, 1), "{repo}", "deployment", 1), strings.NewReader("{}"))
					if err != nil {
						t.Fatal(err)
					}
					if tokens[who+scope] != "" {
						req.Header.Set("Authorization", "Bearer "+tokens[who+scope])
					}
					rec := &recorder{header: http.Header{}, status: http.StatusOK}
					api.ServeHTTP(rec, req)
					asked++
					what := fmt.Sprintf("%s as %q with %s at %q: %d %.200s", pattern, who, scope, owner, rec.status, rec.body.String())
					refuses := rule.Refuses(ask)
					want := 0
					switch {
					case role == authority.Nobody:
						want = http.StatusUnauthorized
					case refuses != "" && rule.Hidden:
						want = http.StatusNotFound
					case refuses != "":
						want = http.StatusForbidden
					}
					// The rule itself says why; what else refuses says it in other
					// words.
					said := refuses != "" && strings.Contains(rec.body.String(), refuses)
					switch {
					case want != 0 && rec.status != want:
						t.Errorf("%s, want %d", what, want)
					case want == http.StatusForbidden && !said:
						t.Errorf("%s, want %q", what, refuses)
					case want == 0 && (rec.status == http.StatusUnauthorized || rec.status >= 500):
						t.Errorf("%s, want it let in", what)
					case want == 0 && rec.status == http.StatusForbidden && !strings.HasSuffix(path, "{repo}"):
						t.Errorf("%s, want it let in", what)
					}
				}
			}
		}
	}
	if asked < 1000 {
		t.Errorf("only %d were asked", asked)
	}
}

// Rules themselves, by words that do not come from the table: what changes
// anything needs more than reading, and nothing that is a maintainer's is left to
// others.
func TestRulesAreTight(t *testing.T) {
	reads := regexp.MustCompile(`^GET `)
	for pattern, rule := range authority.Routes {
		if !reads.MatchString(pattern) && rule.Scope == authority.ScopeRead {
			t.Errorf("%s changes something, and a token that reads is enough", pattern)
		}
		if rule.Role == authority.Nobody {
			t.Errorf("%s is open to nobody in particular", pattern)
		}
		for part, role := range map[string]authority.Role{"/hooks": authority.Maintainer, "/dismissals": authority.Maintainer, "/deployments": authority.Maintainer, "/statuses": authority.Reviewer, "/check-runs": authority.Reviewer} {
			if strings.Contains(pattern, part) && !reads.MatchString(pattern) && !rule.Role.Includes(role) {
				t.Errorf("%s takes a %s", pattern, rule.Role)
			}
		}
	}
	for pattern, rule := range authority.Pages {
		if !strings.Contains(pattern, "/-/s") && !strings.HasPrefix(pattern, "GET /-/assets/") && rule.Role == authority.Nobody {
			t.Errorf("%s is open to who has not signed in", pattern)
		}
	}
}

// Nobody but hubship's own account speaks as hubship, by no name that looks like
// it, nor in the place of what it said.
func TestNobodySpeaksAsHubship(t *testing.T) {
	w := newWorld(t) // mia's account is hubship's
	max, err := w.host.Store.CreateAccount(t.Context(), store.NewAccount{Login: "max", Role: store.Maintainer})
	if err != nil {
		t.Fatal(err)
	}
	if _, w.token["max"], err = w.host.Store.CreateToken(t.Context(), max.ID, "t", []string{store.ScopeRepo}, 0); err != nil {
		t.Fatal(err)
	}
	_, sha, _ := w.proposal("x")
	run := jsonNumber(w.want(http.StatusCreated, "mia", http.MethodPost, base+"/check-runs", obj{"name": "hubship/tests", "head_sha": sha}).object(t)["id"])
	w.want(http.StatusCreated, "mia", http.MethodPost, base+"/statuses/"+sha, obj{"state": "success", "context": "hubship/plan"})
	for _, who := range []string{"ben", "max"} {
		for _, name := range []string{"hubship/plan", "Hubship/Plan", "hubship", "hubship/staging/datahub"} {
			w.want(http.StatusForbidden, who, http.MethodPost, base+"/statuses/"+sha, obj{"state": "success", "context": name})
			w.want(http.StatusForbidden, who, http.MethodPost, base+"/check-runs", obj{"name": name, "head_sha": sha})
		}
		w.want(http.StatusForbidden, who, http.MethodPatch, base+"/check-runs/"+run, obj{"conclusion": "success"})
		w.want(http.StatusForbidden, who, http.MethodPost, base+"/deployments", obj{"ref": "staging"})
		w.want(http.StatusCreated, who, http.MethodPost, base+"/statuses/"+sha, obj{"state": "success", "context": "ci"})
		own := jsonNumber(w.want(http.StatusCreated, who, http.MethodPost, base+"/check-runs", obj{"name": "mine", "head_sha": sha}).object(t)["id"])
		w.want(http.StatusForbidden, who, http.MethodPatch, base+"/check-runs/"+own, obj{"name": "hubship/tests", "conclusion": "success"})
		w.want(http.StatusOK, who, http.MethodPatch, base+"/check-runs/"+own, obj{"conclusion": "success"})
	}
}

// An approval counts from a writer who is neither the author nor pushed to the
// branch, for the very commit.
func TestWhoseApprovalCounts(t *testing.T) {
	w := newWorld(t)
	if err := w.host.SetProtection(t.Context(), w.repo, "staging", &host.Protection{EnforceAdmins: true, Reviews: &host.RequiredReviews{Count: 1}}); err != nil {
		t.Fatal(err)
	}
	clone, sha, n := w.proposal("x")
	pull := base + "/pulls/" + n
	approve := func(status int, who string) {
		t.Helper()
		w.want(status, who, http.MethodPost, pull+"/reviews", obj{"event": "APPROVE"})
	}
	state := func() any {
		t.Helper()
		return w.want(http.StatusOK, "ada", http.MethodGet, pull, nil).object(t)["mergeable_state"]
	}
	approve(http.StatusOK, "ben")
	if s := state(); s != "clean" {
		t.Errorf("approved by a reviewer: %v", s)
	}
	// For another commit it counts for nothing.
	w.commit(clone, "more.txt", "x")
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
	if s := state(); s != "blocked" {
		t.Errorf("approved for %s, and pushed to since: %v", sha, s)
	}
	// Nor from who pushed, to whichever commit, and whatever they approved before.
	w.commit(clone, "help.txt", "x")
	w.git("ben", clone, "push", "--quiet", "origin", "HEAD")
	approve(http.StatusUnprocessableEntity, "ben")
	w.commit(clone, "after.txt", "x")
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
	approve(http.StatusUnprocessableEntity, "ben")
	id, err := w.host.Store.AccountByLogin(t.Context(), "ben")
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.host.Look(t.Context(), w.repo, 1)
	if err != nil {
		t.Fatal(err)
	}
	// One that was there before the rule was.
	if err := w.host.Store.AddReview(t.Context(), &store.Review{Pull: p.ID, Author: id.ID, State: store.Approved, SHA: p.HeadSHA, Submitted: store.Now()}); err != nil {
		t.Fatal(err)
	}
	if s := state(); s != "blocked" {
		t.Errorf("approved by who pushed: %v", s)
	}
	approve(http.StatusOK, "mia")
	if s := state(); s != "clean" {
		t.Errorf("approved by a maintainer: %v", s)
	}
	// Nor from who has no account any more, or may not write any more.
	mia, err := w.host.Store.AccountByLogin(t.Context(), "mia")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(bool) error{
		func(on bool) error { return w.host.Store.SetDisabled(t.Context(), mia.ID, on) },
		func(on bool) error {
			return w.host.Store.SetRole(t.Context(), mia.ID, map[bool]store.Role{true: store.Contributor, false: store.Maintainer}[on])
		},
	} {
		if err := change(true); err != nil {
			t.Fatal(err)
		}
		if s := state(); s != "blocked" {
			t.Errorf("approved by who may not any more: %v", s)
		}
		if err := change(false); err != nil {
			t.Fatal(err)
		}
	}
	// Nor once the change goes to another branch than the one that it was approved
	// for.
	w.want(http.StatusOK, "ada", http.MethodPatch, pull, obj{"base": "prod"})
	w.want(http.StatusOK, "ada", http.MethodPatch, pull, obj{"base": "staging"})
	if s := state(); s != "blocked" {
		t.Errorf("approved for another branch: %v", s)
	}
	if pushers, err := w.host.Store.Pushers(t.Context(), p.ID); err != nil || !slices.Contains(pushers, id.ID) {
		t.Errorf("pushers %v, %v", pushers, err)
	}
}

// A cookie opens nothing, and another site's forms change nothing, whatever a
// browser adds to them.
func TestOtherSites(t *testing.T) {
	w := newWorld(t)
	_, secret, err := w.host.Store.StartSession(t.Context(), w.id["mia"], nil)
	if err != nil {
		t.Fatal(err)
	}
	w.want(http.StatusUnauthorized, "", http.MethodGet, base, nil, "Cookie", "hubship_forge="+secret)
	w.want(http.StatusUnauthorized, "", http.MethodPost, base+"/forks", obj{}, "Cookie", "hubship_forge="+secret)
	for _, h := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		w.want(http.StatusForbidden, "mia", http.MethodPost, base+"/forks", obj{}, h...)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/git/hub/deployment.git/git-receive-pack", strings.NewReader("0000"))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("x", w.token["mia"])
		req.Header.Set(h[0], h[1])
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("a push from another site: %s", res.Status)
		}
	}
}
