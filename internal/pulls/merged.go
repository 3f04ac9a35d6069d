package pulls

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// environment looks at what the runs of an environment mean for pull requests:
// for those that landed, for those that promote, and whether one is to be
// taken back.
func (c *Controller) environment(ctx context.Context, name string) error {
	now, err := c.o.Repository.Now(ctx)
	if err != nil {
		return ctx.Err() // told by the engine; the next commit of the process has everything looked at
	}
	env, ok := now.Environment(name)
	if !ok {
		return nil
	}
	first := env
	for first.After != "" {
		before, ok := now.Environment(first.After)
		if !ok {
			break
		}
		first = before
	}
	for _, pr := range c.recent(first.Branch) {
		c.queue.Add(key{kind: keyMerged, number: pr.Number})
	}
	if env.After != "" {
		for _, pr := range c.recent(env.Branch) {
			c.queue.Add(key{kind: keyMerged, number: pr.Number})
		}
		c.queue.Add(key{kind: keyPromotion, name: env.Name})
	}
	for _, next := range now.Next(env.Name) {
		c.queue.Add(key{kind: keyPromotion, name: next.Name})
	}
	if env.After == "" {
		c.queue.Add(key{kind: keyRevert, name: env.Name})
	}
	return nil
}

// reportMerged reports on a pull request that was merged lately what became of it,
// environment by environment.
func (c *Controller) reportMerged(ctx context.Context, number int) error {
	c.mu.Lock()
	pr := c.merged[number]
	c.mu.Unlock()
	if pr.MergeCommit == "" {
		return nil
	}
	if err := c.earned(ctx, pr); err != nil {
		return err
	}
	done := fmt.Sprintf("landed/%d", pr.Number)
	if digest, _, err := c.o.Reports.Reported(ctx, done); err != nil || digest != "" {
		return err
	}
	if _, err := c.o.Repository.IsAncestor(ctx, pr.MergeCommit, pr.MergeCommit); errors.Is(err, fs.ErrNotExist) {
		if err := c.o.Repository.Fetch(ctx); err != nil {
			return err
		}
	}
	if before, err := c.history(ctx, pr); err != nil {
		return err
	} else if before {
		return c.o.Reports.SetReported(ctx, done, "history", "")
	}
	now, err := c.o.Repository.Now(ctx)
	if err != nil {
		return ctx.Err() // without a process nothing is deployed
	}
	env, ok := now.EnvironmentOfBranch(pr.Base.Branch)
	if !ok {
		return nil
	}
	promotion := env.After != ""
	for {
		r, found, err := c.deployed(ctx, env, pr)
		if err != nil || !found {
			return err
		}
		if err := c.reportRun(ctx, pr, env, r, promotion); err != nil {
			return err
		}
		if !r.State.Final() || r.State != model.Done && r.State != model.Unchanged {
			if env.After == "" && r.State == model.FailedRun {
				c.queue.Add(key{kind: keyRevert, name: env.Name}) // the run was known before the merge
			}
			return nil
		}
		next := now.Next(env.Name)
		if len(next) == 0 {
			return c.o.Reports.SetReported(ctx, done, "reported", "")
		}
		env = next[0]
	}
}

// clockSkew is how far the forge's clock may be ahead of ours.
const clockSkew = 5 * time.Minute

// deployed returns the run that brought a merged pull request to an
// environment: the first whose commit has it, and of those of this very commit
// the newest with something to say.
func (c *Controller) deployed(ctx context.Context, env model.Environment, pr forge.PullRequest) (model.Run, bool, error) {
	runs, err := c.o.Engine.Runs(ctx, model.RunFilter{Environment: env.Name, Limit: keptRuns})
	if err != nil {
		return model.Run{}, false, err
	}
	var first model.Run
	contains := map[string]bool{}
	for _, r := range slices.Backward(runs) { // oldest first
		if r.Kind != model.Deploy || r.State == model.Superseded || r.Commit == "" || r.Created.Before(pr.MergedAt.Add(-clockSkew)) {
			continue
		}
		if first.ID != "" {
			if r.Commit == first.Commit && !(first.State == model.Done && saysNothing(r)) {
				first = r
			}
			continue
		}
		has, known := contains[r.Commit]
		if !known {
			has, err = c.o.Repository.IsAncestor(ctx, pr.MergeCommit, r.Commit)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return model.Run{}, false, err
			}
			contains[r.Commit] = has
		}
		if has {
			first = r
		}
	}
	return first, first.ID != "", nil
}

