package pulls

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/report"
)

// revertBranch begins the names of branches that take something back.
const revertBranch = "revert-"

// autoKey remembers the commit of a revert that is to be merged by itself, and
// the branch that it goes to: whoever may write can send a pull request to
// another one.
func autoKey(number int) string { return fmt.Sprintf("merge/%d", number) }

// revertFailure opens a pull request that reverts what made the newest run of an
// environment fail.
func (c *Controller) revertFailure(ctx context.Context, name string) error {
	now, err := c.o.Repository.Now(ctx)
	if err != nil {
		return ctx.Err() // without a process nothing is taken back by itself
	}
	env, ok := now.Environment(name)
	if !ok {
		return nil
	}
	runs, err := c.o.Engine.Runs(ctx, model.RunFilter{Environment: env.Name, Limit: keptRuns})
	if err != nil {
		return err
	}
	failed, good := newestFailure(runs)
	if failed.ID == "" || good.ID == "" {
		return nil // before anything worked, nobody is known to have broken it
	}
	culprit, others, err := c.culprit(ctx, env, failed, good)
	if err != nil || culprit.Number == 0 {
		return err
	}
	asked := fmt.Sprintf("revert/%d", culprit.Number)
	if digest, _, err := c.o.Reports.Reported(ctx, asked); err != nil || digest != "" {
		return err
	}
	why := fmt.Sprintf("It failed on %s: %s\n\nThe log is in [run %s](%s).", env.Name, report.Escape(forge.Shorten(firstLine(failed.Reason), 500)), failed.ID, c.o.RunURL(failed.ID))
	if len(others) > 0 {
		var names []string
		for _, pr := range others {
			names = append(names, fmt.Sprintf("#%d", pr.Number))
		}
		why += fmt.Sprintf(" The same run also deployed %s, which may be at fault instead.", strings.Join(names, ", "))
	}
	opened, err := c.revert(ctx, culprit, why, now.Revert == model.RevertAuto)
	note := fmt.Sprintf("#%d reverts this change. It builds nothing, because the previous images still exist.", opened)
	if err != nil {
		if forgeWill(err) || ctx.Err() != nil {
			return err
		}
		// A person has to: later changes are in the way.
		note = "hubship could not revert this change by itself: " + report.Escape(describe(err))
	}
	if err := c.comment(ctx, culprit.Number, "revert", note+"\n"); err != nil {
		return err
	}
	return c.o.Reports.SetReported(ctx, asked, failed.ID, fmt.Sprint(opened))
}

// forgeWill says that a failure passes.
func forgeWill(err error) bool {
	_, passing := forge.Temporary(err)
	return passing
}

// newestFailure returns the newest deploy of an environment if it failed and
// none is under way, and the last one before that was good. runs are newest
// first.
func newestFailure(runs []model.Run) (failed, good model.Run) {
	for _, r := range runs {
		if r.Kind != model.Deploy || r.State == model.Superseded {
			continue
		}
		switch {
		case failed.ID == "" && !slices.ContainsFunc(r.Releases, func(rel model.ReleaseResult) bool { return rel.State == model.FailedRun }):
			return model.Run{}, model.Run{} // under way, or good
		case failed.ID == "":
			failed = r
		case r.State == model.Done || r.State == model.Unchanged:
			if r.Commit != failed.Commit {
				return failed, r
			}
		}
	}
	return failed, good
}

