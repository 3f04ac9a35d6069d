package rest

import (
	"encoding/json"
	"net/http"
	"path"
	"strings"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/internal/git"
)

// getProtection answers with what holds for a branch.
func (c *call) getProtection(branch string) error {
	if err := c.may(authority.ReadProtection, 0); err != nil {
		return notFound() // as on GitHub: rules are shown to those who write
	}
	p, err := c.host.Protection(c.ctx, c.repo, branch)
	if err != nil {
		return err
	}
	if p == nil {
		return &httpError{status: http.StatusNotFound, message: "Branch not protected"}
	}
	return c.answerProtection(branch, p)
}

func (c *call) answerProtection(branch string, p *host.Protection) error {
	return c.show(http.StatusOK, func(at string) (obj, error) {
		return c.protection(at+"/branches/"+escape(branch)+"/protection", p), nil
	})
}

func (c *call) protection(at string, p *host.Protection) obj {
	enabled := func(on bool) obj { return obj{"enabled": on} }
	o := obj{
		"url": at, "enforce_admins": obj{"url": at + "/enforce_admins", "enabled": p.EnforceAdmins},
		"required_linear_history": enabled(p.LinearHistory), "allow_force_pushes": enabled(p.AllowForce), "allow_deletions": enabled(p.AllowDeletions),
		"block_creations": enabled(false), "required_conversation_resolution": enabled(false), "lock_branch": enabled(p.Lock), "allow_fork_syncing": enabled(false),
		"required_signatures": obj{"url": at + "/required_signatures", "enabled": false},
	}
	if p.Checks != nil {
		checks := []obj{}
		for _, name := range p.Checks.Contexts {
			checks = append(checks, obj{"context": name, "app_id": nil})
		}
		o["required_status_checks"] = obj{"url": at + "/required_status_checks", "contexts_url": at + "/required_status_checks/contexts",
			"strict": p.Checks.Strict, "contexts": p.Checks.Contexts, "checks": checks}
	}
	if p.Reviews != nil {
		o["required_pull_request_reviews"] = obj{"url": at + "/required_pull_request_reviews", "dismiss_stale_reviews": p.Reviews.DismissStale,
			"require_code_owner_reviews": false, "require_last_push_approval": p.Reviews.LastPush, "required_approving_review_count": p.Reviews.Count}
		if len(p.Bypass) > 0 {
			o["required_pull_request_reviews"].(obj)["bypass_pull_request_allowances"] = obj{"users": c.usersOf(p.Bypass), "teams": []obj{}, "apps": []obj{}}
		}
	}
	if p.Restrictions != nil {
		o["restrictions"] = obj{"url": at + "/restrictions", "users_url": at + "/restrictions/users", "teams_url": at + "/restrictions/teams",
			"apps_url": at + "/restrictions/apps", "users": c.usersOf(p.Restrictions.Users), "teams": []obj{}, "apps": []obj{}}
	}
	o["forge"] = beyondOf(p)
	return o
}

// beyond are the settings of a protection that GitHub's dialect cannot say.
type beyond struct {
	Heads      []string `json:"heads"`
	AllowPush  bool     `json:"allow_push"`
	Maintained []string `json:"maintained"`
	Bypass     []string `json:"bypass"`
	// ChecksBy and ChecksOfMerge are about the required status checks.
	ChecksBy      string `json:"checks_by"`
	ChecksOfMerge bool   `json:"checks_of_merge"`
}

func beyondOf(p *host.Protection) beyond {
	b := beyond{Heads: p.Heads, AllowPush: p.AllowPush, Maintained: p.Maintained, Bypass: p.Bypass}
	if p.Checks != nil {
		b.ChecksBy, b.ChecksOfMerge = p.Checks.By, p.Checks.Merge
	}
	return b
}

// apply gives a protection these settings.
func (b beyond) apply(p *host.Protection) error {
	const most = 100
	if len(b.Heads) > most || len(b.Maintained) > most || len(b.Bypass) > most {
		return plain("There are too many heads, maintained files or accounts.")
	}
	for _, h := range b.Heads {
		if git.CheckBranchName(h) != nil {
			return plain("A head is not a valid branch name.")
		}
	}
	for _, pattern := range b.Maintained {
		if _, err := path.Match(pattern, "x"); err != nil || pattern == "" || len(pattern) > 1000 {
			return plain("A pattern of maintained files is not valid.")
		}
	}
	p.Heads, p.AllowPush, p.Maintained, p.Bypass = b.Heads, b.AllowPush, b.Maintained, b.Bypass
	if p.Checks != nil {
		p.Checks.By, p.Checks.Merge = b.ChecksBy, b.ChecksOfMerge
	}
	return nil
}

// usersOf renders those of some logins that there are.
func (c *call) usersOf(logins []string) []obj {
	users := []obj{}
	for _, login := range logins {
		if u, err := c.store.AccountByLogin(c.ctx, login); err == nil {
			users = append(users, c.user(u))
		}
	}
	return users
}

// named are accounts, teams and apps, as GitHub names those that a rule lets
// pass. This forge has accounts only.
type named struct {
	Users []string `json:"users"`
	Teams []string `json:"teams"`
	Apps  []string `json:"apps"`
}

// logins returns the logins of the accounts, as they are written.
func (c *call) logins(n named) ([]string, error) {
	if len(n.Teams) > 0 || len(n.Apps) > 0 {
		return nil, plain("This forge has no teams and no apps.")
	}
	if len(n.Users) > 100 {
		return nil, plain("There are too many users.")
	}
	logins := []string{}
	for _, login := range n.Users {
		u, err := c.store.AccountByLogin(c.ctx, login)
		if host.IsNotFound(err) {
			return nil, plain("No such user: " + login + ".")
		} else if err != nil {
			return nil, err
		}
		logins = append(logins, u.Login)
	}
	return logins, nil
}

