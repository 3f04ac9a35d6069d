package pulls

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hubship/hubship/internal/forge"
)

// poll finds what changed at the forge since the last time, and has it looked
// at.
func (c *Controller) poll(ctx context.Context) error {
	c.mu.Lock()
	waiting := c.waiting // later ones may be about what this look does not see
	c.waiting = nil
	c.mu.Unlock()
	err := c.pollOnce(ctx)
	c.mu.Lock()
	if c.trouble = err; err == nil {
		c.polled = time.Now()
	}
	c.mu.Unlock()
	for _, answer := range waiting {
		answer <- err
	}
	return err
}

// Fill reads the forge once. It is for before Run is called.
func (c *Controller) Fill(ctx context.Context) error { return c.poll(ctx) }

func (c *Controller) pollOnce(ctx context.Context) error {
	c.mu.Lock()
	since, known, before, leading := c.since, maps.Clone(c.branches), c.sightings, c.leading
	c.mu.Unlock()
	began := time.Now()
	changes, err := c.o.Forge.Poll(ctx, since)
	if err != nil {
		return err
	}
	if since.IsZero() {
		// After a start, what was merged lately may not have been reported.
		lately, err := c.o.Forge.PullRequests(ctx, forge.Filter{State: forge.Closed, UpdatedSince: time.Now().AddDate(0, 0, -recentDays)})
		if err != nil {
			return err
		}
		changes.PullRequests = append(changes.PullRequests, lately...)
	}
	var moved []forge.RefUpdate
	for _, branch := range slices.Sorted(maps.Keys(changes.Branches)) {
		if commit := changes.Branches[branch]; known[branch] != commit {
			moved = append(moved, forge.RefUpdate{Branch: branch, Old: known[branch], New: commit})
		}
	}
	for _, branch := range slices.Sorted(maps.Keys(known)) {
		if _, there := changes.Branches[branch]; !there {
			moved = append(moved, forge.RefUpdate{Branch: branch, Old: known[branch], New: forge.ZeroID})
		}
	}
	if len(moved) > 0 || changes.Default != leading {
		if err := c.branchesMoved(ctx, moved, changes.Branches, len(known) > 0, leading, changes.Default); err != nil {
			return err
		}
	}
	if err := c.Protect(ctx); err != nil && ctx.Err() == nil {
		c.o.Logger.Error("pull requests: branches could not be protected as the process asks; the next look tries again", "error", err)
	}
	sightings := make(map[int]sighting, len(changes.PullRequests))
	for _, pr := range changes.PullRequests {
		c.note(pr)
		seen, fresh := before[pr.Number].again(pr.Updated, began)
		if sightings[pr.Number] = seen; fresh {
			c.queue.Add(key{kind: keyPull, number: pr.Number})
		}
	}
	// Last, so that what failed on the way is found once more.
	c.mu.Lock()
	c.since, c.branches, c.sightings, c.leading = changes.Next, changes.Branches, sightings, changes.Default
	c.mu.Unlock()
	return nil
}

// sighting is how the last poll saw a pull request.
type sighting struct {
	updated time.Time // as the forge says
	first   time.Time // begin of the first poll that saw it so, on this machine's clock
	settled bool      // seen so once more, after the forge's second was over
}

// sightingPause is longer than the second that the forge's times are cut to.
const sightingPause = 2 * time.Second

// again returns the sighting of a poll, and whether the pull request is to be
// looked at. Every poll lists those once more that were updated in the newest
// second: they may have been updated in that second again. Once that second is
// over one more look is enough, or all that were updated together would be
// looked at by every poll until something else happens.
func (s sighting) again(updated, began time.Time) (sighting, bool) {
	switch {
	case !s.updated.Equal(updated) || s.first.IsZero():
		return sighting{updated: updated, first: began}, true
	case s.settled:
		return s, false
	}
	s.settled = began.Sub(s.first) >= sightingPause
	return s, true
}

