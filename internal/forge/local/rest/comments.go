package rest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/forge/local/authority"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/store"
)

func (a *API) commentRoutes() {
	const issues = " /repos/{owner}/{repo}/issues"
	a.handle("GET"+issues+"/{a}/{b}", (*call).issuePath)
	a.handle("DELETE"+issues+"/{a}/{b}", (*call).issuePath)
	a.handle("GET"+issues, (*call).listIssues)
	a.handle("GET"+issues+"/{number}", (*call).getIssue)
	a.handle("PATCH"+issues+"/{number}", (*call).updateIssue)
	a.handle("GET /repos/{owner}/{repo}/labels", (*call).listLabels)
	a.handle("GET /repos/{owner}/{repo}/labels/{name...}", (*call).getLabel)
	a.handle("POST /repos/{owner}/{repo}/labels", (*call).createLabel)
	a.handle("POST"+issues+"/{number}/comments", (*call).createComment)
	a.handle("PATCH"+issues+"/comments/{id}", (*call).editComment)
	a.handle("POST"+issues+"/{number}/labels", (*call).labels)
	a.handle("PUT"+issues+"/{number}/labels", (*call).labels)
	a.handle("DELETE"+issues+"/{number}/labels/{name...}", (*call).labels)
}

// issuePath tells issues/NUMBER/comments from issues/comments/ID, which the
// patterns of a mux cannot.
func (c *call) issuePath() error {
	first, second := c.r.PathValue("a"), c.r.PathValue("b")
	get := c.r.Method == http.MethodGet
	if first == "comments" {
		c.r.SetPathValue("id", second)
		if get {
			return c.getComment()
		}
		return c.deleteComment()
	}
	c.r.SetPathValue("number", first)
	switch {
	case second == "labels":
		return c.labels()
	case second == "comments" && get:
		return c.listComments()
	}
	return notFound()
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

func (c *call) commentOf() (store.Comment, error) {
	id, err := c.number("id")
	if err != nil {
		return store.Comment{}, err
	}
	return c.store.Comment(c.ctx, c.repo.ID, id)
}

func (c *call) getComment() error {
	m, err := c.commentOf()
	if err != nil {
		return err
	}
	return c.answerComment(http.StatusOK, m)
}

// ownComment returns a comment that the caller may change: theirs, or any for
// a maintainer.
func (c *call) ownComment() (store.Comment, error) {
	m, err := c.commentOf()
	if err == nil {
		err = c.may(authority.ChangeComment, m.Author)
	}
	return m, err
}

func (c *call) editComment() error {
	body, err := c.readBody()
	if err != nil {
		return err
	}
	m, err := c.ownComment()
	if err != nil {
		return err
	}
	before := m.Body
	m.Body = body
	if err := c.store.PutComment(c.ctx, &m); err != nil {
		return err
	}
	if before != body {
		if err := c.tellComment("edited", m, before); err != nil {
			return err
		}
	}
	return c.answerComment(http.StatusOK, m)
}

func (c *call) deleteComment() error {
	m, err := c.ownComment()
	if err != nil {
		return err
	}
	if err := c.store.DeleteComment(c.ctx, c.repo.ID, m.ID); err != nil {
		return err
	}
	if err := c.tellComment("deleted", m, ""); err != nil {
		return err
	}
	return c.none()
}

func (c *call) tellComment(action string, m store.Comment, before string) error {
	p, err := c.store.Pull(c.ctx, c.repo.ID, m.Number)
	if err != nil {
		return err
	}
	c.host.Publish(c.ctx, host.Event{Name: "issue_comment", Action: action, Repo: c.repo, Sender: c.who, Pull: &p, Comment: &m, Before: before})
	return nil
}

// getIssue shows a pull request as the issue that it is on GitHub.
func (c *call) getIssue() error {
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	return c.answerIssue(p)
}

// listIssues lists pull requests as issues; there are no others here.
func (c *call) listIssues() error {
	q := c.r.URL.Query()
	f := store.PullFilter{Repository: c.repo.ID, State: cmp.Or(q.Get("state"), "open"), Sort: q.Get("sort"), Ascending: q.Get("direction") == "asc"}
	if !slices.Contains([]string{"open", "closed", "all"}, f.State) {
		return invalid("Issue", "state", "invalid", "")
	}
	var since time.Time
	if s := q.Get("since"); s != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, s); err != nil {
			return invalid("Issue", "since", "invalid", "")
		}
	}
	var author int64
	if login := q.Get("creator"); login != "" {
		u, err := c.store.AccountByLogin(c.ctx, login)
		if host.IsNotFound(err) {
			return c.answer(http.StatusOK, []obj{})
		} else if err != nil {
			return err
		}
		author = u.ID
	}
	all, _, err := c.store.Pulls(c.ctx, f)
	if err != nil {
		return err
	}
	wanted := strings.FieldsFunc(q.Get("labels"), func(r rune) bool { return r == ',' })
	var found []store.Pull
	for _, p := range all {
		if p.Updated.Before(since) || author != 0 && p.Author != author {
			continue
		}
		carries, err := c.carries(p, wanted)
		if err != nil {
			return err
		}
		if carries {
			found = append(found, p)
		}
	}
	ctx := shared(c.ctx)
	list, err := each(cut(c, found), func(p store.Pull) (obj, error) { return c.issue(ctx, c.repo, p) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
}

// carries says whether a pull request has all of the labels.
func (c *call) carries(p store.Pull, names []string) (bool, error) {
	if len(names) == 0 {
		return true, nil
	}
	has, err := c.store.PullLabels(c.ctx, p.ID)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if !slices.ContainsFunc(has, func(l store.Label) bool { return strings.EqualFold(l.Name, strings.TrimSpace(name)) }) {
			return false, nil
		}
	}
	return true, nil
}

