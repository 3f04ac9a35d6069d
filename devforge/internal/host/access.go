package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/store"
)

// Role returns what an account may do in a repository: nothing, when it is
// disabled.
func (h *Host) Role(a store.Account, repo store.Repository) (store.Role, error) {
	if a.Disabled {
		return authority.Nobody, nil
	}
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

// IsOwn says whether an account is hubship's own.
func (h *Host) IsOwn(a store.Account) bool {
	return h.opts.Own != "" && strings.EqualFold(a.Login, h.opts.Own) && a.Kind == store.User && !a.Disabled
}

// Writes says whether a role pushes and merges.
func Writes(r store.Role) bool { return r.Writes() }

// RequireRole returns an ErrForbidden unless the account has the role or a
// wider one.
func (h *Host) RequireRole(a store.Account, repo store.Repository, role store.Role) error {
	have, err := h.Role(a, repo)
	if err != nil {
		return err
	}
	if !have.Includes(role) {
		return fail(ErrForbidden, "Must have the role %s in this repository.", role)
	}
	return nil
}

// What protects branches, by the words of package authority.
type (
	Protection      = authority.Protection
	RequiredChecks  = authority.RequiredChecks
	RequiredReviews = authority.RequiredReviews
	Restrictions    = authority.Restrictions
)

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
		return nil, fmt.Errorf("read the protection of branch %s: %w", p.Branch, err)
	}
	return &out, nil
}

// SetProtection replaces what holds for a branch; nil removes it.
func (h *Host) SetProtection(ctx context.Context, repo store.Repository, branch string, p *Protection) error {
	body := ""
	if p != nil {
		raw, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("set the protection of branch %s: %w", branch, err)
		}
		body = string(raw)
	}
	return h.Store.SetProtection(ctx, repo.ID, branch, body)
}