// note remembers a pull request as it was seen.
func (c *Controller) note(pr forge.PullRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, pr.Number)
	delete(c.merged, pr.Number)
	switch {
	case pr.State == forge.Open:
		c.open[pr.Number] = pr
	case pr.Merged && time.Since(pr.MergedAt) < recentDays*24*time.Hour:
		c.merged[pr.Number] = pr
	}
}

// branchesMoved brings branches here, has deployed what they ask for, and has
// everything looked at that depends on them. branches are where all of them are
// now. known is false for the first look after a start, when nobody can tell what
// moved: then a reconcile pass finds what is to be deployed. was and leading are
// the default branch as the last look saw it, and as it is now: HEAD names it once
// it is here.
func (c *Controller) branchesMoved(ctx context.Context, moved []forge.RefUpdate, branches map[string]string, known bool, was, leading string) error {
	if err := c.o.Repository.Fetch(ctx); err != nil {
		return err
	}
	other, err := c.o.Repository.Follow(ctx, leading)
	if err != nil {
		return err
	}
	if err := c.meet(ctx, branches); err != nil {
		return err
	}
	other = other || known && was != leading
	if known {
		if err := c.pushed(ctx, moved); err != nil {
			return err
		}
	}
	if !known || other {
		c.o.Engine.Kick()
	}
	now, err := c.o.Repository.Now(ctx)
	decides := other || err == nil && slices.ContainsFunc(moved, func(u forge.RefUpdate) bool { return u.Branch == now.Branch })
	c.mu.Lock()
	for n, pr := range c.open {
		// A process that moved may judge every change otherwise.
		if decides || err != nil || slices.ContainsFunc(moved, func(u forge.RefUpdate) bool { return u.Branch == pr.Base.Branch }) {
			c.queue.Add(key{kind: keyPull, number: n})
		}
	}
	c.mu.Unlock()
	if err != nil {
		return ctx.Err() // the engine tells why no process holds
	}
	for _, env := range now.Environments {
		if env.After != "" {
			c.queue.Add(key{kind: keyPromotion, name: env.Name})
		}
	}
	return nil
}

// pushed has deployed what moved branches ask for. The error is that of the
// context.
func (c *Controller) pushed(ctx context.Context, moved []forge.RefUpdate) error {
	for _, u := range moved {
		if u.Old == "" {
			u.Old = forge.ZeroID
		}
		by, ok := c.pushers.Get(tip{u.Branch, u.New})
		if !ok {
			by = c.o.Forge.Repository().Owner // no delivery said who it was
		}
		if _, err := c.o.Engine.Pushed(ctx, []forge.RefUpdate{u}, by); err != nil {
			if ctx.Err() != nil {
				return err // the next look finds it once more
			}
			// A reconcile pass of the engine finds it too.
			c.o.Logger.Warn("pull requests: a push is not deployed yet", "branch", u.Branch, "error", err)
			c.o.Engine.Kick()
			continue
		}
		c.pushers.Remove(tip{u.Branch, u.New})
	}
	return nil
}

// tip is a commit that a branch was moved to.
type tip struct{ branch, commit string }

// Refresh has the forge read, and returns when a look that began after the call has
// ended, or after 10 s: the look belongs to Run and goes on, whoever leaves. After an
// error what is here stays as it is, and the next look tries again.
func (c *Controller) Refresh(ctx context.Context) error {
	answer := make(chan error, 1)
	c.mu.Lock()
	c.waiting = append(c.waiting, answer)
	c.mu.Unlock()
	c.queue.Add(key{kind: keyForge})
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(refreshLimit):
		return errors.New("the forge has not answered yet")
	}
}

// refreshLimit bounds how long somebody waits for a forge that does not answer.
const refreshLimit = 10 * time.Second

// recent returns the pull requests that were merged lately into a branch, in
// the order that they were merged.
func (c *Controller) recent(branch string) []forge.PullRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []forge.PullRequest
	for _, pr := range c.merged {
		if pr.Base.Branch == branch {
			out = append(out, pr)
		}
	}
	slices.SortFunc(out, func(a, b forge.PullRequest) int {
		if d := a.MergedAt.Compare(b.MergedAt); d != 0 {
			return d
		}
		return a.Number - b.Number
	})
	return out
}
