package app

import (
	"context"
	"errors"

	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
)

// Contexts of statuses that merges into environments' branches need.
var (
	changeContexts    = []string{"hubship/policy", "hubship/plan", "hubship/tests", "hubship/images"}
	promotionContexts = []string{"hubship/policy", "hubship/plan", "hubship/promotion"}
)

// protectionOf is what hubship.yaml asks for on the branch of an environment.
func protectionOf(fleet *model.Fleet, env model.Environment) *host.Protection {
	p := &host.Protection{EnforceAdmins: true, AllowPush: env.Push}
	if from, ok := fleet.Environment(env.After); ok {
		// What is promoted was reviewed when it came to the branch before.
		p.Heads = []string{from.Branch}
		p.Checks = &host.RequiredChecks{Contexts: promotionContexts, By: ownLogin}
		return p
	}
	p.Checks = &host.RequiredChecks{Contexts: changeContexts, By: ownLogin}
	p.Reviews = &host.RequiredReviews{Count: fleet.Review.Approvals, DismissStale: true, LastPush: true}
	if fleet.Revert == model.RevertAuto {
		// Nobody reviews a revert that merges by itself.
		p.Bypass = []string{ownLogin}
	}
	return p
}

// protect derives what protects a branch of the deployment repository from what
// it describes at a commit. A branch that drives no environment, or cannot be
// read, keeps what it has: a change that breaks the description must not open
// its branch.
func (e *embedded) protect(ctx context.Context, branch, commit string) error {
	fleet, err := e.fleets.Fleet(ctx, commit)
	if err != nil {
		return ctx.Err() // the engine tells of what is unreadable
	}
	env, ok := fleet.EnvironmentOfBranch(branch)
	if !ok {
		return nil
	}
	return e.host.SetProtection(ctx, e.repository, branch, protectionOf(fleet, env))
}

// protectAll is protect for all branches, after a start.
func (e *embedded) protectAll(ctx context.Context, g *git.Repo) error {
	branches, err := g.Branches(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for branch, commit := range branches {
		errs = append(errs, e.protect(ctx, branch, commit))
	}
	return errors.Join(errs...)
}
