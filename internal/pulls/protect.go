package pulls

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Contexts of statuses that merges into environments' branches need. The process is
// asked about where it is decided, and nowhere else.
var (
	changeContexts    = []string{statusOf(model.PartImages), statusOf(model.PartPlan), statusOf(model.PartPolicy), statusOf(model.PartTests)}
	promotionContexts = []string{statusOf(model.PartPlan), statusOf(model.PartPolicy), statusPromotion}
	processContext    = statusOf(model.PartProcess)
)

// protectionOf is what the process asks for on the branch of an environment, or
// on its own, which drives none: env is then the zero one. own is hubship's
// account, files are those that describe the process.
func protectionOf(process model.Process, env model.Environment, own string, files []string) forge.Protection {
	p := forge.Protection{Admins: true, Beyond: &forge.ProtectionBeyond{AllowPush: env.Push, ChecksBy: own, ChecksOfMerge: true}}
	statuses := changeContexts
	if from, ok := process.Environment(env.After); ok {
		// What is promoted was reviewed when it came to the branch before.
		p.Beyond.Heads = []string{from.Branch}
		statuses = promotionContexts
	} else {
		p.Approvals, p.DismissStale = process.Review.Approvals, true
		if process.Revert == model.RevertAuto {
			// Nobody reviews a revert that merges by itself.
			p.Beyond.Bypass = []string{own}
		}
	}
	p.Statuses = slices.Clone(statuses)
	if env.Branch == process.Branch || env.Name == "" {
		p.Statuses = append(p.Statuses, processContext)
		slices.Sort(p.Statuses)
		p.Beyond.Maintained = files
	}
	return p
}

// Protect has the branches that the process names, and its own, protected as the
// process of now asks for. A branch that it does not name any more keeps what it
// has, and so do all while no process holds: a change that breaks the description
// must not open a branch. It does nothing at a forge whose people set that
// themselves.
func (c *Controller) Protect(ctx context.Context) error {
	forges, ok := c.o.Forge.(forge.Protections)
	if !c.o.Protect || !ok {
		return nil
	}
	now, err := c.o.Repository.Now(ctx)
	if err != nil {
		return ctx.Err() // the engine tells why no process holds
	}
	own, err := c.self(ctx)
	if err != nil {
		return err
	}
	wanted := map[string]forge.Protection{now.Branch: protectionOf(now, model.Environment{}, own, c.o.ProcessFiles)}
	for _, env := range now.Environments {
		wanted[env.Branch] = protectionOf(now, env, own, c.o.ProcessFiles)
	}
	var errs []error
	for branch, want := range wanted {
		errs = append(errs, protect(ctx, forges, branch, want))
	}
	return errors.Join(errs...)
}

// protect protects a branch, unless it is protected just so.
func protect(ctx context.Context, forges forge.Protections, branch string, want forge.Protection) error {
	is, err := forges.Protection(ctx, branch)
	if err != nil && !errors.Is(err, forge.ErrNotFound) {
		return err
	}
	if err == nil && reflect.DeepEqual(normal(is), normal(want)) {
		return nil
	}
	if err := forges.Protect(ctx, branch, want); err != nil {
		return fmt.Errorf("branch %s keeps the protection that it had: %w", branch, err)
	}
	return nil
}

// normal is a protection with lists that compare.
func normal(p forge.Protection) forge.Protection {
	p.Statuses = slices.Sorted(slices.Values(p.Statuses))
	if p.Beyond != nil {
		b := *p.Beyond
		for _, list := range []*[]string{&b.Heads, &b.Maintained, &b.Bypass} {
			*list = slices.Sorted(slices.Values(*list))
		}
		p.Beyond = &b
	}
	return p
}
