package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/local/store"
)

// Role returns what an account may do in a repository.
func (h *Host) Role(a store.Account, repo store.Repository) (store.Role, error) {
	if a.ID == repo.Owner {
		return store.Maintainer, nil
	}
	owner, err := h.Store.Account(context.Background(), repo.Owner)
	if err != nil {
		return "", err
	}
	if owner.Kind == store.Organization {
		return a.Role, nil
	}
	return store.Contributor, nil
}

// Writes says whether a role pushes and merges.
func Writes(r store.Role) bool { return r == store.Reviewer || r == store.Maintainer }

// RequireRole returns an ErrForbidden unless the account has the role or a
// wider one.
func (h *Host) RequireRole(a store.Account, repo store.Repository, role store.Role) error {
	have, err := h.Role(a, repo)
	if err != nil {
		return err
	}
	order := []store.Role{store.Contributor, store.Reviewer, store.Maintainer}
	if slices.Index(order, have) < slices.Index(order, role) {
		return fail(ErrForbidden, "Must have the role %s in this repository.", role)
	}
	return nil
}

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
}

// RequiredReviews are the reviews that a pull request needs.
type RequiredReviews struct {
	Count        int  `json:"count"`
	DismissStale bool `json:"dismiss_stale"` // a push to the head ends approvals
	LastPush     bool `json:"last_push"`     // approvals count for the head they were given for
}

// Restrictions name who may push and merge, by their logins.
type Restrictions struct {
	Users []string `json:"users"`
}

// Protection returns what holds for a branch, nil for nothing.
func (h *Host) Protection(ctx context.Context, repo store.Repository, branch string) (*Protection, error) {
	p, err := h.Store.Protection(ctx, repo.ID, branch)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeProtection(p)
}

func decodeProtection(p store.Protection) (*Protection, error) {
	var out Protection
	if err := json.Unmarshal([]byte(p.Body), &out); err != nil {
		return nil, fmt.Errorf("read protection of branch %s: %w", p.Branch, err)
	}
	return &out, nil
}

// SetProtection replaces what holds for a branch; nil removes it.
func (h *Host) SetProtection(ctx context.Context, repo store.Repository, branch string, p *Protection) error {
	body := ""
	if p != nil {
		raw, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("set protection of branch %s: %w", branch, err)
		}
		body = string(raw)
	}
	return h.Store.SetProtection(ctx, repo.ID, branch, body)
}

// ForwardOnly returns the branches that neither a push may rewrite nor delete.
func (h *Host) ForwardOnly(ctx context.Context, repo store.Repository) ([]string, error) {
	list, err := h.Store.Protections(ctx, repo.ID)
	if err != nil {
		return nil, err
	}
	var branches []string
	for _, p := range list {
		rules, err := decodeProtection(p)
		if err != nil {
			return nil, err
		}
		if !rules.AllowForce {
			branches = append(branches, p.Branch)
		}
	}
	return branches, nil
}

// RefMove is a reference that a push wants to move.
type RefMove struct{ Ref, Old, New string }

// AllowPush says, before a push is taken, why references may not move: by
// reference, nothing for those that may. Whether a push rewrites a branch is
// known to git only: see ForwardOnly.
func (h *Host) AllowPush(ctx context.Context, repo store.Repository, by store.Account, moves []RefMove) (map[string]string, error) {
	refused := map[string]string{}
	role, err := h.Role(by, repo)
	if err != nil {
		return nil, err
	}
	for _, m := range moves {
		branch, isBranch := strings.CutPrefix(m.Ref, "refs/heads/")
		switch {
		case !isBranch && !strings.HasPrefix(m.Ref, "refs/tags/"):
			refused[m.Ref] = "only branches and tags can be pushed"
			continue
		case !Writes(role):
			shared, err := h.sharedHead(ctx, repo, branch, by)
			if err != nil {
				return nil, err
			}
			if !isBranch || !shared {
				refused[m.Ref] = "you may not push to this repository: push to your fork and open a pull request"
			}
			continue
		case !isBranch:
			continue
		}
		p, err := h.Protection(ctx, repo, branch)
		if err != nil {
			return nil, err
		}
		if reason := pushRefusal(p, role, by, m); reason != "" {
			refused[m.Ref] = reason
		}
	}
	return refused, nil
}

// pushRefusal is why a protection refuses a direct push, or "".
func pushRefusal(p *Protection, role store.Role, by store.Account, m RefMove) string {
	deletes, creates := m.New == forge.ZeroID, m.Old == forge.ZeroID || m.Old == ""
	switch {
	case p == nil:
		return ""
	case p.Lock:
		return "the branch is locked"
	case deletes && !p.AllowDeletions:
		return "the branch is protected: it cannot be deleted"
	case role == store.Maintainer && (creates || deletes):
		// Nothing can be proposed to a branch before it is there. Git refuses a
		// push that claims to make one that is.
		return ""
	case p.Restrictions != nil && !contains(p.Restrictions.Users, by.Login) && (role != store.Maintainer || p.EnforceAdmins):
		return "the branch is protected: you are not among those who may push to it"
	case deletes:
		return ""
	case p.ByPullRequest():
		return "the branch is protected: push to another branch or to your fork and open a pull request"
	}
	return ""
}

// contains says whether a login is among some.
func contains(logins []string, login string) bool {
	return slices.ContainsFunc(logins, func(l string) bool { return strings.EqualFold(l, login) })
}

// sharedHead says whether a branch of a fork is the head of an open pull
// request whose author lets those work on it who may write to its base.
func (h *Host) sharedHead(ctx context.Context, fork store.Repository, branch string, by store.Account) (bool, error) {
	if branch == "" {
		return false, nil
	}
	list, _, err := h.Store.Pulls(ctx, store.PullFilter{HeadRepo: fork.ID, HeadRef: branch, State: "open"})
	if err != nil {
		return false, err
	}
	for _, p := range list {
		if !p.CanModify {
			continue
		}
		base, err := h.Store.Repository(ctx, p.Repository)
		if err != nil {
			return false, err
		}
		if role, err := h.Role(by, base); err != nil || Writes(role) {
			return err == nil, err
		}
	}
	return false, nil
}
