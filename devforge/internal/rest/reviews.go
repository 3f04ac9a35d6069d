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
)

func (a *API) reviewRoutes() {
	const pull = " /repos/{owner}/{repo}/pulls/{number}"
	a.handle("GET"+pull+"/reviews", (*call).listReviews)
	a.handle("POST"+pull+"/reviews", (*call).createReview)
	a.handle("PUT"+pull+"/reviews/{id}/dismissals", (*call).dismissReview)
	a.handle("POST"+pull+"/requested_reviewers", (*call).request)
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
	return obj{
		"id": r.ID, "node_id": nodeID("PullRequestReview", r.ID), "user": a.user(author), "body": r.Body, "state": r.State, "commit_id": r.SHA,
		"html_url": html, "pull_request_url": pull, "author_association": association, "submitted_at": stamp(r.Submitted),
		"_links": obj{"html": obj{"href": html}, "pull_request": obj{"href": pull}},
	}, nil
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
	list, err := each(cut(c, all), func(r store.Review) (obj, error) { return c.review(c.ctx, c.repo, p, r) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
}

// verdict checks what a review says and returns its state. One with comments on
// lines need not say more.
func (c *call) verdict(p store.Pull, event, body string, lines bool) (string, error) {
	silent := strings.TrimSpace(body) == "" && !lines
	if len([]rune(body)) > host.MaxBody {
		return "", plain("body is too long")
	}
	switch event {
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
	return "", plain("event must be APPROVE, REQUEST_CHANGES or COMMENT")
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
	r := store.Review{Pull: p.ID, Author: c.who.ID, State: state, Body: in.Body, SHA: in.SHA, Submitted: store.Now()}
	if err := c.store.AddReview(c.ctx, &r, placed...); err != nil {
		return err
	}
	c.tellReview("submitted", p, r)
	for _, m := range placed {
		c.tellLine("created", p, *m, "")
	}
	return c.answerReview(p, r)
}

func (c *call) tellReview(action string, p store.Pull, r store.Review) {
	c.host.Publish(c.ctx, host.Event{Name: "pull_request_review", Action: action, Repo: c.repo, Sender: c.who, Pull: &p, Review: &r})
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
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	id, err := c.number("id")
	if err != nil {
		return err
	}
	r, err := c.store.EditReview(c.ctx, p.ID, id, func(r *store.Review) error {
		if r.State != store.Approved && r.State != store.ChangesRequested {
			return plain("Can not dismiss a review that neither approves nor requests changes")
		}
		r.State = store.Dismissed
		return nil
	})
	if err != nil {
		return err
	}
	c.tellReview("dismissed", p, r)
	return c.answerReview(p, r)
}

// request asks for reviews.
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
		return plain("This forge has no teams, and at most 15 reviewers can be requested")
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
	for _, u := range users {
		if err := c.store.RequestReview(c.ctx, p.ID, u.ID); err != nil {
			return err
		}
		c.host.Publish(c.ctx, host.Event{Name: "pull_request", Action: "review_requested", Repo: c.repo, Sender: c.who, Pull: &p, Asked: &u})
	}
	o, err := c.simplePull(c.ctx, c.repo, p)
	if err != nil {
		return err
	}
	return c.answer(http.StatusCreated, o)
}
