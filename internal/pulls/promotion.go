package pulls

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/report"
)

// statusPromotion is the context that lets a promotion be merged.
const statusPromotion = statusPrefix + "promotion"

// promotion keeps the pull request that promotes into an environment: it is
// opened once everything that it changes is verified, follows what lands
// later, and may be merged only while every hub that it changes has evidence. One
// that somebody closed stays closed until there is something new to promote, or
// somebody asks for the promotion.
func (c *Controller) promotion(ctx context.Context, name string) error {
	p, from, into, err := c.outlook(ctx, model.PromoteRequest{Environment: name})
	if err != nil {
		return err
	}
	if len(p.Commits) == 0 {
		return nil // the two are level
	}
	pr, open, err := c.promotionPull(ctx, from, into)
	if err != nil {
		return err
	}
	if !open && p.Refused != "" {
		return nil
	}
	if !open && !c.promoting(into.Name) {
		if closed, err := c.promotionClosed(ctx, from, into, p.Head); err != nil || closed {
			return err
		}
	}
	title := fmt.Sprintf("Promote %s to %s", from.Name, into.Name)
	body, err := c.promotionBody(ctx, p, from, into)
	if err != nil {
		return err
	}
	if !open {
		pr, err = c.o.Forge.Open(ctx, forge.NewPullRequest{Title: title, Body: body, Head: from.Branch, Base: into.Branch})
		if errors.Is(err, forge.ErrConflict) || errors.Is(err, forge.ErrInvalid) {
			// Somebody was faster, or merged meanwhile: the next look knows.
			return fmt.Errorf("open the promotion into %s: %w", into.Name, forge.ErrUnavailable)
		}
		if err != nil {
			return err
		}
		c.note(pr)
		c.queue.Add(key{kind: keyPull, number: pr.Number})
	}
	// People may write what they like above the line.
	above, was, _ := strings.Cut(pr.Body, marker("promotion"))
	if next := above + body[strings.Index(body, marker("promotion")):]; next != pr.Body && was != strings.TrimPrefix(body, marker("promotion")) {
		if err := c.once(ctx, fmt.Sprintf("body/%d", pr.Number), next, func(string) (string, error) {
			_, err := c.o.Forge.Update(ctx, pr.Number, forge.Change{Body: &next})
			return "", err
		}); err != nil {
			return err
		}
	}
	return c.promotionStatus(ctx, p, from, into)
}

// promotionClosed says whether somebody closed the promotion of this very commit
// lately.
func (c *Controller) promotionClosed(ctx context.Context, from, into model.Environment, head string) (bool, error) {
	repo := c.o.Forge.Repository()
	list, err := c.o.Forge.PullRequests(ctx, forge.Filter{State: forge.Closed, Base: into.Branch, Head: repo.Owner + ":" + from.Branch, UpdatedSince: time.Now().AddDate(0, 0, -recentDays)})
	return slices.ContainsFunc(list, func(pr forge.PullRequest) bool {
		return !pr.Merged && !pr.FromFork() && pr.Head.Commit == head
	}), err
}

// promoting says whether somebody waits for the promotion into an environment.
func (c *Controller) promoting(env string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[env] > 0
}

// outlook says what a promotion would be now.
func (c *Controller) outlook(ctx context.Context, req model.PromoteRequest) (p model.Promotion, from, into model.Environment, err error) {
	p, err = c.o.Engine.Promotion(ctx, req)
	if err != nil && p.Refused == "" {
		return p, from, into, err
	}
	now, err := c.o.Repository.Now(ctx)
	if err != nil {
		return p, from, into, err
	}
	var ok bool
	if from, ok = now.Environment(p.From); !ok {
		return p, from, into, fmt.Errorf("environment %s is no longer in the process", p.From)
	}
	if into, ok = now.Environment(p.Into); !ok {
		return p, from, into, fmt.Errorf("environment %s is no longer in the process", p.Into)
	}
	return p, from, into, nil
}

// promotionPull finds the open pull request from one environment's branch into
// the next one's.
func (c *Controller) promotionPull(ctx context.Context, from, into model.Environment) (forge.PullRequest, bool, error) {
	repo := c.o.Forge.Repository()
	list, err := c.o.Forge.PullRequests(ctx, forge.Filter{Base: into.Branch, Head: repo.Owner + ":" + from.Branch})
	if err != nil {
		return forge.PullRequest{}, false, err
	}
	for _, pr := range list {
		if !pr.FromFork() && pr.Head.Branch == from.Branch && pr.Base.Branch == into.Branch {
			return pr, true, nil
		}
	}
	return forge.PullRequest{}, false, nil
}

