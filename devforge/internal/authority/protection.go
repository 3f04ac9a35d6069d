package authority

import (
	"slices"
	"strings"
)

// Protection is what holds for a branch. The fields mean what GitHub's branch
// protection means by them.
type Protection struct {
	Checks         *RequiredChecks  `json:"checks,omitempty"`
	Reviews        *RequiredReviews `json:"reviews,omitempty"`
	Restrictions   *Restrictions    `json:"restrictions,omitempty"`
	EnforceAdmins  bool             `json:"enforce_admins"`
	LinearHistory  bool             `json:"linear_history"`
	AllowForce     bool             `json:"allow_force"`
	AllowDeletions bool             `json:"allow_deletions"`
	Lock           bool             `json:"lock"`

	// What follows is hubship's own.

	// Heads are branches of the same repository: where there are any, a pull
	// request is merged only if its head is one of them.
	Heads []string `json:"heads,omitempty"`
	// Bypass are logins that merge past missing checks and reviews; in GitHub's
	// dialect the allowances of the required reviews.
	Bypass []string `json:"bypass,omitempty"`
	// AllowPush lets those push who write to the repository, past checks,
	// reviews and Heads, which otherwise hold for every push.
	AllowPush bool `json:"allow_push,omitempty"`
	// Maintained are patterns (path.Match) of files that only maintainers
	// change, except by a merge that was checked as such.
	Maintained []string `json:"maintained,omitempty"`
}

// ByPullRequest says that changes come by pull request only.
func (p *Protection) ByPullRequest() bool {
	return !p.AllowPush && (p.Checks != nil || p.Reviews != nil || len(p.Heads) > 0)
}

// RequiredChecks are contexts of statuses, or names of check runs, that have to
// be green on the head of a pull request.
type RequiredChecks struct {
	Strict   bool     `json:"strict"` // the head has to contain the base
	Contexts []string `json:"contexts"`
	// By is the login whose statuses and check runs count alone; empty means
	// everybody's. It is what GitHub's app_id is to a check.
	By string `json:"by,omitempty"`
	// Merge says that a status counts only if it was set for the merge of the
	// head into where the base is now. A status without that is a commit's,
	// whatever its base, and wherever that was.
	Merge bool `json:"merge,omitempty"`
}

// RequiredReviews are the reviews that a pull request needs.
type RequiredReviews struct {
	Count        int  `json:"count"`
	DismissStale bool `json:"dismiss_stale"` // a push to the head ends approvals, for good
	LastPush     bool `json:"last_push"`     // as GitHub calls what holds always here: see Counts
}

// Restrictions name who may push and merge, by their logins.
type Restrictions struct {
	Users []string `json:"users"`
}

// named says whether a login is among some.
func named(logins []string, login string) bool {
	return slices.ContainsFunc(logins, func(l string) bool { return strings.EqualFold(l, login) })
}

// Above says whether somebody is above the checks and reviews of a branch.
func (p *Protection) Above(w Who) bool {
	return p != nil && (named(p.Bypass, w.Login) || (w.Role == Maintainer && !p.EnforceAdmins))
}

// Approval is what decides whether an approving review counts.
type Approval struct {
	Reviewer int64
	Role     Role // in the base's repository
	Disabled bool
	Commit   string // that was approved
	Author   int64  // of the pull request
	Head     string // commit that the pull request is at
	// Pushed says that the reviewer moved the head's branch: since it was made,
	// or while the pull request was open.
	Pushed bool
}

// Counts says why an approval counts for nothing, or "" when it counts.
func (a Approval) Counts() string {
	switch {
	case a.Disabled:
		return "the account is disabled"
	case !a.Role.Writes():
		return "it is by somebody without write access to the repository"
	case a.Reviewer == a.Author:
		return "it is by the author of the pull request"
	case a.Pushed:
		return "it is by somebody who pushed to the branch"
	case a.Commit != a.Head:
		return "it is for another commit"
	}
	return ""
}
