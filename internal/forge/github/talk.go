package github

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/forge"
)

// SetStatus implements forge.Forge.
func (c *Client) SetStatus(ctx context.Context, commit string, status forge.Status) error {
	what := fmt.Sprintf("set status %s of commit %.12s of %s", status.Context, commit, c.repo)
	if err := forge.CheckCommit(commit); err != nil {
		return invalid(what, err)
	}
	if !slices.Contains([]string{forge.Pending, forge.Success, forge.Failure, forge.Errored}, status.State) || status.Context == "" {
		return invalid(what, fmt.Errorf("%w: a status needs a context and a state, which %q is not", forge.ErrInvalid, status.State))
	}
	description := forge.Shorten(status.Description, forge.MaxDescription)
	set := newStatus{RepoStatus: gh.RepoStatus{State: &status.State, Context: &status.Context, Description: optional(description), TargetURL: optional(status.URL)}}
	if base := status.Base; base != (forge.StatusBase{}) {
		if err := firstOf(forge.CheckBranch(base.Branch), forge.CheckCommit(base.Commit)); err != nil {
			return invalid(what, err)
		}
		set.Base = &statusBase{base.Branch, base.Commit}
	}
	path := fmt.Sprintf("repos/%s/%s/statuses/%s", c.repo.Owner, c.repo.Name, commit)
	_, err := call(ctx, c, repeatable, what, func(ctx context.Context) (*gh.RepoStatus, *gh.Response, error) {
		req, err := c.api.NewRequest(ctx, http.MethodPost, path, set)
		if err != nil {
			return nil, nil, err
		}
		var done gh.RepoStatus
		resp, err := c.api.Do(req, &done)
		return &done, resp, err
	})
	return err
}

// newStatus is what creates a status: GitHub's, and the base that the embedded
// forge knows beside.
type newStatus struct {
	gh.RepoStatus
	Base *statusBase `json:"base,omitempty"`
}

type statusBase struct {
	Ref string `json:"ref"`
	SHA string `json:"sha"`
}

// Statuses implements forge.Participant.
func (c *Client) Statuses(ctx context.Context, commit string) ([]forge.Status, error) {
	what := fmt.Sprintf("list the statuses of commit %.12s of %s", commit, c.repo)
	if err := forge.CheckCommit(commit); err != nil {
		return nil, invalid(what, err)
	}
	items, err := list(ctx, c, what, 0, func(ctx context.Context, page gh.ListOptions) ([]*gh.RepoStatus, *gh.Response, error) {
		combined, resp, err := c.api.Repositories.GetCombinedStatus(ctx, c.repo.Owner, c.repo.Name, commit, &page)
		if err != nil {
			return nil, resp, err
		}
		return combined.Statuses, resp, nil
	})
	if err != nil {
		return nil, err
	}
	out := converted(items, func(s *gh.RepoStatus) forge.Status {
		return forge.Status{State: s.GetState(), Context: s.GetContext(), Description: s.GetDescription(), URL: s.GetTargetURL(), Updated: s.GetUpdatedAt().Time}
	})
	slices.SortStableFunc(out, func(a, b forge.Status) int { return cmp.Compare(a.Context, b.Context) })
	return out, nil
}

// Comments implements forge.Forge.
func (c *Client) Comments(ctx context.Context, number int) ([]forge.Comment, error) {
	items, err := list(ctx, c, c.pull("list the comments on", number), 0, func(ctx context.Context, page gh.ListOptions) ([]*gh.IssueComment, *gh.Response, error) {
		return c.api.Issues.ListComments(ctx, c.repo.Owner, c.repo.Name, number, &gh.IssueListCommentsOptions{ListOptions: page})
	})
	if err != nil {
		return nil, err
	}
	return converted(items, comment), nil
}

// Comment implements forge.Forge.
func (c *Client) Comment(ctx context.Context, number int, body string) (forge.Comment, error) {
	what := c.pull("comment on", number)
	if err := forge.CheckLength("the comment", body, forge.MaxBody); err != nil {
		return forge.Comment{}, invalid(what, err)
	}
	done, err := call(ctx, c, once, what, func(ctx context.Context) (*gh.IssueComment, *gh.Response, error) {
		return c.api.Issues.CreateComment(ctx, c.repo.Owner, c.repo.Name, number, &gh.IssueComment{Body: &body})
	})
	if err != nil {
		return forge.Comment{}, err
	}
	return comment(done), nil
}

// EditComment implements forge.Forge.
func (c *Client) EditComment(ctx context.Context, id int64, body string) (forge.Comment, error) {
	what := fmt.Sprintf("edit comment %d of %s", id, c.repo)
	if err := forge.CheckLength("the comment", body, forge.MaxBody); err != nil {
		return forge.Comment{}, invalid(what, err)
	}
	done, err := call(ctx, c, repeatable, what, func(ctx context.Context) (*gh.IssueComment, *gh.Response, error) {
		return c.api.Issues.EditComment(ctx, c.repo.Owner, c.repo.Name, id, &gh.IssueComment{Body: &body})
	})
	if err != nil {
		return forge.Comment{}, err
	}
	return comment(done), nil
}