// protectionInput is GitHub's. Its four first fields have to be there, null or
// not; rules that hubship cannot keep are refused rather than forgotten.
type protectionInput struct {
	Checks *struct {
		Strict   bool     `json:"strict"`
		Contexts []string `json:"contexts"`
		Checks   []struct {
			Context string `json:"context"`
		} `json:"checks"`
	} `json:"required_status_checks"`
	EnforceAdmins *bool `json:"enforce_admins"`
	Reviews       *struct {
		DismissStale bool  `json:"dismiss_stale_reviews"`
		CodeOwners   bool  `json:"require_code_owner_reviews"`
		Count        *int  `json:"required_approving_review_count"`
		LastPush     bool  `json:"require_last_push_approval"`
		Bypass       named `json:"bypass_pull_request_allowances"`
	} `json:"required_pull_request_reviews"`
	Restrictions   *named `json:"restrictions"`
	LinearHistory  bool   `json:"required_linear_history"`
	AllowForce     *bool  `json:"allow_force_pushes"`
	AllowDeletions bool   `json:"allow_deletions"`
	BlockCreations bool   `json:"block_creations"`
	Conversations  bool   `json:"required_conversation_resolution"`
	Lock           bool   `json:"lock_branch"`
	// Forge is this forge's own. Without it what the dialect cannot say stays.
	Forge *beyond `json:"forge"`
}

func (c *call) putProtection(branch string) error {
	var raw map[string]json.RawMessage
	if err := c.read(&raw); err != nil {
		return err
	}
	for _, field := range []string{"required_status_checks", "enforce_admins", "required_pull_request_reviews", "restrictions"} {
		if _, ok := raw[field]; !ok {
			return plain("Invalid request. \"" + field + "\" wasn't supplied.")
		}
	}
	whole, err := json.Marshal(raw)
	if err != nil {
		return err
	}
	var in protectionInput
	if err := json.Unmarshal(whole, &in); err != nil {
		return plain("Invalid request. A field has a value of the wrong type.")
	}
	p, err := c.protectionFrom(in)
	if err != nil {
		return err
	}
	if in.Forge != nil {
		err = in.Forge.apply(p)
	} else {
		err = c.keepBeyond(branch, p, in.Reviews != nil)
	}
	if err != nil {
		return err
	}
	if err := c.host.SetProtection(c.ctx, c.repo, branch, p); err != nil {
		return err
	}
	return c.answerProtection(branch, p)
}

// keepBeyond leaves what the dialect cannot say as it is. The allowances of
// required reviews are part of the dialect.
func (c *call) keepBeyond(branch string, p *host.Protection, reviews bool) error {
	old, err := c.host.Protection(c.ctx, c.repo, branch)
	if err != nil || old == nil {
		return err
	}
	b, bypass := beyondOf(old), p.Bypass
	if err := b.apply(p); err != nil {
		return err
	}
	if reviews || old.Reviews != nil {
		p.Bypass = bypass
	}
	return nil
}

func (c *call) protectionFrom(in protectionInput) (*host.Protection, error) {
	p := &host.Protection{EnforceAdmins: in.EnforceAdmins != nil && *in.EnforceAdmins, LinearHistory: in.LinearHistory,
		AllowForce: in.AllowForce != nil && *in.AllowForce, AllowDeletions: in.AllowDeletions, Lock: in.Lock}
	if in.BlockCreations || in.Conversations || (in.Reviews != nil && in.Reviews.CodeOwners) {
		return nil, plain("This forge has no code owners, no conversations to resolve and no rule for new branches.")
	}
	if in.Checks != nil {
		names := append([]string{}, in.Checks.Contexts...)
		for _, k := range in.Checks.Checks {
			names = append(names, k.Context)
		}
		p.Checks = &host.RequiredChecks{Strict: in.Checks.Strict, Contexts: []string{}}
		seen := map[string]bool{}
		for _, name := range names {
			if strings.TrimSpace(name) == "" || len(name) > 1000 || len(seen) > 100 {
				return nil, plain("A status check has no name, or there are too many.")
			}
			if !seen[name] {
				p.Checks.Contexts = append(p.Checks.Contexts, name)
			}
			seen[name] = true
		}
	}
	if in.Reviews != nil {
		p.Reviews = &host.RequiredReviews{Count: 1, DismissStale: in.Reviews.DismissStale, LastPush: in.Reviews.LastPush}
		set(&p.Reviews.Count, in.Reviews.Count)
		if p.Reviews.Count < 0 || p.Reviews.Count > 6 {
			return nil, plain("required_approving_review_count must be a number from 0 to 6.")
		}
		var err error
		if p.Bypass, err = c.logins(in.Reviews.Bypass); err != nil {
			return nil, err
		}
	}
	if in.Restrictions == nil {
		return p, nil
	}
	users, err := c.logins(*in.Restrictions)
	p.Restrictions = &host.Restrictions{Users: users}
	return p, err
}

func (c *call) deleteProtection(branch string) error {
	if p, err := c.host.Protection(c.ctx, c.repo, branch); err != nil {
		return err
	} else if p == nil {
		return &httpError{status: http.StatusNotFound, message: "Branch not protected"}
	}
	if err := c.host.SetProtection(c.ctx, c.repo, branch, nil); err != nil {
		return err
	}
	return c.none()
}
