package model

import "time"

// Roles of accounts of the embedded forge, each with all that those before it
// may do.
const (
	RoleContributor = "contributor" // reads, forks, proposes, comments
	RoleReviewer    = "reviewer"    // pushes, merges; its reviews count
	RoleMaintainer  = "maintainer"  // protects branches, sets webhooks
)

// AccountRoles are the roles, the narrowest first.
var AccountRoles = []string{RoleContributor, RoleReviewer, RoleMaintainer}

// Account is somebody, or something, at the embedded forge.
type Account struct {
	Login        string    `json:"login"`
	Name         string    `json:"name"`
	Role         string    `json:"role,omitempty"`         // empty for an organization
	Organization bool      `json:"organization,omitempty"` // it owns repositories and logs in nowhere
	Disabled     bool      `json:"disabled,omitempty"`     // neither its password nor its tokens open anything
	Created      time.Time `json:"created"`
}

// NewAccount is an account that is to be made.
type NewAccount struct {
	Login    string `json:"login"`              // up to 39 lower-case letters, digits and single hyphens
	Name     string `json:"name,omitempty"`     // empty: the login
	Role     string `json:"role,omitempty"`     // empty: RoleContributor
	Password string `json:"password,omitempty"` // empty: it has tokens only
}

// NewToken is a token of an account that is to be made.
type NewToken struct {
	Scopes  []string      `json:"scopes"`            // GitHub's names for them
	Expires time.Duration `json:"expires,omitempty"` // from now on, nanoseconds; 0 means never
}