// Reviews implements forge.Forge.
func (c *Client) Reviews(ctx context.Context, number int) ([]forge.Review, error) {
	items, err := list(ctx, c, c.pull("list the reviews of", number), 0, func(ctx context.Context, page gh.ListOptions) ([]*gh.PullRequestReview, *gh.Response, error) {
		return c.api.PullRequests.ListReviews(ctx, c.repo.Owner, c.repo.Name, number, &page)
	})
	if err != nil {
		return nil, err
	}
	// A review that is being written is shown to its author only.
	items = slices.DeleteFunc(items, func(r *gh.PullRequestReview) bool { return r.GetState() == "PENDING" })
	return converted(items, review), nil
}

// events are what GitHub calls the states of a review that is submitted.
var events = map[string]string{forge.Approved: "APPROVE", forge.ChangesRequested: "REQUEST_CHANGES", forge.Commented: "COMMENT"}

// Review implements forge.Participant.
func (c *Client) Review(ctx context.Context, number int, r forge.NewReview) (forge.Review, error) {
	what := c.pull("review", number)
	event, ok := events[r.State]
	if !ok {
		return forge.Review{}, invalid(what, fmt.Errorf("%w: no review is submitted as %q", forge.ErrInvalid, r.State))
	}
	if err := forge.CheckLength("the review", r.Body, forge.MaxBody); err != nil {
		return forge.Review{}, invalid(what, err)
	}
	done, err := call(ctx, c, once, what, func(ctx context.Context) (*gh.PullRequestReview, *gh.Response, error) {
		return c.api.PullRequests.CreateReview(ctx, c.repo.Owner, c.repo.Name, number,
			&gh.PullRequestReviewRequest{Event: &event, Body: optional(r.Body), CommitID: optional(r.Commit)})
	})
	if err != nil {
		return forge.Review{}, err
	}
	return review(done), nil
}

// RequestReview implements forge.Participant.
func (c *Client) RequestReview(ctx context.Context, number int, logins ...string) error {
	what := c.pull("ask for reviews of", number)
	for _, l := range logins {
		if err := forge.CheckLogin(l); err != nil {
			return invalid(what, err)
		}
	}
	_, err := call(ctx, c, repeatable, what, func(ctx context.Context) (*gh.PullRequest, *gh.Response, error) {
		return c.api.PullRequests.RequestReviewers(ctx, c.repo.Owner, c.repo.Name, number, gh.ReviewersRequest{Reviewers: logins})
	})
	return err
}

// Permission implements forge.Forge.
func (c *Client) Permission(ctx context.Context, login string) (forge.Permission, error) {
	what := fmt.Sprintf("ask what %s may do in %s", login, c.repo)
	if err := forge.CheckLogin(login); err != nil {
		return forge.None, invalid(what, err)
	}
	level, err := call(ctx, c, reads, what, func(ctx context.Context) (*gh.RepositoryPermissionLevel, *gh.Response, error) {
		return c.api.Repositories.GetPermissionLevel(ctx, c.repo.Owner, c.repo.Name, url.PathEscape(login))
	})
	if err != nil {
		return forge.None, err
	}
	return granted(level), nil
}

// granted reads what GitHub says of somebody. The role tells maintain from
// write and triage from read. An organization's own roles have other names.
func granted(level *gh.RepositoryPermissionLevel) forge.Permission {
	switch p := forge.Permission(level.GetRoleName()); p {
	case forge.Admin, forge.Maintain, forge.Write, forge.Triage, forge.Read, forge.None:
		return p
	}
	switch p := forge.Permission(level.GetPermission()); p {
	case forge.Admin, forge.Write, forge.Read:
		return p
	}
	return forge.None
}

// Branch implements forge.Forge.
func (c *Client) Branch(ctx context.Context, name string) (string, error) {
	what := fmt.Sprintf("read branch %s of %s", name, c.repo)
	if err := forge.CheckBranch(name); err != nil {
		return "", invalid(what, err)
	}
	b, err := call(ctx, c, reads, what, func(ctx context.Context) (*gh.Branch, *gh.Response, error) {
		path := fmt.Sprintf("repos/%s/%s/branches/%s", c.repo.Owner, c.repo.Name, url.PathEscape(name))
		req, err := c.api.NewRequest(ctx, http.MethodGet, path, nil)
		if err != nil {
			return nil, nil, err
		}
		b := &gh.Branch{}
		resp, err := c.api.Do(req, b)
		if err == nil && b.GetName() != name {
			err = &failure{kind: forge.ErrNotFound, message: "it is called " + plain(b.GetName()) + " now"}
		}
		return b, resp, err
	})
	if err != nil {
		return "", err
	}
	return b.GetCommit().GetSHA(), nil
}
