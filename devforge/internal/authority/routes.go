package authority

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rule is who may ask for something.
type Rule struct {
	Scope  string // that a token has to lend; empty where the route asked already
	Role   Role   // that is needed in the repository, or at all where there is none
	Theirs bool   // or it is one's own
	Own    bool   // hubship's account alone
	NoFork bool   // not in forks
	Hidden bool   // whoever may not is told that it is not there
	Then   string // what decides besides, for people
}

// Asker is who asks, as far as rules look.
type Asker struct {
	Scopes []string
	Role   Role // in the repository; Nobody for who is disabled
	Own    bool // hubship's account
	Fork   bool // the repository is one
	Theirs bool // what it is about is the asker's
}

// Refuses says why a rule refuses somebody, for people; "" when it does not.
func (r Rule) Refuses(a Asker) string {
	switch {
	case r.Scope != "" && !Lends(a.Scopes, r.Scope):
		return "Resource not accessible by personal access token: it needs the scope " + r.Scope
	case !a.Role.Includes(Contributor) && r.Role != Nobody:
		return "The account has no access to this repository."
	case r.NoFork && a.Fork:
		return "This is not possible in a fork."
	case r.Own && !a.Own:
		return "Only hubship's own account can do this."
	case r.Theirs && a.Theirs:
		return ""
	case !a.Role.Includes(r.Role):
		return fmt.Sprintf("Must have the role %s in this repository.", r.Role)
	}
	return ""
}

const (
	r     = "/repos/{owner}/{repo}"
	pr    = r + "/pulls/{number}"
	issue = r + "/issues/{number}"
)

var (
	reads     = Rule{Scope: ScopeRead, Role: Contributor}
	proposes  = Rule{Scope: ScopeRepo, Role: Contributor}
	moves     = Rule{Scope: ScopeRepo, Role: Contributor, Then: "the door"}
	reviews   = Rule{Scope: ScopeRepo, Role: Reviewer}
	maintains = Rule{Scope: ScopeRepo, Role: Maintainer}
	says      = Rule{Scope: ScopeStatus, Role: Reviewer, Then: "only hubship sets `hubship/*`"}
	deploys   = Rule{Scope: ScopeStatus, Role: Maintainer, Own: true}
	hooks     = Rule{Scope: ScopeHooks, Role: Maintainer, NoFork: true, Hidden: true}
)

func then(rule Rule, what Action) Rule {
	rule.Then = "action: " + string(what)
	return rule
}

// Routes are the rules of the API's routes: one without a rule is not served.
var Routes = map[string]Rule{
	"GET /user": reads,

	"GET " + r: reads, "GET " + r + "/collaborators/{login}/permission": reads,
	"DELETE " + r:                      {Scope: ScopeRepo, Role: Maintainer, NoFork: false, Then: "forks only, and by their owner"},
	"POST " + r + "/forks":             proposes,
	"POST " + r + "/merge-upstream":    moves,
	"GET " + r + "/branches":           reads,
	"GET " + r + "/branches/{rest...}": then(reads, ReadProtection),
	"PUT " + r + "/branches/{rest...}": maintains, "DELETE " + r + "/branches/{rest...}": maintains,

	"GET " + r + "/commits": reads, "GET " + r + "/commits/{rest...}": reads, "GET " + r + "/compare/{basehead...}": reads,
	"GET " + r + "/contents/{path...}": reads, "PUT " + r + "/contents/{path...}": moves, "POST " + r + "/git/refs": moves,

	"GET " + r + "/pulls": reads, "POST " + r + "/pulls": proposes, "GET " + pr: reads, "PATCH " + pr: then(proposes, ChangePull),
	"GET " + pr + "/files": reads, "GET " + pr + "/commits": reads,
	"PUT " + pr + "/merge":         {Scope: ScopeRepo, Role: Reviewer, Then: "the door"},
	"PUT " + pr + "/update-branch": moves,

	"GET " + pr + "/reviews": reads, "POST " + pr + "/reviews": {Scope: ScopeRepo, Role: Contributor, Then: "which approvals count"},
	"PUT " + pr + "/reviews/{id}/dismissals": maintains, "POST " + pr + "/requested_reviewers": then(proposes, AskForReview),
	"GET " + pr + "/comments": reads, "POST " + pr + "/comments": proposes, "PATCH " + r + "/pulls/comments/{id}": then(proposes, ChangeComment),

	"GET " + issue + "/comments": reads, "POST " + issue + "/comments": proposes, "PATCH " + r + "/issues/comments/{id}": then(proposes, ChangeComment),
	"POST " + issue + "/labels": reviews, "DELETE " + issue + "/labels/{name...}": reviews,

	"POST " + r + "/statuses/{sha}": says, "POST " + r + "/check-runs": says,
	"PATCH " + r + "/check-runs/{id}": {Scope: ScopeStatus, Role: Reviewer, Then: "only one's own"}, "GET " + r + "/check-runs/{id}/annotations": reads,

	"GET " + r + "/deployments": reads, "POST " + r + "/deployments": deploys,
	"GET " + r + "/deployments/{id}/statuses": reads, "POST " + r + "/deployments/{id}/statuses": deploys,

	"GET " + r + "/hooks": hooks, "POST " + r + "/hooks": hooks, "DELETE " + r + "/hooks/{id}": hooks, "POST " + r + "/hooks/{id}/pings": hooks,
	"GET " + r + "/hooks/{id}/deliveries": hooks, "GET " + r + "/hooks/{id}/deliveries/{delivery}": hooks,
	"POST " + r + "/hooks/{id}/deliveries/{delivery}/attempts": hooks,
}