// culprit is the newest pull request among those that a failed run brought
// which touches a hub that failed; others are the rest of those. None is
// returned when the run brought nothing by pull request, or a revert.
func (c *Controller) culprit(ctx context.Context, env model.Environment, failed, good model.Run) (forge.PullRequest, []forge.PullRequest, error) {
	var brought []forge.PullRequest
	for _, pr := range c.recent(env.Branch) {
		in, err := c.o.Repository.IsAncestor(ctx, pr.MergeCommit, failed.Commit)
		if err != nil || !in {
			continue
		}
		before, err := c.o.Repository.IsAncestor(ctx, pr.MergeCommit, good.Commit)
		if err == nil && !before {
			before, err = c.history(ctx, pr)
		}
		if err != nil {
			return forge.PullRequest{}, nil, err
		}
		if before {
			continue
		}
		touches, err := c.touches(ctx, pr, failed)
		if err != nil {
			return forge.PullRequest{}, nil, err
		}
		if touches {
			brought = append(brought, pr)
		}
	}
	if len(brought) == 0 {
		return forge.PullRequest{}, nil, nil
	}
	newest := brought[len(brought)-1]
	if strings.HasPrefix(newest.Head.Branch, revertBranch) {
		return forge.PullRequest{}, nil, nil // to and fro would never end
	}
	return newest, brought[:len(brought)-1], nil
}

