package github

import (
	"context"
	"fmt"
	"slices"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// pull names a pull request in errors.
func (c *Client) pull(does string, number int) string {
	return fmt.Sprintf("%s pull request %s#%d", does, c.repo, number)
}

// invalid is the error of a request that is not sent.
func invalid(what string, err error) error {
	return model.WithHint(fmt.Errorf("%s: %w", what, err), "correct the request")
}

// PullRequest implements forge.Forge.
func (c *Client) PullRequest(ctx context.Context, number int) (forge.PullRequest, error) {
	p, err := call(ctx, c, reads, c.pull("read", number), func(ctx context.Context) (*gh.PullRequest, *gh.Response, error) {
		return c.api.PullRequests.Get(ctx, c.repo.Owner, c.repo.Name, number)
	})
	if err != nil {
		return forge.PullRequest{}, err
	}
	return pullRequest(p), nil
}

// PullRequests implements forge.Forge.
func (c *Client) PullRequests(ctx context.Context, filter forge.Filter) ([]forge.PullRequest, error) {
	what := fmt.Sprintf("list the pull requests of %s", c.repo)
	if filter.State == "" {
		filter.State = forge.Open
	}
	opts := gh.PullRequestListOptions{State: filter.State, Base: filter.Base, Head: filter.Head, Sort: "updated", Direction: "desc"}
	var all []forge.PullRequest
	seen := map[int]bool{} // what is updated meanwhile moves the rest to later pages
	err := pages(ctx, c, what, func(ctx context.Context, page gh.ListOptions) ([]*gh.PullRequest, *gh.Response, error) {
		opts := opts
		opts.ListOptions = page
		return c.api.PullRequests.List(ctx, c.repo.Owner, c.repo.Name, &opts)
	}, func(items []*gh.PullRequest) bool {
		for _, item := range items {
			p := pullRequest(item)
			if p.Updated.Before(filter.UpdatedSince) {
				return false
			}
			if !seen[p.Number] {
				seen[p.Number] = true
				all = append(all, p)
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Commits implements forge.Forge.
func (c *Client) Commits(ctx context.Context, number int) ([]forge.Commit, error) {
	items, err := list(ctx, c, c.pull("list the commits of", number), forge.MaxCommits, func(ctx context.Context, page gh.ListOptions) ([]*gh.RepositoryCommit, *gh.Response, error) {
		return c.api.PullRequests.ListCommits(ctx, c.repo.Owner, c.repo.Name, number, &page)
	})
	if err != nil {
		return nil, err
	}
	return converted(items, commit), nil
}

// Files implements forge.Participant.
func (c *Client) Files(ctx context.Context, number int) ([]forge.File, error) {
	items, err := list(ctx, c, c.pull("list the files of", number), forge.MaxFiles, func(ctx context.Context, page gh.ListOptions) ([]*gh.CommitFile, *gh.Response, error) {
		return c.api.PullRequests.ListFiles(ctx, c.repo.Owner, c.repo.Name, number, &page)
	})
	if err != nil {
		return nil, err
	}
	return converted(items, func(f *gh.CommitFile) forge.File {
		return forge.File{Path: f.GetFilename(), Previous: f.GetPreviousFilename(), Status: f.GetStatus(),
			Additions: f.GetAdditions(), Deletions: f.GetDeletions(), Patch: f.GetPatch()}
	}), nil
}

// Open implements forge.Forge.
func (c *Client) Open(ctx context.Context, request forge.NewPullRequest) (forge.PullRequest, error) {
	what := fmt.Sprintf("open a pull request of %s from %s to %s", c.repo, request.Head, request.Base)
	if err := firstOf(forge.CheckLength("the title", request.Title, forge.MaxTitle), forge.CheckLength("the text", request.Body, forge.MaxBody)); err != nil {
		return forge.PullRequest{}, invalid(what, err)
	}
	p, err := call(ctx, c, once, what, func(ctx context.Context) (*gh.PullRequest, *gh.Response, error) {
		return c.api.PullRequests.Create(ctx, c.repo.Owner, c.repo.Name, &gh.NewPullRequest{
			Title: &request.Title, Body: &request.Body, Head: &request.Head, Base: &request.Base, Draft: &request.Draft,
		})
	})
	if err != nil {
		return forge.PullRequest{}, err
	}
	return pullRequest(p), nil
}

// Update implements forge.Forge.
func (c *Client) Update(ctx context.Context, number int, change forge.Change) (forge.PullRequest, error) {
	what := c.pull("update", number)
	edit := &gh.PullRequest{Title: change.Title, Body: change.Body, State: change.State}
	if err := firstOf(forge.CheckLength("the title", edit.GetTitle(), forge.MaxTitle), forge.CheckLength("the text", edit.GetBody(), forge.MaxBody)); err != nil {
		return forge.PullRequest{}, invalid(what, err)
	}
	p, err := call(ctx, c, repeatable, what, func(ctx context.Context) (*gh.PullRequest, *gh.Response, error) {
		return c.api.PullRequests.Edit(ctx, c.repo.Owner, c.repo.Name, number, edit)
	})
	if err != nil {
		return forge.PullRequest{}, err
	}
	return pullRequest(p), nil
}

// Merge implements forge.Forge.
func (c *Client) Merge(ctx context.Context, number int, merge forge.Merge) (string, error) {
	what := c.pull("merge", number)
	if merge.Method == "" {
		merge.Method = forge.MergeCommit
	}
	if !slices.Contains([]string{forge.MergeCommit, forge.Squash, forge.Rebase}, merge.Method) {
		return "", invalid(what, fmt.Errorf("%w: unknown method %q", forge.ErrInvalid, merge.Method))
	}
	if err := forge.CheckCommit(merge.Head); err != nil {
		return "", invalid(what, err)
	}
	done, err := call(ctx, c, once, what, func(ctx context.Context) (*gh.PullRequestMergeResult, *gh.Response, error) {
		return c.api.PullRequests.Merge(ctx, c.repo.Owner, c.repo.Name, number, merge.Message,
			&gh.PullRequestOptions{CommitTitle: merge.Title, SHA: merge.Head, MergeMethod: merge.Method})
	})
	if err != nil {
		return "", err
	}
	if !done.GetMerged() {
		return "", model.WithHint(fmt.Errorf("%s: %w: %s", what, forge.ErrConflict, plain(done.GetMessage())), "look at it on the forge")
	}
	return done.GetSHA(), nil
}

// Poll implements forge.Forge.
func (c *Client) Poll(ctx context.Context, since time.Time) (forge.Changes, error) {
	found := forge.Changes{Next: since}
	filter := forge.Filter{State: forge.All, UpdatedSince: since}
	if since.IsZero() {
		filter.State = forge.Open
	}
	var err error
	if found.PullRequests, err = c.PullRequests(ctx, filter); err != nil {
		return forge.Changes{}, err
	}
	for _, p := range found.PullRequests {
		if p.Updated.After(found.Next) {
			found.Next = p.Updated
		}
	}
	branches, err := list(ctx, c, fmt.Sprintf("list the branches of %s", c.repo), 0, func(ctx context.Context, page gh.ListOptions) ([]*gh.Branch, *gh.Response, error) {
		return c.api.Repositories.ListBranches(ctx, c.repo.Owner, c.repo.Name, &gh.BranchListOptions{ListOptions: page})
	})
	if err != nil {
		return forge.Changes{}, err
	}
	about, err := call(ctx, c, reads, fmt.Sprintf("read %s", c.repo), func(ctx context.Context) (*gh.Repository, *gh.Response, error) {
		return c.api.Repositories.Get(ctx, c.repo.Owner, c.repo.Name)
	})
	if err != nil {
		return forge.Changes{}, err
	}
	found.Default = about.GetDefaultBranch()
	found.Branches = make(map[string]string, len(branches))
	for _, b := range branches {
		found.Branches[b.GetName()] = b.GetCommit().GetSHA()
	}
	return found, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func converted[A, B any](items []A, convert func(A) B) []B {
	out := make([]B, 0, len(items))
	for _, item := range items {
		out = append(out, convert(item))
	}
	return out
}