// updateIssue changes a pull request as the issue that it is on GitHub.
func (c *call) updateIssue() error {
	var in struct {
		Title  *string            `json:"title"`
		Body   *string            `json:"body"`
		State  *string            `json:"state"`
		Labels *[]json.RawMessage `json:"labels"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	var names []string
	if in.Labels != nil {
		if err := c.may(authority.ChangeLabels, 0); err != nil {
			return err
		}
		var err error
		if names, err = labelNames(*in.Labels); err != nil {
			return err
		}
	}
	p, err := c.changePull(pullInput{Title: in.Title, Body: in.Body, State: in.State})
	if err != nil {
		return err
	}
	if in.Labels != nil {
		before, err := c.store.PullLabels(c.ctx, p.ID)
		if err == nil {
			err = c.giveLabels(p, names, true)
		}
		if err == nil {
			err = c.tellLabels(p.Number, before)
		}
		if err != nil {
			return err
		}
	}
	return c.answerIssue(p)
}

// answerIssue answers with one pull request as an issue, which says more than
// those of a list.
func (c *call) answerIssue(p store.Pull) error {
	o, err := c.issue(c.ctx, c.repo, p)
	if err != nil {
		return err
	}
	if o["closed_by"], err = c.userByID(c.ctx, mergedBy(p)); err != nil {
		return err
	}
	return c.answer(http.StatusOK, o)
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

func (c *call) listLabels() error {
	all, err := c.store.Labels(c.ctx, c.repo.ID)
	if err != nil {
		return err
	}
	return showPage(c, all, func(at string, l store.Label) (obj, error) { return label(at, l), nil })
}

func (c *call) getLabel() error {
	all, err := c.store.Labels(c.ctx, c.repo.ID)
	if err != nil {
		return err
	}
	for _, l := range all {
		if strings.EqualFold(l.Name, c.r.PathValue("name")) {
			return c.show(http.StatusOK, func(at string) (obj, error) { return label(at, l), nil })
		}
	}
	return notFound()
}

var color = regexp.MustCompile(`^[0-9a-fA-F]{6}$`)

func (c *call) createLabel() error {
	var in struct {
		Name        string  `json:"name"`
		Color       *string `json:"color"`
		Description *string `json:"description"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	l := store.Label{Repository: c.repo.ID, Name: strings.TrimSpace(in.Name), Color: "ededed"}
	set(&l.Color, in.Color)
	set(&l.Description, in.Description)
	switch {
	case l.Name == "" || len([]rune(l.Name)) > 50:
		return invalid("Label", "name", "invalid", "")
	case !color.MatchString(l.Color):
		return invalid("Label", "color", "invalid", "")
	case len([]rune(l.Description)) > 100:
		return invalid("Label", "description", "custom", "description is too long (maximum is 100 characters)")
	}
	if err := c.store.AddLabel(c.ctx, &l); errors.Is(err, store.ErrExists) {
		return invalid("Label", "name", "already_exists", "")
	} else if err != nil {
		return err
	}
	return c.show(http.StatusCreated, func(at string) (obj, error) { return label(at, l), nil })
}

// labels lists, adds, replaces and removes the labels of a pull request.
func (c *call) labels() error {
	n, err := c.number("number")
	if err != nil {
		return err
	}
	p, err := c.store.Pull(c.ctx, c.repo.ID, n)
	if err != nil {
		return err
	}
	if c.r.Method != http.MethodGet {
		if err := c.may(authority.ChangeLabels, 0); err != nil {
			return err
		}
		before, err := c.store.PullLabels(c.ctx, p.ID)
		if err != nil {
			return err
		}
		if err := c.changeLabels(p); err != nil {
			return err
		}
		if err := c.tellLabels(p.Number, before); err != nil {
			return err
		}
	}
	if c.r.Method == http.MethodDelete && c.r.PathValue("name") == "" {
		return c.none()
	}
	carried, err := c.store.PullLabels(c.ctx, p.ID)
	if err != nil {
		return err
	}
	return showPage(c, carried, func(at string, l store.Label) (obj, error) { return label(at, l), nil })
}

// tellLabels tells what labels a pull request got and lost.
func (c *call) tellLabels(number int64, before []store.Label) error {
	p, err := c.store.Pull(c.ctx, c.repo.ID, number)
	if err != nil {
		return err
	}
	after, err := c.store.PullLabels(c.ctx, p.ID)
	if err != nil {
		return err
	}
	for action, lists := range map[string][2][]store.Label{"labeled": {after, before}, "unlabeled": {before, after}} {
		for _, l := range lists[0] {
			if !slices.Contains(lists[1], l) {
				c.host.Publish(c.ctx, host.Event{Name: "pull_request", Action: action, Repo: c.repo, Sender: c.who, Pull: &p, Label: &l})
			}
		}
	}
	return nil
}

func (c *call) changeLabels(p store.Pull) error {
	if c.r.Method == http.MethodDelete {
		name := c.r.PathValue("name")
		carried, err := c.store.PullLabels(c.ctx, p.ID)
		if err != nil {
			return err
		}
		for _, l := range carried {
			if name == "" || strings.EqualFold(l.Name, name) {
				return c.store.RemovePullLabel(c.ctx, p.ID, name)
			}
		}
		if name == "" {
			return nil
		}
		return &httpError{status: http.StatusNotFound, message: "Label does not exist"}
	}
	names, err := c.readLabels()
	if err != nil {
		return err
	}
	return c.giveLabels(p, names, c.r.Method == http.MethodPut)
}

// giveLabels adds labels to a pull request, or replaces those that it has.
func (c *call) giveLabels(p store.Pull, names []string, replace bool) error {
	if replace {
		if err := c.store.RemovePullLabel(c.ctx, p.ID, ""); err != nil {
			return err
		}
	}
	for _, name := range names {
		l, err := c.store.EnsureLabel(c.ctx, c.repo.ID, name)
		if err == nil {
			err = c.store.AddPullLabel(c.ctx, p.ID, l.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readLabels reads {"labels": [...]} or the list alone, of names or of objects
// with a name.
func (c *call) readLabels() ([]string, error) {
	var raw json.RawMessage
	if err := c.read(&raw); err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		var whole struct {
			Labels []json.RawMessage `json:"labels"`
		}
		if err := json.Unmarshal(raw, &whole); err != nil {
			return nil, invalid("Label", "labels", "invalid", "")
		}
		list = whole.Labels
	}
	return labelNames(list)
}

// labelNames are those of labels that are names or objects with a name.
func labelNames(list []json.RawMessage) ([]string, error) {
	if len(list) > 100 {
		return nil, invalid("Label", "labels", "invalid", "")
	}
	names := make([]string, 0, len(list))
	for _, item := range list {
		var name string
		if err := json.Unmarshal(item, &name); err != nil {
			var label struct {
				Name string `json:"name"`
			}
			if err := json.Unmarshal(item, &label); err != nil {
				return nil, invalid("Label", "labels", "invalid", "")
			}
			name = label.Name
		}
		if strings.TrimSpace(name) == "" || len([]rune(name)) > 50 {
			return nil, invalid("Label", "name", "invalid", "")
		}
		names = append(names, name)
	}
	return names, nil
}