// promotionStatus says whether the promotion may be merged. It is about the
// head that was judged: a newer one has none yet.
func (c *Controller) promotionStatus(ctx context.Context, p model.Promotion, from, into model.Environment) error {
	base, err := c.o.Repository.Head(ctx, into.Branch)
	if err != nil {
		return err
	}
	s := forge.Status{Context: statusPromotion, State: forge.Success, Base: c.merging(into.Branch, base), Description: fmt.Sprintf("%s verified %s", from.Name, plural(len(p.Hubs), "hub"))}
	if len(p.Hubs) == 0 {
		s.Description = "nothing that is running changes"
	}
	if p.Refused != "" {
		s.State, s.Description = forge.Failure, p.Refused
		active, err := c.o.Engine.Runs(ctx, model.RunFilter{Environment: from.Name, Active: true, Limit: 1})
		if err != nil {
			return err
		}
		if len(active) > 0 {
			s.State, s.URL = forge.Pending, c.o.RunURL(active[0].ID)
		}
	}
	return c.status(ctx, p.Head, s)
}

// maxChanges bounds the list of changes in a promotion.
const maxChanges = 150

// promotionBody is the text of the promotion pull request.
func (c *Controller) promotionBody(ctx context.Context, p model.Promotion, from, into model.Environment) (string, error) {
	var b strings.Builder
	b.WriteString(marker("promotion") + "\n")
	if p.Refused == "" {
		fmt.Fprintf(&b, "Everything below was verified on %s. Merging this deploys it to %s, with the very images that were verified, and verifies it there once more.\n\n", from.Name, into.Name)
	} else {
		fmt.Fprintf(&b, "⏳ Not ready: %s\n\n", report.Escape(forge.Shorten(firstLine(p.Refused), 500)))
	}
	if err := c.changes(ctx, &b, p, from, into); err != nil {
		return "", err
	}
	c.evidence(&b, p, from)
	fmt.Fprintf(&b, "\nhubship's comment below says what changes on %s.\n", into.Name)
	return forge.Shorten(b.String(), forge.MaxBody-100), nil
}

// changes lists what goes out: the pull requests that were merged, and what
// came without one.
func (c *Controller) changes(ctx context.Context, b *strings.Builder, p model.Promotion, from, into model.Environment) error {
	base, err := c.o.Repository.Head(ctx, into.Branch)
	if err != nil {
		return err
	}
	var prs []forge.PullRequest
	for _, pr := range c.recent(from.Branch) {
		in, err := c.o.Repository.IsAncestor(ctx, pr.MergeCommit, p.Head)
		if err != nil || !in {
			continue // of a branch that was rewritten
		}
		if out, err := c.o.Repository.IsAncestor(ctx, pr.MergeCommit, base); err != nil {
			return err
		} else if !out {
			prs = append(prs, pr)
		}
	}
	slices.Reverse(prs)
	fmt.Fprintf(b, "#### Changes\n\n")
	for i, pr := range prs {
		if i == maxChanges {
			fmt.Fprintf(b, "- … and %d more\n", len(prs)-maxChanges)
			break
		}
		// The number is a link, and makes the forge link back from there.
		fmt.Fprintf(b, "- #%d %s (%s)\n", pr.Number, report.Escape(pr.Title), report.Escape(pr.Author))
	}
	if len(prs) == 0 {
		for i, line := range p.Commits {
			if i == maxChanges {
				fmt.Fprintf(b, "- … and %d more\n", len(p.Commits)-maxChanges)
				break
			}
			fmt.Fprintf(b, "- %s\n", report.Escape(line))
		}
	}
	return nil
}

