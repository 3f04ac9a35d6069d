package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// branches of the demo's own changes begin so.
const branches = "demo/"

// tidy closes what a demo that ended half-way left open.
func (p *scenario) tidy(ctx context.Context) error {
	open, err := p.contributor.PullRequests(ctx, forge.Filter{Base: p.fromBranch()})
	if err != nil {
		return err
	}
	for _, pr := range open {
		if pr.Author != Contributor || !strings.HasPrefix(pr.Head.Branch, branches) {
			continue
		}
		closed := forge.Closed
		if _, err := p.contributor.Update(ctx, pr.Number, forge.Change{State: &closed}); err != nil {
			return err
		}
		p.Reporter.Say("closed #%d of an earlier demo", pr.Number)
	}
	return nil
}

// propose opens a pull request from the contributor's fork.
func (p *scenario) propose(ctx context.Context, d *workspace, title string) (forge.PullRequest, error) {
	pr, err := p.contributor.Open(ctx, forge.NewPullRequest{
		Title: title, Body: "For a class on Monday.", Head: Contributor + ":" + d.branch, Base: p.fromBranch(),
	})
	if err != nil {
		return pr, err
	}
	p.res.Pulls = append(p.res.Pulls, pr.Number)
	p.Reporter.Say("pull request #%d: %s", pr.Number, pr.URL)
	return pr, nil
}

// checked follows the check of a pull request's head to its end. What a
// stranger proposes waits for somebody who may write: the reviewer reads it and
// lets it run.
func (p *scenario) checked(ctx context.Context, number int, head string, s *Step) (model.Run, error) {
	trusted := false
	for {
		r, err := p.checkOf(ctx, number, head, trusted)
		if err != nil {
			return r, err
		}
		if r, err = p.follow(ctx, r, s); err != nil {
			return r, err
		}
		switch {
		case r.State == model.Superseded:
			continue // the base moved meanwhile
		case r.State == model.Refused && r.Pull.AwaitingApproval != "" && !trusted:
			trusted = true
			p.Reporter.Say("%s", r.Pull.AwaitingApproval)
			if err := p.claim(!r.Pull.Part(model.PartTests).State.Final() && !r.Pull.Part(model.PartImages).State.Final(),
				"nothing in a first-time contributor's change runs"); err != nil {
				return r, err
			}
			p.Reporter.Say("%s has read it and lets it run, only at this commit", Reviewer)
			if _, err := p.reviewer.Comment(ctx, number, "/hubship approve "+head); err != nil {
				return r, err
			}
		default:
			return r, nil
		}
	}
}

// checkOf waits for a check of a pull request at a head.
func (p *scenario) checkOf(ctx context.Context, number int, head string, trusted bool) (model.Run, error) {
	var found model.Run
	err := until(ctx, fmt.Sprintf("a check of #%d", number), func() (bool, error) {
		runs, err := p.Server.Runs(ctx, model.RunFilter{Kind: model.CheckPull, Pull: number, Limit: 10})
		for _, r := range runs {
			if r.Pull != nil && r.Pull.Head == head && r.State != model.Superseded && (r.Pull.Trusted || !trusted) {
				found = r
				return true, err
			}
		}
		return false, err
	})
	return found, err
}

// states waits until statuses of a commit have a state.
func (p *scenario) states(ctx context.Context, commit, state string, names ...string) error {
	var missing string
	err := until(ctx, fmt.Sprintf("%s at %.12s", strings.Join(names, ", "), commit), func() (bool, error) {
		list, err := p.contributor.Statuses(ctx, commit)
		if err != nil {
			return false, err
		}
		is := map[string]string{}
		for _, s := range list {
			is[s.Context] = s.State
		}
		for _, name := range names {
			if is[name] != state {
				missing = fmt.Sprintf("%s is %q", name, is[name])
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, missing)
	}
	return p.claim(true, "%s: %s", strings.Join(names, ", "), state)
}

// told waits for a comment of hubship's that has a text.
func (p *scenario) told(ctx context.Context, number int, text string) error {
	err := until(ctx, fmt.Sprintf("a comment on #%d that says %q", number, text), func() (bool, error) {
		list, err := p.contributor.Comments(ctx, number)
		for _, c := range list {
			if c.Author != Contributor && c.Author != Reviewer && strings.Contains(c.Body, text) {
				return true, err
			}
		}
		return false, err
	})
	if err != nil {
		return err
	}
	return p.claim(true, "a comment on #%d says: %s", number, text)
}

// mergeRefused checks that the forge does not let a pull request be merged.
func (p *scenario) mergeRefused(ctx context.Context, as forge.Participant, who string, pr forge.PullRequest, why string) error {
	_, err := as.Merge(ctx, pr.Number, forge.Merge{Head: pr.Head.Commit})
	if err != nil && !errors.Is(err, forge.ErrForbidden) && !errors.Is(err, forge.ErrConflict) && !errors.Is(err, forge.ErrInvalid) && !errors.Is(err, forge.ErrNotFound) {
		return err
	}
	return p.claim(err != nil, "%s cannot merge #%d: %s", who, pr.Number, why)
}

// review approves a pull request as the reviewer and merges it.
func (p *scenario) review(ctx context.Context, number int, approve bool) (merge string, err error) {
	pr, err := p.reviewer.PullRequest(ctx, number)
	if err != nil {
		return "", err
	}
	if approve {
		if _, err := p.reviewer.Review(ctx, number, forge.NewReview{State: forge.Approved, Commit: pr.Head.Commit, Body: "Thank you!"}); err != nil {
			return "", err
		}
	}
	if merge, err = p.reviewer.Merge(ctx, number, forge.Merge{Head: pr.Head.Commit}); err != nil {
		return "", err
	}
	p.Reporter.Say("merged #%d into %s as %.10s", number, pr.Base.Branch, merge)
	return merge, nil
}

// found waits for an open pull request into a branch whose head is a branch of
// the same repository.
func (p *scenario) found(ctx context.Context, base, head string) (forge.PullRequest, error) {
	var pr forge.PullRequest
	err := until(ctx, fmt.Sprintf("a pull request from %s to %s", head, base), func() (bool, error) {
		list, err := p.reviewer.PullRequests(ctx, forge.Filter{Base: base})
		for _, one := range list {
			if !one.FromFork() && strings.HasPrefix(one.Head.Branch, head) {
				pr = one
				return true, err
			}
		}
		return false, err
	})
	return pr, err
}
