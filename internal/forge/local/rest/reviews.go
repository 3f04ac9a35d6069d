package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/forge/local/authority"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/store"
)

func (a *API) reviewRoutes() {
	const pull = " /repos/{owner}/{repo}/pulls/{number}"
	a.handle("GET"+pull+"/reviews", (*call).listReviews)
	a.handle("POST"+pull+"/reviews", (*call).createReview)
	a.handle("GET"+pull+"/reviews/{id}", (*call).getReview)
	a.handle("PUT"+pull+"/reviews/{id}", (*call).editReview)
	a.handle("DELETE"+pull+"/reviews/{id}", (*call).deleteReview)
	a.handle("POST"+pull+"/reviews/{id}/events", (*call).submitReview)
	a.handle("PUT"+pull+"/reviews/{id}/dismissals", (*call).dismissReview)
	a.handle("GET"+pull+"/requested_reviewers", (*call).listRequested)
	a.handle("POST"+pull+"/requested_reviewers", (*call).request)
	a.handle("DELETE"+pull+"/requested_reviewers", (*call).request)
}

func (a *API) review(ctx context.Context, repo store.Repository, p store.Pull, r store.Review) (obj, error) {
	at, err := a.placeOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	author, err := a.store.Account(ctx, r.Author)
	if err != nil {
		return nil, err
	}
	association, err := a.association(repo, author)
	if err != nil {
		return nil, err
	}
	pull := fmt.Sprintf("%s/pulls/%d", at, p.Number)
	html := fmt.Sprintf("%s/pull/%d#pullrequestreview-%d", a.htmlOf(at), p.Number, r.ID)
	o := obj{
		"id": r.ID, "node_id": nodeID("PullRequestReview", r.ID), "user": a.user(author), "body": r.Body, "state": r.State, "commit_id": r.SHA,
		"html_url": html, "pull_request_url": pull, "author_association": association,
		"_links": obj{"html": obj{"href": html}, "pull_request": obj{"href": pull}},
	}
	if !r.Submitted.IsZero() {
		o["submitted_at"] = stamp(r.Submitted)
	}
	return o, nil
}

// lookAtReview returns the pull request and the review of the path. A review
// that is pending exists for its author alone.
func (c *call) lookAtReview() (p store.Pull, r store.Review, err error) {
	if p, err = c.lookAt(); err != nil {
		return p, r, err
	}
	id, err := c.number("id")
	if err != nil {
		return p, r, err
	}
	list, err := c.store.Reviews(c.ctx, p.ID)
	if err != nil {
		return p, r, err
	}
	for _, r := range list {
		if r.ID == id && (r.State != store.Pending || r.Author == c.who.ID) {
			return p, r, nil
		}
	}
	return p, r, notFound()
}

func (c *call) answerReview(p store.Pull, r store.Review) error {
	o, err := c.review(c.ctx, c.repo, p, r)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, o)
}

