package github

import (
	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/forge"
)

// ghost is who GitHub shows in the place of an account that is gone.
const ghost = "ghost"

func login(u *gh.User) string {
	if u.GetLogin() == "" {
		return ghost
	}
	return u.GetLogin()
}

func side(b *gh.PullRequestBranch) forge.Ref {
	r := forge.Ref{Branch: b.GetRef(), Commit: b.GetSHA()}
	if repo := b.GetRepo(); repo != nil {
		r.Repository = forge.Repository{Owner: repo.GetOwner().GetLogin(), Name: repo.GetName()}
	}
	return r
}

// pullRequest takes over what both the list and the single pull request say in
// the same way: whether it was merged from the time when it was, since the list
// says no more.
func pullRequest(p *gh.PullRequest) forge.PullRequest {
	out := forge.PullRequest{
		Number: p.GetNumber(), Title: p.GetTitle(), Body: p.GetBody(), Author: login(p.User), AuthorID: p.GetUser().GetID(), State: p.GetState(),
		Draft: p.GetDraft(), URL: p.GetHTMLURL(), Head: side(p.Head), Base: side(p.Base),
		Mergeable: p.Mergeable, Files: p.GetChangedFiles(),
		Created: p.GetCreatedAt().Time, Updated: p.GetUpdatedAt().Time,
	}
	for _, l := range p.Labels {
		out.Labels = append(out.Labels, l.GetName())
	}
	if p.MergedAt != nil {
		out.Merged, out.MergedAt = true, p.GetMergedAt().Time
		// Before the merge this is a trial that no branch has.
		out.MergeCommit = p.GetMergeCommitSHA()
		if p.MergedBy != nil {
			out.MergedBy = login(p.MergedBy)
		}
	}
	return out
}

func commit(c *gh.RepositoryCommit) forge.Commit {
	out := forge.Commit{ID: c.GetSHA(), Message: c.GetCommit().GetMessage(), Author: c.GetCommit().GetAuthor().GetName(),
		Login: c.GetAuthor().GetLogin(), Date: c.GetCommit().GetAuthor().GetDate().Time}
	for _, p := range c.Parents {
		out.Parents = append(out.Parents, p.GetSHA())
	}
	return out
}

func comment(c *gh.IssueComment) forge.Comment {
	return forge.Comment{ID: c.GetID(), Author: login(c.User), AuthorID: c.GetUser().GetID(), Body: c.GetBody(), URL: c.GetHTMLURL(),
		Created: c.GetCreatedAt().Time, Updated: c.GetUpdatedAt().Time}
}

func review(r *gh.PullRequestReview) forge.Review {
	return forge.Review{ID: r.GetID(), Author: login(r.User), AuthorID: r.GetUser().GetID(), State: r.GetState(), Commit: r.GetCommitID(),
		Body: r.GetBody(), Submitted: r.GetSubmittedAt().Time}
}

// optional is a text that is left out of a request when it is empty.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