// evidence is the table of what each hub has proved.
func (c *Controller) evidence(b *strings.Builder, p model.Promotion, from model.Environment) {
	if len(p.Hubs) == 0 {
		b.WriteString("\nIt changes nothing that is running.\n")
		return
	}
	fmt.Fprintf(b, "\n#### Evidence from %s\n\n| | hub | evidence |\n|---|---|---|\n", from.Name)
	for i, v := range p.Hubs {
		if i == maxRows {
			fmt.Fprintf(b, "| | … | and %d more |\n", len(p.Hubs)-maxRows)
			break
		}
		mark, what := "✅", ""
		switch {
		case !v.Allowed:
			mark, what = "❌", report.Escape(forge.Shorten(strings.Join(v.Reasons, "; "), 400))
		case v.Proof != nil:
			what = fmt.Sprintf("%s at %s, commit `%s`, [run %s](%s)", plural(passed(v.Proof.Verified), "check"),
				v.Proof.Verified.Finished.UTC().Format("2006-01-02 15:04 UTC"), short(v.Proof.Commit), v.Proof.Run, c.o.RunURL(v.Proof.Run))
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", mark, report.Escape(v.Hub), what)
	}
}

// promoteLimit bounds how long Promote waits for what the forge requires.
const promoteLimit = 3 * time.Minute

// Promote merges the promotion pull request into an environment, as its button
// at the forge does, and returns the run that ships it. A refusal is part of
// the Promotion and an error with the exit code of a gate.
func (c *Controller) Promote(ctx context.Context, req model.PromoteRequest) (model.Promotion, error) {
	if err := c.Refresh(ctx); err != nil {
		return model.Promotion{}, fmt.Errorf("read the forge before the promotion: %w", err)
	}
	p, err := c.o.Engine.Promotion(ctx, req)
	if err != nil || req.DryRun || p.Refused != "" {
		return p, err
	}
	if len(req.Hubs) > 0 {
		// The merge carries every hub.
		all := req
		all.Hubs = nil
		if whole, err := c.o.Engine.Promotion(ctx, all); err != nil {
			return whole, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, promoteLimit)
	defer cancel()
	count := func(n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked[p.Into] += n
	}
	count(1)
	pr, err := c.ready(ctx, p)
	count(-1)
	if err != nil {
		return p, err
	}
	p.Pull = pr.Number
	title := fmt.Sprintf("Promote %s to %s (#%d)", p.From, p.Into, pr.Number)
	p.Merge, err = c.merge(ctx, pr.Number, forge.Merge{
		Method: forge.MergeCommit, Head: p.Head, Title: title, Message: "Promoted-by: " + req.By,
	})
	if err != nil {
		return p, fmt.Errorf("merge the promotion %s: %w", pr.URL, err)
	}
	c.queue.Add(key{kind: keyForge})
	c.queue.Add(key{kind: keyPull, number: pr.Number})
	run, err := c.shipping(ctx, p.Into, p.Merge)
	if err != nil {
		return p, err
	}
	p.Run = &run
	return p, nil
}

// ready waits until the promotion pull request is there, at the head that was
// judged, and its check has passed.
func (c *Controller) ready(ctx context.Context, p model.Promotion) (forge.PullRequest, error) {
	if err := c.reconcile(ctx, key{kind: keyPromotion, name: p.Into}); err != nil {
		return forge.PullRequest{}, err
	}
	_, from, into, err := c.outlook(ctx, model.PromoteRequest{Environment: p.Into})
	if err != nil {
		return forge.PullRequest{}, err
	}
	for {
		pr, open, err := c.promotionPull(ctx, from, into)
		if err != nil {
			return pr, err
		}
		if open && pr.Head.Commit != p.Head {
			return pr, model.RefusedBy(fmt.Errorf("%s has moved to %s meanwhile", from.Branch, short(pr.Head.Commit)), "look at what has changed, and promote again")
		}
		if open {
			c.queue.Add(key{kind: keyPull, number: pr.Number})
			runs, err := c.checks(ctx, pr.Number)
			if err != nil {
				return pr, err
			}
			if len(runs) > 0 && runs[0].State.Final() && runs[0].Pull.Head == p.Head {
				if runs[0].State != model.Done {
					return pr, model.RefusedBy(fmt.Errorf("the check of the promotion %s did not pass: %s", pr.URL, runs[0].Reason), "`hubship logs "+runs[0].ID+"` has the details")
				}
				agreed, err := c.agreed(ctx, pr, runs[0])
				if err != nil {
					return pr, err
				}
				if waitsForMaintainer(agreed) {
					return pr, model.RefusedBy(fmt.Errorf("the promotion %s alters the process: %s", pr.URL, agreed.Pull.Part(model.PartProcess).Summary), "have a maintainer approve its head in a review")
				}
				// What the merge needs is to be at the forge before.
				return pr, c.reconcile(ctx, key{kind: keyPull, number: pr.Number})
			}
		}
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return pr, fmt.Errorf("wait for the check of the promotion: %w", err)
		}
	}
}

// shipping waits for the run that a merge causes.
func (c *Controller) shipping(ctx context.Context, env, merge string) (model.Run, error) {
	for {
		runs, err := c.o.Engine.Runs(ctx, model.RunFilter{Environment: env, Limit: 10})
		if err != nil {
			return model.Run{}, err
		}
		for _, r := range runs {
			if r.Commit == merge {
				return r, nil
			}
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return model.Run{}, model.WithHint(fmt.Errorf("%s was merged into %s, but its deploy has not begun yet", short(merge), env), "`hubship status` shows it once it begins")
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
