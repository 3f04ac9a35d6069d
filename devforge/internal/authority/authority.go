// Package authority holds the rules of the embedded forge about who may what,
// as pure functions and tables: nothing here reads a database, a repository or
// a clock. Movements of references are decided by Decide, requests by the rules
// of Routes. Whoever asks brings the facts, and does what the answer says.
package authority

import "slices"

// Role is what an account may do in a repository. In its own repositories every
// account is a maintainer.
type Role string

// Roles, each with all that those before it may do. The empty role is that of
// nobody, and of an account that is disabled.
const (
	Nobody      Role = ""
	Contributor Role = "contributor" // reads, forks, proposes, comments
	Reviewer    Role = "reviewer"    // pushes, merges; its reviews count
	Maintainer  Role = "maintainer"  // protects branches, sets webhooks, changes the process
)

// Roles are all of them, the least first.
var Roles = []Role{Nobody, Contributor, Reviewer, Maintainer}

// Includes says that a role may do all that another one may. A role that is not
// known includes nothing.
func (r Role) Includes(other Role) bool {
	have, need := slices.Index(Roles, r), slices.Index(Roles, other)
	return need >= 0 && have >= need
}

// Writes says whether a role pushes and merges.
func (r Role) Writes() bool { return r.Includes(Reviewer) }

// Scopes of a token: what of its account's rights it lends. GitHub's
// public_repo means repo here, since every repository is seen by all who have
// signed in.
const (
	ScopeRead       = "read"            // reads everything
	ScopeStatus     = "repo:status"     // reads, and writes statuses and check runs
	ScopeRepo       = "repo"            // all that the account may do but for webhooks
	ScopePublicRepo = "public_repo"     // the same
	ScopeHooks      = "admin:repo_hook" // webhooks, beside reading
)

// Scopes are all of them.
var Scopes = []string{ScopeRead, ScopeStatus, ScopeRepo, ScopePublicRepo, ScopeHooks}

// Lends says whether a token with some scopes lends what one scope stands for.
// Every token that has a known scope reads.
func Lends(have []string, scope string) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(have, n) })
	}
	switch scope {
	case ScopeRead:
		return has(Scopes...)
	case ScopeStatus:
		return has(ScopeStatus, ScopeRepo, ScopePublicRepo)
	case ScopeRepo, ScopePublicRepo:
		return has(ScopeRepo, ScopePublicRepo)
	case ScopeHooks:
		return has(ScopeHooks)
	}
	return false
}
