package pulls

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// pull looks at one pull request, whatever its state.
func (c *Controller) pull(ctx context.Context, number int) error {
	pr, err := c.o.Forge.PullRequest(ctx, number)
	if errors.Is(err, forge.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c.note(pr)
	switch {
	case pr.State == forge.Open:
		return c.openPull(ctx, pr)
	case pr.Merged:
		c.queue.Add(key{kind: keyMerged, number: number})
		return errors.Join(c.over(ctx, pr, "the pull request was merged"), c.revertAsked(ctx, pr))
	default:
		return c.over(ctx, pr, "the pull request was closed")
	}
}

// over ends the checks of a pull request that is not open any more. What is
// said about its head is said anew for another one with the same.
func (c *Controller) over(ctx context.Context, pr forge.PullRequest, why string) error {
	runs, err := c.checks(ctx, pr.Number)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if !r.State.Final() {
			if err := c.o.Engine.Supersede(ctx, r.ID, why); err != nil {
				return err
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, other := range c.open {
		if other.Head.Commit == pr.Head.Commit {
			c.queue.Add(key{kind: keyPull, number: n})
		}
	}
	return nil
}

// checks are the newest checks of a pull request, the newest first.
func (c *Controller) checks(ctx context.Context, number int) ([]model.Run, error) {
	return c.o.Engine.Runs(ctx, model.RunFilter{Kind: model.CheckPull, Pull: number, Limit: 20})
}

// openPull has an open pull request checked, unless just this was, and reports
// what is known.
func (c *Controller) openPull(ctx context.Context, pr forge.PullRequest) error {
	ctx = askingOnce(ctx)
	if err := c.seen(ctx, pr); err != nil {
		return err
	}
	if err := c.o.Repository.FetchPull(ctx, pr.Number, pr.Head.Commit); err != nil {
		return err
	}
	base, err := c.o.Repository.Head(ctx, pr.Base.Branch)
	if err != nil || base == "" {
		return err // the forge closes what has no base any more
	}
	now, err := c.o.Repository.Now(ctx)
	if err != nil && (ctx.Err() != nil || pr.Base.Branch != now.Branch) {
		return c.unreadable(ctx, pr, base, err)
	}
	env, ok := now.EnvironmentOfBranch(pr.Base.Branch)
	if !ok && pr.Base.Branch != now.Branch {
		return nil // work among people, with which hubship has nothing to do
	}
	runs, err := c.checks(ctx, pr.Number)
	if err != nil {
		return err
	}
	want, err := c.wanted(ctx, pr, base, now)
	if err != nil {
		return err
	}
	talk, err := c.talkAbout(ctx, pr)
	if err != nil {
		return err
	}
	current, cause := choose(runs, want, talk.again)
	if cause != "" {
		if current, err = c.check(ctx, runs, want, cause); err != nil {
			return err
		}
	}
	if err := c.report(ctx, pr, current); err != nil {
		return err
	}
	if env.After != "" {
		c.queue.Add(key{kind: keyPromotion, name: env.Name})
	}
	return c.mergeByItself(ctx, pr, now, current)
}

// seen says at once that a head which nobody has seen before is looked at.
func (c *Controller) seen(ctx context.Context, pr forge.PullRequest) error {
	at := statusKey(pr.Head.Commit, forge.Status{Context: statusOf(model.PartPolicy)})
	if digest, _, err := c.o.Reports.Reported(ctx, at); err != nil || digest != "" {
		return err
	}
	now, err := c.o.Repository.Now(ctx)
	if err != nil && pr.Base.Branch != now.Branch {
		return ctx.Err() // told below
	}
	if _, drives := now.EnvironmentOfBranch(pr.Base.Branch); !drives && pr.Base.Branch != now.Branch {
		return nil
	}
	return c.status(ctx, pr.Head.Commit, forge.Status{State: forge.Pending, Context: statusOf(model.PartPolicy), Description: "hubship is looking at the change"})
}

// unreadable says that no process holds, so that nothing can be judged.
func (c *Controller) unreadable(ctx context.Context, pr forge.PullRequest, base string, why error) error {
	if ctx.Err() != nil {
		return why
	}
	return c.status(ctx, pr.Head.Commit, forge.Status{State: forge.Errored, Context: statusOf(model.PartPolicy), Description: describe(why), Base: c.merging(pr.Base.Branch, base)})
}

// wanted is what a check of the pull request would be about now.
func (c *Controller) wanted(ctx context.Context, pr forge.PullRequest, base string, now model.Process) (model.PullRequest, error) {
	want := model.PullRequest{
		Number: pr.Number, Title: pr.Title, Author: pr.Author, URL: pr.URL,
		Head: pr.Head.Commit, HeadOwner: pr.Head.Repository.Owner, HeadBranch: pr.Head.Branch, Fork: pr.FromFork(),
		Base: pr.Base.Branch, BaseCommit: base, Decides: pr.Base.Branch == now.Branch,
	}
	waitsFor, err := c.awaitingApproval(ctx, pr)
	if err != nil {
		return want, err
	}
	want.AwaitingApproval, want.Trusted = waitsFor, waitsFor == ""
	return want, nil
}

// choose returns the check that says what is wanted or, with a cause, that a
// new one is needed. A check that was interrupted for good is made again.
func choose(runs []model.Run, want model.PullRequest, again func(model.Run) string) (model.Run, string) {
	for _, r := range runs {
		if r.Pull == nil || r.State == model.Superseded {
			continue
		}
		switch {
		case !r.Pull.Tried(want):
			return model.Run{}, changed(r.Pull.PullRequest, want)
		case again(r) != "":
			return model.Run{}, again(r)
		case interrupted(r) && tries(runs, want) < maxTries:
			return model.Run{}, "again, after it was interrupted"
		}
		return r, ""
	}
	return model.Run{}, fmt.Sprintf("pull request #%d by %s", want.Number, want.Author)
}

// maxTries bounds how often one check begins by itself.
const maxTries = 3

// interrupted says that a check ended without an answer, and not by a person.
func interrupted(r model.Run) bool {
	if r.State != model.FailedRun {
		return false
	}
	for _, p := range r.Pull.Parts {
		if !p.State.Final() || p.State == model.PartErrored {
			return true
		}
	}
	return false
}

func tries(runs []model.Run, want model.PullRequest) int {
	n := 0
	for _, r := range runs {
		if r.Pull != nil && r.Pull.Tried(want) {
			n++
		}
	}
	return n
}

// changed is the cause of a new check.
func changed(was, want model.PullRequest) string {
	switch {
	case was.Head != want.Head:
		return "push to " + strings.TrimPrefix(want.HeadOwner+":", ":") + want.HeadBranch
	case was.Base != want.Base:
		return "the base is now " + want.Base
	case was.BaseCommit != want.BaseCommit:
		return "push to " + want.Base
	default:
		return "approved to run"
	}
}

// check starts a check and ends those that it makes needless.
func (c *Controller) check(ctx context.Context, runs []model.Run, want model.PullRequest, cause string) (model.Run, error) {
	for _, r := range runs {
		if r.State.Final() {
			continue
		}
		if err := c.o.Engine.Supersede(ctx, r.ID, "superseded: "+cause); err != nil {
			return model.Run{}, err
		}
	}
	return c.o.Engine.Check(ctx, want, cause)
}