// saysNothing tells whether a run adds nothing to one of the same commit that
// passed before it. A reconcile pass can ask for such a second run while the
// first is under way.
func saysNothing(r model.Run) bool { return !r.State.Final() || r.State == model.Unchanged }

// reportRun reports a run on a pull request that it brought somewhere: a
// status for the environment and for each hub, the forge's own record of
// deployments, and a comment once it has ended.
func (c *Controller) reportRun(ctx context.Context, pr forge.PullRequest, env model.Environment, r model.Run, promotion bool) error {
	var errs []error
	set := func(context, description string, state model.RunState) {
		s := forge.Status{Context: context, State: runState(state), Description: description, URL: c.o.RunURL(r.ID)}
		errs = append(errs, c.status(ctx, pr.MergeCommit, s))
		if pr.Head.Commit != pr.MergeCommit {
			errs = append(errs, c.status(ctx, pr.Head.Commit, s))
		}
	}
	set(statusPrefix+env.Name, runSummary(r), r.State)
	for _, rel := range r.Releases {
		if rel.State != model.Unchanged {
			set(statusPrefix+env.Name+"/"+rel.Target.Hub, releaseSummary(rel), rel.State)
			errs = append(errs, c.deployment(ctx, pr, env, r, rel))
		}
	}
	if r.State.Final() {
		w := writer{c: c, run: r}
		switch {
		case env.After != "" && !promotion && (r.State == model.Done || r.State == model.Unchanged):
			errs = append(errs, c.comment(ctx, pr.Number, "shipped-"+env.Name, w.shipped(env)))
		case env.After == "" || promotion:
			errs = append(errs, c.comment(ctx, pr.Number, "deploy-"+env.Name, w.deploy(env, r.Commit != pr.MergeCommit)))
		}
	}
	return errors.Join(errs...)
}

func runState(s model.RunState) string {
	switch s {
	case model.Done, model.Unchanged:
		return forge.Success
	case model.FailedRun, model.Refused:
		return forge.Failure
	case model.Cancelled, model.Superseded:
		return forge.Errored
	}
	return forge.Pending
}

// deployment records a release at the forge, where that has such records.
func (c *Controller) deployment(ctx context.Context, pr forge.PullRequest, env model.Environment, r model.Run, rel model.ReleaseResult) error {
	records, ok := c.o.Forge.(forge.Deployments)
	if !ok {
		return nil
	}
	name := env.Name + "/" + rel.Target.Hub
	at := fmt.Sprintf("deployment/%s/%s", r.ID, name)
	return c.once(ctx, at, string(rel.State), func(ref string) (string, error) {
		if ref == notAllowed {
			return ref, nil
		}
		id, err := strconv.ParseInt(ref, 10, 64)
		if err != nil {
			id, err = records.StartDeployment(ctx, forge.Deployment{Commit: r.Commit, Environment: name, Description: fmt.Sprintf("run %s", r.ID), Production: env.After != ""})
			switch {
			case errors.Is(err, forge.ErrForbidden):
				return notAllowed, nil
			case gone(err), errors.Is(err, forge.ErrConflict):
				c.o.Logger.Warn("pull requests: a deployment is not recorded at the forge", "run", r.ID, "error", err)
				return notAllowed, nil
			case err != nil:
				return "", err
			}
		}
		return strconv.FormatInt(id, 10), records.SetDeployment(ctx, id, forge.DeploymentStatus{
			State: runState(rel.State), Description: releaseSummary(rel), URL: c.o.RunURL(r.ID), Site: c.o.HubURL(rel.Target.Host),
		})
	})
}