// touches says whether a pull request changed anything of a hub that failed.
func (c *Controller) touches(ctx context.Context, pr forge.PullRequest, failed model.Run) (bool, error) {
	before, after, err := c.span(ctx, pr)
	if err != nil {
		return false, err
	}
	for _, rel := range failed.Releases {
		if rel.State != model.FailedRun {
			continue
		}
		changed, err := c.o.Repository.Changed(ctx, before, after, rel.Target.Hub)
		if err != nil {
			// What cannot be compared may be at fault.
			return ctx.Err() == nil, ctx.Err()
		}
		if len(changed) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// span is what a merged pull request changed on its base branch.
func (c *Controller) span(ctx context.Context, pr forge.PullRequest) (before, after string, err error) {
	commits, err := c.o.Forge.Commits(ctx, pr.Number)
	if err != nil {
		return "", "", err
	}
	return c.o.Repository.MergeRange(ctx, pr.MergeCommit, pr.Base.Commit, commits)
}

// Revert opens a pull request that takes a merged one back, in the name of
// somebody, and returns its number; that of the one that is open already if
// there is one.
func (c *Controller) Revert(ctx context.Context, number int, by string) (int, error) {
	pr, err := c.o.Forge.PullRequest(ctx, number)
	if err != nil {
		return 0, err
	}
	if !pr.Merged {
		return 0, model.Usage(fmt.Errorf("pull request #%d was not merged", number), "only a merged pull request can be reverted; close it instead")
	}
	opened, err := c.revertMerged(ctx, pr, by)
	if err != nil {
		return 0, err
	}
	return opened, c.comment(ctx, number, "revert", fmt.Sprintf("#%d reverts this change.\n", opened))
}

// revertMerged opens the pull request that takes a merged one back, in the name
// of somebody, where it can be taken back.
func (c *Controller) revertMerged(ctx context.Context, pr forge.PullRequest, by string) (int, error) {
	if err := c.o.Repository.Fetch(ctx); err != nil {
		return 0, err
	}
	if err := c.takesReverts(ctx, pr.Base.Branch); err != nil {
		return 0, err
	}
	return c.revert(ctx, pr, "Requested by "+report.Escape(by)+".", false)
}

// revertHead is the head of what takes a pull request back, as filters name it.
func (c *Controller) revertHead(number int) string {
	return fmt.Sprintf("%s:%s%d", c.o.Forge.Repository().Owner, revertBranch, number)
}

// takesReverts refuses to take back a promotion: what enters a later
// environment comes from the one before, and so does what leaves it.
func (c *Controller) takesReverts(ctx context.Context, branch string) error {
	now, err := c.o.Repository.Now(ctx)
	if err != nil {
		return ctx.Err() // to take back may be what mends it
	}
	if env, ok := now.EnvironmentOfBranch(branch); ok && env.After != "" {
		return model.Usage(fmt.Errorf("%s accepts only promotions: this one cannot be reverted on %s alone", env.Name, env.Name),
			fmt.Sprintf("revert the change itself on %s and promote that; `hubship rollback` rolls a hub back at once", env.After))
	}
	return nil
}

// revert opens the pull request that takes another one back, or finds the one
// that is open.
func (c *Controller) revert(ctx context.Context, pr forge.PullRequest, why string, auto bool) (int, error) {
	c.reverting.Lock()
	defer c.reverting.Unlock()
	head := fmt.Sprintf("%s%d", revertBranch, pr.Number)
	open, err := c.o.Forge.PullRequests(ctx, forge.Filter{Base: pr.Base.Branch, Head: c.revertHead(pr.Number)})
	if err != nil {
		return 0, err
	}
	self, err := c.self(ctx)
	if err != nil {
		return 0, err
	}
	for _, pr := range open {
		// Anybody who may write can propose something else from a branch of that name.
		if strings.EqualFold(pr.Author, self) {
			return pr.Number, nil
		}
	}
	onto, err := c.o.Repository.Head(ctx, pr.Base.Branch)
	if err != nil {
		return 0, err
	}
	if onto == "" {
		return 0, fmt.Errorf("the branch %s no longer exists", pr.Base.Branch)
	}
	before, after, err := c.span(ctx, pr)
	if err != nil {
		return 0, err
	}
	title := forge.Shorten(fmt.Sprintf("Revert #%d: %s", pr.Number, pr.Title), forge.MaxTitle)
	commit, err := c.o.Repository.Revert(ctx, Revert{
		Branch: head, Onto: onto, Before: before, After: after,
		Message: fmt.Sprintf("%s\n\nThis reverts what %s merged.\n", title, short(after)),
	})
	if err != nil {
		return 0, err
	}
	for _, pr := range open {
		if pr.Head.Commit == commit { // just what hubship would propose
			return pr.Number, nil
		}
	}
	body := fmt.Sprintf("Reverts #%d by %s.\n\n%s\n", pr.Number, report.Escape(pr.Author), why)
	if auto {
		body += "\nhubship merges it once its checks have passed.\n"
	}
	opened, err := c.openPushed(ctx, forge.NewPullRequest{Title: title, Body: body, Head: head, Base: pr.Base.Branch})
	if err != nil {
		return 0, err
	}
	if auto {
		if err := c.o.Reports.SetReported(ctx, autoKey(opened.Number), commit, pr.Base.Branch); err != nil {
			return 0, err
		}
	}
	c.note(opened)
	c.queue.Add(key{kind: keyPull, number: opened.Number})
	return opened.Number, nil
}

// mergeByItself merges a revert of hubship's own whose check has passed, where
// the repository wants that.
func (c *Controller) mergeByItself(ctx context.Context, pr forge.PullRequest, process model.Process, r model.Run) error {
	if process.Revert != model.RevertAuto || r.State != model.Done || pr.FromFork() ||
		!strings.HasPrefix(pr.Head.Branch, revertBranch) || r.Pull.Head != pr.Head.Commit {
		return nil
	}
	r, err := c.agreed(ctx, pr, r)
	if err != nil || waitsForMaintainer(r) {
		return err
	}
	// Of what hubship pushed itself, and of that alone: anybody who may write
	// can push to the branch.
	commit, base, err := c.o.Reports.Reported(ctx, autoKey(pr.Number))
	if err != nil || commit != pr.Head.Commit || base != pr.Base.Branch {
		return err
	}
	_, err = c.o.Forge.Merge(ctx, pr.Number, forge.Merge{Method: forge.MergeCommit, Head: pr.Head.Commit})
	if errors.Is(err, forge.ErrConflict) && c.early(pr) {
		// Nobody waits for it here: others are looked at meanwhile.
		c.queue.AddAfter(key{kind: keyPull, number: pr.Number}, c.step())
		return nil
	}
	if errors.Is(err, forge.ErrForbidden) || errors.Is(err, forge.ErrConflict) {
		return c.comment(ctx, pr.Number, "revert", "hubship could not merge this by itself: "+report.Escape(describe(err))+"\n")
	}
	return err
}
