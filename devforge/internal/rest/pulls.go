package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

func (a *API) pullRoutes() {
	const pulls = " /repos/{owner}/{repo}/pulls"
	a.handle("GET"+pulls, (*call).listPulls)
	a.handle("POST"+pulls, (*call).createPull)
	a.handle("GET"+pulls+"/{number}", (*call).getPull)
	a.handle("PATCH"+pulls+"/{number}", (*call).updatePull)
	a.handle("GET"+pulls+"/{number}/files", (*call).pullFiles)
	a.handle("GET"+pulls+"/{number}/commits", (*call).pullCommits)
	a.handle("PUT"+pulls+"/{number}/merge", (*call).mergePull)
	a.handle("PUT"+pulls+"/{number}/update-branch", (*call).updateBranch)
}

// association says what an author is to a repository.
func (a *API) association(repo store.Repository, u store.Account) (string, error) {
	if u.ID == repo.Owner {
		return "OWNER", nil
	}
	role, err := a.host.Role(u, repo)
	if host.Writes(role) {
		return "MEMBER", err
	}
	return "CONTRIBUTOR", err
}

// end renders the head or the base of a pull request.
func (a *API) end(ctx context.Context, repository *int64, owner int64, ref, sha string) (obj, error) {
	u, err := a.account(ctx, owner)
	if err != nil {
		return nil, err
	}
	o := obj{"label": u.Login + ":" + ref, "ref": ref, "sha": sha, "user": a.user(u), "repo": nil}
	if repository != nil {
		r, err := a.store.Repository(ctx, *repository)
		if err == nil {
			o["repo"], err = a.repository(ctx, r)
		}
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

// simplePull renders a pull request as lists have it.
func (a *API) simplePull(ctx context.Context, repo store.Repository, p store.Pull) (obj, error) {
	at, err := a.placeOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	author, err := a.account(ctx, p.Author)
	if err != nil {
		return nil, err
	}
	association, err := a.association(repo, author)
	if err != nil {
		return nil, err
	}
	head, err := a.end(ctx, p.HeadRepo, p.HeadOwner, p.HeadRef, p.HeadSHA)
	if err != nil {
		return nil, err
	}
	base, err := a.end(ctx, &repo.ID, repo.Owner, p.BaseRef, p.BaseSHA)
	if err != nil {
		return nil, err
	}
	asked, err := a.store.RequestedReviewers(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	reviewers, _ := each(asked, func(u store.Account) (obj, error) { return a.user(u), nil })
	carried, err := a.store.PullLabels(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	labels, _ := each(carried, func(l store.Label) (obj, error) { return label(at, l), nil })
	state, sha := "open", p.TestSHA
	if !p.Open() {
		state, sha = "closed", p.MergeSHA
	}
	self, issue := fmt.Sprintf("%s/pulls/%d", at, p.Number), fmt.Sprintf("%s/issues/%d", at, p.Number)
	html := fmt.Sprintf("%s/pull/%d", a.htmlOf(at), p.Number)
	statuses := at + "/statuses/" + p.HeadSHA
	link := func(s string) obj { return obj{"href": s} }
	return obj{
		"id": p.ID, "node_id": nodeID("PullRequest", p.ID), "number": p.Number, "state": state, "locked": false, "active_lock_reason": nil,
		"title": p.Title, "body": orNull(p.Body), "user": a.user(author), "author_association": association, "draft": p.Draft,
		"url": self, "html_url": html, "diff_url": html + ".diff", "patch_url": html + ".patch", "issue_url": issue,
		"commits_url": self + "/commits", "review_comments_url": self + "/comments", "review_comment_url": at + "/pulls/comments{/number}",
		"comments_url": issue + "/comments", "statuses_url": statuses, "head": head, "base": base, "labels": labels,
		"created_at": stamp(p.Created), "updated_at": stamp(p.Updated), "closed_at": stamp(p.Closed), "merged_at": stamp(p.Merged),
		"merge_commit_sha": orNull(sha), "assignee": nil, "assignees": []obj{}, "milestone": nil, "auto_merge": nil,
		"requested_reviewers": reviewers, "requested_teams": []obj{},
		"_links": obj{
			"self": link(self), "html": link(html), "issue": link(issue), "comments": link(issue + "/comments"), "review_comments": link(self + "/comments"),
			"review_comment": link(at + "/pulls/comments{/number}"), "commits": link(self + "/commits"), "statuses": link(statuses),
		},
	}, nil
}

// pull renders one pull request.
func (a *API) pull(ctx context.Context, repo store.Repository, p store.Pull) (obj, error) {
	o, err := a.simplePull(ctx, repo, p)
	if err != nil {
		return nil, err
	}
	v, err := a.host.Judge(ctx, repo, p)
	if err != nil {
		return nil, err
	}
	if o["merged_by"], err = a.userByID(ctx, mergedBy(p)); err != nil {
		return nil, err
	}
	comments, err := a.store.Comments(ctx, repo.ID, p.Number, store.Time{}.Time)
	if err != nil {
		return nil, err
	}
	onLines, err := a.store.CountLineComments(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	size, err := a.sizeOf(ctx, repo, p)
	if err != nil {
		return nil, err
	}
	var mergeable any
	if v.Mergeable != nil {
		mergeable = *v.Mergeable
	}
	o["merged"], o["mergeable"], o["rebaseable"], o["mergeable_state"] = !p.Merged.IsZero(), mergeable, mergeable, v.State
	o["comments"], o["review_comments"], o["maintainer_can_modify"] = len(comments), onLines, p.CanModify
	o["commits"], o["additions"], o["deletions"], o["changed_files"] = size.commits, size.additions, size.deletions, size.files
	return o, nil
}

// mergedBy is who merged a pull request; nil while nobody did.
func mergedBy(p store.Pull) *int64 {
	if p.Merged.IsZero() {
		return nil
	}
	return p.MergedBy
}

// pullChanges are those since head and base parted.
func pullChanges(ctx context.Context, g *git.Repo, p store.Pull) ([]git.FileChange, error) {
	common, err := g.MergeBase(ctx, p.BaseSHA, p.HeadSHA)
	if errors.Is(err, git.ErrNotFound) {
		common, err = "", nil // a head that was rewritten into another history
	}
	if err != nil {
		return nil, err
	}
	return g.Changes(ctx, common, p.HeadSHA)
}

func (c *call) listPulls() error {
	q := c.r.URL.Query()
	f := store.PullFilter{Repository: c.repo.ID, State: "open", BaseRef: q.Get("base"), Sort: q.Get("sort"), Ascending: q.Get("direction") == "asc"}
	if s := q.Get("state"); s != "" {
		if !slices.Contains([]string{"open", "closed", "all"}, s) {
			return invalid("PullRequest", "state", "invalid", "")
		}
		f.State = s
	}
	// As on GitHub: oldest first only where a sort was asked for without a
	// direction other than the one of dates.
	if f.Sort != "" && f.Sort != "created" && q.Get("direction") == "" {
		f.Ascending = true
	}
	if owner, ref, ok := strings.Cut(q.Get("head"), ":"); ok {
		u, err := c.store.AccountByLogin(c.ctx, owner)
		if host.IsNotFound(err) {
			return c.answer(http.StatusOK, []obj{})
		} else if err != nil {
			return err
		}
		f.HeadOwner, f.HeadRef = u.ID, ref
	}
	p := c.page()
	f.Limit, f.Offset = p.size, p.offset()
	found, total, err := c.store.Pulls(c.ctx, f)
	if err != nil {
		return err
	}
	c.link(p, total)
	if found, err = c.host.LookAll(c.ctx, c.repo, found); err != nil {
		return err
	}
	ctx := shared(c.ctx)
	list, err := each(found, func(p store.Pull) (obj, error) { return c.simplePull(ctx, c.repo, p) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
}

func (c *call) createPull() error {
	var in struct {
		Title    *string `json:"title"`
		Body     string  `json:"body"`
		Head     string  `json:"head"`
		HeadRepo string  `json:"head_repo"`
		Base     string  `json:"base"`
		Draft    bool    `json:"draft"`
		Modify   *bool   `json:"maintainer_can_modify"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	for field, missing := range map[string]bool{"title": in.Title == nil, "head": in.Head == "", "base": in.Base == ""} {
		if missing {
			return invalid("PullRequest", field, "missing_field", "")
		}
	}
	p, err := c.host.OpenPull(c.ctx, c.repo, c.who, host.NewPull{
		Title: *in.Title, Body: in.Body, Base: in.Base, Head: in.Head, HeadRepo: in.HeadRepo, Draft: in.Draft, CanModify: in.Modify == nil || *in.Modify,
	})
	if errors.Is(err, store.ErrExists) {
		return invalid("PullRequest", "", "custom", "A pull request already exists for "+in.Head+".")
	} else if err != nil {
		return err
	}
	return c.answerPull(http.StatusCreated, p)
}

func (c *call) answerPull(status int, p store.Pull) error {
	o, err := c.pull(c.ctx, c.repo, p)
	if err != nil {
		return err
	}
	return c.answer(status, o)
}

// lookAt returns the pull request of the path, up to date.
func (c *call) lookAt() (store.Pull, error) {
	n, err := c.number("number")
	if err != nil {
		return store.Pull{}, err
	}
	return c.host.Look(c.ctx, c.repo, n)
}

func (c *call) getPull() error {
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	if !c.wantsDiff() {
		return c.answerPull(http.StatusOK, p)
	}
	g, err := c.git()
	if err != nil {
		return err
	}
	common, err := g.MergeBase(c.ctx, p.BaseSHA, p.HeadSHA)
	if err != nil {
		return err
	}
	return c.answerDiff(g, common, p.BaseSHA, p.HeadSHA)
}

// pullInput is what may be changed of a pull request.
type pullInput struct {
	Title  *string `json:"title"`
	Body   *string `json:"body"`
	State  *string `json:"state"`
	Base   *string `json:"base"`
	Modify *bool   `json:"maintainer_can_modify"`
}

func (c *call) updatePull() error {
	var in pullInput
	if err := c.read(&in); err != nil {
		return err
	}
	p, err := c.changePull(in)
	if err != nil {
		return err
	}
	return c.answerPull(http.StatusOK, p)
}

// changePull changes the pull request of the path.
func (c *call) changePull(in pullInput) (store.Pull, error) {
	p, err := c.lookAt()
	if err != nil {
		return p, err
	}
	if err := c.may(authority.ChangePull, p.Author); err != nil {
		return p, err
	}
	if in.State != nil && *in.State != "open" && *in.State != "closed" {
		return p, invalid("PullRequest", "state", "invalid", "")
	}
	if in.Base != nil {
		if err := c.newBase(p, *in.Base); err != nil {
			return p, err
		}
	}
	edited := in.Title != nil || in.Body != nil || in.Base != nil
	if p, err = c.host.EditPull(c.ctx, c.repo, p.Number, func(p *store.Pull) error {
		if in.Base != nil && !p.Open() {
			return invalid("PullRequest", "base", "invalid", "")
		}
		set(&p.Title, in.Title)
		p.Title = host.OneLine(p.Title)
		set(&p.Body, in.Body)
		set(&p.BaseRef, in.Base)
		set(&p.CanModify, in.Modify)
		p.Updated = store.Now()
		return host.CheckText(p.Title, p.Body)
	}); err != nil {
		return p, err
	}
	if in.Base != nil {
		if p, err = c.host.Refresh(c.ctx, c.repo, p.Number, c.who); err != nil {
			return p, err
		}
	}
	if edited {
		c.host.Publish(c.ctx, host.Event{Name: "pull_request", Action: "edited", Repo: c.repo, Sender: c.who, Pull: &p})
	}
	switch {
	case in.State != nil && *in.State == "closed":
		p, err = c.host.ClosePull(c.ctx, c.repo, p.Number, c.who)
	case in.State != nil:
		p, err = c.host.ReopenPull(c.ctx, c.repo, p.Number, c.who)
	}
	return p, err
}

func set[T any](into *T, value *T) {
	if value != nil {
		*into = *value
	}
}

func (c *call) newBase(p store.Pull, base string) error {
	g, err := c.git()
	if err != nil {
		return err
	}
	if git.CheckBranchName(base) != nil {
		return invalid("PullRequest", "base", "invalid", "")
	}
	id, err := g.Head(c.ctx, base)
	if err != nil {
		return err
	}
	if id == "" || !p.Open() {
		return invalid("PullRequest", "base", "invalid", "")
	}
	contained, err := g.IsAncestor(c.ctx, p.HeadSHA, id)
	if err == nil && contained {
		return invalid("PullRequest", "base", "custom", "There are no new commits between base branch '"+base+"' and head branch '"+p.HeadRef+"'")
	}
	return err
}

func (c *call) pullFiles() error {
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	g, err := c.git()
	if err != nil {
		return err
	}
	changes, err := pullChanges(c.ctx, g, p)
	if err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	list, _ := each(cut(c, changes), func(f git.FileChange) (obj, error) { return c.file(at, p.HeadSHA, f), nil })
	return c.answer(http.StatusOK, list)
}

func (c *call) pullCommits() error {
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	g, err := c.git()
	if err != nil {
		return err
	}
	details, err := oldestFirst(c.ctx, g, p.BaseSHA, p.HeadSHA)
	if err != nil {
		return err
	}
	ctx := shared(c.ctx)
	list, err := each(cut(c, details), func(d git.Detail) (obj, error) { return c.commit(ctx, c.repo, d) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
}

func (c *call) mergePull() error {
	var in struct {
		Title   string `json:"commit_title"`
		Message string `json:"commit_message"`
		SHA     string `json:"sha"`
		Method  string `json:"merge_method"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	n, err := c.number("number")
	if err != nil {
		return err
	}
	p, err := c.host.Merge(c.ctx, c.repo, n, c.who, host.MergeOptions{Method: in.Method, SHA: in.SHA, Title: in.Title, Message: in.Message})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, obj{"sha": p.MergeSHA, "merged": true, "message": "Pull Request successfully merged"})
}

func (c *call) updateBranch() error {
	var in struct {
		Expected string `json:"expected_head_sha"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	n, err := c.number("number")
	if err != nil {
		return err
	}
	if err := c.host.UpdateBranch(c.ctx, c.repo, n, c.who, in.Expected); err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	return c.answer(http.StatusAccepted, obj{"message": "Updating pull request branch.", "url": fmt.Sprintf("%s/pulls/%d", c.htmlOf(at), n)})
}
