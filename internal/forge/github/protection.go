package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// readProtection is GitHub's protection of a branch, and what the embedded forge
// says beside.
type readProtection struct {
	gh.Protection
	Beyond *forge.ProtectionBeyond `json:"forge"`
}

// protectionRequest asks for one.
type protectionRequest struct {
	gh.ProtectionRequest
	Beyond *forge.ProtectionBeyond `json:"forge,omitempty"`
}

func (c *Client) protectionPath(branch string) string {
	return fmt.Sprintf("repos/%s/%s/branches/%s/protection", c.repo.Owner, c.repo.Name, url.PathEscape(branch))
}

// protectionOf reads the protection of a branch.
func (c *Client) protectionOf(ctx context.Context, what, branch string) (*readProtection, error) {
	return call(ctx, c, reads, what, func(ctx context.Context) (*readProtection, *gh.Response, error) {
		req, err := c.api.NewRequest(ctx, http.MethodGet, c.protectionPath(branch), nil)
		if err != nil {
			return nil, nil, err
		}
		var p readProtection
		resp, err := c.api.Do(req, &p)
		var answer *gh.ErrorResponse
		if errors.As(err, &answer) && resp.StatusCode == http.StatusNotFound && answer.Message == "Branch not protected" {
			err = &failure{kind: forge.ErrNotFound, message: "the branch is not protected", status: resp.StatusCode, hint: "protect it on the forge"}
		}
		return &p, resp, err
	})
}

// Protection implements forge.Protections.
func (c *Client) Protection(ctx context.Context, branch string) (forge.Protection, error) {
	what := fmt.Sprintf("read the protection of branch %s of %s", branch, c.repo)
	if err := forge.CheckBranch(branch); err != nil {
		return forge.Protection{}, invalid(what, err)
	}
	p, err := c.protectionOf(ctx, what, branch)
	if err != nil {
		return forge.Protection{}, err
	}
	out := protection(&p.Protection)
	out.Beyond = p.Beyond
	return out, nil
}

func protection(p *gh.Protection) forge.Protection {
	out := forge.Protection{Admins: p.EnforceAdmins != nil && p.EnforceAdmins.Enabled}
	if s := p.RequiredStatusChecks; s != nil {
		out.UpToDate = s.Strict
		if s.Checks != nil {
			for _, check := range *s.Checks {
				out.Statuses = append(out.Statuses, check.Context)
			}
		} else if s.Contexts != nil {
			out.Statuses = *s.Contexts
		}
		slices.Sort(out.Statuses)
	}
	if r := p.RequiredPullRequestReviews; r != nil {
		out.Approvals, out.DismissStale = r.RequiredApprovingReviewCount, r.DismissStaleReviews
	}
	return out
}

// Protect implements forge.Protections.
func (c *Client) Protect(ctx context.Context, branch string, want forge.Protection) error {
	what := fmt.Sprintf("protect branch %s of %s", branch, c.repo)
	if err := forge.CheckBranch(branch); err != nil {
		return invalid(what, err)
	}
	if want.Approvals < 0 || want.Approvals > 6 {
		return invalid(what, fmt.Errorf("%w: %d approvals cannot be required, 0 to 6 can", forge.ErrInvalid, want.Approvals))
	}
	if want.Beyond == nil {
		now, err := c.protectionOf(ctx, what, branch)
		if err != nil && !errors.Is(err, forge.ErrNotFound) {
			return err
		}
		if err == nil {
			if lost := lost(&now.Protection); lost != "" {
				return model.WithHint(fmt.Errorf("%s: %w: it is protected already, and %s would be lost", what, forge.ErrConflict, lost),
					"change the protection on the forge by hand")
			}
		}
	}
	request := protectionRequest{Beyond: want.Beyond}
	checks := converted(want.Statuses, func(name string) *gh.RequiredStatusCheck { return &gh.RequiredStatusCheck{Context: name} })
	request.RequiredStatusChecks = &gh.RequiredStatusChecks{Strict: want.UpToDate, Checks: &checks}
	if want.Beyond == nil || want.Approvals > 0 || want.DismissStale {
		request.RequiredPullRequestReviews = &gh.PullRequestReviewsEnforcementRequest{RequiredApprovingReviewCount: want.Approvals, DismissStaleReviews: want.DismissStale}
	}
	request.EnforceAdmins = want.Admins
	_, err := call(ctx, c, repeatable, what, func(ctx context.Context) (*readProtection, *gh.Response, error) {
		req, err := c.api.NewRequest(ctx, http.MethodPut, c.protectionPath(branch), request)
		if err != nil {
			return nil, nil, err
		}
		var now readProtection
		resp, err := c.api.Do(req, &now)
		if err == nil && want.Beyond != nil && now.Beyond == nil {
			err = &failure{kind: forge.ErrInvalid, message: "the forge does not know all of these settings", status: resp.StatusCode, hint: "leave out what only hubship's own forge has"}
		}
		return &now, resp, err
	})
	return err
}

// lost names a setting of a protection that forge.Protection cannot say, or
// is empty.
func lost(p *gh.Protection) string {
	if p == nil {
		return ""
	}
	r := p.RequiredPullRequestReviews
	for _, s := range []struct {
		set  bool
		name string
	}{
		{p.Restrictions != nil, "who may push"},
		{p.RequireLinearHistory != nil && p.RequireLinearHistory.Enabled, "its linear history"},
		{p.AllowForcePushes != nil && p.AllowForcePushes.Enabled, "that it may be rewritten"},
		{p.AllowDeletions != nil && p.AllowDeletions.Enabled, "that it may be deleted"},
		{p.RequiredConversationResolution != nil && p.RequiredConversationResolution.Enabled, "that conversations must be resolved"},
		{p.BlockCreations.GetEnabled(), "that branches may not be made"},
		{p.LockBranch.GetEnabled(), "its lock"},
		{r != nil && r.RequireCodeOwnerReviews, "the code owners' review"},
		{r != nil && r.RequireLastPushApproval, "the approval of the last push"},
		{r != nil && r.DismissalRestrictions != nil, "who may dismiss reviews"},
		{r != nil && r.BypassPullRequestAllowances != nil, "who may do without a pull request"},
	} {
		if s.set {
			return s.name
		}
	}
	return ""
}
