package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/model"
	owner "github.com/hubship/hubship/internal/process"
)

// Contexts of statuses that merges into environments' branches need.
//
// hubship/process is asked for where the process is decided, and nowhere else: a
// status belongs to a commit, so that none is set for another base.
var (
	changeContexts    = []string{"hubship/policy", "hubship/plan", "hubship/tests", "hubship/images"}
	promotionContexts = []string{"hubship/policy", "hubship/plan", "hubship/promotion"}
)

// protectionOf is what the process asks for on the branch of an environment, or
// on its own, which drives none: env is then the zero one.
func protectionOf(process model.Process, env model.Environment) *host.Protection {
	p := &host.Protection{EnforceAdmins: true, AllowPush: env.Push}
	decides := func(contexts []string) []string {
		if env.Branch == process.Branch || env.Name == "" {
			return append(slices.Clone(contexts), "hubship/process")
		}
		return contexts
	}
	if from, ok := process.Environment(env.After); ok {
		// What is promoted was reviewed when it came to the branch before.
		p.Heads = []string{from.Branch}
		p.Checks = &host.RequiredChecks{Contexts: decides(promotionContexts), By: ownLogin}
		return p
	}
	p.Checks = &host.RequiredChecks{Contexts: decides(changeContexts), By: ownLogin}
	p.Reviews = &host.RequiredReviews{Count: process.Review.Approvals, DismissStale: true, LastPush: true}
	if process.Revert == model.RevertAuto {
		// Nobody reviews a revert that merges by itself.
		p.Bypass = []string{ownLogin}
	}
	return p
}

// protect derives what protects the branches that the process names, and its
// own, from the process of now. A branch that it does not name any more keeps
// what it has, and so do all while no process holds: a change that breaks the
// description must not open a branch.
func (e *embedded) protect(ctx context.Context) error {
	now, err := e.fleets.Now(ctx)
	if err != nil {
		return ctx.Err() // the engine tells why no process holds
	}
	var errs []error
	own := true
	for _, env := range now.Environments {
		errs = append(errs, e.host.SetProtection(ctx, e.repository, env.Branch, protectionOf(now, env)))
		own = own && env.Branch != now.Branch
	}
	if own {
		errs = append(errs, e.host.SetProtection(ctx, e.repository, now.Branch, protectionOf(now, model.Environment{})))
	}
	return errors.Join(errs...)
}

// alters says whether moving a branch of the deployment repository alters the
// process, and what of it. What cannot be read counts as altered: it could say
// anything.
func (e *embedded) alters(ctx context.Context, repository store.Repository, branch, old, new string) (bool, string, error) {
	if repository.Dir != repositoryDir {
		return false, "", nil
	}
	// The branch is known also while what it says cannot be read.
	now, err := e.fleets.Now(ctx)
	switch {
	case err != nil && now.Branch == "":
		return false, "", err
	case branch != now.Branch:
		return false, "", nil
	case old == forge.ZeroID || new == forge.ZeroID:
		return true, "the process branch would be created or deleted", nil
	}
	before, err := e.fleets.ProcessAt(ctx, old)
	if err != nil {
		return true, fmt.Sprintf("the process at %.12s cannot be read", old), ctx.Err()
	}
	after, err := e.fleets.ProcessAt(ctx, new)
	if err != nil {
		return true, fmt.Sprintf("the new process at %.12s cannot be read", new), ctx.Err()
	}
	var words []string
	for _, c := range owner.Alters(before, after) {
		words = append(words, c.Words)
	}
	return len(words) > 0, strings.Join(words, "; "), nil
}
