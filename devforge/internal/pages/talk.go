package pages

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	gh "github.com/google/go-github/v89/github"
)

// entry is something in a conversation.
type entry struct {
	At    time.Time
	Who   string
	Kind  string // comment, approved, changes, commented, dismissed, merged, closed, line
	Body  template.HTML
	Extra string
	ID    string
	On    *thread // of a line

	updated time.Time // of a comment
	command bool      // it asks hubship for a revert
}

// revertCommand is the comment that has hubship revert a merged pull request.
const revertCommand = "/hubship revert"

// asksRevert says that the visitor asked hubship for a revert, and that hubship
// has not said anything since.
func (v *visit) asksRevert(talk []entry) bool {
	asked := false
	for _, e := range talk {
		if e.command && e.Who == v.who.Login {
			asked = !slices.ContainsFunc(talk, func(answer entry) bool {
				return answer.Kind == "comment" && answer.Who == v.o.Own && !answer.updated.Before(e.At)
			})
		}
	}
	return asked
}

// talk is the conversation, oldest first.
func (v *visit) talk(pr *gh.PullRequest) ([]entry, error) {
	var all []entry
	comments := &gh.IssueListCommentsOptions{ListOptions: gh.ListOptions{PerPage: 100}}
	for range 10 {
		list, resp, err := v.api.Issues.ListComments(v.ctx, v.owner, v.name, pr.GetNumber(), comments)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			e := entry{At: c.GetCreatedAt().Time, Who: c.GetUser().GetLogin(), Kind: "comment", Body: v.markdown(c.GetBody()), ID: fmt.Sprintf("issuecomment-%d", c.GetID()),
				updated: c.GetUpdatedAt().Time, command: strings.TrimSpace(c.GetBody()) == revertCommand}
			if e.updated.Sub(e.At) > time.Minute {
				e.Extra = "edited"
			}
			all = append(all, e)
		}
		if comments.Page = resp.NextPage; comments.Page == 0 {
			break
		}
	}
	kinds := map[string]string{"APPROVED": "approved", "CHANGES_REQUESTED": "changes", "COMMENTED": "commented", "DISMISSED": "dismissed"}
	reviews := &gh.ListOptions{PerPage: 100}
	for range 10 {
		list, resp, err := v.api.PullRequests.ListReviews(v.ctx, v.owner, v.name, pr.GetNumber(), reviews)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			kind, ok := kinds[r.GetState()]
			if !ok || kind == "commented" && r.GetBody() == "" { // that has comments on lines alone
				continue
			}
			all = append(all, entry{At: r.GetSubmittedAt().Time, Who: r.GetUser().GetLogin(), Kind: kind, Body: v.markdown(r.GetBody()), Extra: r.GetCommitID(), ID: fmt.Sprintf("pullrequestreview-%d", r.GetID())})
		}
		if reviews.Page = resp.NextPage; reviews.Page == 0 {
			break
		}
	}
	threads, err := v.threads(pr.GetNumber())
	if err != nil {
		return nil, err
	}
	for _, t := range threads {
		all = append(all, entry{At: t.Said[0].At, Kind: "line", ID: fmt.Sprintf("discussion_r%d", t.ID), On: t})
	}
	switch {
	case pr.GetMerged():
		all = append(all, entry{At: pr.GetMergedAt().Time, Who: pr.GetMergedBy().GetLogin(), Kind: "merged", Extra: pr.GetMergeCommitSHA()})
	case pr.GetState() == "closed":
		all = append(all, entry{At: pr.GetClosedAt().Time, Kind: "closed"})
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.At.Compare(b.At) })
	return all, nil
}
