package pulls

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// contactKey is what is remembered of a branch: the commit that it was at when
// hubship first saw it drive an environment.
func contactKey(repo forge.Repository, branch string) string {
	return "contact/" + strings.ToLower(repo.String()) + "/" + branch
}

// deployedBefore stands for the commit of a branch that hubship deployed already
// when it began to remember that: an older version did.
const deployedBefore = "deployed before"

// meet remembers where the branches of environments are that hubship sees for the
// first time, which is before it deploys anything of them. What they have by then
// is history: it came without hubship, and nothing is said about it or done to it.
func (c *Controller) meet(ctx context.Context, branches map[string]string) error {
	now, err := c.o.Repository.Now(ctx)
	if err != nil {
		return ctx.Err() // the engine tells why no process holds
	}
	for _, env := range now.Environments {
		c.mu.Lock()
		_, met := c.met[env.Branch]
		c.mu.Unlock()
		if met || branches[env.Branch] == "" {
			continue
		}
		key := contactKey(c.o.Forge.Repository(), env.Branch)
		at, _, err := c.o.Reports.Reported(ctx, key)
		if err != nil {
			return err
		}
		if at == "" {
			if at, err = c.contact(ctx, env, branches[env.Branch]); err != nil {
				return err
			}
			if err := c.o.Reports.SetReported(ctx, key, at, ""); err != nil {
				return err
			}
		}
		c.mu.Lock()
		c.met[env.Branch] = at
		c.mu.Unlock()
	}
	return nil
}

// contact is what to remember of an environment's branch that is at a commit.
func (c *Controller) contact(ctx context.Context, env model.Environment, commit string) (string, error) {
	runs, err := c.o.Engine.Runs(ctx, model.RunFilter{Environment: env.Name, Limit: 1})
	if err != nil {
		return "", err
	}
	if len(runs) > 0 {
		return deployedBefore, nil
	}
	return commit, nil
}

// history says whether a pull request was merged before hubship first saw its base.
func (c *Controller) history(ctx context.Context, pr forge.PullRequest) (bool, error) {
	c.mu.Lock()
	at := c.met[pr.Base.Branch]
	c.mu.Unlock()
	if at == "" || at == deployedBefore {
		return false, nil
	}
	before, err := c.o.Repository.IsAncestor(ctx, pr.MergeCommit, at)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // nothing of it is deployed either
	}
	return before, err
}