// Action is something that a route does to what may be somebody's.
type Action string

// Actions.
const (
	ReadProtection Action = "read what protects a branch"
	ChangePull     Action = "change a pull request"
	ChangeComment  Action = "change a comment"
	AskForReview   Action = "ask for a review"
)

// Actions are their rules. The route has asked for the scope.
var Actions = map[Action]Rule{
	ReadProtection: {Role: Reviewer, Hidden: true},
	ChangePull:     {Role: Reviewer, Theirs: true},
	ChangeComment:  {Role: Maintainer, Theirs: true},
	AskForReview:   {Role: Reviewer, Theirs: true},
}

var (
	signedIn = Rule{Role: Contributor}
	form     = Rule{Role: Contributor, Then: "the form's token; the API"}
)

// Pages are the rules of the pages: what they do to repositories they ask the
// API for, in the name of who has signed in. Every POST carries the token of its
// session's forms.
var Pages = map[string]Rule{
	"GET /-/assets/app.js": {}, "GET /-/assets/icon.svg": {}, "GET /-/assets/style.css": {},
	"GET /-/style.css": {}, "GET /-/signin": {}, "POST /-/signin": {Then: "limits of wrong passwords"},
	"GET /{$}": signedIn, "GET /-/settings": signedIn, "POST /-/signout": form, "POST /-/settings/password": form,
	"POST /-/settings/tokens": form, "POST /-/settings/tokens/{id}/revoke": form,
	"GET /{owner}": signedIn, "GET /{owner}/{repo}": signedIn, "GET /{owner}/{repo}/tree/{path...}": signedIn, "GET /{owner}/{repo}/blob/{path...}": signedIn,
	"GET /{owner}/{repo}/edit/{path...}": signedIn, "POST /{owner}/{repo}/edit/{path...}": form,
	"GET /{owner}/{repo}/commits/{path...}": signedIn, "GET /{owner}/{repo}/commits": signedIn, "GET /{owner}/{repo}/commit/{sha}": signedIn,
	"GET /{owner}/{repo}/branches": signedIn, "GET /{owner}/{repo}/compare": signedIn, "GET /{owner}/{repo}/compare/{spec...}": signedIn,
	"POST /{owner}/{repo}/fork": form, "POST /{owner}/{repo}/sync": form, "GET /{owner}/{repo}/pulls": signedIn, "POST /{owner}/{repo}/pulls": form,
	"GET /{owner}/{repo}/pull/{number}": signedIn, "GET /{owner}/{repo}/pull/{number}/commits": signedIn, "GET /{owner}/{repo}/pull/{number}/files": signedIn,
	"GET /{owner}/{repo}/pull/{number}/checks": signedIn, "POST /{owner}/{repo}/pull/{number}/{what}": form,
}

// Markdown is the tables of all rules, for the documentation.
func Markdown() string {
	var b strings.Builder
	cell := func(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
	row := func(what string, rule Rule) {
		who := string(rule.Role)
		switch {
		case rule.Own:
			who = "hubship"
		case rule.Role == Nobody:
			who = "everybody"
		}
		if rule.Theirs {
			who = "the author, or " + who
		}
		then := rule.Then
		for _, more := range []struct {
			on   bool
			text string
		}{{rule.NoFork, "not in forks"}, {rule.Hidden, "a 404 for others"}} {
			if more.on {
				then = strings.Trim(then+"; "+more.text, "; ")
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(what), who, cell(rule.Scope), cell(then))
	}
	table := func(title string, rules map[string]Rule) {
		fmt.Fprintf(&b, "| %s | least role | scope of a token | and |\n| --- | --- | --- | --- |\n", title)
		keys := slices.SortedFunc(maps.Keys(rules), func(x, y string) int {
			xm, xp, _ := strings.Cut(x, " ")
			ym, yp, _ := strings.Cut(y, " ")
			return strings.Compare(xp+" "+xm, yp+" "+ym)
		})
		for _, k := range keys {
			row("`"+k+"`", rules[k])
		}
		b.WriteString("\n")
	}
	table("route of the API", Routes)
	table("page", Pages)
	b.WriteString("| action within a route | least role | scope of a token | and |\n| --- | --- | --- | --- |\n")
	for _, k := range slices.Sorted(maps.Keys(Actions)) {
		row(string(k), Actions[k])
	}
	return b.String()
}