func (c *call) listReviews() error {
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	all, err := c.store.Reviews(c.ctx, p.ID)
	if err != nil {
		return err
	}
	var shown []store.Review
	for _, r := range all {
		if r.State != store.Pending || r.Author == c.who.ID {
			shown = append(shown, r)
		}
	}
	list, err := each(cut(c, shown), func(r store.Review) (obj, error) { return c.review(c.ctx, c.repo, p, r) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
}

func (c *call) getReview() error {
	p, r, err := c.lookAtReview()
	if err != nil {
		return err
	}
	return c.answerReview(p, r)
}

// verdict checks what a review says and returns its state. One with comments on
// lines need not say more.
func (c *call) verdict(p store.Pull, event, body string, lines bool) (string, error) {
	silent := strings.TrimSpace(body) == "" && !lines
	if len([]rune(body)) > host.MaxBody {
		return "", plain("body is too long")
	}
	switch event {
	case "":
		return store.Pending, nil
	case "APPROVE", "REQUEST_CHANGES":
		if p.Author == c.who.ID {
			return "", plain("Review Can not " + strings.ToLower(strings.ReplaceAll(event, "_", " ")) + " your own pull request")
		}
		if event == "APPROVE" {
			pushers, err := c.store.Pushers(c.ctx, p.ID)
			if err != nil {
				return "", err
			}
			if slices.Contains(pushers, c.who.ID) {
				return "", plain("Review Can not approve a pull request whose branch you pushed to")
			}
			return store.Approved, nil
		}
		if silent {
			return "", plain("Review needs a body to request changes")
		}
		return store.ChangesRequested, nil
	case "COMMENT":
		if silent {
			return "", plain("Review needs a body to comment")
		}
		return store.Commented, nil
	}
	return "", plain("event has to be APPROVE, REQUEST_CHANGES or COMMENT")
}

func (c *call) createReview() error {
	var in struct {
		SHA      string      `json:"commit_id"`
		Body     string      `json:"body"`
		Event    string      `json:"event"`
		Comments []lineInput `json:"comments"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	g, err := c.git()
	if err != nil {
		return err
	}
	if in.SHA, err = c.aboutCommit(g, p, in.SHA); err != nil {
		return err
	}
	placed, err := c.placeLines(g, p, in.SHA, in.Comments)
	var wrong *httpError
	if errors.As(err, &wrong) {
		return plain(wrong.text()) // here they are texts
	} else if err != nil {
		return err
	}
	state, err := c.verdict(p, in.Event, in.Body, len(placed) > 0)
	if err != nil {
		return err
	}
	if state == store.Pending {
		all, err := c.store.Reviews(c.ctx, p.ID)
		if err != nil {
			return err
		}
		for _, r := range all {
			if r.State == store.Pending && r.Author == c.who.ID {
				return plain("User can only have one pending review per pull request")
			}
		}
	}
	r := store.Review{Pull: p.ID, Author: c.who.ID, State: state, Body: in.Body, SHA: in.SHA}
	if state != store.Pending {
		r.Submitted = store.Now()
	}
	if err := c.store.AddReview(c.ctx, &r, placed...); err != nil {
		return err
	}
	c.tellReview("submitted", p, r)
	for _, m := range placed {
		if state != store.Pending {
			c.tellLine("created", p, *m, "")
		}
	}
	return c.answerReview(p, r)
}

func (c *call) tellReview(action string, p store.Pull, r store.Review) {
	if r.State != store.Pending {
		c.host.Publish(c.ctx, host.Event{Name: "pull_request_review", Action: action, Repo: c.repo, Sender: c.who, Pull: &p, Review: &r})
	}
}

func (c *call) editReview() error {
	var in struct {
		Body *string `json:"body"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Body == nil || len([]rune(*in.Body)) > host.MaxBody {
		return plain("body is missing or too long")
	}
	return c.changeReview("edited", func(_ store.Pull, r *store.Review) error {
		if r.Author != c.who.ID {
			return &httpError{status: http.StatusForbidden, message: "The review is somebody else's."}
		}
		r.Body = *in.Body
		return nil
	})
}

// changeReview edits the review of the path and answers with it.
func (c *call) changeReview(action string, edit func(store.Pull, *store.Review) error) error {
	p, r, err := c.lookAtReview()
	if err != nil {
		return err
	}
	if r, err = c.store.EditReview(c.ctx, p.ID, r.ID, func(r *store.Review) error { return edit(p, r) }); err != nil {
		return err
	}
	c.tellReview(action, p, r)
	return c.answerReview(p, r)
}

func (c *call) deleteReview() error {
	p, r, err := c.lookAtReview()
	if err != nil {
		return err
	}
	if r.State != store.Pending {
		return plain("Can not delete a non-pending pull request review")
	}
	if err := c.store.DeleteReview(c.ctx, p.ID, r.ID); err != nil {
		return err
	}
	return c.answerReview(p, r)
}

func (c *call) submitReview() error {
	var in struct {
		Body  *string `json:"body"`
		Event string  `json:"event"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Event == "" {
		return plain("event is missing")
	}
	at, mine, err := c.lookAtReview()
	if err != nil {
		return err
	}
	lines, err := c.linesOf(at, mine)
	if err != nil {
		return err
	}
	err = c.changeReview("submitted", func(p store.Pull, r *store.Review) error {
		if r.Author != c.who.ID || r.State != store.Pending {
			return plain("Could not submit: the review is not a pending one of yours")
		}
		set(&r.Body, in.Body)
		state, err := c.verdict(p, in.Event, r.Body, len(lines) > 0)
		if err != nil {
			return err
		}
		r.State, r.Submitted = state, store.Now()
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range lines {
		c.tellLine("created", at, m, "")
	}
	return nil
}

func (c *call) dismissReview() error {
	var in struct {
		Message string `json:"message"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if strings.TrimSpace(in.Message) == "" {
		return plain("message is missing")
	}
	return c.changeReview("dismissed", func(_ store.Pull, r *store.Review) error {
		if r.State != store.Approved && r.State != store.ChangesRequested {
			return plain("Can not dismiss a review that neither approves nor requests changes")
		}
		r.State = store.Dismissed
		return nil
	})
}

func (c *call) listRequested() error {
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	asked, err := c.store.RequestedReviewers(c.ctx, p.ID)
	if err != nil {
		return err
	}
	users, _ := each(asked, func(u store.Account) (obj, error) { return c.user(u), nil })
	return c.answer(http.StatusOK, obj{"users": users, "teams": []obj{}})
}

// request asks for reviews, or takes that back.
func (c *call) request() error {
	var in struct {
		Reviewers []string `json:"reviewers"`
		Teams     []string `json:"team_reviewers"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	if err := c.may(authority.AskForReview, p.Author); err != nil {
		return err
	}
	if len(in.Teams) > 0 || len(in.Reviewers) > 15 {
		return plain("There are no teams here, and at most 15 reviewers")
	}
	var users []store.Account
	for _, login := range in.Reviewers {
		u, err := c.store.AccountByLogin(c.ctx, login)
		if errors.Is(err, store.ErrNotFound) || (err == nil && u.Kind != store.User) {
			return plain("Reviews may only be requested from collaborators. " + login + " is not one.")
		} else if err != nil {
			return err
		}
		if u.ID == p.Author {
			return plain("Review cannot be requested from pull request author.")
		}
		users = append(users, u)
	}
	status, action, change := http.StatusCreated, "review_requested", c.store.RequestReview
	if c.r.Method == http.MethodDelete {
		status, action, change = http.StatusOK, "review_request_removed", c.store.UnrequestReview
	}
	for _, u := range users {
		if err := change(c.ctx, p.ID, u.ID); err != nil {
			return err
		}
		c.host.Publish(c.ctx, host.Event{Name: "pull_request", Action: action, Repo: c.repo, Sender: c.who, Pull: &p, Asked: &u})
	}
	o, err := c.simplePull(c.ctx, c.repo, p)
	if err != nil {
		return err
	}
	return c.answer(status, o)
}
