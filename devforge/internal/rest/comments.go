package rest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
)

func (a *API) commentRoutes() {
	const issues = " /repos/{owner}/{repo}/issues"
	a.handle("GET"+issues+"/{number}/comments", (*call).listComments)
	a.handle("POST"+issues+"/{number}/comments", (*call).createComment)
	a.handle("PATCH"+issues+"/comments/{id}", (*call).editComment)
	a.handle("POST"+issues+"/{number}/labels", (*call).addLabels)
	a.handle("DELETE"+issues+"/{number}/labels/{name...}", (*call).removeLabel)
}

func (a *API) comment(ctx context.Context, repo store.Repository, m store.Comment) (obj, error) {
	at, err := a.placeOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	author, err := a.store.Account(ctx, m.Author)
	if err != nil {
		return nil, err
	}
	association, err := a.association(repo, author)
	return obj{
		"id": m.ID, "node_id": nodeID("IssueComment", m.ID), "url": fmt.Sprintf("%s/issues/comments/%d", at, m.ID), "body": m.Body, "user": a.user(author),
		"html_url": fmt.Sprintf("%s/pull/%d#issuecomment-%d", a.htmlOf(at), m.Number, m.ID), "issue_url": fmt.Sprintf("%s/issues/%d", at, m.Number),
		"created_at": stamp(m.Created), "updated_at": stamp(m.Updated), "author_association": association, "performed_via_github_app": nil,
	}, err
}

func (c *call) listComments() error {
	n, err := c.number("number")
	if err != nil {
		return err
	}
	if _, err := c.store.Pull(c.ctx, c.repo.ID, n); err != nil {
		return err
	}
	var since time.Time
	if s := c.r.URL.Query().Get("since"); s != "" {
		if since, err = time.Parse(time.RFC3339, s); err != nil {
			return invalid("IssueComment", "since", "invalid", "")
		}
	}
	all, err := c.store.Comments(c.ctx, c.repo.ID, n, since)
	if err != nil {
		return err
	}
	list, err := each(cut(c, all), func(m store.Comment) (obj, error) { return c.comment(c.ctx, c.repo, m) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
}

// readBody reads the text of a comment.
func (c *call) readBody() (string, error) {
	var in struct {
		Body *string `json:"body"`
	}
	if err := c.read(&in); err != nil {
		return "", err
	}
	switch {
	case in.Body == nil:
		return "", invalid("IssueComment", "body", "missing_field", "")
	case strings.TrimSpace(*in.Body) == "":
		return "", invalid("IssueComment", "body", "custom", "body can't be blank")
	case len([]rune(*in.Body)) > host.MaxBody:
		return "", invalid("IssueComment", "body", "custom", fmt.Sprintf("body is too long (maximum is %d characters)", host.MaxBody))
	}
	return *in.Body, nil
}

func (c *call) createComment() error {
	body, err := c.readBody()
	if err != nil {
		return err
	}
	n, err := c.number("number")
	if err != nil {
		return err
	}
	p, err := c.store.Pull(c.ctx, c.repo.ID, n)
	if err != nil {
		return err
	}
	m := store.Comment{Repository: c.repo.ID, Number: n, Author: c.who.ID, Body: body}
	if err := c.store.AddComment(c.ctx, &m); err != nil {
		return err
	}
	c.host.Publish(c.ctx, host.Event{Name: "issue_comment", Action: "created", Repo: c.repo, Sender: c.who, Pull: &p, Comment: &m})
	return c.answerComment(http.StatusCreated, m)
}

func (c *call) answerComment(status int, m store.Comment) error {
	o, err := c.comment(c.ctx, c.repo, m)
	if err != nil {
		return err
	}
	return c.answer(status, o)
}

func (c *call) editComment() error {
	body, err := c.readBody()
	if err != nil {
		return err
	}
	id, err := c.number("id")
	if err != nil {
		return err
	}
	m, err := c.store.Comment(c.ctx, c.repo.ID, id)
	if err != nil {
		return err
	}
	if err := c.may(authority.ChangeComment, m.Author); err != nil {
		return err
	}
	before := m.Body
	m.Body = body
	if err := c.store.PutComment(c.ctx, &m); err != nil {
		return err
	}
	if before != body {
		p, err := c.store.Pull(c.ctx, c.repo.ID, m.Number)
		if err != nil {
			return err
		}
		c.host.Publish(c.ctx, host.Event{Name: "issue_comment", Action: "edited", Repo: c.repo, Sender: c.who, Pull: &p, Comment: &m, Before: before})
	}
	return c.answerComment(http.StatusOK, m)
}

// issue renders a pull request as an issue.
func (a *API) issue(ctx context.Context, repo store.Repository, p store.Pull) (obj, error) {
	pull, err := a.simplePull(ctx, repo, p)
	if err != nil {
		return nil, err
	}
	at, err := a.placeOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	count, err := a.store.Comments(ctx, repo.ID, p.Number, time.Time{})
	if err != nil {
		return nil, err
	}
	self := fmt.Sprintf("%s/issues/%d", at, p.Number)
	issue := obj{"url": self, "repository_url": at, "labels_url": self + "/labels{/name}", "comments_url": self + "/comments", "events_url": self + "/events",
		"comments": len(count), "reactions": reactions(self), "state_reason": nil, "timeline_url": self + "/timeline", "performed_via_github_app": nil,
		"pull_request": obj{"url": pull["url"], "html_url": pull["html_url"], "diff_url": pull["diff_url"], "patch_url": pull["patch_url"], "merged_at": pull["merged_at"]}}
	for _, same := range []string{"html_url", "id", "node_id", "number", "title", "user", "labels", "state", "locked", "assignee", "assignees", "milestone",
		"created_at", "updated_at", "closed_at", "author_association", "active_lock_reason", "body", "draft"} {
		issue[same] = pull[same]
	}
	return issue, nil
}

// reactions are none, to what is at an address.
func reactions(to string) obj {
	r := obj{"url": to + "/reactions", "total_count": 0}
	for _, kind := range []string{"+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"} {
		r[kind] = 0
	}
	return r
}
